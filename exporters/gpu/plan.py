"""What one lane asks of one GPU, worked out once so that a pass costs little.

A plan holds only what this GPU and driver have: one batch of fields, the functions called straight, and the
rest. Labels are made with it and stay the same objects from pass to pass. When something turns out to be
missing, the plan is worked out anew, with the next origin in its place.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from exporters.gpu.binding import Binding, Call, Derived, Field, Pick, Quick, Sample, Snapshot
from exporters.gpu.choice import Choice, Known
from exporters.gpu.nvml import FieldBatch, FieldKey, Handle, Missing, Query, decode, entry_verdict, verdict
from exporters.runtime import SourceError
from exporters.runtime.gate import SENTINELS
from gigawatch.catalogue import Metric
from gigawatch.readings import Reading

_MOST_KEPT = 64
_U32, _U64 = 1, 3  # NVML_VALUE_TYPE_UNSIGNED_INT and _UNSIGNED_LONG_LONG, by far the most frequent
_SENTINELS = frozenset((2**32 - 1, 2**64 - 1))
_NARROW = frozenset((_U32, 5, 6))

Labels = tuple[str, ...]


class _Spread:
    """Readings of a bit mask or an enum. The same value gives the same readings, kept."""

    def __init__(self, metric: Metric, identity: Labels, sample: Sample) -> None:
        self._metric, self._identity, self._sample = metric, identity, sample
        self._kept: dict[float, tuple[Reading, ...]] = {}

    def readings(self, value: float, snapshot: Snapshot) -> tuple[Reading, ...]:
        found = self._kept.get(value)
        if found is None:
            if len(self._kept) >= _MOST_KEPT:
                self._kept.clear()
            found = self._kept[value] = tuple(self._made(value, snapshot))
        return found

    def _made(self, value: float, snapshot: Snapshot) -> Iterator[Reading]:
        metric, identity = self._metric, self._identity
        if value in SENTINELS:
            # Only for the range gate to count.
            yield Reading(metric, (*identity, next(iter(metric.values.values()))[0]), value)
        elif self._sample.spread is not None:
            for labels, part in self._sample.spread(value, snapshot):
                yield Reading(metric, identity + labels, part)


_FieldStep = tuple[FieldKey, Metric, Labels, float, Pick | None]
_QueryStep = tuple[Pick, Metric, Labels, float, _Spread | None]
_OtherStep = tuple[Derived | Call | Field, Metric, Labels, _Spread | None]


class Plan:
    """One lane of one GPU."""

    def __init__(self, known: Known, bindings: Sequence[Binding]) -> None:
        self._known = known
        self._steps: list[_FieldStep] = []
        self._wanted: dict[FieldKey, None] = {}
        self._queries: dict[object, tuple[Query, list[_QueryStep]]] = {}
        self._others: list[_OtherStep] = []
        choice = Choice(known, bindings)
        for metric, sample, origin in choice.rows:
            labels = known.identity + sample.labels
            several = None if sample.spread is None else _Spread(metric, labels, sample)
            if isinstance(origin, Quick):
                _, steps = self._queries.setdefault(origin.key, (choice.queries[origin.key], []))
                steps.append((origin.pick, metric, labels, origin.factor, several))
            elif isinstance(origin, Field) and several is None:
                self._steps.append((origin.keys[0], metric, labels, origin.factor, origin.pick))
            else:
                self._wanted.update(dict.fromkeys(origin.keys))
                self._others.append((origin, metric, labels, several))
        self.metrics, self.absent = choice.metrics, choice.absent
        """What this plan gives readings of, and what the GPU does not offer."""
        self._keys = (*(step[0] for step in self._steps), *self._wanted)
        self._batch = known.nvml.fields(self._keys) if self._keys else None

    def run(self, handle: Handle, readings: list[Reading], troubles: list[SourceError]) -> bool:
        """One pass. False if something turned out to be missing: then a new plan must be made and run.

        Raises GpuGone or DriverGone.
        """
        known = self._known
        before = len(known.missing)
        snapshot = Snapshot(known.nvml, handle, known.missing, known.memo)
        self._run_fields(handle, snapshot, readings)
        self._run_queries(handle, snapshot, readings)
        for origin, metric, labels, several in self._others:
            value = origin.value(snapshot)
            if isinstance(value, Missing):
                known.missing.setdefault(origin.key, value)
            elif value is not None and several is not None:
                readings += several.readings(value, snapshot)
            elif value is not None:
                readings.append(Reading(metric, labels, value))
        troubles += snapshot.troubles
        return len(known.missing) == before

    def _run_fields(self, handle: Handle, snapshot: Snapshot, readings: list[Reading]) -> None:
        batch = self._batch
        if batch is None:
            return
        try:
            outcome = batch if isinstance(batch, Missing) else batch.read(handle)
        except SourceError as error:
            snapshot.trouble(error)
            return
        if isinstance(outcome, Missing):
            self._known.missing.update(dict.fromkeys(self._keys, outcome))
        if outcome is not True or not isinstance(batch, FieldBatch):
            return
        entries = batch.entries()
        append, new, make, sentinels = readings.append, tuple.__new__, Reading, _SENTINELS
        # The steps come first, so that zip takes no entry beyond them.
        for (key, metric, labels, factor, pick), (kind, status, raw) in zip(
            self._steps, entries, strict=False
        ):
            if status:
                self._miss(key, entry_verdict(status, key))
                continue
            value: float | Missing | None
            if kind == _U64:
                value = raw
            elif kind == _U32:
                value = raw & 0xFFFFFFFF
            else:
                value = decode(kind, raw)
                if value is None:
                    continue
            if value in sentinels:
                value = float(value)  # as it is, so that the range gate knows and counts it
            elif pick is None:
                value *= factor
            else:
                value = pick(value)  # a plain number: None and Missing are for answers of functions
            append(new(make, (metric, labels, value, None)))
        if self._wanted:
            self._load(entries, snapshot)

    def _load(self, entries: Iterator[tuple[int, int, int]], snapshot: Snapshot) -> None:
        """Fields for those that work with several values."""
        fields: dict[FieldKey, float | None] = {}
        narrow = []
        for key, (kind, status, raw) in zip(self._wanted, entries, strict=True):
            if status:
                self._miss(key, entry_verdict(status, key))
                continue
            fields[key] = decode(kind, raw)
            if kind in _NARROW:
                narrow.append(key)
        snapshot.load(fields, frozenset(narrow))

    def _run_queries(self, handle: Handle, snapshot: Snapshot, readings: list[Reading]) -> None:
        append, new, make, sentinels = readings.append, tuple.__new__, Reading, _SENTINELS
        for key, (query, steps) in self._queries.items():
            code = query(handle)
            if code:
                try:
                    self._miss(key, verdict(code, query.symbol))
                except SourceError as error:
                    snapshot.trouble(error)
                continue
            answer = query.answer
            for pick, metric, labels, factor, several in steps:
                value = pick(answer)
                if value is None:
                    continue
                if isinstance(value, Missing):
                    self._miss(key, value)
                    break
                value = float(value) if value in sentinels else value * factor
                if several is None:
                    append(new(make, (metric, labels, value, None)))
                else:
                    readings += several.readings(value, snapshot)

    def _miss(self, key: object, reason: Missing | None) -> None:
        if reason is not None:
            self._known.missing[key] = reason
