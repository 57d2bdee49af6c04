"""Recordings in CSV: parsed once, then kept in memory or, if they are long, in a scratch file."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd

from analytics.files import csv_chunks, numbers, times
from analytics.recording.rows import JOBS, Block, Column, Layout, Unit
from analytics.recording.spill import Held, SpillFile
from gigawatch.errors import FileError

HELD = 1 << 20
"""Rows of a CSV file that are kept in memory."""
_CHUNK = 1 << 17


def csv_units(path: Path, layout: Layout, scratch: Callable[[], Path]) -> list[Unit]:
    """The rows of a file, parsed. FileError names line and column of the first thing wrong."""
    units: list[Unit] = []
    rows, spill = 0, None
    for block in _blocks(path, layout):
        if rows + len(block) > HELD and spill is None:
            spill = SpillFile(scratch() / f"{path.stem}.rows", path)
            units = [spill.add(unit.block, unit.begin) for unit in units if isinstance(unit, Held)]
        units.append(Held(path, block, rows) if spill is None else spill.add(block, rows))
        rows += len(block)
    if spill is not None:
        spill.close()
    if not rows:
        raise FileError(path, "", "has a header and no rows", "add rows")
    return units


def _blocks(path: Path, layout: Layout) -> Iterator[Block]:
    wanted = ("timestamp", *layout.labels, *layout.columns)
    for frame in csv_chunks(path, wanted, ("timestamp", *layout.labels), _CHUNK):
        labels = {
            ("job" if name in JOBS else name): _labels(frame[name])
            for name in layout.labels
            if name in frame.columns
        }
        values = np.full((len(layout.columns), len(frame)), np.nan)
        seconds = times(path, frame)
        for i, name in enumerate(layout.columns):
            if name in frame.columns:
                values[i] = numbers(path, frame, name)
        yield Block(seconds, layout.book.number(labels, len(frame)), values)


def _labels(cells: pd.Series) -> Column:
    codes, names = pd.factorize(cells)
    texts = [str(name) for name in names]
    return Column(codes.astype(np.intp), texts)
