"""The reference page of all boards: every panel with its question and its queries."""

from __future__ import annotations

from collections.abc import Iterable

from dashboards.model import Board, Panel


def page(boards: Iterable[Board]) -> str:
    """docs/reference/dashboards.md."""
    lines = [
        "# Dashboards",
        "",
        "Generated from `dashboards/boards/` by `gigawatch build`. Each board works in Grafana and in the",
        "built-in viewer under the same path, for example `/d/gw-node?var-node=r01-n01`.",
    ]
    for board in boards:
        names = ", ".join(f"`{variable.name}`" for variable in board.variables)
        lines += ["", f"## {board.title} (`{board.uid}`)", "", board.description, "", f"Variables: {names}."]
        for section in board.sections:
            lines += [
                "",
                f"### {board.title}: {section.title}",
                "",
                "| Panel | Question | Queries |",
                "|---|---|---|",
            ]
            lines += [_line(panel) for panel in section.panels]
    return "\n".join(lines) + "\n"


def _line(panel: Panel) -> str:
    queries = "<br>".join(f"`{_cell(query.expr.text)}`" for query in panel.queries)
    return f"| {_cell(panel.title)} | {_cell(panel.description)} | {queries} |"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
