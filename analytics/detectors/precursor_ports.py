"""Fabric ports of nodes that err or flap; where several nodes do so at once, the switch between them."""

from __future__ import annotations

import numpy as np

from analytics.detectors.base import Evidence, Rival, Suspicion
from analytics.detectors.precursor_counts import count_events
from analytics.fleet import Level, Tick
from analytics.fleet.columns import Columns, Floats
from analytics.fleet.named import Named
from analytics.signals import POWER
from analytics.signals.errors import PORT_ERRORS, PORT_FLAPS
from gigawatch.catalogue import Unit

PORTS = ((PORT_ERRORS, 100 / 600), (PORT_FLAPS, 3 / 600))
"""Signals, and the events per second above which the ports of a node are called."""
SPAN = 300.0
TOGETHER = 3
"""Nodes of a rack whose ports err within one hour of each other: then it is the switch above them."""
_LONGEST = 86400.0
_FEATURES: dict[str, tuple[int, ...]] = {
    "last": (2,), "rate": (2,), "strength": (2,), "since": (), "asked": (), "known": ()
}  # fmt: skip


class Ports:
    """Counts errors and flaps per node; `columns` is the memory."""

    def __init__(self) -> None:
        self.columns = Columns(_FEATURES, {"last": np.nan})
        self._named = Named()

    def observe(self, tick: Tick) -> list[Suspicion]:
        """Take in a tick; nodes, or racks, whose ports are to be looked at."""
        c = self.columns
        if any(signal.key in tick.values for signal, _ in PORTS):
            self._count(tick)
        hit = np.flatnonzero((c["strength"] >= 0.5).any(axis=0))
        return self._suspicions(tick, hit) if len(hit) else []

    def _count(self, tick: Tick) -> None:
        c = self.columns
        dt = np.where(c["asked"] > 0, np.clip(tick.now - c["asked"], 0.0, _LONGEST), 0.0)
        for i, (signal, floor) in enumerate(PORTS):
            if signal.key not in tick.values:
                continue
            values = tick.value(signal.key, Level.NODE)
            fading = np.where(np.isnan(values) | (c["rate"][i] < floor), 0.5 ** (dt / SPAN), 1.0)
            c["rate"][i] *= np.where(np.isnan(values), fading, 1.0)
            c["strength"][i] *= fading
            count_events(
                values, bool((values == 0).any()), c["known"], dt, c["last"][i], c["rate"][i],
                c["strength"][i], floor, SPAN,
            )  # fmt: skip
        c["known"] = np.maximum(c["known"], _alive(tick, self._named))
        c["asked"] = np.full(len(dt), tick.now)
        on = (c["strength"] >= 0.5).any(axis=0)
        c["since"] = np.where(on, np.where(c["since"] > 0, c["since"], tick.now), 0.0)

    def _suspicions(self, tick: Tick, hit: np.ndarray) -> list[Suspicion]:
        nodes, gpus = tick.fleet[Level.NODE], tick.fleet[Level.GPU]
        racks: dict[str, list[int]] = {}
        for row in map(int, hit):
            racks.setdefault(nodes.labels["rack"][row], []).append(row)
        found = []
        for rack, rows in racks.items():
            if len(rows) >= TOGETHER and 3 * len(rows) >= len(nodes.members("rack", rack)) > 0:
                found.append(self._one(rack, "rack", "switch", rows, gpus.members("rack", rack)))
                continue
            for row in rows:
                name = nodes.keys[row]
                found.append(self._one(name, "node", "link", [row], gpus.members("node", name)))
        return found

    def _one(self, place: str, scope: str, cause: str, rows: list[int], gpus: tuple[int, ...]) -> Suspicion:
        c = self.columns
        evidence = tuple(
            Evidence(
                signal.key,
                float(c["rate"][i][rows].max()),
                Unit.COUNT,
                0.0,
                text=f"events per second; called above {floor:.2g}",
            )
            for i, (signal, floor) in enumerate(PORTS)
            if (c["strength"][i][rows] >= 0.5).any()
        )
        if cause == "switch":
            text = f"{len(rows)} nodes of the rack at once"
            evidence += (Evidence("ports", float(len(rows)), Unit.COUNT, 0.0, text=text),)
            rivals = (Rival("link", 0.2, "several cables do not go bad at once"),)
        else:
            rivals = (Rival("switch", 0.2, "other nodes of the rack have no errors"),)
        return Suspicion(
            cause, scope, place, place, gpus, 0.7, since=float(c["since"][rows].min()) or None,
            confidence=0.7, evidence=evidence, rivals=rivals,
        )  # fmt: skip


def _alive(tick: Tick, named: Named) -> Floats:
    """1 for nodes of which a GPU answers."""
    codes, names = tick.fleet[Level.GPU].codes("node")
    use = (codes >= 0) & np.isfinite(tick.value(POWER.key, Level.GPU))
    answers = np.bincount(codes[use], minlength=len(names)) > 0
    return named.spread(names, answers.astype(np.float64), tick.fleet[Level.NODE], 0.0)
