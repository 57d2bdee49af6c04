"""What many GPUs share: coolant flow, coolant supply, inlet air, each against its own recent past.

One loop that loses flow is one finding here, however many GPUs get warmer. Supplies and inlets are judged
against what is usual at the time of day (`cooling_usual.py`), more sharply where GPUs would throttle at their
usual peaks; where no sensor tells, by what the GPUs of all nodes there have in common (`cooling_gpus.py`).
"""

from __future__ import annotations

import numpy as np

from analytics.detectors import cooling_gpus as own
from analytics.detectors import cooling_usual as usual
from analytics.detectors.base import Detector, Scores, Verdict
from analytics.detectors.cooling_flow import Flow
from analytics.detectors.cooling_words import Seen, suspicions
from analytics.detectors.thermal_groups import Topology, low_medians, low_quartiles, topology
from analytics.fleet import Fleet, Level, Tick
from analytics.fleet.columns import Columns, Floats
from analytics.fleet.named import Named
from analytics.signals import INLET, MARGIN, POWER, SUPPLY, TEMPERATURE

SENSED_FOR = 86400.0
"""Seconds for which a sensor that fell silent is waited for before the GPUs stand in for it."""
GAP = 3 * 3600.0
"""Seconds for which an alarm of something that sends nothing stands."""
FRESH = 900.0
"""Seconds for which that of a node stands whose rack is not warm."""
WEATHER = 2.0
"""Kelvin that all of a kind may be above their usual together without it being anybody's fault."""
LEAST_OF_KIND = 4
LAG_OWN = 2 * 86400.0


