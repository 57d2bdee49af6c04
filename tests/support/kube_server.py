"""The list calls of a Kubernetes API server, over TLS on a socket of this host.

It keeps to what the API reference says of lists: paging with `limit` and `continue`, a version beside a mark
is refused, marks expire (410), selectors, bearer tokens (401), rights (403), a Status object in each refusal.
"""

from __future__ import annotations

import asyncio
import json
import ssl
import subprocess
import threading
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from aiohttp import web

PODS = "/api/v1/pods"
WORKLOADS = "/apis/kueue.x-k8s.io/v1beta1/workloads"


class KubeServer:
    """Serves `lists` (place to objects) to who shows `token`; `behave` may answer in its place."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.token = "token-of-the-account"
        self.lists: dict[str, list[dict[str, Any]]] = {PODS: []}
        self.forbidden: set[str] = set()
        self.expire_after = 10**9
        self.asked: list[dict[str, str]] = []
        self.tokens: list[str] = []
        self.behave: Callable[[web.Request], Awaitable[web.StreamResponse | None]] | None = None
        self.port = 0
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._ready, self._stop = threading.Event(), asyncio.Event()

    @property
    def url(self) -> str:
        """Its address."""
        return f"https://127.0.0.1:{self.port}"

    @property
    def ca(self) -> Path:
        """The authority that vouches for it."""
        return self.home / "ca.crt"

    def start(self) -> None:
        """Returns once it listens."""
        self.home.mkdir(parents=True, exist_ok=True)
        certificate(self.home)
        self._thread.start()
        assert self._ready.wait(30), "the API server did not start"

    def stop(self) -> None:
        """Closes its socket."""
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(30)

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_until_complete(self._serve())
        self._loop.close()

    async def _serve(self) -> None:
        app = web.Application()
        app.router.add_get("/{place:.*}", self._answer)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=1)
        await runner.setup()
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(self.home / "ca.crt", self.home / "ca.key")
        site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context)
        await site.start()
        self.port = runner.addresses[0][1]
        self._ready.set()
        await self._stop.wait()
        await runner.cleanup()

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        query, place = dict(request.query), request.path
        self.asked.append(query)
        self.tokens.append(request.headers.get("Authorization", ""))
        if self.behave is not None and (answer := await self.behave(request)) is not None:
            return answer
        if self.tokens[-1] != f"Bearer {self.token}":
            return _status(401, "Unauthorized", "Unauthorized")
        if place in self.forbidden:
            return _status(
                403, "Forbidden", 'pods is forbidden: User "system:serviceaccount:gw:gw" cannot list'
            )
        found = self._rows(place)
        if found is None:
            return _status(404, "NotFound", "the server could not find the requested resource")
        if "continue" in query and "resourceVersion" in query:
            return _status(
                400, "BadRequest", "specifying resource version is not allowed when using continue"
            )
        chosen = [row for row in found if _matches(row, query)]
        start, limit = int(query.get("continue", "0")), int(query.get("limit", "0")) or len(chosen)
        if start and start >= self.expire_after:
            return _status(410, "Expired", "The provided continue parameter is too old")
        metadata = {"resourceVersion": "90210"}
        if start + limit < len(chosen):
            metadata |= {"continue": str(start + limit), "remainingItemCount": len(chosen) - start - limit}  # type: ignore[dict-item] # a number, as the API has it
        body = {
            "kind": "PodList",
            "apiVersion": "v1",
            "metadata": metadata,
            "items": chosen[start : start + limit],
        }
        answer = web.json_response(body)
        answer.enable_compression()
        return answer

    def _rows(self, place: str) -> list[dict[str, Any]] | None:
        if place in self.lists:
            return self.lists[place]
        before, _, rest = place.partition("/namespaces/")
        namespace, _, kind = rest.partition("/")
        rows = self.lists.get(f"{before}/{kind}")
        return None if rows is None else [r for r in rows if r["metadata"]["namespace"] == namespace]


def _matches(row: dict[str, Any], query: dict[str, str]) -> bool:
    for term in filter(None, query.get("fieldSelector", "").split(",")):
        field, _, value = term.partition("!=")
        assert field == "status.phase", f"the API knows no such field: {term}"
        if row.get("status", {}).get("phase") == value:
            return False
    labels = row["metadata"].get("labels", {})
    terms = filter(None, query.get("labelSelector", "").split(","))
    return all(labels.get(key) == value for key, _, value in (term.partition("=") for term in terms))


def _status(code: int, reason: str, message: str) -> web.Response:
    body = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
            "message": message, "reason": reason, "code": code}  # fmt: skip
    return web.json_response(body, status=code)


def certificate(home: Path, name: str = "ca") -> None:
    """A certificate for 127.0.0.1 that vouches for itself."""
    subprocess.run(
        [
            "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
            "-keyout", str(home / f"{name}.key"), "-out", str(home / f"{name}.crt"), "-days", "2",
            "-subj", "/CN=kube-apiserver", "-addext", "subjectAltName=IP:127.0.0.1",
        ],
        check=True, capture_output=True, timeout=60,
    )  # fmt: skip


def fixture_pods() -> list[dict[str, Any]]:
    """The pods of fixtures/kubernetes."""
    return _fixture("pods.json")


def fixture_workloads() -> list[dict[str, Any]]:
    """The workloads of Kueue in fixtures/kubernetes."""
    return _fixture("workloads.json")


def _fixture(name: str) -> list[dict[str, Any]]:
    file = Path(__file__).parents[1] / "exporters" / "fixtures" / "kubernetes" / name
    found: list[dict[str, Any]] = json.loads(file.read_text())
    return found
