"""Which part of a fleet a row belongs to, so that things that explain each other stay together."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from analytics.ingest.shard import Shard
from analytics.recording import Recording
from analytics.recording.rows import LABELS, Layout
from gigawatch.errors import UserError

BY = ("auto", "loop", "rack", "node")
_TIES = {"auto": ("loop", "rack"), "loop": ("loop",), "rack": ("rack",), "node": ()}


class Groups:
    """Nodes, racks and loops that belong together, as named groups.

    `by` says what ties nodes together: their rack and their loop where they are known (auto), one of the two,
    or nothing (node: the spreading is that of `gigawatch analytics serve --shard I/N`).
    """

    def __init__(self, entries: Iterable[Mapping[str, str]], by: str = "auto") -> None:
        if by not in BY:
            raise UserError(f"--by '{by}': allowed: {', '.join(BY)}")
        self.by = by
        self._ties = _TIES[by]
        self._parent: dict[tuple[str, str], tuple[str, str]] = {}
        for labels in entries:
            own = [(kind, labels[kind]) for kind in ("node", *self._ties) if labels.get(kind)]
            for other in own[1:]:
                self._join(own[0], other)
            if own:
                self._root(own[0])
        self.names = {self._root(thing) for thing in self._parent}

    def __len__(self) -> int:
        return max(len(self.names), 1)

    def of(self, labels: Mapping[str, str]) -> str:
        """The name of the group of a row with these labels."""
        for kind in ("node", *self._ties):
            if labels.get(kind):
                return self._root((kind, labels[kind]))[1]
        return next((labels[kind] for kind in LABELS if labels.get(kind)), "")

    def _root(self, thing: tuple[str, str]) -> tuple[str, str]:
        parent = self._parent.setdefault(thing, thing)
        while parent != self._parent[parent]:
            parent = self._parent[parent]
        self._parent[thing] = parent
        return parent

    def _join(self, one: tuple[str, str], other: tuple[str, str]) -> None:
        a, b = self._root(one), self._root(other)
        if a != b:
            # The smaller name stays, so that the outcome does not depend on the order of rows.
            self._parent[max(a, b)] = min(a, b)


class Parts:
    """Which of `count` parts each row belongs to.

    Single nodes are spread by the hash that shards use; groups, of which there are few, so that all parts get
    about the same number of GPUs.
    """

    def __init__(self, groups: Groups, entries: Iterable[Mapping[str, str]], count: int) -> None:
        self._groups, self.count = groups, count
        self._part: dict[str, int] = {}
        if groups.by == "node":
            return
        sizes: dict[str, set[str]] = {}
        for labels in entries:
            sizes.setdefault(groups.of(labels), set()).add(labels.get("uuid", ""))
        loads = [0] * count
        for name in sorted(sizes, key=lambda name: (-len(sizes[name]), name)):
            lightest = loads.index(min(loads))
            self._part[name] = lightest
            loads[lightest] += len(sizes[name])

    def of(self, labels: Mapping[str, str]) -> int:
        """The number of the part of a row with these labels."""
        name = self._groups.of(labels)
        if name in self._part:
            return self._part[name]
        return next(i for i in range(self.count) if Shard(i, self.count).owns(name))


def combinations(recording: Recording) -> list[dict[str, str]]:
    """Every combination of labels of a recording; reads its label columns only."""
    layout = Layout((), recording.layout.labels, recording.layout.book)
    for unit in recording.units:
        for _ in unit.blocks(layout):
            pass  # the book takes note of what it meets
    return [dict(zip(LABELS, entry, strict=True)) for entry in recording.layout.book.entries]
