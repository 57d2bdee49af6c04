"""Which figures of a dialect an answer lets us read, and which names of it we miss."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from exporters.inference.dialect import Dialect, Figure
from exporters.inference.vocabulary import PARTS
from gigawatch.catalogue import Kind
from gigawatch.catalogue.inference import INFERENCE_TOKENS

_PLAIN_NOT = ("histogram", "summary")


class Names:
    """What an answer names: samples, and families that are declared but have no sample yet.

    A labelled series often appears only when it is first used; that is no drift.
    """

    def __init__(self, samples: Collection[str], kinds: Mapping[str, str]) -> None:
        self._samples = samples
        self._kinds = kinds

    def plain(self, name: str) -> bool:
        """Whether a sample is one number: not a family that the engine declares a histogram."""
        return self._kinds.get(name) not in _PLAIN_NOT

    def has(self, name: str, kind: Kind) -> bool:
        """Whether a figure's name is there, as what the figure takes it for: the type decides, no suffix."""
        declared = self._kinds.get(name)
        if kind is Kind.HISTOGRAM:
            return declared == "histogram" or (declared is None and f"{name}_bucket" in self._samples)
        if name in self._samples:
            return self.plain(name)
        if declared is not None:
            return self.plain(name)
        if self._kinds.get(name.removesuffix("_total")) == "counter":
            return name.endswith("_total")
        return any(
            self._kinds.get(name.removesuffix(part)) in _PLAIN_NOT for part in PARTS if name.endswith(part)
        )

    def lacks(self, figure: Figure) -> list[str]:
        """The names of a figure that are not there."""
        return [name for name in figure.sample.names() if not self.has(name, figure.to.kind)]


def choose(dialect: Dialect, names: Names) -> tuple[list[Figure], tuple[str, ...]]:
    """The figures to be read, and the expected names that are absent."""
    chosen: list[Figure] = []
    missing: dict[str, None] = {}
    for figure in dialect.figures:
        ways = ((figure,),) if isinstance(figure, Figure) else figure.sets
        lacked = [[name for one in way for name in names.lacks(one)] for way in ways]
        for way, lack in zip(ways, lacked, strict=True):
            if not lack:
                chosen += way
                break
        else:
            if figure.expected and lacked:
                missing.update(dict.fromkeys(lacked[0]))
    told = any(figure.to is INFERENCE_TOKENS and figure.labels["kind"] == "generation" for figure in chosen)
    return chosen, tuple(missing) if told or not dialect.lazy else ()
