"""What the browser may ask of Prometheus: a short list of read-only paths, checked and with a deadline."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from concurrent.futures import Executor, Future
from typing import Any, NoReturn
from urllib.parse import parse_qs

from dashboards.viewer.upstream import Upstream, UpstreamError
from gigawatch.serving import Request, Response

LONGEST_QUERY = 16_000
MOST_QUERIES = 120
MOST_POINTS = 11_000
LARGEST_BODY = 1 << 20

_LABEL = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")
_ALLOWED = {
    "query": ("query", "time"),
    "query_range": ("query", "start", "end", "step"),
    "labels": ("match[]", "start", "end"),
    "values": ("match[]", "start", "end"),
}


class PrometheusProxy:
    """Answers below /api/prom/. Every error is JSON in the shape of Prometheus' own errors."""

    def __init__(self, prometheus: Upstream, pool: Executor) -> None:
        self._prometheus = prometheus
        self._pool = pool

    def single(self, request: Request) -> Response:
        """GET or POST of query, query_range, labels or label/NAME/values, as in Prometheus' own API."""
        name = request.path.removeprefix("/api/prom/").rstrip("/")
        return guarded(lambda: Response(self._single(name, request), "application/json"))

    def _single(self, name: str, request: Request) -> bytes:
        given = dict(request.query)
        if request.method == "POST":
            if len(request.body) > LARGEST_BODY:
                _refuse(f"the body has more than {LARGEST_BODY} bytes")
            given |= parse_qs(request.body.decode(errors="replace"))
        label = re.fullmatch(r"label/([^/]+)/values", name)
        if label and not _LABEL.fullmatch(label[1]):
            _refuse(f"'{label[1]}' is not a label name")
        kind = "values" if label else name
        if kind not in _ALLOWED:
            raise UpstreamError("not_found", f"no such question: {name}", 404)
        params = [(key, value) for key in _ALLOWED[kind] for value in given.get(key, [])]
        if sum(len(value) for _, value in params) > LONGEST_QUERY:
            _refuse(f"the query has more than {LONGEST_QUERY} characters")
        fields = {key: values[-1] for key, values in given.items() if values}
        if kind == "query_range":
            _check_range(fields)
        if kind in ("query", "query_range"):
            if not fields.get("query"):
                _refuse("'query' is missing")
            return self._prometheus.post_form(f"/api/v1/{kind}", params)
        return self._prometheus.get(f"/api/v1/{name}", params)

    def batch(self, request: Request) -> Response:
        """POST of {"queries": [{id, query, start, end, step} or {id, query, time}]}: all answers by id, each
        the document that Prometheus gave or an error of its own. One question that fails spoils no other."""
        return guarded(lambda: Response(self._batch(request), "application/json"))

    def _batch(self, request: Request) -> bytes:
        if len(request.body) > LARGEST_BODY:
            _refuse(f"the body has more than {LARGEST_BODY} bytes")
        try:
            queries = json.loads(request.body)["queries"]
        except (ValueError, KeyError, TypeError):
            _refuse('the body must be JSON: {"queries": [{"id": ..., "query": ...}]}')
        if not isinstance(queries, list) or not all(isinstance(query, dict) for query in queries):
            _refuse("'queries' must be a list of objects")
        if len(queries) > MOST_QUERIES:
            _refuse(f"{len(queries)} queries in one batch; at most {MOST_QUERIES} are allowed")
        waiting: dict[str, Future[bytes]] = {
            str(query.get("id", number)): self._pool.submit(self._one, query)
            for number, query in enumerate(queries)
        }
        # The answers are documents already; they are joined, not parsed, since they may be large.
        parts = [json.dumps(name).encode() + b":" + future.result() for name, future in waiting.items()]
        return b'{"status":"success","results":{' + b",".join(parts) + b"}}"

    def _one(self, query: dict[str, Any]) -> bytes:
        try:
            text = query.get("query")
            if not isinstance(text, str) or not text:
                _refuse("'query' is missing")
            if len(text) > LONGEST_QUERY:
                _refuse(f"the query has more than {LONGEST_QUERY} characters")
            ranged = "step" in query
            fields = {
                key: str(query[key])
                for key in _ALLOWED["query_range" if ranged else "query"]
                if query.get(key) is not None
            }
            if ranged:
                _check_range(fields)
            return self._prometheus.post_form(
                "/api/v1/query_range" if ranged else "/api/v1/query", list(fields.items())
            )
        except UpstreamError as error:
            return json.dumps(error.as_json()).encode()


def guarded(answer: Callable[[], Response]) -> Response:
    """The answer, or what went wrong as JSON."""
    try:
        return answer()
    except UpstreamError as error:
        return Response.json(error.as_json(), error.status)


def _check_range(fields: dict[str, str]) -> None:
    try:
        start, end, step = (float(fields[name]) for name in ("start", "end", "step"))
    except (KeyError, ValueError):
        _refuse("'start', 'end' and 'step' must be numbers of seconds")
    if not (end >= start and step > 0):
        _refuse("'end' must not lie before 'start', and 'step' must be above 0")
    if (end - start) / step > MOST_POINTS:
        _refuse(f"more than {MOST_POINTS} points for each series; use a longer step or a shorter range")


def _refuse(message: str) -> NoReturn:
    raise UpstreamError("bad_data", message, 400)
