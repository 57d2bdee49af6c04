"""What is wrong with an inventory, and where that is written down."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum

from gigawatch.errors import FileError

At = tuple[str | int, ...]
"""Path to a field: ("supplies", 0, "pdu")."""


class Severity(StrEnum):
    ERROR = "error"
    """It contradicts itself: such an inventory does not come into force."""
    WARNING = "warning"
    """Allowed, and most likely a mistake or a danger."""
    NOTE = "note"
    """Allowed, and worth knowing."""


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a thing is written down: a row of a file, or an object of another system."""

    place: str
    """Path of the file, or URL of the object."""
    row: At = ()
    """Path of the row within the file, such as ("nodes", 3)."""
    lines: Mapping[At, int] = field(default_factory=dict, repr=False, compare=False)
    """Lines of the whole file."""
    name: str = ""
    """Name of the object, where there are no rows."""

    def line(self, at: At) -> int | None:
        """Line of a field, or of what it stands in."""
        whole = (*self.row, *at)
        for length in range(len(whole), 0, -1):
            if whole[:length] in self.lines:
                return self.lines[whole[:length]]
        return None

    def dotted(self, at: At) -> str:
        """The field as people write it: nodes[3].supplies[0].pdu."""
        return dotted((*self.row, *at) if self.row else (self.name, *at) if self.name else at)


@dataclass(frozen=True, slots=True)
class Problem:
    """One contradiction, or one thing worth knowing."""

    severity: Severity
    code: str
    """Short and stable, for programs: unit-overlap."""
    place: str
    line: int | None
    field: str
    problem: str
    remedy: str = ""
    more: int = 0
    """How many further things of the same row have the same problem."""

    def error(self, others: int = 0) -> FileError:
        """As what `load_inventory` raises; `others` are errors beside this one."""
        parts = (self.remedy, f"({self.more} more from this row)" if self.more else "")
        remedy = " ".join(part for part in (*parts, f"(and {others} more)" if others else "") if part)
        return FileError(self.place, self.field, self.problem, remedy, self.line)

    def __str__(self) -> str:
        return str(self.error())


def collapse(problems: Iterable[Problem]) -> list[Problem]:
    """The same order, with one problem for all things that a row's bracket ranges stand for."""
    found: dict[tuple[object, ...], Problem] = {}
    seen: set[Problem] = set()
    for problem in problems:
        if problem in seen:
            continue
        seen.add(problem)
        key = (problem.severity, problem.code, problem.place, problem.line, problem.field)
        known = found.get(key)
        found[key] = problem if known is None else replace(known, more=known.more + 1)
    return list(found.values())


def dotted(at: At) -> str:
    """A path as people write it: supplies[0].pdu."""
    text = ""
    for part in at:
        text += f"[{part}]" if isinstance(part, int) else (f".{part}" if text else str(part))
    return text
