"""What others run, for `detector_comparison.py`: our code after public descriptions, and libraries.

Every method is causal: models are fitted to what came before. Scores are brought to 0..1 with the quantiles
of the rows a model was fitted to, so that one threshold can mean the same in all files.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd

Array = np.ndarray
Series = Callable[[Array, Array], Array]
"""Values and times of one series to scores."""
Table = Callable[[Array, Array], Array]
"""Healthy rows, then the rows to score; both [rows, metrics]."""
LAGS = 8
REFRACTORY = 100


def squash(excess: Array) -> Array:
    """0 at nothing, 0.5 where a rule would call, 1 far beyond."""
    excess = np.nan_to_num(np.maximum(excess, 0.0), nan=0.0, posinf=1e9)
    return excess / (1.0 + excess)


def calm(scores: Array, rows: int = REFRACTORY) -> Array:
    """Only what beats the rows before: the event layer that helps every method on NAB."""
    before = pd.Series(scores).rolling(rows, min_periods=1).max().shift(1).fillna(0.0).to_numpy()
    return np.where(scores > before, scores, 0.0)


def _rows_of(seconds: float, times: Array) -> int:
    step = float(np.median(np.diff(times))) or 300.0
    return max(2, round(seconds / step))


def rolling_z(values: Array, _times: Array, rows: int = 288) -> Array:
    """Deviation from the mean of the last 288 rows, in standard deviations; three call."""
    past = pd.DataFrame(values).shift(1).rolling(rows, min_periods=rows // 4)
    return squash(np.abs(values - past.mean().to_numpy().reshape(values.shape))
                  / (3 * past.std().to_numpy().reshape(values.shape) + 1e-9))  # fmt: skip


def promql_adaptive(values: Array, times: Array) -> Array:
    """Mean of an hour, plus or minus twice the deviation smoothed over 26 h, at least half of the mean."""
    hour, long = _rows_of(3600, times), _rows_of(26 * 3600, times)
    frame = pd.DataFrame(values)
    mean = frame.rolling(hour, min_periods=1).mean()
    spread = frame.rolling(hour, min_periods=2).std().rolling(long, min_periods=long // 2).mean()
    middle = mean.rolling(long, min_periods=long // 2).mean().shift(1)
    width = np.maximum(2 * spread.shift(1), 0.5 * middle.abs()).to_numpy().reshape(values.shape)
    return squash(np.abs(values - middle.to_numpy().reshape(values.shape)) / (width + 1e-9))


def promql_robust(values: Array, times: Array) -> Array:
    """Median of a day, plus or minus twice the median deviation from it."""
    day = _rows_of(86400, times)
    frame = pd.DataFrame(values)
    middle = frame.rolling(day, min_periods=day // 2).median().shift(1)
    spread = (frame - middle).abs().rolling(day, min_periods=day // 2).median().shift(1)
    away = (frame - middle).abs() / (2 * spread + 1e-3 * middle.abs() + 1e-9)
    return squash(away.to_numpy().reshape(values.shape))


def netdata_like(values: Array, _times: Array, window: int = 900, models: int = 18) -> Array:
    """Two clusters per window of smoothed differences; strange only where the last 18 models all say so."""
    flat = values.reshape(len(values), -1)
    smooth = pd.DataFrame(np.diff(flat, axis=0, prepend=flat[:1])).rolling(3, min_periods=1).mean().to_numpy()
    lagged = np.stack([np.roll(smooth, k, axis=0) for k in range(6)], axis=2)  # [rows, series, lags]
    out, kept, step = np.zeros(flat.shape), [], window // 2
    for begin in range(0, len(flat), step):
        rows = slice(begin, begin + step)
        if kept:
            away = [_distance(lagged[rows], centres) / limit for centres, limit in kept[-models:]]
            out[rows] = np.min(away, axis=0)
        past = lagged[max(6, begin + step - window) : begin + step]
        if len(past) > window // 4:
            centres = _two_means(past)
            kept.append((centres, np.quantile(_distance(past, centres), 0.99, axis=0) + 1e-9))
    return squash(out).reshape(values.shape)


def _two_means(rows: Array) -> Array:
    size = np.abs(rows).sum(axis=2)
    order = np.argsort(size, axis=0)
    pick = [order[len(order) // 4], order[-1 - len(order) // 20]]
    series = np.arange(rows.shape[1])
    centres = np.stack([rows[p, series] for p in pick])
    for _ in range(6):
        near = np.argmin(((rows[:, None] - centres[None]) ** 2).sum(axis=3), axis=1)
        for k in (0, 1):
            own = (near == k)[:, :, None]
            count = own.sum(axis=0)
            centres[k] = np.where(count > 0, (rows * own).sum(axis=0) / np.maximum(count, 1), centres[k])
    return centres


def _distance(rows: Array, centres: Array) -> Array:
    return np.sqrt(((rows[:, None] - centres[None]) ** 2).sum(axis=3)).min(axis=1)


def noise(values: Array, _times: Array) -> Array:
    """Random scores: what any figure must beat."""
    return np.random.default_rng(len(values)).random(values.shape)


SERIES: dict[str, Series] = {
    "rolling z-score": rolling_z,
    "PromQL adaptive": promql_adaptive,
    "PromQL robust": promql_robust,
    "Netdata-like": netdata_like,
    "random": noise,
}


def _calibrated(scores: Array, known: Array) -> Array:
    middle, high = np.quantile(known, [0.5, 0.995])
    return squash((scores - middle) / (high - middle + 1e-9))


def batch(make: Callable[[], Any], score: Callable[[Any, Array], Array], most: int = 20_000) -> Table:
    """A library's estimator: fitted to (at most so many of) the healthy rows, then scores the others."""

    def run(train: Array, test: Array) -> Array:
        middle, scale = train.mean(axis=0), train.std(axis=0) + 1e-6
        known, rows = (train - middle) / scale, (test - middle) / scale
        chosen = known[np.random.default_rng(0).permutation(len(known))[:most]]
        model = make().fit(chosen)
        return _calibrated(score(model, rows), score(model, chosen))

    return run


