"""An agent that, besides this host, serves every node of a simulated site."""

from __future__ import annotations

from functools import partial

from exporters.agent import plain_sources
from exporters.runtime import ChildOptions, Exporter, Supervisor
from exporters.sections import AgentPlan
from exporters.simulated import Simulated, make_producer
from gigawatch.topology import Inventory


def simulating_exporter(plan: AgentPlan, site: Inventory, state: str, seed: int) -> Exporter:
    """Pages of the simulated nodes at /nodes/NAME/metrics; of this host at /metrics."""
    simulated = Simulated(site, "agent", plan.interval)
    make = partial(make_producer, simulated, state, seed)
    # A large site in one process: the plant's arrays, and a page per node.
    options = ChildOptions(make, plan.interval, memory_limit=4 << 30)
    return Exporter(
        "agent", plain_sources(plan), plan.interval, Supervisor("plant", options),
        below="/nodes", fallback=simulated.dead_page,
    )  # fmt: skip
