"""Configuration of Alertmanager: who is told, what is grouped, what is muted. Valid from 0.25 on."""

from __future__ import annotations

from alerts.headline import ENGINES_FROM_DEAD_TO_SILENT
from alerts.inhibitions import INHIBITIONS, LOUDER, QUIETER, SAME_OBJECT
from alerts.model import Severity, paced
from alerts.rules import all_alerts
from alerts.yamltext import dump
from gigawatch.artifacts import BuildOptions

TOPOLOGY = ["site", "alertname", "scope", "rack", "node", "loop", "feed"]
"""What goes wrong on one node shares a page, what does on one loop as well; two sites never do."""
ONE_GPU = ["site", "scope", "node", "place"]
"""All that is wrong with one GPU is one page, whatever it is called: it is drained and mended as one. Another
GPU is a page of its own; many on one node at once are GpusFailTogether."""
ENGINES = ["site", "scope", "rack", "node"]
"""An engine whose core dies is unhealthy, then dead: one page, and one for all engines of a node."""
OBJECT = ["site", "alertname", "scope", "place"]
"""Parts of the pipeline and jobs stand side by side in one place: each is a page of its own."""


def configuration(options: BuildOptions) -> str:
    """alertmanager.yml."""

    def wait(duration: str, least: int = 10) -> str:
        return paced(duration, options.pace, least)

    def route(receiver: str, matchers: list[str], **settings: object) -> dict[str, object]:
        return {"receiver": receiver, "matchers": matchers, **settings}

    pages: dict[str, object] = {
        "group_wait": "10s",
        "group_interval": wait("1m"),
        "repeat_interval": "4h",
    }
    tickets: dict[str, object] = {
        "group_wait": wait("30s", 5),
        "group_interval": wait("5m"),
        "repeat_interval": "24h",
    }
    by_object = 'scope=~"site|process"'
    one_gpu = ['scope="gpu"', f'alertname!~"{"|".join(_together())}"']
    engines = f'alertname=~"{"|".join(ENGINES_FROM_DEAD_TO_SILENT)}"'
    config = {
        "global": {"resolve_timeout": "5m"},
        "route": {
            "receiver": "tickets",
            "group_by": TOPOLOGY,
            **tickets,
            "routes": [
                # Short enough for a listener that calls after a minute of silence.
                route(
                    "dead-mans-switch",
                    ['alertname="Watchdog"'],
                    group_by=["alertname"],
                    group_wait="0s",
                    group_interval="5s",
                    repeat_interval="5s",
                ),
                route("pager", [_severity(Severity.CRITICAL), by_object], group_by=OBJECT, **pages),
                route("pager", [_severity(Severity.CRITICAL), *one_gpu], group_by=ONE_GPU, **pages),
                route("pager", [_severity(Severity.CRITICAL), engines], group_by=ENGINES, **pages),
                route("pager", [_severity(Severity.CRITICAL)], group_by=TOPOLOGY, **pages),
                route(
                    "digest",
                    [_severity(Severity.INFO)],
                    group_by=["site", "alertname"],
                    group_wait="30s",
                    group_interval="5m",
                    repeat_interval="24h",
                ),
                route("tickets", [_severity(Severity.WARNING), by_object], group_by=OBJECT, **tickets),
            ],
        },
        "inhibit_rules": _inhibit_rules(),
        "receivers": [
            _receiver("pager", f"{_pager(options)}/webhook/page"),
            _receiver("tickets", f"{_pager(options)}/webhook/ticket"),
            _receiver("digest", f"{_pager(options)}/webhook/info"),
            _receiver("dead-mans-switch", f"{_pager(options)}/webhook/heartbeat", send_resolved=False),
        ],
    }
    return dump(config, "alerts/alertmanager.py and alerts/inhibitions.py")


def _inhibit_rules() -> list[dict[str, object]]:
    rules: list[dict[str, object]] = [
        {
            "source_matchers": inhibition.source_matchers,
            "target_matchers": inhibition.target_matchers,
            "equal": list(inhibition.equal),
        }
        for inhibition in INHIBITIONS
    ]
    louder: dict[str, object] = {
        "source_matchers": [_severity(LOUDER)],
        "target_matchers": [_severity(QUIETER)],
        "equal": list(SAME_OBJECT),
    }
    return [*rules, louder]


def _together() -> list[str]:
    return [alert.name for alert in all_alerts() if alert.together]


def _severity(severity: Severity) -> str:
    return f'severity="{severity}"'


def _receiver(name: str, url: str, *, send_resolved: bool = True) -> dict[str, object]:
    return {"name": name, "webhook_configs": [{"url": url, "send_resolved": send_resolved}]}


def _pager(options: BuildOptions) -> str:
    return options.pager_url.rstrip("/")
