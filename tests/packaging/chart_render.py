"""Rendering the chart for tests, each combination once."""

from __future__ import annotations

import os
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Any

import helm_tools
from helm_tools import CHART

OPERATOR = (
    "monitoring.coreos.com/v1",
    "monitoring.coreos.com/v1/ServiceMonitor",
    "monitoring.coreos.com/v1/PodMonitor",
    "monitoring.coreos.com/v1/PrometheusRule",
    "monitoring.coreos.com/v1alpha1/ScrapeConfig",
)
"""What a cluster with the Prometheus operator answers to."""
KUBERNETES = ("1.29", "1.31", "1.34", "1.35")
FILES = tuple(
    str(path.relative_to(CHART))
    for pattern in ("ci/*-values.yaml", "values-*.yaml")
    for path in sorted(CHART.glob(pattern))
)
"""Every values file that the chart ships or is tested with."""
MONITORING = {"ServiceMonitor", "PodMonitor", "PrometheusRule", "ScrapeConfig"}


def text(
    values: str,
    kubernetes: str = "1.34",
    operator: bool = True,
    major: int = 4,
    release: str = "gw",
    chart: str = str(CHART),
) -> str:
    """`helm template` of one values file, rendered once; fails the test where Helm does."""
    return _text(values, kubernetes, operator, major, release, chart)


@cache
def _text(*arguments: Any) -> str:
    return render(*arguments)


def render(values: str, kubernetes: str, operator: bool, major: int, release: str, chart: str) -> str:
    """The same, anew with each call."""
    arguments = [
        "template",
        release,
        chart,
        "-f",
        str(CHART / values),
        "--kube-version",
        kubernetes,
        "-n",
        "watch",
    ]
    for api in OPERATOR if operator else ():
        arguments += ["--api-versions", api]
    result = helm_tools.run(major, *arguments)
    assert result.returncode == 0, result.stderr
    return result.stdout


def render_ahead(combinations: Iterable[dict[str, Any]]) -> None:
    """Render these (arguments of `text`) side by side, so that `text` has them at hand."""
    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        list(pool.map(lambda arguments: text(**arguments), combinations))


@cache
def _objects(values: str, operator: bool, release: str) -> tuple[dict[str, Any], ...]:
    return tuple(helm_tools.objects(text(values, operator=operator, release=release)))


def objects(values: str, operator: bool = True, release: str = "gw") -> tuple[dict[str, Any], ...]:
    """The objects of a rendered values file; not to be changed."""
    return _objects(values, operator, release)


def with_settings(*settings: str, operator: bool = True, notes: bool = False) -> str:
    """Default values and these --set arguments: the manifests, or the text that an installation prints."""
    verb = ["install", "--dry-run=client"] if notes else ["template"]
    arguments = [*verb, "gw", str(CHART), "-n", "watch", *(a for s in settings for a in ("--set", s))]
    if not notes:
        for api in OPERATOR if operator else ():
            arguments += ["--api-versions", api]
    result = helm_tools.run(4, *arguments)
    assert result.returncode == 0, result.stderr
    return result.stdout


def of_kind(found: tuple[dict[str, Any], ...] | list[dict[str, Any]], *kinds: str) -> list[dict[str, Any]]:
    """Those objects that are of one of the kinds."""
    return [o for o in found if o["kind"] in kinds]


def pod_of(workload: dict[str, Any]) -> dict[str, Any]:
    """Pod template (metadata and spec) of a workload or a bare pod."""
    template: dict[str, Any] = workload if workload["kind"] == "Pod" else workload["spec"]["template"]
    return template


def containers(workload: dict[str, Any]) -> list[dict[str, Any]]:
    """All containers of a workload, those that run before included."""
    spec = pod_of(workload)["spec"]
    return [*spec.get("initContainers", []), *spec["containers"]]


WORKLOADS = ("Deployment", "StatefulSet", "DaemonSet", "Pod")
