"""What the thermal model says about what it found: evidence, rival causes, and when it will throttle."""

from __future__ import annotations

import statistics
from dataclasses import dataclass

import numpy as np

from analytics.detectors import thermal_slow as slow
from analytics.detectors.base import Evidence, Rival, Suspicion
from analytics.detectors.thermal_groups import Topology
from analytics.detectors.thermal_loops import ALARM, RISE, SHARED_SUM, SUM
from analytics.fleet import Level, Tick
from analytics.fleet.columns import Bools, Floats
from analytics.signals import POWER, TEMPERATURE
from gigawatch.catalogue import Unit, findings

RESISTANCE = findings.THERMAL_RESISTANCE.key


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
    alarmed = told.fast | told.slow | told.node | told.shared
    if not alarmed.any():
        return []
    found = _shared(tick, top, told, s)
    own = told.fast | told.slow
    for node in np.unique(top.node[own | told.node]):
        rows = top.order[top.start[node] : top.start[node + 1]]
        hit = rows[own[rows]]
        there = np.count_nonzero(told.recent[rows])
        wide = told.node[rows].any() or (len(hit) >= 3 and len(hit) >= 0.6 * there)
        if wide:
            found.append(_node(tick, top, told, s, c, rows[told.ready[rows] | told.node[rows] | own[rows]]))
        else:
            found.extend(_gpu(tick, told, s, c, int(row), rows) for row in hit)
    return found


def _gpu(tick: Tick, told: Told, s: Floats, c: Floats, row: int, node: np.ndarray) -> Suspicion:
    labels = tick.fleet[Level.GPU].labels
    change = _change(told, s, c, row)
    others = node[(node != row) & told.ready[node]]
    seen = statistics.median(_changes(told, s, c, others)) if others.size else None
    evidence = [*_measured(told, c, row, change, seen)]
    if others.size:
        text = f"the {others.size} other GPUs of the node moved by {seen:+.0%}"
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
    change = statistics.median(_changes(told, s, c, rows))
    worst = int(rows[np.argmax(told.score[rows])])
    evidence = (
        *_measured(told, c, worst, change, None),
        Evidence(
            RESISTANCE, change, Unit.RATIO, usual=0.0, text=f"{len(rows)} GPUs of the node rose together"
        ),
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


def _shared(tick: Tick, top: Topology, told: Told, s: Floats) -> list[Suspicion]:
    labels = tick.fleet[Level.GPU].labels
    found = []
    for group in np.unique(top.group[told.shared]):
        rows = np.flatnonzero(told.shared & (top.group == group))
        liquid = bool(top.liquid[rows[0]])
        cause, scope = ("coolant_loop", "loop") if liquid else ("inlet_air", "rack")
        place = labels[scope][rows[0]]
        if not place:
            continue
        rise = float(np.median(s[RISE, rows]))
        score = float(s[SHARED_SUM, rows].max())
        worst = int(
            rows[
                np.nanargmin(np.where(np.isfinite(told.limit[rows]), told.limit[rows] - told.core[rows], 1e9))
            ]
        )
        evidence = (
            Evidence(
                RESISTANCE,
                rise,
                Unit.RATIO,
                usual=0.0,
                text=f"{len(rows)} GPUs of several nodes rose together",
            ),
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
                cause,
                scope,
                place,
                place,
                tuple(map(int, rows)),
                score / (score + ALARM),
                *_when(told, rows),
                0.6 if told.blind[rows].any() else 0.7,
                evidence,
                rivals,
            )
        )
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
            RESISTANCE, r, Unit.KELVIN_PER_WATT, usual=usual, peers=None if peers is None else usual * (1 +
            peers),
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
    since = float(np.nanmin(began)) if np.isfinite(began).any() else None
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
