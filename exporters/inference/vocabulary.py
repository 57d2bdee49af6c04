"""What a dialect's names mean, laid out for reading: shared by all engines that speak it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from exporters.inference.dialect import Dialect, Value
from exporters.inference.exposition import Parsed
from gigawatch.catalogue import Kind

LONGEST = 256
"""Characters kept of a label value: a model's name should be shorter."""
_CACHED = 32_768
_CACHED_LENGTH = 2_048
PARTS = ("_bucket", "_sum", "_count")


class Series:
    """One series of an engine, as far as its dialect cares."""

    __slots__ = ("edge", "identity", "labels", "looked_at", "model", "name", "prefix", "rank")

    def __init__(self, parsed: Parsed, dialect: Dialect, edge: float | None) -> None:
        labels = {name: value for name, value in parsed.labels.items() if edge is None or name != "le"}
        self.name = parsed.name
        self.prefix = f"{parsed.key} "
        """How its line begins where a single blank stands before the value."""
        self.labels = labels
        self.edge = edge
        self.identity = (parsed.name, edge or 0.0, tuple(sorted(labels.items())))
        self.model = next((labels[name][:LONGEST] for name in dialect.model_labels if labels.get(name)), None)
        rank = labels.get(dialect.rank_label, "") if dialect.rank_label else ""
        self.rank = "" if rank == "0" else rank[:LONGEST]
        self.looked_at = matches(labels, dialect.only, {})


class Vocabulary:
    """A dialect's names by what they are, and the series already met."""

    def __init__(self, dialect: Dialect) -> None:
        self.dialect = dialect
        self.histograms = frozenset(
            figure.sample.name for figure in dialect.every_figure() if figure.to.kind is Kind.HISTOGRAM
        )
        self._buckets = frozenset(f"{name}_bucket" for name in self.histograms)
        parts = {name + part for name in self.histograms for part in PARTS}
        self.read = dialect.names() | {dialect.version_sample[0]} - {""}
        self.wanted = (self.read - self.histograms) | parts
        self._own = dialect.own or dialect.recognised_by
        self._ignored = frozenset(name for name in dialect.ignored if not name.endswith("*"))
        self._ignored_starts = tuple(name[:-1] for name in dialect.ignored if name.endswith("*"))
        self.met: dict[str, Series] = {}
        """By the text that names them, up to the end of the labels. The same series is the same object, in
        whatever order its labels stand."""
        self._by_identity: dict[object, Series] = {}

    def series(self, parsed: Parsed) -> Series | None:
        """The series of a line whose name is wanted; None where its bucket has no edge."""
        edge = None
        if parsed.name in self._buckets:
            try:
                edge = float(parsed.labels["le"])
            except (KeyError, ValueError):
                return None
            if edge != edge:
                return None
        made = Series(parsed, self.dialect, edge)
        if len(parsed.key) <= _CACHED_LENGTH:
            if len(self.met) >= _CACHED:
                # So many come from names that change all the time: keep none of them.
                self.met.clear()
                self._by_identity.clear()
            made = self.met[parsed.key] = self._by_identity.setdefault(made.identity, made)
        return made

    def unmapped(self, names: Iterable[str], kinds: Mapping[str, str]) -> list[str]:
        """Families of which nothing is read and which are not known to be of no use, in order.

        `names` are those of samples that are not wanted, `kinds` the families that are declared.
        """
        read = {family_of(name, kinds) for name in self.wanted} | self.read
        found = {name: family_of(name, kinds) for name in names}
        for name, kind in kinds.items():
            total = f"{name}_total"
            if kind != "counter" or not (total in found or total in self.wanted):
                found[name] = name
            if kind == "counter" and self._known(total, total, read):
                found.pop(name, None)
        return sorted(
            {
                family
                for name, family in found.items()
                if name.startswith(self._own) and not self._known(name, family, read)
            }
        )

    def _known(self, name: str, family: str, read: set[str]) -> bool:
        if family in read or family.endswith("_created") or name.endswith("_created"):
            return True
        return any(each in self._ignored or each.startswith(self._ignored_starts) for each in (name, family))


_VOCABULARIES: dict[str, Vocabulary] = {}


def vocabulary_of(dialect: Dialect) -> Vocabulary:
    """The one vocabulary of a dialect."""
    known = _VOCABULARIES.get(dialect.engine)
    if known is None or known.dialect is not dialect:
        known = _VOCABULARIES[dialect.engine] = Vocabulary(dialect)
    return known


def matches(labels: Mapping[str, str], where: Mapping[str, Value], but: Mapping[str, Value]) -> bool:
    """Whether labels have one of the values asked for, and none of those left out; "" is an absent label."""
    for name, allowed in where.items():
        value = labels.get(name, "")
        if value != allowed if isinstance(allowed, str) else value not in allowed:
            return False
    for name, refused in but.items():
        value = labels.get(name, "")
        if value == refused if isinstance(refused, str) else value in refused:
            return False
    return True


def family_of(name: str, kinds: Mapping[str, str]) -> str:
    """The family that a sample belongs to, by the declared types: no suffix means anything by itself.

    OpenMetrics declares a counter without its `_total`; here it is called as its sample is.
    """
    if name in kinds:
        return name
    for suffix in (*PARTS, "_created", "_total", "_info"):
        base = name.removesuffix(suffix)
        kind = kinds.get(base) if base != name else None
        if kind in ("histogram", "summary") and suffix in (*PARTS, "_created"):
            return base
        if kind == "counter" and suffix in ("_total", "_created"):
            return f"{base}_total"
        if kind == "info" and suffix == "_info":
            return base
    return name
