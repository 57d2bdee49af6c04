"""From Prometheus to ticks: all signals of one moment, or a stretch of history, over one fleet."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

import numpy as np

from analytics.fleet import IDENTITY, Fleet, Level, Tick
from analytics.fleet.columns import Floats, Ints
from analytics.ingest.holders import Jobs, Places
from analytics.ingest.index import Index
from analytics.ingest.prometheus import AnswerError, Matrix, Prometheus, QueryError, Series, Vector
from analytics.ingest.shard import Shard, restricted
from analytics.signals import ESSENTIAL, JOBS, PLACES, POWER, SIGNALS, Signal
from gigawatch.errors import UserError

PLACES_EVERY, JOBS_EVERY = 60.0, 5.0
_NODES = f"group by (node) ({POWER.query.text})"
"""All nodes with GPUs."""
GHOST_FOR = 600.0
"""A GPU whose slot another one took and that reports for so long (twice the lookback) is there after all."""
_LANES = 4
"""Queries at a time, and answers held at a time."""
_POINTS = 2_000_000
"""Points of one signal held at a time while history is read."""
_STEPS = 720
"""Times in one question about history; Prometheus allows 11,000."""
_SHARDED = (Level.GPU, Level.NODE)
Complaint = Callable[[str, UserError], None]
"""Told about a failure that does not end the tick: reason (query, answer) and the error."""
A = TypeVar("A", Vector, Matrix)


class Source:
    """Asks Prometheus and keeps the rosters up to date."""

    def __init__(
        self,
        prometheus: Prometheus,
        fleet: Fleet,
        shard: Shard | None = None,
        complain: Complaint = lambda _reason, _error: None,
        signals: Sequence[Signal] = SIGNALS,
    ) -> None:
        self._prometheus = prometheus
        self._signals = signals
        self.fleet = fleet
        self.shard = shard or Shard()
        self.complain = complain
        self._places, self._jobs = Places(), Jobs()
        self._index: dict[Level, tuple[tuple[Fleet, int], Index]] = {}
        self._asked: dict[str, float] = {}
        self._queries = {signal.key: signal.query.text for signal in signals}
        self._narrow = self.shard.count > 1
        self.counts: dict[str, int] = {}
        """Series per signal when it was last asked for."""

    @property
    def skew(self) -> float | None:
        """Seconds that Prometheus' clock is ahead of ours; None before its first answer."""
        return self._prometheus.skew

    def probe(self, now: float) -> None:
        """Ask for nothing in particular, to compare clocks. QueryError or AnswerError."""
        self._prometheus.query("vector(1)", now)

    def adopt(self, fleet: Fleet) -> None:
        """Fill other rosters from now on."""
        self.fleet = fleet
        self._places, self._jobs = Places(), Jobs()
        for query in (PLACES.text, JOBS.text):
            self._prometheus.forget(query)
            self._asked.pop(query, None)

    def read(self, now: float) -> Tick:
        """All signals at `now`. QueryError or AnswerError if an essential one cannot be had."""
        self._prepare(now)
        due = [s for s in self._signals if not s.every or self._due(s.query.text, now, s.every)]
        found: dict[str, tuple[Floats, Ints]] = {}
        for signal, vector in self._ask(due, lambda s: self._prometheus.query(self._queries[s.key], now)):
            found[signal.key] = (vector.values, self._rows(signal, vector.series, now))
            self._asked[signal.query.text] = now
        self._learn_jobs(now)
        return self._tick(now, found)

    def _due(self, query: str, now: float, every: float) -> bool:
        return not 0 <= now - self._asked.get(query, -np.inf) < 0.9 * every

    def _ask(self, signals: Iterable[Signal], ask: Callable[[Signal], A]) -> Iterator[tuple[Signal, A]]:
        """Answers in order, a few questions ahead. Raises if an essential one fails; complains otherwise."""
        waiting = iter(signals)
        with ThreadPoolExecutor(_LANES) as pool:
            ahead: list[tuple[Signal, Future[A]]] = [
                (s, pool.submit(ask, s)) for s in islice(waiting, _LANES)
            ]
            while ahead:
                signal, future = ahead.pop(0)
                try:
                    answer = future.result()
                    for warning in answer.warnings:
                        self.complain("answer", AnswerError(warning))
                    yield signal, answer
                except (QueryError, AnswerError) as error:
                    if signal in ESSENTIAL:
                        for _, other in ahead:
                            other.cancel()
                        raise
                    self.complain("query" if isinstance(error, QueryError) else "answer", error)
                ahead += [(s, pool.submit(ask, s)) for s in islice(waiting, 1)]

    def _rows(self, signal: Signal, series: Series, now: float) -> Ints:
        return self._index[signal.level][1].rows(
            signal.key,
            series,
            lambda labels: self.enrol(signal.level, labels, now),
            signal in ESSENTIAL or signal.level is not Level.GPU,
        )

    def _note_rearranged(self) -> None:
        """Rows that are known are void once a roster was rearranged: all labels are read again."""
        for level, roster in self.fleet.roster.items():
            stamp = (self.fleet, roster.arranged)
            kept = self._index.get(level)
            if kept is None or kept[0] != stamp:
                self._index[level] = (stamp, Index())
                for signal in self._signals:
                    if signal.level is level:
                        self._prometheus.forget(self._queries[signal.key])

    def enrol(self, level: Level, labels: Sequence[Mapping[str, str]], now: float | None = None) -> Ints:
        """Rows of the things with these labels, added where they are new; -1 for those of other shards."""
        rows = np.full(len(labels), -1, np.intp)
        own = IDENTITY[level]
        mine = [
            i
            for i, given in enumerate(labels)
            if given.get(own) and (level not in _SHARDED or self.shard.owns(given.get("node", "")))
        ]
        keys = [labels[i][own] for i in mine]
        given = [self._places.placed(labels[i]) for i in mine]
        if level is Level.GPU:
            for uuid, placed in zip(keys, given, strict=True):
                placed["job"] = self._jobs.of(uuid)
        rows[mine] = self.fleet[level].rows(keys, given, now)
        return rows

    def _tick(self, now: float, found: Mapping[str, tuple[Floats, Ints]]) -> Tick:
        tick = Tick(now, self.fleet)
        for signal in sorted((s for s in self._signals if s.key in found), key=lambda s: s.sparse):
            given, rows = found[signal.key]
            roster = self.fleet[signal.level]
            values = np.full(len(roster) + 1, np.nan)  # the last is for those that have no row
            values[rows] = given
            values = values[:-1]
            values[~np.isfinite(values)] = np.nan
            there = np.isfinite(values)
            if signal.sparse:
                values[~there & (roster.seen == now)] = 0.0
            tick.values[signal.key] = values
            self.counts[signal.key] = int(np.count_nonzero(there))
            roster.seen[there & ~roster.gone] = now
        if self.fleet[Level.GPU].gone.any():
            self._lay_ghosts(tick)
        return tick

    def _lay_ghosts(self, tick: Tick) -> None:
        """A GPU whose slot another one took is absent, unless it goes on to report."""
        gpus = self.fleet[Level.GPU]
        gone = np.flatnonzero(gpus.gone)
        reports = np.isfinite([tick.value(s.key, s.level)[gone] for s in ESSENTIAL]).any(axis=0)
        for row in gone[reports].tolist():
            rival = gpus.rival(row)
            if tick.now - gpus.slot_since[rival] > GHOST_FOR:
                gpus.revive(row, tick.now, tick.now - gpus.seen[rival] > GHOST_FOR)
        for signal in self._signals:
            if signal.level is Level.GPU and signal.key in tick.values:
                tick.values[signal.key][gpus.gone] = np.nan

    def _prepare(self, now: float) -> None:
        self._note_rearranged()
        self._learn_places(now)
        if self._narrow and self._due(_NODES, now, PLACES_EVERY):
            self._learn_nodes(now)

    def _learn_nodes(self, now: float) -> None:
        """Ask for our own nodes only from now on; new ones are found within a minute."""
        try:
            with_gpus = self._prometheus.query(_NODES, now).series.labels
            nodes = {item["node"] for item in with_gpus if item.get("node")}
            pattern = self.shard.pattern(nodes.union(self._places.nodes))
            queries = {
                signal.key: restricted(signal.query.text, pattern)
                for signal in self._signals
                if signal.level in _SHARDED
            }
            if queries.items() <= self._queries.items():
                return
            self._prometheus.query(queries[POWER.key], now)  # some servers refuse long queries
        except (QueryError, AnswerError) as error:
            self.complain("query" if isinstance(error, QueryError) else "answer", error)
            if not (isinstance(error, QueryError) and error.refused):
                return
            self._narrow = False
            queries = {signal.key: signal.query.text for signal in self._signals}
        finally:
            self._asked[_NODES] = now
        for key, query in queries.items():
            if self._queries[key] != query:
                self._prometheus.forget(self._queries[key])
        self._queries |= queries

    def _learn_places(self, now: float) -> None:
        if self._places and not self._due(PLACES.text, now, PLACES_EVERY):
            return
        try:
            self._places.learn(self._prometheus.query(PLACES.text, now).series, self.fleet)
            self._asked[PLACES.text] = now
        except (QueryError, AnswerError) as error:
            self.complain("query", error)

    def _learn_jobs(self, now: float) -> None:
        if not self._due(JOBS.text, now, JOBS_EVERY):
            return
        try:
            self._jobs.learn(self._prometheus.query(JOBS.text, now).series, self.fleet)
            self._asked[JOBS.text] = now
        except (QueryError, AnswerError) as error:
            self.complain("query", error)

    def history(self, start: float, end: float, step: float) -> Iterator[Tick]:
        """Ticks from `start` to `end`, oldest first, read in stretches that fit into memory.

        Raises like `read` if an essential signal fails.
        """
        left = int((end - start) / step + 1e-6) + 1
        asked = False
        while left > 0:
            things = max(len(self.fleet[Level.GPU]), 1000)
            steps = min(left, _STEPS, max(1, _POINTS // things)) if asked else min(left, 10)
            yield from self._stretch(start, step, steps, end)
            start, left, asked = start + steps * step, left - steps, True

    def _stretch(self, start: float, step: float, steps: int, end: float) -> Iterator[Tick]:
        self._prepare(end)
        each = {s.key: max(1, round(s.every / step)) for s in self._signals}

        def ask(signal: Signal) -> Matrix:
            stride = each[signal.key]
            return self._prometheus.query_grid(
                self._queries[signal.key], start, stride * step, -(-steps // stride)
            )

        tables = {
            signal.key: (matrix.table, self._rows(signal, matrix.series, end))
            for signal, matrix in self._ask(self._signals, ask)
        }
        self._learn_jobs(end)
        for i in range(steps):
            found = {
                key: (table[:, i // each[key]], rows)
                for key, (table, rows) in tables.items()
                if i % each[key] == 0
            }
            tick = self._tick(start + i * step, found)
            if any(np.isfinite(values).any() for values in tick.values.values()):
                yield tick
