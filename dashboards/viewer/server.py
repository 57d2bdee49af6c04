"""The viewer's HTTP application: pages, boards, the door to Prometheus, and the state of the stack."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dashboards.viewer.assets import SECURITY, Assets
from dashboards.viewer.boards import Shelf
from dashboards.viewer.findings import Findings
from dashboards.viewer.proxy import PrometheusProxy
from dashboards.viewer.upstream import Upstream, UpstreamError
from gigawatch import package_version
from gigawatch.serving import App, Request, Response

_RUNBOOK = re.compile(r"[A-Za-z0-9_-]{1,80}(\.md)?")


@dataclass(frozen=True, slots=True)
class Settings:
    """What one viewer shows. Times are in seconds; pager, Alertmanager and analytics are optional."""

    dashboards: Path
    prometheus: str
    alertmanager: str | None = None
    pager: str | None = None
    analytics: str | None = None
    trust_user: bool = False
    """The server checks names and passwords, so that a mark may bear the name of who gave it."""
    runbooks: Path | None = None
    scrape_interval: float = 5.0
    deadline: float = 10.0
    workers: int = 12


def build_app(settings: Settings) -> App:
    """The application. Raises UserError if an address is no URL or the chart library is missing."""
    viewer = _Viewer(settings)
    app = App(ready=lambda: not viewer.shelf.problems() or bool(viewer.shelf.boards()))
    page = viewer.page
    for path in ("/", "/d/", "/runbooks/", "/findings"):
        app.route("GET", path, page)
    app.route("GET", "/static/", viewer.static)
    app.route("GET", "/favicon.ico", lambda _: viewer.assets.respond("icon.svg"))
    app.route("GET", "/api/", lambda _: _json({"error": "no such address"}, 404))
    app.route("GET", "/api/config", viewer.config)
    app.route("GET", "/api/dashboards", viewer.list_boards)
    app.route("GET", "/api/dashboards/", viewer.one_board)
    app.route("GET", "/api/overview", viewer.overview)
    app.route("GET", "/api/runbooks/", viewer.runbook)
    for path in ("/api/incidents", "/api/incidents/", "/api/feedback"):
        app.route("GET", path, viewer.findings.read)
    app.route("POST", "/api/incidents/", viewer.findings.mark)
    app.route("GET", "/api/prom/", viewer.prometheus.single)
    app.route("POST", "/api/prom/", viewer.prometheus.single)
    app.route("POST", "/api/prom/batch", viewer.prometheus.batch)
    return app


class _Viewer:
    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.shelf = Shelf(settings.dashboards)
        self.assets = Assets()
        # Two pools: an overview that waits for a dead Alertmanager must not hold up the panels of a board.
        queries = ThreadPoolExecutor(settings.workers, thread_name_prefix="query")
        self._states: Executor = ThreadPoolExecutor(8, thread_name_prefix="state")
        self._prometheus = Upstream("Prometheus", settings.prometheus, settings.deadline)
        self._alertmanager = (
            Upstream("Alertmanager", settings.alertmanager, settings.deadline)
            if settings.alertmanager
            else None
        )
        self._pager = Upstream("the pager", settings.pager, settings.deadline) if settings.pager else None
        self.prometheus = PrometheusProxy(self._prometheus, queries)
        analytics = settings.analytics
        self.findings = Findings(
            Upstream("analytics", analytics, settings.deadline) if analytics else None, settings.trust_user
        )

    def page(self, request: Request) -> Response:
        """One page for all addresses; its script reads the address and draws. Unknown boards get 404."""
        if request.path not in ("/", "/findings"):
            _, folder, name = request.path.split("/", 2)
            known = self._runbook(name) if folder == "runbooks" else self.shelf.get(name.split("/")[0])
            if known is None:
                shown = self.assets.respond("index.html")
                return Response(shown.body, shown.content_type, 404, SECURITY)
        return self.assets.respond("index.html", request.headers.get("If-None-Match", ""))

    def static(self, request: Request) -> Response:
        return self.assets.respond(
            request.path.removeprefix("/static/"), request.headers.get("If-None-Match", "")
        )

    def config(self, _: Request) -> Response:
        """What the scripts need to know about the set-up."""
        return _json(
            {
                "version": package_version(),
                "scrapeInterval": self.settings.scrape_interval,
                "prometheus": self.settings.prometheus,
                "alertmanager": self.settings.alertmanager,
                "pager": self.settings.pager,
                "findings": self.settings.analytics is not None,
                "named": self.settings.trust_user,
            }
        )

    def list_boards(self, _: Request) -> Response:
        return _json(
            {"boards": [board.summary() for board in self.shelf.boards()], "problems": self.shelf.problems()}
        )

    def one_board(self, request: Request) -> Response:
        uid = request.path.removeprefix("/api/dashboards/")
        board = self.shelf.get(uid)
        if board is None:
            return _json({"error": f"no dashboard has the uid '{uid[:60]}'"}, 404)
        return Response(board.body, "application/json", headers=SECURITY)

    def runbook(self, request: Request) -> Response:
        """One runbook as Markdown."""
        name = request.path.removeprefix("/api/runbooks/")
        text = self._runbook(name)
        if text is None:
            return _json({"error": f"no runbook is called '{name[:60]}'"}, 404)
        return _json({"name": name.removesuffix(".md"), "text": text})

    def _runbook(self, name: str) -> str | None:
        """The runbook's text; None where there is none. The name is a bare word: no path leads out."""
        folder = self.settings.runbooks
        if folder is None or not _RUNBOOK.fullmatch(name):
            return None
        try:
            return (folder / f"{name.removesuffix('.md')}.md").read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError):
            return None

    def overview(self, _: Request) -> Response:
        """State of the stack, firing alerts and open pages; what cannot be asked says so itself."""
        asked = {
            "targets": self._targets,
            "alerts": self._alerts,
            "pages": self._pages,
            "build": lambda: json.loads(self._prometheus.get("/api/v1/status/buildinfo"))["data"]["version"],
        }
        waiting = {name: self._states.submit(_attempt, ask) for name, ask in asked.items()}
        return _json({name: future.result() for name, future in waiting.items()})

    def _targets(self) -> list[dict[str, object]]:
        """Per Prometheus job: targets that answer, targets in all, and the names of some that do not."""
        document = json.loads(self._prometheus.post_form("/api/v1/query", [("query", "up")]))
        jobs: dict[str, list[dict[str, Any]]] = {}
        for series in document["data"]["result"]:
            jobs.setdefault(series["metric"].get("job", ""), []).append(series)
        rows: list[dict[str, object]] = []
        for job, series in sorted(jobs.items()):
            down = [one["metric"].get("instance", "") for one in series if float(one["value"][1]) == 0]
            rows.append({"job": job, "up": len(series) - len(down), "all": len(series), "down": down[:8]})
        return rows

    def _alerts(self) -> list[dict[str, object]]:
        """Firing alerts: from Alertmanager if there is one (silenced ones marked), else from Prometheus."""
        if self._alertmanager is not None:
            found = json.loads(self._alertmanager.get("/api/v2/alerts", [("active", "true")]))
            return [
                {
                    "labels": alert["labels"],
                    "annotations": alert["annotations"],
                    "since": alert["startsAt"],
                    "muted": alert["status"]["state"] != "active",
                }
                for alert in found
            ]
        document = json.loads(self._prometheus.get("/api/v1/alerts"))
        return [
            {
                "labels": alert["labels"],
                "annotations": alert["annotations"],
                "since": alert["activeAt"],
                "muted": False,
            }
            for alert in document["data"]["alerts"]
            if alert["state"] == "firing"
        ]

    def _pages(self) -> list[object] | None:
        """Open pages, newest first; None where the viewer knows no pager."""
        if self._pager is None:
            return None
        pages = json.loads(self._pager.get("/api/pages"))
        if not isinstance(pages, list):
            raise UpstreamError("unavailable", "the pager did not answer with a list of pages", 502)
        return _open_pages(pages)


def _open_pages(pages: list[Any]) -> list[object]:
    """The latest message about each alert, if that says that it still fires."""
    latest: dict[str, Any] = {}
    for page in pages:
        if isinstance(page, dict) and isinstance(page.get("labels"), dict):
            key = json.dumps(page["labels"], sort_keys=True)
            latest.pop(key, None)
            latest[key] = page
    return [page for page in reversed(latest.values()) if page.get("status") == "firing"]


def _attempt(ask: Callable[[], object]) -> dict[str, object]:
    try:
        return {"ok": True, "value": ask()}
    except UpstreamError as error:
        return {"ok": False, "error": str(error)}
    except (ValueError, KeyError, TypeError) as error:
        return {"ok": False, "error": f"the answer was not understood ({type(error).__name__})"}


def _json(value: object, status: int = 200) -> Response:
    answer = Response.json(value, status)
    return Response(answer.body, answer.content_type, status, {**SECURITY, "Cache-Control": "no-store"})
