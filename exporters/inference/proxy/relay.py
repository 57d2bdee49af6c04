"""What all connections of a proxy share."""

from __future__ import annotations

import asyncio
import ssl
from dataclasses import dataclass, field

from exporters.inference.proxy.exchange import Exchange
from exporters.inference.proxy.link import Client, Link, Upstream
from exporters.inference.proxy.memory import Budget
from exporters.inference.proxy.routes import Route
from exporters.inference.proxy.tally import Tally

_SWEEP_SECONDS = 5.0
_READ_AT_ONCE = 64 * 1024
_SECONDS_TO_ASK = 60.0
"""How long a client may take from connecting to the end of its first head."""


@dataclass
class Relay:
    """`host`: what the Host header says upstream; empty keeps the client's. `buffer`: bytes that may wait on
    their way to one side before the other is made to wait. `largest`: bytes of a request's body that are
    looked into; all of them together take no more than `budget`. Times in seconds."""

    loop: asyncio.AbstractEventLoop
    tally: Tally
    address: tuple[str, int]
    tls: ssl.SSLContext | None = None
    host: bytes = b""
    ask: bool = True
    most: int = 4096
    connect_seconds: float = 10.0
    buffer: int = 256 * 1024
    largest: int = 4 * 1024 * 1024
    budget: Budget = field(default_factory=Budget)
    received: memoryview = field(default_factory=lambda: memoryview(bytearray(_READ_AT_ONCE)))
    """Where connections read into; what came is taken out before anybody reads again."""
    links: set[Link] = field(default_factory=set)
    _silent: set[bytes] = field(default_factory=set)
    """Routes on which the engine does not like to be asked."""

    def client(self) -> asyncio.BaseProtocol:
        """For a connection that came in."""
        return Client(Link(self))

    async def connect(self, link: Link) -> asyncio.Transport:
        """A connection of the link's own to the engine. Raises OSError."""
        host, port = self.address
        transport, _ = await self.loop.create_connection(
            lambda: Upstream(link),
            host,
            port,
            ssl=self.tls,
            server_hostname=host if self.tls is not None else None,
            happy_eyeballs_delay=0.25,
        )
        return transport

    def opened(self, link: Link) -> None:
        self.links.add(link)
        self.tally.connections += 1
        if self.tally.connections > self.most:
            self.tally.refused += 1
            link.abort()

    def closed(self, link: Link) -> None:
        self.links.discard(link)
        self.tally.connections -= 1

    def asks(self, route: Route) -> bool:
        """Whether streams on this route are made to tell their usage."""
        return self.ask and route.path not in self._silent

    def stop_asking(self, exchange: Exchange) -> None:
        """The engine took a request as it came that it had refused with the question for usage."""
        if exchange.route is not None:
            self._silent.add(exchange.route.path)

    def sweep(self) -> None:
        """Drop clients that never come to the point; called again and again."""
        now = self.loop.time()
        for link in list(self.links):
            if link.waiting_since is not None and now - link.waiting_since > _SECONDS_TO_ASK:
                link.abort()
        self.loop.call_later(_SWEEP_SECONDS, self.sweep)
