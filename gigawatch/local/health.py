"""How a stack is: processes, health checks, scrape targets."""

from __future__ import annotations

import json
import urllib.parse
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from gigawatch.local import procfs
from gigawatch.local.plan import Layout, Plan, load_plan, read_json
from gigawatch.local.supervisor import answers


def report(layout: Layout) -> dict[str, Any]:
    """What `gigawatch status --json` prints.

    state is healthy, degraded or down; parts hold name, pid, url, healthy, restarts and, where something is
    wrong, detail; targets counts Prometheus' scrape targets.
    """
    plan = load_plan(layout)
    if plan is None:
        return {"state": "down", "detail": "nothing was started here", "parts": [], "urls": {}}
    with ThreadPoolExecutor(16) as pool:
        parts = list(pool.map(lambda name: _part(plan, layout, name), [p.name for p in plan.parts]))
    parts += [_process(layout, name) for name in ("supervisor", "keeper")]
    running = [part for part in parts if part["pid"]]
    targets = _targets(plan) if running else None
    healthy = all(part["healthy"] for part in parts) and targets is not None and not targets["down"]
    return {
        "state": "healthy" if healthy else ("degraded" if running else "down"),
        "mode": plan.mode,
        "site": plan.site,
        "inventory": plan.inventory,
        "scrape_interval_seconds": plan.scrape_interval,
        "urls": {part.name: part.url for part in plan.parts},
        "parts": parts,
        "targets": targets,
        "memory_bytes": sum(part["memory_bytes"] for part in parts),
    }


def _process(layout: Layout, name: str) -> dict[str, Any]:
    record = read_json(layout.record(name))
    pid = int(record.get("pid", 0)) if isinstance(record, dict) else 0
    lives = bool(pid) and isinstance(record, dict) and procfs.alive(pid, int(record.get("started", 0)))
    memory = sum(s.resident_bytes for s in procfs.in_sessions([pid])) if lives else 0
    result: dict[str, Any] = {
        "name": name,
        "pid": pid if lives else None,
        "healthy": lives,
        "restarts": int(record.get("restarts", 0)) if isinstance(record, dict) else 0,
        "memory_bytes": memory,
    }
    if not lives:
        result["detail"] = "does not run"
    return result


def _part(plan: Plan, layout: Layout, name: str) -> dict[str, Any]:
    part = plan.part(name)
    result = _process(layout, name)
    result["url"] = part.url
    result["log"] = str(layout.log(name))
    if result["healthy"] and not answers(part.health):
        result.update(healthy=False, detail=f"does not answer {part.health}")
    return result


def _targets(plan: Plan) -> dict[str, Any] | None:
    """Scrape targets by health, and why those that are down are; None while Prometheus does not answer."""
    url = f"http://127.0.0.1:{plan.ports['prometheus']}/api/v1/targets?state=active"
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            active = json.load(answer)["data"]["activeTargets"]
    except (OSError, ValueError, KeyError):
        return None
    down = [
        f"{t['labels'].get('job')}/{t['labels'].get('instance')}: {t.get('lastError') or 'not scraped yet'}"
        for t in active
        if t["health"] != "up"
    ]
    found = {t["labels"].get("job") for t in active}
    absent = [f"{job}: not discovered yet" for job in _discovered_jobs(plan) if job not in found]
    return {"total": len(active), "up": len(active) - len(down), "down": [*absent, *down][:20]}


def _discovered_jobs(plan: Plan) -> list[str]:
    """Jobs whose targets come from service discovery, a little later than the others."""
    jobs = {"agent": "gigawatch-agent", "facility": "gigawatch-facility", "workload": "gigawatch-workload"}
    return [job for part, job in jobs.items() if part in plan.ports]


def query(plan: Plan, expression: str) -> list[dict[str, Any]]:
    """An instant query of the stack's Prometheus; empty while it does not answer."""
    url = f"http://127.0.0.1:{plan.ports['prometheus']}/api/v1/query?" + urllib.parse.urlencode(
        {"query": expression}
    )
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return list(json.load(answer)["data"]["result"])
    except (OSError, ValueError, KeyError):
        return []
