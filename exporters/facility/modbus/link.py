"""One connection to a Modbus device or gateway, shared by all units behind it, one request in flight.

The only file that knows pymodbus, whose names change with every minor version.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from pymodbus.client import AsyncModbusTcpClient
from pymodbus.exceptions import ModbusException

from exporters.facility.driver import PollError, Reason
from exporters.facility.modbus.profile import BIT_FUNCTIONS, COILS, DISCRETE, HOLDING

_READ_BUFFER = 1 << 16
"""pymodbus forgets what is longer than its buffer, and then waits: rubbish has to be seen."""
_HEADER = 6
_EXCEPTIONS = {
    1: "illegal function",
    2: "illegal data address",
    3: "illegal data value",
    4: "device failure",
    5: "acknowledge",
    6: "device busy",
    8: "memory parity error",
    10: "gateway path unavailable",
    11: "the device behind the gateway does not answer",
}
GATEWAY = (10, 11)
"""The device itself was not reached: nothing else need be asked of it."""


class ExceptionAnswer(Exception):  # noqa: N818 - Modbus calls it an exception
    """The device refuses a request."""

    def __init__(self, code: int) -> None:
        super().__init__(f"exception {code} ({_EXCEPTIONS.get(code, 'unknown')})")
        self.code = code


class _Lost(Exception):  # noqa: N818 - never leaves this file
    """The connection was closed before an answer began."""


class Link:
    """A connection that is opened when it is wanted, and opened again when it broke."""

    def __init__(self, host: str, port: int) -> None:
        self.host, self.port = host, port
        self.users = 0
        self.pause = 0.0
        """The longest that one of its devices wants between requests."""
        self._lock = asyncio.Lock()
        self._client: AsyncModbusTcpClient | None = None
        self._broken: asyncio.Future[None] | None = None
        self._expected: tuple[int, int, int] = (0, 0, 0)
        self._last = 0.0
        self._failure: OSError | None = None

    async def read(self, unit: int, function: int, address: int, count: int, timeout: float) -> Sequence[int]:
        """Registers, or bits as 0 and 1. Raises ExceptionAnswer, PollError or OSError.

        The timeout counts from when it is this request's turn.
        """
        async with self._lock:
            try:
                async with asyncio.timeout(timeout):
                    return await self._ask(unit, function, address, count)
            except TimeoutError:
                self._drop()
                raise PollError(Reason.TIMEOUT, f"no answer within {timeout:g} s") from None
            except ExceptionAnswer:
                raise
            except BaseException:  # cancelled as well: a late answer must not meet the next request
                self._drop()
                raise
            finally:
                self._last = time.monotonic()

    async def close(self) -> None:
        """Leave. Nothing of it goes on in the background."""
        self._drop()
        await asyncio.sleep(0)

    async def _ask(self, unit: int, function: int, address: int, count: int) -> Sequence[int]:
        fresh = await self._open()
        if (wait := self._last + self.pause - time.monotonic()) > 0:
            await asyncio.sleep(wait)
        try:
            return await self._request(unit, function, address, count)
        except _Lost:
            self._drop()
            if fresh:
                raise PollError(Reason.MALFORMED, "closed the connection instead of answering") from None
        # It was closed while idle, as devices do to make room: that is no failure.
        await self._open()
        try:
            return await self._request(unit, function, address, count)
        except _Lost:
            raise PollError(Reason.MALFORMED, "closed the connection instead of answering") from None

    async def _open(self) -> bool:
        """Whether it had to be opened."""
        if self._client is not None and self._client.connected:
            return False
        self._drop()
        client = AsyncModbusTcpClient(
            self.host,
            port=self.port,
            reconnect_delay=0,  # connecting again is decided here, not in a task behind our back
            retries=0,
            timeout=3600,  # ours runs out long before
            trace_packet=self._packet,
            trace_connect=self._connection,
        )
        client.ctx.max_buffer_size = _READ_BUFFER
        client.ctx.call_create = _remembering(client.ctx.call_create, self)
        self._client, self._failure = client, None
        if not await client.connect():
            raise _unreachable(self._failure)
        return True

    def _drop(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            transport = client.ctx.transport
            client.close()
            with suppress(AttributeError):
                transport.abort()  # type: ignore[attr-defined]  # None, or a socket's: frees it now

    async def _request(self, unit: int, function: int, address: int, count: int) -> Sequence[int]:
        client = self._client
        if client is None:  # pragma: no cover - opened by the caller
            raise _Lost
        ask = {
            COILS: client.read_coils,
            DISCRETE: client.read_discrete_inputs,
            HOLDING: client.read_holding_registers,
        }.get(function, client.read_input_registers)
        self._broken = asyncio.get_running_loop().create_future()
        self._expected = (unit, function, count)
        request = asyncio.ensure_future(_run(ask(address, count=count, device_id=unit)))
        try:
            await asyncio.wait((request, self._broken), return_when=asyncio.FIRST_COMPLETED)
            if self._broken.done():
                self._broken.result()
            response = request.result()
        except ModbusException as error:
            raise PollError(Reason.MALFORMED, f"answer cannot be understood ({_line(error)})") from None
        finally:
            if not request.done():
                request.cancel()
                await asyncio.wait((request,))  # at once: it only waits itself
            if self._broken.done():
                self._broken.exception()
            self._broken.cancel()
            self._broken = None
        if response.isError():
            raise ExceptionAnswer(response.exception_code)
        answer = [int(bit) for bit in response.bits] if function in BIT_FUNCTIONS else response.registers
        if len(answer) < count:
            raise PollError(Reason.MALFORMED, f"{len(answer)} values instead of {count}")
        return answer[:count]

    def _connection(self, connected: bool) -> None:
        if not connected:
            self._fail(_Lost())

    def _packet(self, sending: bool, data: bytes) -> bytes:
        """Look at what arrives before pymodbus does: what it cannot decode, it waits out in silence."""
        client = self._client
        if sending or client is None:
            return data
        problem = fault_of(data, *self._expected)
        number = int.from_bytes(data[:2], "big") if len(data) >= _HEADER else 0
        if not problem and number and number != client.ctx.request_transaction_id:
            problem = "answers another request"
        if problem:
            self._fail(PollError(Reason.MALFORMED, problem))
            return b""
        return data

    def _fail(self, error: Exception) -> None:
        if self._broken is not None and not self._broken.done():
            self._broken.set_exception(error)


def fault_of(data: bytes, unit: int, function: int, count: int) -> str:
    """What is wrong with an answer, as far as it has arrived; empty if nothing is."""
    if len(data) >= _HEADER:
        protocol, length = int.from_bytes(data[2:4], "big"), int.from_bytes(data[4:6], "big")
        if protocol:
            return f"is no Modbus (protocol {protocol} instead of 0)"
        if not 3 <= length <= 254:
            return f"frame of {length} bytes (3 to 254 are possible)"
        if len(data) >= _HEADER + 2:
            if data[6] != unit:
                return f"unit {data[6]} answers instead of {unit}"
            if data[7] & 0x7F != function:
                return f"answers function {data[7] & 0x7F} instead of {function}"
            wanted = (
                3 if data[7] & 0x80 else 3 + ((count + 7) // 8 if function in BIT_FUNCTIONS else 2 * count)
            )
            if length != wanted:
                return f"frame of {length} bytes instead of {wanted}"
            if len(data) >= _HEADER + 3 and not data[7] & 0x80 and data[8] != wanted - 3:
                return f"says {data[8]} bytes of data instead of {wanted - 3}"
            if len(data) > _HEADER + length:
                return f"{len(data) - _HEADER - length} bytes after the answer"
    return ""


async def _run(request: Any) -> Any:
    return await request


def _remembering(create: Any, link: Link) -> Any:
    """pymodbus tells only that it could not connect; the reason is kept for whoever asks."""

    async def connect() -> Any:
        try:
            return await create()
        except OSError as error:
            link._failure = error  # noqa: SLF001 - its own
            raise

    return connect


def _unreachable(error: OSError | None) -> PollError:
    if error is None:
        return PollError(Reason.TIMEOUT, "no connection in time")
    if isinstance(error, ConnectionRefusedError):
        return PollError(Reason.REFUSED, "nothing listens there")
    if isinstance(error, socket.gaierror):
        return PollError(Reason.UNREACHABLE, f"name does not resolve ({error.strerror})")
    if isinstance(error, TimeoutError):
        return PollError(Reason.TIMEOUT, "no connection in time")
    return PollError(Reason.UNREACHABLE, f"no connection ({error.strerror or _line(error)})")


def _line(error: BaseException) -> str:
    return " ".join(str(error).split())[:200]


def quiet() -> None:
    """pymodbus logs every failure, which are ours to count and to tell once."""
    logging.getLogger("pymodbus").setLevel(logging.CRITICAL)
