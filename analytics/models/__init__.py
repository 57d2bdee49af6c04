"""Models of many metrics at once, trained on history: the estimator, its file, its card, its training."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["train"]


def train(frames: Iterable[pd.DataFrame], out: Path) -> dict[str, Any]:
    """Fit the fleet's model of nodes to a history (see `analytics.models.training`); returns its card."""
    from analytics.models.training import train_nodes

    return train_nodes(frames, out)
