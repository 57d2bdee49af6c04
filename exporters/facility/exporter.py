"""The facility exporter: a page for each device, all through one collector process."""

from __future__ import annotations

from functools import partial

from exporters.runtime import ChildOptions, Exporter, Supervisor
from exporters.simulated import Simulated, make_producer
from gigawatch.topology import Inventory


def facility_exporter(inventory: Inventory, state: str, interval: float, seed: int = 1) -> Exporter:
    """Devices of the simulated plant at /devices/NAME/metrics.

    A device that does not answer has poll_up 0 on its page; so have all of them when the plant is silent.
    """
    simulated = Simulated(inventory, "facility", interval)
    make = partial(make_producer, simulated, state, seed)
    child = Supervisor("plant", ChildOptions(make, interval, memory_limit=4 << 30))
    return Exporter("facility", (), interval, child, below="/devices", fallback=simulated.dead_page)
