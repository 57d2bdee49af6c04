"""An inventory before it is checked: rows of plain fields with where each is written down.

A draft comes from a YAML file, or from what another system (NetBox) says; drafts can be laid over each other.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gigawatch.config.load import _kind, read_mapping
from gigawatch.topology.expand import ExpansionError, expand
from gigawatch.topology.problems import At, Origin, Problem, Severity
from gigawatch.topology.rows import SECTIONS


@dataclass(slots=True)
class Drawn:
    """One thing, its bracket ranges expanded."""

    values: dict[str, Any]
    origin: Origin
    number: int = 0
    """How far along the last bracket range of its row it is."""
    laid_over: dict[str, Origin] = field(default_factory=dict)
    """Where fields are written down that come from elsewhere."""

    @property
    def name(self) -> str:
        name = self.values.get("name")
        return name if isinstance(name, str) else ""

    def origin_of(self, at: At) -> Origin:
        """Where a field is written down."""
        return self.laid_over.get(str(at[0]), self.origin) if at else self.origin


@dataclass(slots=True)
class Draft:
    """A whole site."""

    origin: Origin
    head: dict[str, Any] = field(default_factory=dict)
    """All fields that are no list of things."""
    things: dict[str, list[Drawn]] = field(default_factory=lambda: {section: [] for section in SECTIONS})
    unsure: set[str] = field(default_factory=set)
    """Sections of which not all names are known, because a row makes no sense."""
    problems: list[Problem] = field(default_factory=list)

    def fault(
        self,
        origin: Origin,
        at: At,
        code: str,
        problem: str,
        remedy: str = "",
        severity: Severity = Severity.ERROR,
    ) -> None:
        """Note what is wrong with a field."""
        self.problems.append(
            Problem(severity, code, origin.place, origin.line(at), origin.dotted(at), problem, remedy)
        )

    def add(self, section: str, row: object, origin: Origin) -> None:
        """Take in a row with all the things it stands for."""
        if not isinstance(row, dict):
            self.fault(origin, (), "form", f"is {_kind(row)}", "write a mapping such as {name: ...}")
            self.unsure.add(section)
            return
        if not isinstance(row.get("name"), str):
            self.unsure.add(section)
        try:
            for values, number in expand({str(key): value for key, value in row.items()}):
                self.things[section].append(Drawn(values, origin, number))
        except ExpansionError as error:
            self.fault(origin, error.at, "range", error.problem, error.remedy)
            self.unsure.add(section)

    def lay_over(self, other: Draft) -> None:
        """Fields of another draft win; things that only it has are added."""
        for name, value in other.head.items():
            mine = self.head.get(name)
            both = isinstance(mine, dict) and isinstance(value, dict)
            self.head[name] = {**mine, **value} if both and isinstance(mine, dict) else value
        for section, things in other.things.items():
            known = {thing.name: thing for thing in self.things[section] if thing.name}
            for thing in things:
                below = known.get(thing.name)
                if below is None:
                    self.things[section].append(thing)
                    continue
                below.number = thing.number or below.number
                for key, value in thing.values.items():
                    if key != "name":
                        below.values[key] = value
                        below.laid_over[key] = thing.origin
        self.unsure |= other.unsure
        self.problems += other.problems


def draft_of_file(path: Path) -> Draft:
    """The draft that a YAML file is. Raises FileError if it is no YAML mapping at all."""
    data, lines = read_mapping(path)
    return draft_of(data, Origin(str(path), (), lines))


def draft_of(data: Mapping[str, Any], whole: Origin) -> Draft:
    """The draft of a file's fields."""
    draft = Draft(whole)
    for name, value in data.items():
        if name not in SECTIONS:
            draft.head[str(name)] = value
        elif not isinstance(value, list):
            draft.fault(whole, (name,), "form", f"is {_kind(value)}", "write a list")
            draft.unsure.add(name)
        else:
            for index, row in enumerate(value):
                draft.add(name, row, Origin(whole.place, (name, index), whole.lines))
    return draft
