"""`gigawatch analytics train`: from a history to models, each with a card that says what it was made from."""

from __future__ import annotations

import importlib
import json
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, cast

import numpy as np
import pandas as pd

from analytics.evaluation.backtest import calibrate, write_risk
from analytics.evaluation.metrics import evaluate
from analytics.evaluation.truth import read_truth
from analytics.fleet import Level
from analytics.recording import Recording, open_recording
from analytics.recording.ordering import Progress
from analytics.recording.rows import LABELS
from analytics.score import atomic_text
from analytics.serving.state import FILE as STATE
from analytics.serving.state import StateStore
from analytics.training.history import Span, fetch
from analytics.training.jobs import Plan, Ran, run
from analytics.training.manifest import fingerprint, finish, finished
from analytics.training.merge import merged
from gigawatch import package_version
from gigawatch.errors import FileError, UserError

RISK = "risk.yaml"
CARDS = "cards.json"
NODES = "nodes"
Card = dict[str, Any]


class Trainer(Protocol):
    """What `analytics.models.train` is: fits models to frames of a history, oldest first, saves them in a
    folder and tells what it did."""

    def __call__(self, frames: Iterable[pd.DataFrame], out: Path) -> Card: ...


@dataclass(frozen=True, slots=True)
class Order:
    """What is to be trained from what."""

    source: Path | None
    prometheus: str | None
    span: Span | None
    out: Path
    truth: Path | None
    plan: Plan


def train(order: Order, progress: Progress) -> list[Card]:
    """Train everything that the history allows; returns the cards. UserError, one line, if it fails."""
    if order.truth is not None and not order.truth.is_file():
        raise FileError(order.truth, "", "cannot be read (no such file)", "check the path")
    try:
        order.out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"--out {order.out}: cannot be made ({error.strerror})") from None
    source = order.source
    if source is None and order.prometheus is not None and order.span is not None:
        source = fetch(order.prometheus, order.span, order.out / "history", progress)
    if source is None:
        raise UserError("train: give either --input PATH or --history-from-prometheus URL")
    recording = open_recording(source, order.plan.scratch, order.plan.align, progress=progress)
    ran = run(recording, order.plan, progress)
    cards = [_baselines(recording, ran, order)]
    card = _nodes(recording, order, progress)
    if card is not None:
        cards.append(card)
    if order.truth is not None:
        cards.append(_risk(ran, order.truth, recording, order.out))
    with atomic_text(order.out / CARDS) as file:
        json.dump(cards, file, indent=2)
    with atomic_text(order.out / "README.md") as file:
        file.write(_readme(cards))
    return cards


def _about(recording: Recording, name: str, what: str) -> Card:
    return {
        "model": name,
        "what": what,
        "trained_at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "gigawatch": package_version(),
        "data": {
            "source": str(recording.path),
            "from": _stamp(recording.first),
            "to": _stamp(recording.last),
            "days": round(recording.duration / 86400.0, 3),
            "rows": recording.rows,
            "signals": list(recording.columns),
        },
    }


def _baselines(recording: Recording, ran: Ran, order: Order) -> Card:
    """The state of all detectors after the history: the service starts from it and knows what is usual."""
    engine = ran.engine or merged(ran.folders)
    StateStore(order.out).save(*engine.dump())
    result = ran.result
    card = _about(
        recording, "state", "what every detector remembers after this history; serve --state takes it up"
    )
    card["file"] = STATE
    card["parameters"] = {"parts": max(len(ran.folders), 1), "by": order.plan.by}
    card["detectors"] = {
        detector.name: {"bytes": detector.nbytes, "arrays": len(detector.state())}
        for detector in engine.detectors
    }
    card["scores"] = {
        "gpus": len(result.places),
        "gpus_present_at_the_end": int(
            np.count_nonzero(engine.fleet[Level.GPU].seen >= engine.latest - 10 * max(result.step, 1.0))
        ),
        "gpu_years": round(result.gpu_seconds / (365.25 * 86400.0), 4),
        "step_seconds": result.step,
        "incidents": len(result.incidents),
        "open_at_the_end": len(engine.incidents.open),
        "detector_errors": result.errors,
    }
    return card