class Cooling(Detector):
    """Calls loops that lose flow or run warm, and racks or nodes whose inlet air gets hot."""

    name = "cooling"

    def __init__(self) -> None:
        super().__init__()
        self._flow = Flow(self.table("coolant_flow", Level.LOOP, Flow.columns()))
        self._sensors = tuple(
            (signal, *self._watched(signal.key, signal.level)) for signal in (SUPPLY, INLET)
        )
        self._shared = self._watched("shared", Level.NODE)
        self._nodes = self.table("nodes", Level.NODE, Columns(dict.fromkeys(("heard", "hour", "days"), ())))
        self._gpus = self.table("gpus", Level.GPU, Columns({"s": (own.SIZE,)}, dtype=np.float32))
        self._clock = self.table("clock", Level.GPU, Columns(dict.fromkeys(("last", "looked", "block"), ())))
        self._top: Topology | None = None
        self._node_rows, self._loop_rows = Named(), Named()

    def _watched(self, key: str, level: Level) -> tuple[Columns, Columns]:
        state = self.table(key, level, Columns({"s": (usual.SIZE,)}, dtype=np.float32))
        return state, self.table(f"{key}_times", level, Columns({"last": (), "began": ()}))

    def enrol(self, fleet: Fleet) -> None:
        known = len(self._gpus)
        super().enrol(fleet)
        if len(self._gpus) > known:
            s = self._gpus["s"]
            s[own.HOT, known:] = s[own.HOT_BEFORE, known:] = -300.0
            s[own.LIMIT, known:] = np.nan

    def observe(self, tick: Tick) -> Verdict:
        verdict = Verdict()
        self._flow.look(tick, verdict)
        for signal, state, times in self._sensors:
            s = state["s"]
            values = np.asarray(tick.value(signal.key, signal.level), np.float64)
            usual.track(
                tick.now, values, _weather(s, times["last"], tick.now), s, times["last"], times["began"]
            )
            share = np.where(np.isfinite(values) & (s[usual.AGE] >= usual.WARM_UP), s[usual.SHARE], np.nan)
            verdict.scores.append(Scores(signal.key, signal.level, share**2 / (share**2 + 1.0)))
        self._look_at_gpus(tick)
        seen = self._seen(tick)
        if any((one.s[usual.WARM_FOR] > 0).any() for one in seen):
            g = self._gpus["s"]
            verdict.suspicions += suspicions(tick, seen, own.room(g), g[own.LIMIT] - g[own.CORE])
        return verdict

    def _look_at_gpus(self, tick: Tick) -> None:
        """Now and then: what the GPUs of each loop or rack have in common, per node."""
        clock, now = self._clock, tick.now
        looked = float(clock["looked"].max(initial=0.0))
        if not len(clock) or now - looked < own.EVERY:
            return
        clock["looked"] = now
        g = self._gpus["s"]
        block, before = np.floor(now / own.BLOCK), float(clock["block"].max())
        clock["block"] = block
        if block > before > 0:
            g[own.HOT_BEFORE] = g[own.HOT]
            g[own.HOT] = -300.0
        top = self._top = topology(tick.fleet, self._top)
        power, core, margin = (
            np.asarray(tick.value(signal.key, Level.GPU), np.float64)
            for signal in (POWER, TEMPERATURE, MARGIN)
        )
        codes, names = tick.fleet[Level.GPU].codes("node")
        rows = np.append(self._node_rows.rows(names, tick.fleet[Level.NODE]), -1)[codes]
        warmer, shifted = (np.append(part, 0.0)[rows] for part in self._warmer(tick))
        residual = np.full(len(power), np.nan)
        own.look(now, power, core, margin, warmer, shifted, g, clock["last"], residual)
        node, _ = low_medians(residual, top.order, top.start)
        group, there = low_quartiles(node, top.group_order, top.group_start)
        group = np.where(there >= 2, group, np.nan)
        values = np.full(len(self._nodes), np.nan)
        first = top.order[top.start[:-1]]
        known = rows[first] >= 0
        values[rows[first][known]] = node[known]
        for name, lag in (("hour", usual.HOURLY), ("days", LAG_OWN)):
            n = self._nodes[name]
            gain = 1 - np.exp(-min(now - looked, lag) / lag)
            n += np.where(np.isfinite(values), gain * (np.nan_to_num(values) - n), 0.0)
        values[rows[first][known]] = group[top.group[first]][known]
        state, times = self._shared
        s = state["s"]
        usual.track(now, values, _weather(s, times["last"], now), s, times["last"], times["began"])

    def _warmer(self, tick: Tick) -> tuple[Floats, Floats]:
        """By how much the air or coolant of every node is above its usual, and that was raised of late (K).

        Its sensor tells, or the GPUs do where there is none.
        """
        (_, supply, supply_times), (_, inlet, inlet_times) = self._sensors
        shared = self._shared[0]["s"]
        nodes = tick.fleet[Level.NODE]
        codes, names = nodes.codes("loop")
        liquid = codes >= 0
        loops = np.append(self._loop_rows.rows(names, tick.fleet[Level.LOOP]), -1)[codes]
        heard = np.where(liquid, np.append(supply_times["last"], 0.0)[loops], inlet_times["last"])
        self._nodes["heard"] = heard
        sensed = (heard > 0) & (tick.now - heard < SENSED_FOR)
        made = []
        for of in (usual.above, lambda s: s[usual.SHIFTED]):
            told = np.where(liquid, np.append(of(supply["s"]), 0.0)[loops], of(inlet["s"]))
            made.append(np.where(sensed, told, of(shared)))
        return made[0], made[1]

    def _seen(self, tick: Tick) -> list[Seen]:
        """The three views: supply of loops, inlet of nodes, and what GPUs share where neither is there."""
        now = tick.now
        found = [
            Seen(signal, state["s"], times["began"], now - times["last"] < GAP, now - times["last"] < FRESH)
            for signal, state, times in self._sensors
        ]
        state, times = self._shared
        silent = now - self._nodes["heard"] >= SENSED_FOR
        blind = silent & (now - times["last"] < GAP) & (state["s"][usual.AGE] >= own.FIRM)
        moved = self._nodes["hour"] - self._nodes["days"]
        found.append(Seen(TEMPERATURE, state["s"], times["began"], blind, blind, moved))
        return found


def _weather(s: Floats, last: Floats, now: float) -> float:
    """What all of a kind are above their usual, as far as that is ordinary."""
    use = now - last < GAP
    if use.sum() < LEAST_OF_KIND:
        return 0.0
    return float(np.clip(np.median(s[usual.HOURLY_DEV][use]), 0.0, WEATHER))
