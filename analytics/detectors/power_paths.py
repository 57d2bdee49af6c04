"""What failed on the way of power: a side of a rack, a feed, a supply; and how long what is left suffices."""

from __future__ import annotations

import numpy as np

from analytics.detectors.base import Evidence, Rival, Suspicion
from analytics.detectors.power_forecast import HORIZONS, QUANTILES, READY, Forecast, reach
from analytics.fleet import Level, Tick
from analytics.fleet.columns import Columns, Floats
from analytics.signals.power import (
    FEED_WATTS,
    RACK_LEFT,
    RACK_SIDE_LEAST,
    RACK_SIDES,
    RACK_WATTS,
    SUPPLIES_FAILED,
)
from gigawatch.catalogue import Unit

MEMORY = 6 * 3600.0
KNOWN = 300.0
"""Seconds that a side must have carried its share before its loss is one."""
HOLD = 20.0
LEAST_SHARE, LOST_SHARE = 0.15, 0.03
"""Part of a rack's power that a side in use carries, and below which it carries nothing."""
_GAP = 900.0


class Paths:
    """Sides of racks, feeds and supplies of nodes, against their own past."""

    def __init__(self) -> None:
        spec: dict[str, tuple[int, ...]] = {
            "share": (), "sides": (), "age": (), "last": (), "lost": (), "since": (), "carries": ()
        }  # fmt: skip
        self._racks = Columns(spec, {"carries": np.nan})
        self._feeds = Columns({"usual": (), "age": (), "last": (), "lost": (), "since": ()})
        self._nodes = Columns({"since": (), "failed": (), "asked": ()})

    def tables(self) -> tuple[tuple[str, Level, Columns], ...]:
        """Its memory."""
        return (
            ("rack_sides", Level.RACK, self._racks),
            ("feeds", Level.FEED, self._feeds),
            ("supplies", Level.NODE, self._nodes),
        )

    def observe(self, tick: Tick, forecast: Forecast) -> list[Suspicion]:
        """Take in a tick; what has failed."""
        feeds = self._lost_feeds(tick)
        racks = self._lost_sides(tick, forecast)
        # Racks that lost a side with their feed are that feed's symptom.
        return [*feeds, *(racks if not feeds else []), *self._supplies(tick)]

    def _lost_feeds(self, tick: Tick) -> list[Suspicion]:
        if FEED_WATTS.key not in tick.values:
            return []
        c, watts = self._feeds, tick.value(FEED_WATTS.key, Level.FEED)
        there = np.isfinite(watts) & (watts >= 0)
        dt = np.where(there & (c["last"] > 0), np.clip(tick.now - c["last"], 0.0, _GAP), 0.0)
        c["last"] = np.where(there, tick.now, c["last"])
        dark = there & (c["age"] >= KNOWN) & (watts < LOST_SHARE * c["usual"]) & (c["usual"] > 1e3)
        # The others must have taken over: else it is the load that went away.
        others = np.nansum(np.where(there, watts, 0.0)) - np.where(there, watts, 0.0)
        before = c["usual"].sum() - c["usual"]
        dark &= others > before + 0.3 * c["usual"]
        was = c["lost"] >= HOLD
        still = there & was & (watts < 5 * LOST_SHARE * c["usual"])
        _hold(c, dark | still, dt, tick.now)
        _follow(c, "usual", watts, there & ~dark & ~still, dt)
        found = []
        for row in map(int, np.flatnonzero(c["lost"] >= HOLD)):
            name = tick.fleet[Level.FEED].keys[row]
            evidence = (
                Evidence(
                    FEED_WATTS.key, float(watts[row]) if there[row] else 0.0, Unit.WATTS,
                    float(c["usual"][row]), text="the other feeds have taken over its load",
                ),
            )  # fmt: skip
            rival = Rival("sensor", 0.1, "a dead meter would leave the other feeds as they were")
            found.append(
                Suspicion(
                    "power_path", "feed", name, name, (), 0.9, since=float(c["since"][row]) or None,
                    confidence=0.9, evidence=evidence, rivals=(rival,),
                )
            )  # fmt: skip
        return found

    def _lost_sides(self, tick: Tick, forecast: Forecast) -> list[Suspicion]:
        if RACK_SIDE_LEAST.key not in tick.values and RACK_SIDES.key not in tick.values:
            return []
        c = self._racks
        least, sides = tick.value(RACK_SIDE_LEAST.key, Level.RACK), tick.value(RACK_SIDES.key, Level.RACK)
        total, left = tick.value(RACK_WATTS.key, Level.RACK), tick.value(RACK_LEFT.key, Level.RACK)
        with np.errstate(invalid="ignore", divide="ignore"):
            share = np.where(total > 500.0, least / total, np.nan)
        shared, counted = np.isfinite(share) & (share >= 0), np.isfinite(sides)
        there = shared | counted
        dt = np.where(there & (c["last"] > 0), np.clip(tick.now - c["last"], 0.0, _GAP), 0.0)
        c["last"] = np.where(there, tick.now, c["last"])
        known = c["age"] >= KNOWN
        with np.errstate(invalid="ignore"):
            dark = shared & (c["share"] >= LEAST_SHARE) & (share < LOST_SHARE)
            dark |= counted & (sides < c["sides"] - 0.5)
        dark &= known
        _hold(c, dark, dt, tick.now)
        _follow(c, "share", share, shared & ~dark, dt)
        c["sides"] = np.where(counted & ~dark, np.maximum(sides, c["sides"]), c["sides"])
        # What a side may carry alone is known while all meters tell; it stays known when one falls silent.
        may = total + left
        c["carries"] = np.where(np.isfinite(may) & ~dark, may, c["carries"])
        return [
            self._side(tick, row, forecast, share, sides)
            for row in map(int, np.flatnonzero(c["lost"] >= HOLD))
        ]

    def _side(self, tick: Tick, row: int, forecast: Forecast, share: Floats, sides: Floats) -> Suspicion:
        c, gpus = self._racks, tick.fleet[Level.GPU]
        name, carries = tick.fleet[Level.RACK].keys[row], float(c["carries"][row])
        now = float(np.nan_to_num(tick.value(RACK_WATTS.key, Level.RACK)[row]))
        evidence = []
        if np.isfinite(sides[row]):
            evidence.append(
                Evidence(
                    RACK_SIDES.key, float(sides[row]), Unit.COUNT, float(c["sides"][row]), text="live sides"
                )
            )
        if np.isfinite(share[row]):
            text = "share of the weaker side in the rack's power"
            usual = float(c["share"][row])
            evidence.append(Evidence(RACK_SIDE_LEAST.key, float(share[row]), Unit.RATIO, usual, text=text))
        etas: list[float | None] = [None, None, None]
        if np.isfinite(carries) and now > 0:
            fits = "can" if now <= carries else "cannot"
            text = f"what is left may carry {carries:.3g} W for hours: it {fits} carry the rack"
            evidence.append(Evidence(RACK_WATTS.key, now, Unit.WATTS, text=text))
            lines = forecast.clock["lines"]
            if forecast.columns["blocks"][row] >= READY:
                etas = [reach(now, lines[:, QUANTILES.index(q), row], carries) for q in (0.5, 0.95, 0.05)]
            elif now > carries:
                etas = [0.0, 0.0, float(HORIZONS[-1])]
        rows = gpus.members("rack", name)
        rival = Rival("sensor", 0.15, "the meter of one side may be silent; its voltage tells")
        return Suspicion(
            "power_path", "rack", name, name, rows, 0.9, eta=etas[0], earliest=etas[1], latest=etas[2],
            since=float(c["since"][row]) or None, confidence=0.8, evidence=tuple(evidence), rivals=(rival,),
        )  # fmt: skip

    def _supplies(self, tick: Tick) -> list[Suspicion]:
        c = self._nodes
        if SUPPLIES_FAILED.key in tick.values:
            failed = np.nan_to_num(tick.value(SUPPLIES_FAILED.key, Level.NODE))
            c["failed"] = np.clip(failed, 0.0, 100.0)
            c["since"] = np.where(failed > 0, np.where(c["since"] > 0, c["since"], tick.now), 0.0)
        gpus, found = tick.fleet[Level.GPU], []
        for row in map(int, np.flatnonzero(c["failed"] > 0)):
            name = tick.fleet[Level.NODE].keys[row]
            text = "the node's own controller calls them failed; the others carry their load"
            evidence = (Evidence(SUPPLIES_FAILED.key, float(c["failed"][row]), Unit.COUNT, 0.0, text=text),)
            rival = Rival(
                "power_path", 0.3, "a supply without input looks failed; its PDU still feeds others"
            )
            rows = gpus.members("node", name)
            found.append(
                Suspicion(
                    "power_supply", "node", name, name, rows, 0.8, since=float(c["since"][row]) or None,
                    confidence=0.8, evidence=evidence, rivals=(rival,),
                )
            )  # fmt: skip
        return found


def _hold(c: Columns, lost: np.ndarray, dt: Floats, now: float) -> None:
    c["lost"] = np.where(lost, np.minimum(c["lost"] + np.maximum(dt, 1.0), 4 * HOLD), 0.0)
    c["since"] = np.where(lost, np.where(c["since"] > 0, c["since"], now - dt), 0.0)


def _follow(c: Columns, name: str, values: Floats, use: np.ndarray, dt: Floats) -> None:
    """A slow mean, quick at first."""
    gain = 1 - np.exp(-np.maximum(dt, 1e-3) / np.clip(c["age"], 60.0, MEMORY))
    gain = np.where(c["age"] == 0, 1.0, gain)
    c[name] += np.where(use, gain * (np.nan_to_num(values) - c[name]), 0.0)
    c["age"] += np.where(use | (name == "share"), np.maximum(dt, 1e-3), 0.0)
