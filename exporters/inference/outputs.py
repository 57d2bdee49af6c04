"""Canonical series, each made from the values of some of the engine's, as text ready to be served.

A series that cannot be true is left out, and `refused` says why: absent rather than wrong.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from operator import itemgetter, le

from exporters.runtime.gate import allowed_range
from gigawatch.catalogue import Kind, Metric
from gigawatch.readings import COUNT, SUM
from gigawatch.serving.exposition import series_prefix

Values = Sequence[float]
_EDGE = "edge"


class Output:
    """Lines of one metric, and why there are none."""

    __slots__ = ("metric", "refused", "text", "touches")

    def __init__(self, metric: Metric) -> None:
        self.metric = metric
        self.touches: tuple[str, ...] = (metric.name,)
        """Names of the metrics whose lines change with it."""
        self.text = ""
        self.refused = ""

    def refresh(self, values: Values) -> None:
        """Make the lines anew from the engine's values."""


class Scalar(Output):
    """One number."""

    __slots__ = ("_high", "_prefix", "silent", "value")

    def __init__(self, metric: Metric, labels: tuple[str, ...]) -> None:
        super().__init__(metric)
        self.silent = False
        """0 means that the engine does not count it: no line then."""
        self._prefix = series_prefix(metric, labels)
        self._high = allowed_range(metric)[1]
        self.value: float | None = None
        """None where it is refused."""

    def show(self, value: float) -> None:
        """Take a value, if it is possible. None of an engine's figures is negative."""
        if value == 0.0 and self.silent:
            self.refuse("")
        elif 0.0 <= value <= self._high:
            self.value, self.refused = value, ""
            self.text = f"{self._prefix}{value + 0.0!r}\n"
        else:
            self.refuse("not_a_number" if value != value else "out_of_range")

    def refuse(self, reason: str) -> None:
        self.value, self.text, self.refused = None, "", reason


class Copy(Scalar):
    """A series of the engine as it is."""

    __slots__ = ("_place",)

    def __init__(self, metric: Metric, labels: tuple[str, ...], place: int) -> None:
        super().__init__(metric, labels)
        self._place = place

    def refresh(self, values: Values) -> None:
        self.show(values[self._place])


class Difference:
    """A counter without a part of it. Both are read at two instants, but it falls only where one restarts."""

    __slots__ = ("_minus", "_plus", "_value")

    def __init__(self) -> None:
        self._plus = self._minus = self._value = 0.0

    def step(self, plus: float, minus: float) -> float:
        """The difference now."""
        restarted = plus < self._plus or minus < self._minus
        self._plus, self._minus = plus, minus
        self._value = max(plus - minus, 0.0 if restarted else self._value)
        return self._value


class Term:
    """The series of one sample of the dialect: their sum or the largest, without those of `minus`, scaled."""

    def __init__(
        self,
        plus: Sequence[int],
        minus: Sequence[int] | None,
        difference: Difference | None,
        scale: float,
        largest: bool,
    ) -> None:
        self._plus, self._minus, self._difference = plus, minus, difference
        self._scale, self._fold = scale, max if largest else sum
        self.places = [*plus, *(minus or ())]

    def value(self, values: Values) -> float:
        """Its value; not a number, or negative, if one of the series is."""
        parts = [values[place] for place in self.places]
        if not all(part >= 0.0 for part in parts):
            return min(parts) if all(part == part for part in parts) else float("nan")
        value = float(self._fold([values[place] for place in self._plus]))
        if self._minus is not None:
            minus = sum([values[place] for place in self._minus])
            value = self._difference.step(value, minus) if self._difference else max(value - minus, 0.0)
        return value * self._scale


class Fold(Scalar):
    """Several terms, added up or the largest of them."""

    __slots__ = ("_fold", "_terms")

    def __init__(
        self, metric: Metric, labels: tuple[str, ...], terms: Sequence[Term], largest: bool = False
    ) -> None:
        super().__init__(metric, labels)
        self._terms = terms
        self._fold = max if largest else sum

    def refresh(self, values: Values) -> None:
        found = [term.value(values) for term in self._terms]
        wrong = [value for value in found if not value >= 0.0]
        self.show(wrong[0] if wrong else float(self._fold(found)))


class Histogram(Output):
    """A histogram with the engine's own buckets. `sources` are (places of buckets, of the sum, of the count):
    they are added up, bucket by bucket, or the largest is taken."""

    __slots__ = ("_counts", "_fold", "_high", "_rows", "_scale", "_sums", "_template", "edges", "followers")

    def __init__(
        self,
        metric: Metric,
        labels: tuple[str, ...],
        edges: Sequence[float],
        sources: Sequence[tuple[Sequence[int], int, int]],
        scale: float = 1.0,
        largest: bool = False,
    ) -> None:
        super().__init__(metric)
        self._fold = max if largest else sum
        self.edges = tuple(_rounded(edge * scale) for edge in edges)
        self.followers: list[Callable[[Values], None]] = []
        """Called with the counts by edge; with nothing where the histogram is refused."""
        self._rows = [_several(places) for places, _, _ in sources]
        self._sums = [place for _, place, _ in sources]
        self._counts = [place for _, _, place in sources]
        self._scale = scale
        self._high = allowed_range(metric)[1]
        bucket, total, count = (
            series_prefix(metric, (*labels, part)).replace("%", "%%") + "%r\n" for part in (_EDGE, SUM, COUNT)
        )
        before, after = bucket.rsplit(_EDGE, 1)
        buckets = [f"{before}{edge_text(edge)}{after}" for edge in self.edges]
        self._template = "".join((*buckets, total, count))

    def refresh(self, values: Values) -> None:
        rows = [row(values) for row in self._rows]
        sums = [values[place] for place in self._sums]
        counts = [values[place] for place in self._counts]
        self.refused = self._wrong(rows, sums, counts)
        if self.refused:
            self.text = ""
            added: tuple[float, ...] = ()
        else:
            added = rows[0] if len(rows) == 1 else tuple(map(self._fold, zip(*rows, strict=True)))
            total = self._fold(sums) * self._scale
            self.text = self._template % (*added, total + 0.0, added[-1])
        for follow in self.followers:
            follow(added)

    def _wrong(self, rows: Sequence[tuple[float, ...]], sums: Values, counts: Values) -> str:
        high = self._high
        for row, total, count in zip(rows, sums, counts, strict=True):
            if not (row[0] >= 0.0 and all(map(le, row, row[1:])) and row[-1] == count):
                return "inconsistent"
            if not (0.0 <= total * self._scale <= high and count <= high):
                return "out_of_range"
        return ""


class Broken(Output):
    """What the engine tells in a way that cannot be read: never any lines."""

    __slots__ = ()

    def __init__(self, metric: Metric, reason: str) -> None:
        super().__init__(metric)
        self.refused = reason


class Constant(Scalar):
    """A number that is not the engine's."""

    __slots__ = ()

    def __init__(self, metric: Metric, labels: tuple[str, ...], value: float) -> None:
        super().__init__(metric, labels)
        self.show(value)


def edge_text(edge: float) -> str:
    """An upper edge as the text format spells it."""
    return "+Inf" if edge == float("inf") else repr(edge)


def is_counter(metric: Metric) -> bool:
    return metric.kind is Kind.COUNTER


def _rounded(edge: float) -> float:
    """Without what binary fractions add: 0.3, not 0.30000000000000004."""
    return float(f"{edge:.12g}")


def _several(places: Sequence[int]) -> Callable[[Values], tuple[float, ...]]:
    if len(places) == 1:
        return lambda values: (values[places[0]],)
    return itemgetter(*places)
