"""What the cooling detector says of supplies and inlets that left their usual: where, and whom it slows."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from analytics.detectors import cooling_usual as usual
from analytics.detectors.base import Evidence, Rival, Suspicion
from analytics.fleet import Level, Tick
from analytics.fleet.columns import Bools, Floats, Ints
from analytics.signals import SUPPLY, TEMPERATURE, Signal
from gigawatch.catalogue import Unit

ELSEWHERE = 0.25
"""If of all nodes elsewhere such a share moved alike, it is software or weather, not this place's cooling."""
LEAST_MOVED = 0.7
"""Kelvin that count as having moved; what is less is jobs."""
BACKED = 0.3
"""Share of a rise that the place's own nodes must show within days. Where the usual itself is a
bad guess, as after a day of few readings, they did not."""
AHEAD = 12 * 3600.0
"""Seconds that a drift is followed ahead to see whether the room of some GPU lasts."""
NEXT_PEAK, LAST_PEAK = 6 * 3600.0, 86400.0
"""Seconds in which a GPU comes to its usual peak again: most likely, and nine times of ten."""
SOON = 300.0
"""Seconds in which one that is at its peak throttles."""
STANDS = 1200.0
"""Seconds for which a rise that only GPUs tell of must have stood: jobs that begin together look alike."""
FIRM = 60.0
"""Seconds for which GPUs must have been short of room, so that two readings say so."""


@dataclass(slots=True)
class Seen:
    """One view of what cools GPUs, over the roster of its signal's level; nodes if only GPUs tell.

    `s` is the state of `cooling_usual`, `began` Unix times, `current` who sent something of late, `fresh` who
    just did, `moved` by how much each node's own GPUs got warmer lately (K), where GPUs are all that tells.
    """

    signal: Signal
    s: Floats
    began: Floats
    current: Bools
    fresh: Bools
    moved: Floats = field(default_factory=lambda: np.zeros(0))

    @property
    def blind(self) -> bool:
        return self.signal is TEMPERATURE

    @property
    def above(self) -> Floats:
        """Kelvin above the usual."""
        return usual.above(self.s)


@dataclass(frozen=True, slots=True)
class Throttling:
    """GPUs that would throttle at their usual peaks, of how many whose room is known; seconds until then."""

    short: int
    known: int
    eta: float | None = None
    earliest: float | None = None
    latest: float | None = None


def suspicions(tick: Tick, seen: list[Seen], room: Floats, left: Floats) -> list[Suspicion]:
    """Places that are abnormally warm, and those that are warm while GPUs there have no room for it.

    `room` is kelvin from each GPU's usual peak to its limit, `left` from what it has now; NaN where unknown.
    """
    found: dict[tuple[str, str], Suspicion] = {}
    shared = seen[-1]
    for one in seen:
        on = one.current & (one.s[usual.ON] > 0)
        warm = on | (one.current & (one.s[usual.WARM_FOR] >= FIRM))
        for cause, scope, place, rows in _places(tick, one, warm):
            gpus = _members(tick.fleet[Level.GPU].labels[scope], place)
            throttling = _throttling(one, rows, room[list(gpus)], left[list(gpus)])
            sure = bool(on[rows].any())
            if not sure and not throttling.short:
                continue
            young = tick.now - float(np.min(one.began[rows])) < STANDS
            if one.blind and (young or _doubtful(one, rows)):
                continue
            found.setdefault(
                (scope, place), _told(tick, one, shared, (cause, scope, place), rows, gpus, throttling)
            )
    return list(found.values())


def _places(tick: Tick, one: Seen, hit: Bools) -> Iterator[tuple[str, str, str, Ints]]:
    """Cause, scope, name and rows of what is warm: loops; racks most of whose nodes are, else those nodes."""
    owners = tick.fleet[one.signal.level if not one.blind else Level.NODE]
    if one.signal is SUPPLY:
        for row in map(int, np.flatnonzero(hit)):
            yield "coolant_loop", "loop", owners.keys[row], np.array([row])
        return
    if not hit.any():
        return
    loops = owners.labels["loop"] if one.blind else [""] * len(owners)
    groups: dict[tuple[str, str], list[int]] = {}
    touched = {(loops[row], owners.labels["rack"][row]) for row in map(int, np.flatnonzero(hit))}
    for row, (loop, rack) in enumerate(zip(loops, owners.labels["rack"], strict=True)):
        if (loop, rack) in touched:
            groups.setdefault(("loop", loop) if loop else ("rack", rack), []).append(row)
    share = one.s[usual.SHARE]
    for (scope, place), rows in groups.items():
        bad = np.array([row for row in rows if hit[row]], np.intp)
        there = np.array([row for row in rows if one.current[row]], np.intp)
        # Once one node is sure, the others need only be as far as an alarm stands: one page, not several.
        with_it = there[hit[there] | (share[there] >= usual.CLEAR)]
        if place and len(with_it) > 1 and 2 * len(with_it) >= len(there):
            yield ("coolant_loop" if scope == "loop" else "inlet_air"), scope, place, with_it
        elif not one.blind:
            # One that is silent, or has just cooled down, is part of what its rack had.
            still = one.fresh[bad] & (2 * one.s[usual.QUICK_DEV, bad] > one.s[usual.HOURLY_DEV, bad])
            for row in bad[still]:
                yield "inlet_air", "node", owners.keys[row], np.array([row])


