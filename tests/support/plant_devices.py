"""Devices of a simulated plant on their protocols, around a plant that stands still between steps."""

from __future__ import annotations

import asyncio
import json
import shutil
import socket
import subprocess
import threading
import time
from pathlib import Path
from typing import Any

from gigawatch.readings import Reading
from gigawatch.simulator import snapshot
from gigawatch.simulator.faults import FAULTS, Fault, resolve
from gigawatch.simulator.plant import Plant
from gigawatch.simulator.protocols.endpoints import Addresses
from gigawatch.simulator.protocols.service import Listen, Served, serving
from gigawatch.simulator.view import AttachedView, Emitter
from gigawatch.topology import Inventory

_PATIENCE = 20.0


class Broker:
    """A mosquitto of its own."""

    def __init__(self, folder: Path) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = int(probe.getsockname()[1])
        program = shutil.which("mosquitto") or "/usr/sbin/mosquitto"
        settings = folder / "mosquitto.conf"
        settings.write_text(f"listener {self.port} 127.0.0.1\nallow_anonymous true\npersistence false\n")
        self._process = subprocess.Popen([program, "-c", str(settings)], stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + _PATIENCE
        while time.monotonic() < deadline:
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                return
            except OSError:
                time.sleep(0.02)
        raise AssertionError("mosquitto does not listen")

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def stop(self) -> None:
        self._process.terminate()
        self._process.wait(10)


class PlantDevices:
    """The servers, in a thread with a loop of its own."""

    def __init__(self, inventory: Inventory, state: Path, broker: str = "") -> None:
        self.inventory, self.state = inventory, state
        self.file = state / "endpoints.json"
        self.plant = Plant(inventory, 1, time.time())
        self._emitter = Emitter(self.plant.layout)
        self._began, self._over = threading.Event(), asyncio.Event()
        self._loop = asyncio.new_event_loop()
        self._served: Served
        self._put()
        listen = Listen("127.0.0.1:0", "127.0.0.1:0", "127.0.0.1:0", broker, repeat=1.0, sample=0.0)
        self._thread = threading.Thread(target=self._loop.run_until_complete, args=[self._serve(listen)])
        self._thread.start()
        assert self._began.wait(_PATIENCE), "the servers do not listen"

    @property
    def addresses(self) -> Addresses:
        return self._served.addresses

    async def _serve(self, listen: Listen) -> None:
        # What the plant says is never too old here: it moves on when a test wants it to.
        view = AttachedView(self.inventory, self.state, time.time, oldest=1e9)
        async with serving(self.inventory, view, listen, self.file) as self._served:
            self._began.set()
            await self._over.wait()

    @property
    def endpoints(self) -> dict[str, list[dict[str, Any]]]:
        return dict(json.loads(self.file.read_text()))

    def publish(self) -> None:
        """Let everybody see the plant as it is now."""
        self._put()
        assert self._served.devices.refresh()

    def _put(self) -> None:
        snapshot.publish(self.state, self.plant, time.time())
        self._emitter.refresh(self.plant.state)

    def strike(self, kind: str, targets: str | tuple[str, ...], seconds: float) -> None:
        """A fault from now on, and the plant `seconds` later; without it again by `mend`."""
        what, now = FAULTS[kind], self.plant.time
        names = (targets,) if isinstance(targets, str) else targets
        found = [resolve(what, name, self.inventory) for name in names]
        self.plant.set_faults(Fault(kind, one, now, now + 1e6, what.ramp, what.severity) for one in found)
        self.plant.advance(seconds, longest=1.0)
        self.publish()

    def mend(self) -> None:
        self.plant.set_faults([])
        self.plant.advance(120)
        self.publish()

    def says(self, device: str) -> list[Reading]:
        """What the plant says directly."""
        return self._emitter.device(device)

    def stop(self) -> None:
        self._loop.call_soon_threadsafe(self._over.set)
        self._thread.join(_PATIENCE)
        assert not self._thread.is_alive()
        self._loop.close()
