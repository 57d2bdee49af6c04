"""What racks and loops draw, read from Prometheus."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from analytics.capacity.forecast import DAY
from analytics.fleet.columns import Floats
from analytics.ingest.prometheus import Prometheus
from gigawatch.catalogue import workload
from gigawatch.promql import recorded
from gigawatch.promql.recording.loop import LOOP_HEAT
from gigawatch.promql.recording.rack import RACK_POWER
from gigawatch.promql.recording.site import SITE_FACILITY_POWER
from gigawatch.promql.rule import Recorded
from gigawatch.topology import Inventory
from gigawatch.topology.flow import Draw, design_draw

RESOLUTION = "5m"
"""One sample in so long is enough for a percentile of days."""
_SOURCES: dict[str, tuple[Recorded, str]] = {
    "rack": (RACK_POWER, "rack"),
    "loop": (LOOP_HEAT, "loop"),
    "site": (SITE_FACILITY_POWER, "site"),
}


@dataclass(frozen=True, slots=True)
class History:
    """One value a day: its 99th percentile."""

    days: Floats
    """Days since 1970."""
    watts: Floats


def _p99(rule: Recorded, site: str, span: str) -> str:
    series = recorded(rule, site=site).text
    return f"quantile_over_time(0.99, {series}[{span}:{RESOLUTION}])"


def measured_draw(client: Prometheus, inventory: Inventory, now: float, span: str) -> Draw:
    """99th percentile of each rack over a span such as 7d; racks that were not measured count with their
    design. Raises QueryError or AnswerError."""
    watts = dict(design_draw(inventory).watts)
    found = client.query(_p99(RACK_POWER, inventory.site, span), now)
    measured = 0
    for labels, value in zip(found.series.labels, found.values.tolist(), strict=True):
        rack = labels.get("rack", "")
        if rack in watts and math.isfinite(value):
            watts[rack] = value
            measured += 1
    return Draw(watts, f"99th percentile over {span} of {measured} racks, design of {len(watts) - measured}")


def heat_of_loops(client: Prometheus, inventory: Inventory, now: float, span: str) -> Mapping[str, float]:
    """99th percentile of the heat that each loop carries; loops that were not measured are left out."""
    found = client.query(_p99(LOOP_HEAT, inventory.site, span), now)
    rows = zip(found.series.labels, found.values.tolist(), strict=True)
    return {labels["loop"]: value for labels, value in rows if labels.get("loop") and math.isfinite(value)}


def histories(
    client: Prometheus, inventory: Inventory, scope: str, now: float, days: int
) -> dict[str, History]:
    """Daily values by name of the rack or loop, or of the site."""
    rule, label = _SOURCES[scope]
    end = math.floor(now / DAY) * DAY
    tracks = client.query_range(_p99(rule, inventory.site, "1d"), end - days * DAY, end, DAY)
    return {
        track.labels.get(label, ""): History(np.floor(track.times / DAY), track.values) for track in tracks
    }


def jobs_on(client: Prometheus, inventory: Inventory, now: float) -> dict[str, set[str]]:
    """Jobs by the node on which they hold GPUs."""
    name = workload.GPU_ALLOCATION_INFO.name
    found = client.query(f'group by (node, job_id) ({name}{{site="{inventory.site}"}})', now)
    jobs: dict[str, set[str]] = {}
    for labels in found.series.labels:
        jobs.setdefault(labels.get("node", ""), set()).add(labels.get("job_id", ""))
    return jobs