def _doubtful(one: Seen, rows: Ints) -> bool:
    """Whether GPUs alone do not bear out a rise: the nodes of the place did not move, or many elsewhere did.

    While it gets cooler outside, what moved is seen against those elsewhere that moved least.
    """
    elsewhere = np.ones(len(one.moved), np.bool_)
    elsewhere[rows] = False
    others, own = one.moved[elsewhere], one.moved[rows]
    several = len(others) >= 4
    if several:
        weather = min(float(np.quantile(others, 0.25)), 0.0)
        others, own = others - weather, own - weather
    moved, above = float(np.median(own)), float(np.median(one.above[rows]))
    if moved < BACKED * above:
        return True
    alike = max(0.5 * min(moved, above), LEAST_MOVED)
    return several and float(np.mean(others > alike)) > ELSEWHERE


def _throttling(one: Seen, rows: Ints, room: Floats, left: Floats) -> Throttling:
    """Whom this much more, and what is still to come of a drift, brings to the limit."""
    s = one.s
    above = float(np.median(one.above[rows]))
    trend = float(np.median(s[usual.HOURLY_DEV, rows] - s[usual.LATE_DEV, rows])) / (
        usual.LATE - usual.HOURLY
    )
    known = int(np.isfinite(room).sum())
    coming = min(max(trend, 0.0) * AHEAD, 2 * above)
    short = room < above + coming  # False where unknown
    if not short.any():
        return Throttling(0, known)
    gap = float(np.min(room[short])) - above
    if gap > 0:
        eta = gap / max(trend, 1e-9)
        return Throttling(int(short.sum()), known, eta, 0.5 * eta, 2 * eta + LAST_PEAK)
    at_peak = bool(np.nanmin(left[short]) < 2.0) if np.isfinite(left[short]).any() else False
    return Throttling(int(short.sum()), known, SOON if at_peak else NEXT_PEAK, 0.0, LAST_PEAK)


def _told(
    tick: Tick, one: Seen, shared: Seen, what: tuple[str, str, str], rows: Ints, gpus: tuple[int, ...],
    throttling: Throttling,
) -> Suspicion:  # fmt: skip
    cause, scope, place = what
    s = one.s
    above = one.above[rows]
    worst = int(rows[np.argmax(above)])
    much, scatter = float(np.max(above)), float(s[usual.HOURLY_SCATTER, worst])
    value = float(s[usual.USUAL, worst]) + much
    others = np.delete(one.above, rows)
    others = others[np.delete(one.current, rows)]
    peers = float(np.median(others)) if others.size else None
    if one.blind:
        text = f"the {len(rows)} nodes got warmer at equal power; no sensor tells the air or coolant"
        evidence = [Evidence(TEMPERATURE.key, much, Unit.CELSIUS, 0.0, peers, much / scatter, text)]
    else:
        usually = float(s[usual.USUAL, worst])
        text = "against what is usual at this time of day" + (
            f"; {len(rows)} nodes rose together" if len(rows) > 1 else ""
        )
        at = None if peers is None else usually + peers
        evidence = [Evidence(one.signal.key, value, one.signal.unit, usually, at, much / scatter, text)]
    if throttling.short:
        text = f"of {throttling.known} GPUs would throttle at the peaks they usually have"
        evidence.append(Evidence("gpus", float(throttling.short), Unit.COUNT, text=text))
    rivals = [Rival("job", 0.05, "load warms the return, not what comes in")]
    confidence = 0.6 if one.blind or (len(rows) == 1 and scope == "node") else 0.8
    if not one.blind:
        along = _along(tick, shared, scope, place)
        doubt = 0.15 if len(rows) == 1 else 0.03
        if along is not None:
            text = "by which GPUs there got warmer at equal power"
            evidence.append(Evidence(TEMPERATURE.key, along, Unit.CELSIUS, usual=0.0, text=text))
            agree = along > 0.3 * much
            doubt = 0.03 if agree else 0.4
            confidence = 0.9 if agree else 0.5
        rivals.append(Rival("sensor", doubt, "a sensor alone may err; the GPUs tell"))
    else:
        rivals.append(Rival("software", 0.2, "nodes elsewhere did not move with it"))
    share = float(np.max(s[usual.SHARE, rows]))
    score = max(share**2 / (share**2 + 1), 0.8 if throttling.short else 0.5)
    return Suspicion(
        cause, scope, place, place, gpus, min(score, 1.0), throttling.eta, throttling.earliest,
        throttling.latest,
        float(np.min(one.began[rows])), confidence, tuple(evidence), tuple(rivals),
    )  # fmt: skip


def _along(tick: Tick, shared: Seen, scope: str, place: str) -> float | None:
    """Kelvin that the GPUs of a place got warmer at equal power; None where they cannot tell yet."""
    rows = list(_members(tick.fleet[Level.NODE].labels[scope], place))
    rows = [row for row in rows if shared.s[usual.AGE, row] > 6 * 3600.0]
    return float(np.median(shared.above[rows])) if rows else None


def _members(column: list[str], name: str) -> tuple[int, ...]:
    return tuple(row for row, value in enumerate(column) if value == name)
