"""What the thermal model says about what it found: evidence, rival causes, and when it will throttle."""

from __future__ import annotations

import statistics
from dataclasses import dataclass

import numpy as np

from analytics.detectors import thermal_slow as slow
from analytics.detectors.base import Evidence, Rival, Suspicion
from analytics.detectors.thermal_groups import Topology
from analytics.detectors.thermal_loops import (
    ALARM,
    ALARM_FOR,
    ALLOWANCE,
    CLEAR,
    FIRST_TAU,
    GROUP_FOR,
    HIGH,
    LOADED,
    NODE_FOR,
    RISE,
    SHARED_SUM,
    SUM,
    F,
)  # fmt: skip
from analytics.fleet import Level, Tick
from analytics.fleet.columns import Bools, Floats, Ints
from analytics.signals import POWER, TEMPERATURE
from gigawatch.catalogue import Unit, findings

RESISTANCE = findings.THERMAL_RESISTANCE.key
LEANS = 0.35
"""Part of the highest rise of a place at which another GPU shows the same trouble, if less of it yet."""
MOST_OF = 0.6
"""Share of a node's GPUs at work that must show it for it to be the node's; so of nodes, the group's."""
STILL = 6 * 3600.0
"""Seconds after which what a GPU shows is no longer that of the node, or loop or rack, that was called."""
APART = 1.2
"""Resistance of a GPU against its peers' from which they speak for an alarm, however young its baseline."""


@dataclass(slots=True)
class Told:
    """What is known of every GPU at this tick, over the roster."""

    fast: Bools
    slow: Bools
    node: Bools
    shared: Bools
    blind: Bools
    ready: Bools
    recent: Bools
    """Seen of late, if not at this tick: whether a node is meant must not hang on who answers just now."""
    score: Floats
    resistance: Floats
    core: Floats
    power: Floats
    reference: Floats
    expected: Floats
    limit: Floats
    limit_known: Bools
    eta: Floats
    earliest: Floats
    latest: Floats
    began: Floats


def suspicions(tick: Tick, top: Topology, told: Told, s: Floats, c: Floats) -> list[Suspicion]:
    """Everything that is abnormal: what a loop or rack shares, what a node shares, and single GPUs."""
    wide = _groups_hit(top, told, s)
    of_group = np.isin(top.group, list(wide)) & (s[GROUP_FOR] > 0)
    found = _shared(tick, top, told, s, of_group)
    # What most of a loop or rack shows is not told again of each part, but for what the slow lane has seen.
    fast = told.fast & ~of_group
    own = fast | told.slow
    hit_nodes = set(map(int, np.unique(top.node[own | told.node])))
    for node in sorted(hit_nodes | _nodes_near(top, told, s, of_group)):
        rows = top.order[top.start[node] : top.start[node + 1]]
        hit = rows[own[rows]]
        there = np.count_nonzero(told.recent[rows])
        whole = bool(told.node[rows].any()) or (len(hit) >= 3 and len(hit) >= MOST_OF * there)
        quick = fast[rows].any() and s[NODE_FOR, rows].max() > 0
        if quick or (not of_group[rows].any() and _most_show(rows, told, s)):
            s[NODE_FOR, rows] = STILL
            whole = True
        if whole:
            known = told.ready[rows] | told.node[rows] | own[rows]
            found.append(_node(tick, top, told, s, c, rows[known]))
        else:
            found.extend(_gpu(tick, told, s, c, int(row), rows) for row in hit)
    return found


def at_work(told: Told, s: Floats, rows: Ints) -> Ints:
    """Those of `rows` that draw enough for their temperature to say something about their cooling."""
    return np.asarray(rows[told.ready[rows] & (s[F + FIRST_TAU, rows] > LOADED * s[HIGH, rows])])


def _nodes_near(top: Topology, told: Told, s: Floats, of_group: Bools) -> set[int]:
    """Nodes whose GPUs make an alarm together, if none of them does alone; none in what is hit as a whole."""
    sums = np.where(told.ready & ~of_group, s[SUM], 0.0)
    near = np.flatnonzero(np.bincount(top.node, weights=sums, minlength=top.nodes) >= ALARM)
    return {int(n) for n in near if _most_show(top.order[top.start[n] : top.start[n + 1]], told, s)}


def _most_show(rows: Ints, told: Told, s: Floats) -> bool:
    """Whether most GPUs of a node that are at work rise together, by enough to be called."""
    busy = at_work(told, s, rows)
    if len(busy) < 2 or s[SUM, busy].sum() < ALARM:
        return False
    lean = s[RISE, busy] >= max(LEANS * float(s[RISE, busy].max()), 0.25 * ALLOWANCE)
    return bool(lean.sum() >= max(2.0, MOST_OF * len(busy)))


