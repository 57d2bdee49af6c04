"""Scoring a table: how strange each row of many metrics is, in time order, and because of which metric."""

from __future__ import annotations

import csv
import math
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd

from analytics.fleet.columns import Floats
from analytics.models.card import make_card, write_card
from analytics.models.estimator import MetricsModel
from analytics.models.storage import About, columns_of, load_model, save_model
from analytics.models.tables import Table, read_metrics
from analytics.score import atomic_text
from gigawatch.errors import FileError, UserError

WARM_UP = 500
"""Rows that are learned before the first is scored, where no history is given."""
MEMORY = 50_000
"""Newest rows that are learned from again, where no history is given."""
_LEAST = 20


def score_table(source: Path, target: Path, train: Path | None = None) -> int:
    """Score a table into `timestamp,anomaly_score,strongest`; returns the number of rows. FileError if not.

    `train` is a healthy history of the same columns (CSV, Parquet, npz) or a model that was saved. Without
    it (and without a history in the npz file itself) the first WARM_UP rows are learned and left without a
    score, and the model is learned anew whenever the rows before it have doubled. `strongest` is the column
    that adds most to what is held at that row.
    """
    table = read_metrics(source)
    if train is not None:
        model, columns = _trained(train, table, source)
        frame = pd.DataFrame(table.values, columns=table.columns)[columns]
        scores, strongest = judge(model, frame)
    else:
        columns = table.columns
        if table.history is not None:
            scores, strongest = judge(MetricsModel().fit(table.history), table.values)
        else:
            scores, strongest = judge_from_nothing(table.values, source)
    with atomic_text(target) as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(("timestamp", "anomaly_score", "strongest"))
        for stamp, score, at in zip(table.stamps, scores.tolist(), strongest.tolist(), strict=True):
            known = not math.isnan(score)
            writer.writerow(
                (stamp, f"{score:.6f}" if known else "", columns[at] if known and at >= 0 else "")
            )
    return len(scores)


def train_table(source: Path, target: Path) -> dict[str, object]:
    """Fit a model to a table, save it with its card beside it, and return the card. FileError if not."""
    table = read_metrics(source)
    rows = _enough(source, table.values)
    model = MetricsModel().fit(pd.DataFrame(rows, columns=table.columns))
    begin, end = (None, None) if table.times is None else (float(table.times[0]), float(table.times[-1]))
    about = About(begin, end, len(rows))
    save_model(target, model, about)
    card = make_card(model, rows, about, target.stem)
    write_card(target.with_suffix(".card.json"), card)
    return card


def judge(model: MetricsModel, rows: Floats | pd.DataFrame) -> tuple[Floats, np.ndarray]:
    """Scores of rows that follow, which are taken in, and the strongest column in what is held (-1: none)."""
    shares = model.contributions(rows)
    own = shares.sum(axis=1)
    held = -model.score_samples(rows)
    scores = model.stream(rows)
    # A row whose own strangeness is what is held set the peak; the rows after it are held by its metric.
    peak = np.maximum.accumulate(np.where(own >= held * (1 - 1e-9), np.arange(len(rows)), -1))
    top = np.where(own > 0, shares.argmax(axis=1), -1)
    return scores, np.where(peak >= 0, top[np.maximum(peak, 0)], -1)


def judge_from_nothing(rows: Floats, source: Path) -> tuple[Floats, np.ndarray]:
    """As `judge`, without a history: learned from the rows before, anew whenever they have doubled."""
    if len(rows) <= WARM_UP:
        raise FileError(
            source,
            "",
            f"has {len(rows)} rows, {WARM_UP} are learned before the first score",
            "give --train FILE",
        )
    scores, strongest = np.full(len(rows), np.nan), np.full(len(rows), -1)
    at = WARM_UP
    while at < len(rows):
        model = MetricsModel().fit(rows[max(0, at - MEMORY) : at])
        until = min(2 * at, len(rows))
        scores[at:until], strongest[at:until] = judge(model, rows[at:until])
        at = until
    return scores, strongest


def _trained(train: Path, table: Table, source: Path) -> tuple[MetricsModel, list[str]]:
    model = _saved(train)
    if model is None:
        past = read_metrics(train)
        model = MetricsModel().fit(pd.DataFrame(_enough(train, past.values), columns=past.columns))
        columns = past.columns
    else:
        columns = columns_of(model)
    missing = [name for name in columns if name not in table.columns]
    extra = [name for name in table.columns if name not in columns]
    if missing or extra:
        what, path = (missing[0], source) if missing else (extra[0], train)
        raise FileError(path, f"column '{what}'", "is missing", "history and table need the same columns")
    return model, columns


def _saved(path: Path) -> MetricsModel | None:
    """The model in a file, or None if the file is a table."""
    if path.suffix != ".npz":
        return None
    try:
        with np.load(path, allow_pickle=False) as file:
            if "header" not in file.files:
                return None
    except (OSError, ValueError, EOFError, zipfile.BadZipFile):
        return None  # told by the reader of tables
    return load_model(path)[0]


def _enough(path: Path, rows: Floats) -> Floats:
    if len(rows) < _LEAST:
        raise UserError(f"{path}: has {len(rows)} rows, a history needs {_LEAST}")
    return rows
