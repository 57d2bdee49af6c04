"""A second opinion for backtests: an isolation forest over what each GPU shows at once.

It knows no physics. Faults that it finds and the detectors miss point at a detector that should be written;
faults that only the detectors find show what the physics is worth. It is trained on the first quarter of the
recording and is too slow for the service (see benchmarks/scoring_speed.py).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from analytics.fleet import Level
from analytics.groups import group_quantile, spread
from analytics.signals import GPU_SIGNALS

if TYPE_CHECKING:
    from analytics.backtest import Event
    from analytics.replay import Recording

_SAMPLE = 20_000
_RUN = 3
"""Rows in a row over the threshold that count as a call."""


def second_opinion(recording: Recording, events: list[Event]) -> dict[str, object]:
    """Events that the forest finds at the threshold its training quarter exceeds once in 2,000 rows."""
    from sklearn.ensemble import IsolationForest

    from analytics.backtest import GRACE, members

    seconds, gpus, features = _features(recording)
    if not len(seconds):
        return {"note": "no complete rows"}
    training = seconds < seconds[0] + 0.25 * (seconds[-1] - seconds[0])
    known = features[training] if training.any() else features
    sample = known[np.random.default_rng(0).permutation(len(known))[:_SAMPLE]]
    forest = IsolationForest(n_estimators=60, random_state=0).fit(sample)
    strange = -forest.score_samples(features)
    threshold = float(np.quantile(strange[training] if training.any() else strange, 0.9995))
    called = _runs(strange > threshold, gpus)
    fleet = recording.fleet
    keys = fleet[Level.GPU].keys
    found: dict[str, int] = {}
    inside = np.zeros(len(called), dtype=bool)
    for event in events:
        rows = [i for i, key in enumerate(keys) if key in members(event.entity, fleet)]
        during = np.isin(gpus, rows) & (seconds >= event.start) & (seconds <= event.end + GRACE)
        inside |= during
        found[event.fault] = found.get(event.fault, 0) + bool((called & during).any())
    return {
        "method": "isolation forest, 60 trees, trained on the first quarter",
        "found": found,
        "calls_outside_events": int((called & ~inside).sum()),
    }


def _features(recording: Recording) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Time, GPU row and features (signals less the median of the node, and the signals themselves)."""
    node, nodes = recording.fleet[Level.GPU].codes("node")
    whens, whos, rows = [], [], []
    for tick in recording.ticks():
        columns = []
        for signal in GPU_SIGNALS:
            if signal.column in recording.columns:
                values = tick.value(signal.key, Level.GPU)
                columns += [values, values - spread(group_quantile(values, node, len(nodes)), node)]
        block = np.stack(columns, axis=1)
        full = np.flatnonzero(np.isfinite(block).all(axis=1))
        whens.append(np.full(len(full), tick.now))
        whos.append(full)
        rows.append(block[full])
    return np.concatenate(whens), np.concatenate(whos), np.concatenate(rows)


def _runs(over: np.ndarray, gpus: np.ndarray) -> np.ndarray:
    """Rows at which a GPU has been over the threshold _RUN times in a row for the first time."""
    count: dict[int, int] = {}
    out = np.zeros(len(over), dtype=bool)
    for i, (gpu, hit) in enumerate(zip(gpus.tolist(), over.tolist(), strict=True)):
        count[gpu] = count.get(gpu, 0) + 1 if hit else 0
        out[i] = count[gpu] == _RUN
    return out
