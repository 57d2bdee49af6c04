"""A client's connection and the upstream connection that belongs to it: bytes pass, and are looked at."""

from __future__ import annotations

import asyncio
import json
import logging
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, cast

from exporters.inference.proxy.exchange import Exchange
from exporters.inference.proxy.framing import UnreadableError
from exporters.inference.proxy.inward import Answers
from exporters.inference.proxy.outward import Requests

if TYPE_CHECKING:
    from exporters.inference.proxy.relay import Relay

log = logging.getLogger(__name__)
_MOST_PENDING = 256 * 1024
"""Bytes that wait for the upstream connection."""
_SECONDS_TO_FLUSH = 10.0
_SECONDS_TO_LEAVE = 2.0


class Link:
    """Both connections, and the requests under way on them, oldest first."""

    def __init__(self, relay: Relay) -> None:
        self.relay = relay
        self.exchanges: deque[Exchange] = deque()
        self.blind = False
        """Bytes pass without being looked at any more."""
        self.waiting_since: float | None = None
        """Since when the client owes the rest of its first request's head; loop time."""
        self._client: asyncio.Transport | None = None
        self._upstream: asyncio.Transport | None = None
        self._pending: list[bytes] = []
        self._connecting: asyncio.Task[None] | None = None
        self.requests, self._answers = Requests(self), Answers(self)
        self._refused = False
        self._closed = False

    # From the client

    def client_made(self, transport: asyncio.Transport) -> None:
        self._client = transport
        transport.set_write_buffer_limits(high=self.relay.buffer)
        self.waiting_since = self.relay.loop.time()
        self.relay.opened(self)

    def client_sent(self, data: bytes) -> None:
        if self._refused:
            return
        if self._upstream is None and self._connecting is None:
            self._connecting = self.relay.loop.create_task(self._connect())
        if self.blind:
            self.to_upstream(data)
        else:
            self._guarded(self.requests.feed, data)

    def client_lost(self) -> None:
        self._closed = True
        self.requests.drop()
        self._finish_all("abort")
        self.relay.closed(self)
        if self._connecting is not None:
            self._connecting.cancel()
        upstream = self._upstream
        if upstream is not None:
            # What the client has sent still goes out, as it would have without us.
            unsent = upstream.get_write_buffer_size()
            upstream.close()
            if unsent:
                self.relay.loop.call_later(_SECONDS_TO_FLUSH, upstream.abort)

    def client_ended(self) -> bool:
        """The client sends no more. As HTTP servers do, take that for its leaving, except in a tunnel."""
        if self.blind and self._upstream is not None and self._upstream.can_write_eof():
            self._upstream.write_eof()
            return True
        return False

    # From upstream

    async def _connect(self) -> None:
        try:
            transport = await asyncio.wait_for(self.relay.connect(self), self.relay.connect_seconds)
        except (OSError, TimeoutError) as error:
            self._unreachable(type(error).__name__)
            return
        transport.set_write_buffer_limits(high=self.relay.buffer)
        self._upstream = transport
        if self._closed:
            transport.abort()
            return
        pending, self._pending = self._pending, []
        if pending:
            transport.write(b"".join(pending))
        self.pause_client(False)

    def upstream_sent(self, data: bytes) -> None:
        if self._answers.blind:
            self.to_client(data)
            return
        self._guarded(self._answers.feed, data)
        if self._answers.blind:
            self._finish_all("")
            self.to_client(self._answers.take_unsent())

    def upstream_lost(self, error: Exception | None) -> None:
        """The client's connection goes the same way, once it has got what came before."""
        if not self._answers.end(error is None) and self.exchanges:
            self.relay.tally.failures["closed"] += 1
        self._finish_all("error")
        if self._client is not None and not self._client.is_closing():
            if error is None or self.blind:
                self._client.close()
            else:
                self._client.abort()

    # To both

    def to_upstream(self, data: bytes) -> None:
        if self._upstream is not None:
            self._upstream.write(data)
        elif data:
            self._pending.append(data)
            if sum(map(len, self._pending)) > _MOST_PENDING:
                self.pause_client(True)

    def to_client(self, data: bytes) -> None:
        if self._client is not None and data:
            self._client.write(data)

    def pause_client(self, pause: bool) -> None:
        """Stop or go on reading from the client."""
        _pause(self._client, pause)

    def pause_upstream(self, pause: bool) -> None:
        """Stop or go on reading from upstream."""
        _pause(self._upstream, pause)

    @property
    def idle(self) -> bool:
        """No request is under way."""
        return not self.exchanges and not self.blind

    def abort(self) -> None:
        """Break off both."""
        if self._client is not None:
            self._client.abort()

    def close(self) -> None:
        """End an idle connection."""
        if self._client is not None:
            self._client.close()

    def _guarded(self, feed: Callable[[bytes], None], data: bytes) -> None:
        """Counting must never break an answer: whatever goes wrong with it, the bytes go on."""
        try:
            feed(data)
        except UnreadableError as error:
            self._go_blind(str(error))
        except Exception as error:  # noqa: BLE001 - see above
            self.relay.tally.counting_errors += 1
            log.warning("counting failed (%s); the connection goes on uncounted", type(error).__name__)
            self._go_blind("counting failed")

    def _go_blind(self, reason: str) -> None:
        """From now on let the client's bytes pass unseen, and the engine's after the answers under way."""
        if not self.blind:
            self.blind = True
            self.waiting_since = None
            self.relay.tally.unread[reason] += 1
        self.to_upstream(self.requests.take_unsent())

    def _finish_all(self, outcome: str) -> None:
        while self.exchanges:
            self.exchanges.popleft().finish(outcome)

    def _unreachable(self, reason: str) -> None:
        """Say so, in the words of the interface that was spoken to."""
        self.relay.tally.failures["connect"] += 1
        first = self.exchanges[0] if self.exchanges else None
        native = first is not None and first.route is not None and first.route.native
        self._finish_all("error")
        self._refused = True
        text = f"gigawatch proxy: the upstream cannot be reached ({reason})"
        told: object = text if native else {"message": text, "type": "upstream_error", "code": 502}
        body = json.dumps({"error": told}).encode() + b"\n"
        head = (
            b"HTTP/1.1 502 Bad Gateway\r\nContent-Type: application/json\r\nContent-Length: %d\r\n"
            b"Connection: close\r\n\r\n" % len(body)
        )
        client = self._client
        if client is None or client.is_closing():
            return
        client.write(head + body)
        self.pause_client(False)
        # To close on what the client still sends would reset the connection, and overtake the answer.
        if client.can_write_eof():
            client.write_eof()
        self.relay.loop.call_later(_SECONDS_TO_LEAVE, client.close)


