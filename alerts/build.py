"""Everything that is generated from the alerts."""

from __future__ import annotations

from dataclasses import replace

from alerts import alertmanager, dialects, grafana, headline, pages, prometheus
from alerts.rules import by_group
from gigawatch.artifacts import BuildOptions
from gigawatch.promql.dialects import DIALECTS, counters

GENERATED = "alerts/generated"
CHART = "helm/gigawatch/files"
CHART_VIEWER = "http://gigawatch-viewer:9614"
"""The addresses in the chart's copies; the chart replaces them by what its values say."""
CHART_RUNBOOKS = "http://gigawatch-viewer:9614/runbooks"
CHART_PAGER = "http://gigawatch-pager:9615"


def artifacts(options: BuildOptions) -> dict[str, str]:
    """Path -> text of every file."""
    recording = prometheus.recording_rules()
    files = {
        f"{GENERATED}/recording-rules.yml": recording,
        f"{GENERATED}/prometheus-rules.yml": prometheus.alert_rules(options),
        f"{GENERATED}/alertmanager.yml": alertmanager.configuration(options),
        f"{GENERATED}/alertmanager.tmpl": headline.template(),
        f"{GENERATED}/grafana-alerting.yml": grafana.provisioning(options),
        "docs/reference/alerts.md": pages.table(),
    }
    for dialect in DIALECTS:
        text = dialects.rules(dialect)
        # Apart from the other rules, so that nothing loads them by a pattern: they are the user's choice.
        files[f"{GENERATED}/dialects/{dialect.name}.yml"] = text
        files[f"{CHART}/dialects/dialect-{dialect.name}.yaml"] = text
    files["deploy/dcgm/counters.csv"] = counters.csv()
    files["docs/reference/existing-exporters.md"] = dialects.page()
    for name, alerts in by_group().items():
        files[f"{GENERATED}/tests/{name}.yml"] = prometheus.unit_tests(name)
        files[f"{GENERATED}/tests/rules/{name}.yml"] = prometheus.rules_under_test(name)
        for alert in alerts:
            files[f"docs/runbooks/{alert.name}.md"] = pages.runbook(alert)
    chart = replace(
        options, pace=1.0, viewer_url=CHART_VIEWER, runbook_url=CHART_RUNBOOKS, pager_url=CHART_PAGER
    )
    files[f"{CHART}/rules/recording.yaml"] = recording
    files[f"{CHART}/rules/alerts.yaml"] = prometheus.alert_rules(chart)
    files[f"{CHART}/alertmanager.yaml"] = alertmanager.configuration(chart)
    return files
