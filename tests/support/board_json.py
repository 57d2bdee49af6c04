"""Reading a board as Grafana does: panels of folded rows lie inside of them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any


def every_panel(document: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Rows and panels, also those inside of folded rows."""
    for panel in document["panels"]:
        yield panel
        yield from panel.get("panels", [])


def open_parts(document: dict[str, Any]) -> Iterator[list[dict[str, Any]]]:
    """Panels that are seen together: the board with its rows closed, then each folded row once opened."""
    yield document["panels"]
    for panel in document["panels"]:
        if panel.get("panels"):
            yield panel["panels"]
