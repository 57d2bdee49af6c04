"""Errors that foretell a failure: remapped rows, XIDs, links that err; and the risk that follows from them.

Counters are taken as they stand and compared with their last value, so that a missed tick loses nothing; what
a GPU had when it was first seen is its past and no event. Each event adds to the strength of its precursor,
which halves with time; flags hold while they are set; counters that always rise a little (replays, link
errors) count only above a rate. A reset, seen by counters that begin anew, mends most: what is left counts
half. The table of precursors and the mathematics of the risk are in `failure_risk`.
"""

from __future__ import annotations

import operator
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from analytics.detectors.base import Detector, Evidence, Figure, Rival, Scores, Suspicion, Verdict
from analytics.detectors.failure_risk import TABLE, WEEK, YEAR, Precursor, prior, risk_within, weight_of
from analytics.detectors.precursor_counts import count_events, fade, raise_flags
from analytics.detectors.precursor_ports import Ports
from analytics.fleet import Level, Roster, Tick
from analytics.fleet.columns import Columns, Floats, Ints
from analytics.fleet.groups import group_count
from analytics.signals import MARGIN, POWER
from analytics.signals.errors import ECC, NVLINK_DOWN, NVLINK_ERRORS, XIDS, XIDS_LINK, XIDS_LOST
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


