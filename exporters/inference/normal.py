"""From what an engine answers at /metrics to the canonical series, by its dialect."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from types import MappingProxyType

from exporters.inference.answer import Answer
from exporters.inference.dialect import Dialect
from exporters.inference.dialects import all_dialects
from exporters.inference.exposition import ExpositionError
from exporters.inference.layout import Layout, Objectives, Pair, Speaker
from exporters.inference.memory import Memory
from exporters.inference.objectives import Objective
from exporters.inference.outputs import Output
from exporters.inference.progress import Stall
from exporters.inference.vocabulary import vocabulary_of
from gigawatch.serving.exposition import Blocks

__all__ = ["Blocks", "ExpositionError", "Normaliser", "Objective", "recognise"]

_LOOKED_THROUGH = 2**20
"""Bytes of an answer in which an engine is looked for."""
_NO_OBJECTIVES: Mapping[str, Objective] = MappingProxyType({})


def recognise(body: bytes) -> Dialect | None:
    """The dialect that speaks in an answer, by the names that no other uses; the first of several."""
    return next((dialect for dialect in all_dialects() if speaks(dialect, body)), None)


def speaks(dialect: Dialect, body: bytes) -> bool:
    """Whether names that only this dialect uses are in an answer."""
    text = b"\n" + body[:_LOOKED_THROUGH]
    names = [start.encode() for start in dialect.recognised_by]
    return any(b"\n" + name in text or b"\n# TYPE " + name in text for name in names)


class Normaliser:
    """The canonical series of one engine. Not safe for several threads at once.

    `replica` is what the engine is called, `model` what it serves where it does not say so itself;
    `objectives` tells the latency objectives of a model, `patience` (seconds) stands in for the dialect's.
    """

    def __init__(
        self,
        dialect: Dialect,
        replica: str,
        model: str = "",
        objectives: Objectives = lambda _: _NO_OBJECTIVES,
        patience: float | None = None,
    ) -> None:
        self.dialect = dialect
        vocabulary = vocabulary_of(dialect)
        self._speaker = Speaker(
            vocabulary, replica, model, objectives, dialect.patience if patience is None else patience
        )
        self._answer = Answer(vocabulary)
        self._memory = Memory()
        self._layout: Layout | None = None
        self._stalls: dict[Pair, Stall] = {}
        self._pieces: dict[str, list[Output]] = {}
        """Outputs by the name of their metric."""
        self._blocks: Blocks = {}
        self._fresh = False
        self._refused: dict[Output, None] = {}
        self._pairs: tuple[tuple[str, str], ...] = ((model, replica),)
        self.rejected: dict[tuple[str, str], int] = {}
        """Series left out because they cannot be true, by metric and reason, over all answers."""
        self.version = ""
        """The engine's version, where it tells one."""
        self.unmapped: tuple[str, ...] = ()
        """Families that the dialect does not know."""
        self.missing: tuple[str, ...] = ()
        """Names that the dialect expects and the engine does not give."""

    def take(self, body: bytes, now: float) -> None:
        """An answer, read at `now` (monotonic seconds).

        Raises ExpositionError for one that cannot be read; then nothing of the one before is served either.
        """
        self._fresh = False
        try:
            changed = self._answer.take(body)
        except ExpositionError:
            self._layout = None
            raise
        layout = self._layout
        stale: Iterable[Output]
        if layout is None or changed is None:
            layout = self._lay_out()
            stale = layout.outputs
        else:
            users = layout.users
            stale = {output for place in changed for output in users[place]}
        values = self._answer.values
        for output in stale:
            output.refresh(values)
        self._show(layout, stale, now)
        self._fresh = True

    def failed(self) -> None:
        """A scrape failed: what was read before is not served again as if it were new."""
        self._fresh = False

    def blocks(self) -> Blocks:
        """Canonical sample lines by metric name, of the last answer; none after a failure."""
        return self._blocks if self._fresh else {}

    @property
    def models(self) -> tuple[str, ...]:
        """Models last seen, or the configured one."""
        return tuple(dict.fromkeys(model for model, _ in self._pairs))

    @property
    def replicas(self) -> tuple[tuple[str, str], ...]:
        """Pairs of model and replica last seen: each rank of data-parallel serving is a replica."""
        return self._pairs

    @property
    def bad_lines(self) -> int:
        """Lines of the last answer that were left out: malformed, cut off, or a series for a second time."""
        return self._answer.bad_lines

    def _lay_out(self) -> Layout:
        """Work out which series there are."""
        answer, dialect, memory = self._answer, self.dialect, self._memory
        layout = Layout(self._speaker, answer, memory)
        if not layout.understood and (answer.names or answer.bad_lines):
            self._layout = None
            needs = f"; it must be {dialect.needs}" if dialect.needs else ""
            raise ExpositionError("no_figures", f"no metric of {dialect.title} in the answer{needs}")
        answer.forget_names()
        if layout.provisional:
            answer.compare_with_nothing()
        self._layout = layout
        self._refused = {}
        self._blocks = {}
        pieces = self._pieces = defaultdict(list)
        for output in layout.outputs:
            pieces[output.metric.name].append(output)
        self._pairs = tuple((model, layout.replica(rank)) for model, rank in layout.pairs)
        self.version = layout.version or self.version
        self.unmapped, self.missing = layout.unmapped, layout.missing
        memory.tidy(len(layout.outputs), {layout.labels(pair) for pair in layout.pairs})
        if len(self._stalls) > 4 * len(layout.watched) + 1000:
            self._stalls.clear()
        for pair in layout.watched:
            self._stalls.setdefault(pair, Stall())
        return layout

    def _show(self, layout: Layout, stale: Iterable[Output], now: float) -> None:
        """Put the lines of all that changed into the blocks."""
        refused = self._refused
        changed: set[str] = set()
        for output in stale:
            changed.update(output.touches)
            if output.refused:
                refused[output] = None
            else:
                refused.pop(output, None)
        for output in refused:
            key = (output.metric.name, output.refused)
            self.rejected[key] = self.rejected.get(key, 0) + 1
        for pair, watched in layout.watched.items():
            before = watched.stalled.text
            watched.judge(self._stalls[pair], now)
            if watched.stalled.text != before:
                changed.update(watched.stalled.touches)
        blocks = self._blocks = dict(self._blocks)  # who holds the old one keeps it
        for name in changed:
            text = "".join([output.text for output in self._pieces[name]])
            if text:
                blocks[name] = text.encode()
            else:
                blocks.pop(name, None)
