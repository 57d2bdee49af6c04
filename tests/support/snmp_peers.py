"""Real SNMP agents for the tests: snmpsim, net-snmp's snmpd, and one that says what it is told."""

from __future__ import annotations

import asyncio
import atexit
import bz2
import contextlib
import functools
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any, TypeVar

import pytest

from exporters.facility.driver import Polled, Secret, Wiring
from exporters.facility.snmp import make
from gigawatch.topology import Device, Economics, Endpoint, Inventory, Role

OURS = Path(__file__).parents[1] / "exporters" / "snmp"
"""Recordings written from the makers' documents; its README says which."""
FROM_SNMPSIM = (
    "apc-8641",
    "apc-8932",
    "apc-7902b",
    "eaton-93e-80",
    "vertiv-power",
    "huawei-gse200m",
    "phoenixtec-power",
)
"""Recordings of real devices that come with snmpsim-data (BSD-2)."""
_PARTS = tuple(
    f"1.3.6.1.{part}.".encode() for part in ("2.1.1", "2.1.33", "4.1.318.1.1.26", "4.1.476.1.42", "4.1.705.1")
)
"""What is kept of them: snmpsim makes an index of each line when it starts."""
V3 = Secret(
    username="u1",
    password="authpass123",
    auth_protocol="sha",
    privacy_protocol="aes128",
    privacy_password="privpass123",
    version="3",
)
T = TypeVar("T")
_SHARED: dict[str, object] = {}
"""The profiles, read once for all tests that use no folder of their own."""


def wiring(address: str, secret: Secret | None = None, side: str = "A", **how: Any) -> Wiring:
    """What the poller gives a driver for a PDU on side A."""
    endpoint = {name: how.pop(name) for name in ("profile", "context") if name in how}
    device = Device("pdu-a", Role.RACK_PDU, "h1", "r1", side, "", "", 0.0, 0.0, 230.0, 3, "", "")
    economics = Economics({}, {}, {}, 0, 0, 0, 0, 0)
    shared = {} if "options" in how else _SHARED
    found = {"deadline": 5.0, "interval": 10.0, "clock": time.time, "shared": shared, **how}
    return Wiring(
        device,
        Endpoint("snmp", address, **endpoint),
        Inventory("s1", (), (), (device,), (), economics),
        lambda: secret or Secret(),
        **found,
    )


def run(work: Coroutine[Any, Any, T]) -> T:
    """Do it in an event loop of its own, within 30 s."""

    async def limited() -> T:
        return await asyncio.wait_for(work, 30)

    return asyncio.run(limited())


async def polled(one: Wiring, times: int = 1) -> Polled:
    """The last of some polls."""
    driver = make(one)
    try:
        for _ in range(times):
            answer = await driver.poll()
    finally:
        await driver.close()
    return answer


def series(answer: Polled) -> dict[str, float]:
    """Readings as `key{label values}`, rounded to nine digits. No series stands twice."""
    found = {}
    for reading in answer.readings:
        name = f"{reading.metric.key}{{{','.join(reading.labels)}}}"
        assert name not in found, name
        assert len(reading.labels) == len(reading.metric.labels)
        found[name] = float(f"{reading.value:.9g}")
    return found


