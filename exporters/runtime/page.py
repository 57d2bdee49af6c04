"""One exposition, rendered once and served to many."""

from __future__ import annotations

import gzip
import threading

from prometheus_client.exposition import choose_encoder

from gigawatch.serving import CONTENT_TYPE, OPENMETRICS_TYPE, Request, Response, to_openmetrics
from gigawatch.serving.http import accepts_gzip


class Page:
    """Text of one exposition, and the forms of it that clients ask for, each made at most once."""

    def __init__(self, text: bytes = b"", compressed: bytes = b"", openmetrics: bytes = b"") -> None:
        """From the text, or from gzipped text and OpenMetrics."""
        self._lock = threading.Lock()
        self._text, self._compressed = text, compressed
        self._open, self._open_compressed = b"", openmetrics

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
                if not self._open_compressed:
                    self._open = to_openmetrics(self._plain())
                    self._open_compressed = gzip.compress(self._open, 1)
                return self._response(request, OPENMETRICS_TYPE, self._open, self._open_compressed)
            if not self._compressed:
                self._compressed = gzip.compress(self._text, 1)
            return self._response(request, CONTENT_TYPE, self._text, self._compressed)

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
