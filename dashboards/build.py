"""What this room generates: dashboards for Grafana and the viewer, the chart's copies, a reference page."""

from __future__ import annotations

from dashboards import coverage
from dashboards.boards import all_boards
from dashboards.grafana import dashboard_json, minified, pretty
from dashboards.places import board_links
from dashboards.reference import page
from gigawatch.artifacts import BuildOptions

GENERATED = "dashboards/generated"
CHART = "helm/gigawatch/files/dashboards"
PAGE = "docs/reference/dashboards.md"
PANELS_PAGE = "docs/reference/existing-exporters-panels.md"


def artifacts(options: BuildOptions) -> dict[str, str]:  # noqa: ARG001 # links are relative: options change nothing
    """Path -> text of every generated file of this room."""
    titles = {board.uid: board.title for board in all_boards()}
    files = {}
    for board in all_boards():
        document = dashboard_json(board, board_links(titles, board.uid))
        files[f"{GENERATED}/{board.uid}.json"] = pretty(document)
        files[f"{CHART}/{board.uid}.json"] = minified(document)
    files[PAGE] = page(all_boards())
    files[PANELS_PAGE] = coverage.page(all_boards())
    return files
