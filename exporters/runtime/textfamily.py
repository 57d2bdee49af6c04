"""Families of a text in the Prometheus text format: what is right in both formats, in one canonical spelling.

What passes is also right in OpenMetrics: families stand together, buckets are in order and end in +Inf,
counters are neither negative nor NaN.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field

SUFFIXES = {"histogram": ("_bucket", "_sum", "_count"), "summary": ("_sum", "_count")}
BOUND = {"histogram": "le", "summary": "quantile"}
_QUOTED = str.maketrans({"\\": "\\\\", "\n": "\\n", '"': '\\"'})
_HELP = str.maketrans({"\\": "\\\\", "\n": "\\n"})

Labels = tuple[tuple[str, str], ...]
Values = dict[tuple[str, float], float]
"""Values of one label set, by suffix and bound; the bound is 0 where there is none, and never NaN."""


class TextError(Exception):
    """What is wrong in a text, and in which line; 0 where it is no line's fault."""

    def __init__(self, line: int, problem: str) -> None:
        super().__init__(f"line {line}: {problem}" if line else problem)


@dataclass(frozen=True, slots=True)
class Family:
    """One metric of a text: its sample lines as they may be served."""

    name: str
    kind: str
    help: str
    lines: bytes
    groups: frozenset[int]
    """Hashes of its label sets, without le and quantile: two texts may share a family, but no label set."""

    def header(self, otherwise: str) -> bytes:
        """HELP, or `otherwise` where the text has none, and TYPE."""
        text = (self.help or otherwise).translate(_HELP)
        return f"# HELP {self.name} {text}\n# TYPE {self.name} {self.kind}\n".encode()

    def names(self) -> frozenset[str]:
        """Names that it takes up in OpenMetrics, where a counter is called without _total."""
        base, suffixes = self.name, SUFFIXES.get(self.kind, ())
        if self.kind == "counter":
            base, suffixes = self.name.removesuffix("_total"), ("_total",)
        created = ("_created",) if suffixes else ()
        return frozenset({base, *(base + suffix for suffix in (*suffixes, *created))})


@dataclass(slots=True)
class Draft:
    """A family while it is being read; `line` is where it was first named."""

    name: str
    line: int
    kind: str = ""
    help: str | None = None
    groups: dict[Labels, Values] = field(default_factory=dict)


def finish(drafts: dict[str, Draft]) -> dict[str, Family]:
    """Families that have samples, checked. Raises TextError."""
    families: dict[str, Family] = {}
    taken: dict[str, str] = {}
    for draft in drafts.values():
        if draft.groups:
            try:
                family = families[draft.name] = _family(draft)
            except ValueError as error:
                raise TextError(draft.line, f"{draft.kind or 'untyped'} {draft.name}: {error}") from None
            if family.kind in ("counter", "histogram", "summary"):
                taken.update(dict.fromkeys(family.names(), draft.name))
    # When a counter began, as some client libraries write it: no metric of its own in OpenMetrics.
    for name in [n for n in families if n.endswith("_created") and taken.get(n, n) != n]:
        del families[name]
    for name, family in families.items():
        for other in family.names():
            owner = taken.setdefault(other, name)
            if owner != name:
                raise TextError(
                    drafts[name].line, f"{name} and {owner} get the same name ({other}) in OpenMetrics"
                )
    return families


def _family(draft: Draft) -> Family:
    kind = draft.kind or "untyped"
    lines: list[str] = []
    if (kind, draft.name) == ("counter", "_total"):
        raise ValueError("the name is nothing but an ending")
    for labels, values in draft.groups.items():
        _CHECKS.get(kind, _plain)(values)
        fixed = [f'{name}="{value.translate(_QUOTED)}"' for name, value in labels]
        for (suffix, bound), value in _in_order(values):
            pairs = fixed
            if suffix == "_bucket" or (kind == "summary" and not suffix):
                pairs = [f'{BOUND[kind]}="{canonical(bound)}"', *fixed]
            inner = f"{{{','.join(pairs)}}}" if pairs else ""
            lines.append(f"{draft.name}{suffix}{inner} {_written(value)}\n")
    groups = frozenset(hash(labels) for labels in draft.groups)
    return Family(draft.name, kind, draft.help or "", "".join(lines).encode(), groups)


def _in_order(values: Values) -> Iterator[tuple[tuple[str, float], float]]:
    order = ("", "_bucket", "_sum", "_count")
    return iter(sorted(values.items(), key=lambda item: (order.index(item[0][0]), item[0][1])))


def _plain(values: Values) -> None:
    """Gauges and untyped metrics may be anything."""


def _counter(values: Values) -> None:
    for value in values.values():
        if not value >= 0:
            raise ValueError(f"a value is {value}; it can be neither negative nor NaN")


def _histogram(values: Values) -> None:
    buckets = sorted((bound, value) for (suffix, bound), value in values.items() if suffix == "_bucket")
    if not buckets or buckets[-1][0] != math.inf:
        raise ValueError('the bucket le="+Inf" is missing')
    counts = [value for _, value in buckets]
    if not all(value >= 0 and value.is_integer() for value in counts) or counts != sorted(counts):
        raise ValueError("buckets must hold whole numbers that never fall from one to the next")
    total, count = values.get(("_sum", 0.0)), values.get(("_count", 0.0))
    if (total is None) != (count is None):
        raise ValueError("_sum and _count must stand together")
    if count is not None and count != counts[-1]:
        raise ValueError(f"_count is {_written(count)}, the bucket +Inf holds {_written(counts[-1])}")
    if total is not None and (not total >= 0 or buckets[0][0] < 0):
        raise ValueError("with _sum, neither the sum nor a bucket's bound can be negative or NaN")


def _summary(values: Values) -> None:
    for (suffix, bound), value in values.items():
        if not suffix and (not 0 <= bound <= 1 or value < 0):
            raise ValueError(
                f"quantile {canonical(bound)} is {_written(value)}; expected 0 to 1, and 0 or more"
            )
        if suffix and not value >= 0:
            raise ValueError(f"{suffix} is {_written(value)}; it can be neither negative nor NaN")
        if suffix == "_count" and not value.is_integer():
            raise ValueError(f"_count is {_written(value)}; expected a whole number")


_CHECKS = {"counter": _counter, "histogram": _histogram, "summary": _summary}


def canonical(value: float) -> str:
    """A bound as OpenMetrics and Prometheus 3 spell it: 1.0, 2.5, 1e+06, +Inf."""
    text = _written(value)
    point = text.find(".")
    if value > 0 and point > 6:
        digits = f"{text[0]}.{text[1:point]}{text[point + 1 :]}".rstrip("0.")
        return f"{digits}e+{point - 1:02d}"
    return text


def _written(value: float) -> str:
    if math.isfinite(value):
        return repr(value)
    return "NaN" if value != value else "+Inf" if value > 0 else "-Inf"
