"""The XID ledger's memory over restarts of the agent: one small file that belongs to one boot of the node."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from exporters.gpu.address import pci_address, shown
from exporters.gpu.xid_book import MOST_OPEN, Device, Event, Teller

NAME = "xid-ledger.json"
_VERSION = 1
_MOST_BYTES = 64 * 2**20
_MOST_COUNT = 2**53

Tally = tuple[str, ...]


class StateError(Exception):
    """The file cannot be used; the message says why."""


@dataclass(slots=True)
class State:
    """What is remembered. `sequence` is the last record of the kernel log that was taken, -1 before the
    first; `offset` the seconds by which time.monotonic() is ahead of the log's clock."""

    sequence: int = -1
    offset: float = 0.0
    devices: list[Device] = field(default_factory=list)
    tallies: dict[Tally, int] = field(default_factory=dict)


def boot_id(root: Path) -> str:
    """What tells this boot from every other; empty where the kernel does not say."""
    try:
        return (root / "proc/sys/kernel/random/boot_id").read_text().strip()
    except (OSError, UnicodeDecodeError):
        return ""


def save(directory: Path, boot: str, state: State) -> None:
    """Replace the file as a whole: a reader, or a start after a crash, sees the old one or the new one."""
    target = directory / NAME
    fresh = directory / (NAME + ".new")
    text = json.dumps({"version": _VERSION, "boot": boot, **_encoded(state)}, separators=(",", ":"))
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as out:
        out.write(text)
    fresh.replace(target)


def load(directory: Path, boot: str) -> State:
    """What was saved in this boot; an empty state if nothing was. Raises StateError, OSError."""
    target = directory / NAME
    try:
        descriptor = os.open(target, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except FileNotFoundError:
        return State()
    with os.fdopen(descriptor, "rb") as file:
        raw = file.read(_MOST_BYTES + 1)
    if len(raw) > _MOST_BYTES:
        raise StateError("it is larger than anything that was written here")
    try:
        told = json.loads(raw)
        if told["version"] != _VERSION:
            raise StateError(f"it is of version {told['version']!r}, this program writes {_VERSION}")
        return _decoded(told) if told["boot"] == boot else State()
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise StateError(f"it is damaged ({type(error).__name__})") from None


def _encoded(state: State) -> dict[str, Any]:
    return {
        "sequence": state.sequence,
        "offset": state.offset,
        "tallies": [[list(key), count] for key, count in state.tallies.items()],
        "devices": [
            {
                "gpu": one.gpu,
                "uuid": one.uuid,
                "address": None if one.address is None else shown(one.address),
                "counts": [[code, source, count] for (code, source), count in one.counts.items()],
                "last": [[code, at] for code, at in one.last.items()],
                "open": [[code, e.at, int(e.told)] for code, events in one.open.items() for e in events],
            }
            for one in state.devices
        ],
    }


def _decoded(told: dict[str, Any]) -> State:
    """Every value is checked: the file may be anything."""
    state = State(_whole(told["sequence"], -1), _number(told["offset"]))
    for key, count in told["tallies"]:
        state.tallies[tuple(_text(part) for part in key)] = _whole(count)
    for one in told["devices"]:
        address = None if one["address"] is None else pci_address(_text(one["address"]))
        device = Device(_text(one["gpu"]), _text(one["uuid"]), address)
        if not device.uuid and address is None:
            raise ValueError("a GPU without an identity")
        for code, source, count in one["counts"]:
            if source not in ("nvml", "kmsg"):
                raise ValueError(f"source {source!r}")
            device.counts[(_whole(code), source)] = _whole(count)
        for code, at in one["last"]:
            device.last[_whole(code)] = _number(at)
        for code, at, told_by in one["open"]:
            device.open.setdefault(_whole(code), []).append(Event(_number(at), Teller(_whole(told_by) & 7)))
        for waiting in device.open.values():
            waiting.sort()
            del waiting[:-MOST_OPEN]
        state.devices.append(device)
    uuids = [one.uuid for one in state.devices if one.uuid]
    addresses = [one.address for one in state.devices if one.address is not None]
    if len(set(uuids)) < len(uuids) or len(set(addresses)) < len(addresses):
        raise ValueError("a GPU stands there twice")
    return state


def _whole(value: object, lowest: int = 0) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not lowest <= value <= _MOST_COUNT:
        raise ValueError(f"{value!r} is no count")
    return value


def _number(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < _MOST_COUNT:
        raise ValueError(f"{value!r} is no time")
    return float(value)


def _text(value: object) -> str:
    if not isinstance(value, str) or len(value) > 200:
        raise ValueError("no text")
    return value
