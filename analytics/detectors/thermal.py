"""Thermal resistance of every GPU, learned while it works, and when it will throttle.

The rise of a die over its coolant or inlet air follows R * P through a first-order lag. Two views of R:

*Fast* (seconds to minutes): the rise against what the GPU's own line predicts for the filtered power, less
what nearly all nodes of its loop or rack share. The line is a forgetting regression whose offset is held near
0 until load swings show otherwise, so two minutes of steady load are enough; it stops learning while a GPU
is abnormal.

*Slow* (days): six-hour blocks against the first week, less what peers share (`thermal_slow.py`).

Where no sensor gives the reference, peers do: what the residuals of all GPUs on the same air or loop have in
common. An offset shared by all of them cannot be told from a warmer inlet.

Method: lumped thermal model and recursive least squares with forgetting; Page's CUSUM.
"""

from __future__ import annotations

import numpy as np

from analytics.detectors import thermal_slow as slow
from analytics.detectors.base import Detector, Estimate, Scores, Verdict
from analytics.detectors.thermal_groups import Topology, low_medians, low_quartiles, topology
from analytics.detectors.thermal_loops import (
    AGE,
    ALARMED,
    AMBIENT,
    BEST,
    EXCESS,
    EXCESS_SLOW,
    FIRST_EXCESS,
    FIRST_TAU,
    GAP,
    GROWN,
    HIGH,
    LIMIT,
    PEAK,
    RISE,
    SCATTER,
    SHARED_ALARMED,
    SIZE,
    SUM,
    TAUS,
    F,
    expect,
    follow,
    learn,
    pooled_lag,
)
from analytics.detectors.thermal_outlook import (
    DEFAULT_LIMIT,
    QUICK_EARLY,
    QUICK_LATE,
    outlooks,
    remaining,
    room,
    throttle_time,
)
from analytics.detectors.thermal_words import Told, strength, suspicions
from analytics.fleet import IDENTITY, Fleet, Level, Tick
from analytics.fleet.columns import Bools, Columns, Floats, Ints
from analytics.signals import INLET, MARGIN, POWER, SUPPLY, TEMPERATURE, Signal
from gigawatch.catalogue import findings

AMBIENT_LAG = 1800.0
"""Seconds with which an estimated inlet follows the peers: load steps teach the lines, not the inlet."""
FIRST_INLET = 28.0
"""°C that an unseen inlet is taken to have at first, if no GPU is colder."""
SENSED_FOR = 86400.0
"""Seconds for which a sensor that fell silent is waited for before peers stand in for it."""
UNSEEN = 6 * 3600.0
"""Seconds for which a slow alarm of a GPU that sends nothing stands."""
_BLIND, _SENSED = 1.0, 2.0