def _groups_hit(top: Topology, told: Told, s: Floats) -> set[int]:
    """Loops or racks most of whose nodes at work rise at once, by enough to be called."""
    found = set()
    sums = np.bincount(top.group, weights=np.where(told.ready, s[SUM], 0.0), minlength=top.groups)
    for group in np.flatnonzero(sums >= ALARM):
        nodes = top.group_order[top.group_start[group] : top.group_start[group + 1]]
        if len(nodes) < 2:
            continue
        every = np.concatenate([top.order[top.start[node] : top.start[node + 1]] for node in nodes])
        busy = at_work(told, s, every)
        if busy.size:
            # One GPU that is far worse has a fault of its own: the others must reach the upper quartile.
            most = float(np.quantile(s[RISE, busy], 0.75))
            lean = s[RISE, busy] >= max(LEANS * most, 0.25 * ALLOWANCE)
            of = np.unique(top.node[busy], return_inverse=True)[1]
            shown, working = np.bincount(of, weights=lean), np.bincount(of)
            telling = working >= min(2, len(every) // len(nodes))
            hit = np.count_nonzero(telling & (shown >= MOST_OF * working))
            if hit >= 2 and hit >= MOST_OF * np.count_nonzero(telling):
                s[GROUP_FOR, every] = STILL
                s[GROUP_FOR, busy[~lean & (s[SUM, busy] < CLEAR)]] = 0.0
        # That it is over is not told by who happens to be at work: what was hit with it is still its own.
        if (s[GROUP_FOR, every] > 0).any():
            found.add(int(group))
    return found


def _gpu(tick: Tick, told: Told, s: Floats, c: Floats, row: int, node: np.ndarray) -> Suspicion:
    labels = tick.fleet[Level.GPU].labels
    change = _change(told, s, c, row)
    others = at_work(told, s, node[node != row])
    if others.size >= 3 and told.resistance[row] > APART * np.median(told.resistance[others]):
        s[ALARM_FOR, row] = 0.0
    seen = statistics.median(_changes(told, s, c, others)) if others.size else None
    evidence = [*_measured(told, c, row, change, seen)]
    if others.size:
        text = f"the {others.size} other GPUs at work in the node moved by {seen:+.0%}"
        evidence.append(Evidence(RESISTANCE, change, Unit.RATIO, usual=0.0, peers=seen, text=text))
    confidence = 0.85 - 0.25 * bool(told.blind[row]) - 0.1 * (others.size < 3)
    rivals = (
        Rival("sensor", 0.08, "a sensor's offset would show at idle as much as under load"),
        Rival("inlet_air", 0.12 if told.blind[row] else 0.03, _inlet_words(told, row)),
        Rival("cold_plate", 0.05, "the rest of the node did not move with it"),
        Rival("job", 0.03, "the rise is measured at the GPU's own power, whatever the job draws"),
    )
    return Suspicion(
        "thermal_interface", "gpu", f"{labels['node'][row]}/gpu{labels['gpu'][row]}", labels["uuid"][row],
        (row,),
        float(told.score[row]), *_when(told, np.array([row])), confidence, tuple(evidence), rivals,
    )  # fmt: skip


def _node(tick: Tick, top: Topology, told: Told, s: Floats, c: Floats, rows: np.ndarray) -> Suspicion:
    labels = tick.fleet[Level.GPU].labels
    name = labels["node"][rows[0]]
    liquid = bool(top.liquid[rows[0]])
    cause = "cold_plate" if liquid else "fan"
    busy = at_work(told, s, rows)
    change = statistics.median(_changes(told, s, c, busy if busy.size else rows))
    worst = int(rows[np.argmax(told.score[rows])])
    beside = np.flatnonzero((top.group == top.group[worst]) & (top.node != top.node[worst]))
    others = at_work(told, s, beside)
    peers = statistics.median(_changes(told, s, c, others)) if others.size else None
    text = f"{len(rows)} GPUs of the node rose together"
    evidence = (
        *_measured(told, c, worst, change, peers),
        Evidence(RESISTANCE, change, Unit.RATIO, usual=0.0, peers=peers, text=text),
    )
    rivals = (
        Rival("thermal_interface", 0.05, "several GPUs of one node do not age at one moment"),
        Rival("inlet_air", 0.3 if told.blind[rows].any() else 0.1, _inlet_words(told, worst)),
        Rival("software", 0.1, "no other nodes stepped with it"),
    )
    return Suspicion(
        cause, "node", name, name, tuple(map(int, rows)), float(told.score[rows].max()), *_when(told, rows),
        0.75 - 0.2 * bool(told.blind[rows].any()), evidence, rivals,
    )  # fmt: skip


def _shared(tick: Tick, top: Topology, told: Told, s: Floats, of_group: Bools) -> list[Suspicion]:
    """One finding for each loop or rack that is hit: by the sum of what is shared, or as most of it shows it.

    `of_group` are the GPUs that the latter may speak of.
    """
    labels = tick.fleet[Level.GPU].labels
    found = []
    member = told.shared | (of_group & told.ready & (told.fast | (s[SUM] > 0)))
    for group in np.unique(top.group[member]):
        rows = np.flatnonzero(member & (top.group == group))
        liquid = bool(top.liquid[rows[0]])
        cause, scope = ("coolant_loop", "loop") if liquid else ("inlet_air", "rack")
        place = labels[scope][rows[0]]
        if not place:
            continue
        rise = float(np.median(s[RISE, rows]))
        score = float(np.maximum(s[SHARED_SUM, rows], s[SUM, rows]).max())
        left = np.where(np.isfinite(told.limit[rows]), told.limit[rows] - told.core[rows], 1e9)
        worst = int(rows[np.nanargmin(left)])
        text = f"{len(rows)} GPUs of several nodes rose together"
        evidence = (
            Evidence(RESISTANCE, rise, Unit.RATIO, usual=0.0, text=text),
            Evidence(
                TEMPERATURE.key, float(told.core[worst]), Unit.CELSIUS, usual=float(told.expected[worst])
            ),
        )
        rivals = (
            Rival("thermal_interface", 0.02, "nearly all nodes of the group show it at once"),
            Rival("software", 0.1, "a new fan or clock setting steps, it does not go on rising"),
        )
        found.append(
            Suspicion(
                cause, scope, place, place, tuple(map(int, rows)), score / (score + ALARM),
                *_when(told, rows), 0.6 if told.blind[rows].any() else 0.7, evidence, rivals,
            )
        )  # fmt: skip
    return found


def _measured(told: Told, c: Floats, row: int, change: float, peers: float | None) -> tuple[Evidence, ...]:
    r = float(told.resistance[row])
    scatter = float(np.sqrt(c[slow.VARIANCE, row])) or 0.02
    evidence = [
        Evidence(TEMPERATURE.key, float(told.core[row]), Unit.CELSIUS, usual=float(told.expected[row]),
                 text=f"at {told.power[row]:.0f} W over {told.reference[row]:.1f} °C"),
        Evidence(POWER.key, float(told.power[row]), Unit.WATTS),
        Evidence(TEMPERATURE.key, float(told.limit[row] - told.core[row]), Unit.CELSIUS,
                 text="left to slowdown" + ("" if told.limit_known[row] else ", at an assumed limit")),
    ]  # fmt: skip
    if np.isfinite(r):
        usual = r / (1 + change)
        first = Evidence(
            RESISTANCE, r, Unit.KELVIN_PER_WATT, usual=usual,
            peers=None if peers is None else usual * (1 + peers),
            deviations=change / max(scatter, 0.005), text="against its own first week",
        )  # fmt: skip
        evidence.insert(0, first)
    return tuple(e for e in evidence if e.value == e.value)


def _changes(told: Told, s: Floats, c: Floats, rows: np.ndarray) -> list[float]:
    return [_change(told, s, c, int(row)) for row in rows]


def _change(told: Told, s: Floats, c: Floats, row: int) -> float:
    """Relative rise of resistance that both lanes have seen."""
    return float(max(s[RISE, row] if told.ready[row] else 0.0, c[slow.OWN, row] + c[slow.NODE_OWN, row]))


def _inlet_words(told: Told, row: int) -> str:
    if told.blind[row]:
        return (
            "no sensor here: the inlet is estimated from the other GPUs, "
            "a local warm spot cannot be ruled out"
        )
    return f"the inlet is measured ({told.reference[row]:.1f} °C) and taken off"


def _when(told: Told, rows: np.ndarray) -> tuple[float | None, float | None, float | None, float | None]:
    """Forecast, its interval, and the beginning: of the GPU that gets there first."""
    eta = told.eta[rows]
    began = told.began[rows]
    # One that was ill before does not date what all of them have.
    since = float(np.nanquantile(began, 0.25)) if np.isfinite(began).any() else None
    if not np.isfinite(eta).any():
        return None, None, None, since
    first = int(rows[np.nanargmin(eta)])
    low, high = float(told.earliest[first]), float(told.latest[first])
    return (
        float(told.eta[first]), low if np.isfinite(low) else None, high if np.isfinite(high) else None, since,
    )  # fmt: skip


def strength(s: Floats, c: Floats) -> Floats:
    """How abnormal each GPU is, 0 to 1, by the stronger lane."""
    own = np.maximum(c[slow.SUM_OWN], c[slow.SUM_NODE])
    return np.asarray(np.maximum(s[SUM] / (s[SUM] + ALARM), own / (own + slow.CALLED)))
