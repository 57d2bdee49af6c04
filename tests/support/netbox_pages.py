"""A server that answers as NetBox does, with what a real one said (tests/exporters/fixtures/netbox)."""

from __future__ import annotations

import json
import threading
from collections import Counter
from copy import deepcopy
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

RECORDED = Path(__file__).parents[1] / "exporters" / "fixtures" / "netbox" / "netbox-4.7.3.json"
TOKEN = "nbt_abcdefghijkl.0123456789012345678901234567890123456789"
OLD_TOKEN = "0123456789abcdef0123456789abcdef01234567"


class NetBoxPages:
    """`objects` may be changed while it serves; `touch()` adds an entry to its change log."""

    def __init__(self) -> None:
        self.objects: dict[str, list[dict[str, Any]]] = deepcopy(json.loads(RECORDED.read_text()))
        self.largest_page = 1000
        self.status: dict[str, int] = {}
        """By path: an error to answer with."""
        self.broken: dict[str, bytes] = {}
        """By path: what to answer instead of a page; its first half where the length says more."""
        self.next_host = ""
        self.asked: Counter[str] = Counter()
        self._changes = 110
        pages = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            wbufsize = 1 << 16  # head and body in one piece
            disable_nagle_algorithm = True

            def do_GET(self) -> None:
                pages.answer(self)

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True
        )
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def touch(self) -> None:
        self._changes += 1

    def one(self, path: str, name: str) -> dict[str, Any]:
        """An object by name."""
        return next(one for one in self.objects[path] if one.get("name") == name)

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        parts = urlsplit(request.path)
        path = parts.path.removeprefix("/api/").strip("/")
        query = parse_qs(parts.query)
        self.asked[path] += 1
        status, body = self._page(path, query, request.headers.get("Authorization", ""))
        length = len(body)
        if path in self.broken:
            body = self.broken[path]
            length = max(length, len(body)) if not body.endswith(b"\n") else len(body)
        request.send_response(status)
        request.send_header("Content-Type", "application/json")
        request.send_header("Content-Length", str(length))
        request.end_headers()
        request.wfile.write(body)
        if len(body) != length:
            request.close_connection = True

    def _page(self, path: str, query: dict[str, list[str]], authorization: str) -> tuple[int, bytes]:
        if authorization not in (f"Bearer {TOKEN}", f"Token {OLD_TOKEN}"):
            return 403, b'{"detail": "Invalid v1 token"}'
        if path in self.status:
            return self.status[path], b'{"detail": "no"}'
        if path == "core/object-changes":
            return 200, json.dumps(
                {"count": 1, "next": None, "previous": None, "results": [{"id": self._changes}]}
            ).encode()
        if path not in self.objects:
            return 404, b"<html>Page Not Found</html>"
        limit = min(int(query["limit"][0]), self.largest_page)
        offset = int(query.get("offset", ["0"])[0])
        found = self.objects[path]
        if "id" in query:
            found = [one for one in found if str(one["id"]) in query["id"]]
        following = None
        if offset + limit < len(found):
            rest = "&".join(f"{k}={v}" for k, vs in query.items() if k not in ("limit", "offset") for v in vs)
            following = (
                f"{self.next_host or self.url}/api/{path}/?limit={limit}&offset={offset + limit}&{rest}"
            )
        page = {
            "count": len(found),
            "next": following,
            "previous": None,
            "results": found[offset : offset + limit],
        }
        return 200, json.dumps(page).replace("http://netbox", self.url).encode()
