"""What it takes to poll a thousand facility devices every 10 s, some of them dead, slow or mad. Prints JSON.

    python benchmarks/facility_polling.py                   # 1,000 devices, twice 60 s
    python benchmarks/facility_polling.py --devices 100 --seconds 20 --bad 0

Three of five devices are rack PDUs over SNMP (net-snmp's snmpd with the values of a recorded APC PDU), a
quarter meters over Modbus TCP, the rest PDUs over Redfish, each at an address of its own. One in twenty is
dead (half of them a closed port, half a black hole), one in twenty answers after 20 s, one in a hundred
answers noise. The poller has the first core, its peers the others; all pages are fetched every 15 s, as
Prometheus would. Lateness is what the poller says of each device then, and the polls that were not made.
"""

from __future__ import annotations

import argparse
import gzip
import http.client
import json
import multiprocessing
import os
import platform
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter, defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit

sys.path.insert(0, str(Path(__file__).parent))

import facility_peers as peers

WARM_UP = 45.0
AGENTS = 4
_ROW = re.compile(r"^aif_poll_(\w+?)(?:\{(.*)\})? (\S+)$", re.MULTILINE)


@dataclass(frozen=True)
class Peer:
    """One device."""

    name: str
    protocol: str
    host: str
    how: str
    """well, closed, silent, slow or noisy."""


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--devices", type=int, default=1000)
    parser.add_argument("--interval", type=int, default=10)
    parser.add_argument("--seconds", type=float, default=60.0, help="how long is measured")
    parser.add_argument(
        "--bad", type=float, help="times as many bad devices (0: none); 1, then 5 if left out"
    )
    args = parser.parse_args()
    result: dict[str, Any] = {"machine": {"cores": os.cpu_count(), "python": platform.python_version()}}
    if args.bad is not None:
        result["run"] = run(args, args.bad)
    else:
        result |= {"some_bad": run(args, 1.0), "more_than_half_bad": run(args, 5.0)}
    print(json.dumps(result, indent=2))
    return 0


def run(args: argparse.Namespace, bad: float) -> dict[str, Any]:
    """One run of the program."""
    devices = list(cast(args.devices, bad))
    with tempfile.TemporaryDirectory() as name, Others(devices) as others, Agents(Path(name)) as agents:
        files = write_files(Path(name), devices, others, agents, args.interval)
        with Program(files) as program:
            time.sleep(WARM_UP)
            return measure(program, devices, args)


def cast(count: int, bad: float) -> list[Peer]:
    """The devices: protocols and ways of failing mixed evenly."""
    found = []
    for number in range(count):
        spot = number % 20
        protocol = "snmp" if spot < 12 else "modbus" if spot < 17 else "redfish"
        turn = (number * 7919 % count) / count  # evenly spread over protocols
        how = "well"
        for kind, share in (("closed", 0.025), ("silent", 0.025), ("slow", 0.05), ("noisy", 0.01)):
            if 0 <= turn < share * bad:
                how = kind
            turn -= share * bad
        second = {"well": peers.WELL, "silent": peers.SILENT, "slow": peers.SLOW, "noisy": peers.NOISY}.get(
            how, 9
        )
        found.append(Peer(f"d{number:04}", protocol, f"127.{second}.{number // 250}.{number % 250 + 1}", how))
    return found


def write_files(folder: Path, devices: list[Peer], others: Others, agents: Agents, interval: int) -> Path:
    """An inventory with endpoints, and settings. The settings' path."""
    rows = []
    for number, peer in enumerate(devices):
        endpoint: dict[str, Any] = {
            "protocol": peer.protocol,
            "address": others.address(peer, agents, number),
        }
        if peer.protocol == "modbus":
            endpoint["profile"] = "schneider-pm5000"
        if peer.protocol == "redfish":
            endpoint["path"] = "/redfish/v1/PowerEquipment/RackPDUs/1"
        role = "meter" if peer.protocol == "modbus" else "rack_pdu"
        rows.append({"name": peer.name, "role": role, "rack": "r1", "endpoints": [endpoint]})
    rack = {"name": "r1", "hall": "h1", "row": "a", "power_watts": 1e6, "cooling": "air"}
    site = {"version": 1, "site": {"name": "bench"}, "racks": [rack], "devices": rows}
    (folder / "site.yaml").write_text(json.dumps(site))
    settings = folder / "facility.yaml"
    settings.write_text(
        json.dumps({"inventory": "site.yaml", "interval": f"{interval}s", "listen": "127.0.0.1:0"})
    )
    return settings


