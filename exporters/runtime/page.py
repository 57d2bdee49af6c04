"""One exposition, rendered once and served to many."""

from __future__ import annotations

import gzip
import threading
import time

from prometheus_client.exposition import choose_encoder

from gigawatch.serving import CONTENT_TYPE, OPENMETRICS_TYPE, Request, Response, to_openmetrics
from gigawatch.serving.http import accepts_gzip


class Page:
    """Text of one exposition, and the forms of it that clients ask for, each made at most once."""

    def __init__(self, text: bytes = b"", compressed: bytes = b"", openmetrics: bytes = b"") -> None:
        """From the text, or from gzipped text and OpenMetrics."""
        self._lock = threading.Lock()
        self._born = time.monotonic()
        self.asked: set[str] = set()
        """Forms that clients have asked for, of this page or of those before it."""
        self._text, self._compressed = text, compressed
        self._open, self._open_compressed = b"", openmetrics

    @property
    def age(self) -> float:
        """Seconds since it was rendered."""
        return time.monotonic() - self._born

    def prepare(self, before: Page) -> None:
        """Make the forms that clients asked for on the page before, so that they find them ready."""
        self.asked = before.asked
        if "openmetrics" in self.asked:
            self._make_open()
        if "text" in self.asked:
            self._compress()

    @property
    def empty(self) -> bool:
        """True where there is nothing to serve."""
        return not self._text and not self._compressed

    @property
    def text(self) -> bytes:
        """In the text format 0.0.4."""
        with self._lock:
            return self._plain()

    def answer(self, request: Request) -> Response:
        """The page in the format that the request's Accept header asks for."""
        # prometheus_client knows the Accept headers of Prometheus' versions; the bytes are our own.
        _, chosen = choose_encoder(request.headers.get("Accept", ""))
        with self._lock:
            if chosen.startswith("application/openmetrics-text"):
                self.asked.add("openmetrics")
                self._make_open()
                return self._response(request, OPENMETRICS_TYPE, self._open, self._open_compressed)
            self.asked.add("text")
            self._compress()
            return self._response(request, CONTENT_TYPE, self._text, self._compressed)

    def _make_open(self) -> None:
        if not self._open_compressed:
            self._open = to_openmetrics(self._plain())
            self._open_compressed = gzip.compress(self._open, 1)

    def _compress(self) -> None:
        if not self._compressed:
            self._compressed = gzip.compress(self._text, 1)

    @staticmethod
    def _response(request: Request, kind: str, plain: bytes, compressed: bytes) -> Response:
        """Both bodies, or only the gzipped one where the client takes that: it is what Prometheus does."""
        if accepts_gzip(request.headers.get("Accept-Encoding", "")):
            return Response(compressed, kind, headers={"Content-Encoding": "gzip"})
        return Response(plain or gzip.decompress(compressed), kind)

    def _plain(self) -> bytes:
        if not self._text and self._compressed:
            self._text = gzip.decompress(self._compressed)
        return self._text
