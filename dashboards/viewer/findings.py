"""The door to analytics: findings in words, and the marks that people give them.

Reading is open as the rest of the viewer is. A mark changes something, so it is taken only from a page of the
viewer itself: a header that no foreign page can send without being asked first, and an origin that is ours.
"""

from __future__ import annotations

import base64
import binascii
import json
import logging
import re
from typing import Any, NoReturn
from urllib.parse import quote, urlsplit

from dashboards.viewer.proxy import guarded
from dashboards.viewer.upstream import Upstream, UpstreamError
from gigawatch.catalogue.findings import VERDICTS
from gigawatch.serving import Request, Response

log = logging.getLogger(__name__)
HEADER = "X-Gigawatch-Request"
LARGEST_BODY = 8192
_NAME = re.compile(r"[\w.:+@ -]{1,200}")
_FIELDS = ("verdict", "note", "until", "by")


class Findings:
    """Answers below /api/incidents and /api/feedback. Every error is JSON with one line."""

    def __init__(self, analytics: Upstream | None, trust_user: bool = False) -> None:
        """`trust_user` says that the server has checked names and passwords: then a mark bears that name."""
        self._analytics = analytics
        self._trust_user = trust_user

    def read(self, request: Request) -> Response:
        """All findings, one of them, or what was learned."""
        return guarded(lambda: _answer(self._read(request)))

    def _read(self, request: Request) -> bytes:
        path = request.path.rstrip("/")
        if path not in ("/api/incidents", "/api/feedback"):
            path = f"/api/incidents/{_name(path.removeprefix('/api/incidents/'))}"
        return self._upstream().get(path)

    def mark(self, request: Request) -> Response:
        """POST /api/incidents/NAME/mark with {"verdict": ..., "note": ..., "until": ...}."""
        return guarded(lambda: _answer(self._mark(request)))

    def _mark(self, request: Request) -> bytes:
        _same_origin(request)
        name, _, verb = request.path.removeprefix("/api/incidents/").rpartition("/")
        if verb != "mark":
            raise UpstreamError("not_found", "marks are sent to /api/incidents/NAME/mark", 404)
        body = _checked(request)
        who = user_of(request) if self._trust_user else ""
        if who:
            body["by"] = who
        path = f"/api/incidents/{_name(name)}/mark"
        answer = self._upstream().post_json(path, body, {HEADER: "viewer"})
        log.info("incident %s marked %s by %s", name, body["verdict"], body.get("by") or "an unnamed person")
        return answer

    def _upstream(self) -> Upstream:
        if self._analytics is None:
            raise UpstreamError(
                "not_found", "this viewer knows no analytics: start it with --analytics URL", 404
            )
        return self._analytics


def user_of(request: Request) -> str:
    """The name in the request's basic auth, on one line; empty without one."""
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() != "basic":
        return ""
    try:
        name = base64.b64decode(token, validate=True).decode().partition(":")[0]
    except (binascii.Error, ValueError):
        return ""
    return "".join(c for c in name if c.isprintable())[:64]


def _same_origin(request: Request) -> None:
    if HEADER not in request.headers:
        raise UpstreamError(
            "forbidden", f"the header {HEADER} is missing: marks come from the viewer's own page", 403
        )
    if request.headers.get("Sec-Fetch-Site", "same-origin") not in ("same-origin", "none"):
        raise UpstreamError("forbidden", "this request comes from a page of another site", 403)
    origin = request.headers.get("Origin")
    if origin is not None and urlsplit(origin).netloc.lower() != request.headers.get("Host", "").lower():
        raise UpstreamError("forbidden", "this request comes from a page of another site", 403)


def _checked(request: Request) -> dict[str, Any]:
    if len(request.body) > LARGEST_BODY:
        _refuse(f"the body has more than {LARGEST_BODY} bytes")
    if "json" not in request.headers.get("Content-Type", ""):
        _refuse("the body must be JSON (Content-Type: application/json)")
    try:
        body = json.loads(request.body)
    except (ValueError, RecursionError):
        body = None
    if not isinstance(body, dict) or not all(isinstance(body.get(name, ""), str) for name in _FIELDS):
        _refuse('the body must be JSON such as {"verdict": "right", "note": "paste was dry"}')
    if body.get("verdict") not in VERDICTS:
        _refuse(f"'verdict' must be one of {', '.join(VERDICTS)}")
    unknown = sorted(body.keys() - set(_FIELDS))
    if unknown:
        _refuse(f"unknown field '{str(unknown[0])[:40]}'; allowed: {', '.join(_FIELDS)}")
    return {name: body[name] for name in _FIELDS if body.get(name)}


def _name(text: str) -> str:
    if not _NAME.fullmatch(text):
        raise UpstreamError("not_found", "no incident has such a name", 404)
    return quote(text, safe="")


def _answer(body: bytes) -> Response:
    return Response(body, "application/json", headers={"Cache-Control": "no-store"})


def _refuse(message: str) -> NoReturn:
    raise UpstreamError("bad_data", message, 400)
