"""The plant's state as a file: what sources read each second, and what a restart continues from.

One line of JSON, then the state's buffer. Written beside the file and renamed over it, so a reader finds the
old state or the new one.
"""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from gigawatch.errors import UserError
from gigawatch.simulator.plant import Plant

NAME = "plant.state"
_FORMAT = "gigawatch-plant-1"
_LARGEST_HEADER = 4096


@dataclass(frozen=True, slots=True)
class Header:
    """What stands before the state."""

    seed: int
    inventory: str
    """Fingerprint of the inventory that the plant was built from."""
    time: float
    """Unix time of the plant."""
    published: float
    """Unix time at which it was written; differs from `time` in a plant that runs faster than real time."""
    values: int


def publish(state: Path, plant: Plant, now: float) -> None:
    """Write the plant's present state into a state directory. Raises OSError where that fails."""
    header = {
        "format": _FORMAT, "byteorder": sys.byteorder, "seed": plant.seed,
        "inventory": plant.fingerprint,
        "time": plant.time, "published": now, "values": len(plant.state.buffer),
    }  # fmt: skip
    temporary = state / f".{NAME}.tmp"
    with temporary.open("wb") as file:
        file.write(json.dumps(header).encode() + b"\n")
        file.write(plant.state.buffer.tobytes())
    temporary.replace(state / NAME)


def read(state: Path) -> tuple[Header, bytes]:
    """Header and buffer of the published state; UserError with one line if there is none or it is damaged."""
    path = state / NAME
    try:
        with path.open("rb") as file:
            line = file.readline(_LARGEST_HEADER)
            body = file.read()
    except OSError as error:
        raise UserError(f"{path}: no plant state ({error.strerror}); is `gigawatch plant` running?") from None
    try:
        data = json.loads(line)
        if data["format"] != _FORMAT or data["byteorder"] != sys.byteorder:
            raise ValueError("another format")
        header = Header(
            int(data["seed"]),
            str(data["inventory"]),
            float(data["time"]),
            float(data["published"]),
            int(data["values"]),
        )
        if len(body) != 8 * header.values:
            raise ValueError(f"{len(body)} bytes of state, expected {8 * header.values}")
    except (ValueError, KeyError, TypeError, RecursionError, OverflowError) as error:
        reason = " ".join(str(error).split())[:100] or type(error).__name__
        raise UserError(
            f"{path}: not a plant state ({reason}); remove it and start the plant again"
        ) from None
    return header, body


def restore(plant: Plant, header: Header, body: bytes) -> bool:
    """Put a saved state into the plant; False if it belongs to another inventory, seed or version."""
    same = (header.seed, header.inventory, header.values) == (
        plant.seed, plant.fingerprint, len(plant.state.buffer),
    )  # fmt: skip
    if not same:
        return False
    buffer = np.frombuffer(body, dtype=np.float64)
    if not np.isfinite(buffer).all():
        return False
    plant.state.buffer[:] = buffer
    return True
