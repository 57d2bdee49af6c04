"""The pager over HTTP: webhooks in, a list and a page out."""

from __future__ import annotations

import json
import logging
import signal
import threading
from importlib.resources import files
from pathlib import Path

from gigawatch.errors import UserError
from gigawatch.local.pager import Pager
from gigawatch.serving import CONTENT_TYPE, App, Request, Response, render, serve

log = logging.getLogger(__name__)


def build_app(pager: Pager) -> App:
    """Routes: POST /webhook/{page,ticket,info,heartbeat}; GET /, /api/pages[?urgency=page] and /metrics."""
    app = App()
    html = (files("gigawatch.local") / "pager.html").read_bytes()

    def take(urgency: str) -> None:
        app.route("POST", f"/webhook/{urgency}", lambda request: _receive(pager, urgency, request))

    take("page")
    take("ticket")
    app.route("POST", "/webhook/info", lambda _: Response.text("noted\n"))
    app.route("POST", "/webhook/heartbeat", lambda _: _beat(pager))
    app.route("GET", "/api/pages", lambda request: Response.json(pager.pages(_urgency(request))))
    app.route("GET", "/metrics", lambda _: Response(render(pager.readings()), CONTENT_TYPE))
    policy = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src 'self'"
    headers = {"Content-Security-Policy": policy}
    app.route("GET", "/", lambda _: Response(html, "text/html; charset=utf-8", headers=headers))
    return app


def run(listen: str, path: Path, silence: float) -> int:
    """Serve until told to stop."""
    pager = Pager(path, silence)
    server = serve(build_app(pager), listen)
    stopping = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stopping.set())
    signal.signal(signal.SIGINT, lambda *_: stopping.set())
    log.info("pager at %s", server.url)
    while not stopping.wait(1.0):
        pager.watch()
    server.close()
    return 0


def _receive(pager: Pager, urgency: str, request: Request) -> Response:
    try:
        payload = json.loads(request.body)
    except ValueError as error:
        raise UserError(f"the body is not JSON ({error})") from None
    pager.receive(urgency, payload)
    return Response.text("received\n")


def _beat(pager: Pager) -> Response:
    pager.beat()
    return Response.text("alive\n")


def _urgency(request: Request) -> str | None:
    wanted = request.query.get("urgency", [None])[0]
    if wanted not in (None, "page", "ticket"):
        raise UserError(f"urgency '{wanted}' is not known; allowed: page, ticket")
    return wanted
