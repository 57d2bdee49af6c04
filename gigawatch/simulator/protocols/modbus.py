"""A Modbus TCP server, read only: one port, a unit id for each device (Modbus application protocol 1.1b3)."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import struct
from collections.abc import Callable
from dataclasses import dataclass

from gigawatch.simulator.protocols.values import Answer, Values

log = logging.getLogger(__name__)
_ILLEGAL_FUNCTION, _ILLEGAL_ADDRESS, _ILLEGAL_VALUE, _TARGET_SILENT = 1, 2, 3, 0x0B
_DISCRETE, _HOLDING, _INPUT = 2, 3, 4
_MOST_REGISTERS, _MOST_BITS = 125, 2000
_HEADER = struct.Struct(">HHHB")
_LONGEST = 254
_SECONDS_IDLE = 300.0
_MOST_CONNECTIONS = 512


@dataclass(frozen=True, slots=True)
class Registers:
    """What a device holds, by the address in the request; what is not there is an illegal address."""

    holding: dict[int, int]
    inputs: dict[int, int]
    discrete: dict[int, bool]


Map = Callable[[Values], Registers]


def words(number: int, size: int) -> list[int]:
    """An unsigned integer as registers, high word first."""
    return list(struct.unpack(f">{size}H", number.to_bytes(2 * size)))


def float_words(value: float | None) -> list[int]:
    """A float of 32 bits as registers, high word first; NaN where there is no value."""
    return list(struct.unpack(">HH", struct.pack(">f", float("nan") if value is None else value)))


class Gateway:
    """Answers requests for the units whose maps it is given."""

    def __init__(self, units: dict[int, tuple[str, Map]], answer: Answer) -> None:
        self.units, self._answer = units, answer
        self._held: dict[int, tuple[Values, Registers]] = {}
        self._open = 0

    def reply(self, unit: int, request: bytes) -> bytes:
        """The answer to a request; both without the header."""
        if not request:
            return b""
        function = request[0]
        if function not in (_DISCRETE, _HOLDING, _INPUT):
            return _refused(function, _ILLEGAL_FUNCTION)
        if len(request) != 5:
            return _refused(function, _ILLEGAL_VALUE)
        address, count = struct.unpack(">HH", request[1:])
        if not 1 <= count <= (_MOST_BITS if function == _DISCRETE else _MOST_REGISTERS):
            return _refused(function, _ILLEGAL_VALUE)
        held = self._registers(unit)
        if held is None:
            return _refused(function, _TARGET_SILENT)
        return _read(held, function, address, count)

    def _registers(self, unit: int) -> Registers | None:
        if unit not in self.units:
            return None
        name, registers = self.units[unit]
        values = self._answer(name)
        if values is None:
            return None
        known = self._held.get(unit)
        if known is None or known[0] is not values:
            known = self._held[unit] = (values, registers(values))
        return known[1]

    async def connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One client, until it leaves, falls silent or talks nonsense."""
        self._open += 1
        try:
            while self._open <= _MOST_CONNECTIONS:
                async with asyncio.timeout(_SECONDS_IDLE):
                    header = await reader.readexactly(_HEADER.size)
                    transaction, protocol, length, unit = _HEADER.unpack(header)
                    if protocol or not 2 <= length <= _LONGEST:
                        return  # the stream is lost: nobody can tell where the next message begins
                    request = await reader.readexactly(length - 1)
                    answer = self.reply(unit, request)
                    writer.write(_HEADER.pack(transaction, 0, len(answer) + 1, unit) + answer)
                    await writer.drain()
        except (OSError, TimeoutError, asyncio.IncompleteReadError) as error:
            log.debug("a client has left: %s", error)
        finally:
            self._open -= 1
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()


def _refused(function: int, why: int) -> bytes:
    return bytes((function | 0x80, why))


def _read(held: Registers, function: int, address: int, count: int) -> bytes:
    span = range(address, address + count)
    try:
        if function == _DISCRETE:
            bits = sum(held.discrete[place] << number for number, place in enumerate(span))
            data = bits.to_bytes((count + 7) // 8, "little")
        else:
            block = held.holding if function == _HOLDING else held.inputs
            data = struct.pack(f">{count}H", *(block[place] for place in span))
    except KeyError:
        return _refused(function, _ILLEGAL_ADDRESS)
    return bytes((function, len(data))) + data
