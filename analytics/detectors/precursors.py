"""Errors that foretell a failure: remapped rows, XIDs, links that err; and the risk that follows from them.

Counters are taken as they stand and compared with their last value, so that a missed tick loses nothing; what
a GPU had when it was first seen is its past and no event. Each event adds to the strength of its precursor,
which halves with time; flags hold while they are set; counters that always rise a little (replays, link
errors) count only above a rate. A reset, seen by counters that begin anew, mends most: what is left counts
half. The table of precursors and the mathematics of the risk are in `failure_risk`.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from analytics.columns import Bools, Columns, Floats, Ints
from analytics.detectors.base import Detector, Evidence, Figure, Rival, Scores, Suspicion, Verdict
from analytics.detectors.failure_risk import TABLE, WEEK, YEAR, Precursor, prior, risk_within, weight_of
from analytics.detectors.precursor_counts import count_events, fade, raise_flags
from analytics.detectors.precursor_ports import Ports
from analytics.fleet import Level, Tick
from analytics.groups import group_count
from analytics.signals import MARGIN, POWER
from analytics.signals_errors import ECC, NVLINK_DOWN, NVLINK_ERRORS, XIDS, XIDS_LINK, XIDS_LOST
from gigawatch.catalogue import Unit, findings
from gigawatch.catalogue.findings import HORIZONS
from gigawatch.config import parse_duration

OPEN = 0.5
"""Strength at which a precursor makes a finding."""
RATE_SPAN = 600.0
"""Seconds over which rates of errors are averaged."""
HOT = 5.0
"""Kelvin of margin at which a GPU is about to shut itself down."""
TOGETHER = 3
"""GPUs of a node whose NVLinks err at once: then it is the switch between them."""
_NVLINK = (XIDS_LINK.key, NVLINK_ERRORS.key, NVLINK_DOWN.key)
_RIVALS = {
    "link": Rival("power_path", 0.3, "loss of its power looks the same; its neighbours kept theirs"),
    "driver": Rival("memory", 0.3, "no row was replaced and no memory error counted"),
    "memory": Rival("driver", 0.05, "the error was counted in the memory itself"),
    "power_path": Rival("software", 0.2, "a limit that was set does not pull the brake"),
    "switch": Rival("link", 0.2, "several links do not go bad at once"),
}


class Precursors(Detector):
    """Names GPUs and nodes whose errors foretell a failure, and estimates the risk."""

    name = "precursors"

    def __init__(self, table: Sequence[Precursor] = TABLE) -> None:
        super().__init__()
        self._rows = tuple(table)
        k = len(self._rows)
        self._c = self.table(
            "gpus",
            Level.GPU,
            Columns(
                {"strength": (k,), "rate": (k,), "known": (), "ecc_rose": (), "margin": ()},
                {"margin": np.nan},
                dtype=np.float32,
            ),
        )
        # Counters outgrow what float32 counts exactly, and so does the time.
        self._past = self.table(
            "counters",
            Level.GPU,
            Columns({"last": (k,), "ecc": (), "since": (), "asked": (k,)}, {"last": np.nan, "ecc": np.nan}),
        )
        self._ports = Ports()
        self.table("ports", Level.NODE, self._ports.columns)
        self._logs = np.log([row.ratio for row in self._rows])

    def observe(self, tick: Tick) -> Verdict:
        told = any(row.signal in tick.values and row.signal != XIDS.key for row in self._rows)
        for i, row in enumerate(self._rows):
            # Where codes are told apart, their sum says nothing more.
            if row.signal in tick.values and not (row.signal == XIDS.key and told):
                self._take_in(tick, i, row)
        c, past = self._c, self._past
        c["known"] = np.where(np.isfinite(tick.value(POWER.key, Level.GPU)), 1.0, c["known"])
        top = c["strength"].max(axis=0)
        past["since"] = np.where(top < OPEN, 0.0, np.where(past["since"] > 0, past["since"], tick.now))
        self._note_memory_errors(tick, top)
        margin = tick.value(MARGIN.key, Level.GPU)
        c["margin"] = np.where(np.isfinite(margin), margin, c["margin"])
        verdict = Verdict()
        self._judge(tick, np.flatnonzero(top > 0.02), verdict)
        verdict.suspicions += self._ports.observe(tick)
        return verdict

    def _take_in(self, tick: Tick, i: int, row: Precursor) -> None:
        c, past = self._c, self._past
        values = tick.value(row.signal, Level.GPU)
        asked, strength = past["asked"][i], c["strength"][i]
        dt = np.where(asked > 0, np.clip(tick.now - asked, 0.0, YEAR), 0.0)
        asked[...] = tick.now
        dense = bool((values == 0).any())
        fade(strength, dt, row.half_life)
        if row.flag:
            raise_flags(values, dense, np.isfinite(tick.value(POWER.key, Level.GPU)), strength)
        else:
            count_events(
                values, dense, c["known"], dt, past["last"][i], c["rate"][i], strength, row.floor, RATE_SPAN
            )

    def _note_memory_errors(self, tick: Tick, top: Floats) -> None:
        """Whether memory errors rose lately on a GPU with other signs: they tell its cause, never a risk."""
        if ECC.key not in tick.values:
            return
        c, past = self._c, self._past
        now = tick.value(ECC.key, Level.GPU)
        rose = now > np.where(np.isnan(past["ecc"]), np.inf, past["ecc"])
        c["ecc_rose"] = np.where(rose, 1.0, np.where(top > 0.02, c["ecc_rose"], 0.9 * c["ecc_rose"]))
        past["ecc"] = np.where(np.isfinite(now), now, past["ecc"])

    def _judge(self, tick: Tick, hot: Ints, verdict: Verdict) -> None:
        n = len(tick.fleet[Level.GPU])
        score = np.full(n, np.nan)
        risks = {horizon: np.full(n, np.nan) for horizon in HORIZONS}
        if len(hot):
            strength = self._c["strength"][:, hot].astype(np.float64)
            weight = weight_of(strength, self._rows)
            for horizon, risk in risks.items():
                risk[hot] = risk_within(weight, parse_duration(horizon))
            top = strength.max(axis=0)
            score[hot] = top / (top + OPEN)
            verdict.suspicions += self._gpu_suspicions(tick, hot, strength, risks["24h"][hot])
        verdict.scores.append(Scores(XIDS.key, Level.GPU, score))
        verdict.figures += [
            Figure(findings.FAILURE_RISK, Level.GPU, risk, (horizon,)) for horizon, risk in risks.items()
        ]

    def _gpu_suspicions(self, tick: Tick, hot: Ints, strength: Floats, day_risk: Floats) -> list[Suspicion]:
        called = strength >= OPEN
        if not called.any():
            return []
        cause = np.array([row.cause for row in self._rows])
        gpus = tick.fleet[Level.GPU]
        link = np.zeros(len(gpus), bool)
        nvlink = np.array([row.signal in _NVLINK for row in self._rows])
        link[hot] = (called & nvlink[:, None]).any(axis=0)
        node, names = gpus.codes("node")
        erring = group_count(link, node, len(names))
        there = np.bincount(node[node >= 0], minlength=len(names))
        shared = (erring >= TOGETHER) & (2 * erring >= there)
        found = [
            self._switch(names[code], np.flatnonzero(link & (node == code)))
            for code in np.flatnonzero(shared)
        ]
        for j in np.flatnonzero(called.any(axis=0)):
            row = int(hot[j])
            together = node[row] >= 0 and shared[node[row]]
            found += [
                self._one(tick, row, name, strength[:, j], float(day_risk[j]))
                for name in dict.fromkeys(cause[called[:, j]].tolist())
                if not (name == "link" and together and link[row])
                and not self._of_heat(row, name, called[:, j])
            ]
        return found

    def _switch(self, place: str, rows: Ints) -> Suspicion:
        text = f"{len(rows)} GPUs of the node have link errors at once"
        evidence = (Evidence("links", float(len(rows)), Unit.COUNT, 0.0, text=text),)
        since = self._past["since"][rows]
        return Suspicion(
            "switch", "node", place, place, tuple(map(int, rows)), 0.8,
            since=float(since[since > 0].min()) if (since > 0).any() else None,
            confidence=0.7, evidence=evidence, rivals=(_RIVALS["switch"],),
        )  # fmt: skip

    def _of_heat(self, row: int, cause: str, called: Bools) -> bool:
        """Whether a GPU fell off the bus because it was too hot: then heat is the finding."""
        mine = {p.signal for i, p in enumerate(self._rows) if p.cause == cause and called[i]}
        return mine == {XIDS_LOST.key} and bool(self._c["margin"][row] <= HOT)

    def _one(self, tick: Tick, row: int, cause: str, strength: Floats, day_risk: float) -> Suspicion:
        gpus = tick.fleet[Level.GPU]
        mine = [i for i, p in enumerate(self._rows) if p.cause == cause and strength[i] >= OPEN]
        mine.sort(key=lambda i: -self._logs[i] * strength[i])
        first = self._rows[mine[0]]
        if first.signal == XIDS.key:
            cause = self._guess(tick, row)
        evidence = [
            Evidence(
                self._rows[i].signal, self._told(tick, i, row), Unit.COUNT, 0.0,
                text=f"{self._rows[i].meaning}; {self._rows[i].action}",
            )
            for i in mine[:3]
        ]  # fmt: skip
        week = float(risk_within(np.array([self._logs[mine[0]] * strength[mine[0]]]), WEEK)[0])
        text = "chance of failure in 24 h, beside that of any GPU"
        evidence.append(Evidence("failure_risk", day_risk, Unit.RATIO, prior(86400.0), text=text))
        others = {p.cause for i, p in enumerate(self._rows) if strength[i] >= OPEN} - {first.cause, cause}
        rivals = [Rival(name, 0.5, "it shows errors of that kind as well") for name in sorted(others)]
        usual = _RIVALS[cause]
        if usual.cause not in others:
            rivals.append(usual)
        place = f"{gpus.labels['node'][row]}/gpu{gpus.labels['gpu'][row]}"
        return Suspicion(
            cause, "gpu", place, gpus.labels["uuid"][row], (row,), 0.5 + 0.5 * week,
            since=float(self._past["since"][row]) or None, confidence=first.certain,
            evidence=tuple(evidence), rivals=tuple(rivals),
        )  # fmt: skip

    def _guess(self, tick: Tick, row: int) -> str:
        """What serious XIDs of unknown code mean, by what else the GPU shows."""
        if self._c["ecc_rose"][row] > 0.5:
            return "memory"
        return "driver" if np.isfinite(tick.value(POWER.key, Level.GPU)[row]) else "link"

    def _told(self, tick: Tick, i: int, row: int) -> float:
        value = float(tick.value(self._rows[i].signal, Level.GPU)[row])
        last = float(self._past["last"][i][row])
        return value if np.isfinite(value) else (last if np.isfinite(last) else 1.0)
