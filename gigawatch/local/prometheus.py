"""The Prometheus configuration of a local stack; valid for Prometheus 2.42 and for 3.x."""

from __future__ import annotations

from typing import Any

import yaml


def configuration(site: str, ports: dict[str, int], interval: float, parts: set[str]) -> str:
    """prometheus.yml for the parts that run. `interval` is the scrape and evaluation interval in seconds."""
    step = f"{interval:g}s"

    def static(job: str, part: str, honor: bool = False) -> dict[str, Any]:
        config: dict[str, Any] = {
            "job_name": job,
            "static_configs": [{"targets": [f"127.0.0.1:{ports[part]}"], "labels": {"site": site}}],
        }
        if honor:
            # These speak of other things than themselves: their own labels win.
            config["honor_labels"] = True
        return config

    def discovered(job: str, path: str, part: str = "sd") -> dict[str, Any]:
        url = f"http://127.0.0.1:{ports[part]}/{path}"
        return {"job_name": job, "http_sd_configs": [{"url": url, "refresh_interval": "5s"}]}

    jobs = [discovered("gigawatch-agent", "sd/agents")]
    if "facility" in parts:
        jobs.append(discovered("gigawatch-facility", "sd/facility"))
    if "workload" in parts:
        jobs.append(discovered("gigawatch-workload", "targets", "workload"))
    jobs.append(static("gigawatch-sd", "sd", honor=True))
    jobs.append(static("gigawatch-analytics", "analytics", honor=True))
    present = [part for part in ("supervisor", "pager", "plant") if part in {*parts, "supervisor"}]
    jobs += [static(f"gigawatch-{part}", part) for part in present]
    jobs += [static("prometheus", "prometheus"), static("alertmanager", "alertmanager")]
    config = {
        "global": {"scrape_interval": step, "scrape_timeout": step, "evaluation_interval": step},
        "rule_files": ["rules/*.yml"],
        "alerting": {
            "alertmanagers": [{"static_configs": [{"targets": [f"127.0.0.1:{ports['alertmanager']}"]}]}]
        },
        "scrape_configs": jobs,
    }
    return "# Written by `gigawatch up`; the next start writes it again.\n" + yaml.safe_dump(
        config, sort_keys=False
    )
