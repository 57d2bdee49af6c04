"""Scenario files of `gigawatch simulate`: which site, how long, what goes wrong and when."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, model_validator

from gigawatch.config.load import Lines, Strict, load_file, parse_duration, read_mapping
from gigawatch.errors import FileError, UserError
from gigawatch.simulator.faults import Fault, Target, fault_kind, resolve
from gigawatch.simulator.jobs import Job, parse_jobs
from gigawatch.topology import Inventory, blueprint, load_inventory

LARGEST_ROWS = 200_000_000
_YEAR = 366 * 86400.0


def _seconds(value: object) -> object:
    return parse_duration(value) if isinstance(value, str) else value


def _moment(value: object) -> object:
    """Unix seconds of a date, a time (UTC where it names no zone) or a number."""
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value)
        except ValueError:
            raise ValueError(f"'{value}' is not a time; write 2026-01-31T00:00:00Z or Unix seconds") from None
    if isinstance(value, datetime):
        return (value if value.tzinfo else value.replace(tzinfo=UTC)).timestamp()
    if isinstance(value, date):
        return datetime(value.year, value.month, value.day, tzinfo=UTC).timestamp()
    return value


Seconds = Annotated[float, BeforeValidator(_seconds), Field(allow_inf_nan=False)]


class FaultRow(Strict):
    """One fault. Times count from the scenario's start; numbers are seconds, text is a
    duration such as 6h."""

    kind: str
    target: str = ""
    start: Annotated[Seconds, Field(ge=0)] = 0.0
    ramp: Annotated[Seconds, Field(ge=0, le=_YEAR)] | None = None
    severity: Annotated[float, Field(gt=0, le=1)] | None = None
    duration: Annotated[Seconds, Field(gt=0)] | None = None


class ScenarioFile(Strict):
    """A scenario as its author writes it."""

    blueprint: str = ""
    inventory: str = ""
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 1
    start: Annotated[float, BeforeValidator(_moment), Field(ge=0, le=4_102_444_800)] = 1_767_225_600.0
    duration: Annotated[Seconds, Field(ge=1, le=_YEAR)]
    step: Annotated[Seconds, Field(ge=0.1, le=3600)] = 10.0
    workloads: list[dict[str, Any]] | None = None
    faults: Annotated[list[FaultRow], Field(max_length=10_000)] = Field(default_factory=list)

    @model_validator(mode="after")
    def _one_site(self) -> ScenarioFile:
        if bool(self.blueprint) == bool(self.inventory):
            raise ValueError("name the site by blueprint or by inventory, one of the two")
        if self.step > self.duration:
            raise ValueError("step is longer than duration")
        return self


@dataclass(frozen=True, slots=True)
class Scenario:
    """A scenario whose every reference has been found."""

    inventory: Inventory
    seed: int
    start: float
    duration: float
    step: float
    jobs: tuple[Job, ...]
    faults: tuple[Fault, ...]

    @property
    def samples(self) -> int:
        """Moments that are recorded: one after each step."""
        return int(self.duration / self.step + 1e-9)


def load_scenario(path: Path) -> Scenario:
    """The scenario of a file. Raises UserError with one line: file, line, field, what
    is wrong, what is allowed."""
    file = load_file(path, ScenarioFile)
    _, lines = read_mapping(path)
    inventory = _site(path, file, lines)
    if file.workloads is not None:
        # Default targets of faults look for what runs, so the site takes the scenario's workloads over.
        inventory = replace(inventory, workloads=tuple(file.workloads))
        try:
            jobs = parse_jobs(inventory.workloads, inventory, "scenario")
        except UserError as error:
            raise _in_workloads(path, error, lines) from None
    else:
        jobs = parse_jobs(inventory.workloads, inventory)
    faults = tuple(_fault(path, index, row, file, inventory, lines) for index, row in enumerate(file.faults))
    scenario = Scenario(inventory, file.seed, file.start, file.duration, file.step, jobs, faults)
    if scenario.samples * inventory.gpu_count > LARGEST_ROWS:
        raise FileError(
            path, "duration", f"gives {scenario.samples * inventory.gpu_count:,} rows",
            f"at most {LARGEST_ROWS:,}: lengthen the step or shorten the duration", lines.get(("duration",)),
        )  # fmt: skip
    return scenario


def _site(path: Path, file: ScenarioFile, lines: Lines) -> Inventory:
    if file.inventory:
        return load_inventory(path.parent / file.inventory)
    try:
        return blueprint(file.blueprint)
    except UserError as error:
        raise FileError(path, "blueprint", str(error), "", lines.get(("blueprint",))) from None


def _in_workloads(path: Path, error: UserError, lines: Lines) -> FileError:
    """The error of a workload row, with the line it stands on."""
    text = str(error).split(": ", 1)[1]
    field, _, problem = text.partition(": ")
    index = int(field.split("[", 1)[1].split("]", 1)[0])
    name = field.rsplit("].", 1)[1] if "]." in field else ""
    line = lines.get(("workloads", index, name)) or lines.get(("workloads", index))
    return FileError(path, field, problem, "", line)


def _fault(
    path: Path, index: int, row: FaultRow, file: ScenarioFile, inventory: Inventory, lines: Lines
) -> Fault:
    def fail(field: str, problem: str) -> FileError:
        line = lines.get(("faults", index, field)) or lines.get(("faults", index))
        return FileError(path, f"faults[{index}].{field}", problem, "", line)

    try:
        kind = fault_kind(row.kind)
    except UserError as error:
        raise fail("kind", str(error)) from None
    if row.start >= file.duration:
        raise fail(
            "start", f"lies {row.start:g} s after the start, but the scenario ends after {file.duration:g} s"
        )
    target: Target
    try:
        target = resolve(kind, row.target, inventory, file.seed)
    except UserError as error:
        raise fail("target", str(error)) from None
    begin = file.start + row.start
    end = (
        file.start + file.duration
        if row.duration is None
        else min(begin + row.duration, file.start + file.duration)
    )
    return Fault(
        row.kind, target, begin, end, kind.ramp if row.ramp is None else row.ramp,
        kind.severity if row.severity is None else row.severity,
    )  # fmt: skip
