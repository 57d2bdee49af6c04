"""Is a datagram an SNMP message at all? Looked at before the client library sees it.

The library stops with a panic (and a report on standard error) on some malformed headers. It also hides what
an agent says when it refuses: the error status of versions 1 and 2c, and the reports of version 3.
"""

from __future__ import annotations

from typing import NamedTuple

_SEQUENCE, _INTEGER, _OCTETS, _OID, _ADDRESS = 0x30, 0x02, 0x04, 0x06, 0x40
_RESPONSE, _REPORT = 0xA2, 0xA8
_OPAQUE = 0x44
_EMPTY = frozenset({0x05, 0x80, 0x81, 0x82})
"""No value: null, no such object, no such instance, end of the view."""
_NUMBERS = frozenset({_INTEGER, 0x41, 0x42, 0x43, 0x46, 0x47})
_USM = bytes((0x2B, 6, 1, 6, 3, 15, 1, 1))
"""1.3.6.1.6.3.15.1.1: counters that an agent of version 3 reports instead of an answer."""
REFUSALS = {
    1: "it does not offer this security level to the user",
    3: "it does not know the user name",
    5: "wrong authentication password or protocol",
    6: "wrong privacy password or protocol",
}
"""What a report means: RFC 3414. 2 and 4 are part of getting to know each other."""
STATUS = (
    *(
        "noError",
        "tooBig",
        "noSuchName",
        "badValue",
        "readOnly",
        "genErr",
        "noAccess",
        "wrongType",
        "wrongLength",
    ),
    *(
        "wrongEncoding",
        "wrongValue",
        "noCreation",
        "inconsistentValue",
        "resourceUnavailable",
        "commitFailed",
    ),
    *("undoFailed", "authorizationError", "notWritable", "inconsistentName"),
)
"""Names of error statuses, RFC 3416."""


class UnsoundError(Exception):
    """Not an SNMP message. The text says why."""


class Seen(NamedTuple):
    """What can be told of a message without keys."""

    status: int = 0
    """Error status."""
    refusal: int = 0
    """A key of REFUSALS; 0 if it is none."""
    report: bool = False
    """Version 3: it carries no values, but tells about the agent."""
    flags: int = 0
    engine: bytes = b""
    signature: tuple[int, int] = (0, 0)
    """Begin and end of its signature."""


def examine(data: bytes) -> Seen:
    """What a message is. UnsoundError unless everything in it, down to each value, has a possible tag and
    length."""
    tag, at, end = _header(data, 0, len(data))
    if tag != _SEQUENCE:
        raise UnsoundError("no SNMP message")
    tag, at, stop = _header(data, at, end)
    if tag != _INTEGER or stop - at != 1:
        raise UnsoundError("no SNMP version")
    version, at = data[at], stop
    if version == 3:
        return _examine_v3(data, at, end)
    if version > 1:
        raise UnsoundError("an unknown SNMP version")
    tag, at, stop = _header(data, at, end)
    if tag != _OCTETS:
        raise UnsoundError("no community")
    return Seen(_examine_pdu(data, stop, end))


def _examine_v3(data: bytes, at: int, end: int) -> Seen:
    tag, start, stop = _header(data, at, end)
    if tag != _SEQUENCE:
        raise UnsoundError("no header data")
    _, _, flags, _ = _each(data, start, stop, (_INTEGER, _INTEGER, _OCTETS, _INTEGER))
    tag, start, after = _header(data, stop, end)
    if tag != _OCTETS:
        raise UnsoundError("no security parameters")
    tag, start, stop = _header(data, start, after)
    if tag != _SEQUENCE:
        raise UnsoundError("no security parameters")
    parameters = _each(data, start, stop, (_OCTETS, _INTEGER, _INTEGER, _OCTETS, _OCTETS, _OCTETS))
    seen = Seen(
        flags=data[flags[0]] if flags[1] > flags[0] else 0,
        engine=data[slice(*parameters[0])],
        signature=parameters[4],
    )
    tag, start, stop = _header(data, after, end)
    if tag == _OCTETS:  # encrypted
        return seen
    if tag != _SEQUENCE:
        raise UnsoundError("no scoped PDU")
    for _ in ("engine", "context"):
        tag, at, start = _header(data, start, stop)
        if tag != _OCTETS:
            raise UnsoundError("no context")
    status = _examine_pdu(data, start, stop)
    reported = data.find(_USM, start)
    number = data[reported + len(_USM)] if 0 <= reported < len(data) - len(_USM) else 0
    report = data[start] == _REPORT
    return seen._replace(status=status, refusal=number if report and number in REFUSALS else 0, report=report)


def _examine_pdu(data: bytes, at: int, end: int) -> int:
    tag, at, end = _header(data, at, end)
    if tag not in (_RESPONSE, _REPORT):
        raise UnsoundError("no answer to a question")
    tag, at, stop = _header(data, at, end)
    if tag != _INTEGER or not 0 < stop - at <= 5:
        raise UnsoundError("no request id")
    tag, start, stop = _header(data, stop, end)
    if tag != _INTEGER or stop - start != 1:
        raise UnsoundError("no error status")
    status = data[start]
    tag, start, stop = _header(data, stop, end)
    if tag != _INTEGER or not 0 < stop - start <= 5:
        raise UnsoundError("no error index")
    tag, at, end = _header(data, stop, end)
    if tag != _SEQUENCE:
        raise UnsoundError("no list of values")
    while at < end:
        tag, at, stop = _header(data, at, end)
        if tag != _SEQUENCE:
            raise UnsoundError("a value without a name")
        tag, at, after = _header(data, at, stop)
        if tag != _OID or at == after or data[after - 1] & 0x80:
            raise UnsoundError("a value without a name")
        tag, at, after = _header(data, after, stop)
        if not _possible(data, tag, at, after):
            raise UnsoundError("a value of impossible length")
        at = stop
    return status


def _possible(data: bytes, tag: int, at: int, end: int) -> bool:
    length = end - at
    if tag in _NUMBERS:
        return 0 < length <= 9
    if tag == _OCTETS:
        return True
    if tag == _OID:
        return length > 0 and not data[end - 1] & 0x80
    if tag in _EMPTY:
        return length == 0
    if tag == _OPAQUE:  # a floating-point number
        return data[at : at + 3] in (b"\x9f\x78\x04", b"\x9f\x79\x08") and length == 3 + data[at + 2]
    return tag == _ADDRESS and length == 4


def _each(data: bytes, at: int, end: int, tags: tuple[int, ...]) -> list[tuple[int, int]]:
    """Begin and end of elements that have to follow one another."""
    found = []
    for wanted in tags:
        tag, start, at = _header(data, at, end)
        if tag != wanted or (tag == _INTEGER and not 0 < at - start <= 5):
            raise UnsoundError("header data of another shape")
        found.append((start, at))
    return found


def _header(data: bytes, at: int, end: int) -> tuple[int, int, int]:
    """Tag, begin and end of the element at a place. It lies wholly before `end`, or UnsoundError."""
    if at + 2 > end:
        raise UnsoundError("cut off")
    tag, length = data[at], data[at + 1]
    at += 2
    if length & 0x80:
        count = length & 0x7F
        if not 0 < count <= 3 or at + count > end:
            raise UnsoundError("an impossible length")
        length = int.from_bytes(data[at : at + count], "big")
        at += count
    if at + length > end or tag & 0x1F == 0x1F:
        raise UnsoundError("cut off")
    return tag, at, at + length
