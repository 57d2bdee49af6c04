"""From client to engine: where one request ends and the next begins, and what is asked for besides.

What `feed` takes in goes out again before anything is counted. When it raises, `take_unsent` gives all that
has not gone out yet, so that nothing is lost.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from exporters.inference.proxy.exchange import Exchange
from exporters.inference.proxy.framing import Chunked, Framing, Length, chunk
from exporters.inference.proxy.heads import (
    END,
    REQUEST_BEGINS,
    read_request,
    replaced,
    split_head,
)
from exporters.inference.proxy.routes import route_of

if TYPE_CHECKING:
    from exporters.inference.proxy.link import Link

_STREAM = b'"stream"'


@dataclass(slots=True)
class _Asking:
    """A request whose body is coming."""

    framing: Framing
    exchange: Exchange


class Requests:
    """From client to upstream."""

    def __init__(self, link: Link) -> None:
        self._link = link
        self._relay = link.relay
        self._buffer = b""
        self._out: list[bytes] = []
        self._now: _Asking | None = None
        self._copy: bytearray | None = None
        """The body so far, while it is worth one."""
        self._held: list[bytes] | None = None
        """The request so far, while it may yet be changed."""
        self._arrived: list[tuple[Exchange, bytes | None]] = []
        """Requests that are whole, with the bodies to read once they are on their way."""

    @property
    def resting(self) -> bool:
        """Between two requests."""
        return not self._buffer and self._now is None

    def feed(self, data: bytes) -> None:
        """Raises UnreadableError."""
        self._buffer = self._buffer + data if self._buffer else data
        while self._buffer and (self._head() if self._now is None else self._body(self._now)):
            pass
        if self._out:
            out, self._out = self._out, []
            self._link.to_upstream(out[0] if len(out) == 1 else b"".join(out))
        if self._arrived:
            self._note_arrivals()

    def take_unsent(self) -> bytes:
        unsent = [*self._out, *(self._held or ()), self._buffer]
        self._out, self._buffer = [], b""
        self.drop()
        return b"".join(unsent)

    def drop(self) -> None:
        """Give back the memory that a half-read request takes."""
        if self._copy is not None:
            self._relay.budget.give(len(self._copy))
        self._copy = self._held = None

    def _head(self) -> bool:
        buffer, relay = self._buffer, self._relay
        if buffer.startswith(b"\r\n"):
            # Some clients send an empty line after a body; servers pass over it.
            self._out.append(b"\r\n")
            self._buffer = buffer[2:]
            return True
        head = split_head(buffer, REQUEST_BEGINS)
        if head is None:
            return False
        request = read_request(head)
        framing = request.framing()
        route = route_of(request.method, request.target)
        raw = head + END
        if relay.host:
            raw = replaced(raw, {b"host": relay.host})
        exchange = Exchange(request, route, relay.tally, relay.budget)
        self._link.waiting_since = None
        self._link.exchanges.append(exchange)
        self._buffer = buffer[len(head) + len(END) :]
        if framing is None:
            self._out.append(raw)
            self._arrived.append((exchange, None))
            return True
        self._now = _Asking(framing, exchange)
        small = not isinstance(framing, Length) or framing.left <= relay.largest
        if route is not None and small and exchange.readable(request.fields):
            self._copy = bytearray()
            if route.asks and relay.asks(route) and b"expect" not in request.fields:
                self._held = [raw]
                return True
        self._out.append(raw)
        return True

    def _body(self, now: _Asking) -> bool:
        content, used = now.framing.feed(self._buffer)
        (self._out if self._held is None else self._held).append(self._buffer[:used])
        self._buffer = self._buffer[used:]
        if self._copy is not None:
            if len(self._copy) + len(content) <= self._relay.largest and self._relay.budget.take(
                len(content)
            ):
                self._copy += content
            else:
                self._out += self._held or ()
                self.drop()
        if now.framing.done:
            self._complete(now.exchange, now.framing)
        return True

    def _complete(self, exchange: Exchange, framing: Framing) -> None:
        self._now = None
        copy, held = self._copy, self._held
        body = bytes(copy) if copy is not None else None
        if held is not None:
            raw = b"".join(held)
            # Nothing to ask where nothing streams: then it is read once it is on its way.
            new = exchange.asking(body) if body is not None and _STREAM in body else None
            if new is not None and exchange.keep(raw):
                self._relay.tally.asked += 1
                raw = _asking(raw, new, framing)
            self._out.append(raw)
        self.drop()
        self._arrived.append((exchange, body))

    def _note_arrivals(self) -> None:
        arrived, self._arrived = self._arrived, []
        for exchange, body in arrived:
            if body is not None and not exchange.looked:
                exchange.look(body)
            exchange.arrived()


def _asking(raw: bytes, body: bytes, framing: Framing) -> bytes:
    """The request with another body. Its answer must be readable, so no compression is offered."""
    head = raw[: raw.index(END) + len(END)]
    values = {b"accept-encoding": b"identity"}
    if isinstance(framing, Chunked):
        return replaced(head, values) + chunk(body) + framing.ending
    return replaced(head, values | {b"content-length": b"%d" % len(body)}) + body
