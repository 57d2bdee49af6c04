"""Thermal resistance of every GPU, learned while it works, and when it will throttle.

The rise y of a die over its coolant or inlet air follows R * P through a first-order lag. Two views of R:

*Fast* (seconds to minutes): y against what the GPU's own line predicts for the filtered power, less what all
nodes of its loop share. The line is a forgetting regression of y on power whose offset is held near 0 until
load swings show otherwise, so two minutes of steady load are enough for a baseline; where the line is not yet
known well, the tolerance is wide. The line stops learning while a GPU is abnormal.

*Slow* (days): R per six-hour block at frozen offset, against the first two days, less what peers share, as a
cumulative sum.

Method: lumped thermal model and recursive least squares with forgetting; Page's CUSUM.
"""

from __future__ import annotations

import numpy as np

from analytics.columns import Bools, Columns, Floats, Ints
from analytics.detectors.base import Detector, Estimate, Scores, Suspicion, Verdict
from analytics.detectors.thermal_outlook import slow_outlook, throttle_time
from analytics.fleet import Level, Tick
from analytics.groups import group_count, group_quantile, spread
from analytics.signals import INLET, MARGIN, POWER, SUPPLY, TEMPERATURE
from gigawatch.catalogue import findings

TAUS = np.array([6.0, 15.0, 38.0, 95.0])[:, None]
"""Seconds of the lags that are tried; the fleet uses the one that fits it best."""
FIRST_TAU = 2
MEMORY = 86400.0
"""Seconds of forgetting of the baseline line."""
NOISE = 4.0
"""Kelvin of correlated error around the line (1 °C steps, sensor drift, imperfect lag)."""
OFFSET = 3.0
"""Kelvin by which the offset of the line may differ from 0 before load swings have shown it."""
LEAST_BASELINE = 90.0
"""Seconds of samples before anything is judged."""
SETTLE = 30.0
"""Seconds after a start or a gap that are not learned from."""
GAP = 1800.0
ALLOWANCE = 0.12
"""Relative rise over the line that is never called."""
ALARM, CLEAR, CEILING = 2.0, 0.5, 6.0
"""Relative rise above the allowance times seconds: where an alarm starts, ends, and stops adding up."""
BLOCK = 21600.0
RING = 12
BASE_BLOCKS = 8
SLOW_ALARM, SLOW_CEILING = 15.0, 45.0


