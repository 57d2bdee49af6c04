"""Real servers for Modbus tests: pymodbus', and one that answers with whatever bytes a test wants."""

from __future__ import annotations

import asyncio
import struct
import threading
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any

from pymodbus.constants import ExcCodes
from pymodbus.server import ModbusTcpServer
from pymodbus.simulator import DataType, SimData, SimDevice

_SIZE, _BITS = 3300, 64


@dataclass
class Unit:
    """What one device has. Tests change it as they like, also while it is served."""

    holding: dict[int, int] = field(default_factory=dict)
    input: dict[int, int] = field(default_factory=dict)
    discrete: dict[int, int] = field(default_factory=dict)
    coils: dict[int, int] = field(default_factory=dict)
    illegal: set[tuple[int, int]] = field(default_factory=set)
    """Function code and address of what it does not have (of bits: sixteens)."""
    refuses: ExcCodes | None = None
    """What it answers to everything."""
    asked: list[tuple[int, int, int]] = field(default_factory=list)
    """Function code, address and count of each request."""

    def put(self, function: int, address: int, registers: list[int]) -> None:
        """Registers, from an address on."""
        table = self.holding if function == 3 else self.input
        table.update(enumerate(registers, address))

    def only(self, **tables: dict[int, int]) -> None:
        """Nothing but these: `holding`, `input`, `discrete`, `coils`. All else is refused."""
        for name, function in (("coils", 1), ("discrete", 2), ("holding", 3), ("input", 4)):
            setattr(self, name, tables[name])
            there = {at // 16 if function < 3 else at for at in tables[name]}
            self.illegal |= {
                (function, at) for at in range(_SIZE if function > 2 else _BITS // 16) if at not in there
            }
            self.illegal -= {(function, at) for at in there}

    async def action(
        self, function: int, start: int, address: int, count: int, registers: list[int], _values: Any
    ) -> ExcCodes | None:
        """What pymodbus calls before it answers."""
        self.asked.append((function, address, count))
        if self.refuses is not None:
            return self.refuses
        if function in (1, 2):
            address //= 16  # pymodbus gives a bit's address, and the count in registers
        if any((function, at) in self.illegal for at in range(address, address + count)):
            return ExcCodes.ILLEGAL_ADDRESS
        if function in (1, 2):
            bits = self.coils if function == 1 else self.discrete
            for at in range(len(registers)):
                registers[at] = sum((bits.get((start + at) * 16 + bit, 0) & 1) << bit for bit in range(16))
        else:
            table = self.holding if function == 3 else self.input
            for at in range(len(registers)):
                registers[at] = table.get(start + at, 0)
        return None


class Peer:
    """A server on a loop and a thread of its own."""

    def __init__(self) -> None:
        self.port = 0
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def run(self, work: Coroutine[Any, Any, Any]) -> Any:
        """Something on its loop."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(30)

    def stop(self) -> None:
        """Close and join."""
        self.run(self.leave())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(30)
        self._loop.close()

    async def leave(self) -> None:
        """Close what is open."""


class ModbusPeer(Peer):
    """pymodbus' server with the units given."""

    def __init__(self, units: dict[int, Unit]) -> None:
        super().__init__()
        self.units = units
        self.connections = 0
        """How often somebody connected."""
        self.run(self._start())

    async def _start(self) -> None:
        words = [SimData(0, count=_SIZE, values=0, datatype=DataType.REGISTERS)]
        flags = [SimData(0, count=_BITS, values=False, datatype=DataType.BITS)]
        devices = [
            SimDevice(number, simdata=(flags, flags, words, words), action=unit.action)
            for number, unit in self.units.items()
        ]
        self._server = ModbusTcpServer(devices, address=("127.0.0.1", 0), trace_connect=self._connected)
        await self._server.serve_forever(background=True)
        self.port = self._server.transport.sockets[0].getsockname()[1]

    def _connected(self, connected: bool) -> None:
        self.connections += connected

    def hang_up(self) -> None:
        """Close all connections, as a device does with idle ones."""

        async def close() -> None:
            for handler in list(self._server.active_connections.values()):
                handler.transport.close()

        self.run(close())

    async def leave(self) -> None:
        await self._server.shutdown()


class RawPeer(Peer):
    """Answers each request with what `answer` makes of it; nothing where that is None; b"" hangs up."""

    def __init__(self) -> None:
        super().__init__()
        self.answer: Callable[[bytes], bytes | None] = lambda _request: None
        self.run(self._start())

    async def _start(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while request := await reader.read(4096):
                answer = self.answer(request)
                if answer is None:
                    continue
                if not answer:
                    break
                writer.write(answer)
        except (ConnectionError, asyncio.CancelledError):
            pass
        finally:
            writer.close()

    async def leave(self) -> None:
        self._server.close()


def floats(*values: float) -> list[int]:
    """Registers of 32-bit floats, high word first."""
    return [word for value in values for word in struct.unpack(">2H", struct.pack(">f", value))]


def words(value: int, count: int) -> list[int]:
    """Registers of a whole number, high word first."""
    return [value >> 16 * at & 0xFFFF for at in reversed(range(count))]
