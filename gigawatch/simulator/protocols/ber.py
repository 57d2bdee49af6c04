"""The little of ASN.1's basic encoding rules that SNMP version 2c needs (X.690, RFC 3416)."""

from __future__ import annotations

Oid = tuple[int, ...]

INTEGER, OCTETS, NULL, OID, SEQUENCE = 0x02, 0x04, 0x05, 0x06, 0x30
COUNTER32, GAUGE32, TICKS, COUNTER64 = 0x41, 0x42, 0x43, 0x46
NO_SUCH_OBJECT, NO_SUCH_INSTANCE, END_OF_VIEW = b"\x80\x00", b"\x81\x00", b"\x82\x00"
_LONGEST_OID = 128
_LARGEST_ARC = 2**32 - 1


class BadMessageError(ValueError):
    """Bytes that are no message of ours."""


def split(data: bytes, at: int = 0) -> tuple[int, bytes, int]:
    """Tag, content and end of the element that begins at `at`. Raises BadMessageError."""
    if len(data) < at + 2:
        raise BadMessageError("cut off")
    tag, length = data[at], data[at + 1]
    at += 2
    if length & 0x80:
        count = length & 0x7F
        if not 1 <= count <= 4 or len(data) < at + count:
            raise BadMessageError("a length of no sense")
        length = int.from_bytes(data[at : at + count])
        at += count
    if len(data) < at + length:
        raise BadMessageError("cut off")
    return tag, data[at : at + length], at + length


def expect(tag: int, data: bytes, at: int = 0) -> tuple[bytes, int]:
    """Content and end of the element, which must be of that kind. Raises BadMessageError."""
    found, content, end = split(data, at)
    if found != tag:
        raise BadMessageError(f"tag {found:#x} where {tag:#x} belongs")
    return content, end


def integer_of(content: bytes) -> int:
    if not 1 <= len(content) <= 9:
        raise BadMessageError("an integer of no sense")
    return int.from_bytes(content, signed=True)


def oid_of(content: bytes) -> Oid:
    if not content or content[-1] & 0x80:
        raise BadMessageError("an object identifier of no sense")
    arcs: list[int] = []
    arc = 0
    for byte in content:
        arc = arc << 7 | byte & 0x7F
        if arc > _LARGEST_ARC:
            raise BadMessageError("an object identifier of no sense")
        if not byte & 0x80:
            arcs.append(arc)
            arc = 0
    first = min(arcs[0] // 40, 2)
    found = (first, arcs[0] - 40 * first, *arcs[1:])
    if len(found) > _LONGEST_OID:
        raise BadMessageError("an object identifier of no sense")
    return found


def wrap(tag: int, content: bytes) -> bytes:
    """An element."""
    length = len(content)
    if length < 0x80:
        return bytes((tag, length)) + content
    size = (length.bit_length() + 7) // 8
    return bytes((tag, 0x80 | size)) + length.to_bytes(size) + content


def integer(value: int, tag: int = INTEGER) -> bytes:
    """An integer, or one of the unsigned kinds (which keep a leading zero as well)."""
    return wrap(tag, value.to_bytes(value.bit_length() // 8 + 1, signed=True))


def octets(text: str) -> bytes:
    return wrap(OCTETS, text.encode())


def oid(value: Oid) -> bytes:
    content = bytearray()
    for arc in (value[0] * 40 + value[1], *value[2:]):
        groups = [arc & 0x7F]
        while arc := arc >> 7:
            groups.append(arc & 0x7F | 0x80)
        content += bytes(reversed(groups))
    return wrap(OID, bytes(content))
