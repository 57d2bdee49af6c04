"""Whose a rise is: the GPU's own, its node's, what the cooling group shares, or software's.

All deviations are shares of the expected rise over coolant or inlet air, less what is usual for each GPU.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analytics.detectors.thermal_groups import Topology, low_medians
from analytics.fleet.columns import Bools, Floats, Ints

PEERS_DOWN = 0.03
"""Share by which peers may fall without a rise against them counting for less."""
REBOUND = 0.04
"""What has run cooler than in its first week and goes back there has risen by no more than this."""
MATES = 4
"""GPUs of a node that must work for their median to be trusted more than the group's."""
WORKING_SHARE = 0.7
"""Share of an air-cooled node's working GPUs below which its fans are not what they usually are."""
STEP_LEAST, STEP_NODES, STEP_SHARE, STEP_ALIKE = 0.015, 3, 0.12, 0.4
"""What a step of software is at least; how many nodes, and which share of them, step alike; how alike."""
FRESH = -10.0
"""Stands for a level that was not seen yet."""


@dataclass(frozen=True, slots=True)
class Apart:
    """What is a GPU's own and what its node's, per GPU, NaN where that is not known."""

    own: Floats
    node: Floats
    own_usual: Floats
    node_usual: Floats
    """The same two without the benefit of any doubt: what may become usual."""
    skip_own: Bools
    skip_node: Bools
    """Of air-cooled nodes that work in part or little: slower fans cool what works less than they used to."""


def take_apart(
    u: Floats, rise: Floats, full: Bools, working: Bools, bias: Floats, node_bias: Floats, top: Topology
) -> Apart:
    """Take deviations `u` (NaN is absent) of GPUs with that `rise` (K) apart.

    What peers share is a share of everyone's rise (flow, fans) or kelvin of everyone's inlet: each GPU is
    held against the one that leaves it less. `full` are those near their highest load, `working` those that
    worked of late; the biases are how far their usual lies from their first week.
    """
    node, there = low_medians(u, top.order, top.start)
    warmer, _ = low_medians(u * rise, top.order, top.start)
    group, nodes = low_medians(node, top.group_order, top.group_start)
    inlet, _ = low_medians(warmer, top.group_order, top.group_start)
    # With two nodes nobody knows which of them moved: only what moved against its own past as well counts.
    few = nodes < 3
    group, inlet = (np.where(few, np.maximum(v, 0.0), v) for v in (group, inlet))
    group, inlet = (np.where((nodes >= 2) & np.isfinite(v), v, 0.0)[top.group] for v in (group, inlet))
    node, warmer, there = node[top.node], warmer[top.node], there[top.node]
    mates = there >= 2
    of_node = np.where(mates & (nodes[top.group] >= 2), node, np.nan)
    # What only stands out because its peers went down is not its own rise.
    shared = np.maximum(group, inlet / rise)
    node_own = np.minimum(of_node - shared, node + PEERS_DOWN)
    lowest = group - np.where(there >= MATES, PEERS_DOWN, 0.0)
    own = u - np.maximum(lowest, np.where(mates, np.maximum(node, warmer / rise), -np.inf))
    # Nor is what goes back to where it was at first.
    own += np.minimum(bias + REBOUND, 0.0)
    node_own += np.minimum(node_bias + REBOUND, 0.0)
    absent = ~np.isfinite(u)
    usual = np.bincount(top.node, weights=working, minlength=top.nodes)[top.node]
    air = ~np.asarray(top.liquid, bool)
    part = air & (there < WORKING_SHARE * usual)
    return Apart(
        np.where(absent, np.nan, own), np.where(absent, np.nan, node_own),
        u - np.where(mates, node, group), np.where(absent, np.nan, of_node - group),
        part | (air & (there < MATES) & ~full), part | (air & ~full),
    )  # fmt: skip


def node_levels(u: Floats, top: Topology) -> Floats:
    """Deviation of every node from its group, per node; NaN is absent."""
    node, _ = low_medians(u, top.order, top.start)
    group, nodes = low_medians(node, top.group_order, top.group_start)
    shared = np.where((nodes >= 2) & np.isfinite(group), group, 0.0)
    return np.asarray(node - shared[top.group[top.order[top.start[:-1]]]])


def software_steps(level: Floats, before: Floats, earlier: Floats, scatter: Floats, group: Ints) -> Floats:
    """Step of each node that is software: many nodes of several groups that stepped alike at one moment.

    `level` is each node's deviation from its `group` now, `before` that of two blocks ago (a step falls
    within a block), `earlier` the one before that, `scatter` the usual change. Where most of a group stepped,
    the rest looks as if it had, the other way, and so it does where the inlet is unseen; either sign counts.
    """
    moved = level - before
    there = np.isfinite(moved) & (before > FRESH + 1)
    limit = np.maximum(STEP_LEAST, 3 * scatter)
    hit = there & (np.abs(moved) > limit) & (np.abs(before - earlier) < limit)
    if hit.sum() >= STEP_NODES:
        size = float(np.median(np.abs(moved[hit])))
        hit &= np.abs(np.abs(moved) - size) < np.maximum(limit, STEP_ALIKE * size)
        enough = hit.sum() >= max(STEP_NODES, STEP_SHARE * there.sum())
        if enough and len(np.unique(group[hit])) >= 2:
            return np.where(hit, moved, 0.0)
    return np.zeros(len(level))
