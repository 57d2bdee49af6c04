"""The proxy as a running thing: two ports, and an orderly end."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import resource
import signal
import sys
import threading
from collections.abc import Callable
from typing import TypeVar

from exporters.inference.proxy.page import page
from exporters.inference.proxy.relay import Relay
from exporters.inference.proxy.settings import ProxySettings
from exporters.inference.proxy.tally import Tally
from exporters.runtime.page import Page
from gigawatch import package_version
from gigawatch.errors import UserError
from gigawatch.serving import App, Request, Response, load_web_config, parse_listen, serve

log = logging.getLogger(__name__)
_SECONDS_TO_DRAIN = 30.0
_SECONDS_TO_SHOW = 5.0
_HEALTH_SECONDS = 2.0

Result = TypeVar("Result")


def run(settings: ProxySettings) -> int:
    """Serve until SIGTERM or SIGINT. Raises UserError."""
    _allow_files(2 * settings.connections + 256)
    return asyncio.run(_run(settings))


async def _run(settings: ProxySettings) -> int:
    loop = asyncio.get_running_loop()
    relay = Relay(
        loop,
        Tally(settings.models),
        settings.address,
        tls=settings.tls(),
        host=settings.host_header,
        ask=settings.ask_usage,
        most=settings.connections,
    )
    web = load_web_config(settings.web_config) if settings.web_config else None
    server = await _listen(relay, settings.listen)
    metrics = serve(_app(relay, settings), settings.metrics, web)
    over = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, over.set)
    host, port = server.sockets[0].getsockname()[:2]
    shown = f"[{host}]" if ":" in host else host
    print(
        f"listening on http://{shown}:{port}, metrics on {metrics.url}/metrics", file=sys.stderr, flush=True
    )
    try:
        relay.sweep()
        # What is here now stays: later collections, each of which holds up all streams, need not look at it.
        gc.freeze()
        await over.wait()
        server.close()
        await _drain(relay, loop)
    finally:
        metrics.close()
    return 0


async def _listen(relay: Relay, listen: str) -> asyncio.Server:
    host, port = parse_listen(listen)
    try:
        return await relay.loop.create_server(relay.client, host or None, port, backlog=1024)
    except OSError as error:
        raise UserError(
            f"cannot listen on {listen}: {error.strerror or error}; choose another address with --listen"
        ) from None


async def _drain(relay: Relay, loop: asyncio.AbstractEventLoop) -> None:
    """Let answers under way come to their end, within reason."""
    until = loop.time() + _SECONDS_TO_DRAIN
    while relay.links and loop.time() < until:
        for link in list(relay.links):
            if link.idle:
                link.close()
        await asyncio.sleep(0.05)
    for link in list(relay.links):
        link.abort()
    await asyncio.sleep(0)


def _app(relay: Relay, settings: ProxySettings) -> App:
    """/metrics, and /health: what the engine behind answers."""
    version = package_version()

    def answer(request: Request) -> Response:
        try:
            text = _in_loop(relay.loop, lambda: page(relay.tally, settings.engine, version))
        except TimeoutError:
            return Response.text("the proxy's event loop does not answer\n", 503)
        return Page(text).answer(request)

    def health(_: Request) -> Response:
        asking = asyncio.run_coroutine_threadsafe(_healthy(relay, settings), relay.loop)
        try:
            well = asking.result(_HEALTH_SECONDS + 1)
        except TimeoutError:
            well = False
        return Response.text("ok\n") if well else Response.text("the engine does not answer\n", 503)

    app = App()
    app.route("GET", "/metrics", answer)
    app.route("GET", "/health", health)
    return app


def _in_loop(loop: asyncio.AbstractEventLoop, work: Callable[[], Result]) -> Result:
    """The result of work that only the loop's thread may do. Raises TimeoutError."""
    done = threading.Event()
    results: list[Result] = []

    def do() -> None:
        try:
            results.append(work())
        finally:
            done.set()

    loop.call_soon_threadsafe(do)
    if not done.wait(_SECONDS_TO_SHOW) or not results:
        raise TimeoutError
    return results[0]


async def _healthy(relay: Relay, settings: ProxySettings) -> bool:
    """Whether the engine answers a plain question with anything but an error of its own."""
    host, port = relay.address
    request = f"GET {settings.health} HTTP/1.1\r\nHost: {host}:{port}\r\nConnection: close\r\n\r\n"
    writer: asyncio.StreamWriter | None = None
    try:
        async with asyncio.timeout(_HEALTH_SECONDS):
            name = host if relay.tls is not None else None
            reader, writer = await asyncio.open_connection(host, port, ssl=relay.tls, server_hostname=name)
            writer.write(request.encode())
            line = await reader.readline()
    except (OSError, TimeoutError, ValueError):
        return False
    finally:
        if writer is not None:
            writer.transport.abort()
    return line.startswith(b"HTTP/1.") and line[9:10] in (b"1", b"2", b"3", b"4")


def _allow_files(wanted: int) -> None:
    """Each connection takes two descriptors; most systems allow 1024 unless asked."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    enough = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    if soft < enough:
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (enough, hard))
