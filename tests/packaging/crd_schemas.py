"""The part of the Prometheus and Grafana operators' schemas that the chart writes, strict about every field.

Field names and patterns as in the custom resource definitions of prometheus-operator (v1, v1alpha1) and
grafana-operator (v1beta1), of November 2026.
"""

from __future__ import annotations

from typing import Any

_STRING = {"type": "string"}
_STRINGS = {"type": "array", "items": _STRING}
_MAP = {"type": "object", "additionalProperties": _STRING}
_WHOLE = {"type": "integer", "minimum": 0}
_DURATION = {
    "type": "string",
    "pattern": r"^(0|(([0-9]+)y)?(([0-9]+)w)?(([0-9]+)d)?(([0-9]+)h)?(([0-9]+)m)?(([0-9]+)s)?(([0-9]+)ms)?)$",
    "minLength": 1,
}


def _object(properties: dict[str, Any], *required: str) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": properties,
        "required": list(required),
        "additionalProperties": False,
    }


_RELABELING = _object(
    {
        "action": {"enum": ["replace", "keep", "drop", "hashmod", "labelmap", "labeldrop", "labelkeep"]},
        "sourceLabels": {"type": "array", "items": {"type": "string", "pattern": "^[a-zA-Z_][a-zA-Z0-9_]*$"}},
        "separator": _STRING,
        "targetLabel": _STRING,
        "regex": _STRING,
        "modulus": _WHOLE,
        "replacement": _STRING,
    }
)
_RELABELINGS = {"type": "array", "items": _RELABELING}
_SELECTOR = _object({"matchLabels": _MAP, "matchExpressions": {"type": "array"}})
_LIMITS = dict.fromkeys(
    ("sampleLimit", "targetLimit", "labelLimit", "labelNameLengthLimit", "labelValueLengthLimit"), _WHOLE
)
_KEY = _object({"name": _STRING, "key": _STRING, "optional": {"type": "boolean"}}, "key")
_SECRET_OR_MAP = _object({"secret": _KEY, "configMap": _KEY})
_TLS = _object(
    {
        "ca": _SECRET_OR_MAP,
        "cert": _SECRET_OR_MAP,
        "keySecret": _KEY,
        "serverName": _STRING,
        "insecureSkipVerify": {"type": "boolean"},
    }
)
_BASIC_AUTH = _object({"username": _KEY, "password": _KEY})
_ENDPOINT = _object(
    {
        "port": _STRING,
        "path": _STRING,
        "scheme": {"enum": ["http", "https"]},
        "tlsConfig": _TLS,
        "basicAuth": _BASIC_AUTH,
        "interval": _DURATION,
        "scrapeTimeout": _DURATION,
        "honorLabels": {"type": "boolean"},
        "relabelings": _RELABELINGS,
        "metricRelabelings": _RELABELINGS,
    },
    "port",
)
_RULE = _object(
    {
        "record": _STRING,
        "alert": _STRING,
        "expr": {"type": ["string", "integer"]},
        "for": _DURATION,
        "keep_firing_for": _DURATION,
        "labels": _MAP,
        "annotations": _MAP,
    },
    "expr",
)
_SPECS = {
    "monitoring.coreos.com/v1/ServiceMonitor": _object(
        {
            "selector": _SELECTOR,
            "endpoints": {"type": "array", "items": _ENDPOINT, "minItems": 1},
            "attachMetadata": _object({"node": {"type": "boolean"}}),
            **_LIMITS,
        },
        "selector",
        "endpoints",
    ),
    "monitoring.coreos.com/v1/PodMonitor": _object(
        {
            "selector": _SELECTOR,
            "podMetricsEndpoints": {"type": "array", "items": _ENDPOINT, "minItems": 1},
            "attachMetadata": _object({"node": {"type": "boolean"}}),
            **_LIMITS,
        },
        "selector",
    ),
    "monitoring.coreos.com/v1/PrometheusRule": _object(
        {
            "groups": {
                "type": "array",
                "minItems": 1,
                "items": _object(
                    {
                        "name": {"type": "string", "minLength": 1},
                        "interval": _DURATION,
                        "limit": _WHOLE,
                        "labels": _MAP,
                        "query_offset": _DURATION,
                        "rules": {"type": "array", "items": _RULE},
                    },
                    "name",
                ),
            }
        }
    ),
    "monitoring.coreos.com/v1alpha1/ScrapeConfig": _object(
        {
            "httpSDConfigs": {
                "type": "array",
                "items": _object(
                    {
                        "url": {"type": "string", "pattern": "^http(s)?://.+$"},
                        "refreshInterval": _DURATION,
                        "tlsConfig": _TLS,
                        "basicAuth": _BASIC_AUTH,
                    },
                    "url",
                ),
            },
            "tlsConfig": _TLS,
            "basicAuth": _BASIC_AUTH,
            "jobName": _STRING,
            "metricsPath": _STRING,
            "scrapeInterval": _DURATION,
            "scrapeTimeout": _DURATION,
            "honorLabels": {"type": "boolean"},
            "relabelings": _RELABELINGS,
            "metricRelabelings": _RELABELINGS,
            **_LIMITS,
        }
    ),
    "grafana.integreatly.org/v1beta1/GrafanaDashboard": _object(
        {
            "allowCrossNamespaceImport": {"type": "boolean"},
            "folder": _STRING,
            "instanceSelector": _SELECTOR,
            "configMapRef": _object({"name": _STRING, "key": _STRING}, "name", "key"),
        },
        "instanceSelector",
    ),
}


def schema_of(thing: dict[str, Any]) -> dict[str, Any]:
    """JSON schema of a custom object; KeyError where the chart is not known to write such a thing."""
    spec = _SPECS[f"{thing['apiVersion']}/{thing['kind']}"]
    metadata = _object({"name": _STRING, "namespace": _STRING, "labels": _MAP, "annotations": _MAP}, "name")
    return _object(
        {"apiVersion": _STRING, "kind": _STRING, "metadata": metadata, "spec": spec}, "metadata", "spec"
    )
