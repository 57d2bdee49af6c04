"""Which panels show less where other exporters stand in for our agent."""

from __future__ import annotations

from collections.abc import Iterable

from dashboards.model import Board
from gigawatch.promql.dialects.coverage import lacking


def page(boards: Iterable[Board]) -> str:
    """docs/reference/existing-exporters-panels.md."""
    lines = [
        "# Panels that need our agent",
        "",
        "Generated from `dashboards/boards/` by `gigawatch build`: panels that show less, or nothing, where",
        "only dcgm-exporter and node_exporter run ([existing exporters](../existing-exporters.md)).",
        "",
        "| Board | Panel | Rests on |",
        "|---|---|---|",
    ]
    for board in boards:
        for section in board.sections:
            for panel in section.panels:
                names = sorted({name for expr in panel.expressions() for name in lacking(expr.text)})
                if names:
                    shown = ", ".join(f"`{name}`" for name in names)
                    lines.append(f"| {board.title} | {panel.title} | {shown} |")
    return "\n".join(lines) + "\n"
