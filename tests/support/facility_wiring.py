"""What a protocol's driver is given, for tests that make one."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from exporters.facility.driver import Secret, Wiring
from gigawatch.readings import Reading, sample
from gigawatch.topology import Device, Endpoint, Inventory, Role
from gigawatch.topology.model import Economics

_NO_MONEY = Economics({}, {}, 0, 0, 0, 0, 0, 0)


def device(name: str = "cdu-1", role: Role = Role.CDU, **more: Any) -> Device:
    """A facility device of hall h1."""
    plain = Device(name, role, "h1", "", "", "", "", 0.0, 0.0, 0.0, 3, "", "")
    return replace(plain, **more)


def wired(
    protocol: str,
    address: str,
    of: Device | None = None,
    shared: dict[str, object] | None = None,
    secret: Callable[[], Secret] = Secret,
    deadline: float = 5.0,
    clock: Callable[[], float] = time.time,
    options: Mapping[str, str] | None = None,
    **endpoint: Any,
) -> Wiring:
    """The wiring of one endpoint."""
    of = of or device()
    inventory = Inventory("s", (), (), (of,), (), _NO_MONEY)
    return Wiring(
        of,
        Endpoint(protocol, address, **endpoint),
        inventory,
        secret,
        deadline,
        10.0,
        clock,
        {} if shared is None else shared,
        options or {},
    )


def values(readings: list[Reading]) -> dict[str, float]:
    """By series, as it would stand on the page: `name{label="value"}` without the prefix and empty labels."""
    found = {}
    for reading in readings:
        name, labels = sample(reading.metric, reading.labels)
        text = ",".join(f"{label}={value}" for label, value in labels.items() if value)
        key = name.removeprefix("aif_") + (f"{{{text}}}" if text else "")
        assert key not in found, f"{key} stands twice"
        found[key] = reading.value
    return found
