"""Test cases of alerts as typed data: which series are given, and which alerts fire from them.

They become promtool unit tests. Metrics and labels are checked against the catalogue while they are written.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from gigawatch.catalogue import Metric, Target, site

SITE = "s1"
_TARGET = {
    Target.NODE: {"site": SITE, "rack": "r1", "node": "n1", "job": "gigawatch-agent"},
    Target.DEVICE: {"site": SITE, "hall": "h1", "job": "gigawatch-facility"},
    Target.SITE: {"site": SITE},
}


@dataclass(frozen=True, slots=True)
class Given:
    """One input series: its selector text and its values in promtool's notation."""

    series: str
    values: str


@dataclass(frozen=True, slots=True)
class Case:
    """What is given, and the places for which the alert then fires at `at` (none: it must stay silent)."""

    name: str
    given: tuple[Given, ...]
    fires: tuple[str, ...] = ()
    at: str = "10m"
    step: str = "30s"
    carries: dict[str, str] = field(default_factory=dict)
    """Labels that every alert fired must carry besides site, place and severity."""


def flat(value: float) -> str:
    """A constant."""
    return f"{value:g}+0x200"


def rising(per_step: float, start: float = 0) -> str:
    """A counter that grows by as much at each step."""
    return f"{start:g}+{per_step:g}x200"


def turning(before: float, steps: int, after: float) -> str:
    """One value for so many steps, then another."""
    return f"{before:g}+0x{steps - 1} {after:g}+0x200"


def stopping(per_step: float, steps: int) -> str:
    """A counter that grows and then stands still."""
    return f"0+{per_step:g}x{steps} {per_step * steps:g}+0x200"


def given(metric: Metric, values: float | str, /, *, part: str = "", **labels: str) -> Given:
    """A series of a metric of the catalogue. Target labels are those of node n1, or of the `device` named;
    a GPU metric is of GPU 0 unless told otherwise. `part` of a histogram: bucket (with `le`), sum or count.
    Refuses labels that the metric does not have."""
    known = {**_TARGET[metric.target], **_identity(metric, labels), **labels}
    known["instance"] = known.get("node") or known.get("device") or "i1"
    for label in known:
        if label not in metric.queried_labels:
            raise ValueError(f"{metric.name} has no label '{label}'")
    missing = sorted(set(metric.labels) - known.keys() - {"side"})
    if missing:
        raise ValueError(f"{metric.name}: the case gives no {', '.join(missing)}")
    for label, value in known.items():
        allowed = metric.values.get(label)
        if allowed and value not in allowed:
            raise ValueError(f"{metric.name}: {label}='{value}' never occurs")
    name = f"{metric.name}_{part}" if part else metric.name
    if name not in metric.sample_names:
        raise ValueError(f"{metric.name}: '{part}' is no part of it")
    return Given(_text(name, known), values if isinstance(values, str) else flat(values))


def _identity(metric: Metric, labels: dict[str, str]) -> dict[str, str]:
    if "uuid" not in metric.labels or "uuid" in labels:
        return {}
    node, gpu = labels.get("node", "n1"), labels.get("gpu", "0")
    identity = {"uuid": f"GPU-{node}-{gpu}"}
    return {**identity, "gpu": gpu} if "gpu" in metric.labels else identity


def target(job: str, values: float | str, /, **labels: str) -> Given:
    """The `up` series of a scrape target."""
    known = {"site": SITE, "job": job, "instance": "i1", **labels}
    return Given(_text("up", known), values if isinstance(values, str) else flat(values))


def other(name: str, values: float | str, /, **labels: str) -> Given:
    """A series of another program (prometheus_*, alertmanager_*)."""
    return Given(_text(name, {"site": SITE, **labels}), values if isinstance(values, str) else flat(values))


def _text(name: str, labels: dict[str, str]) -> str:
    inside = ",".join(f'{label}="{value}"' for label, value in sorted(labels.items()) if value)
    return f"{name}{{{inside}}}" if inside else name


def world() -> tuple[Given, ...]:
    """The small site in which the cases play: two nodes on one liquid loop, two feeds, one hall."""
    sd = {"job": "gigawatch-sd"}
    nodes = tuple(
        given(site.NODE_INFO, 1, node=node, rack="r1", row="a", hall="h1", unit="4", loop="loop-1",
              chassis="", serial="", **sd)
        for node in ("n1", "n2")
    )  # fmt: skip
    devices = (
        ("utility-a", "utility", "", "utility-a", "A", ""),
        ("utility-b", "utility", "", "utility-b", "B", ""),
        ("ups-a", "ups", "", "utility-a", "A", ""),
        ("pdu-a", "rack_pdu", "r1", "utility-a", "A", ""),
        ("pdu-b", "rack_pdu", "r1", "utility-b", "B", ""),
        ("cdu-1", "cdu", "", "utility-a", "", "loop-1"),
        ("bmc-n1", "bmc", "r1", "", "", ""),
        ("sensor-1", "sensor", "", "", "", ""),
    )
    described = tuple(
        given(site.DEVICE_INFO, 1, device=device, role=role, rack=rack, hall="h1", feed=feed, side=side,
              loop=loop, **sd)
        for device, role, rack, feed, side, loop in devices
    )  # fmt: skip
    return nodes + described