def free_port() -> int:
    """A UDP port that nobody has now."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


@functools.cache
def recordings() -> str:
    """Address of a snmpsim that serves every recording under its name as community. Ends with the tests."""
    program = Path(sys.executable).with_name("snmpsim-command-responder")
    if not program.exists():
        pytest.skip("snmpsim is not installed")
    import snmpsim_data

    theirs = Path(snmpsim_data.__file__).parent / "data" / "UPS"
    home = Path(tempfile.mkdtemp(prefix="snmpsim-"))
    atexit.register(shutil.rmtree, home, ignore_errors=True)
    data = home / "data"
    data.mkdir()
    for name in FROM_SNMPSIM:
        plain, packed = theirs / f"{name}.snmprec", theirs / f"{name}.snmprec.bz2"
        text = plain.read_bytes() if plain.exists() else bz2.decompress(packed.read_bytes())
        lines = [line for line in text.splitlines() if line.startswith(_PARTS)]
        (data / f"{name}.snmprec").write_bytes(b"\n".join(lines) + b"\n")
    for path in OURS.glob("*.snmprec"):
        shutil.copy(path, data)
    port = free_port()
    # The order matters to it: the engine first.
    command = [str(program), "--process-user=root", "--process-group=root", f"--cache-dir={home / 'cache'}"]
    command += [f"--logging-method=file:{home / 'log'}", "--log-level=error", "--max-var-binds=64"]
    command += ["--v3-engine-id=auto", f"--data-dir={data}", f"--agent-udpv4-endpoint=127.0.0.1:{port}"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    atexit.register(_end, process)
    await_agent(port, "apc-8641", process)
    return f"127.0.0.1:{port}"


@contextlib.contextmanager
def snmpd() -> Iterator[str]:
    """Address of a net-snmp daemon: community `public`, and user u1 with SHA and AES."""
    program = shutil.which("snmpd") or shutil.which("snmpd", path="/usr/sbin")
    if program is None:
        pytest.skip("snmpd is not installed: apt-get install snmpd")
    with tempfile.TemporaryDirectory(prefix="snmpd-") as home:
        port = free_port()
        config = Path(home) / "snmpd.conf"
        config.write_text(
            f"agentAddress udp:127.0.0.1:{port}\nrocommunity public 127.0.0.1\n"
            'createUser u1 SHA "authpass123" AES "privpass123"\nrouser u1 priv\n'
            'createUser u2 SHA-512 "authpass123" AES-256 "privpass123"\nrouser u2 priv\n'
            'createUser u3 MD5 "authpass123" DES "privpass123"\nrouser u3 auth\n'
        )
        process = subprocess.Popen(
            [program, "-f", "-C", "-c", str(config)],
            env={"SNMP_PERSISTENT_DIR": f"{home}/state", "PATH": "/usr/bin:/bin"},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            await_agent(port, "public", process)
            yield f"127.0.0.1:{port}"
        finally:
            _end(process)


def await_agent(port: int, community: str, process: subprocess.Popen[bytes]) -> None:
    """Until it answers a question for sysUpTime."""
    bindings = tlv(0x30, tlv(0x30, oid_bytes("1.3.6.1.2.1.1.3.0") + b"\x05\x00"))
    pdu = tlv(0xA0, bytes.fromhex("020101020100020100") + bindings)
    question = tlv(0x30, b"\x02\x01\x01" + tlv(0x04, community.encode()) + pdu)
    until = time.monotonic() + 30
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as ours:
        ours.settimeout(0.1)
        ours.connect(("127.0.0.1", port))
        while time.monotonic() < until:
            assert process.poll() is None, "the agent has ended"
            with contextlib.suppress(OSError):
                ours.send(question)
                if ours.recv(2000):
                    return
            time.sleep(0.02)
    raise AssertionError("the agent does not answer")


def _end(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.wait(10)


@contextlib.contextmanager
def scripted(answer: Callable[[bytes], list[bytes]]) -> Iterator[str]:
    """Address of a socket that answers each datagram with what the function says."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as ours:
        ours.bind(("127.0.0.1", 0))
        ours.settimeout(0.2)
        over = threading.Event()

        def serve() -> None:
            while not over.is_set():
                try:
                    question, whence = ours.recvfrom(65535)
                except OSError:
                    continue
                for datagram in answer(question):
                    with contextlib.suppress(OSError):
                        ours.sendto(datagram, whence)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        try:
            yield f"127.0.0.1:{ours.getsockname()[1]}"
        finally:
            over.set()
            thread.join(5)


def tlv(tag: int, content: bytes) -> bytes:
    """One element of BER."""
    length = len(content)
    head = bytes([length]) if length < 128 else b"\x82" + length.to_bytes(2, "big")
    return bytes([tag]) + head + content


def oid_bytes(oid: str) -> bytes:
    """An object identifier as BER has it."""
    first, second, *rest = map(int, oid.split("."))
    out = bytearray([first * 40 + second])
    for part in rest:
        groups = [part & 0x7F]
        while part := part >> 7:
            groups.append(part & 0x7F | 0x80)
        out += bytes(reversed(groups))
    return tlv(0x06, bytes(out))


def is_get(question: bytes) -> bool:
    """A GET, and not a GETNEXT or GETBULK."""
    at = 2 if question[1] < 128 else 2 + (question[1] & 0x7F)
    return question[at + 5 + question[at + 4]] == 0xA0


def answer_to(question: bytes, values: list[tuple[str, bytes]], status: int = 0) -> bytes:
    """An answer of version 2c with these values (encoded) to a question with a short head."""
    at = 2 if question[1] < 128 else 2 + (question[1] & 0x7F)
    community = at + 3
    pdu = community + 2 + question[community + 1]
    start = pdu + (2 if question[pdu + 1] < 128 else 2 + (question[pdu + 1] & 0x7F))
    request = question[start : start + 2 + question[start + 1]]
    bindings = b"".join(tlv(0x30, oid_bytes(oid) + value) for oid, value in values)
    body = request + bytes([2, 1, status, 2, 1, 0]) + tlv(0x30, bindings)
    return tlv(0x30, question[at:pdu] + tlv(0xA2, body))
