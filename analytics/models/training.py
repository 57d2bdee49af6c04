"""From the history of a fleet to the model of its nodes: what the detector `multivariate` starts from."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from analytics.detectors.multivariate import FEATURES, KINDS, OF_GPUS, OF_NODES
from analytics.fleet.columns import Floats
from analytics.models.card import make_card, write_card
from analytics.models.estimator import MetricsModel
from analytics.models.storage import About, save_model

MODEL = "nodes.npz"
NODES, ROWS = 32, 10_000
"""Nodes that are learned from, spread over all of them, and the newest rows of each."""
_LEAST = 100
_KEYS = ["node", "timestamp"]


def train_nodes(frames: Iterable[pd.DataFrame], out: Path) -> dict[str, Any]:
    """Fit one model to nodes of a history, as deviations from each node's middle; save it with its card.

    `frames` are tables, oldest first: `timestamp` (Unix seconds), `node`, `uuid` (empty for values of the
    node itself) and signals under their column names. The card says why if there was too little to learn.
    """
    rows, spans = node_rows(frames)
    if not rows:
        return {"scores": {"note": f"no node has {_LEAST} rows with signals of its GPUs"}}
    # An absent row between two nodes: no step leads from one to the next.
    gap = np.full((1, len(FEATURES)), np.nan)
    stacked = np.concatenate([part for values in rows.values() for part in (values, gap)])
    there = np.isfinite(stacked).any(axis=0)
    names = [name for name, some in zip(FEATURES, there, strict=True) if some]
    table = pd.DataFrame(stacked[:, there], columns=names)
    model = MetricsModel(top_residual=3, alarm_quantile=0.9999).fit(table)
    about = About(min(a for a, _ in spans), max(b for _, b in spans), len(stacked) - len(rows))
    save_model(out / MODEL, model, about)
    card = make_card(model, table.to_numpy(), about, "nodes")
    write_card(out / "nodes.card.json", card)
    return {
        "file": MODEL,
        "nodes": list(rows),
        "features": names,
        "parameters": card["parameters"],
        "calibration": card["calibration"],
        "scores": card["held_out"],
        "limits": card["limits"],
    }


def node_rows(frames: Iterable[pd.DataFrame]) -> tuple[dict[str, Floats], list[tuple[float, float]]]:
    """What some nodes showed, [rows, features] less each node's median, and from when to when."""
    chosen: list[str] | None = None
    parts: dict[str, list[pd.DataFrame]] = {}
    for frame in frames:
        if "node" not in frame or "uuid" not in frame:
            continue
        if chosen is None:
            every = sorted({str(name) for name in frame["node"].dropna().unique() if str(name)})
            chosen = every[:: max(1, -(-len(every) // NODES))]
        for name, part in _summed(frame[frame["node"].astype(str).isin(chosen)]):
            own = parts.setdefault(name, [])
            own.append(part)
            if sum(map(len, own)) > 2 * ROWS:
                parts[name] = [pd.concat(own).iloc[-ROWS:]]
    found, spans = {}, []
    for name, own in sorted(parts.items()):
        # Blocks may part in the middle of a tick.
        whole = pd.concat(own).groupby(level=0).first().sort_index().iloc[-ROWS:]
        values = whole.to_numpy(np.float64)
        if len(values) < _LEAST:
            continue
        with np.errstate(all="ignore"):
            known = np.isfinite(values).any(axis=0)
            values = values - np.where(known, np.nanmedian(np.where(known, values, 0.0), axis=0), 0.0)
        found[name] = values
        spans.append((float(whole.index[0]), float(whole.index[-1])))
    return found, spans


def _summed(frame: pd.DataFrame) -> Iterable[tuple[str, pd.DataFrame]]:
    """Per node a table of its features by time."""
    plain = frame.assign(
        node=frame["node"].astype(str), uuid=frame["uuid"].astype(object).fillna("").astype(str)
    )
    gpus, own = plain[plain["uuid"] != ""], plain[plain["uuid"] == ""]
    columns: dict[str, Any] = {}
    for signal in OF_GPUS:
        if signal.column in gpus:
            by = gpus.groupby(_KEYS)[signal.column]
            for kind, values in zip(KINDS, (by.mean(), by.max(), by.min()), strict=True):
                columns[f"{signal.key} {kind}"] = values
    for signal in OF_NODES:
        if signal.column in own and len(own):
            columns[signal.key] = own.groupby(_KEYS)[signal.column].mean()
    if not columns:
        return
    table = pd.DataFrame(columns).reindex(columns=FEATURES)
    for name, part in table.groupby(level=0):
        yield str(name), part.droplevel(0)
