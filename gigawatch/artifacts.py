"""What a room generates for others: rules, dashboards, pages. Collected by `gigawatch build` and `up`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class BuildOptions:
    """How generated files are to fit where they will be used.

    `pace` shortens every alert's `for` on a rehearsal stack (1.0 is production; the hold is never shortened
    below two evaluations). The URLs go into links; empty means a link that works from the tool itself.
    """

    pace: float = 1.0
    viewer_url: str = ""
    """Dashboards live at {viewer_url}/d/{uid}, in Grafana as in the viewer."""
    runbook_url: str = ""
    alertmanager_url: str = ""
    pager_url: str = "http://127.0.0.1:9615"


Artifacts = Callable[[BuildOptions], dict[str, str]]
"""A room's generator: relative path -> text, byte for byte the same for the same options."""
