"""Which canonical series come from which series of an engine: worked out anew only when those change."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from exporters.inference.answer import Answer
from exporters.inference.choice import Names, choose
from exporters.inference.dialect import Figure, Sample
from exporters.inference.memory import Key, Memory
from exporters.inference.objectives import OBJECTIVE_OF, Objective, follow
from exporters.inference.outputs import (
    Broken,
    Constant,
    Copy,
    Difference,
    Fold,
    Histogram,
    Output,
    Scalar,
    Term,
    is_counter,
)
from exporters.inference.progress import Watched
from exporters.inference.vocabulary import LONGEST, Vocabulary, matches
from gigawatch.catalogue import Kind, Metric
from gigawatch.catalogue.inference import (
    INFERENCE_COUNTING_INFO,
    INFERENCE_PATIENCE,
    INFERENCE_PROGRESS,
    INFERENCE_REQUESTS_RUNNING,
    INFERENCE_REQUESTS_WAITING,
    INFERENCE_STALLED,
)

MAX_MODELS = 200
MAX_REPLICAS = 1_000
"""Pairs of model and rank."""
_MAX_UNMAPPED = 1_000
_MAX_BUCKETS = 500

Pair = tuple[str, str]
"""Model and rank of an engine."""
Objectives = Callable[[str], Mapping[str, Objective]]


@dataclass(frozen=True, slots=True)
class Speaker:
    """What is known of an engine before it says anything."""

    vocabulary: Vocabulary
    replica: str
    model: str
    objectives: Objectives
    patience: float


class Layout:
    """Canonical series of one engine by what its newest answer names."""

    def __init__(self, speaker: Speaker, answer: Answer, memory: Memory) -> None:
        self._speaker, self._memory, self._answer = speaker, memory, answer
        vocabulary = speaker.vocabulary
        dialect = vocabulary.dialect
        self.outputs: list[Output] = []
        self.provisional = False
        """It holds for one answer only."""
        self.users: list[list[Output]] = [[] for _ in answer.series]
        """For each place what is to be renewed when its value changes."""
        self.watched: dict[Pair, Watched] = {}
        self._scalars: dict[Key, Scalar] = {}
        self._by_name: dict[str, list[int]] = defaultdict(list)
        for place, series in enumerate(answer.series):
            if series.looked_at:
                self._by_name[series.name].append(place)
        self._names = Names({series.name for series in answer.series}, answer.kinds)
        figures, self.missing = choose(dialect, self._names)
        self.understood = bool(figures) or any(
            name.startswith(dialect.recognised_by) for names in (answer.names, answer.kinds) for name in names
        )
        self.unmapped = tuple(
            name[:LONGEST] for name in vocabulary.unmapped(answer.names, answer.kinds)[:_MAX_UNMAPPED]
        )
        self.version = self._version(*dialect.version_sample)
        self._pairs = self._pair_up()
        self._told: set[Pair] = set()
        self._figures(figures)
        self.pairs = sorted(self._told) or [(speaker.model, "")]
        for pair in self.pairs:
            self._further(pair)

    def labels(self, pair: Pair) -> tuple[str, str, str]:
        """Engine, model and replica."""
        return (self._speaker.vocabulary.dialect.engine, pair[0], self.replica(pair[1]))

    def replica(self, rank: str) -> str:
        return f"{self._speaker.replica}/{rank}" if rank else self._speaker.replica

    def _version(self, name: str, label: str) -> str:
        found = (self._answer.series[place].labels.get(label, "") for place in self._by_name.get(name, ()))
        return next((version[:LONGEST] for version in found if version), "")

    def _pair_up(self) -> list[Pair | None]:
        """Model and rank of each series; None for those beyond the bounds.

        What names no model belongs to the configured one, or else to the only one that the engine names.
        """
        read = [series for series in self._answer.series if series.looked_at]
        models = dict.fromkeys(series.model for series in read if series.model is not None)
        unnamed = self._speaker.model or (next(iter(models)) if len(models) == 1 else "")
        allowed = set(list(models)[:MAX_MODELS]) | {unnamed}
        pairs: dict[Pair, None] = {}
        found: list[Pair | None] = []
        for series in self._answer.series:
            pair = (unnamed if series.model is None else series.model, series.rank)
            if not series.looked_at or pair[0] not in allowed:
                found.append(None)
            elif pair in pairs or len(pairs) < MAX_REPLICAS:
                pairs[pair] = None
                found.append(pair)
            else:
                found.append(None)
        return found

    def _places(self, sample: Sample, names: Iterable[str]) -> dict[Pair, list[int]]:
        """Places of a sample's series by model and rank, in an order that does not depend on the answer's."""
        series = self._answer.series
        found: dict[Pair, list[int]] = defaultdict(list)
        for name in names:
            for place in self._by_name.get(name, ()):
                pair = self._pairs[place]
                if pair is not None and matches(series[place].labels, sample.where, sample.but):
                    found[pair].append(place)
        for places in found.values():
            places.sort(key=lambda place: series[place].identity)
        return found

    def _figures(self, figures: Sequence[Figure]) -> None:
        """Figures with the same metric and labels are added up."""
        alike: dict[tuple[Metric, tuple[str, ...]], list[Sample]] = defaultdict(list)
        for figure in figures:
            further = tuple(figure.labels[name] for name in figure.to.labels[3:])
            alike[figure.to, further].append(figure.sample)
        for (metric, further), samples in alike.items():
            if metric.kind is Kind.HISTOGRAM:
                self._histograms(metric, samples[0])
            else:
                self._fold(metric, further, samples)
        progress = self._speaker.vocabulary.dialect.progress
        if all(self._names.has(sample.name, Kind.COUNTER) for sample in progress[:1]):
            self._fold(INFERENCE_PROGRESS, (), progress)

    def _fold(self, metric: Metric, further: tuple[str, ...], samples: Sequence[Sample]) -> None:
        terms: dict[Pair, list[Term]] = defaultdict(list)
        plain: dict[Pair, int] = {}
        for at, sample in enumerate(samples):
            if not self._names.plain(sample.name):
                continue
            minus = self._places(sample.minus, (sample.minus.name,)) if sample.minus else None
            for pair, places in self._places(sample, (sample.name,)).items():
                without = minus.get(pair, []) if minus is not None else None
                kept = self._difference(metric, further, pair, at) if sample.minus else None
                terms[pair].append(Term(places, without, kept, sample.scale, sample.fold == "max"))
                if len(places) == 1 and without is None and sample.scale == 1.0:
                    plain[pair] = places[0]
        for pair, found in terms.items():
            key = (metric, (*self.labels(pair), *further))
            places = [place for term in found for place in term.places]
            output = self._unlike_before(key, len(places))
            if output is None:
                scalar = (
                    Copy(*key, plain[pair])
                    if len(found) == 1 and pair in plain
                    else Fold(*key, found, samples[0].fold == "max")
                )
                scalar.silent = any(sample.silent_zero for sample in samples)
                self._scalars[key] = output = scalar
            self._add(pair, output, places)

    def _difference(self, metric: Metric, further: tuple[str, ...], pair: Pair, at: int) -> Difference | None:
        if not is_counter(metric):
            return None
        return self._memory.differences.setdefault(
            (metric, (*self.labels(pair), *further, str(at))), Difference()
        )

    def _histograms(self, metric: Metric, sample: Sample) -> None:
        name = sample.name
        series = self._answer.series
        for pair, places in self._places(sample, (f"{name}_bucket", f"{name}_sum", f"{name}_count")).items():
            sources: dict[object, dict[object, int]] = defaultdict(dict)
            for place in places:
                one = series[place]
                part = one.name.removeprefix(name) if one.edge is None else one.edge
                sources[one.identity[2]][part] = place
            output = self._unlike_before((metric, self.labels(pair)), len(places))
            output = output or self._histogram(metric, pair, list(sources.values()), sample)
            self._add(pair, output, places)

    def _histogram(
        self, metric: Metric, pair: Pair, sources: Sequence[Mapping[object, int]], sample: Sample
    ) -> Output:
        edges = sorted(part for part in sources[0] if isinstance(part, float))
        parts = {*edges, "_sum", "_count"}
        if not edges or edges[-1] != float("inf") or any(source.keys() != parts for source in sources):
            return Broken(metric, "incomplete")
        if len(edges) > _MAX_BUCKETS:
            return Broken(metric, "too_many_buckets")
        labels = self.labels(pair)
        histogram = Histogram(
            metric,
            labels,
            edges,
            [([source[edge] for edge in edges], source["_sum"], source["_count"]) for source in sources],
            sample.scale,
            sample.fold == "max",
        )
        name = OBJECTIVE_OF.get(metric, "")
        objective = self._speaker.objectives(pair[0]).get(name) if name else None
        if objective is not None:
            self.outputs += follow(histogram, labels, name, objective)
        return histogram

    def _unlike_before(self, key: Key, sources: int) -> Output | None:
        """Leave out what lost a part: a sum would fall, and look as if the engine had restarted; what is
        interpolated between a histogram's edges as well.

        Once only, unless lines are malformed: then the part may be one of these.
        """
        known = self._memory.sources
        if sources >= known.get(key, 0):
            known[key] = sources
            return None
        self.provisional = True
        if not self._answer.bad_lines:
            known[key] = sources
        return Broken(key[0], "incomplete")

    def _add(self, pair: Pair, output: Output, places: Iterable[int]) -> None:
        self._told.add(pair)
        self.outputs.append(output)
        for place in places:
            self.users[place].append(output)

    def _further(self, pair: Pair) -> None:
        """What is told of a replica beside its own figures."""
        labels, patience = self.labels(pair), self._speaker.patience
        granularity = self._speaker.vocabulary.dialect.granularity.value
        self.outputs.append(Constant(INFERENCE_COUNTING_INFO, (*labels, granularity), 1.0))
        progress = self._scalars.get((INFERENCE_PROGRESS, labels))
        present = (INFERENCE_REQUESTS_RUNNING, INFERENCE_REQUESTS_WAITING)
        requests = tuple(
            self._scalars[metric, labels] for metric in present if (metric, labels) in self._scalars
        )
        if patience <= 0.0 or progress is None or not requests:
            return
        stalled = Scalar(INFERENCE_STALLED, labels)
        self.outputs += (Constant(INFERENCE_PATIENCE, labels, patience), stalled)
        self.watched[pair] = Watched(progress, requests, stalled)
