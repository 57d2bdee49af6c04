"""Which of a metric's origins a GPU and its driver have: what to read, and what there is not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from exporters.gpu.binding import Binding, Family, Origin, Part, Quick, Sample
from exporters.gpu.nvml import Missing, Nvml, Query
from gigawatch.catalogue import Metric, gpu
from gigawatch.readings import Reading


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of a GPU before a plan is made. `missing` grows while plans run."""

    nvml: Nvml
    identity: tuple[str, str]
    parts: Mapping[Part, int]
    missing: dict[object, Missing]
    memo: dict[str, float]
    offered: frozenset[Metric] | None = None
    """Metrics that the GPU has from elsewhere; None while that is not known."""


class Choice:
    """The first origin of each sample that is not known to be missing."""

    def __init__(self, known: Known, bindings: Sequence[Binding]) -> None:
        self._known = known
        self._without: set[Part] = set()
        self.rows: list[tuple[Metric, Sample, Origin]] = []
        self.queries: dict[object, Query] = {}
        """Functions among the origins, ready to be called."""
        self.metrics: set[Metric] = set()
        """What there is."""
        self.absent: list[Reading] = []
        """What there is not, as readings of the capability info."""
        for binding in bindings:
            instead_of, offered = binding.instead_of, known.offered
            if instead_of is None or (offered is not None and instead_of not in offered):
                self._add(binding)

    def _add(self, binding: Binding) -> None:
        before = len(self.rows)
        told: list[Sample] = []
        for sample in binding.samples:
            if isinstance(sample, Family):
                told += self._take_members(binding.metric, sample)
            elif not self._take(binding.metric, sample):
                told.append(sample)
        if len(self.rows) > before:
            self.metrics.add(binding.metric)
            for one in told:
                if not one.optional:
                    self._tell(one, "/".join((binding.metric.key, *one.labels)))
        elif told and not (binding.quiet or self._said(binding)):
            self._tell(told[0], binding.metric.key)

    def _take(self, metric: Metric, sample: Sample) -> bool:
        origin = self._origin(sample)
        if origin is not None:
            self.rows.append((metric, sample, origin))
        return origin is not None

    def _take_members(self, metric: Metric, family: Family) -> list[Sample]:
        """Samples of the parts, else their total; if there is neither, one that stands for them."""
        count = self._known.parts[family.part]
        members = [family.each(number) for number in range(max(count, 1))]
        taken = [self._take(metric, member) for member in members[:count]]
        if any(taken) or (count and family.total is not None and self._take(metric, family.total)):
            return []
        first = members[0]
        # The labels of the family are those that its members share: all but the part's own.
        return [Sample(first.labels[1:], first.origins, None, first.optional)]

    def _origin(self, sample: Sample) -> Origin | None:
        for origin in sample.origins:
            if origin.key in self._known.missing:
                continue
            if not isinstance(origin, Quick) or self._there(origin):
                return origin
        return None

    def _there(self, origin: Quick) -> bool:
        """Whether the library has the function."""
        if origin.key not in self.queries:
            query = self._known.nvml.query(origin.symbol, origin.arguments, origin.answer(), origin.offsets)
            if isinstance(query, Missing):
                self._known.missing[origin.key] = query
                return False
            self.queries[origin.key] = query
        return True

    def _said(self, binding: Binding) -> bool:
        """Whether it comes from elsewhere, or is about parts that this GPU lacks, as another row has told."""
        if binding.metric in (self._known.offered or ()):
            return True
        parts = {one.part for one in binding.samples if isinstance(one, Family)}
        without = {part for part in parts if not self._known.parts[part]}
        said = bool(without) and without <= self._without
        self._without |= without
        return said

    def _tell(self, sample: Sample, feature: str) -> None:
        origin = sample.origins[0]
        reason = self._known.missing.get(origin.key, Missing.UNSUPPORTED)
        labels = (*self._known.identity, feature, str(origin), reason.value)
        self.absent.append(Reading(gpu.GPU_CAPABILITY_INFO, labels, 1.0))
