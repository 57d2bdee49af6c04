"""A small threaded HTTP server for bytes that are ready: health, metrics, JSON, pages."""

from __future__ import annotations

import contextlib
import gzip
import json
import logging
import socket
import ssl
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlsplit

from gigawatch.errors import UserError
from gigawatch.serving.connections import Connections
from gigawatch.serving.web import WebConfig

log = logging.getLogger(__name__)
_LARGEST_BODY = 16 * 1024 * 1024
_MOST_DISCARDED = 4 * _LARGEST_BODY
_SHORTEST_GZIP = 512
_SECONDS_TO_ASK = 10.0
"""For the TLS handshake, and for a request from its first byte to its last."""
_SECONDS_TO_ANSWER = 120.0
_SECONDS_IDLE = 300.0
"""How long a connection is kept for the next request."""
_SECONDS_TO_LEAVE = 0.5
_PACKETS_TO_LEAVE = 16


class Headers(Mapping[str, str]):
    """Request headers, whatever the case of their names."""

    def __init__(self, pairs: Mapping[str, str]) -> None:
        self._pairs = {name.lower(): value for name, value in pairs.items()}

    def __getitem__(self, name: str) -> str:
        return self._pairs[name.lower()]

    def __iter__(self) -> Iterator[str]:
        return iter(self._pairs)

    def __len__(self) -> int:
        return len(self._pairs)


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


def _linger(refused: socket.socket) -> None:
    """Let the client read why it was refused: to close on what it has sent meanwhile would reset the
    connection, and the reset overtakes the reason."""
    with contextlib.suppress(OSError):
        # Below TLS, which is over.
        socket.socket.shutdown(refused, socket.SHUT_WR)
        refused.settimeout(_SECONDS_TO_LEAVE)
        for _ in range(_PACKETS_TO_LEAVE):
            if not socket.socket.recv(refused, 1 << 14):
                break


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_version = "gigawatch"
    sys_version = ""
    disable_nagle_algorithm = True
    timeout = _SECONDS_IDLE + 1
    app: App
    web: WebConfig | None
    largest_body = _LARGEST_BODY
    server: _Server

    def setup(self) -> None:
        self._open = self.server.connections
        self._raw: socket.socket = self.request
        context = self._context()
        if context is not None:
            # In this thread, not in the one that accepts: a client that never shakes hands holds up nobody.
            secured = context.wrap_socket(self.request, server_side=True, do_handshake_on_connect=False)
            self._open.replace(self._raw, secured)
            self.request = secured
            try:
                secured.do_handshake()
                if self.web is not None and not self.web.admits(secured.getpeercert()):
                    raise PermissionError("the client's certificate bears none of the allowed names")
            except OSError:
                _linger(secured)
                self._open.forget(secured)
                secured.close()
                raise
        super().setup()

    def _context(self) -> ssl.SSLContext | None:
        if self.web is None:
            return None
        self.web.refresh()
        return self.web.context

    def finish(self) -> None:
        try:
            super().finish()
        finally:
            self._open.forget(self.request)
            if self.request is not self._raw:
                self.request.close()

    def handle_one_request(self) -> None:
        self._open.wait(self.request, _SECONDS_IDLE)
        if not self.rfile.peek(1):  # type: ignore[attr-defined] # a BufferedReader, which typeshed hides
            self.close_connection = True
            return
        self._open.wait(self.request, _SECONDS_TO_ASK)
        super().handle_one_request()

    def _answer(self) -> None:
        split = urlsplit(self.path)
        try:
            length = int(self.headers.get("Content-Length") or 0)
        except ValueError:
            length = -1
        if not 0 <= length <= self.largest_body or "Transfer-Encoding" in self.headers:
            self._send(Response.text("body too large or its length is not a number\n", 413), close=True)
            self._discard(length)
            return
        body = self.rfile.read(length) if length else b""
        self._open.work(self.request, _SECONDS_TO_ANSWER)
        headers = Headers(dict(self.headers.items()))
        if self.web is not None:
            self.web.refresh()
            if not self.web.within_rate():
                self._send(Response.text("too many requests\n", 429))
                return
            if not self.web.authorized(headers.get("Authorization", "")):
                challenge = {"WWW-Authenticate": 'Basic realm="gigawatch", charset="UTF-8"'}
                self._send(Response(b"unauthorized\n", status=401, headers=challenge))
                return
        request = Request(self.command, unquote(split.path), parse_qs(split.query), headers, body)
        try:
            response = self.app(request)
        except UserError as error:
            response = Response.text(f"{error}\n", 400)
        except Exception:
            log.exception("answering %s %s failed", self.command, split.path)
            response = Response.text("internal error; the log of this process says more\n", 500)
        self._send(response)

    def _discard(self, length: int) -> None:
        """Read what is on its way, within reason: see `_linger`. The deadline of the request holds."""
        left = length if length <= _MOST_DISCARDED else 0
        while left > 0 and (part := self.rfile.read(min(left, 1 << 16))):
            left -= len(part)

    def _send(self, response: Response, close: bool = False) -> None:
        body = response.body
        encoding = ""
        ready = "Content-Encoding" in response.headers
        if (
            not ready
            and len(body) >= _SHORTEST_GZIP
            and accepts_gzip(self.headers.get("Accept-Encoding", ""))
        ):
            body = response.gzipped if response.gzipped is not None else gzip.compress(body, 1)
            encoding = "gzip"
        self.send_response(response.status)
        self.send_header("Content-Type", response.content_type)
        self.send_header("Content-Length", str(len(body)))
        if encoding:
            self.send_header("Content-Encoding", encoding)
        for name, value in {**(self.web.headers if self.web is not None else {}), **response.headers}.items():
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


