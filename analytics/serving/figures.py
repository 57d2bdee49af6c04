"""Figures of detectors as readings of the catalogue."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import numpy as np

from analytics.detectors.base import Figure
from analytics.fleet import IDENTITY, Fleet, Level
from gigawatch.readings import Reading

_OF_GPU = ("rack", "node", "gpu", "uuid")


def figure_readings(
    fleet: Fleet, figures: Iterable[Figure], owns: Callable[[str], bool] = lambda _name: True
) -> Iterator[Reading]:
    """One reading per known value. `owns` says for which things that all shards see this one speaks."""
    for figure in figures:
        roster = fleet[figure.level]
        names = _OF_GPU if figure.level is Level.GPU else (IDENTITY[figure.level],)
        shared = figure.level not in (Level.GPU, Level.NODE)
        for row in map(int, np.flatnonzero(np.isfinite(figure.values))):
            if shared and not owns(roster.keys[row]):
                continue
            labels = tuple(roster.labels[name][row] for name in names)
            yield Reading(figure.metric, figure.labels + labels, round(float(figure.values[row]), 6))
