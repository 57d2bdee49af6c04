"""The card of a trained model: what it was made from, how it behaved on rows it did not see, its limits."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import numpy as np

from analytics.fleet.columns import Floats
from analytics.models.estimator import MetricsModel
from analytics.models.storage import About, columns_of, write_whole

Card = dict[str, Any]
USE = (
    "Says how strange a row of many metrics is beside its history, and which metric makes it so. "
    "Meant as a second look beside detectors that know the physics, not as a pager of its own."
)
LIMITS = (
    "It knows no causes. What was wrong all through the history is ordinary to it.",
    "A daily job is as strange as it is rare: there is no profile of the day.",
    "Rows must come in time order and about as often as in the history: steps and means count rows.",
    "A score stays up after an event and halves with every `hold` rows: the end of an alarm is late by that.",
)


def make_card(model: MetricsModel, rows: Floats, about: About, name: str) -> Card:
    """The card of a model trained on these rows: a twin fitted to the first 80 % is judged on the rest."""
    cut = int(0.8 * len(rows))
    twin = MetricsModel(**model.get_params())
    held: Card = {"rows": len(rows) - cut}
    if cut >= 2 and len(rows) - cut >= 10:
        names = columns_of(model)
        twin.fit(rows[:cut])
        scores, shares = twin.anomaly_score(rows[cut:]), twin.contributions(rows[cut:])
        total = shares.sum(axis=0)
        order = np.argsort(-total)[:5]
        held |= {
            "median": round(float(np.median(scores)), 4),
            "p99": round(float(np.quantile(scores, 0.99)), 4),
            "greatest": round(float(scores.max()), 4),
            "share_in_alarm": round(float((scores >= 0.5).mean()), 6),
            "alarms": int(np.count_nonzero(np.diff((scores >= 0.5).astype(int), prepend=0) == 1)),
            "strongest": {
                names[j]: round(float(total[j] / max(total.sum(), 1e-12)), 3) for j in order if total[j] > 0
            },
        }
    missing = np.isnan(rows).mean(axis=0)
    return {
        "model": name,
        "what": USE,
        "trained_at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "data": {
            "from": _stamp(about.begin),
            "to": _stamp(about.end),
            "rows": about.rows,
            "columns": columns_of(model),
            "missing": {n: round(float(m), 4) for n, m in zip(columns_of(model), missing, strict=True) if m},
            "never_moved": [n for n, m in zip(columns_of(model), model.moves_, strict=True) if m == 0],
        },
        "parameters": model.get_params(),
        "calibration": {
            "alarm_level": round(model.alarm_level_, 4),
            "how": f"0.5 is the {model.alarm_quantile:.1%} quantile of the scores of the held-out last fifth,"
            " or of the whole history, whichever is higher",
        },
        "held_out": held,
        "limits": list(LIMITS),
    }


def write_card(path: Path, card: Card) -> None:
    """The card as JSON at `path` (.json) and as text for people beside it (.md)."""
    write_whole(path, (json.dumps(card, indent=2) + "\n").encode())
    write_whole(path.with_suffix(".md"), _markdown(card).encode())


def _markdown(card: Card) -> str:
    data, held = card["data"], card["held_out"]
    span = f"{data['from']} to {data['to']}" if data["from"] else "without times"
    lines = [
        f"# Model: {card['model']}",
        "",
        card["what"],
        "",
        f"Trained {card['trained_at']} on {data['rows']} rows of {len(data['columns'])} metrics, {span}.",
        "",
        "| | |",
        "|---|---|",
        *(f"| {name} | {value} |" for name, value in card["parameters"].items()),
        "",
        f"**Calibration**: {card['calibration']['how']} (strangeness {card['calibration']['alarm_level']}).",
        "",
        f"**Held out**, the last {held['rows']} rows, judged by a model of the rest:",
        "",
        *(f"- {name.replace('_', ' ')}: {value}" for name, value in held.items() if name != "strongest"),
    ]
    if held.get("strongest"):
        strongest = ", ".join(f"{name} {share:.0%}" for name, share in held["strongest"].items())
        lines.append(f"- scores came from: {strongest}")
    if data["never_moved"]:
        lines += [
            "",
            f"Never moved in the history, so that any change counts: {', '.join(data['never_moved'])}.",
        ]
    if data["missing"]:
        absent = ", ".join(f"{name} {share:.1%}" for name, share in data["missing"].items())
        lines += ["", f"Absent values: {absent}."]
    lines += ["", "**Limits**", "", *(f"- {limit}" for limit in card["limits"]), ""]
    return "\n".join(lines)


def _stamp(seconds: float | None) -> str:
    return "" if seconds is None else time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))