class ThermalResistance(Detector):
    """Learns each GPU's thermal resistance and calls those whose own has risen, not their loop's."""

    name = "thermal_resistance"

    def __init__(self) -> None:
        super().__init__()
        k = len(TAUS)
        self._c = self.table(
            "gpus",
            Level.GPU,
            Columns(
                {
                    "last": (), "age": (), "settle": (), "filtered": (k,), "n": (), "mx": (k,), "my": (),
                    "sxx": (k,), "sxy": (k,), "syy": (), "rise": (), "excess": (), "excess_slow": (),
                    "scatter": (), "sum": (), "alarm": (), "common_sum": (), "common_alarm": (),
                    "low_for": (), "power_high": (), "inlet_high": (),
                    "block": (4,), "block_number": (), "ring": (4, RING), "blocks": (), "first": (),
                    "offset": (), "first_scatter": (), "slow_sum": (), "slow_rise": (), "slow_alarm": (),
                },
                fill={"scatter": 0.03},
            ),
        )  # fmt: skip

    def observe(self, tick: Tick) -> Verdict:
        power, core = tick.value(POWER.key, Level.GPU), tick.value(TEMPERATURE.key, Level.GPU)
        reference = self._reference(tick)
        present = np.isfinite(power) & np.isfinite(core) & np.isfinite(reference) & (power > 0)
        power = np.where(present, power, 0.0)
        y = np.where(present, core - reference, 0.0)
        dt = self._advance(tick.now, power, present)
        if not present.any():
            return self._verdict(tick, present, np.zeros_like(y), core)
        tau = self._best_tau()
        slope, offset, doubt = self._line(tau)
        x = self._c["filtered"][tau]
        expected = slope * x + offset
        self._judge(tick, y - expected, expected, slope, doubt, tau, dt, present)
        self._learn(y, reference, dt, present)
        self._slow(tick, y, x, offset, present)
        return self._verdict(tick, present, np.where(present, slope * (1 + self._c["rise"]), np.nan), core)

    def _reference(self, tick: Tick) -> Floats:
        supply, inlet = tick.at_gpus(SUPPLY.key, Level.LOOP), tick.at_gpus(INLET.key, Level.NODE)
        loop, _ = tick.fleet[Level.GPU].codes("loop")
        return np.where(loop >= 0, supply, inlet)

    def _advance(self, now: float, power: Floats, present: Bools) -> Floats:
        """Filter the power with every lag; returns the seconds since each GPU's last sample (0 if absent)."""
        c = self._c
        dt = np.where(present, np.maximum(now - c["last"], 0.0), 0.0)
        fresh = present & (dt > GAP)
        dt[fresh] = 0.0
        c["settle"] = np.where(fresh, SETTLE, np.maximum(c["settle"] - dt, 0.0))
        filtered = c["filtered"]
        filtered[...] = np.where(fresh, power, filtered + (1 - np.exp(-dt / TAUS)) * (power - filtered))
        c["last"] = np.where(present, now, c["last"])
        steady = filtered[FIRST_TAU]
        c["power_high"] = np.where(
            present, np.maximum(steady, c["power_high"] * np.exp(-dt / MEMORY)), c["power_high"]
        )
        return dt

    def _best_tau(self) -> int:
        c = self._c
        excited = c["syy"] > 25.0 * np.maximum(c["n"], 12)
        if not excited.any():
            return FIRST_TAU
        sxx, sxy = c["sxx"][:, excited], c["sxy"][:, excited]
        left = (c["syy"][excited] - sxy**2 / np.maximum(sxx, 1e-9)) / c["syy"][excited]
        return int(np.argmin(left.mean(axis=1)))

    def _line(self, tau: int) -> tuple[Floats, Floats, Floats]:
        """Slope (K/W), offset (K) and the standard error (K) of the line at the present filtered power."""
        c = self._c
        n, mx, my = np.maximum(c["n"], 1e-9), c["mx"][tau], c["my"]
        prior = (NOISE / OFFSET) ** 2
        pull = n * prior / (n + prior)
        weight = c["sxx"][tau] + pull * mx**2
        slope = (c["sxy"][tau] + pull * mx * my) / np.maximum(weight, 1e-9)
        slope = np.maximum(slope, 1e-4)
        offset = (my - slope * mx) * n / (n + prior)
        lever = c["filtered"][tau] - mx * n / (n + prior)
        doubt = NOISE * np.sqrt(lever**2 / np.maximum(weight, 1e-9) + 1 / (n + prior))
        return slope, offset, doubt

    def _judge(
        self,
        tick: Tick,
        error: Floats,
        expected: Floats,
        slope: Floats,
        doubt: Floats,
        tau: int,
        dt: Floats,
        present: Bools,
    ) -> None:
        c = self._c
        near = c["filtered"][max(tau - 1, 0) : tau + 2]
        tolerance = 1.0 + 2.0 * doubt + 0.25 * slope * (near.max(axis=0) - near.min(axis=0))
        scale = np.maximum(np.maximum(expected, 0.35 * slope * c["power_high"]), 8.0)
        rise = np.sign(error) * np.maximum(np.abs(error) - tolerance, 0.0) / scale
        gain = 1 - np.exp(-np.maximum(dt, 1e-3) / 8.0)
        c["rise"] += np.where(present, gain * (rise - c["rise"]), 0.0)
        c["excess"] += np.where(present, gain * (error - c["excess"]), 0.0)
        slow_gain = 1 - np.exp(-np.maximum(dt, 1e-3) / 45.0)
        c["excess_slow"] += np.where(present, slow_gain * (error - c["excess_slow"]), 0.0)
        ready = present & (c["age"] >= LEAST_BASELINE)
        groups, count = common_groups(tick)
        common = shared_rise(tick, np.where(ready, c["rise"], np.nan), groups, count)
        allowance = np.maximum(ALLOWANCE, 3.0 * c["scatter"])
        step = np.minimum(dt, 10.0)
        own = np.where(ready, c["rise"] - common, 0.0)
        self._add_up("sum", "alarm", step * (own - allowance), ready)
        self._add_up("common_sum", "common_alarm", step * (common - ALLOWANCE), ready)
        calm = ready & (c["sum"] < CLEAR) & (c["common_sum"] < CLEAR)
        square = c["scatter"] ** 2
        fresh_square = np.minimum(np.abs(error / scale), 0.15) ** 2
        c["scatter"] = np.sqrt(
            square + np.where(calm, np.minimum(dt / 600, 1) * (fresh_square - square), 0.0)
        )
        # A GPU that runs much cooler for ten minutes was repaired: its old line no longer describes it.
        c["low_for"] = np.where(
            present & (own < -0.15), c["low_for"] + dt, np.where(present, 0.0, c["low_for"])
        )
        self._c.forget(c["low_for"] > 600.0)

    def _add_up(self, total: str, alarm: str, step: Floats, ready: Bools) -> None:
        c = self._c
        c[total] = np.where(ready, np.clip(c[total] + step, 0.0, CEILING), c[total])
        c[alarm] = np.where(c[total] >= ALARM, 1.0, np.where(c[total] < CLEAR, 0.0, c[alarm]))

    def _learn(self, y: Floats, reference: Floats, dt: Floats, present: Bools) -> None:
        c = self._c
        abnormal = (c["sum"] >= CLEAR) | (c["common_sum"] >= CLEAR) | (np.abs(c["rise"]) > ALLOWANCE)
        use = present & (c["settle"] <= 0) & ~(abnormal & (c["age"] >= LEAST_BASELINE))
        use &= c["last"] > 0
        fade = np.where(use, np.exp(-dt / MEMORY), 1.0)
        x = c["filtered"]
        n = fade * c["n"] + use
        safe = np.maximum(n, 1.0)
        dx, dy = np.where(use, x - c["mx"], 0.0), np.where(use, y - c["my"], 0.0)
        c["mx"] += dx / safe
        c["my"] += dy / safe
        c["sxx"] = fade * c["sxx"] + dx * np.where(use, x - c["mx"], 0.0)
        c["sxy"] = fade * c["sxy"] + dx * np.where(use, y - c["my"], 0.0)
        c["syy"] = fade * c["syy"] + dy * np.where(use, y - c["my"], 0.0)
        c["n"] = n
        c["age"] += np.where(use, dt, 0.0)
        c["inlet_high"] = np.where(
            present, np.maximum(reference, c["inlet_high"] - dt / MEMORY), c["inlet_high"]
        )

    def _slow(self, tick: Tick, y: Floats, x: Floats, offset: Floats, present: Bools) -> None:
        c, clock = self._c, self._c["block_number"]
        number = np.floor(tick.now / BLOCK)
        ended = (clock > 0) & (clock < number)
        if ended.any():
            self._close_blocks(tick, ended, offset)
            c["block"][:, ended] = 0.0
        clock[...] = number
        loaded = present & (x > 0.4 * c["power_high"]) & (c["settle"] <= 0)
        c["block"] += np.where(loaded, np.stack((np.ones_like(x), x, x * x, x * y)), 0.0)

    def _close_blocks(self, tick: Tick, ended: Bools, offset: Floats) -> None:
        c = self._c
        enough = ended & (c["block"][0] >= 30) & (c["block"][2] > 0)
        if not enough.any():
            return
        c["ring"][:, :, enough] = np.roll(c["ring"][:, :, enough], -1, axis=1)
        n, px, pxx, pxy = c["block"][:, enough]
        c["ring"][:, -1, enough] = np.stack((np.full(n.shape, tick.now - BLOCK / 2), px, pxx, pxy))
        c["blocks"] += enough
        resistance = block_resistance(c["ring"], np.where(c["first"] > 0, c["offset"], offset))
        settled = enough & (c["blocks"] == BASE_BLOCKS)
        base = resistance[-BASE_BLOCKS:]
        first = np.median(base, axis=0)
        wide = 1.4826 * np.median(np.abs(base - first), axis=0)
        c["offset"] = np.where(settled, offset, c["offset"])
        c["first"] = np.where(settled, first, c["first"])
        c["first_scatter"] = np.where(settled, np.maximum(wide, 0.004 * first), c["first_scatter"])
        judged = enough & (c["blocks"] > BASE_BLOCKS) & (c["first"] > 0)
        safe_first = np.where(judged, c["first"], 1.0)
        change = np.where(judged, resistance[-1] / safe_first - 1, np.nan)
        groups, count = common_groups(tick)
        shared = group_quantile(change, groups, count)
        members = group_count(judged, groups, count)
        shared = np.where(members >= 3, np.nan_to_num(shared), 0.0)
        own = change - spread(shared, groups, 0.0)
        score = np.clip(own * safe_first / np.where(judged, c["first_scatter"], 1.0), -4.0, 8.0) - 1.0
        c["slow_sum"] = np.where(judged, np.clip(c["slow_sum"] + score, 0.0, SLOW_CEILING), c["slow_sum"])
        c["slow_rise"] = np.where(judged, own, c["slow_rise"])
        called = (c["slow_sum"] > SLOW_ALARM) & (c["slow_rise"] > 0.02)
        c["slow_alarm"] = np.where(
            called, 1.0, np.where(c["slow_sum"] < SLOW_ALARM / 2, 0.0, c["slow_alarm"])
        )

    def _verdict(self, tick: Tick, present: Bools, resistance: Floats, core: Floats) -> Verdict:
        c = self._c
        ready = present & (c["age"] >= LEAST_BASELINE)
        loaded = ready & (c["filtered"][FIRST_TAU] > 0.25 * c["power_high"])
        groups, count = common_groups(tick)
        common = shared_rise(tick, np.where(ready, c["rise"], np.nan), groups, count)
        change = c["rise"] - common
        change = np.where(c["first"] > 0, (1 + change) * (1 + np.maximum(c["slow_rise"], -0.5)) - 1, change)
        alarm = ready & ((c["alarm"] > 0) | (c["slow_alarm"] > 0))
        margin = tick.value(MARGIN.key, Level.GPU)
        tau = float(TAUS[self._best_tau(), 0])
        eta = np.fmin(
            np.where(
                ready & (c["alarm"] > 0), throttle_time(margin, c["excess"], c["excess_slow"], tau), np.nan
            ),
            np.where(ready & (c["slow_alarm"] > 0), slow_outlook(c, core + margin, tick.now), np.nan),
        )
        score = np.maximum(c["sum"] / (c["sum"] + ALARM), c["slow_sum"] / (c["slow_sum"] + SLOW_ALARM))
        verdict = Verdict([Scores(TEMPERATURE.key, Level.GPU, np.where(ready, score, np.nan))])
        verdict.estimates += [
            Estimate(findings.THERMAL_RESISTANCE, np.where(loaded, resistance, np.nan)),
            Estimate(findings.THERMAL_RESISTANCE_CHANGE, np.where(loaded, change, np.nan)),
            Estimate(findings.TIME_TO_THROTTLE, eta),
        ]
        verdict.suspicions = [
            *self._shared_suspicions(tick, ready & (c["common_alarm"] > 0)),
            *own_suspicions(tick, alarm, ready, score, eta),
        ]
        return verdict

    def _shared_suspicions(self, tick: Tick, alarm: Bools) -> list[Suspicion]:
        gpus = tick.fleet[Level.GPU]
        found = []
        score = self._c["common_sum"] / (self._c["common_sum"] + ALARM)
        places: dict[tuple[str, str, str], list[int]] = {}
        for row in np.flatnonzero(alarm):
            loop, rack = gpus.labels["loop"][row], gpus.labels["rack"][row]
            key = ("coolant_loop", "loop", loop) if loop else ("inlet_air", "rack", rack)
            places.setdefault(key, []).append(int(row))
        for (cause, scope, place), rows in places.items():
            found.append(Suspicion(cause, scope, place, place, tuple(rows), float(score[rows].max())))
        return found


