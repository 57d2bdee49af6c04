"""The report: one HTML file with everything in it, for a screen, a phone or paper."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from html import escape
from pathlib import Path
from typing import Any

from analytics.evaluation import pictures
from analytics.evaluation.examples import Example, examples
from analytics.evaluation.metrics import Evaluation
from analytics.evaluation.replay import Replay
from analytics.evaluation.style import CSS
from analytics.evaluation.words import NOTES, span
from analytics.recording import Recording
from analytics.score import atomic_text

_HEADINGS = {"found": "Found", "missed": "Missed", "false": "False alarms"}


def write_report(
    path: Path, report: dict[str, Any], recording: Recording, result: Replay, evaluation: Evaluation | None
) -> None:
    """Write the page; it appears only once it is complete."""
    shown = examples(recording, result, evaluation) if evaluation is not None else []
    with atomic_text(path) as file:
        file.write(page(report, result, evaluation, shown))


def page(
    report: dict[str, Any], result: Replay, evaluation: Evaluation | None, shown: Sequence[Example]
) -> str:
    """The whole page as text."""
    name = Path(str(report["input"])).name
    parts = [_head(name, report, result)]
    if evaluation is None:
        parts.append(_section("Incidents", _no_truth(result)))
    else:
        parts += _judged(report, result, evaluation, shown)
    parts.append(_section("How the figures are meant", _notes(evaluation is not None)))
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>Backtest: {escape(name)}</title><style>{CSS}</style></head>\n"
        f"<body><main>{''.join(parts)}</main></body></html>\n"
    )


def _judged(
    report: dict[str, Any], result: Replay, evaluation: Evaluation, shown: Sequence[Example]
) -> list[str]:
    parts = [_section("Against the targets", _targets(report))]
    if report["faults"]:
        picture = pictures.drawn(pictures.recall, "share of faults found per class", report["faults"])
        parts.append(_section("Faults by class", _figures([("", picture)]) + _faults(report["faults"])))
    drawn = []
    if report["called_before_failure"]:
        drawn.append(
            ("Lead time", pictures.drawn(pictures.leads, "how long before the failure", evaluation.matches))
        )
    if evaluation.half_life:
        label = "forecast against truth, midway between call and failure"
        drawn.append(("Time to throttle", pictures.drawn(pictures.forecasts, label, evaluation.half_life)))
    first = result.incidents
    false = [f for name, f in first.items() if not f.silent and name not in evaluation.explained]
    if false:
        label = "false alarms over time and by cause"
        years = report["gpu_years"]
        drawn.append(
            ("False alarms", pictures.drawn(pictures.alarms, label, false, result.first, result.last, years))
        )
    if drawn:
        parts.append(_section("When it called, and when for nothing", _figures(drawn)))
    if report["causes"]:
        parts.append(_section("By named cause", _causes(report["causes"])))
    for kind, heading in _HEADINGS.items():
        own = [one for one in shown if one.kind == kind]
        if own:
            drawn = [
                (
                    f"<b>{escape(one.title)}</b> {escape(one.note)}",
                    pictures.drawn(pictures.example, one.title, one),
                )
                for one in own
            ]
            parts.append(_section(f"{heading}: examples", _figures(drawn)))
    return parts


def _head(name: str, report: dict[str, Any], result: Replay) -> str:
    years = result.gpu_seconds / (365.25 * 86400.0)
    facts = [
        ("GPUs", f"{report['gpus']:,}"),
        ("span", f"{span(report['seconds_of_data'])}, every {span(report['step_seconds'])}"),
        ("seen", f"{years:.3g} GPU-years"),
        ("incidents", f"{report['incidents']:,}"),
        ("speed", f"{(report['points_per_second'] or 0) / 1e6:.2g} M points/s"),
    ]
    tiles = "".join(f"<div><dt>{escape(k)}</dt><dd>{escape(v)}</dd></div>" for k, v in facts)
    when = " to ".join(time.strftime("%Y-%m-%d %H:%M", time.gmtime(t)) for t in (result.first, result.last))
    problems = "".join(
        f'<p class="bad">Detector failed: {escape(text)}</p>' for text in report["detector_errors"]
    )
    return f"<header><h1>Backtest of {escape(name)}</h1><p>{when} UTC</p><dl>{tiles}</dl>{problems}</header>"


def _targets(report: dict[str, Any]) -> str:
    """Figure, what was reached, milestone, goal, and whether it was reached."""
    every, half = report["all"] or {}, report["time_to_throttle_at_half_life"]
    bounds = report["false_alarms_per_gpu_year_90_percent"]
    rows: list[tuple[str, float | None, float | None, float | None, Callable[[Any], str], bool]] = [
        ("Failures called before", every.get("called_before_failure_ratio"), 0.9, 0.99, _percent, True),
        ("Lead, median", every.get("median_lead_seconds"), 86400.0, 604800.0, span, True),
        ("Lead, worst tenth", every.get("p10_lead_seconds"), None, 86400.0, span, True),
        ("False alarms per GPU-year", report["false_alarms_per_gpu_year"], 0.1, 0.02, _plain, False),
        ("Time to throttle, median error midway", half["median_error_ratio"], 0.5, 0.2, _percent, False),
        ("Inside the 90 % interval", half["interval_coverage_ratio"], None, None, _percent, True),
        ("Incidents that were right", report["precision"], None, 0.8, _percent, True),
        ("Incidents per fault", report["incidents_per_event"], None, 1.0, _plain, False),
    ]
    body = []
    for name, value, milestone, goal, show, more in rows:
        limits = ["-" if limit is None else _kept(show(limit)) for limit in (milestone, goal)]
        here = f"<b>{_kept(show(value))}</b>"
        badge = _badge(value, milestone, goal, more)
        if name.startswith("False alarms") and bounds:
            here += f" (90 %: {_kept(f'{bounds[0]:.2g} to {bounds[1]:.2g}')})"
            badge = _proven(bounds[1], value, milestone, goal)
        body.append((name, here, *limits, badge))
    return _table(("", "here", "milestone", "goal", ""), body)


def _badge(value: float | None, milestone: float | None, goal: float | None, more: bool) -> str:
    def reached(limit: float | None) -> bool:
        return value is not None and limit is not None and (value >= limit if more else value <= limit)

    if value is None or (milestone is None and goal is None):
        return ""
    if reached(goal):
        return '<span class="ok">goal</span>'
    return '<span class="mid">milestone</span>' if reached(milestone) else '<span class="low">below</span>'


def _proven(most: float, value: float | None, milestone: float | None, goal: float | None) -> str:
    """The badge of a rate: reached only if the upper end of its interval is within the limit."""
    badge = _badge(most, milestone, goal, more=False)
    if "low" in badge and value is not None and milestone is not None and value <= milestone:
        return '<span class="few">too short to tell</span>'
    return badge


def _kept(text: str) -> str:
    """Text that is not broken between figure and unit."""
    return escape(text).replace(" ", "&nbsp;")


def _faults(faults: dict[str, dict[str, Any]]) -> str:
    body = [
        (
            escape(name), f"{row['found']} of {row['events']}",
            f"{row['called_before_failure']} of {row['failures']}" if row["failures"] else "-",
            span(row["median_lead_seconds"]),
            span(row["p10_lead_seconds"]),
            span(row["median_delay_seconds"]),
            _plain(row["incidents_per_event"]),
        )
        for name, row in faults.items()
    ]  # fmt: skip
    return _table(
        ("fault", "found", "before failure", "lead", "worst tenth", "delay", "incidents each"), body
    )


def _causes(causes: dict[str, dict[str, Any]]) -> str:
    body = [
        (
            escape(name), str(row["incidents"]), str(row["right"]), str(row["false_alarms"]),
            ", ".join(f"{escape(fault)} {n}" for fault, n in row["called_first_by_fault"].items()) or "-",
            span(row["median_lead_seconds"]),
        )
        for name, row in causes.items()
    ]  # fmt: skip
    return _table(("cause named", "incidents", "right", "false", "was the first to call", "lead"), body)


def _no_truth(result: Replay) -> str:
    body = [
        (time.strftime("%Y-%m-%d %H:%M", time.gmtime(f.timestamp)), escape(f.entity), escape(f.cause),
         f"{f.score:.2g}", span(f.eta), str(len(f.gpus)))
        for f in list(result.incidents.values())[:200]
    ]  # fmt: skip
    if not body:
        return "<p>No incident was raised.</p>"
    return _table(("opened (UTC)", "about", "cause", "score", "foretold", "GPUs"), body)


def _notes(judged: bool) -> str:
    return "<ul>" + "".join(f"<li>{escape(text)}</li>" for text in (NOTES if judged else NOTES[:1])) + "</ul>"


def _section(heading: str, body: str) -> str:
    return f"<section><h2>{escape(heading)}</h2>{body}</section>"


def _figures(drawn: Iterable[tuple[str, str]]) -> str:
    made = (
        f"<figure>{f'<figcaption>{caption}</figcaption>' if caption else ''}{svg}</figure>"
        for caption, svg in drawn
    )
    return f'<div class="figures">{"".join(made)}</div>'


def _table(head: Sequence[str], body: Iterable[Sequence[str]]) -> str:
    top = "".join(f"<th>{escape(text)}</th>" for text in head)
    rows = "".join("<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>" for row in body)
    return f'<div class="scroll"><table><thead><tr>{top}</tr></thead><tbody>{rows}</tbody></table></div>'


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.3g} %"


def _plain(value: float | str | None) -> str:
    return "-" if value is None else value if isinstance(value, str) else f"{value:.3g}"
