"""One gRPC question over a Unix socket, and its answer: all of gRPC that reading the kubelet takes.

The full client library costs 16 to 37 MB of memory in every agent of a cluster, h2 1.2 MB.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from urllib.parse import unquote

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.errors import ErrorCodes
from h2.events import (
    ConnectionTerminated,
    DataReceived,
    Event,
    ResponseReceived,
    StreamEnded,
    StreamReset,
    TrailersReceived,
)
from h2.exceptions import H2Error
from h2.settings import SettingCodes

from exporters.runtime.source import SourceError

LARGEST_ANSWER = 64 << 20
"""Bytes. The kubelet lists every pod of its node; gRPC's usual limit of 4 MiB is too small for some."""
_WINDOW = 4 << 20
_CHUNK = 1 << 18
_FRAME_HEAD = 5
_STATUS = {
    "1": "cancelled", "2": "unknown", "3": "invalid_argument", "4": "timeout", "5": "not_found",
    "7": "permission", "8": "resource_exhausted", "12": "unimplemented", "13": "internal",
    "14": "unavailable", "16": "unauthenticated",
}  # fmt: skip
"""gRPC's status codes, as kinds of error."""


def unary_call(
    path: Path,
    method: str,
    request: bytes,
    timeout: float,
    largest: int = LARGEST_ANSWER,
    monotonic: Callable[[], float] = time.monotonic,
) -> bytes:
    """Ask `method` (/package.Service/Method) and return the answer's message, still encoded.

    Raises SourceError: not_found, permission, refused, timeout, too_large, protocol, or gRPC's own status.
    """
    call = _Call(path, method, largest)
    deadline = monotonic() + timeout
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as link:
        try:
            link.settimeout(timeout)
            link.connect(str(path))
            link.sendall(call.open(request, timeout))
            while not call.ended:
                link.settimeout(max(0.001, deadline - monotonic()))
                data = link.recv(_CHUNK)
                if not data:
                    raise SourceError("protocol", f"{path}: closed the connection in mid-answer")
                answer = call.take(data)
                if answer:
                    link.sendall(answer)
                if monotonic() > deadline and not call.ended:
                    raise TimeoutError
        except TimeoutError:
            raise SourceError("timeout", f"{path}: {method} gave no answer within {timeout:g} s") from None
        except H2Error as error:
            raise SourceError("protocol", f"{path}: does not speak HTTP/2 as it should: {error}") from None
        except OSError as error:
            raise _explained(path, error) from None
    return call.message()


def _explained(path: Path, error: OSError) -> SourceError:
    if isinstance(error, FileNotFoundError):
        return SourceError("not_found", f"{path}: no such socket; is it mounted, and does kubelet run?")
    if isinstance(error, PermissionError):
        return SourceError(
            "permission", f"{path}: permission denied; the agent's user must be able to open it"
        )
    if isinstance(error, ConnectionRefusedError):
        return SourceError("refused", f"{path}: nobody listens at the socket")
    # Broken off, a path too long for a socket, or no socket at all.
    return SourceError("io", f"{path}: {error.strerror or error}")


class _Call:
    """State of one call, free of input and output."""

    def __init__(self, path: Path, method: str, largest: int) -> None:
        self._path, self._method, self._largest = path, method, largest
        self._http = H2Connection(H2Configuration(client_side=True, header_encoding="utf-8"))
        self._stream = 1
        self._headers: dict[str, str] = {}
        self._body = bytearray()
        self.ended = False

    def open(self, request: bytes, timeout: float) -> bytes:
        """What to send first."""
        http = self._http
        http.local_settings = type(http.local_settings)(
            client=True,
            initial_values={
                SettingCodes.ENABLE_PUSH: 0,
                SettingCodes.INITIAL_WINDOW_SIZE: _WINDOW,
                SettingCodes.MAX_HEADER_LIST_SIZE: 1 << 16,
            },
        )
        http.initiate_connection()
        http.increment_flow_control_window(_WINDOW)
        self._stream = http.get_next_available_stream_id()
        http.send_headers(
            self._stream,
            [
                (":method", "POST"),
                (":scheme", "http"),
                (":path", self._method),
                (":authority", "localhost"),
                ("te", "trailers"),
                ("content-type", "application/grpc"),
                ("user-agent", "gigawatch-agent"),
                ("grpc-timeout", f"{max(1, int(timeout * 1000))}m"),
            ],
        )
        http.send_data(self._stream, b"\0" + len(request).to_bytes(4, "big") + request, end_stream=True)
        return bytes(http.data_to_send())

    def take(self, data: bytes) -> bytes:
        """Read what came in; returns what to send for it."""
        for event in self._http.receive_data(data):
            self._on(event)
        return bytes(self._http.data_to_send())

    def _on(self, event: Event) -> None:
        if isinstance(event, ResponseReceived | TrailersReceived):
            self._note(event.headers)
        elif isinstance(event, DataReceived):
            self._body += event.data
            if len(self._body) > self._largest + _FRAME_HEAD:
                raise SourceError("too_large", f"{self._path}: answer of more than {self._largest} bytes")
            if event.flow_controlled_length:
                self._http.acknowledge_received_data(event.flow_controlled_length, self._stream)
        elif isinstance(event, StreamEnded):
            self.ended = True
        elif isinstance(event, StreamReset | ConnectionTerminated) and event.error_code:
            self._cut(event.error_code)

    def _note(self, headers: Iterable[tuple[bytes, bytes] | tuple[str, str]]) -> None:
        self._headers.update((str(name), str(value)) for name, value in headers)

    def _cut(self, code: ErrorCodes | int | None) -> None:
        if code == ErrorCodes.ENHANCE_YOUR_CALM:
            raise SourceError("resource_exhausted", f"{self._path}: refuses so many calls")
        raise SourceError("protocol", f"{self._path}: cut {self._method} off with HTTP/2 error {code}")

    def message(self) -> bytes:
        """The answer, if the call went well."""
        http_status = self._headers.get(":status", "")
        if http_status != "200":
            raise SourceError("protocol", f"{self._path}: answered with HTTP status '{http_status[:20]}'")
        status = self._headers.get("grpc-status", "")
        if status != "0":
            said = unquote(self._headers.get("grpc-message", ""), errors="replace")[:200]
            kind = _STATUS.get(status, "protocol")
            if kind == "timeout":  # the server's clock for the deadline that we gave it was ahead of ours
                raise SourceError(kind, f"{self._path}: {self._method} gave no answer within its deadline")
            hint = "; this kubelet does not offer it" if kind == "unimplemented" else ""
            raise SourceError(
                kind, f"{self._path}: {self._method}: gRPC status '{status[:20]}' {said!r}{hint}"
            )
        body = bytes(self._body)
        if len(body) < _FRAME_HEAD or len(body) != _FRAME_HEAD + int.from_bytes(body[1:_FRAME_HEAD], "big"):
            raise SourceError("protocol", f"{self._path}: {len(body)} bytes are not one whole message")
        if body[0]:
            raise SourceError("protocol", f"{self._path}: answer is compressed, which nobody asked for")
        return body[_FRAME_HEAD:]
