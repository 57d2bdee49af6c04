"""The simulated plant as parts of a stack: the plant, its devices, and the bus of its building."""

from __future__ import annotations

import socket
import sys
from pathlib import Path

from gigawatch.errors import UserError
from gigawatch.local.plan import Layout

DEVICES, BROKER, SNMP, MODBUS = "plant-devices", "broker", "snmp", "modbus"
"""Names of parts, and of further ports of the devices' part."""


def endpoints_file(layout: Layout) -> Path:
    """Where the plant's devices say how they are asked."""
    return layout.plant / "endpoints.json"


def plant_commands(
    inventory: Path, seed: int, mosquitto: str, layout: Layout, ports: dict[str, int]
) -> dict[str, list[str]]:
    """Commands of the plant, of its devices and, where there is one, of the broker."""
    gigawatch = [sys.executable, "-m", "gigawatch.cli"]
    site = ["--inventory", str(inventory), "--state", str(layout.plant)]

    def at(part: str) -> str:
        return f"127.0.0.1:{ports[part]}"

    plant = [*gigawatch, "plant", *site, "--seed", str(seed), "--listen", at("plant")]
    devices = [
        *gigawatch, DEVICES, *site, "--endpoints", str(endpoints_file(layout)),
        "--listen", at(DEVICES), "--snmp", at(SNMP), "--modbus", at(MODBUS),
    ]  # fmt: skip
    if BROKER not in ports:
        return {"plant": plant, DEVICES: devices}
    broker = [mosquitto, "-c", str(layout.etc / "mosquitto.conf")]
    return {"plant": plant, DEVICES: [*devices, "--mqtt", at(BROKER)], BROKER: broker}


def broker_configuration(port: int) -> str:
    """mosquitto.conf: this machine only, nothing kept on disk, room for a bus that repeats itself."""
    return f"""\
# Written by `gigawatch up`; the next start writes it again.
listener {port} 127.0.0.1
allow_anonymous true
persistence false
max_queued_messages 10000
log_dest stderr
log_type error
log_type warning
"""


def free_datagram_port(preferred: int, host: str = "127.0.0.1", span: int = 200) -> int:
    """The preferred UDP port, or the next one that is free."""
    for port in range(preferred, preferred + span):
        with socket.socket(type=socket.SOCK_DGRAM) as probe:
            try:
                probe.bind((host, port))
            except OSError:
                continue
            return port
    raise UserError(f"no free UDP port from {preferred} to {preferred + span - 1} on {host}")
