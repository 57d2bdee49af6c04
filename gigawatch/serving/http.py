"""A small threaded HTTP server for bytes that are ready: health, metrics, JSON, pages."""

from __future__ import annotations

import gzip
import json
import logging
import socket
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlsplit

from gigawatch.errors import UserError

log = logging.getLogger(__name__)
_LARGEST_BODY = 16 * 1024 * 1024
_SHORTEST_GZIP = 512


@dataclass(frozen=True, slots=True)
class Request:
    method: str
    path: str
    query: Mapping[str, list[str]]
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class Response:
    body: bytes
    content_type: str = "text/plain; charset=utf-8"
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    gzipped: bytes | None = None
    """The body compressed already, where that was done once for many readers."""

    @classmethod
    def json(cls, value: object, status: int = 200) -> Response:
        return cls(json.dumps(value).encode(), "application/json", status)

    @classmethod
    def text(cls, value: str, status: int = 200) -> Response:
        return cls(value.encode(), status=status)


Handler = Callable[[Request], Response]


class App:
    """Routes: exact paths first, then the longest prefix that ends in '/'.

    Every app answers /-/healthy (the process lives) and /-/ready by itself.
    """

    def __init__(self, ready: Callable[[], bool] = lambda: True) -> None:
        self._routes: dict[tuple[str, str], Handler] = {}
        self._ready = ready
        self.route("GET", "/-/healthy", lambda _: Response.text("ok\n"))
        self.route("GET", "/-/ready", self._answer_ready)

    def route(self, method: str, path: str, handler: Handler) -> None:
        """Answer `method path`; a path that ends in '/' also answers everything below it."""
        self._routes[(method, path)] = handler

    def __call__(self, request: Request) -> Response:
        method = "GET" if request.method == "HEAD" else request.method
        handler = self._routes.get((method, request.path))
        if handler is None:
            prefixes = [
                (len(path), h)
                for (m, path), h in self._routes.items()
                if m == method and path.endswith("/") and request.path.startswith(path)
            ]
            handler = max(prefixes, key=lambda pair: pair[0])[1] if prefixes else None
        if handler is None:
            if any(path == request.path for _, path in self._routes):
                return Response.text("method not allowed\n", 405)
            return Response.text("not found\n", 404)
        return handler(request)

    def _answer_ready(self, _: Request) -> Response:
        return Response.text("ready\n") if self._ready() else Response.text("not ready\n", 503)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_version = "gigawatch"
    sys_version = ""
    timeout = 30
    app: App

    def _answer(self) -> None:
        split = urlsplit(self.path)
        try:
            length = int(self.headers.get("Content-Length") or 0)
        except ValueError:
            length = -1
        if not 0 <= length <= _LARGEST_BODY:
            self._send(Response.text("body too large or its length is not a number\n", 413), close=True)
            return
        body = self.rfile.read(length) if length else b""
        request = Request(
            self.command, unquote(split.path), parse_qs(split.query), dict(self.headers.items()), body
        )
        try:
            response = self.app(request)
        except UserError as error:
            response = Response.text(f"{error}\n", 400)
        except Exception:
            log.exception("answering %s %s failed", self.command, split.path)
            response = Response.text("internal error; the log of this process says more\n", 500)
        self._send(response)

    def _send(self, response: Response, close: bool = False) -> None:
        body = response.body
        encoding = ""
        if "gzip" in self.headers.get("Accept-Encoding", "") and len(body) >= _SHORTEST_GZIP:
            body = response.gzipped if response.gzipped is not None else gzip.compress(body, 1)
            encoding = "gzip"
        self.send_response(response.status)
        self.send_header("Content-Type", response.content_type)
        self.send_header("Content-Length", str(len(body)))
        if encoding:
            self.send_header("Content-Encoding", encoding)
        for name, value in response.headers.items():
            self.send_header(name, value)
        if close:
            self.send_header("Connection", "close")
            self.close_connection = True
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = _answer  # noqa: N815 - names of the base class

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - name of the base class
        log.debug(format, *args)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 256
    allow_reuse_address = True

    def handle_error(self, request: object, client_address: object) -> None:
        log.debug("connection from %s broke off", client_address)


@dataclass(frozen=True, slots=True)
class Running:
    """A server that answers in threads of its own until it is closed."""

    host: str
    port: int
    _server: _Server

    @property
    def url(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.port}"

    def close(self) -> None:
        """Stop listening; answers under way are finished."""
        self._server.shutdown()
        self._server.server_close()


def parse_listen(text: str) -> tuple[str, int]:
    """host and port of "host:port", ":port" (all addresses) or "port" (loopback)."""
    host, _, port = text.rpartition(":")
    if not port.isdigit() or not 0 <= int(port) <= 65535:
        raise UserError(
            f"listen address '{text}' is not understood; write HOST:PORT or :PORT, such as 127.0.0.1:9610"
        )
    return (host.strip("[]") if host else ("" if text.startswith(":") else "127.0.0.1")), int(port)


def serve(app: App, listen: str) -> Running:
    """Start answering at `listen`; raises UserError with one line if the address is taken or not ours."""
    host, port = parse_listen(listen)
    handler = type("Handler", (_Handler,), {"app": staticmethod(app)})
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    server_class = type("Server", (_Server,), {"address_family": family})
    try:
        server = server_class((host, port), handler)
    except OSError as error:
        raise UserError(
            f"cannot listen on {listen}: {error.strerror or error}; choose another address with --listen"
        ) from None
    threading.Thread(target=server.serve_forever, name=f"http-{port}", daemon=True).start()
    return Running(host or "0.0.0.0", server.server_address[1], server)  # noqa: S104 - shown, not bound


def free_port(preferred: int, host: str = "127.0.0.1", span: int = 200) -> int:
    """The preferred port, or the next one that is free."""
    for port in range(preferred, preferred + span):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((host, port))
            except OSError:
                continue
            return port
    raise UserError(f"no free port from {preferred} to {preferred + span - 1} on {host}")
