"""An SNMP agent, version 2c, read only: one port for all devices, told apart by community (RFC 3416)."""

from __future__ import annotations

import asyncio
import logging
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import cast

from gigawatch.simulator.protocols import ber
from gigawatch.simulator.protocols.ber import BadMessageError, Oid
from gigawatch.simulator.protocols.values import Answer, Values

log = logging.getLogger(__name__)
GET, GET_NEXT, RESPONSE, SET, GET_BULK = 0xA0, 0xA1, 0xA2, 0xA3, 0xA5
_TOO_BIG, _NOT_WRITABLE = 1, 17
_LARGEST_ANSWER = 32_000
_MOST_BINDINGS = 512
_MOST_BYTES = 8192
"""Of a question."""

Mib = Callable[[Values], Iterable[tuple[Oid, bytes]]]
"""What a kind of device says: object identifiers and encoded values, in any order."""

_encoded = lru_cache(maxsize=1 << 16)(ber.oid)


class View:
    """Everything one device says at one moment, in order."""

    def __init__(self, rows: Iterable[tuple[Oid, bytes]]) -> None:
        self._rows = sorted(rows)
        self._oids = [oid for oid, _ in self._rows]

    def get(self, oid: Oid) -> bytes:
        """The binding of that object, or of what is there instead."""
        at = bisect_left(self._oids, oid)
        if at < len(self._oids) and self._oids[at] == oid:
            return _binding(*self._rows[at])
        # An object whose column is there, or that is none at all.
        known = at < len(self._oids) and self._oids[at][:-1] == oid[:-1]
        return _binding(oid, ber.NO_SUCH_INSTANCE if known else ber.NO_SUCH_OBJECT)

    def after(self, oid: Oid, count: int) -> list[bytes]:
        """The `count` bindings that follow; fewer, and the last says so, where the view ends before."""
        at = bisect_right(self._oids, oid)
        rows = self._rows[at : at + count]
        found = [_binding(*row) for row in rows]
        if len(found) < count:
            found.append(_binding(rows[-1][0] if rows else oid, ber.END_OF_VIEW))
        return found


def _binding(oid: Oid, value: bytes) -> bytes:
    return ber.wrap(ber.SEQUENCE, _encoded(oid) + value)


class Agent:
    """Answers questions about the devices whose MIBs it is given."""

    def __init__(self, mibs: dict[str, Mib], answer: Answer) -> None:
        self.mibs, self._answer = mibs, answer
        self._views: dict[str, tuple[Values, View]] = {}

    def reply(self, data: bytes) -> bytes | None:
        """The answer to a datagram; None where there is none to give (rubbish, a stranger, a dead device)."""
        if len(data) > _MOST_BYTES:
            return None
        try:
            message, _ = ber.expect(ber.SEQUENCE, data)
            version, at = ber.expect(ber.INTEGER, message)
            community, at = ber.expect(ber.OCTETS, message, at)
            kind, pdu, _ = ber.split(message, at)
            if ber.integer_of(version) != 1:
                return None
            view = self._view(community.decode("ascii", "replace"))
            content = None if view is None else _respond(kind, pdu, view)
        except BadMessageError as error:
            log.debug("a datagram that is no question: %s", error)
            return None
        if content is None:
            return None
        head = ber.integer(1) + ber.wrap(ber.OCTETS, community)
        return ber.wrap(ber.SEQUENCE, head + ber.wrap(RESPONSE, content))

    def _view(self, name: str) -> View | None:
        if name not in self.mibs:
            return None
        values = self._answer(name)
        if values is None:
            return None
        known = self._views.get(name)
        if known is None or known[0] is not values:
            known = self._views[name] = (values, View(self.mibs[name](values)))
        return known[1]


def _respond(kind: int, pdu: bytes, view: View) -> bytes | None:
    """The content of the response to a question. Raises BadMessageError."""
    number, at = ber.expect(ber.INTEGER, pdu)
    first, at = ber.expect(ber.INTEGER, pdu, at)
    second, at = ber.expect(ber.INTEGER, pdu, at)
    oids = _bindings(ber.expect(ber.SEQUENCE, pdu, at)[0])
    ber.integer_of(number)
    head = ber.wrap(ber.INTEGER, number)
    if kind == GET:
        found = [view.get(oid) for oid in oids]
    elif kind == GET_NEXT:
        found = [view.after(oid, 1)[0] for oid in oids]
    elif kind == GET_BULK:
        found = _bulk(view, oids, ber.integer_of(first), ber.integer_of(second))
    elif kind == SET:
        return _failed(head, _NOT_WRITABLE, 1, oids)
    else:
        return None
    if sum(map(len, found)) > _LARGEST_ANSWER:
        return _failed(head, _TOO_BIG, 0, [])
    return head + ber.integer(0) * 2 + ber.wrap(ber.SEQUENCE, b"".join(found))


def _failed(head: bytes, status: int, index: int, oids: list[Oid]) -> bytes:
    asked = b"".join(_binding(oid, b"\x05\x00") for oid in oids)
    return head + ber.integer(status) + ber.integer(index) + ber.wrap(ber.SEQUENCE, asked)


def _bindings(data: bytes) -> list[Oid]:
    oids, at = [], 0
    while at < len(data):
        binding, at = ber.expect(ber.SEQUENCE, data, at)
        oids.append(ber.oid_of(ber.expect(ber.OID, binding)[0]))
        if len(oids) > _MOST_BINDINGS:
            raise BadMessageError("too many objects in one question")
    return oids


def _bulk(view: View, oids: list[Oid], plain: int, repetitions: int) -> list[bytes]:
    """Row by row, as many rows as fit; an ended column goes on saying so while others last."""
    plain, repetitions = max(0, plain), max(0, min(repetitions, _MOST_BINDINGS))
    found = [view.after(oid, 1)[0] for oid in oids[:plain]]
    columns = [view.after(oid, repetitions) for oid in oids[plain:]] if repetitions else []
    room = _LARGEST_ANSWER - sum(map(len, found))
    for row in range(max(map(len, columns), default=0)):
        cells = [column[min(row, len(column) - 1)] for column in columns]
        room -= sum(map(len, cells))
        if room < 0 or (row and len(found) + len(cells) > _MOST_BINDINGS):
            break
        found += cells
    return found


class Datagrams(asyncio.DatagramProtocol):
    """The agent on a UDP port."""

    def __init__(self, agent: Agent) -> None:
        self._agent = agent
        self._transport: asyncio.DatagramTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        reply = self._agent.reply(data)
        if reply is not None and self._transport is not None:
            self._transport.sendto(reply, addr)
