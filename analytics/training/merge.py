"""States of parts of a fleet, put together into the state of the whole."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np

from analytics.engine import Engine
from analytics.fleet import Level
from analytics.fleet.columns import Floats, Ints
from analytics.serving.state import StateStore
from gigawatch.errors import UserError


def merged(folders: Sequence[Path]) -> Engine:
    """One engine that remembers what the engines of these folders did.

    A thing that several parts saw (a rack of which each had some nodes) is taken from the part that saw most
    of its GPUs, the first of them where several did.
    """
    engines = [_load(folder) for folder in folders]
    if len(engines) == 1:
        return engines[0]
    for level in Level:
        _keep_once(engines, level)
    parts = [engine.dump() for engine in engines]
    arrays: dict[str, Floats] = {
        name: np.concatenate([own[name] for _, own in parts], axis=-1) for name in parts[0][1]
    }
    header = dict(parts[0][0])
    header["fleet"] = _fleets([part["fleet"] for part, _ in parts])
    header["incidents"] = [one for part, _ in parts for one in cast("list[object]", part["incidents"])]
    header["latest"] = max(engine.latest for engine in engines)
    whole = Engine()
    whole.load(header, arrays)
    return whole


def _load(folder: Path) -> Engine:
    engine, saved = Engine(), StateStore(folder).load()
    if saved is None:
        raise UserError(f"{folder}: the state of this part is missing; remove the folder and start again")
    engine.load(*saved)
    return engine


def _keep_once(engines: Sequence[Engine], level: Level) -> None:
    """Let one engine keep each thing of a level, and the others drop it."""
    best: dict[str, tuple[int, int]] = {}
    for i, engine in enumerate(engines):
        gpus = engine.fleet[Level.GPU]
        column = gpus.labels.get(level.value if level is not Level.GPU else "uuid", [])
        counts: dict[str, int] = {}
        for name in column:
            counts[name] = counts.get(name, 0) + 1
        for key in engine.fleet[level].keys:
            best[key] = max(best.get(key, (-1, 0)), (counts.get(key, 0), -i))
    for i, engine in enumerate(engines):
        roster = engine.fleet[level]
        rows: Ints = np.array([row for row, key in enumerate(roster.keys) if best[key][1] == -i], np.intp)
        if len(rows) < len(roster):
            for detector in engine.detectors:
                detector.enrol(engine.fleet)
                detector.keep(level, rows)
            roster.keep(rows)


def _fleets(parts: Sequence[Any]) -> dict[str, object]:
    """Rosters one after another. Columns are joined; numbers that count rows are moved along."""
    whole: dict[str, object] = {}
    for level in Level:
        rosters = [part[level.value] for part in parts]
        labels = {
            name: [value for roster in rosters for value in roster["labels"][name]]
            for name in rosters[0]["labels"]
        }
        before, gone = 0, []
        for roster in rosters:
            gone += [before + row for row in roster.get("gone", ())]
            before += len(roster["seen"])
        whole[level.value] = {
            "labels": labels,
            "seen": [value for roster in rosters for value in roster["seen"]],
            "gone": gone,
            "slot_since": [value for roster in rosters for value in roster.get("slot_since", ())],
        }
    return whole
