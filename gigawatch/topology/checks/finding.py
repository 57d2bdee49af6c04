"""What a check finds, before it is known where that is written down."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime

from gigawatch.topology.build import Built
from gigawatch.topology.draft import Draft
from gigawatch.topology.problems import At, Severity


@dataclass(frozen=True, slots=True)
class Finding:
    """One contradiction or remark about one thing."""

    severity: Severity
    code: str
    section: str
    name: str
    at: At
    problem: str
    remedy: str = ""

    def tell(self, draft: Draft, built: Built) -> None:
        """Add it to the draft's problems, with its place."""
        drawn = built.drawn.get((self.section, self.name))
        origin = drawn.origin_of(self.at) if drawn else draft.origin
        draft.fault(origin, self.at, self.code, self.problem, self.remedy, self.severity)


def error(code: str, section: str, name: str, at: At, problem: str, remedy: str = "") -> Finding:
    return Finding(Severity.ERROR, code, section, name, at, problem, remedy)


def warning(code: str, section: str, name: str, at: At, problem: str, remedy: str = "") -> Finding:
    return Finding(Severity.WARNING, code, section, name, at, problem, remedy)


def note(code: str, section: str, name: str, at: At, problem: str, remedy: str = "") -> Finding:
    return Finding(Severity.NOTE, code, section, name, at, problem, remedy)


def today() -> date:
    """Today, by UTC."""
    return datetime.now(UTC).date()