def common_groups(tick: Tick) -> tuple[Ints, int]:
    """Group of GPUs that share their cooling: the loop, or the rack where they are cooled by air."""
    gpus = tick.fleet[Level.GPU]
    loop, loops = gpus.codes("loop")
    rack, racks = gpus.codes("rack")
    return np.where(loop >= 0, loop, np.where(rack >= 0, rack + len(loops), -1)), len(loops) + len(racks)


def shared_rise(tick: Tick, rise: Floats, groups: Ints, count: int) -> Floats:
    """What nearly all nodes of a cooling group have in common, per GPU; 0 where there is only one node.

    The lower quartile of the nodes' medians: a fault of one node, even one of two, does not count as shared.
    """
    node, nodes = tick.fleet[Level.GPU].codes("node")
    median = group_quantile(rise, node, len(nodes))
    group_of_node = np.full(len(nodes), -1, np.intp)
    known = node >= 0
    group_of_node[node[known]] = groups[known]
    shared = group_quantile(median, group_of_node, count, 0.25)
    members = group_count(np.isfinite(median), group_of_node, count)
    shared = np.where((members >= 2) & np.isfinite(shared), np.maximum(shared, 0.0), 0.0)
    return spread(shared, groups, 0.0)


def block_resistance(ring: Floats, offset: Floats) -> Floats:
    """R of every block in the ring, K/W: least squares through the offset."""
    _, px, pxx, pxy = ring
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(pxx > 0, (pxy - offset * px) / pxx, np.nan)


