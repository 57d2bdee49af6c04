"""Reading an inventory: from a draft, with every contradiction told in one run."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from gigawatch.errors import UserError
from gigawatch.topology.build import build
from gigawatch.topology.checks import contradictions, remarks
from gigawatch.topology.draft import Draft, draft_of_file
from gigawatch.topology.model import Inventory
from gigawatch.topology.problems import Problem, Severity, collapse


@dataclass(frozen=True, slots=True)
class Examined:
    """An inventory with all that is to be said about it."""

    inventory: Inventory
    """Sound only while `errors` is empty."""
    problems: list[Problem]

    @property
    def errors(self) -> list[Problem]:
        return [problem for problem in self.problems if problem.severity is Severity.ERROR]

    def accept(self) -> Inventory:
        """The inventory; raises FileError with the first contradiction and the number of the others."""
        errors = self.errors
        if errors:
            raise errors[0].error(len(errors) - 1)
        return self.inventory


def blueprint_names() -> tuple[str, ...]:
    """Sites that come with Gigawatch, from small to large."""
    return ("starter", "mid-scale", "full-scale")


def blueprint(name: str) -> Inventory:
    """A site that comes with Gigawatch."""
    if name not in blueprint_names():
        raise UserError(f"no blueprint '{name}'; there are {', '.join(blueprint_names())}")
    return load_inventory(Path(str(files("gigawatch.topology") / "blueprints" / f"{name}.yaml")))


def load_inventory(path: Path) -> Inventory:
    """The site that a file describes.

    Raises FileError with one line that names file, line, field and remedy of the first contradiction.
    """
    return examine(draft_of_file(path)).accept()


def examine(draft: Draft) -> Examined:
    """Build and check a draft. Nothing is raised: all contradictions are told together.

    What may follow from something that is missing is told only once there are no contradictions.
    """
    built = build(draft)
    for finding in contradictions(built.inventory):
        finding.tell(draft, built)
    if not any(problem.severity is Severity.ERROR for problem in draft.problems):
        for finding in remarks(built.inventory):
            finding.tell(draft, built)
    return Examined(built.inventory, collapse(draft.problems))
