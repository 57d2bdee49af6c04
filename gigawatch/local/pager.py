"""The local pager: receives what Alertmanager sends and shows it as on-call would get it.

One incident is one entry, however often Alertmanager repeats it: the group key of a notification plays the
part that a dedup key plays in a paging service. Of several alerts in it, the one nearest to the cause is the
headline and the others stand below. Alerts of high urgency are pages, the others tickets.
The pager also listens for the dead man's switch: silence of the pipeline is itself a page.
"""

from __future__ import annotations

import json
import logging
import platform
import threading
import time
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from gigawatch import package_version
from gigawatch.catalogue import own
from gigawatch.errors import UserError
from gigawatch.local.plan import write_json
from gigawatch.readings import Reading

log = logging.getLogger(__name__)
KEPT = 1000
_SEVERITY_ORDER = {"critical": 0, "warning": 1, "info": 2, "none": 3}


class Pager:
    """Pages in the order in which they arrived, kept on disk. Safe for several threads."""

    def __init__(self, path: Path, silence: float, clock: Callable[[], float] = time.time) -> None:
        self._path, self._silence, self._clock = path, silence, clock
        self._lock = threading.Lock()
        self._pages: list[dict[str, Any]] = _load(path)
        self._counts: dict[str, int] = {}
        self.heartbeat: float | None = None
        self._began = clock()
        for page in self._pages:
            self._count(page)

    def receive(self, urgency: str, payload: object) -> None:
        """Take one Alertmanager webhook notification (payload version 4). UserError if it is not one."""
        if not isinstance(payload, dict) or not isinstance(payload.get("alerts"), list):
            raise UserError("not an Alertmanager webhook payload: expected an object with a list 'alerts'")
        alerts = [alert for alert in payload["alerts"] if isinstance(alert, dict)]
        if not alerts:
            raise UserError("not an Alertmanager webhook payload: 'alerts' is empty")
        key = str(payload.get("groupKey", ""))
        with self._lock:
            self._store(urgency, key, str(payload.get("status", "firing")), alerts)

    def _store(self, urgency: str, key: str, status: str, alerts: list[dict[str, Any]]) -> None:
        firing = [alert for alert in alerts if alert.get("status", "firing") == "firing"]
        lead = min(firing or alerts, key=_rank)
        open_page = next(
            (p for p in reversed(self._pages) if p["group"] == key and p["status"] == "firing"), None
        )
        if open_page is None:
            if status != "firing":
                return  # the end of something that was never shown
            open_page = {"received": self._now(), "urgency": urgency, "group": key}
            self._pages.append(open_page)
            del self._pages[:-KEPT]
            open_page.update(_shown(lead))
            self._count(open_page)
            log.info("%s: %s", urgency, open_page["annotations"].get("summary", ""))
        elif firing and _causal(lead) < _causal(open_page):
            open_page.update(_shown(lead))
        open_page["status"] = status
        open_page["updated"] = self._now()
        open_page["alerts"] = [
            {"status": alert.get("status", status), "startsAt": alert.get("startsAt", ""), **_shown(alert)}
            for alert in sorted(alerts, key=_rank)
        ]
        self._save()

    def beat(self) -> None:
        """The dead man's switch was heard."""
        with self._lock:
            self.heartbeat = self._clock()

    def watch(self) -> None:
        """Page when the dead man's switch has been silent for too long; call this every second or so."""
        with self._lock:
            last = self.heartbeat if self.heartbeat is not None else self._began + 60
            silent = self._clock() - last
            is_open = any(p["group"] == _SILENT and p["status"] == "firing" for p in self._pages)
            if silent > self._silence and not is_open:
                self._store("page", _SILENT, "firing", [_silence_alert(silent)])
            elif silent <= self._silence and is_open:
                self._store("page", _SILENT, "resolved", [{**_silence_alert(silent), "status": "resolved"}])

    def pages(self, urgency: str | None = None) -> list[dict[str, Any]]:
        """Everything received, newest last; only `page` or `ticket` if asked."""
        with self._lock:
            return [dict(p) for p in self._pages if urgency in (None, p["urgency"])]

    def readings(self) -> Iterable[Reading]:
        """Self-metrics."""
        version = package_version()
        yield Reading(own.EXPORTER_BUILD_INFO, ("pager", version, platform.python_version()), 1)
        with self._lock:
            counts, heartbeat = dict(self._counts), self.heartbeat
        for severity in ("critical", "warning"):
            yield Reading(own.PAGER_PAGES, (severity,), counts.get(severity, 0))
        if heartbeat is not None:
            yield Reading(own.PAGER_HEARTBEAT, (), heartbeat)

    def _count(self, page: dict[str, Any]) -> None:
        severity = page["labels"].get("severity", "unknown")
        self._counts[severity] = self._counts.get(severity, 0) + 1

    def _now(self) -> str:
        return (
            datetime.fromtimestamp(self._clock(), UTC)
            .isoformat(timespec="milliseconds")
            .replace("+00:00", "Z")
        )

    def _save(self) -> None:
        write_json(self._path, self._pages)


_SILENT = "dead-mans-switch"


def _silence_alert(silent: float) -> dict[str, Any]:
    return {
        "status": "firing",
        "labels": {
            "alertname": "MonitoringSilent",
            "severity": "critical",
            "domain": "pipeline",
            "scope": "site",
            "place": "monitoring",
        },
        "annotations": {
            "summary": f"No sign of life from the monitoring for {silent:.0f} s",
            "description": "The dead man's switch (alert Watchdog) has stopped arriving.",
            "cause": "Prometheus or Alertmanager is down or stuck, or the way from there to here is cut.",
            "consequence": "Nobody is paged for anything else until this is mended.",
            "action": "Look at `gigawatch status`; start what is down.",
            "place": "monitoring",
        },
    }


def _shown(alert: dict[str, Any]) -> dict[str, Any]:
    labels = alert.get("labels") if isinstance(alert.get("labels"), dict) else {}
    annotations = alert.get("annotations") if isinstance(alert.get("annotations"), dict) else {}
    link = (annotations or {}).get("dashboard_url") or alert.get("generatorURL", "")
    return {"labels": dict(labels or {}), "annotations": dict(annotations or {}), "link": link}


def _causal(alert: dict[str, Any]) -> tuple[int, str]:
    """Severity, then nearness to the cause, as the alerts say it themselves (annotation `headline`)."""
    labels = alert.get("labels") if isinstance(alert.get("labels"), dict) else {}
    annotations = alert.get("annotations") if isinstance(alert.get("annotations"), dict) else {}
    severity = _SEVERITY_ORDER.get((labels or {}).get("severity", ""), 9)
    return severity, str((annotations or {}).get("headline", "99"))


def _rank(alert: dict[str, Any]) -> tuple[int, str, str]:
    return (*_causal(alert), str(alert.get("startsAt", "")))


def _load(path: Path) -> list[dict[str, Any]]:
    try:
        pages = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return []
    except (OSError, ValueError) as error:
        log.warning("%s cannot be read (%s); beginning with an empty list", path, error)
        return []
    keys = {"received", "status", "labels", "annotations", "group", "urgency"}
    return (
        [page for page in pages if isinstance(page, dict) and keys <= page.keys()]
        if isinstance(pages, list)
        else []
    )
