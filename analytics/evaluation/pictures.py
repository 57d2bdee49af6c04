"""The pictures of a report, as SVG, drawn through matplotlib's objects without its global state."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from html import escape
from typing import Any

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from analytics.evaluation.examples import Example
from analytics.evaluation.metrics import HalfLife
from analytics.evaluation.replay import Finding
from analytics.evaluation.truth import Match
from gigawatch.catalogue import Unit

BLUE, ORANGE, RED, GREY, GREEN = "#2563a8", "#d97a1a", "#b3382c", "#8a94a0", "#2a8a5f"
INK, FAINT = "#26303a", "#dfe4e9"
_WIDTH = 4.7
_STYLE: Any = {
    "svg.fonttype": "none",
    "svg.hashsalt": "gigawatch",
    "font.family": "sans-serif",
    "font.sans-serif": ["Helvetica Neue", "Arial", "Liberation Sans", "DejaVu Sans"],
    "font.size": 9.0,
    "axes.labelsize": 8.0,
    "axes.labelcolor": INK,
}
_TICKS = {
    60.0: "1 min",
    600.0: "10 min",
    3600.0: "1 h",
    21600.0: "6 h",
    86400.0: "1 d",
    604800.0: "7 d",
    2.6e6: "30 d",
}


def _axes(height: float, rows: int = 1, **how: Any) -> tuple[Figure, list[Axes]]:
    figure = Figure(figsize=(_WIDTH, height), layout="constrained")
    made = np.atleast_1d(figure.subplots(rows, 1, **how)).tolist()
    for axes in made:
        axes.spines[["top", "right"]].set_visible(False)
        axes.spines[["left", "bottom"]].set_color(GREY)
        axes.tick_params(colors=INK, labelsize=8, length=3)
        axes.grid(color=FAINT, linewidth=0.6)
        axes.set_axisbelow(True)
    return figure, made


def _legend(figure: Figure, axes: Axes, where: Any = "outside lower center") -> None:
    handles, labels = axes.get_legend_handles_labels()
    figure.legend(
        handles, labels, loc=where, ncols=4, frameon=False, fontsize=7, handlelength=1.1, columnspacing=1.0
    )


def _svg(figure: Figure, label: str) -> str:
    """The picture without XML head, scaled by the page, with a text for those who cannot see it."""
    buffer = io.StringIO()
    canvas: Any = FigureCanvasSVG(figure)
    canvas.print_svg(buffer, metadata={"Date": None, "Creator": None})
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    head, rest = text.split(">", 1)
    words = [part for part in head.split(" ") if not part.startswith(("width=", "height="))]
    return f'{" ".join(words)} role="img" aria-label="{escape(label)}">{rest}'


def drawn(draw: Callable[..., Figure], label: str, *what: Any) -> str:
    """The picture that `draw(*what)` makes."""
    with rc_context(_STYLE):
        return _svg(draw(*what), label)


def recall(faults: dict[str, dict[str, Any]]) -> Figure:
    """Per class: called before the failure, found otherwise, missed."""
    names = list(reversed(faults))
    figure, (axes,) = _axes(0.9 + 0.34 * len(names))
    before = np.array([faults[n]["called_before_failure"] / faults[n]["events"] for n in names])
    found = np.array([faults[n]["recall"] for n in names])
    rows = np.arange(len(names))
    parts = ((before, 0 * before, BLUE, "called before the failure"),
             (found - before, before, "#8fb8dd", "found, no failure or after it"),
             (1 - found, found, "#e8c4bf", "missed"))  # fmt: skip
    for width, left, color, label in parts:
        axes.barh(rows, 100 * width, left=100 * left, color=color, height=0.62, label=label)
    for row, name in enumerate(names):
        axes.text(
            101, row, f"{faults[name]['found']}/{faults[name]['events']}", va="center", fontsize=8, color=INK
        )
    axes.set_yticks(rows, names)
    axes.set_xlim(0, 112)
    axes.set_xticks([0, 25, 50, 75, 100], ["0", "25", "50", "75", "100 %"])
    axes.grid(axis="y", visible=False)
    _legend(figure, axes)
    return figure


def leads(matches: Sequence[Match]) -> Figure:
    """Share of failures that were called at least so long before."""
    failing = [m for m in matches if m.event.failure is not None]
    found = np.sort([m.lead for m in failing if m.lead is not None and m.lead > 0])[::-1]
    figure, (axes,) = _axes(2.7)
    x = np.concatenate((found[:1] * 1.0, found)) if len(found) else np.array([60.0])
    y = 100 * np.arange(len(x)) / max(len(failing), 1)
    axes.step(x, y, where="pre", color=BLUE, linewidth=1.8)
    axes.fill_between(x, y, step="pre", color=BLUE, alpha=0.10, linewidth=0)
    axes.set_xscale("log")
    lowest, highest = max(float(x.min()) / 2, 30.0), max(float(x.max()) * 1.6, 7200.0)
    axes.set_xlim(highest, lowest)
    shown = [t for t in _TICKS if lowest <= t <= highest]
    axes.set_xticks(shown, [_TICKS[t] for t in shown])
    axes.set_xticks([], minor=True)
    for goal, text in ((86400.0, "milestone: median 24 h"), (604800.0, "goal: median 7 d")):
        if lowest < goal < highest:
            axes.axvline(goal, color=ORANGE, linewidth=0.9, linestyle=(0, (4, 3)))
            axes.text(goal, 102, text, fontsize=7, color=ORANGE, ha="center", va="bottom")
    axes.set_ylim(0, 101)
    axes.set_xlabel("called at least so long before the failure")
    axes.set_ylabel("% of failures")
    return figure


def forecasts(half: Sequence[HalfLife]) -> Figure:
    """Forecast against what was left, midway between the first call and the failure."""
    figure, (axes,) = _axes(3.3)
    left, told = np.array([h.left for h in half]), np.array([max(h.predicted, 60.0) for h in half])
    low, high = min(left.min(), told.min()) / 1.7, max(left.max(), told.max()) * 1.7
    line = np.array([low, high])
    axes.fill_between(line, line * 0.5, line * 1.5, color=BLUE, alpha=0.07, linewidth=0, label="within 50 %")
    axes.fill_between(line, line * 0.8, line * 1.2, color=BLUE, alpha=0.13, linewidth=0, label="within 20 %")
    axes.plot(line, line, color=GREY, linewidth=0.9)
    for one, x in zip(half, left, strict=True):
        if one.interval is not None:
            inside = one.interval[0] <= x <= one.interval[1]
            bounds = [max(one.interval[0], low), min(max(one.interval[1], low), high)]
            axes.plot([x, x], bounds, color=BLUE if inside else RED, linewidth=1.0, alpha=0.55)
    axes.scatter(left, told, s=14, color=BLUE, zorder=3, linewidth=0)
    for axis, scale, limits in (
        (axes.xaxis, axes.set_xscale, axes.set_xlim),
        (axes.yaxis, axes.set_yscale, axes.set_ylim),
    ):
        scale("log")
        limits(low, high)
        shown = [t for t in _TICKS if low <= t <= high]
        axis.set_ticks(shown, [_TICKS[t] for t in shown])
        axis.set_ticks([], minor=True)
    axes.set_xlabel("really left")
    axes.set_ylabel("foretold (bar: 90 % interval)")
    _legend(figure, axes, "outside upper left")
    return figure


def alarms(false: Sequence[Finding], begin: float, end: float, years: float) -> Figure:
    """False alarms as they came, and by cause."""
    causes = sorted({f.cause for f in false}, key=lambda c: sum(f.cause == c for f in false))
    figure, (over, by) = _axes(2.3 + 0.26 * len(causes), 2, height_ratios=[2, 0.6 + 0.35 * len(causes)])
    days = np.sort([(f.timestamp - begin) / 86400.0 for f in false])
    span = max((end - begin) / 86400.0, 1e-9)
    over.step(np.concatenate(([0.0], days, [span])), np.concatenate((np.arange(len(days) + 1), [len(days)])),
              where="post", color=RED, linewidth=1.6, label="false alarms so far")  # fmt: skip
    over.plot([0, span], [0, 0.1 * years], color=ORANGE, linestyle=(0, (4, 3)), linewidth=0.9,
              label="0.1 per GPU-year")  # fmt: skip
    over.set_xlim(0, span)
    over.set_ylim(bottom=0)
    over.set_xlabel("days of history")
    _legend(figure, over, "outside upper left")
    counts = [sum(f.cause == c for f in false) for c in causes]
    by.barh(np.arange(len(causes)), counts, color="#d98b83", height=0.6)
    by.set_yticks(np.arange(len(causes)), causes)
    by.set_xticks(sorted({0, max(counts, default=1)}))
    by.grid(axis="y", visible=False)
    return figure


def example(one: Example) -> Figure:
    """A GPU beside its peers, and the difference, with the fault and the moment of the call."""
    figure, (top, low) = _axes(2.9, 2, sharex=True, height_ratios=[3, 2])
    start = one.event.start if one.event is not None else one.calls[0].timestamp
    unit, name = (3600.0, "hours") if one.end - one.begin < 4 * 86400 else (86400.0, "days")
    scale = 1e-9 if one.signal.unit is Unit.HERTZ else 1.0
    x = (one.times - start) / unit
    top.plot(x, scale * one.peers, color=GREY, linewidth=1.0, label=one.names[1] + " (median)")
    top.plot(x, scale * one.values, color=BLUE, linewidth=1.1, label=one.names[0])
    low.plot(x, scale * (one.values - one.peers), color=BLUE, linewidth=1.1)
    low.axhline(0, color=GREY, linewidth=0.7)
    for axes in (top, low):
        if one.event is not None:
            axes.axvspan(0, (one.event.end - start) / unit, color=ORANGE, alpha=0.10, linewidth=0)
            if one.event.failure is not None:
                axes.axvline((one.event.failure - start) / unit, color=RED, linewidth=1.2)
        if one.calls:
            axes.axvline((one.calls[0].timestamp - start) / unit, color=GREEN, linewidth=1.4)
    top.set_ylabel({Unit.HERTZ: "GHz", Unit.WATTS: "W", Unit.CELSIUS: "°C"}.get(one.signal.unit, ""))
    low.set_ylabel("difference")
    low.set_xlabel(f"{name} since {'the fault began' if one.event is not None else 'the call'}")
    low.xaxis.set_major_formatter(FuncFormatter(lambda v, _: f"{v:g}"))
    top.set_xlim((one.begin - start) / unit, (one.end - start) / unit)
    if len(x):
        top.set_xlim(
            max((one.begin - start) / unit, float(x[0])), min((one.end - start) / unit, float(x[-1]))
        )
    marks = [("call", GREEN)] * bool(one.calls)
    marks += [("failure", RED)] * bool(one.event is not None and one.event.failure is not None)
    for text, color in marks:
        top.plot([], [], color=color, linewidth=1.4, label=text)
    _legend(figure, top)
    return figure
