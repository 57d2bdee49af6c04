"""A second opinion for backtests: an isolation forest over what each GPU shows at once.

It knows no physics. Faults that it finds and the detectors miss point at a detector that should be written;
faults that only the detectors find show what the physics is worth. It is trained on the first quarter of the
recording and is too slow for the service (see benchmarks/scoring_speed.py), so of a long recording it sees
only every so many ticks.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from analytics.fleet import Level, Tick
from analytics.fleet.columns import Floats, Ints
from analytics.fleet.groups import group_quantile, spread
from analytics.signals import GPU_SIGNALS

if TYPE_CHECKING:
    from analytics.evaluation.truth import Event
    from analytics.recording import Recording

_SAMPLE = 20_000
_MOST_ROWS = 2_000_000
_BATCH = 100_000
_RUN = 3
"""Rows in a row over the threshold that count as a call."""


def second_opinion(recording: Recording, events: Sequence[Event]) -> dict[str, object]:
    """Events that the forest finds at the threshold its training quarter exceeds once in 2,000 rows."""
    from sklearn.ensemble import IsolationForest

    from analytics.evaluation.truth import GRACE, members

    every = max(1, recording.rows // _MOST_ROWS)
    sample = _training(recording, every)
    if not len(sample):
        return {"note": "no complete rows"}
    forest = IsolationForest(n_estimators=60, random_state=0).fit(sample)
    threshold = float(np.quantile(-forest.score_samples(sample), 0.9995))
    gpus = recording.fleet[Level.GPU]
    runs: dict[int, int] = {}
    calls: list[tuple[float, int]] = []
    for seconds, rows, features in _features(recording, every):
        over = -forest.score_samples(features) > threshold
        for when, row, hit in zip(seconds.tolist(), rows.tolist(), over.tolist(), strict=True):
            runs[row] = runs.get(row, 0) + 1 if hit else 0
            if runs[row] == _RUN:
                calls.append((when, row))
    labels = [gpus.labels[name] for name in ("node", "rack", "loop")]
    places = {
        uuid: dict(zip(("node", "rack", "loop"), where, strict=True))
        for uuid, *where in zip(gpus.keys, *labels, strict=True)
    }
    found: dict[str, int] = {}
    inside: set[tuple[float, int]] = set()
    for event in events:
        mine = members(event.entity, places)
        hits = {c for c in calls if event.start <= c[0] <= event.end + GRACE and gpus.keys[c[1]] in mine}
        inside |= hits
        found[event.fault] = found.get(event.fault, 0) + bool(hits)
    return {
        "method": "isolation forest, 60 trees, trained on the first quarter",
        "every_nth_tick": every,
        "found": found,
        "calls_outside_events": len(calls) - len(inside),
    }


def _training(recording: Recording, every: int) -> Floats:
    """Rows of the first quarter, picked at random."""
    end = recording.first + 0.25 * recording.duration
    rng, kept = np.random.default_rng(0), []
    quarter = max(1, recording.rows // (4 * every))
    for seconds, _, features in _features(recording, every):
        use = seconds < end if recording.duration else np.ones(len(seconds), bool)
        kept.append(features[use & (rng.random(len(seconds)) < 2 * _SAMPLE / quarter)])
        if not use.all():
            break
    known = np.concatenate(kept) if kept else np.zeros((0, 1))
    return known[rng.permutation(len(known))[:_SAMPLE]]


def _features(recording: Recording, every: int) -> Iterator[tuple[Floats, Ints, Floats]]:
    """Batches of time, GPU row and features (signals, and the same less the median of the node)."""
    whens, whos, rows, held = [], [], [], 0
    for i, tick in enumerate(recording.ticks()):
        if i % every:
            continue
        block = _block(tick, recording.columns)
        full = np.flatnonzero(np.isfinite(block).all(axis=1))
        whens.append(np.full(len(full), tick.now))
        whos.append(full)
        rows.append(block[full])
        held += len(full)
        if held >= _BATCH:
            yield np.concatenate(whens), np.concatenate(whos), np.concatenate(rows)
            whens, whos, rows, held = [], [], [], 0
    if held:
        yield np.concatenate(whens), np.concatenate(whos), np.concatenate(rows)


def _block(tick: Tick, there: Sequence[str]) -> Floats:
    node, nodes = tick.fleet[Level.GPU].codes("node")
    columns = []
    for signal in GPU_SIGNALS:
        if signal.column in there:
            values = tick.value(signal.key, Level.GPU)
            columns += [values, values - spread(group_quantile(values, node, len(nodes)), node)]
    return np.stack(columns, axis=1)