@dataclass(slots=True)
class _Sign:
    """A precursor that one GPU shows: which, its place among others (the gravest first), what it alone makes
    of the chance of failure within a week, and the count."""

    kind: int
    order: float
    risk: float
    told: float


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
        self._nvlink = np.array([row.signal in _NVLINK for row in self._rows])
        self._texts = [f"{row.meaning}; {row.action}" for row in self._rows]
        self._usual_risk = prior(86400.0)
        self._said = Verdict()
        self._stamp: list[object] = []

    def observe(self, tick: Tick) -> Verdict:
        asked = [(i, row) for i, row in enumerate(self._rows) if row.signal in tick.values]
        told = any(row.signal != XIDS.key for _, row in asked)
        c, past = self._c, self._past
        for i, row in asked:
            # Where codes are told apart, their sum says nothing more.
            if not (row.signal == XIDS.key and told):
                self._take_in(tick, i, row)
        power, margin = tick.value(POWER.key, Level.GPU), tick.value(MARGIN.key, Level.GPU)
        c["known"][np.isfinite(power)] = 1.0
        there = np.isfinite(margin)
        c["margin"][there] = margin[there]
        if asked or ECC.key in tick.values or not self._stands(tick.fleet[Level.GPU]):
            top = c["strength"].max(axis=0)
            past["since"] = np.where(top < OPEN, 0.0, np.where(past["since"] > 0, past["since"], tick.now))
            self._note_memory_errors(tick, top)
            self._judge(tick, np.flatnonzero(top > 0.02))
        said = self._said
        ports = self._ports.observe(tick)
        return Verdict(list(said.scores), suspicions=[*said.suspicions, *ports], figures=list(said.figures))

    def _stands(self, gpus: Roster) -> bool:
        """Whether what was said last still holds: no counter was read since, and nothing moved."""
        stamp: list[object] = [self._c["strength"], gpus.codes("node")[0], gpus.codes("gpu")[0]]
        same = len(stamp) == len(self._stamp) and all(map(operator.is_, stamp, self._stamp))
        self._stamp = stamp
        return same

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

    def _judge(self, tick: Tick, hot: Ints) -> None:
        n = len(tick.fleet[Level.GPU])
        score = np.where(np.isfinite(tick.value(XIDS.key, Level.GPU)), 0.0, np.nan)
        risks = {horizon: np.full(n, np.nan) for horizon in HORIZONS}
        verdict = self._said = Verdict()
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
        gpus = tick.fleet[Level.GPU]
        link = np.zeros(len(gpus), bool)
        link[hot] = called[self._nvlink].any(axis=0)
        node, names = gpus.codes("node")
        erring = group_count(link, node, len(names))
        there = np.bincount(node[node >= 0], minlength=len(names))
        shared = (erring >= TOGETHER) & (2 * erring >= there)
        found = [
            self._switch(names[code], np.flatnonzero(link & (node == code)))
            for code in np.flatnonzero(shared)
        ]
        together = (link & (node >= 0) & np.append(shared, False)[node])[hot].tolist()
        column, kind = np.nonzero(called.T)
        weight = self._logs[kind] * strength[kind, column]
        signs = map(
            _Sign, kind.tolist(), (-weight).tolist(), risk_within(weight, WEEK).tolist(),
            self._told(tick, kind, hot[column]).tolist(),
        )  # fmt: skip
        by_column: dict[int, list[_Sign]] = {}
        for j, sign in zip(column.tolist(), signs, strict=True):
            by_column.setdefault(j, []).append(sign)
        for j, shown in by_column.items():
            causes: dict[str, list[_Sign]] = {}
            for sign in shown:
                causes.setdefault(self._rows[sign.kind].cause, []).append(sign)
            row, risk = int(hot[j]), float(day_risk[j])
            found += [
                self._one(tick, row, name, mine, tuple(causes), risk)
                for name, mine in causes.items()
                if not (name == "link" and together[j]) and not self._of_heat(row, mine)
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

    def _of_heat(self, row: int, mine: list[_Sign]) -> bool:
        """Whether a GPU fell off the bus because it was too hot: then heat is the finding."""
        only = len(mine) == 1 and self._rows[mine[0].kind].signal == XIDS_LOST.key
        return only and bool(self._c["margin"][row] <= HOT)

    def _one(
        self, tick: Tick, row: int, cause: str, mine: list[_Sign], causes: tuple[str, ...], day_risk: float
    ) -> Suspicion:
        gpus = tick.fleet[Level.GPU]
        mine.sort(key=operator.attrgetter("order"))
        first = self._rows[mine[0].kind]
        if first.signal == XIDS.key:
            cause = self._guess(tick, row)
        evidence = [
            Evidence(self._rows[sign.kind].signal, sign.told, Unit.COUNT, 0.0, text=self._texts[sign.kind])
            for sign in mine[:3]
        ]
        text = "chance of failure in 24 h, beside that of any GPU"
        evidence.append(Evidence("failure_risk", day_risk, Unit.RATIO, self._usual_risk, text=text))
        others = [name for name in sorted(causes) if name not in (first.cause, cause)]
        rivals = [Rival(name, 0.5, "it shows errors of that kind as well") for name in others]
        usual = _RIVALS[cause]
        if usual.cause not in others:
            rivals.append(usual)
        place = f"{gpus.labels['node'][row]}/gpu{gpus.labels['gpu'][row]}"
        return Suspicion(
            cause, "gpu", place, gpus.labels["uuid"][row], (row,), 0.5 + 0.5 * mine[0].risk,
            since=float(self._past["since"][row]) or None, confidence=first.certain,
            evidence=tuple(evidence), rivals=tuple(rivals),
        )  # fmt: skip

    def _guess(self, tick: Tick, row: int) -> str:
        """What serious XIDs of unknown code mean, by what else the GPU shows."""
        if self._c["ecc_rose"][row] > 0.5:
            return "memory"
        return "driver" if np.isfinite(tick.value(POWER.key, Level.GPU)[row]) else "link"

    def _told(self, tick: Tick, kind: Ints, row: Ints) -> Floats:
        """What the precursors `kind` say about the GPUs `row`: now, else when they were last read, else 1."""
        told = self._past["last"][kind, row]
        for i, one in enumerate(self._rows):
            if one.signal in tick.values:
                mine = kind == i
                now = tick.values[one.signal][row[mine]]
                told[mine] = np.where(np.isfinite(now), now, told[mine])
        return np.where(np.isfinite(told), told, 1.0)
