"""Redfish services to ask: sushy-static on a tree of files, and a server of our own for the rest."""

from __future__ import annotations

import asyncio
import base64
import json
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from aiohttp import web

from exporters.facility.driver import Polled, Secret, Wiring
from exporters.facility.redfish import make
from gigawatch.topology import Device, Economics, Endpoint, Inventory, Role
from gigawatch.topology.model import Zone

TREE = Path(__file__).parent.parent / "exporters" / "redfish" / "tree"
ROOT = "/redfish/v1"
Behave = Callable[[web.Request], Awaitable[web.StreamResponse | None]]


def tree() -> dict[str, dict[str, Any]]:
    """Our facility as {address: resource}."""
    found = {}
    for file in sorted(TREE.rglob("index.json")):
        below = file.parent.relative_to(TREE).as_posix()
        found[ROOT if below == "." else f"{ROOT}/{below}"] = json.loads(file.read_text())
    return found


@contextmanager
def sushy_static() -> Iterator[str]:
    """The address of sushy-static serving our tree."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [
        str(Path(sys.executable).with_name("sushy-static")),
        "-i",
        "127.0.0.1",
        "-p",
        str(port),
        "-m",
        str(TREE),
    ]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            until = time.monotonic() + 30
            while True:
                try:
                    socket.create_connection(("127.0.0.1", port), 1).close()
                    break
                except OSError:
                    assert process.poll() is None, "sushy-static ended"
                    assert time.monotonic() < until, "sushy-static did not start"
                    time.sleep(0.05)
            yield f"http://127.0.0.1:{port}"
        finally:
            process.kill()


class RedfishServer:
    """Serves `resources`, as a service with the abilities that its fields say."""

    def __init__(self, tls: Path | None = None) -> None:
        self.resources = tree()
        self.expands = False
        self.username, self.password = "", ""
        self.sessions: dict[str, str] = {}
        """Token by the path of its session."""
        self.gives_sessions = True
        self.behave: Behave | None = None
        self.asked: list[str] = []
        self.logins = 0
        self.streams = self.opened = 0
        """Streams of events that are open, and all there have been."""
        self.headers: dict[str, str] = {}
        self._queues: list[asyncio.Queue[bytes | None]] = []
        self._tls, self.port = tls, 0
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._ready, self._stop = threading.Event(), asyncio.Event()

    @property
    def url(self) -> str:
        return f"{'https' if self._tls else 'http'}://127.0.0.1:{self.port}"

    def reset(self) -> None:
        """As it was at first, on the same port."""
        self.resources, self.expands, self.behave = tree(), False, None
        self.username, self.password, self.gives_sessions = "", "", True
        self.sessions, self.logins, self.opened = {}, 0, 0
        self.asked.clear()

    def protect(self, username: str, password: str) -> None:
        """Let in only who knows these; sessions are offered."""
        self.username, self.password = username, password
        self.resources[ROOT]["Links"] = {"Sessions": {"@odata.id": f"{ROOT}/SessionService/Sessions"}}

    def report(self, name: str, values: dict[str, str], timestamp: str = "", **each: str) -> str:
        """Offer a metric report; its address."""
        telemetry, uri = f"{ROOT}/TelemetryService", f"{ROOT}/TelemetryService/MetricReports/{name}"
        self.resources[ROOT]["TelemetryService"] = {"@odata.id": telemetry}
        self.resources[telemetry] = {
            "@odata.id": telemetry,
            "MetricReports": {"@odata.id": f"{telemetry}/MetricReports"},
        }
        listed = self.resources.setdefault(f"{telemetry}/MetricReports", {"Members": []})
        listed["Members"].append({"@odata.id": uri})
        self.resources[uri] = metric_report(uri, values, timestamp, **each)
        return uri

    def offer_events(self) -> None:
        """Announce a stream of server-sent events."""
        service = f"{ROOT}/EventService"
        self.resources[ROOT]["EventService"] = {"@odata.id": service}
        self.resources[service] = {"@odata.id": service, "ServerSentEventUri": f"{service}/SSE"}

    def send(self, raw: bytes | None) -> None:
        """Bytes for everybody who listens; None breaks the connections."""

        def put() -> None:
            for queue in self._queues:
                queue.put_nowait(raw)

        self._loop.call_soon_threadsafe(put)

    def tell(self, message: dict[str, Any]) -> None:
        """An event."""
        self.send(b"id: 1\ndata: " + json.dumps(message).encode() + b"\n\n")

    def start(self) -> RedfishServer:
        self._thread.start()
        assert self._ready.wait(30), "the Redfish server did not start"
        return self

    def stop(self) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(10)

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_until_complete(self._serve())
        left = asyncio.all_tasks(self._loop)
        for task in left:
            task.cancel()
        self._loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))
        self._loop.close()

    async def _serve(self) -> None:
        app = web.Application(client_max_size=1 << 20)
        app.router.add_route("*", "/{path:.*}", self._answer)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1, handler_cancellation=True)
        await runner.setup()
        context = None
        if self._tls is not None:
            context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
            context.load_cert_chain(self._tls / "server.crt", self._tls / "server.key")
        site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context)
        await site.start()
        self.port = runner.addresses[0][1]
        self._ready.set()
        await self._stop.wait()
        self.send(None)
        await runner.cleanup()

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        path = request.path.rstrip("/")
        self.asked.append(f"{request.method} {request.raw_path}")
        if self.behave is not None and (behaved := await self.behave(request)) is not None:
            return behaved
        if path == f"{ROOT}/SessionService/Sessions" and request.method == "POST":
            return await self._login(request)
        if request.method == "DELETE":
            return web.Response(status=204 if self.sessions.pop(path, "") else 404)
        if self.username and path != ROOT and not self._lets_in(request):
            return web.json_response({"error": {"code": "Base.1.8.NoValidSession"}}, status=401)
        if path == f"{ROOT}/EventService/SSE":
            return await self._stream(request)
        found = self.resources.get(path)
        if found is None:
            return web.json_response({"error": {"code": "Base.1.8.ResourceMissingAtURI"}}, status=404)
        if self.expands and "$expand" in request.query_string and "Members" in found:
            found = {**found, "Members": [self.resources.get(m["@odata.id"], m) for m in found["Members"]]}
        return web.json_response(found)

    async def _login(self, request: web.Request) -> web.Response:
        self.logins += 1
        sent = await request.json()
        if not self.gives_sessions:
            return web.json_response({"error": {"code": "Base.1.8.SessionLimitExceeded"}}, status=503)
        if (sent.get("UserName"), sent.get("Password")) != (self.username, self.password):
            return web.json_response({"error": {"code": "Base.1.8.ResourceAtUriUnauthorized"}}, status=401)
        where, token = f"{ROOT}/SessionService/Sessions/{self.logins}", f"token-{self.logins}"
        self.sessions[where] = token
        return web.json_response({}, status=201, headers={"X-Auth-Token": token, "Location": where})

    def _lets_in(self, request: web.Request) -> bool:
        pair = base64.b64encode(f"{self.username}:{self.password}".encode()).decode()
        if request.headers.get("Authorization") in (f"Basic {pair}", f"Bearer {self.password}"):
            return True
        return request.headers.get("X-Auth-Token", "-") in self.sessions.values()

    async def _stream(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        queue: asyncio.Queue[bytes | None] = asyncio.Queue()
        self._queues.append(queue)
        self.streams, self.opened = self.streams + 1, self.opened + 1
        try:
            while (raw := await queue.get()) is not None:
                await response.write(raw)
        finally:
            self._queues.remove(queue)
            self.streams -= 1
        return response


def metric_report(uri: str, values: dict[str, str], timestamp: str = "", **each: str) -> dict[str, Any]:
    """A MetricReport; `each` is added to every value."""
    return {
        "@odata.id": uri,
        "@odata.type": "#MetricReport.v1_4_0.MetricReport",
        "Id": uri.rpartition("/")[2],
        **({"Timestamp": timestamp} if timestamp else {}),
        "MetricValues": [
            {"MetricProperty": name, "MetricValue": value, **each} for name, value in values.items()
        ],
    }


def device(
    role: Role, name: str = "d1", side: str = "", zones: tuple[str, ...] = (), node: str = ""
) -> Device:
    """A device of the inventory."""
    return Device(
        name=name, role=role, hall="h1", rack="r1", side=side, fed_by="", loop="", capacity_watts=0.0,
        breaker_amperes=0.0, voltage=0.0, phases=0, address="", node=node,
        zones=tuple(Zone(z) for z in zones),
    )  # fmt: skip


class Clock:
    """Unix time that a test may move."""

    def __init__(self) -> None:
        self.ahead = 0.0

    def __call__(self) -> float:
        return time.time() + self.ahead


def wiring(
    address: str,
    role: Role = Role.BMC,
    path: str = "",
    secret: Secret | None = None,
    deadline: float = 8.0,
    clock: Callable[[], float] = time.time,
    shared: dict[str, object] | None = None,
    options: dict[str, str] | None = None,
    **about: Any,
) -> Wiring:
    """What the poller would give a driver."""
    economics = Economics({}, {}, {}, 0.0, 0.0, 0.0, 0.0, 0.0)
    return Wiring(
        device=device(role, **about),
        endpoint=Endpoint("redfish", address, path=path),
        inventory=Inventory("s1", (), (), (), (), economics),
        secret=lambda: secret or Secret(),
        deadline=deadline,
        interval=10.0,
        clock=clock,
        shared={} if shared is None else shared,
        options=options or {},
    )


def ask(address: str, role: Role = Role.BMC, path: str = "", **more: Any) -> Polled:
    """One poll of a new driver."""

    async def once() -> Polled:
        driver = make(wiring(address, role, path, **more))
        try:
            return await driver.poll()
        finally:
            await driver.close()

    return asyncio.run(once())


def series(polled: Polled) -> dict[str, float]:
    """Readings as `key{value,value}`; of a state set only what is true, without the word `state`."""
    found: dict[str, float] = {}
    for metric, labels, value, _ in polled.readings:
        assert len(labels) == len(metric.labels), metric.key
        name = metric.key + ("{" + ",".join(labels) + "}" if labels else "")
        assert name not in found, f"{name} twice"
        found[name] = round(value, 9)
    return found
