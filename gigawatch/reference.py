"""Reference pages made from the catalogue, the recording rules and the table of XIDs."""

from __future__ import annotations

from gigawatch.artifacts import BuildOptions
from gigawatch.catalogue import DOMAINS, Metric, all_metrics, domain_of, gpu, gpu_links
from gigawatch.catalogue.xids import ACTION_TEXTS, SXIDS, XIDS, Rating
from gigawatch.promql.recording import all_rules

_TITLES = {
    "gpu": "GPU",
    "gpu_activity": "GPU activity, partitions, processes",
    "gpu_links": "GPU links and PCI",
    "host": "Host",
    "fabric": "Fabric",
    "storage": "Storage",
    "workload": "Jobs and queues",
    "inference": "Inference engines",
    "training": "Training",
    "facility": "Facility",
    "electrical": "Power chain",
    "liquid": "Cooling chain",
    "room": "Room and grid",
    "polling": "Polling of facility devices",
    "site": "Inventory and economics",
    "capacity": "Capacity",
    "findings": "Findings of analytics",
    "own": "Gigawatch itself",
}


def artifacts(_: BuildOptions) -> dict[str, str]:
    """The pages under docs/reference/ that this room knows."""
    return {
        "docs/reference/metrics.md": _metrics_page(),
        "docs/reference/recording-rules.md": _rules_page(),
        "docs/reference/xids.md": _xids_page(),
    }


_RATINGS = {
    Rating.LOST: "The GPU is gone.",
    Rating.RESET: "The GPU works again only after a reset or a reboot; what ran on it is lost.",
    Rating.SERVICE: "Hardware is suspected.",
    Rating.CONTAINED: "The hardware dealt with it.",
    Rating.APPLICATION: "Mostly a bug of the application.",
    Rating.DRIVER: "Trouble inside the driver or firmware that did not stop the GPU.",
    Rating.INFO: "A note.",
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
        "Made by `gigawatch build` from `gigawatch/promql/recording/`; do not edit by hand.",
    ]
    for rule in all_rules():
        labels = ", ".join(sorted(rule.queried_labels))
        unit = rule.unit.suffix.replace("_", " ") or "none"
        lines += ["", f"## `{rule.name}`", "", f"{rule.help} Unit: {unit}. Labels: {labels}.", ""]
        lines += ["```promql", str(rule.expr), "```"]
    return "\n".join(lines) + "\n"


def _xids_page() -> str:
    lines = [
        "# XIDs and SXIDs",
        "",
        "Made by `gigawatch build` from `gigawatch/catalogue/xids.py`; do not edit by hand.",
        "",
        "An XID is an error that NVIDIA's driver reports of a GPU, in the kernel log and through NVML.",
        f"`{gpu.GPU_XID_ERRORS.name}` counts each event once; `{gpu.GPU_XID_INFO.name}` carries meaning and",
        "action of the codes that a GPU has had. The counters of codes with a star stand at 0 from the",
        "start.",
        "",
        "## What to do",
        "",
        "| Action | What it asks for |",
        "|---|---|",
    ]
    lines += [f"| `{action.value}` | {text} |" for action, text in ACTION_TEXTS.items()]
    lines += ["", "## How bad it is", "", "| Rating | Meaning |", "|---|---|"]
    lines += [f"| {rating.value} | {text} |" for rating, text in _RATINGS.items()]
    lines += ["", "## XIDs", "", "| XID | Meaning | Rating | Action |", "|---|---|---|---|"]
    for code, row in XIDS.items():
        star = " *" if code in gpu.XID_SERIOUS else ""
        lines.append(f"| {code}{star} | {row.meaning} | {row.rating.value} | `{row.action.value}` |")
    lines += [
        "",
        "## Fatal SXIDs",
        "",
        "An SXID is an error of an NVSwitch, counted by",
        f"`{gpu_links.NVSWITCH_SXID_ERRORS.name}`. The driver says itself whether one is",
        "fatal; these are the codes that can be. After one that is fatal to the fabric reboot the node, or",
        "reset all GPUs and switches; after one that is fatal to a port reset the GPU at it.",
        "",
        "| SXID | Meaning | Fatal to |",
        "|---|---|---|",
    ]
    for code, switch in SXIDS.items():
        lines.append(f"| {code} | {switch.meaning} | {'the fabric' if switch.always else 'the port'} |")
    return "\n".join(lines) + "\n"
