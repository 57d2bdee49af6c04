"""Devices that speak lines over TCP, and the driver for them: what the poller is tested with.

Not a stand-in for a protocol: the poller's contract is a driver, whatever it speaks, and this is the smallest
driver that really opens connections, keeps them and loses them.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from exporters.facility.driver import Driver, Polled, PollError, Reason, Wiring
from gigawatch.catalogue import facility
from gigawatch.readings import Reading
from gigawatch.topology import Device, Endpoint, Inventory, Role, blueprint


@dataclass
class LineDevices:
    """A server for many devices: a client names the one it means. `behaviour` says how each acts; what is not
    there answers well."""

    behaviour: dict[str, str] = field(default_factory=dict)
    password: dict[str, str] = field(default_factory=dict)
    watts: dict[str, str] = field(default_factory=dict)
    asked: Counter[str] = field(default_factory=Counter)
    connections: Counter[str] = field(default_factory=Counter)
    most_at_once: Counter[str] = field(default_factory=Counter)
    times: dict[str, list[float]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._at_once: Counter[str] = Counter()
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
        self.address = f"127.0.0.1:{self._listener.getsockname()[1]}"
        self._over = asyncio.Event()
        self._thread = threading.Thread(
            target=self._loop.run_until_complete, args=(self._run(),), daemon=True
        )
        self._thread.start()

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._over.set)
        self._thread.join(5)
        self._listener.close()

    async def _run(self) -> None:
        server = await asyncio.start_server(self._serve, sock=self._listener)
        await self._over.wait()
        server.close()
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            task.cancel()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.CancelledError):
            first = True
            while line := await reader.readline():
                name, _, password = line.decode().strip().partition(" ")
                self.connections[name] += first
                first = False
                self._at_once[name] += 1
                self.most_at_once[name] = max(self.most_at_once[name], self._at_once[name])
                try:
                    await self._answer(name, password, reader, writer)
                finally:
                    self._at_once[name] -= 1
        with contextlib.suppress(OSError):
            writer.close()

    async def _answer(
        self, name: str, password: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self.asked[name] += 1
        self.times.setdefault(name, []).append(time.monotonic())
        how = self.behaviour.get(name, "")
        if how == "hang":
            await reader.read()  # until the client has had enough
            return
        if how.startswith("slow"):
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(reader.read(), float(how.removeprefix("slow ")))
                return
        if how == "drop":
            writer.transport.abort()
            return
        if how == "rubbish":
            writer.write(b"\x00\xff not a number \n")
        elif self.password.get(name, "") not in ("", password):
            writer.write(b"who are you\n")
        else:
            writer.write(f"{self.watts.get(name, '100')}\n".encode())
        await writer.drain()


class LineDriver:
    """Asks one of them, named by the endpoint's path, for its power."""

    def __init__(self, wiring: Wiring) -> None:
        self.wiring = wiring
        self._link: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def poll(self) -> Polled:
        link, self._link = self._link, None
        if link is None:
            host, _, port = self.wiring.endpoint.address.removeprefix("http://").rpartition(":")
            link = await asyncio.open_connection(host, int(port))
        reader, writer = link
        name = self.wiring.endpoint.path.rpartition("/")[2]
        try:
            writer.write(f"{name} {self.wiring.secret().password}\n".encode())
            answer = await reader.readline()
        except BaseException:
            writer.transport.abort()
            raise
        if not answer:
            writer.transport.abort()
            raise ConnectionResetError
        self._link = link
        if answer == b"who are you\n":
            raise PollError(Reason.AUTH, "does not let us in")
        try:
            words = answer.decode().split()
            values = [float(word) for word in words]
        except ValueError:
            raise PollError(Reason.MALFORMED, "is no number") from None
        metric, side = facility.POWER_ACTIVE, self.wiring.device.side
        readings = [Reading(metric, (side, "inlet", f"L{n}"), value) for n, value in enumerate(values, 1)]
        return Polled(readings, identity=("line", "Acme", "", "", ""))

    async def close(self) -> None:
        if self._link is not None:
            self._link[1].transport.abort()
            self._link = None


def makers(*special: tuple[str, Callable[[Wiring], Driver]]) -> Callable[[str], Callable[[Wiring], Driver]]:
    """The line driver for all protocols, but those that have another."""
    others = dict(special)
    return lambda protocol: others.get(protocol, LineDriver)


def device(name: str, *endpoints: Endpoint, role: Role = Role.RACK_PDU, side: str = "A") -> Device:
    """A device in no particular place."""
    return Device(name, role, "h", "", side, "", "", 0.0, 0.0, 230.0, 3, "", "", endpoints=endpoints)


def site(*devices: Device) -> Inventory:
    """A site with these devices and no others."""
    return replace(blueprint("starter"), devices=devices)
