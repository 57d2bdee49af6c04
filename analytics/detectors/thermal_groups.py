"""Which GPUs share a node and which nodes share their cooling, laid out for compiled loops."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analytics.fleet import Fleet, Level
from analytics.fleet.columns import Floats, Ints
from analytics.jit import compiled


@dataclass(frozen=True, slots=True)
class Topology:
    """GPUs sorted by node, nodes sorted by cooling group (the loop, or the rack where air cools).

    `order[start[k] : start[k + 1]]` are the GPUs of node k, and in the same way `group_order` holds the nodes
    of groups. A GPU without a node is a node of its own, a node without a group one of its own.
    """

    stamp: tuple[Ints, Ints, Ints]
    node: Ints
    order: Ints
    start: Ints
    group: Ints
    group_order: Ints
    group_start: Ints
    liquid: np.ndarray

    @property
    def nodes(self) -> int:
        return len(self.start) - 1

    @property
    def groups(self) -> int:
        return len(self.group_start) - 1


def topology(fleet: Fleet, known: Topology | None) -> Topology:
    """The layout of a fleet; `known` itself while the labels it was made from still stand."""
    gpus = fleet[Level.GPU]
    node, loop, rack = (gpus.codes(label)[0] for label in ("node", "loop", "rack"))
    if known is not None and all(a is b for a, b in zip(known.stamp, (node, loop, rack), strict=True)):
        return known
    n = len(node)
    alone = np.arange(n)
    own = _compact(np.where(node >= 0, node, alone + n + 1))
    order = np.argsort(own, kind="stable")
    nodes = int(own.max(initial=-1)) + 1
    start = np.searchsorted(own[order], np.arange(nodes + 1))
    shared = np.where(loop >= 0, loop, np.where(rack >= 0, rack + n + 1, own + 2 * n + 2))
    group_of_node = _compact(shared[order[start[:-1]]]) if nodes else np.zeros(0, np.intp)
    groups = int(group_of_node.max(initial=-1)) + 1
    group_order = np.argsort(group_of_node, kind="stable")
    group_start = np.searchsorted(group_of_node[group_order], np.arange(groups + 1))
    return Topology(
        (node, loop, rack), own, order, start, group_of_node[own] if n else own, group_order, group_start,
        np.asarray(loop >= 0),
    )  # fmt: skip


def _compact(codes: Ints) -> Ints:
    return np.unique(codes, return_inverse=True)[1].astype(np.intp).reshape(codes.shape)


@compiled
def low_medians(values: Floats, order: Ints, start: Ints) -> tuple[Floats, Floats]:
    """Lower median and count per group of `values[order[start[k] : start[k + 1]]]`; NaN is absent."""
    groups = len(start) - 1
    out, count = np.full(groups, np.nan), np.zeros(groups)
    size = 1
    for k in range(groups):
        size = max(size, start[k + 1] - start[k])
    buffer = np.empty(size)
    for k in range(groups):
        m = 0
        for j in range(start[k], start[k + 1]):
            v = values[order[j]]
            if v == v:
                if size > 64:
                    buffer[m] = v
                else:
                    i = m
                    while i > 0 and buffer[i - 1] > v:
                        buffer[i] = buffer[i - 1]
                        i -= 1
                    buffer[i] = v
                m += 1
        count[k] = m
        if m:
            if size > 64:
                buffer[:m].sort()
            out[k] = buffer[(m - 1) // 2]
    return out, count


@compiled
def low_quartiles(values: Floats, order: Ints, start: Ints) -> tuple[Floats, Floats]:
    """Lower quartile (a value that a member has) and count per group; NaN is absent."""
    groups = len(start) - 1
    out, count = np.full(groups, np.nan), np.zeros(groups)
    for k in range(groups):
        part = values[order[start[k] : start[k + 1]]]
        part = np.sort(part[~np.isnan(part)])
        count[k] = len(part)
        if len(part):
            out[k] = part[(len(part) - 1) // 4]
    return out, count