def trees(train: Array, test: Array) -> Array:
    """River's half-space trees, which learn every row after they have scored it."""
    from river.anomaly import HalfSpaceTrees

    low, high = train.min(axis=0), train.max(axis=0)
    width = np.where(high > low, high - low, 1.0)
    model = HalfSpaceTrees(n_trees=10, height=8, window_size=250, seed=0)
    names = list(range(train.shape[1]))

    def rows(table: Array) -> Any:
        return (dict(zip(names, row, strict=True)) for row in np.clip((table - low) / width, 0, 1).tolist())

    for row in rows(train):
        model.score_one(row)
        model.learn_one(row)
    out = []
    for row in rows(test):
        out.append(model.score_one(row))  # 0 to 1 by itself
        model.learn_one(row)
    return np.array(out)


def static_z(train: Array, test: Array) -> Array:
    """Robust deviation from the healthy rows, mean of the five strangest metrics."""
    middle = np.median(train, axis=0)
    spread = 1.4826 * np.median(np.abs(train - middle), axis=0) + 0.05 * train.std(axis=0) + 1e-3
    away = np.sort(np.minimum(np.abs(test - middle) / spread, 50.0), axis=1)
    return squash(away[:, -5:].mean(axis=1) / 5)


def pca(train: Array, test: Array) -> Array:
    """What the main components of the healthy rows do not explain."""
    middle, scale = train.mean(axis=0), train.std(axis=0) + 1e-3
    known, rows = (train - middle) / scale, (test - middle) / scale
    _, size, axes = np.linalg.svd(known[:: max(1, len(known) // 10_000)], full_matrices=False)
    enough = int(np.searchsorted(np.cumsum(size**2) / ((size**2).sum() + 1e-12), 0.9)) + 1
    kept = axes[: min(enough, len(axes) - 1)]

    def left(table: Array) -> Array:
        return np.sqrt(((table - table @ kept.T @ kept) ** 2).sum(axis=1))

    return _calibrated(left(rows), left(known))


def noise_table(_train: Array, test: Array) -> Array:
    return np.random.default_rng(len(test)).random(len(test))


def tables() -> tuple[dict[str, Table], list[str]]:
    """Methods for tables, and what is not installed."""
    found: dict[str, Table] = {"robust z, top 5": static_z, "PCA residual": pca, "random": noise_table}
    missing = []
    try:
        from pyod.models.ecod import ECOD
        from pyod.models.hbos import HBOS
        from pyod.models.iforest import IForest
        from pyod.models.knn import KNN

        def decide(model: Any, rows: Array) -> Array:
            return np.asarray(model.decision_function(rows))

        found["PyOD HBOS"] = batch(HBOS, decide)
        found["PyOD ECOD"] = batch(ECOD, decide, 5_000)
        found["PyOD IForest"] = batch(lambda: IForest(random_state=0), decide)
        found["PyOD KNN"] = batch(KNN, decide, 2_000)
    except ImportError:
        missing.append("pyod")
    try:
        import river  # noqa: F401 - only whether it is there

        found["River HalfSpaceTrees"] = trees
    except ImportError:
        missing.append("river")
    from sklearn.ensemble import IsolationForest

    found["scikit-learn IsolationForest"] = batch(
        lambda: IsolationForest(random_state=0), lambda model, rows: -model.score_samples(rows)
    )
    return found, missing


def embedded(method: Table) -> Series:
    """A method for tables on one series: the last 8 values are a row; fitted to what NAB does not score."""

    def run(values: Array, _times: Array) -> Array:
        lagged = np.stack([np.roll(values, k) for k in range(LAGS)], axis=1)
        lagged[:LAGS] = lagged[LAGS]
        known = max(2 * LAGS, int(min(0.15 * len(values), 750)))
        out = np.zeros(len(values))
        out[known:] = method(lagged[:known], lagged[known:])
        return out

    return run
