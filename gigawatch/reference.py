"""Reference pages made from the catalogue and the recording rules."""

from __future__ import annotations

from gigawatch.artifacts import BuildOptions
from gigawatch.catalogue import DOMAINS, Metric, all_metrics, domain_of
from gigawatch.promql.recording import all_rules

_TITLES = {
    "gpu": "GPU",
    "gpu_activity": "GPU activity, partitions, processes",
    "gpu_links": "GPU links and PCI",
    "host": "Host",
    "fabric": "Fabric",
    "storage": "Storage",
    "workload": "Jobs, inference, training",
    "facility": "Facility",
    "site": "Inventory and economics",
    "findings": "Findings of analytics",
    "own": "Gigawatch itself",
}


def artifacts(_: BuildOptions) -> dict[str, str]:
    """docs/reference/metrics.md and docs/reference/recording-rules.md."""
    return {
        "docs/reference/metrics.md": _metrics_page(),
        "docs/reference/recording-rules.md": _rules_page(),
    }


def _metrics_page() -> str:
    lines = [
        "# Metrics",
        "",
        "Made by `gigawatch build` from `gigawatch/catalogue/`; do not edit by hand.",
        "",
        "Labels in brackets come from service discovery and stand on every series of a target. What a",
        "device does not offer is absent, never 0. *When* says how far you can count on a series: always,",
        "only where the hardware or software supports it, or only after something has happened.",
    ]
    for domain in DOMAINS:
        lines += [
            "",
            f"## {_TITLES[domain]}",
            "",
            "| Metric | Kind | Unit | Labels | From | When | Meaning |",
        ]
        lines.append("|---|---|---|---|---|---|---|")
        lines += [_row(metric) for metric in all_metrics() if domain_of(metric) == domain]
    return "\n".join(lines) + "\n"


def _row(metric: Metric) -> str:
    labels = []
    for label in metric.labels:
        allowed = metric.values.get(label)
        labels.append(f"{label} = {', '.join(allowed)}" if allowed else label)
    target = ", ".join(metric.target.value)
    shown = "; ".join([*labels, f"({target})"])
    unit = metric.unit.suffix.replace("_", " ") or "-"
    kind = metric.kind.value.replace("_", " ")
    return (
        f"| `{metric.name}` | {kind} | {unit} | {shown} | {metric.origin.value} | {metric.presence.value} "
        f"| {metric.help} |"
    )


def _rules_page() -> str:
    lines = [
        "# Recording rules",
        "",
        "Made by `gigawatch build` from `gigawatch/promql/recording.py`; do not edit by hand.",
    ]
    for rule in all_rules():
        labels = ", ".join(sorted(rule.queried_labels))
        unit = rule.unit.suffix.replace("_", " ") or "none"
        lines += ["", f"## `{rule.name}`", "", f"{rule.help} Unit: {unit}. Labels: {labels}.", ""]
        lines += ["```promql", str(rule.expr), "```"]
    return "\n".join(lines) + "\n"
