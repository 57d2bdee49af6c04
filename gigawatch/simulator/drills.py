"""Drills: faults on purpose, handed to the running plant through a spool directory.

One file per drill, STATE/drills/ID.json, written whole by temp and rename. The plant looks every second and
ends a drill at its end time; removing the file stops it. A drill survives a restart of the plant.
"""

from __future__ import annotations

import json
import logging
import math
import os
import re
import secrets
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from gigawatch.errors import UserError
from gigawatch.simulator.faults import FAULTS, Fault, FaultKind, fault_kind, resolve
from gigawatch.simulator.jobs import near
from gigawatch.topology import Inventory

log = logging.getLogger(__name__)
DEFAULT_SECONDS = 300.0
_LONGEST = 30 * 86400.0
_ID = re.compile(r"^[a-z0-9-]{1,80}$")
_LARGEST_FILE = 64 * 1024


@dataclass(frozen=True, slots=True)
class Drill:
    """A fault that acts, or will act, on the plant. Times are Unix seconds."""

    id: str
    kind: str
    target: str
    """As the user would write it: NODE/INDEX for a GPU, else the name of a node, rack, loop or device."""
    entity: str
    """The entity of the truth format: a GPU uuid, node:NAME, rack:NAME, loop:NAME or feed:NAME."""
    start: float
    end: float
    ramp: float
    severity: float


def fault_kinds() -> tuple[FaultKind, ...]:
    """Every kind of fault, for a list: name, summary, targets, ramp, severity."""
    return tuple(FAULTS.values())


def start(
    state: Path,
    kind: str,
    target: str | None,
    seconds: float | None,
    severity: float | None,
    inventory: Inventory,
    now: float,
    *,
    seed: int | None = None,
) -> Drill:
    """Hand a fault to the plant whose state directory is `state`; it acts within about a second.

    GPU uuids depend on the plant's seed: it is taken from the plant's state unless it is given.

    Raises UserError with one line for an unknown kind or target (with close matches), a duration that is
    not between 1 s and 30 days, or a severity outside 0 to 1.
    """
    fault = fault_kind(kind)
    length = DEFAULT_SECONDS if seconds is None else seconds
    if not (math.isfinite(length) and 1 <= length <= _LONGEST):
        raise UserError(f"{kind}: duration of {length:g} s; allowed: 1 s to 30 days")
    strength = fault.severity if severity is None else severity
    if not (math.isfinite(strength) and 0 < strength <= 1):
        raise UserError(f"{kind}: severity {strength:g}; allowed: above 0, up to 1")
    seed = _seed_of(state) if seed is None else seed
    found = resolve(fault, target, inventory, seed)
    drill = Drill(
        f"{kind}-{int(now)}-{secrets.token_hex(2)}", kind, found.text, found.entity(inventory, seed), now,
        now + length,
        fault.ramp, strength,
    )  # fmt: skip
    folder = state / "drills"
    temporary = folder / f".{drill.id}.tmp"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        temporary.write_text(json.dumps(asdict(drill)), encoding="utf-8")
        temporary.replace(folder / f"{drill.id}.json")
    except OSError as error:
        raise UserError(
            f"{folder}: the drill cannot be written ({error.strerror}); is the plant's state there?"
        ) from None
    return drill


def _seed_of(state: Path) -> int:
    """Seed of the plant that publishes here, read without numpy (see `snapshot`); 1 if there is none."""
    try:
        with (state / "plant.state").open("rb") as file:
            return int(json.loads(file.readline(4096))["seed"])
    except (OSError, ValueError, KeyError, TypeError):
        return 1


def active(state: Path) -> list[Drill]:
    """Drills in the spool, oldest first. Files that are not drills are left out and logged."""
    found = []
    try:
        paths = sorted(path for path in (state / "drills").iterdir() if path.suffix == ".json")
    except OSError:
        return []
    for path in paths:
        drill = _read(path)
        if drill is not None:
            found.append(drill)
    return sorted(found, key=lambda drill: (drill.start, drill.id))


def stop(state: Path, drill_id: str | None = None) -> list[Drill]:
    """End the drill of that id, or all. Returns what was stopped; UserError if there is no such drill."""
    running = active(state)
    chosen = [drill for drill in running if drill_id in (None, drill.id)]
    if drill_id is not None and not chosen:
        raise UserError(f"no drill '{drill_id}' is running; {near(drill_id, [d.id for d in running])}")
    for drill in chosen:
        (state / "drills" / f"{drill.id}.json").unlink(missing_ok=True)
    return chosen


def to_fault(drill: Drill, inventory: Inventory, seed: int) -> Fault:
    """The drill as a fault of this plant; UserError if its target does not exist here."""
    target = resolve(fault_kind(drill.kind), drill.target, inventory, seed)
    return Fault(drill.kind, target, drill.start, drill.end, drill.ramp, drill.severity, drill.id)


def _read(path: Path) -> Drill | None:
    try:
        if path.stat().st_size > _LARGEST_FILE:
            raise ValueError("larger than 64 KiB")
        return parse(json.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, RecursionError, UserError) as error:
        log.warning("%s is ignored: %s", path, " ".join(str(error).split())[:200])
        return None


def parse(data: object) -> Drill:
    """A drill from decoded JSON; ValueError or UserError that says what is wrong."""
    if not isinstance(data, Mapping):
        raise ValueError("not a mapping")  # noqa: TRY004 - one kind of error for bad input
    texts = {key: data.get(key) for key in ("id", "kind", "target", "entity")}
    numbers = {key: data.get(key) for key in ("start", "end", "ramp", "severity")}
    for key, value in texts.items():
        if not isinstance(value, str):
            raise ValueError(f"{key} is not text")  # noqa: TRY004 - one kind of error for bad input
    for key, number in numbers.items():
        if isinstance(number, bool) or not isinstance(number, int | float) or not abs(number) < 1e12:
            raise ValueError(f"{key} is not a finite number")
    drill = Drill(**texts, **numbers)  # type: ignore[arg-type] # checked in the two loops above
    if not _ID.match(drill.id):
        raise ValueError("id has characters other than a-z, 0-9 and '-'")
    fault_kind(drill.kind)
    if not 0 < drill.severity <= 1 or drill.ramp < 0 or drill.end <= drill.start:
        raise ValueError("severity, ramp or end is out of range")
    return drill


def sweep(state: Path, now: float) -> list[Drill]:
    """Drills that act now; those that are over are removed from the spool. Never raises."""
    alive = []
    for drill in active(state):
        if drill.end > now:
            alive.append(drill)
            continue
        try:
            os.unlink(state / "drills" / f"{drill.id}.json")  # noqa: PTH108 - a race with stop() is fine
        except OSError:
            log.debug("drill %s was removed already", drill.id)
    return alive
