"""Scoring a file: the novelty detector over one series, strictly in time order."""

from __future__ import annotations

import csv
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

import numpy as np

from analytics.detectors.novelty import EventLayer, NoveltyKernel
from analytics.fleet.columns import Floats
from gigawatch.errors import FileError


def score_series(values: Floats, times: Floats) -> Floats:
    """Score 0..1 of every row; row i depends on rows up to i only. Gaps (NaN) score 0.

    At most one row per event scores: 0.5 and more is an alarm.
    """
    kernel, events = NoveltyKernel(), EventLayer()
    out = np.zeros(len(values))
    for i in range(len(values)):
        out[i] = events.step(kernel.step(values[i : i + 1], float(times[i])))[0]
    return out


def score_file(source: Path, target: Path) -> int:
    """Score `timestamp,value` rows into `timestamp,value,anomaly_score`; returns the number of rows.

    Rows keep their text. Times may repeat (clocks that fall back do that) but not go backwards.
    """
    from analytics.files import numbers, read_table, require, times

    frame = read_table(source)
    require(source, frame, ("timestamp", "value"))
    seconds, values = times(source, frame), numbers(source, frame, "value")
    back = np.flatnonzero(np.diff(seconds) < 0)
    if back.size:
        line = int(back[0]) + 3
        raise FileError(source, "column 'timestamp'", "goes back in time", "sort the rows by time", line)
    scores = score_series(values, seconds)
    with atomic_text(target) as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(("timestamp", "value", "anomaly_score"))
        for stamp, value, score in zip(frame["timestamp"], frame["value"], scores, strict=True):
            writer.writerow((stamp, value, f"{score:.6f}"))
    return len(scores)


@contextmanager
def atomic_text(path: Path) -> Iterator[TextIO]:
    """A text file that appears under its name only when it was written without an error."""
    temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("w", encoding="utf-8", newline="") as file:
            yield file
        temporary.replace(path)
    except OSError as error:
        raise FileError(path, "", f"cannot be written ({error.strerror})", "check the directory") from None
    finally:
        temporary.unlink(missing_ok=True)
