"""A client of Prometheus' HTTP API; Thanos, Mimir and VictoriaMetrics answer it as well."""

from __future__ import annotations

import base64
import email.utils
import http.client
import ssl
import time
import urllib.error
import urllib.parse
import urllib.request
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import orjson

from analytics.fleet.columns import Floats
from analytics.ingest.answers import AnswerError, Matrix, Reader, Room, Series, Vector, items_of, numbers_of
from gigawatch.config import read_secret
from gigawatch.errors import UserError

__all__ = ["AnswerError", "Login", "Matrix", "Prometheus", "QueryError", "Series", "Track", "Vector"]
_LARGEST_ANSWER = 1 << 30
_CHUNK = 1 << 18
_DATE_STEP = 1.0
"""Resolution of the Date header, in seconds."""
_LOOPBACK = ("localhost", "127.0.0.1", "::1")


class QueryError(UserError):
    """Prometheus could not be asked, or `refused` the query."""

    refused = False


@dataclass(frozen=True, slots=True)
class Track:
    """One series over time: Unix seconds and values."""

    labels: Mapping[str, str]
    times: Floats
    values: Floats


@dataclass(frozen=True, slots=True)
class Login:
    """How to prove who we are; secrets are read from files for every request, so that rotation works."""

    token_file: Path | None = None
    username: str = ""
    password_file: Path | None = None
    token: str = ""
    """From the environment, where no file is given."""

    def header(self) -> dict[str, str]:
        """The Authorization header, or nothing."""
        if self.token_file or self.token:
            return {
                "Authorization": f"Bearer {read_secret(self.token_file) if self.token_file else self.token}"
            }
        if self.username:
            password = read_secret(self.password_file) if self.password_file else ""
            pair = base64.b64encode(f"{self.username}:{password}".encode()).decode()
            return {"Authorization": f"Basic {pair}"}
        return {}


