"""A service that the viewer asks: Prometheus, Alertmanager, pager or analytics. Each has a deadline."""

from __future__ import annotations

import http.client
import json
import time
from collections.abc import Callable, Mapping, Sequence
from urllib.parse import urlencode, urlsplit

from gigawatch.errors import UserError

Params = Sequence[tuple[str, str]]
_CHUNK = 64 * 1024
_LARGEST_ANSWER = 64 * 1024 * 1024


class UpstreamError(Exception):
    """The service did not answer a question. `kind` is a word for programs, the message a line for people."""

    def __init__(self, kind: str, message: str, status: int) -> None:
        super().__init__(message)
        self.kind = kind
        self.status = status

    def as_json(self) -> dict[str, str]:
        """The error in the shape that Prometheus itself uses."""
        return {"status": "error", "errorType": self.kind, "error": str(self)}


class Upstream:
    """A service by its base URL. Thread-safe: each question has a connection of its own."""

    def __init__(
        self, name: str, url: str, deadline: float = 10.0, clock: Callable[[], float] = time.monotonic
    ) -> None:
        try:
            split = urlsplit(url)
            host, port = split.hostname, split.port
        except ValueError:
            split, host, port = urlsplit(""), None, None
        if split.scheme not in ("http", "https") or host is None:
            raise UserError(
                f"address of {name}: '{url}' is not a URL; write it as http://HOST:PORT or https://HOST:PORT"
            )
        if split.username or split.password:
            raise UserError(
                f"address of {name}: a URL with a password shows it to every reader; leave it out"
            )
        self.name = name
        self.url = url.rstrip("/")
        self._secure = split.scheme == "https"
        self._host, self._port = host, port
        self._base = split.path.rstrip("/")
        self._deadline = deadline
        self._clock = clock

    def get(self, path: str, params: Params = ()) -> bytes:
        """Body of a GET; raises UpstreamError."""
        target = self._base + path + (f"?{urlencode(params)}" if params else "")
        return self._ask("GET", target, None)

    def post_form(self, path: str, params: Params) -> bytes:
        """Body of a POST of form fields, which unlike a URL may be long; raises UpstreamError."""
        return self._ask("POST", self._base + path, urlencode(params).encode())

    def post_json(self, path: str, value: object, more: Mapping[str, str]) -> bytes:
        """Body of a POST of JSON with `more` headers; raises UpstreamError."""
        headers = {"Content-Type": "application/json", **more}
        return self._ask("POST", self._base + path, json.dumps(value).encode(), headers)

    def _ask(
        self, method: str, target: str, body: bytes | None, more: Mapping[str, str] | None = None
    ) -> bytes:
        end = self._clock() + self._deadline
        kind = http.client.HTTPSConnection if self._secure else http.client.HTTPConnection
        connection = kind(self._host, self._port, timeout=self._deadline)
        headers = {"Accept": "application/json", "Connection": "close"}
        if body is not None:
            headers["Content-Type"] = "application/x-www-form-urlencoded"
        headers.update(more or {})
        try:
            connection.request(method, target, body, headers)
            socket = connection.sock  # getresponse() hands it to the response and forgets it
            socket.settimeout(max(0.01, end - self._clock()))
            response = connection.getresponse()
            parts: list[bytes] = []
            size = 0
            while True:
                left = end - self._clock()
                if left <= 0:
                    raise TimeoutError
                socket.settimeout(left)
                part = response.read1(_CHUNK)
                if not part:
                    break
                parts.append(part)
                size += len(part)
                if size > _LARGEST_ANSWER:
                    raise UpstreamError(
                        "too_large",
                        f"{self.name} answered with more than {_LARGEST_ANSWER >> 20} MiB; "
                        "narrow the variables or the time range",
                        502,
                    )
        except TimeoutError:
            raise UpstreamError(
                "timeout", f"{self.name} at {self.url} gave no answer within {self._deadline:g} s", 504
            ) from None
        except (OSError, http.client.HTTPException) as error:
            reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
            raise UpstreamError(
                "unavailable", f"{self.name} at {self.url} cannot be reached: {reason}", 502
            ) from None
        finally:
            connection.close()
        answer = b"".join(parts)
        if response.status >= 400:
            raise self._refusal(response.status, answer)
        if "json" not in (response.getheader("Content-Type") or ""):
            raise UpstreamError(
                "unavailable", f"{self.name} at {self.url} did not answer in JSON; is the address right?", 502
            )
        return answer

    def _refusal(self, status: int, body: bytes) -> UpstreamError:
        try:
            document = json.loads(body)
            kind, message = str(document.get("errorType", "bad_data")), str(document["error"])
        except (ValueError, KeyError, TypeError, AttributeError):
            kind = "unavailable" if status >= 500 else "bad_data"
            message = f"{self.name} at {self.url} answered with HTTP status {status}"
        return UpstreamError(kind, message, 400 if status < 500 else 502)