class _Side(asyncio.BufferedProtocol):
    """Reads into the one buffer that all connections share, not into 256 KiB of new memory each time."""

    def __init__(self, link: Link) -> None:
        self._link = link
        self._buffer = link.relay.received

    def get_buffer(self, sizehint: int) -> memoryview:  # noqa: ARG002 - asyncio's signature
        return self._buffer


class Client(_Side):
    """The client's side."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._link.client_made(cast("asyncio.Transport", transport))

    def buffer_updated(self, nbytes: int) -> None:
        self._link.client_sent(bytes(self._buffer[:nbytes]))

    def eof_received(self) -> bool:
        return self._link.client_ended()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        self._link.client_lost()

    def pause_writing(self) -> None:
        self._link.pause_upstream(True)

    def resume_writing(self) -> None:
        self._link.pause_upstream(False)


class Upstream(_Side):
    """The engine's side."""

    def buffer_updated(self, nbytes: int) -> None:
        self._link.upstream_sent(bytes(self._buffer[:nbytes]))

    def connection_lost(self, exc: Exception | None) -> None:
        self._link.upstream_lost(exc)

    def pause_writing(self) -> None:
        self._link.pause_client(True)

    def resume_writing(self) -> None:
        self._link.pause_client(False)


def _pause(transport: asyncio.Transport | None, pause: bool) -> None:
    if transport is None or transport.is_closing():
        return
    if pause:
        transport.pause_reading()
    else:
        transport.resume_reading()
