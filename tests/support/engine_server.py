"""Engines for a test: recordings served on sockets of this host, and servers that behave as none should."""

from __future__ import annotations

import contextlib
import gzip
import socket
import ssl
import threading
import time
from collections.abc import Callable
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Self

ENGINES = Path(__file__).parents[1] / "exporters" / "fixtures" / "engines"


def recording(name: str) -> bytes:
    """A file of the fixtures, by its path there."""
    return (ENGINES / name).read_bytes()


VLLM = recording("vllm-0.32.0/mid.txt")
LLAMACPP = recording("llamacpp-b11434/mid.txt")
TEXT = "text/plain; version=0.0.4; charset=utf-8"

Ask = BaseHTTPRequestHandler
"""One question: its path, its headers, and the socket's file to answer into."""
Behaviour = Callable[[Ask], None]


class EngineServer:
    """Listens at `host` while the `with` block lasts; `paths` may be changed meanwhile."""

    def __init__(
        self,
        body: bytes = VLLM,
        path: str = "/metrics",
        host: str = "127.0.0.1",
        port: int = 0,
        context: ssl.SSLContext | None = None,
    ) -> None:
        self.paths: dict[str, Behaviour] = {path: answers(body), "/health": answers(b"")}
        self.asked: list[tuple[str, dict[str, str], float]] = []
        """Path, headers and time of each question."""
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                outer.asked.append((self.path, dict(self.headers.items()), time.monotonic()))
                behaviour = outer.paths.get(self.path) or outer.paths.get(self.path.partition("?")[0])
                with contextlib.suppress(OSError):
                    (behaviour or answers(b"not found\n", 404))(self)

            def log_message(self, *_: object) -> None:
                pass

        class Server(ThreadingHTTPServer):
            request_queue_size = 128
            daemon_threads = True

            def handle_error(self, request: object, client_address: object) -> None:
                pass

        self._server = Server((host, port), Handler)
        if context is not None:
            self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        self.port = self._server.server_port
        self.address = f"{host}:{self.port}"

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Stop listening; nothing is answered any more, on open connections neither."""
        self.paths.clear()
        self._server.shutdown()
        self._server.server_close()

    def times(self, path: str = "/metrics") -> list[float]:
        """When this path was asked for."""
        return [at for asked, _, at in self.asked if asked == path]


def answers(
    body: bytes, status: int = 200, kind: str = TEXT, length: int | None = None, **headers: str
) -> Behaviour:
    """These bytes."""

    def behave(ask: Ask) -> None:
        ask.send_response(status)
        ask.send_header("Content-Type", kind)
        ask.send_header("Content-Length", str(len(body) if length is None else length))
        for name, value in headers.items():
            ask.send_header(name.replace("_", "-"), value)
        ask.end_headers()
        ask.wfile.write(body)
        if length is not None:
            ask.close_connection = True

    return behave


def packed(body: bytes) -> Behaviour:
    """These bytes, compressed though nobody asked for it."""
    return answers(gzip.compress(body), Content_Encoding="gzip")


def hangs(ask: Ask) -> None:
    """Takes the question and says nothing."""
    ask.connection.settimeout(60)
    ask.rfile.read(1)


def drips(ask: Ask) -> None:
    """A proper answer, byte by byte: each read is quick, the whole takes hours."""
    ask.send_response(200)
    ask.send_header("Content-Type", TEXT)
    ask.send_header("Content-Length", str(len(VLLM)))
    ask.end_headers()
    for byte in VLLM[:1000]:
        ask.wfile.write(bytes([byte]))
        ask.wfile.flush()
        time.sleep(0.1)


def floods(ask: Ask) -> None:
    """100 MB of lines, its size untold."""
    ask.send_response(200)
    ask.send_header("Content-Type", TEXT)
    ask.send_header("Connection", "close")
    ask.end_headers()
    piece = b'vllm:num_requests_running{engine="0"} 1\n' * 25_000
    for _ in range(100):
        ask.wfile.write(piece)
    ask.close_connection = True


def bomb(ask: Ask) -> None:
    """A few hundred kilobytes that unpack to more than 300 MB."""
    answers(_bomb(), Content_Encoding="gzip")(ask)


@cache
def _bomb() -> bytes:
    # Gzip members may follow each other: no need to compress all of it, question after question.
    return gzip.compress(b"vllm:x 1\n" * 350_000) * 100


def hangs_up(ask: Ask) -> None:
    """Ends the connection in the place of an answer."""
    ask.connection.shutdown(socket.SHUT_RDWR)
    ask.close_connection = True


def speaks_otherwise(ask: Ask) -> None:
    """No HTTP at all."""
    ask.wfile.write(b"SSH-2.0-OpenSSH_9.6\r\n" * 3)
    ask.close_connection = True