class Prometheus:
    """Asks one server. Every request ends within `deadline` seconds; several threads may ask at once.

    `packed` says whether answers may come compressed; that saves network and costs processor time on both
    sides. None means: unless the server is on this machine.
    """

    def __init__(
        self,
        url: str,
        deadline: float = 10.0,
        login: Login | None = None,
        ca_file: Path | None = None,
        packed: bool | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        parts = urllib.parse.urlsplit(url)
        if parts.scheme not in ("http", "https"):
            raise UserError(f"Prometheus URL '{url}': must begin with http:// or https://")
        self.url = url.rstrip("/")
        self._deadline, self._clock = deadline, clock
        self._login = login or Login()
        self._tls = ssl.create_default_context(cafile=str(ca_file) if ca_file else None)
        self._packed = parts.hostname not in _LOOPBACK if packed is None else packed
        self._reader = Reader()
        self._rooms: list[Room] = []
        self.skew: float | None = None
        """Seconds that the server's clock is ahead of ours, from its last answer; less than a second is 0."""

    def query(self, expr: str, now: float) -> Vector:
        """The instant vector of an expression at `now`. Raises QueryError or AnswerError, one line each."""
        with self._room() as room:
            self._post(room, "/api/v1/query", {"query": expr, "time": f"{now:.3f}"})
            return self._reader.vector(room, expr)

    def query_grid(self, expr: str, start: float, step: float, steps: int) -> Matrix:
        """The series of an expression at `steps` times from `start` on. Raises like `query`."""
        with self._room() as room:
            self._post(room, "/api/v1/query_range", _range(expr, start, start + (steps - 1) * step, step))
            return self._reader.matrix(room, expr, start, step, steps)

    def query_range(self, expr: str, start: float, end: float, step: float) -> list[Track]:
        """The series of an expression from `start` to `end`, one value every `step` seconds."""
        with self._room() as room:
            self._post(room, "/api/v1/query_range", _range(expr, start, end, step))
            items = items_of(memoryview(room.text)[: room.size], "matrix", expr)
        tracks = []
        for item in items:
            try:
                pairs = item["values"]
                times = np.array([float(pair[0]) for pair in pairs])
                labels = {str(k): str(v) for k, v in item["metric"].items()}
                tracks.append(Track(labels, times, numbers_of([pair[1] for pair in pairs], expr)))
            except (KeyError, IndexError, TypeError, AttributeError, ValueError):
                raise AnswerError(
                    f"{self.url}: answer to '{expr}' has a series without labels or values"
                ) from None
        return tracks

    def forget(self, expr: str) -> None:
        """Take all series of a query for new in its next answer, so that their labels can be asked for."""
        self._reader.forget(expr)

    @contextmanager
    def _room(self) -> Iterator[Room]:
        room = self._rooms.pop() if self._rooms else Room()
        room.size = 0
        try:
            yield room
        finally:
            self._rooms.append(room)

    def _post(self, room: Room, path: str, form: Mapping[str, str]) -> None:
        end = time.monotonic() + self._deadline
        request = urllib.request.Request(  # noqa: S310 - the scheme is checked in __init__
            self.url + path,
            data=urllib.parse.urlencode(form).encode(),
            headers={
                "Accept-Encoding": "gzip" if self._packed else "identity",
                "Content-Type": "application/x-www-form-urlencoded",
                **self._login.header(),
            },
        )
        try:
            with urllib.request.urlopen(  # noqa: S310 - as above
                request, timeout=self._deadline, context=self._tls
            ) as answer:
                self._compare_clocks(answer.headers.get("Date"))
                self._read(room, answer, end, answer.headers.get("Content-Encoding") == "gzip")
        except urllib.error.HTTPError as error:
            with error:
                refusal = QueryError(f"{self.url}: {_refusal(error)}")
            refusal.refused = 400 <= error.code < 500
            raise refusal from None
        except urllib.error.URLError as error:
            reason = getattr(error.reason, "strerror", None) or error.reason
            raise QueryError(f"{self.url}: no answer ({reason}); is Prometheus running there?") from None
        except (OSError, http.client.HTTPException) as error:
            raise QueryError(f"{self.url}: answer broke off ({str(error) or type(error).__name__})") from None
        except zlib.error:
            raise AnswerError(f"{self.url}: answer is not valid gzip") from None

    def _read(self, room: Room, answer: http.client.HTTPResponse, end: float, packed: bool) -> None:
        unpack = zlib.decompressobj(31) if packed else None
        while chunk := answer.read1(_CHUNK):
            while chunk:
                if unpack is None:
                    room.put(chunk)
                    chunk = b""
                else:
                    room.put(unpack.decompress(chunk, _CHUNK))
                    chunk = unpack.unconsumed_tail
                if time.monotonic() > end:
                    raise QueryError(f"{self.url}: answer took longer than {self._deadline:g} s")
                if room.size > _LARGEST_ANSWER:
                    raise AnswerError(
                        f"{self.url}: answer is larger than 1 GiB; use --shard to split the work"
                    )
        if answer.length:  # fewer bytes than were announced
            raise http.client.IncompleteRead(b"", answer.length)
        if unpack is not None and not unpack.eof:
            raise AnswerError(f"{self.url}: answer is not valid gzip")
        room.close()

    def _compare_clocks(self, date: str | None) -> None:
        try:
            theirs = email.utils.parsedate_to_datetime(date or "").timestamp()
        except (ValueError, TypeError, OverflowError):
            return
        ahead = theirs + _DATE_STEP / 2 - self._clock()
        self.skew = 0.0 if abs(ahead) <= _DATE_STEP else ahead


def _range(expr: str, start: float, end: float, step: float) -> dict[str, str]:
    return {"query": expr, "start": f"{start:.3f}", "end": f"{end:.3f}", "step": f"{step:g}"}


def _refusal(error: urllib.error.HTTPError) -> str:
    if error.code in (401, 403):
        return f"refused (HTTP {error.code}); check the token or the user and password"
    try:
        text = str(orjson.loads(error.read(65536))["error"])
    except (orjson.JSONDecodeError, KeyError, TypeError, OSError):
        text = str(error.reason)
    return f"HTTP {error.code}: {' '.join(text.split())[:300]}"
