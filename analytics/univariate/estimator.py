"""The novelty detector as a scikit-learn outlier estimator over a matrix of series."""

from __future__ import annotations

from typing import Self

import numpy as np
from sklearn.base import BaseEstimator, OutlierMixin
from sklearn.utils.validation import check_is_fitted, validate_data

from analytics.detectors.novelty import NoveltyKernel, NoveltySettings
from analytics.fleet.columns import Floats, Ints


class NoveltyEstimator(OutlierMixin, BaseEstimator):  # type: ignore[misc] # scikit-learn has no types
    """Outliers among the rows of a matrix: rows are moments in time order, columns are series.

    `interval` is the number of seconds between rows; `start` the Unix time of the first one ever learned,
    which matters for what is usual at a time of day. A row is as new as the newest of its values; NaN is an
    absent value. Since scoring continues where learning ended, a row's score depends on the rows before it:
    shuffling or cutting out rows changes it, as it should.
    """

    def __init__(
        self, *, interval: float = 60.0, start: float = 0.0, settings: NoveltySettings | None = None
    ) -> None:
        self.interval = interval
        self.start = start
        self.settings = settings

    def fit(self, X: Floats, y: object = None) -> Self:  # noqa: N803, ARG002 - scikit-learn's names
        """Learn these rows from nothing."""
        if not self.interval > 0:
            raise ValueError(f"interval is {self.interval}, allowed are seconds above 0")
        self._kernel = NoveltyKernel(self.settings)
        self.rows_ = 0
        self.offset_ = -0.5
        return self._learn(validate_data(self, X, dtype=np.float64, ensure_all_finite="allow-nan"))

    def partial_fit(self, X: Floats, y: object = None) -> Self:  # noqa: N803, ARG002 - scikit-learn's names
        """Learn the rows that follow."""
        if not hasattr(self, "rows_"):
            return self.fit(X)
        return self._learn(self._checked(X))

    def score_samples(self, X: Floats) -> Floats:  # noqa: N803 - scikit-learn's name
        """How ordinary each row is, -1 (as new as can be) to 0, as if they followed the learned ones."""
        check_is_fitted(self, "rows_")
        rows = self._checked(X)
        kernel = NoveltyKernel(self.settings)
        kernel.columns.load(self._kernel.columns.dump())
        return -self._run(kernel, rows)

    def decision_function(self, X: Floats) -> Floats:  # noqa: N803 - scikit-learn's name
        """The same above the alarm threshold: negative is an outlier."""
        return self.score_samples(X) - self.offset_

    def predict(self, X: Floats) -> Ints:  # noqa: N803 - scikit-learn's name
        """1 for ordinary rows, -1 for outliers."""
        return np.where(self.decision_function(X) < 0, -1, 1)

    def __sklearn_tags__(self) -> object:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        return tags

    def _checked(self, rows: Floats) -> Floats:
        checked: Floats = validate_data(
            self, rows, reset=False, dtype=np.float64, ensure_all_finite="allow-nan"
        )
        return checked

    def _learn(self, rows: Floats) -> Self:
        self._run(self._kernel, rows)
        self.rows_ += len(rows)
        return self

    def _run(self, kernel: NoveltyKernel, rows: Floats) -> Floats:
        began = self.start + self.rows_ * self.interval
        scores = np.zeros(len(rows))
        for i, row in enumerate(rows):
            scores[i] = np.nan_to_num(kernel.step(row, began + i * self.interval)).max()
        return scores
