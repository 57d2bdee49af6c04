"""The same alerts as rules that Grafana evaluates, for sites that alert from Grafana instead of Prometheus.

The only file of this room that imports grafanalib.
"""

from __future__ import annotations

import hashlib
from typing import Any

import grafanalib.core as gl

from alerts import common
from alerts.model import KEEP_LEAST, Alert, Severity, paced
from alerts.rules import by_group
from alerts.text import Dialect
from alerts.yamltext import dump
from gigawatch.artifacts import BuildOptions

DATASOURCE_UID = "prometheus"
"""uid of the Prometheus data source; provisioning files take no variables here."""
FOLDER = "Gigawatch"
INTERVAL = "20s"
"""A multiple of Grafana's base interval of ten seconds."""
_EXPRESSION = "-100"
_RANGE_SECONDS = 600


def _flat(rule: gl.AlertRulev9, queries: list[dict[str, Any]], keep: str) -> dict[str, Any]:
    """The rule in the flat shape that Grafana's file provisioning reads; grafanalib nests half of it in
    the shape of the ruler API."""
    document: dict[str, Any] = rule.to_json_data()
    nested = document.pop("grafana_alert")
    document.update(
        title=nested["title"],
        condition=nested["condition"],
        data=queries,
        noDataState=nested["no_data_state"],
        execErrState=nested["exec_err_state"],
    )
    if keep != "0s":
        document["keepFiringFor"] = keep
    return document


def _query(alert: Alert) -> dict[str, Any]:
    model = {"refId": "A", "expr": alert.expr.text, "instant": True, "range": False, "editorMode": "code"}
    return _data("A", DATASOURCE_UID, model)


def _condition() -> dict[str, Any]:
    # A series that the query returns is an alert, whatever its value: also 0.
    model = {"refId": "B", "type": "math", "expression": "$A * 0 + 1"}
    return _data("B", _EXPRESSION, model)


def _data(ref: str, datasource: str, model: dict[str, Any]) -> dict[str, Any]:
    window = {"from": _RANGE_SECONDS, "to": 0}
    return {"refId": ref, "relativeTimeRange": window, "datasourceUid": datasource, "model": model}


def _uid(alert: Alert) -> str:
    return f"gw-{hashlib.sha256(alert.name.encode()).hexdigest()[:16]}"


def _escaped(texts: dict[str, str]) -> dict[str, str]:
    # Grafana expands $NAME in labels and ${NAME} in annotations from its environment; $$ is a dollar.
    return {key: text.replace("$", "$$") for key, text in texts.items()}


def _rule(alert: Alert, options: BuildOptions) -> dict[str, Any]:
    rule = gl.AlertRulev9(
        title=alert.name,
        uid=_uid(alert),
        condition="B",
        # No series means that the condition does not hold; absence has alerts of its own.
        noDataAlertState=gl.ALERTRULE_STATE_DATA_OK,
        errorAlertState=gl.ALERTRULE_STATE_DATA_OK,
        evaluateFor=paced(alert.hold, options.pace),
        labels=_escaped(common.fixed_labels(alert, Dialect.GRAFANA)),
        annotations=common.page_texts(alert, options, Dialect.GRAFANA),
    )
    return _flat(rule, [_query(alert), _condition()], paced(alert.keep, options.pace, KEEP_LEAST))


def provisioning(options: BuildOptions) -> str:
    """File for Grafana's folder provisioning/alerting. The dead man's switch stays with Prometheus."""
    groups = []
    for name, alerts in by_group().items():
        rules = [_rule(alert, options) for alert in alerts if alert.severity is not Severity.NONE]
        group = gl.AlertGroup(name=f"gigawatch-{name}", folder=FOLDER, evaluateInterval=INTERVAL)
        groups.append({"orgId": 1, **group.to_json_data(), "rules": rules})
    return dump(gl.AlertFileBasedProvisioning(groups).to_json_data(), "alerts/rules")
