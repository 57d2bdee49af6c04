"""The counting proxy on a real port, with its upstream, in one event loop."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any

from aiohttp import web
from prometheus_client.parser import text_string_to_metric_families
from token_engine import Engine

from exporters.inference.proxy.page import page
from exporters.inference.proxy.relay import Relay
from exporters.inference.proxy.tally import Tally

SECONDS = 30.0


@dataclass
class Proxied:
    """`direct` and `port`: the upstream's port and the proxy's."""

    relay: Relay
    direct: int
    port: int

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def figures(self) -> dict[tuple[str, ...], float]:
        """What the proxy shows, by name without prefix and label values; parsed by prometheus_client."""
        text = page(self.relay.tally, "ollama", "0").decode()
        return {
            (sample.name.removeprefix("gigawatch_proxy_"), *sample.labels.values()): sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
        }

    async def until(self, met: Callable[[], bool]) -> None:
        """Wait for what must come; the time limit is for crowded machines."""
        async with asyncio.timeout(SECONDS):
            while not met():
                await asyncio.sleep(0.01)


@contextlib.asynccontextmanager
async def proxied(direct: int, models: int = 100, **settings: Any) -> AsyncIterator[Proxied]:
    """A proxy before this port."""
    loop = asyncio.get_running_loop()
    relay = Relay(loop, Tally(models), ("127.0.0.1", direct), **settings)
    server = await loop.create_server(relay.client, "127.0.0.1", 0)
    try:
        yield Proxied(relay, direct, server.sockets[0].getsockname()[1])
    finally:
        server.close()
        for link in list(relay.links):
            link.abort()
        await asyncio.sleep(0)


@contextlib.asynccontextmanager
async def before(engine: Engine, models: int = 100, **settings: Any) -> AsyncIterator[Proxied]:
    """A proxy before this engine."""
    runner = web.AppRunner(engine.app(), access_log=None, handler_cancellation=True, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        async with proxied(runner.addresses[0][1], models, **settings) as found:
            yield found
    finally:
        await runner.cleanup()


class Scripted:
    """An upstream that keeps to a script: wait for so many bytes, send these; then close, reset or stay.

    It keeps all that it was sent.
    """

    def __init__(self, steps: list[tuple[int, bytes]], end: str = "stay") -> None:
        self.steps, self.end = steps, end
        self.got = b""
        self.gone = asyncio.Event()
        """The other side has closed."""

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.got = b""
        try:
            for wanted, answer in self.steps:
                while len(self.got) < wanted:
                    data = await reader.read(1 << 16)
                    if not data:
                        return
                    self.got += data
                writer.write(answer)
                await writer.drain()
            if self.end == "close":
                writer.close()
            elif self.end == "reset":
                writer.transport.abort()
            else:
                while data := await reader.read(1 << 16):
                    self.got += data
        except ConnectionError:
            pass
        finally:
            self.gone.set()
            writer.close()

    @contextlib.asynccontextmanager
    async def serving(self, **settings: Any) -> AsyncIterator[Proxied]:
        """Itself, with a proxy before it."""
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        try:
            async with proxied(server.sockets[0].getsockname()[1], **settings) as found:
                yield found
        finally:
            server.close()


async def talk(port: int, pieces: list[bytes], wanted: int | None = None) -> bytes:
    """Send the pieces one by one, and return what came: so many bytes, or all until the other side closes."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        for index, piece in enumerate(pieces):
            if index:
                await asyncio.sleep(0.005)
            writer.write(piece)
            await writer.drain()
        async with asyncio.timeout(SECONDS):
            return await (reader.read() if wanted is None else reader.readexactly(wanted))
    finally:
        writer.close()