def measure(program: Program, devices: list[Peer], args: argparse.Namespace) -> dict[str, Any]:
    """Watch it for a while."""
    before = program.read(devices)
    began, used = time.monotonic(), program.cpu_seconds()
    worst: dict[str, float] = defaultdict(float)
    rss, round_took = 0.0, 0.0
    while time.monotonic() - began < args.seconds:
        round_began = time.monotonic()
        for name, page in program.read(devices).items():
            worst[name] = max(worst[name], page["lag_seconds"])
        round_took = max(round_took, time.monotonic() - round_began)
        rss = max(rss, program.resident_bytes() / 2**20)
        time.sleep(max(0.0, min(15.0, args.seconds) - (time.monotonic() - round_began)))
    took, used = time.monotonic() - began, program.cpu_seconds() - used
    after = program.read(devices)
    well = [peer for peer in devices if peer.how == "well"]
    polls = {peer.name: after[peer.name]["polls"] - before[peer.name]["polls"] for peer in well}
    due = int(took // args.interval)
    lags = sorted(worst[peer.name] for peer in well)
    errors: dict[str, Counter[str]] = defaultdict(Counter)
    for peer in devices:
        for reason, count in after[peer.name]["errors"].items():
            errors[f"{peer.how}"][reason] += int(count - before[peer.name]["errors"].get(reason, 0))
    return {
        "devices": dict(Counter(peer.protocol for peer in devices)),
        "bad": dict(Counter(peer.how for peer in devices if peer.how != "well")),
        "interval_seconds": args.interval,
        "seconds": round(took, 1),
        "cores": round(used / took, 3),
        "rss_mib": round(rss, 1),
        "healthy_up": sum(after[peer.name]["up"] for peer in well),
        "healthy": len(well),
        "healthy_polls": int(sum(polls.values())),
        "healthy_missed_polls": int(sum(max(0, due - count) for count in polls.values())),
        "healthy_errors": sum(errors["well"].values()),
        "lag_max_seconds": round(lags[-1], 3),
        "lag_p99_seconds": round(lags[int(0.99 * len(lags))], 3),
        "lag_max_intervals": round(lags[-1] / args.interval, 3),
        "bad_up": sum(after[peer.name]["up"] for peer in devices if peer.how != "well"),
        "bad_without_error": [
            peer.name
            for peer in devices
            if peer.how != "well" and not sum(after[peer.name]["errors"].values())
        ],
        "errors_by_kind_of_device": {how: dict(count) for how, count in errors.items() if count},
        "series": sum(int(page["series"]) for page in after.values()),
        "round_of_all_pages_seconds": round(round_took, 2),
    }


class Agents:
    """Some snmpd, each for all addresses of this machine at a port of its own."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._processes, self.ports = folder, [], []

    def __enter__(self) -> Self:
        for number in range(AGENTS):
            with socket.socket(type=socket.SOCK_DGRAM) as free:
                free.bind(("127.0.0.1", 0))
                port = free.getsockname()[1]
            config = self._folder / f"snmpd-{number}.conf"
            config.write_text(
                "\n".join([f"agentAddress udp:0.0.0.0:{port}", "rocommunity public", *recorded()])
            )
            command = [
                shutil.which("snmpd") or "/usr/sbin/snmpd",
                "-f",
                "-C",
                "-c",
                str(config),
                "-LF",
                "0",
                "/dev/null",
            ]
            environment = os.environ | {"SNMP_PERSISTENT_DIR": str(self._folder / f"state-{number}")}
            process = subprocess.Popen(
                command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
            )
            _off_the_first_core(process.pid)
            self._processes.append(process)
            self.ports.append(port)
        return self

    def __exit__(self, *_: object) -> None:
        for process in self._processes:
            process.kill()
            process.wait()


def recorded() -> list[str]:
    """The recording of an APC PDU (AP8641, 24 metered outlets) as static values of snmpd."""
    import snmpsim_data

    path = Path(snmpsim_data.__file__).parent / "data" / "UPS" / "apc-8641.snmprec"
    kinds = {"2": "integer", "4": "octet_str", "65": "counter", "66": "uinteger"}
    lines = ["sysobjectid 1.3.6.1.4.1.318.1.3.4.6"]
    for row in path.read_text().splitlines():
        oid, kind, value = row.split("|", 2)
        if oid.startswith("1.3.6.1.4.1.318.1.1.26.") and kind in kinds:
            told = f'"{value}"' if kind == "4" else value
            lines.append(f"override {oid} {kinds[kind]} {told}")
    return lines


class Others:
    """All other peers, in a process of their own."""

    def __init__(self, devices: list[Peer]) -> None:
        kinds = {"silent": peers.SILENT, "slow": peers.SLOW, "noisy": peers.NOISY}
        self._datagrams = {
            peer.host: kinds[peer.how] for peer in devices if peer.protocol == "snmp" and peer.how in kinds
        }
        self._holes = [peer.host for peer in devices if peer.protocol != "snmp" and peer.how == "silent"]

    def __enter__(self) -> Self:
        self._ours, theirs = multiprocessing.Pipe()
        core = (os.cpu_count() or 1) - 1
        self._process = multiprocessing.get_context("spawn").Process(
            target=peers.serve, args=(theirs, self._datagrams, self._holes, core), daemon=True
        )
        self._process.start()
        self.modbus, self.redfish, self._ports = self._ours.recv()
        with socket.create_server(("127.0.0.1", 0)) as closed:
            self.closed = closed.getsockname()[1]
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.join()

    def address(self, peer: Peer, agents: Agents, number: int) -> str:
        """Where a device answers, or does not."""
        scheme = "http://" if peer.protocol == "redfish" else ""
        if peer.how == "closed":
            return f"{scheme}{peer.host}:{self.closed}"
        if peer.host in self._ports:
            return f"{scheme}{peer.host}:{self._ports[peer.host]}"
        if peer.protocol == "snmp":
            return f"{peer.host}:{agents.ports[number % AGENTS]}"
        return f"{scheme}{peer.host}:{self.modbus if peer.protocol == 'modbus' else self.redfish}"


class Program:
    """`gigawatch facility` on one core."""

    def __init__(self, settings: Path) -> None:
        self._log = settings.with_suffix(".log")
        command = [sys.executable, "-m", "gigawatch.cli", "facility", "--config", str(settings)]
        with self._log.open("w") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log, text=True)
        os.sched_setaffinity(self._process.pid, {0})

    def __enter__(self) -> Self:
        until = time.monotonic() + 60
        while not (told := re.search(r"listening on (\S+)", self._log.read_text())):
            assert time.monotonic() < until, self._log.read_text()
            assert self._process.poll() is None, self._log.read_text()
            time.sleep(0.1)
        self._place = urlsplit(told[1]).netloc
        return self

    def __exit__(self, *_: object) -> None:
        self._process.send_signal(signal.SIGTERM)
        self._process.wait(20)

    def read(self, devices: list[Peer]) -> dict[str, Any]:
        """What all pages say of their polling, fetched as Prometheus fetches them."""
        link = http.client.HTTPConnection(self._place, timeout=30)
        found = {}
        for peer in devices:
            link.request("GET", f"/devices/{peer.name}/metrics", headers={"Accept-Encoding": "gzip"})
            answer = link.getresponse()
            text = gzip.decompress(answer.read()).decode()
            page: dict[str, Any] = {"lag_seconds": 0.0, "polls": 0.0, "up": 0, "errors": {}}
            for name, labels, value in _ROW.findall(text):
                if name == "lag_seconds":
                    page[name] = float(value)
                elif name == "up":
                    page["up"] = int(float(value))
                elif name == "duration_seconds_count":
                    page["polls"] = float(value)
                elif name == "errors_total":
                    page["errors"][labels.partition('reason="')[2].rstrip('"')] = float(value)
            page["series"] = text.count("\n") - text.count("# ")
            found[peer.name] = page
        link.close()
        return found

    def cpu_seconds(self) -> float:
        """User and system time so far."""
        fields = Path(f"/proc/{self._process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def resident_bytes(self) -> int:
        pages = int(Path(f"/proc/{self._process.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")


def _off_the_first_core(pid: int) -> None:
    os.sched_setaffinity(pid, set(range(1, os.cpu_count() or 1)) or {0})


if __name__ == "__main__":
    sys.exit(main())
