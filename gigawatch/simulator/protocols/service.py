"""All servers of the plant's devices: a loop for SNMP, Modbus and MQTT, threads for Redfish."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from gigawatch.errors import UserError
from gigawatch.serving import App, Running, parse_listen, serve
from gigawatch.simulator.protocols import endpoints
from gigawatch.simulator.protocols.endpoints import Addresses, Wiring
from gigawatch.simulator.protocols.modbus import Gateway
from gigawatch.simulator.protocols.mqtt import REPEAT, Publisher
from gigawatch.simulator.protocols.redfish import Service
from gigawatch.simulator.protocols.snmp import Agent, Datagrams
from gigawatch.simulator.protocols.values import SAMPLE, Devices
from gigawatch.simulator.view import PlantView
from gigawatch.topology import Inventory

_STEP = 1.0
_PATIENCE = 20.0


@dataclass(frozen=True, slots=True)
class Listen:
    """HOST:PORT of each server; port 0 takes one that is free."""

    http: str = "127.0.0.1:9621"
    """Redfish, and the health of this process."""
    snmp: str = "127.0.0.1:9622"
    modbus: str = "127.0.0.1:9623"
    broker: str = ""
    """The broker of the building management's bus; empty: there is none."""
    repeat: float = REPEAT
    """Seconds after which the bus is told everything again."""
    sample: float = SAMPLE
    """Seconds for which a device stands by what it said."""


@dataclass(frozen=True, slots=True)
class Served:
    """Servers at work."""

    addresses: Addresses
    devices: Devices


@asynccontextmanager
async def serving(inventory: Inventory, view: PlantView, listen: Listen, file: Path) -> AsyncIterator[Served]:
    """Serve all devices, and write down where, for as long as the context lasts. Raises UserError."""
    devices = Devices(view, {device.name: device.side for device in inventory.devices}, listen.sample)
    await _plant(devices)
    async with AsyncExitStack() as stack:
        agent, gateway = Agent({}, devices), Gateway({}, devices)
        app = App(ready=lambda: devices.alive)
        running = serve(app, listen.http)
        stack.callback(running.close)
        snmp = await _datagrams(stack, agent, listen.snmp)
        modbus = await _streams(stack, gateway, listen.modbus)
        bus = f"mqtt://{listen.broker}" if listen.broker else ""
        addresses = Addresses(snmp, modbus, _own_url(running), bus)
        wiring = endpoints.wire(inventory, addresses)
        agent.mibs.update(wiring.mibs)
        gateway.units.update(wiring.units)
        Service(wiring.builders, devices).attach(app)
        endpoints.write(file, wiring.endpoints)
        tasks = [asyncio.create_task(_follow(devices)), *_publishing(wiring, devices, listen)]
        for task in tasks:
            stack.push_async_callback(_end, task)
        yield Served(addresses, devices)


def _publishing(wiring: Wiring, devices: Devices, listen: Listen) -> list[asyncio.Task[None]]:
    if not listen.broker or not wiring.points:
        return []
    host, port = parse_listen(listen.broker)
    publisher = Publisher(wiring.points, devices, host, port, listen.repeat)
    return [asyncio.create_task(publisher.run())]


def _own_url(running: Running) -> str:
    return running.url.replace("0.0.0.0", "127.0.0.1")  # noqa: S104 - where it is reached, not what is bound


async def _plant(devices: Devices) -> None:
    """Wait for the plant, which is started together with us, so that no device begins by failing."""
    deadline = asyncio.get_running_loop().time() + _PATIENCE
    while not devices.refresh() and asyncio.get_running_loop().time() < deadline:
        await asyncio.sleep(0.2)


async def _follow(devices: Devices) -> None:
    """Move on with the plant."""
    while True:
        devices.refresh()
        await asyncio.sleep(_STEP)


async def _end(task: asyncio.Task[None]) -> None:
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


async def _datagrams(stack: AsyncExitStack, agent: Agent, listen: str) -> str:
    host, port = parse_listen(listen)
    loop = asyncio.get_running_loop()
    try:
        transport, _ = await loop.create_datagram_endpoint(
            lambda: Datagrams(agent),
            local_addr=(host or "0.0.0.0", port),  # noqa: S104 - as asked
        )
    except OSError as error:
        raise _taken(listen, error, "--snmp") from None
    stack.callback(transport.close)
    return _address(transport.get_extra_info("sockname"))


async def _streams(stack: AsyncExitStack, gateway: Gateway, listen: str) -> str:
    host, port = parse_listen(listen)
    try:
        server = await asyncio.start_server(gateway.connected, host or "0.0.0.0", port)  # noqa: S104 - as asked
    except OSError as error:
        raise _taken(listen, error, "--modbus") from None
    stack.callback(server.close)
    return _address(server.sockets[0].getsockname())


def _address(bound: tuple[str, int]) -> str:
    host, port = bound[:2]
    return f"{'127.0.0.1' if host == '0.0.0.0' else host}:{port}"  # noqa: S104 - compared, not bound


def _taken(listen: str, error: OSError, option: str) -> UserError:
    why = error.strerror or error
    return UserError(f"cannot listen on {listen}: {why}; choose another address with {option}")


async def run(inventory: Inventory, view: PlantView, listen: Listen, file: Path) -> None:
    """Serve until SIGTERM or SIGINT."""
    over = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, over.set)
    async with serving(inventory, view, listen, file):
        await over.wait()


def run_devices(inventory: Inventory, state: Path, listen: Listen, file: Path) -> None:
    """The devices of the plant that publishes in `state`, until told to end. Raises UserError."""
    from gigawatch.simulator.view import AttachedView

    asyncio.run(run(inventory, AttachedView(inventory, state, time.time), listen, file))
