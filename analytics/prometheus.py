"""A client of Prometheus' HTTP API; Thanos, Mimir and VictoriaMetrics answer it as well.

Reading the JSON is what costs time on a large fleet, so the labels of an answer are parsed once: as long as
everything but the sample values is the same, byte for byte, as in the last answer to the query, only the
values are taken out.
"""

from __future__ import annotations

import base64
import gzip
import http.client
import re
import ssl
import time
import urllib.error
import urllib.parse
import urllib.request
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from analytics.columns import Floats
from gigawatch.config import read_secret
from gigawatch.errors import UserError

_VALUE = re.compile(rb'"value":\[[0-9.eE+-]+,"([^"]*)"\]')
_LARGEST_ANSWER = 1 << 30
_CHUNK = 1 << 20


class QueryError(UserError):
    """Prometheus could not be asked, or refused the query."""


class AnswerError(UserError):
    """What came back is not what the API promises."""


@dataclass(frozen=True, slots=True)
class Series:
    """The series of an answer; the same object as long as they do not change."""

    labels: tuple[Mapping[str, str], ...]


@dataclass(frozen=True, slots=True)
class Vector:
    """An instant vector: values in the order of `series.labels`."""

    series: Series
    values: Floats


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
    """Asks one server. Every request ends within `deadline` seconds."""

    def __init__(
        self, url: str, deadline: float = 10.0, login: Login | None = None, ca_file: Path | None = None
    ) -> None:
        scheme = urllib.parse.urlsplit(url).scheme
        if scheme not in ("http", "https"):
            raise UserError(f"Prometheus URL '{url}': must begin with http:// or https://")
        self.url = url.rstrip("/")
        self._deadline = deadline
        self._login = login or Login()
        self._tls = ssl.create_default_context(cafile=str(ca_file) if ca_file else None)
        self._kept: dict[str, tuple[bytes, Series]] = {}

    def query(self, expr: str, now: float) -> Vector:
        """The instant vector of an expression at `now`. Raises QueryError or AnswerError, one line each."""
        body = self._post("/api/v1/query", {"query": expr, "time": f"{now:.3f}"})
        skeleton = _VALUE.sub(b"", body)
        kept = self._kept.get(expr)
        if kept is not None and kept[0] == skeleton:
            texts = _VALUE.findall(body)
            if len(texts) == len(kept[1].labels):
                return Vector(kept[1], _floats(texts, expr))
        result = _result(body, "vector", expr)
        labels, texts = [], []
        for item in result:
            try:
                labels.append({str(k): str(v) for k, v in item["metric"].items()})
                texts.append(str(item["value"][1]).encode())
            except (KeyError, IndexError, TypeError, AttributeError):
                raise AnswerError(
                    f"{self.url}: answer to '{expr}' has a series without labels or value"
                ) from None
        series = Series(tuple(labels))
        self._kept[expr] = (skeleton, series)
        return Vector(series, _floats(texts, expr))

    def query_range(self, expr: str, start: float, end: float, step: float) -> list[Track]:
        """The series of an expression from `start` to `end`, one value every `step` seconds."""
        form = {"query": expr, "start": f"{start:.3f}", "end": f"{end:.3f}", "step": f"{step:g}"}
        result = _result(self._post("/api/v1/query_range", form), "matrix", expr)
        tracks = []
        for item in result:
            try:
                pairs = item["values"]
                times = np.array([float(pair[0]) for pair in pairs])
                labels = {str(k): str(v) for k, v in item["metric"].items()}
                tracks.append(Track(labels, times, _floats([str(p[1]).encode() for p in pairs], expr)))
            except (KeyError, IndexError, TypeError, AttributeError, ValueError):
                raise AnswerError(
                    f"{self.url}: answer to '{expr}' has a series without labels or values"
                ) from None
        return tracks

    def _post(self, path: str, form: Mapping[str, str]) -> bytes:
        end = time.monotonic() + self._deadline
        request = urllib.request.Request(  # noqa: S310 - the scheme is checked in __init__
            self.url + path,
            data=urllib.parse.urlencode(form).encode(),
            headers={
                "Accept-Encoding": "gzip",
                "Content-Type": "application/x-www-form-urlencoded",
                **self._login.header(),
            },
        )
        try:
            with urllib.request.urlopen(request, timeout=self._deadline, context=self._tls) as answer:  # noqa: S310
                body = self._read(answer, end)
                packed = answer.headers.get("Content-Encoding") == "gzip"
        except urllib.error.HTTPError as error:
            with error:
                raise QueryError(f"{self.url}: {_refusal(error)}") from None
        except urllib.error.URLError as error:
            reason = getattr(error.reason, "strerror", None) or error.reason
            raise QueryError(f"{self.url}: no answer ({reason}); is Prometheus running there?") from None
        except (OSError, http.client.HTTPException) as error:
            raise QueryError(f"{self.url}: answer broke off ({str(error) or type(error).__name__})") from None
        if not packed:
            return body
        try:
            return gzip.decompress(body)
        except (OSError, EOFError, zlib.error):
            raise AnswerError(f"{self.url}: answer is not valid gzip") from None

    def _read(self, answer: http.client.HTTPResponse, end: float) -> bytes:
        parts, size = [], 0
        while chunk := answer.read1(_CHUNK):
            size += len(chunk)
            if time.monotonic() > end:
                raise QueryError(f"{self.url}: answer took longer than {self._deadline:g} s")
            if size > _LARGEST_ANSWER:
                raise AnswerError(f"{self.url}: answer is larger than 1 GiB; use --shard to split the work")
            parts.append(chunk)
        return b"".join(parts)


def _result(body: bytes, kind: str, expr: str) -> list[dict[str, Any]]:
    try:
        answer = orjson.loads(body)
        if answer["status"] != "success" or answer["data"]["resultType"] != kind:
            raise AnswerError(
                f"answer to '{expr}' is a {answer.get('data', {}).get('resultType')}, not a {kind}"
            )
        result = answer["data"]["result"]
    except (orjson.JSONDecodeError, KeyError, TypeError, AttributeError):
        raise AnswerError(f"answer to '{expr}' is not JSON of the Prometheus API; check the URL") from None
    if not isinstance(result, list) or not all(isinstance(item, dict) for item in result):
        raise AnswerError(f"answer to '{expr}' is not a list of series")
    return result


def _floats(texts: list[bytes], expr: str) -> Floats:
    try:
        return np.array(texts, dtype=np.bytes_).astype(np.float64) if texts else np.zeros(0)
    except ValueError:
        raise AnswerError(f"answer to '{expr}' has a value that is not a number") from None


def _refusal(error: urllib.error.HTTPError) -> str:
    if error.code in (401, 403):
        return f"refused (HTTP {error.code}); check the token or the user and password"
    try:
        text = str(orjson.loads(error.read(65536))["error"])
    except (orjson.JSONDecodeError, KeyError, TypeError, OSError):
        text = str(error.reason)
    return f"HTTP {error.code}: {' '.join(text.split())[:300]}"
