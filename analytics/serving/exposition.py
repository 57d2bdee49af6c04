"""Findings as the text that Prometheus scrapes: what is worth saying, written without a step per series.

A score is said once it reaches `SAID`, and until it falls below `KEPT`; beside that the highest of each
detector and signal, whatever it is, so that "nothing is wrong" can be told from "nothing is known". All other
scores are ordinary, and absent.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from analytics.detectors.base import Scores, Verdict
from analytics.detectors.thermal_outlook import risk_of
from analytics.fleet import IDENTITY, Fleet, Level, Roster
from analytics.fleet.columns import Bools, Floats, Ints
from analytics.incidents.exposition import SHARED
from analytics.incidents.exposition import readings as incident_readings
from analytics.serving.lines import Digits, Texts, write_lines
from gigawatch.catalogue import Metric, Unit, findings
from gigawatch.config import parse_duration
from gigawatch.serving.exposition import Blocks, Renderer, assemble, escape_label

if TYPE_CHECKING:
    from analytics.engine import Outcome

SAID, KEPT = 0.2, 0.1
"""From this score on it is said, and until it is below that: a score at the edge must not come and go."""
_HIGHEST_BY = 0.05
"""Another thing is named as the highest once it is that much higher."""
_ALSO = {"job_id": "job"}
"""Labels of metrics that rosters call otherwise."""
Risk = Callable[[Floats, float], Floats]


@dataclass(frozen=True, slots=True)
class _Table:
    """Values of one metric over one roster; NaN is not said. `head` are its first label values."""

    metric: Metric
    head: tuple[str, ...]
    level: Level
    values: Floats
    digits: Digits = Digits.SIX


@dataclass(slots=True)
class _Said:
    """What was said of the scores of one detector and signal in the tick before."""

    arranged: int
    rows: Bools
    highest: int = -1


@dataclass(slots=True)
class _Named:
    """The label text of every thing of a roster, for one set of labels."""

    stamp: list[object] = field(default_factory=list)
    texts: Texts = field(default_factory=Texts)


class Exposition:
    """Turns outcomes into text; labels are kept from tick to tick. Not safe for several threads at once."""

    def __init__(self, risk: Risk = risk_of, owns: Callable[[str], bool] = lambda _name: True) -> None:
        """`risk` makes a chance of a time to throttle and a horizon; `owns` names what is this shard's."""
        self._risk, self._owns = risk, owns
        self._renderer = Renderer()
        self._said: dict[tuple[str, str, Level], _Said] = {}
        self._names: dict[tuple[Level, tuple[str, ...]], _Named] = {}
        self._mine: dict[Level, tuple[int, int, Bools]] = {}

    def page(self, outcome: Outcome) -> bytes:
        """All findings of a tick."""
        return assemble((self.blocks(outcome),))

    def blocks(self, outcome: Outcome) -> Blocks:
        """All findings of a tick, by metric."""
        found: dict[str, list[bytes]] = {}
        for table in self._tables(outcome):
            lines = self._lines(outcome.fleet, table)
            if lines:
                found.setdefault(table.metric.name, []).append(lines)
        open_ones = (i for i in outcome.incidents if i.scope not in SHARED or self._owns(i.key))
        for name, text in self._renderer.blocks(r for i in open_ones for r in incident_readings(i)).items():
            found.setdefault(name, []).append(text)
        return {name: b"".join(parts) for name, parts in found.items()}

    def _tables(self, outcome: Outcome) -> Iterator[_Table]:
        risks: dict[str, Floats] = {}
        for name, verdict in outcome.verdicts.items():
            for scores in verdict.scores:
                values = self._worth_saying(name, scores, outcome.fleet[scores.level])
                head = (name, scores.signal)
                yield _Table(findings.ANOMALY_SCORE, head, scores.level, values, Digits.FOUR_DECIMALS)
            yield from self._figures(verdict, risks)
        for horizon, values in risks.items():
            yield _Table(findings.FAILURE_RISK, (horizon,), Level.GPU, values, Digits.FOUR_DECIMALS)

    def _figures(self, verdict: Verdict, risks: dict[str, Floats]) -> Iterator[_Table]:
        """Estimates and figures; risks are put together, since several detectors may see one."""
        for estimate in verdict.estimates:
            yield _Table(estimate.metric, (), Level.GPU, estimate.values)
            if estimate.metric is findings.TIME_TO_THROTTLE:
                for horizon in findings.HORIZONS:
                    _join(risks, horizon, self._risk(estimate.values, parse_duration(horizon)))
        for figure in verdict.figures:
            if figure.metric is findings.FAILURE_RISK:
                _join(risks, figure.labels[0], figure.values)
            else:
                yield _Table(figure.metric, figure.labels, figure.level, figure.values)

    def _worth_saying(self, detector: str, scores: Scores, roster: Roster) -> Floats:
        key, values = (detector, scores.signal, scores.level), scores.values
        said = self._said.get(key)
        if said is None or said.arranged != roster.arranged:
            said = self._said[key] = _Said(roster.arranged, np.zeros(len(values), np.bool_))
        before = np.zeros(len(values), np.bool_)
        before[: len(said.rows)] = said.rows[: len(values)]
        with np.errstate(invalid="ignore"):
            said.rows = (values >= SAID) | (before & (values >= KEPT))
        keep = said.rows
        known = self.owned(roster) & np.isfinite(values)
        if known.any():
            top, last = int(np.argmax(np.where(known, values, -1.0))), said.highest
            if not (0 <= last < len(values) and known[last] and values[last] >= values[top] - _HIGHEST_BY):
                said.highest = top
            keep = keep.copy()
            keep[[top, said.highest] if values[top] >= SAID else [said.highest]] = True
        return np.where(keep, values, np.nan)

    def _lines(self, fleet: Fleet, table: _Table) -> bytes:
        roster = fleet[table.level]
        values = np.asarray(table.values, np.float64)
        rows = np.flatnonzero(np.isfinite(values) & self.owned(roster)[: len(values)])
        if not rows.size:
            return b""
        names = table.metric.labels
        head = ",".join(
            f'{name}="{escape_label(value)}"' for name, value in zip(names, table.head, strict=False)
        )
        own = names[len(table.head) :]
        start = f"{table.metric.name}{{{head}{',' if head and own else ''}".encode()
        digits = Digits.FOUR_DECIMALS if table.metric.unit is Unit.TIMESTAMP else table.digits
        return write_lines(start, self._texts(roster, own), rows, values[rows], digits)

    def _texts(self, roster: Roster, names: tuple[str, ...]) -> Texts:
        """Label text of every row; kept while no label of it changes."""
        kept = self._names.setdefault((roster.level, names), _Named())
        known = [(name, _ALSO.get(name, name)) for name in names]
        known = [(name, label) for name, label in known if label in roster.labels]
        stamp = [roster, roster.version, *(_changes(roster, label) for _, label in known)]
        if len(kept.stamp) != len(stamp) or not all(
            a is b or (isinstance(a, int) and a == b) for a, b in zip(kept.stamp, stamp, strict=True)
        ):
            columns = [[(name, value) for value in roster.labels[label]] for name, label in known]
            rows = zip(*columns, strict=True) if columns else ([],) * len(roster)
            kept.texts = Texts.of(",".join(_pair(*p) for p in row if p[1]) for row in rows)
            kept.stamp = stamp
        return kept.texts

    def owned(self, roster: Roster) -> Bools:
        """Which things of a level this shard speaks for: of those that all shards see, only some."""
        kept = self._mine.get(roster.level)
        if kept is None or kept[:2] != (id(roster), roster.version):
            shared = roster.level in SHARED
            mine = np.array([not shared or self._owns(key) for key in roster.keys], np.bool_)
            kept = self._mine[roster.level] = (id(roster), roster.version, mine)
        return kept[2]


def _changes(roster: Roster, label: str) -> npt.NDArray[np.intp] | Ints:
    return roster.codes(label)[0] if label != IDENTITY[roster.level] else _NO_CHANGE


_NO_CHANGE: Ints = np.zeros(0, np.intp)


def _pair(name: str, value: str) -> str:
    return f'{name}="{escape_label(value)}"'


def _join(risks: dict[str, Floats], horizon: str, values: Floats) -> None:
    """Chances of independent failures as one."""
    before = risks.get(horizon)
    if before is not None:
        both = 1 - (1 - before) * (1 - values)
        values = np.where(np.isfinite(both), both, np.where(np.isfinite(before), before, values))
    risks[horizon] = values
