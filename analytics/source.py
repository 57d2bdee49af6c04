"""From Prometheus to ticks: all signals of one moment, or a stretch of history, over one fleet."""

from __future__ import annotations

import logging
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from analytics.columns import Floats, Ints
from analytics.fleet import IDENTITY, Fleet, Level, Tick
from analytics.prometheus import AnswerError, Prometheus, QueryError, Series, Vector
from analytics.signals import ESSENTIAL, JOBS, PLACES, SIGNALS, Signal
from gigawatch.errors import UserError

log = logging.getLogger(__name__)
PLACES_EVERY, JOBS_EVERY = 60.0, 5.0
_SHARDED = (Level.GPU, Level.NODE)
Complaint = Callable[[str, UserError], None]
"""Told about a failure that does not end the tick: reason (query, answer) and the error."""


@dataclass(frozen=True, slots=True)
class Shard:
    """This process' part of the fleet: nodes are spread by a hash of their name."""

    index: int = 0
    count: int = 1

    @classmethod
    def parse(cls, text: str) -> Shard:
        """`i/n`, such as 0/4. UserError says what is allowed."""
        left, _, right = text.partition("/")
        if not (left.isdigit() and right.isdigit() and int(left) < int(right)):
            raise UserError(f"--shard '{text}': write I/N with I from 0 to N-1, such as 0/4")
        return cls(int(left), int(right))

    def owns(self, name: str) -> bool:
        """Whether the node (or rack, or loop) of that name belongs to this shard."""
        return self.count == 1 or zlib.crc32(name.encode()) % self.count == self.index


