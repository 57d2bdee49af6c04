"""A scikit-learn estimator for many metrics of one thing: how strange is a row, because of which metric?"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, Self

import numpy as np
from sklearn.base import BaseEstimator, OutlierMixin
from sklearn.utils.validation import check_is_fitted, validate_data

from analytics.fleet.columns import Floats
from analytics.models.kernel import FLOOR, LEVEL, RESIDUAL, SHARPNESS, STEP, VIEWS, run

LEARNED = ("mean_", "deviation_", "weights_", "scale_", "moves_", "center_", "alarm_level_")
"""What a trained model consists of, as arrays."""


@dataclass(slots=True)
class _Stream:
    """Where a series stands: the values carried from row to row."""

    last: Floats
    short: Floats
    usual: Floats
    reach: Floats
    changes: Floats
    held: Floats

    def copy(self) -> _Stream:
        return _Stream(*(getattr(self, field.name).copy() for field in fields(self)))


class MetricsModel(OutlierMixin, BaseEstimator):  # type: ignore[misc] # scikit-learn has no annotations
    """Looks at each metric in three ways, in the scale its training history knows:

    - residual: against what the other metrics say it should be (ridge regression of each on all others);
    - step: against the row before;
    - level: its short mean against its usual value, which follows slowly.

    Of each view the logarithms of the strongest metrics are averaged, the three averages added, and the sum
    is held: it halves every `hold` rows, so that a short event stays visible. Logarithms keep one wild
    metric from drowning the rest. Scales are the standard deviation for steps and the 99.9 % quantile for
    the other two.

    Rows are one time series in order, NaN is a value that is absent. `fit` learns a history from nothing and
    then stands at the start of a new series; `partial_fit` takes in more rows of it (usual levels and what is
    held move on, scales stay); the scoring methods say what would be said about rows that follow, learning
    nothing. `stream` is both in one pass. Scores of row i depend on rows up to i only.

    `score_samples` has scikit-learn's sign (lower is stranger); `anomaly_score` is 0 to 1, 0.5 and more is an
    alarm. `alarm_quantile` of the scores of the last part of the training history, held out, lie below it.
    """

    def __init__(
        self,
        span: int = 32,
        half_life: float = 10_000.0,
        hold: float = 30.0,
        top_residual: int = 8,
        top: int = 3,
        ridge: float = 0.1,
        alarm_quantile: float = 0.995,
    ) -> None:
        self.span = span
        self.half_life = half_life
        self.hold = hold
        self.top_residual = top_residual
        self.top = top
        self.ridge = ridge
        self.alarm_quantile = alarm_quantile

    def fit(self, X: Any, y: Any = None) -> Self:  # noqa: ARG002 - scikit-learn's contract has y
        """Learn a history of rows [rows, metrics] from nothing. ValueError if it has fewer than two rows."""
        self._check_parameters()
        rows = self._rows(X, reset=True)
        cut = max(2, int(0.8 * len(rows)))
        self._learn(rows[:cut])
        later, _ = self._run(rows[cut:] if cut < len(rows) else rows, self._begin(), shares=False)
        self._learn(rows)
        within, _ = self._run(rows, self._begin(), shares=False)
        levels = [float(np.quantile(scores, self.alarm_quantile)) for scores in (later, within)]
        self.alarm_level_ = max(*levels, 1e-6)
        self.offset_ = -self.alarm_level_
        self.rows_seen_ = len(rows)
        self._stream = self._begin()
        return self

    def partial_fit(self, X: Any, y: Any = None) -> Self:  # noqa: ARG002 - as above
        """Take in the rows that follow (the first call learns them from nothing)."""
        if not hasattr(self, "alarm_level_"):
            return self.fit(X)
        self.stream(X)
        return self

    def stream(self, X: Any) -> Floats:
        """`anomaly_score` of the rows that follow, which are taken in."""
        check_is_fitted(self)
        rows = self._rows(X, reset=False)
        scores, _ = self._run(rows, self._stream, shares=False)
        self.rows_seen_ += len(rows)
        return self._squash(scores)

    def score_samples(self, X: Any) -> Floats:
        """Minus the strangeness of each row: the lower, the stranger."""
        return -self._judge(X, shares=False)[0]

    def decision_function(self, X: Any) -> Floats:
        """`score_samples` less the alarm level: negative is an alarm."""
        margin: Floats = self.score_samples(X) - self.offset_
        return margin

    def predict(self, X: Any) -> np.ndarray:
        """-1 for rows that would alarm, 1 for the others."""
        return np.where(self.decision_function(X) < 0, -1, 1)

    def anomaly_score(self, X: Any) -> Floats:
        """Strangeness from 0 to 1; 0.5 is the alarm level."""
        return self._squash(self._judge(X, shares=False)[0])

    def contributions(self, X: Any) -> Floats:
        """What each metric adds to the row's own strangeness [rows, metrics]; before it is held."""
        return self._judge(X, shares=True)[1]

    def begin(self) -> Self:
        """Stand at the start of a new series; what was learned from history stays."""
        check_is_fitted(self)
        self._stream = self._begin()
        return self

    def learned(self) -> dict[str, Floats]:
        """The trained model as arrays; `adopt` takes them over."""
        check_is_fitted(self)
        return {name: np.atleast_1d(np.array(getattr(self, name), np.float64)) for name in LEARNED}

    def adopt(self, arrays: dict[str, Floats], columns: list[str], rows: int) -> Self:
        """Become the model that `learned` gave. ValueError if the arrays do not fit each other."""
        self._check_parameters()
        m = len(columns)
        shapes = dict.fromkeys(LEARNED, (m,)) | {
            "weights_": (m, m),
            "scale_": (VIEWS, m),
            "alarm_level_": (1,),
        }
        for name, shape in shapes.items():
            if name not in arrays or arrays[name].shape != shape or arrays[name].dtype != np.float64:
                raise ValueError(f"array '{name}' does not fit {m} columns")
            if name != "center_" and not np.isfinite(arrays[name]).all():
                raise ValueError(f"array '{name}' has values that are no numbers")
        for name in LEARNED:
            setattr(self, name, arrays[name].copy())
        self.alarm_level_ = float(arrays["alarm_level_"][0])
        if self.alarm_level_ <= 0 or (self.deviation_ <= 0).any() or (self.scale_ <= 0).any():
            raise ValueError("a scale is not above 0")
        self.offset_, self.n_features_in_, self.rows_seen_ = -self.alarm_level_, m, rows
        self.feature_names_in_ = np.array(columns, dtype=object)
        self._stream = self._begin()
        return self

    def _learn(self, rows: Floats) -> None:
        with np.errstate(invalid="ignore"):
            known = np.isfinite(rows)
            some = known.any(axis=0)
            safe = np.where(some, rows, 0.0)
            self.center_ = np.where(some, np.nanmedian(safe, axis=0), np.nan)
            low, high = np.nanmin(safe, axis=0), np.nanmax(safe, axis=0)
            span = high - low
            moves = span > 1e-9 * np.maximum(np.abs(high), np.abs(low))
            self.mean_ = np.nanmean(safe, axis=0)
            unit = np.where(moves, FLOOR * span, 1.0)
            self.deviation_ = np.where(moves, np.maximum(np.nanstd(safe, axis=0), unit), 1.0)
            self.moves_ = np.where(some, moves, -1.0)
            residual = self._regress(rows)
            steps = np.diff(rows, axis=0)
            level = _smooth(rows - self.center_, 2 / (self.span + 1))
        self.scale_ = np.ones((VIEWS, rows.shape[1]))
        self.scale_[RESIDUAL] = np.maximum(_tail(residual), 0.1)
        self.scale_[STEP] = np.where(moves, np.maximum(_spread(steps), unit), 1.0)
        self.scale_[LEVEL] = np.where(moves, np.maximum(_tail(level), unit), 1.0)

    def _regress(self, rows: Floats) -> Floats:
        """Fit every metric on all others, again without the 3 % of rows that fit worst; residuals."""
        z = np.clip(np.nan_to_num((rows - self.mean_) / self.deviation_), -10.0, 10.0) * (self.moves_ > 0)
        keep = np.ones(len(z), dtype=bool)
        for _ in range(2):
            kept = z[keep] - z[keep].mean(axis=0)
            covariance = kept.T @ kept / len(kept) + self.ridge * np.eye(z.shape[1])
            precision = np.linalg.inv(covariance)
            # A row of the precision matrix over its diagonal is the regression on all other columns.
            self.weights_ = precision / np.diag(precision)
            misfit = ((z - z.mean(axis=0)) @ self.weights_) ** 2 @ np.diag(precision)
            keep = misfit <= np.quantile(misfit, 0.97)
        residual: Floats = z @ self.weights_
        return residual

    def _begin(self) -> _Stream:
        m = len(self.mean_)
        none = np.full(m, np.nan)
        zero = np.zeros(m)
        return _Stream(none, zero.copy(), self.center_.copy(), zero.copy(), zero, np.zeros(1))

    def _judge(self, X: Any, shares: bool) -> tuple[Floats, Floats]:
        check_is_fitted(self)
        return self._run(self._rows(X, reset=False), self._stream.copy(), shares)

    def _run(self, rows: Floats, at: _Stream, shares: bool) -> tuple[Floats, Floats]:
        scores = np.empty(len(rows))
        parts = np.zeros((len(rows) if shares else 0, rows.shape[1]))
        tops = np.array([self.top_residual, self.top, self.top], np.float64)
        run(
            rows, self.mean_, self.deviation_, self.weights_, self.scale_, self.moves_,
            at.last, at.short, at.usual, at.reach, at.changes, at.held, tops,
            2 / (self.span + 1), 1 - 0.5 ** (1 / self.half_life), 0.5 ** (1 / self.hold), scores, parts,
        )  # fmt: skip
        return scores, parts

    def _squash(self, scores: Floats) -> Floats:
        return squash(scores, self.alarm_level_)

    def _rows(self, X: Any, reset: bool) -> Floats:
        checked: Floats = validate_data(
            self,
            X,
            reset=reset,
            dtype=np.float64,
            order="C",
            ensure_all_finite="allow-nan",
            ensure_min_samples=2 if reset else 1,
        )
        # A read-only array would have the kernel compiled once more.
        return checked if checked.flags.writeable else checked.copy()

    def _check_parameters(self) -> None:
        for name in ("span", "half_life", "hold", "top_residual", "top", "ridge"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} is {getattr(self, name)}, must be above 0")
        if not 0 < self.alarm_quantile <= 1:
            raise ValueError(f"alarm_quantile is {self.alarm_quantile}, must lie in 0..1")

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        return tags


def squash(strangeness: Floats, alarm_level: float) -> Floats:
    """Strangeness, which is a logarithm and varies little, as a score from 0 to 1; 0.5 at the alarm level."""
    power = (strangeness / alarm_level) ** SHARPNESS
    return power / (1.0 + power)


def _smooth(values: Floats, gain: float) -> Floats:
    """Exponential means down the rows, from 0; absent values change nothing."""
    out = np.empty_like(values)
    now = np.zeros(values.shape[1])
    for i in range(len(values)):
        now = np.where(np.isfinite(values[i]), now + gain * (values[i] - now), now)
        out[i] = now
    return out


def _tail(values: Floats) -> Floats:
    """The 99.9 % quantile of the size of each column."""
    tail: Floats = np.nanquantile(np.abs(_some(values)), 0.999, axis=0)
    return tail


def _spread(values: Floats) -> Floats:
    spread: Floats = np.nanstd(_some(values), axis=0)
    return spread


def _some(values: Floats) -> Floats:
    """The values, 0 in columns that have none at all."""
    return np.where(np.isfinite(values).any(axis=0), values, 0.0)