class ThermalResistance(Detector):
    """Learns each GPU's thermal resistance and calls those whose own has risen, not their loop's."""

    name = "thermal_resistance"

    def __init__(self) -> None:
        super().__init__()
        shapes = {"s": (SIZE,), "slow": (slow.SLOW_SIZE,), "ring": (slow.RING_ROWS, slow.RING)}
        self._c = self.table("gpus", Level.GPU, Columns(shapes, dtype=np.float32))
        times = dict.fromkeys(
            ("last", "began", "own", "sensed", "mode", "block", "at", "earliest", "latest"), ()
        )
        self._clock = self.table("clock", Level.GPU, Columns(times))
        self._top: Topology | None = None
        self._taus = np.array(TAUS)
        self._owners: dict[Level, tuple[Ints, int, Ints]] = {}

    def enrol(self, fleet: Fleet) -> None:
        known = len(self._c)
        super().enrol(fleet)
        if len(self._c) > known:
            self._begin(np.arange(known, len(self._c)))

    def _begin(self, rows: Ints) -> None:
        """Put these GPUs into their starting state."""
        for name in self._c:
            self._c[name][..., rows] = 0.0
        s, c = self._c["s"], self._c["slow"]
        s[BEST, rows], s[SCATTER, rows], s[PEAK, rows] = FIRST_TAU, 0.03, -300.0
        s[AMBIENT, rows] = s[LIMIT, rows] = np.nan
        slow.begin(c, rows)
        for name in self._clock:
            self._clock[name][rows] = 0.0

    def observe(self, tick: Tick) -> Verdict:
        top = self._top = topology(tick.fleet, self._top)
        s, clock = self._c["s"], self._clock
        power, core, margin = (
            np.asarray(tick.value(signal.key, Level.GPU), np.float64)
            for signal in (POWER, TEMPERATURE, MARGIN)
        )
        sensor, blind = self._references(tick, top)
        core = np.where(~blind & np.isnan(sensor), np.nan, core)
        young = s[AGE] < GROWN
        if young.any():
            s[BEST, young] = pooled_lag(s)
        out = np.full((5, len(power)), np.nan)
        expect(tick.now, power, core, sensor, margin, clock["last"], s, out, self._taus)
        dt, residual = out[0].copy(), out[4].copy()
        reference, exact = sensor, sensor
        ambient = np.zeros(len(power))
        if blind.any():
            reference, exact = self._ambient(core, sensor, blind, dt, residual, top)
            ambient = np.where(blind, reference, 0.0)
        follow(dt, residual, ambient, s, out)
        shared = _shared_rise(out[0], top)
        known = np.isfinite(s[LIMIT])
        limit = np.where(known, s[LIMIT], DEFAULT_LIMIT)
        learn(tick.now, clock["began"], dt, core, reference, exact, shared, limit - core, s, out)
        self._close(tick, top, blind)
        return self._verdict(tick, top, out, dt, core, power, reference, blind, limit, known, shared)

    def _references(self, tick: Tick, top: Topology) -> tuple[Floats, Bools]:
        """Coolant or inlet temperature of every GPU, NaN where it is absent, and who never has one."""
        clock, now = self._clock, tick.now
        supply, inlet = self._at_gpus(tick, SUPPLY, Level.LOOP), self._at_gpus(tick, INLET, Level.NODE)
        sensor = np.where(top.liquid, supply, inlet)
        sensor = np.where((sensor > -40) & (sensor < 90), sensor, np.nan)
        heard = np.isfinite(sensor)
        clock["own"] = np.where(heard, now, clock["own"])
        if heard.any() and not heard.all():
            node, _ = low_medians(sensor, top.order, top.start)
            group, _ = low_medians(node, top.group_order, top.group_start)
            silent = ~heard & (now - clock["own"] > SENSED_FOR)
            sensor = np.where(silent, group[top.group], sensor)
            heard |= silent & np.isfinite(sensor)
        clock["sensed"] = np.where(heard, now, clock["sensed"])
        blind = now - clock["sensed"] > SENSED_FOR
        mode = np.where(blind, _BLIND, _SENSED)
        changed = (clock["mode"] > 0) & (clock["mode"] != mode)
        if changed.any():
            # Lines learned over an estimated inlet do not hold over a measured one, nor the other way round.
            kept = {name: clock[name][changed] for name in ("own", "sensed")}
            self._begin(np.flatnonzero(changed))
            for name, values in kept.items():
                clock[name][changed] = values
        clock["mode"] = mode
        return sensor, blind

    def _at_gpus(self, tick: Tick, signal: Signal, level: Level) -> Floats:
        codes, names = tick.fleet[Level.GPU].codes(IDENTITY[level])
        owners = tick.fleet[level]
        if signal.key not in tick.values or not len(owners):
            return np.full(len(codes), np.nan)
        cached = self._owners.get(level)
        if cached is None or cached[0] is not codes or cached[1] != len(owners):
            rows = [owners.find(name) for name in names]
            by_code = np.array([-1 if row is None else row for row in rows] + [-1], np.intp)
            cached = self._owners[level] = (codes, len(owners), by_code[codes])
        values = np.append(np.asarray(tick.value(signal.key, level), np.float64), np.nan)
        return np.asarray(values[cached[2]])

    def _ambient(
        self, core: Floats, sensor: Floats, blind: Bools, dt: Floats, residual: Floats, top: Topology
    ) -> tuple[Floats, Floats]:
        """The reference of every GPU, estimated from peers where it is blind: lagged, and as of this tick."""
        s = self._c["s"]
        c = self._c["slow"]
        # Lines that still learn would let inlet and offsets wander off together; the slow baseline stands.
        told = c[slow.WITNESS]
        x = np.take_along_axis(s[F : F + len(TAUS)], s[BEST].astype(np.intp)[None], axis=0)[0]
        residual = np.where(told > 0, core - c[slow.SLOPE] * x - c[slow.OFFSET], residual)
        residual = np.where(blind & np.isfinite(dt) & (told >= 0), residual, np.nan)
        at_once = 0.5 * (_middle(residual, top) - _middle(-residual, top))
        before, members = _means(s[AMBIENT], top)
        since, _ = _means(dt, top)
        coldest = np.full(top.groups, np.inf)
        use = blind & np.isfinite(core)
        np.minimum.at(coldest, top.group[use], core[use])
        first = np.where(np.isfinite(at_once), at_once, np.minimum(FIRST_INLET, coldest - 5.0))
        gain = 1 - np.exp(-since / AMBIENT_LAG)
        lagged = np.where(
            members > 0, before + gain * np.where(np.isfinite(at_once), at_once - before, 0.0), first
        )
        lagged = np.where(np.isfinite(lagged), lagged, before)
        s[AMBIENT] = np.where(blind, lagged[top.group], np.nan)
        at_once = np.where(np.isfinite(at_once), at_once, lagged)
        return np.where(blind, lagged[top.group], sensor), np.where(blind, at_once[top.group], sensor)

    def _close(self, tick: Tick, top: Topology, blind: Bools) -> None:
        """At the end of a block, judge it, and say when those that are alarmed will throttle."""
        clock, c, ring = self._clock, self._c["slow"], self._c["ring"]
        number, before = np.floor(tick.now / slow.BLOCK), float(clock["block"].max(initial=0.0))
        clock["block"] = number
        if not 0 < before < number:
            return
        slow.close_block(tick.now, self._c["s"], c, ring, top, blind)
        for name in ("at", "earliest", "latest"):
            clock[name] = np.nan
        for row, found in outlooks(ring, c, self._c["s"][LIMIT], top, tick.now):
            clock["at"][row], clock["earliest"][row], clock["latest"][row] = (
                found.at, found.earliest, found.latest,
            )  # fmt: skip

    def _verdict(
        self, tick: Tick, top: Topology, out: Floats, dt: Floats, core: Floats, power: Floats, reference:
        Floats,
        blind: Bools, limit: Floats, known: Bools, shared: Floats,
    ) -> Verdict:  # fmt: skip
        s, c, clock = self._c["s"], self._c["slow"], self._clock
        ready = np.isfinite(out[0])
        loaded = ready & (s[F + FIRST_TAU] > 0.25 * s[HIGH])
        score = strength(s, c)
        resistance = np.where(ready, out[1] * (1 + np.maximum(s[RISE], -0.9)), np.nan)
        recent = tick.now - clock["last"] < UNSEEN
        fast = (s[ALARMED] > 0) & (tick.now - clock["last"] < GAP)
        on_slow, on_node = recent & (c[slow.ALARM_OWN] > 0), recent & (c[slow.ALARM_NODE] > 0)
        common = (s[SHARED_ALARMED] > 0) & ready
        eta = early = late = np.full(len(core), np.nan)
        if fast.any() or on_slow.any() or on_node.any():
            taus = self._taus[s[BEST].astype(np.intp)]
            lasted = np.maximum(tick.now - clock["began"], 1.0)
            kelvin, least, most = room(core, limit, known)
            quick = throttle_time(kelvin, s[EXCESS], s[EXCESS_SLOW], s[FIRST_EXCESS], lasted, taus)
            quick = np.where(fast & ready & (dt < 60.0), quick, np.nan)
            left = np.where(recent, remaining(clock["at"], clock["latest"], tick.now), np.nan)
            eta = np.fmin(quick, left)
            soon = np.isfinite(quick) & ~(left < quick)
            each = quick / np.maximum(kelvin, 0.5)
            early, late = (np.maximum(clock[name] - tick.now, 0.0) for name in ("earliest", "latest"))
            early = np.where(soon, np.fmin(QUICK_EARLY * each * least, quick), np.fmin(early, left))
            late = np.where(soon, np.fmax(QUICK_LATE * each * most, quick), np.fmax(late, left))
        change = s[RISE] - shared
        aged = (1 + change) * (1 + np.maximum(c[slow.OWN] + c[slow.NODE_OWN], -0.5)) - 1
        change = np.where(c[slow.JUDGED] > 0, np.maximum(change, aged), change)
        verdict = Verdict([Scores(TEMPERATURE.key, Level.GPU, np.where(ready, score, np.nan))])
        verdict.estimates += [
            Estimate(findings.THERMAL_RESISTANCE, np.where(loaded, resistance, np.nan)),
            Estimate(findings.THERMAL_RESISTANCE_CHANGE, np.where(loaded, change, np.nan)),
            Estimate(findings.TIME_TO_THROTTLE, eta),
        ]
        if not (fast.any() or on_slow.any() or on_node.any() or common.any() or (s[SUM] > 0).any()):
            return verdict
        onset = np.where(on_node, c[slow.SINCE_NODE], c[slow.SINCE_OWN]) * slow.BLOCK
        began = np.where(on_slow | on_node, onset, np.where(fast, clock["began"], np.nan))
        told = Told(
            fast, on_slow, on_node, common, blind, ready, recent, score, resistance, core, power, reference,
            out[2] + reference, limit, known, eta, early, late, began,
        )  # fmt: skip
        verdict.suspicions = suspicions(tick, top, told, s, c)
        return verdict


def _shared_rise(rise: Floats, top: Topology) -> Floats:
    """What nearly all nodes of a cooling group have in common, per GPU; 0 where there is only one node.

    The lower quartile of the nodes' medians: a fault of one node, even one of two, does not count as shared.
    """
    node, _ = low_medians(rise, top.order, top.start)
    group, nodes = low_quartiles(node, top.group_order, top.group_start)
    return np.where((nodes >= 2) & (group > 0), group, 0.0)[top.group]


def _middle(values: Floats, top: Topology) -> Floats:
    """Lower median over nodes of lower medians over their GPUs."""
    node, _ = low_medians(values, top.order, top.start)
    return low_medians(node, top.group_order, top.group_start)[0]


def _means(values: Floats, top: Topology) -> tuple[Floats, Ints]:
    """Mean and count per cooling group; NaN is absent."""
    use = np.isfinite(values)
    count = np.bincount(top.group[use], minlength=top.groups)
    total = np.bincount(top.group[use], weights=values[use], minlength=top.groups)
    return total / np.maximum(count, 1), count
