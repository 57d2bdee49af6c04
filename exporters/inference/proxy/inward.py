"""From engine to client: which answer is whose, and what of it the client is to see.

What `feed` takes in goes out again before anything is counted. When it raises, `take_unsent` gives all that
has not gone out yet, so that nothing is lost.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from exporters.inference.proxy.exchange import Exchange
from exporters.inference.proxy.framing import Chunked, Framing, Length, UnreadableError, chunk
from exporters.inference.proxy.heads import (
    ANSWER_BEGINS,
    END,
    Answer,
    read_answer,
    split_head,
)

if TYPE_CHECKING:
    from exporters.inference.proxy.link import Link


_DISLIKED = (400, 422)
"""How engines say that they do not know a field."""


@dataclass(slots=True)
class _Answering:
    """An answer whose body is coming; `swallow` if the client is not to see it."""

    framing: Framing
    exchange: Exchange
    swallow: bool


class Answers:
    """From upstream to client."""

    def __init__(self, link: Link) -> None:
        self._link = link
        self._buffer = b""
        self._out: list[bytes] = []
        self._now: _Answering | None = None
        self._notes: list[tuple[Exchange, bytes | None]] = []
        """What to count once the bytes are out; None for the end."""
        self.blind = False

    def feed(self, data: bytes) -> None:
        """Raises UnreadableError."""
        self._buffer = self._buffer + data if self._buffer else data
        try:
            while self._buffer and (self._head() if self._now is None else self._body(self._now)):
                pass
        except BaseException:
            self.blind = True
            raise
        finally:
            out, self._out = self._out, []
            self._link.to_client(out[0] if len(out) == 1 else b"".join(out))
            self._count()

    def take_unsent(self) -> bytes:
        held = b""
        if self._now is not None:
            held = self._now.exchange.show_rest()
            held = chunk(held) if isinstance(self._now.framing, Chunked) else held
        unsent, self._buffer = held + self._buffer, b""
        return unsent

    def end(self, clean: bool) -> bool:
        """No more comes. False where an answer under way is not whole."""
        if self._now is None:
            return not self._link.exchanges
        exchange, framing = self._now.exchange, self._now.framing
        rest = exchange.show_rest()
        if not framing.ends_with_connection:
            self._link.to_client(chunk(rest) if isinstance(framing, Chunked) else rest)
            return False
        self._link.to_client(rest)
        if clean:
            self._complete(exchange, swallow=False)
            self._count()
        return clean

    def _head(self) -> bool:
        buffer, link = self._buffer, self._link
        if not link.exchanges:
            raise UnreadableError("unasked answer")
        head = split_head(buffer, ANSWER_BEGINS)
        if head is None:
            return False
        answer = read_answer(head)
        exchange = link.exchanges[0]
        raw = head + END
        if answer.status < 200:
            self._buffer = buffer[len(raw) :]
            self._out.append(raw)
            if answer.status == 101:
                raise UnreadableError("upgrade")
            return True
        framing = answer.framing(exchange.method)
        swallow = self._dislikes(exchange, answer, framing)
        self._buffer = buffer[len(raw) :]
        if not swallow:
            self._out.append(raw)
            exchange.begin(answer, can_hide=not isinstance(framing, Length))
            if exchange.again and exchange.good:
                link.relay.stop_asking(exchange)
        if framing is None:
            self._complete(exchange, swallow)
        else:
            self._now = _Answering(framing, exchange, swallow)
        return True

    def _body(self, now: _Answering) -> bool:
        framing, exchange = now.framing, now.exchange
        content, used = framing.feed(self._buffer)
        raw, self._buffer = self._buffer[:used], self._buffer[used:]
        if not now.swallow:
            self._out.append(self._shown(exchange, framing, content) if exchange.hides else raw)
            self._notes.append((exchange, content))
        if framing.done:
            self._complete(exchange, now.swallow)
        return True

    @staticmethod
    def _shown(exchange: Exchange, framing: Framing, content: bytes) -> bytes:
        shown = exchange.show(content)
        if framing.done:
            shown += exchange.show_rest()
        if not isinstance(framing, Chunked):
            return shown
        return chunk(shown) + (framing.ending if framing.done else b"")

    def _complete(self, exchange: Exchange, swallow: bool) -> None:
        self._now = None
        if swallow:
            if len(self._link.exchanges) == 1:
                self._link.relay.tally.asking_refused += 1
                self._link.to_upstream(exchange.ask_again())
            else:
                self._link.abort()
            return
        self._link.exchanges.popleft()
        self._notes.append((exchange, None))

    def _count(self) -> None:
        notes, self._notes = self._notes, []
        for exchange, content in notes:
            try:
                if content is None:
                    exchange.finish()
                else:
                    exchange.note(content)
            except Exception as error:  # noqa: BLE001 - the answer is on its way; only its count is lost
                exchange.fail(error)

    def _dislikes(self, exchange: Exchange, answer: Answer, framing: Framing | None) -> bool:
        """Whether the engine refuses the request and may do so for what was added to it."""
        return (
            answer.status in _DISLIKED
            and exchange.original is not None
            and len(self._link.exchanges) == 1
            and self._link.requests.resting
            and not (framing is not None and framing.ends_with_connection)
            and b"close" not in answer.fields.get(b"connection", b"").lower()
        )