def accepts_gzip(header: str) -> bool:
    """Whether an Accept-Encoding header allows gzip."""
    for part in header.lower().split(","):
        name, *parameters = (piece.strip() for piece in part.split(";"))
        if name in ("gzip", "*"):
            return not any(p.replace(" ", "").removeprefix("q=").strip("0.") == "" for p in parameters)
    return False


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 256
    allow_reuse_address = True
    web: WebConfig | None = None

    def __init__(self, address: tuple[str, int], handler: type[_Handler], most: int) -> None:
        self.connections = Connections(most)
        super().__init__(address, handler)

    def process_request(self, request: socket.socket, client_address: object) -> None:  # type: ignore[override] # narrower than the base class, which also serves datagrams
        # One thread for each connection, and no more connections than threads we are ready to run.
        if self.connections.admit(request, _SECONDS_TO_ASK):
            super().process_request(request, client_address)
        else:
            self.shutdown_request(request)

    def service_actions(self) -> None:
        self.connections.drop_overdue()

    def handle_error(self, request: object, client_address: object) -> None:  # noqa: ARG002 - base class
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
        scheme = "https" if self._server.web is not None and self._server.web.context is not None else "http"
        return f"{scheme}://{host}:{self.port}"

    def close(self) -> None:
        """Stop listening; answers under way are finished, connections that wait for a request are closed."""
        self._server.shutdown()
        self._server.server_close()
        self._server.connections.close()


def parse_listen(text: str) -> tuple[str, int]:
    """host and port of "host:port", ":port" (all addresses) or "port" (loopback)."""
    host, _, port = text.rpartition(":")
    if not port.isdigit() or not 0 <= int(port) <= 65535:
        raise UserError(
            f"listen address '{text}' is not understood; write HOST:PORT or :PORT, such as 127.0.0.1:9610"
        )
    return (host.strip("[]") if host else ("" if text.startswith(":") else "127.0.0.1")), int(port)


def serve(
    app: App,
    listen: str,
    web: WebConfig | None = None,
    most_connections: int = 1024,
    largest_body: int = _LARGEST_BODY,
) -> Running:
    """Start answering at `listen`, with the TLS and basic auth that `web` asks for.

    Raises UserError with one line if the address is taken or not ours. Beyond `most_connections` the
    connection that has waited longest for a request makes room for a new one.
    """
    host, port = parse_listen(listen)
    handler = type(
        "Handler", (_Handler,), {"app": staticmethod(app), "web": web, "largest_body": largest_body}
    )
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    server_class = type("Server", (_Server,), {"address_family": family, "web": web})
    try:
        server = server_class((host, port), handler, most_connections)
    except OSError as error:
        raise UserError(
            f"cannot listen on {listen}: {error.strerror or error}; choose another address with --listen"
        ) from None
    threading.Thread(target=server.serve_forever, args=(0.5,), name=f"http-{port}", daemon=True).start()
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
