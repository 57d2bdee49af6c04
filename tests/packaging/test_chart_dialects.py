"""Rules for exporters that a cluster already runs are loaded only where the values ask for them."""

from __future__ import annotations

import chart_render as chart
import helm_tools
import pytest


@pytest.mark.parametrize(
    ("settings", "names"),
    [
        ((), set()),
        (("dialects.dcgm=true",), {"dialect-dcgm"}),
        (("dialects.dcgm=true", "dialects.nodeExporter=true"), {"dialect-dcgm", "dialect-node-exporter"}),
    ],
)
def test_rules_follow_the_values(settings: tuple[str, ...], names: set[str]) -> None:
    found = chart.of_kind(helm_tools.objects(chart.with_settings(*settings)), "PrometheusRule")
    made = {one["metadata"]["name"].removeprefix("gw-gigawatch-") for one in found}
    assert made == {"recording", "alerts"} | names
    bundled = helm_tools.objects(chart.with_settings("bundled.enabled=true", *settings, operator=False))
    (rules,) = (one for one in bundled if one["metadata"]["name"] == "gw-gigawatch-prometheus-rules")
    assert set(rules["data"]) == {f"{name}.yaml" for name in {"recording", "alerts"} | names}
