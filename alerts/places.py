"""Expressions that carry their place, so that Alertmanager can group and mute along the topology."""

from __future__ import annotations

from gigawatch.promql import (
    Expr,
    Match,
    Selector,
    foreign,
    increase,
    many_to_one,
    max_by,
    min_by,
    on,
    recorded,
    recording,
    sum_by,
)

NODE = ("site", "rack", "node")
GPU = (*NODE, "gpu", "uuid")
DEVICE = ("site", "hall", "rack", "device")
HARDWARE = (*DEVICE, "node")
"""A device that may be a server's management controller."""
LOOP = ("site", "loop")


def at_node(expr: Expr) -> Expr:
    """Adds hall, row, cooling loop and, where it is missing, rack of the node that the series are about."""
    has_rack = expr.labels is not None and "rack" in expr.labels
    bring = ("hall", "row", "loop") if has_rack else ("hall", "row", "rack", "loop")
    return many_to_one(expr, "*", recorded(recording.NODE_PLACE), ("site", "node"), bring)


def near_node(expr: Expr, *who: str) -> Expr:
    """As `at_node`, for things that may run where the inventory knows no node: their series, told apart by
    `who`, stay without hall, row and loop."""
    known = at_node(expr)
    keys = ", ".join(("site", "node", *who))
    text = f"({known.text}) or on ({keys}) {expr.inner}"
    return Expr(text, known.labels, expr.unit, atom=False)


def at_device(expr: Expr, **only: str | Match) -> Expr:
    """Adds role, feed and loop of the facility device; `only` keeps devices of one role."""
    place = recorded(recording.DEVICE_PLACE, **only)
    return many_to_one(expr, "*", place, ("site", "device"), ("role", "feed", "loop"))


def at_loop(expr: Expr) -> Expr:
    """Adds the hall of a loop, and its feed where all its coolant units hang on one."""
    return many_to_one(expr, "*", recorded(recording.LOOP_PLACE), LOOP, ("hall", "feed"))


def at_bmc(expr: Expr) -> Expr:
    """Adds row and loop to series of a server's management controller, by its node."""
    return many_to_one(expr, "*", recorded(recording.NODE_PLACE), ("site", "node"), ("row", "loop"))


def gpu_max(expr: Expr, *extra: str) -> Expr:
    """One series per GPU: the highest."""
    return max_by(expr, *GPU, *extra)


def gpu_min(expr: Expr) -> Expr:
    """One series per GPU: the lowest."""
    return min_by(expr, *GPU)


def gpu_sum(expr: Expr, *extra: str) -> Expr:
    """One series per GPU: the sum."""
    return sum_by(expr, *GPU, *extra)


def both(left: Expr, right: Expr, *labels: str) -> Expr:
    """Series of `left` for which `right` has one with equal labels."""
    return on(left, "and", right, *labels)


def without(left: Expr, right: Expr, *labels: str) -> Expr:
    """Series of `left` for which `right` has none with equal labels."""
    return on(left, "unless", right, *labels)


def compare(left: Expr, operator: str, right: Expr, labels: tuple[str, ...]) -> Expr:
    """Keep the series of `left` that compare so with the one series of `right` that has equal `labels`."""
    return many_to_one(left, operator, right, labels)


def existed(selector: Selector, ago: str) -> Expr:
    """The series as they were so long ago; those that are younger are not there."""
    return Expr(f"{selector.text} offset {ago}", selector.labels, selector.unit)


def settled(expr: Expr, seconds: int) -> Expr:
    """Not while Prometheus itself is younger than that: a stack that starts again still sees what its last
    run left behind, and its parts need a moment."""
    young = foreign(
        f'max by (site) (time() - process_start_time_seconds{{job="prometheus"}}) < {seconds}', ("site",)
    )
    return without(expr, young, "site")


def device_event(selector: Selector, window: str) -> Expr:
    """As `appeared`, for counters of facility devices."""
    born = Expr(f"({selector.text} > 0 unless {existed(selector, window).text})", selector.labels)
    targets = f'up{{job="gigawatch-facility"}} offset {window}'
    known = foreign(f"max by (site, device) ({targets})", ("site", "device"))
    return (increase(selector, window) > 0).or_(on(born, "and", known, "site", "device"))


def appeared(selector: Selector, window: str) -> Expr:
    """Counters that rose within the window, and those that came into being in it: increase() never sees a
    counter whose first sample is already 1. Nodes that were not observed before are left out: what their
    counters hold may be old."""
    rose = increase(selector, window) > 0
    born = Expr(f"({selector.text} > 0 unless {existed(selector, window).text})", selector.labels)
    known = foreign(f'max by (site, node) (up{{job="gigawatch-agent"}} offset {window})', ("site", "node"))
    return rose.or_(on(born, "and", known, "site", "node"))
