"""What every alert carries, added in one place: labels, links and the line that says where."""

from __future__ import annotations

from alerts.headline import ANNOTATION, headline
from alerts.model import Alert
from alerts.text import Dialect, place_line, render
from gigawatch.artifacts import BuildOptions

_VARIABLES = ("site", "rack", "node", "gpu", "job_id", "loop", "model")
"""Variables that the boards understand, in the order of their links."""


def fixed_labels(alert: Alert, dialect: Dialect) -> dict[str, str]:
    """Labels that the rule sets; those of the expression come on top."""
    return {
        "severity": str(alert.severity),
        "domain": str(alert.domain),
        "scope": str(alert.scope),
        "place": render(alert.place_text, dialect),
    }


def page_texts(alert: Alert, options: BuildOptions, dialect: Dialect) -> dict[str, str]:
    """All that a page shows."""
    action = f"{alert.action}: {alert.first_step}"
    return {
        "summary": render(alert.summary, dialect),
        "description": render(alert.description, dialect),
        "cause": render(alert.cause, dialect),
        "consequence": render(alert.consequence_text, dialect),
        "action": render(action, dialect),
        "place": place_line(alert.labels),
        "owner": alert.owned_by,
        ANNOTATION: headline(alert),
        "runbook_url": runbook_url(alert, options),
        "dashboard_url": dashboard_url(alert, options),
    }


def runbook_url(alert: Alert, options: BuildOptions) -> str:
    """Where the alert's runbook page is."""
    return f"{options.runbook_url.rstrip('/') or 'docs/runbooks'}/{alert.name}.md"


def dashboard_url(alert: Alert, options: BuildOptions) -> str:
    """The board that shows the thing, with its variables set (Grafana and the viewer read the same links)."""
    carried = [name for name in _VARIABLES if name in alert.labels]
    query = "&".join(f"var-{name}={{{{ $labels.{name} | urlquery }}}}" for name in carried)
    return f"{options.viewer_url.rstrip('/')}/d/{alert.board}" + (f"?{query}" if query else "")
