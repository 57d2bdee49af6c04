"""InfiniBand and RoCE ports, from the kernel's sysfs (/sys/class/infiniband)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from gigawatch.catalogue import fabric
from gigawatch.readings import Reading

_STATES = {"DOWN": "down", "INIT": "init", "ARMED": "armed", "ACTIVE": "active", "ACTIVE_DEFER": "active"}
_WORD = 4
"""The data counters count words of four bytes (InfiniBand specification, PortCounters)."""
_BYTES = {"receive": "port_rcv_data", "transmit": "port_xmit_data"}
_ERRORS = {
    "symbol": "symbol_error",
    "link_recovery": "link_error_recovery",
    "receive": "port_rcv_errors",
    "discard": "port_xmit_discards",
}


class InfinibandSource:
    """State, traffic and errors of every port. A counter that the adapter does not have is absent."""

    name = "infiniband"

    def __init__(
        self, interval: float, deadline: float = 5.0, root: Path = Path("/sys/class/infiniband")
    ) -> None:
        self.interval, self.deadline = interval, deadline
        self._root = root

    @property
    def present(self) -> bool:
        """Whether the kernel knows of any adapter."""
        return self._root.is_dir() and any(self._root.iterdir())

    def read(self) -> Iterator[Reading]:
        for port in sorted(self._root.glob("*/ports/*")):
            place = (port.parent.parent.name, port.name)
            state = _STATES.get(_text(port / "state").partition(":")[2].strip())
            if state is not None:
                for name in fabric.IB_PORT_STATE.values["state"]:
                    yield Reading(fabric.IB_PORT_STATE, (*place, name), float(name == state))
            counters = port / "counters"
            for direction, file in _BYTES.items():
                words = _number(counters / file)
                if words is not None:
                    yield Reading(fabric.IB_PORT_BYTES, (*place, direction), words * _WORD)
            for kind, file in _ERRORS.items():
                errors = _number(counters / file)
                if errors is not None:
                    yield Reading(fabric.IB_PORT_ERRORS, (*place, kind), errors)
            # The adapter's own count: a flap between two reads is in it too.
            downed = _number(counters / "link_downed")
            if downed is not None:
                yield Reading(fabric.IB_PORT_FLAPS, place, downed)


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError):
        return ""


def _number(path: Path) -> float | None:
    text = _text(path)
    return float(text) if text.isdigit() else None
