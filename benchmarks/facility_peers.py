"""Devices for `facility_polling.py`: each at an address of its own in 127.0.0.0/8, all in one process.

The second number of the address says how a device acts: 1 well, 2 not at all (a black hole), 3 slowly
(answers after 20 s), 4 with noise. The well ones of SNMP are net-snmp's snmpd, which the benchmark starts.
"""

from __future__ import annotations

import asyncio
import json
import os
import resource
import socket
import struct
from collections import Counter
from multiprocessing.connection import Connection
from typing import Any

WELL, SILENT, SLOW, NOISY = 1, 2, 3, 4
SLOW_SECONDS = 20.0
_REGISTER_PAIR = struct.pack(">f", 50.0)
_PDU = "/redfish/v1/PowerEquipment/RackPDUs/1"


def _reading(value: float) -> dict[str, float]:
    return {"Reading": value}


def _tree() -> dict[str, bytes]:
    """A rack PDU with 3 phases and 24 outlets, in DMTF's schemas."""
    lines = {f"Line{n}": _reading(11.0 + n) for n in (1, 2, 3)}
    outlets = [f"{_PDU}/Outlets/A{n}" for n in range(1, 25)]
    pages: dict[str, Any] = {
        "/redfish/v1/": {
            "RedfishVersion": "1.15.0", "PowerEquipment": {"@odata.id": "/redfish/v1/PowerEquipment"},
        },
        _PDU: {
            "@odata.type": "#PowerDistribution.v1_3_0.PowerDistribution", "Id": "1",
            "EquipmentType": "RackPDU",
            "Manufacturer": "Example", "Model": "P1", "SerialNumber": "1",
            "Metrics": {"@odata.id": f"{_PDU}/Metrics"}, "Mains": {"@odata.id": f"{_PDU}/Mains"},
        },
        f"{_PDU}/Metrics": {
            "@odata.type": "#PowerDistributionMetrics.v1_3_0.PowerDistributionMetrics", "Id": "Metrics",
            "PowerWatts": {"Reading": 8000, "ApparentVA": 8200, "PowerFactor": 0.97},
            "EnergykWh": _reading(125000.5), "TemperatureCelsius": _reading(24.5),
        },
        f"{_PDU}/Mains": {"Members": [{"@odata.id": f"{_PDU}/Mains/AC1"}]},
        f"{_PDU}/Mains/AC1": {
            "@odata.type": "#Circuit.v1_7_0.Circuit", "Id": "AC1", "CircuitType": "Mains",
            "PolyPhaseCurrentAmps": lines, "PowerWatts": {"Reading": 8000},
        },
        f"{_PDU}/Outlets": {"Members": [{"@odata.id": outlet} for outlet in outlets]},
    }  # fmt: skip
    return {path: json.dumps({"@odata.id": path, **page}).encode() for path, page in pages.items()}


class Peers:
    """What all servers of the process share."""

    def __init__(self) -> None:
        self.asked: Counter[str] = Counter()
        self.tree = _tree()


class _Line(asyncio.Protocol):
    """A connection over TCP to a device that acts as its address says."""

    def __init__(self, peers: Peers) -> None:
        self.peers, self.buffer = peers, b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.out = transport
        self.host: str = transport.get_extra_info("sockname")[0]

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        how = int(self.host.split(".")[1])
        if how == NOISY:
            self.out.write(os.urandom(300))
        elif how == SLOW:
            asyncio.get_running_loop().call_later(SLOW_SECONDS, self.answer)
        elif how == WELL:
            self.answer()

    def answer(self) -> None:
        raise NotImplementedError


class ModbusLine(_Line):
    def answer(self) -> None:
        while len(self.buffer) >= 12:
            request, self.buffer = self.buffer[:12], self.buffer[12:]
            number, _, _, unit, function, _, count = struct.unpack(">HHHBBHH", request)
            self.peers.asked[self.host] += 1
            body = (_REGISTER_PAIR * (count // 2 + 1))[: 2 * count]
            head = struct.pack(">HHHBBB", number, 0, 3 + len(body), unit, function, len(body))
            if not self.out.is_closing():
                self.out.write(head + body)


class RedfishLine(_Line):
    def answer(self) -> None:
        while b"\r\n\r\n" in self.buffer:
            head, _, self.buffer = self.buffer.partition(b"\r\n\r\n")
            path = head.split(b" ")[1].decode().partition("?")[0]
            self.peers.asked[self.host] += 1
            found = self.peers.tree.get(path) or self.peers.tree.get(path.rstrip("/"))
            body = found or b"{}"
            status = b"200 OK" if found else b"404 Not Found"
            if not self.out.is_closing():
                self.out.write(
                    b"HTTP/1.1 %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s"
                    % (status, len(body), body)
                )


class Silence(asyncio.DatagramProtocol):
    """An SNMP agent that does not answer."""

    def connection_made(self, transport: Any) -> None:
        self.out = transport


class Noise(Silence):
    def datagram_received(self, _: bytes, address: Any) -> None:
        self.out.sendto(os.urandom(120), address)


class Late(Silence):
    def datagram_received(self, data: bytes, address: Any) -> None:
        asyncio.get_running_loop().call_later(SLOW_SECONDS, self.out.sendto, data, address)


DATAGRAMS = {SILENT: Silence, SLOW: Late, NOISY: Noise}


def full_listener(host: str) -> tuple[int, list[socket.socket]]:
    """A port to which no connection is ever made: its queue is full. Keep the sockets."""
    listener = socket.socket()
    listener.bind((host, 0))
    listener.listen(0)
    place = listener.getsockname()
    kept = [listener]
    for _ in range(3):
        one = socket.socket()
        one.setblocking(False)
        one.connect_ex(place)
        kept.append(one)
    return int(place[1]), kept


def serve(pipe: Connection, datagrams: dict[str, int], holes: list[str], core: int) -> None:
    """The process: tells its ports, then the number of questions by address whenever it is asked.

    `datagrams` are addresses of SNMP agents that do not act well, and how they act; `holes` those of devices
    over TCP that are not there."""
    if core >= 0:
        os.sched_setaffinity(0, {core})
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    peers = Peers()

    def counted() -> None:
        pipe.recv()
        pipe.send(peers.asked)
        peers.asked = Counter()

    async def run() -> None:
        loop = asyncio.get_running_loop()
        modbus = await loop.create_server(lambda: ModbusLine(peers), "0.0.0.0", 0, backlog=4096)  # noqa: S104 - all of 127.0.0.0/8
        redfish = await loop.create_server(lambda: RedfishLine(peers), "0.0.0.0", 0, backlog=4096)  # noqa: S104 - the same
        ports = {}
        for host, how in datagrams.items():
            transport, _ = await loop.create_datagram_endpoint(DATAGRAMS[how], local_addr=(host, 0))
            ports[host] = transport.get_extra_info("sockname")[1]
        full = {host: full_listener(host) for host in holes}
        loop.add_reader(pipe.fileno(), counted)
        ports |= {host: port for host, (port, _) in full.items()}
        pipe.send((modbus.sockets[0].getsockname()[1], redfish.sockets[0].getsockname()[1], ports))
        await asyncio.Event().wait()

    asyncio.run(run())