class Source:
    """Asks Prometheus and keeps the rosters up to date."""

    def __init__(
        self,
        prometheus: Prometheus,
        fleet: Fleet,
        shard: Shard | None = None,
        complain: Complaint = lambda _reason, _error: None,
    ) -> None:
        self._prometheus = prometheus
        self.fleet = fleet
        self.shard = shard or Shard()
        self.complain = complain
        self._rows: dict[str, tuple[Series, Ints]] = {}
        self._loops: dict[str, str] = {}
        self._racks: dict[str, str] = {}
        self._asked = {"places": 0.0, "jobs": 0.0}
        self.counts: dict[str, int] = {}
        """Series per signal in the last tick."""

    def adopt(self, fleet: Fleet) -> None:
        """Fill other rosters from now on."""
        self.fleet = fleet
        self._rows.clear()

    def forget_rows(self) -> None:
        """Call after the rosters were rearranged."""
        self._rows.clear()

    def read(self, now: float) -> Tick:
        """All signals at `now`. QueryError or AnswerError if an essential one cannot be had."""
        answers = self._ask_all(now)
        self._learn_places(now)
        tick = Tick(now, self.fleet)
        found: dict[str, tuple[Vector, Ints]] = {}
        for signal in SIGNALS:
            vector = answers.get(signal.key)
            if vector is not None:
                found[signal.key] = (vector, self._enrol(signal, vector.series))
        self._learn_jobs(now)
        for signal in SIGNALS:
            if signal.key not in found:
                continue
            vector, rows = found[signal.key]
            roster = self.fleet[signal.level]
            values = np.full(len(roster), np.nan)
            mine = rows >= 0
            values[rows[mine]] = vector.values[mine]
            values[~np.isfinite(values)] = np.nan
            roster.seen[np.isfinite(values)] = now
            tick.values[signal.key] = values
            self.counts[signal.key] = int(np.isfinite(values).sum())
        return tick

    def _ask_all(self, now: float) -> dict[str, Vector]:
        answers: dict[str, Vector] = {}
        with ThreadPoolExecutor(4) as pool:
            pending = {
                signal: pool.submit(self._prometheus.query, signal.query.text, now) for signal in SIGNALS
            }
            problem: UserError | None = None
            for signal, future in pending.items():
                try:
                    answers[signal.key] = future.result()
                except (QueryError, AnswerError) as error:
                    if signal in ESSENTIAL:
                        problem = problem or error
                    else:
                        self.complain("query" if isinstance(error, QueryError) else "answer", error)
        if problem is not None:
            raise problem
        return answers

    def _enrol(self, signal: Signal, series: Series) -> Ints:
        """Row of every series; -1 for those of another shard or without identity."""
        kept = self._rows.get(signal.key)
        if kept is not None and kept[0] is series:
            return kept[1]
        rows = self.enrol(signal.level, series.labels)
        self._rows[signal.key] = (series, rows)
        return rows

    def enrol(self, level: Level, labels: Sequence[Mapping[str, str]]) -> Ints:
        """Rows of the things with these labels, added where they are new."""
        rows = np.full(len(labels), -1, np.intp)
        own = IDENTITY[level]
        mine = [
            i
            for i, given in enumerate(labels)
            if given.get(own) and (level not in _SHARDED or self.shard.owns(given.get("node", "")))
        ]
        keys = [labels[i][own] for i in mine]
        given = [self._placed(labels[i]) for i in mine]
        rows[mine] = self.fleet[level].rows(keys, given)
        return rows

    def _placed(self, labels: Mapping[str, str]) -> dict[str, str]:
        node = labels.get("node", "")
        placed = dict(labels)
        if node in self._loops:
            placed["loop"] = self._loops[node]
        if node in self._racks and not placed.get("rack"):
            placed["rack"] = self._racks[node]
        return placed

    def _learn_places(self, now: float) -> None:
        if now - self._asked["places"] < PLACES_EVERY and self._loops:
            return
        try:
            series = self._prometheus.query(PLACES.text, now).series
        except (QueryError, AnswerError) as error:
            self.complain("query", error)
            return
        self._asked["places"] = now
        loops = {item["node"]: item.get("loop", "") for item in series.labels if "node" in item}
        if loops == self._loops:
            return
        self._loops = loops
        self._racks = {item["node"]: item.get("rack", "") for item in series.labels if "node" in item}
        self._rows.clear()
        for level in (Level.GPU, Level.NODE):
            roster = self.fleet[level]
            for row, node in enumerate(roster.labels["node"]):
                if node in loops:
                    roster.set(row, "loop", loops[node])

    def _learn_jobs(self, now: float) -> None:
        if now - self._asked["jobs"] < JOBS_EVERY:
            return
        try:
            series = self._prometheus.query(JOBS.text, now).series
        except (QueryError, AnswerError) as error:
            self.complain("query", error)
            return
        self._asked["jobs"] = now
        jobs = {item["uuid"]: item.get("job_id", "") for item in series.labels if "uuid" in item}
        gpus = self.fleet[Level.GPU]
        for row, uuid in enumerate(gpus.keys):
            gpus.set(row, "job", jobs.get(uuid, ""))

    def history(self, start: float, end: float, step: float) -> Iterator[Tick]:
        """Ticks from `start` to `end`, oldest first. Raises like `read` if an essential signal fails."""
        self._learn_places(end)
        count = int((end - start) // step) + 1
        if count < 1:
            return
        tables: dict[str, Floats] = {}
        for signal in SIGNALS:
            try:
                tracks = self._prometheus.query_range(signal.query.text, start, end, step)
            except (QueryError, AnswerError) as error:
                if signal in ESSENTIAL:
                    raise
                self.complain("query" if isinstance(error, QueryError) else "answer", error)
                continue
            rows = self.enrol(signal.level, [track.labels for track in tracks])
            table = np.full((count, len(self.fleet[signal.level])), np.nan)
            for row, track in zip(rows, tracks, strict=True):
                slots = np.rint((track.times - start) / step).astype(np.intp)
                fits = (slots >= 0) & (slots < count)
                if row >= 0:
                    table[slots[fits], row] = track.values[fits]
            tables[signal.key] = table
        self._learn_jobs(end)
        for i in range(count):
            tick = Tick(start + i * step, self.fleet, {key: table[i].copy() for key, table in tables.items()})
            if any(np.isfinite(values).any() for values in tick.values.values()):
                for signal in SIGNALS:
                    values = tick.value(signal.key, signal.level)
                    self.fleet[signal.level].seen[np.isfinite(values)] = tick.now
                yield tick
