"""Stored rows in order of time, in bounded memory, however they are stored."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np

from analytics.fleet.columns import Floats
from analytics.recording.rows import SLICE, Block, Layout, Unit, joined, overlap
from analytics.recording.spill import SpillFile, Stretch

HELD_VALUES = 40_000_000
"""Values that may be held at once (8 bytes each, and as much again while they are sorted)."""
_MOST_FILES = 400
Progress = Callable[[str, float], None]
"""Told what is done (a word) and how far it is, 0 to 1."""


def in_time_order(
    units: Sequence[Unit], layout: Layout, scratch: Callable[[], Path], progress: Progress
) -> Iterator[Block]:
    """All rows, oldest first; the rows of one time stand in one block.

    Units that follow each other, or a few that run side by side, are merged as they are read. Rows that stand
    by entity, so that all of them would have to be held at once, are first spread over scratch files by time.
    """
    most = HELD_VALUES // (len(layout.columns) + 2)
    if overlap(units) <= most:
        yield from _merged(units, layout)
        return
    for part in _spread(units, layout, most, scratch(), progress):
        yield joined([stretch.load() for stretch in part]).sorted()
        part[0].stored.unlink()


def _merged(units: Sequence[Unit], layout: Layout) -> Iterator[Block]:
    waiting = sorted(units, key=lambda unit: unit.first, reverse=True)
    reading: list[tuple[float, Unit, Iterator[Block]]] = []
    pending: list[Block] = []
    held, enough = 0, 2 * SLICE
    while waiting or reading:
        marks = [mark for mark, _, _ in reading]
        if waiting and waiting[-1].first <= min(marks, default=np.inf):
            unit = waiting.pop()
            reading.append((unit.first, unit, unit.blocks(layout)))
            continue
        at = marks.index(min(marks))
        mark, unit, rows = reading[at]
        if held >= enough:
            ready, pending = _before(pending, mark)
            held = sum(map(len, pending))
            enough = max(2 * SLICE, 2 * held)
            if len(ready):
                yield ready
        block = next(rows, None)
        if block is None:
            del reading[at]
            continue
        pending.append(block)
        held += len(block)
        if unit.ordered:
            reading[at] = (float(block.seconds[-1]), unit, rows)
    if pending:
        yield joined(pending).sorted()


def _before(pending: list[Block], mark: float) -> tuple[Block, list[Block]]:
    """What is older than `mark`, sorted, and the rest."""
    whole = joined(pending).sorted()
    cut = int(np.searchsorted(whole.seconds, mark, "left"))
    rest = Block(whole.seconds[cut:].copy(), whole.who[cut:].copy(), whole.values[:, cut:].copy())
    return whole.take(slice(0, cut)), [rest] if len(rest) else []


def _spread(
    units: Sequence[Unit], layout: Layout, most: int, folder: Path, progress: Progress
) -> Iterator[list[Stretch]]:
    """Scratch files of about half of `most` rows each, oldest first, as lists of stretches."""
    total = sum(unit.rows for unit in units)
    count = min(max(2 * total // most, 1), _MOST_FILES)
    edges = _edges(units, count)
    files = [SpillFile(folder / f"{i}.sorted", units[0].path) for i in range(len(edges) + 1)]
    parts: list[list[Stretch]] = [[] for _ in files]
    done = 0
    for unit in units:
        for block in unit.blocks(layout):
            part = np.searchsorted(edges, block.seconds, "right")
            order = np.argsort(part, kind="stable")
            bounds = np.searchsorted(part[order], np.arange(len(files) + 1))
            for i in np.flatnonzero(np.diff(bounds)).tolist():
                parts[i].append(files[i].add(block.take(order[bounds[i] : bounds[i + 1]])))
            done += len(block)
            progress("sorting by time", done / total)
    for file in files:
        file.close()
    yield from filter(None, parts)


def _edges(units: Sequence[Unit], count: int) -> Floats:
    """Times that cut the rows into `count` parts of about the same size."""
    points = 64
    times = np.concatenate([np.linspace(unit.first, unit.last, points) for unit in units])
    weight = np.repeat([unit.rows / points for unit in units], points)
    order = np.argsort(times)
    share = np.cumsum(weight[order])
    cuts = np.searchsorted(share, share[-1] * np.arange(1, count) / count)
    return np.unique(times[order][cuts])