def _nodes(recording: Recording, order: Order, progress: Progress) -> Card | None:
    """Models of whole nodes, fitted to the history; None where this installation has none."""
    trainer = trainer_of_nodes()
    if trainer is None:
        return None
    folder = order.out / NODES
    folder.mkdir(exist_ok=True)
    key = fingerprint([unit.path for unit in recording.units], "nodes", order.plan.align)
    if finished(folder, key):
        return cast("Card", json.loads((folder / "card.json").read_text()))
    recording.progress = lambda stage, share: progress(
        "fitting node models" if stage == "replaying" else stage, share
    )
    told = trainer(frames(recording), folder)
    card = _about(
        recording, NODES, "models of what each node shows at once, for what single signals do not show"
    )
    card = {**card, **told}
    with atomic_text(folder / "card.json") as file:
        json.dump(card, file, indent=2)
    finish(folder, key, sorted(p.name for p in folder.iterdir() if p.is_file() and p.name != "done.json"))
    return card


def trainer_of_nodes() -> Trainer | None:
    """`analytics.models.train`, if it is there."""
    try:
        found = importlib.import_module("analytics.models").train
    except (ModuleNotFoundError, AttributeError):
        return None
    return cast("Trainer", found)


def frames(recording: Recording) -> Iterator[pd.DataFrame]:
    """A recording as tables, oldest first: `timestamp` (Unix seconds), labels, and signals by column name."""
    for block in recording.blocks():
        used, codes = np.unique(block.who, return_inverse=True)
        entries = [recording.layout.book.entries[who] for who in used.tolist()]
        columns: dict[str, Any] = {"timestamp": block.seconds}
        for i, label in enumerate(LABELS):
            values = [entry[i] for entry in entries]
            if any(values):
                names = list(dict.fromkeys(values))
                table = np.array([names.index(value) for value in values], np.intp)
                columns[label] = pd.Categorical.from_codes(table[codes], categories=pd.Index(names))
        columns.update(zip(recording.columns, block.values, strict=True))
        yield pd.DataFrame(columns)


def _risk(ran: Ran, truth: Path, recording: Recording, out: Path) -> Card:
    """The failure risk, fitted to the failures that are known."""
    evaluation = evaluate(ran.result, read_truth(truth))
    risk = calibrate(ran.result, evaluation.matches)
    card = _about(
        recording, "risk", "chance of failing within a horizon, given the forecast; settings of serve"
    )
    card["parameters"] = {name: risk[name] for name in ("intercept", "slope") if name in risk}
    card["scores"] = {"samples": risk["samples"], "brier": risk.get("brier"), "note": risk.get("note", "")}
    if "slope" in risk:
        write_risk(out / RISK, risk)
        card["file"] = RISK
    return card


def summary(cards: list[Card], out: Path) -> str:
    """What was made, for people."""
    lines = []
    for card in cards:
        note = (
            card.get("scores", {}).get("note")
            or f"{card['data']['rows']} rows, {card['data']['days']:g} days"
        )
        lines.append(f"{card['model']}: {note}")
    lines.append(f"models and cards: {out}; start from them: gigawatch analytics serve --state {out}")
    return "\n".join(lines)


def _readme(cards: list[Card]) -> str:
    lines = ["# Models of this site", ""]
    for card in cards:
        data = card["data"]
        lines += [
            f"## {card['model']}",
            "",
            f"{card['what'].capitalize()}.",
            "",
            f"- Trained {card['trained_at']} by Gigawatch {card['gigawatch']}",
            f"- Data: {data['source']}, {data['from']} to {data['to']}",
            f"- Size: {data['days']:g} days, {data['rows']} rows",
        ]
        for part in ("parameters", "scores"):
            for name, value in (card.get(part) or {}).items():
                lines.append(f"- {part[:-1].capitalize()} {name}: {value}")
        lines.append("")
    return "\n".join(lines)


def _stamp(seconds: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))