def own_suspicions(tick: Tick, alarm: Bools, ready: Bools, score: Floats, eta: Floats) -> list[Suspicion]:
    """Alarms as suspicions: one for a node where most of its GPUs are concerned, else one per GPU."""
    gpus = tick.fleet[Level.GPU]
    node, nodes = gpus.codes("node")
    hit = group_count(alarm, node, len(nodes))
    there = group_count(ready, node, len(nodes))
    found = []
    for code in np.flatnonzero(hit):
        rows = np.flatnonzero(alarm & (node == code))
        first = float(np.nanmin(eta[rows])) if np.isfinite(eta[rows]).any() else None
        if hit[code] >= 3 and hit[code] >= 0.6 * there[code]:
            cause = "cold_plate" if gpus.labels["loop"][rows[0]] else "fan"
            place, strength = nodes[code], float(score[rows].max())
            found.append(Suspicion(cause, "node", place, place, tuple(map(int, rows)), strength, first))
            continue
        for row in map(int, rows):
            place = f"{nodes[code]}/gpu{gpus.labels['gpu'][row]}"
            seconds = float(eta[row]) if np.isfinite(eta[row]) else None
            uuid = gpus.labels["uuid"][row]
            found.append(
                Suspicion("thermal_interface", "gpu", place, uuid, (row,), float(score[row]), seconds)
            )
    return found
