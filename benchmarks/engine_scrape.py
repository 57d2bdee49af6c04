"""What it costs to scrape many inference engines. Prints JSON.

    python benchmarks/engine_scrape.py                  # 500 engines every 10 s; then 20 of them misbehave
    python benchmarks/engine_scrape.py --engines 50 --seconds 20

Each engine serves the recording of a vLLM that has worked, at an address of its own, and every figure in it
moves from one scrape to the next: more changes than a real one makes. Meanwhile the pages of all nodes are
fetched every 15 s, as Prometheus would. Processor time is user plus system of the one process.
"""

from __future__ import annotations

import argparse
import asyncio
import gzip
import json
import multiprocessing
import os
import platform
import re
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Self

RECORDING = Path(__file__).parents[1] / "tests/exporters/fixtures/engines/vllm-0.32.0/after.txt"
PORT = 8000
PER_NODE = 8
VARIANTS = 64
"""States that an engine goes through; then its counters begin anew."""
WARM_UP = 25.0
BAD = ("hang", "drip", "noise", "huge")
_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain; version=0.0.4\r\nContent-Length: %d\r\n\r\n"


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--engines", type=int, default=500)
    parser.add_argument("--interval", type=int, default=10)
    parser.add_argument("--seconds", type=float, default=60.0, help="how long each part is measured")
    parser.add_argument("--bad", type=int, default=20, help="engines that misbehave in the second part")
    args = parser.parse_args()
    result = {
        "machine": {"cores": os.cpu_count(), "python": platform.python_version()},
        "engines": args.engines,
        "interval_seconds": args.interval,
        "bytes_per_answer": RECORDING.stat().st_size,
        "all_well": measure(args, 0),
        "some_misbehave": {"bad_engines": args.bad, **measure(args, args.bad)},
    }
    print(json.dumps(result, indent=2))
    return 0


def measure(args: argparse.Namespace, bad: int) -> dict[str, Any]:
    """One run of the program."""
    with tempfile.TemporaryDirectory() as name, Engines() as engines:
        hosts = [address(number, number < bad) for number in range(args.engines)]
        config = Path(name) / "workload.yaml"
        targets = [
            {"address": f"{host}:{PORT + engines.shift}", "node": f"n{number // PER_NODE}"}
            for number, host in enumerate(hosts)
        ]
        config.write_text(json.dumps({"engines": {"interval": f"{args.interval}s", "targets": targets}}))
        with Program(config) as program:
            time.sleep(WARM_UP)
            engines.counts()
            began, used = time.monotonic(), program.cpu_seconds()
            pages = watch(program, args.seconds)
            took, used = time.monotonic() - began, program.cpu_seconds() - used
            counts = engines.counts()
            return summary(program, pages, counts, hosts[bad:], took, used, args.interval)


def watch(program: Program, seconds: float) -> int:
    """Fetch everything as Prometheus would; how many pages that was."""
    until, pages = time.monotonic() + seconds, 0
    while time.monotonic() < until:
        round_began = time.monotonic()
        for group in json.loads(program.get("/targets")):
            program.get(group["labels"].get("__metrics_path__", "/metrics"))
            pages += 1
        time.sleep(max(0.0, min(round_began + 15, until) - time.monotonic()))
    return pages


def summary(
    program: Program,
    pages: int,
    counts: Counter[str],
    well: list[str],
    took: float,
    used: float,
    interval: int,
) -> dict[str, Any]:
    """What is worth knowing of a run."""
    texts = [
        program.get(group["labels"].get("__metrics_path__", "/metrics"))
        for group in json.loads(program.get("/targets"))
    ]
    text = "".join(texts)
    told = re.findall(
        r'^aif_inference_scrape_duration_seconds{[^}]*replica="([^":]+):[^}]*} (.*)', text, re.MULTILINE
    )
    durations = sorted(float(value) for host, value in told if host in set(well))
    # The phase of a target within the window decides whether it is scraped once more or not.
    due = int(took // interval)
    return {
        "seconds": round(took, 1),
        "cores": round(used / took, 4),
        "rss_mib": round(program.resident_bytes() / 2**20, 1),
        "scrapes": sum(counts[host] for host in well),
        "missed_scrapes": sum(max(0, due - counts[host]) for host in well),
        "engines_up": len(re.findall(r"^aif_inference_engine_up{[^}]*} 1", text, re.MULTILINE)),
        "engines_down": len(re.findall(r"^aif_inference_engine_up{[^}]*} 0", text, re.MULTILINE)),
        "p50_milliseconds": round(1000 * durations[len(durations) // 2], 2),
        "p99_milliseconds": round(1000 * durations[int(len(durations) * 0.99)], 2),
        "pages_fetched": pages,
        "bytes_served_at_once": len(text),
    }


def address(number: int, bad: bool) -> str:
    """All of 127.0.0.0/8 is this machine: every engine has an address of its own."""
    kind = 10 + number % len(BAD) if bad else 1
    return f"127.{kind}.{number // 250}.{number % 250 + 1}"


class Program:
    """`gigawatch workload`, running."""

    def __init__(self, config: Path) -> None:
        self._log = config.with_suffix(".log")
        command = [sys.executable, "-m", "gigawatch.cli", "workload", "--config", str(config)]
        with self._log.open("w") as log:
            self._process = subprocess.Popen(
                [*command, "--listen", "127.0.0.1:0"], stdout=log, stderr=log, text=True
            )

    def __enter__(self) -> Self:
        until = time.monotonic() + 60
        while not (told := re.search(r"listening on (\S+)", self._log.read_text())):
            assert time.monotonic() < until, self._log.read_text()
            time.sleep(0.1)
        self.url = told[1]
        return self

    def __exit__(self, *_: object) -> None:
        self._process.send_signal(signal.SIGTERM)
        self._process.wait(20)

    def get(self, path: str) -> str:
        """A page, as Prometheus asks for it."""
        request = urllib.request.Request(self.url + path, headers={"Accept-Encoding": "gzip"})
        with urllib.request.urlopen(request, timeout=30) as answer:
            body: bytes = answer.read()
            packed = answer.headers.get("Content-Encoding") == "gzip"
        return (gzip.decompress(body) if packed else body).decode()

    def cpu_seconds(self) -> float:
        """User and system time so far."""
        fields = Path(f"/proc/{self._process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def resident_bytes(self) -> int:
        pages = int(Path(f"/proc/{self._process.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")


class Engines:
    """Engines in a process of their own."""

    def __enter__(self) -> Self:
        self._ours, theirs = multiprocessing.Pipe()
        self._process = multiprocessing.get_context("spawn").Process(
            target=serve_engines, args=(theirs,), daemon=True
        )
        self._process.start()
        self.shift = int(self._ours.recv()) - PORT
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.join()

    def counts(self) -> Counter[str]:
        """Scrapes of each address since the last time this was asked."""
        self._ours.send(None)
        found: Counter[str] = self._ours.recv()
        return found


@dataclass
class Served:
    """What the engines' process keeps."""

    bodies: list[bytes]
    scrapes: Counter[str] = field(default_factory=Counter)
    states: Counter[str] = field(default_factory=Counter)


def serve_engines(pipe: Connection) -> None:
    """The engines' process."""
    served = Served(list(variants(RECORDING.read_text())))

    def counted() -> None:
        pipe.recv()
        pipe.send(served.scrapes)
        served.scrapes = Counter()

    async def run() -> None:
        loop = asyncio.get_running_loop()
        server = await loop.create_server(lambda: _Engine(served), "0.0.0.0", 0, backlog=1024)  # noqa: S104 - all of 127.0.0.0/8
        loop.add_reader(pipe.fileno(), counted)
        pipe.send(server.sockets[0].getsockname()[1])
        await server.serve_forever()

    asyncio.run(run())


def variants(text: str) -> Iterator[bytes]:
    """The recording, its counters further on each time."""
    lines = [line.rpartition(" ") for line in text.splitlines()]
    for number in range(1, VARIANTS + 1):
        moved = []
        for before, blank, last in lines:
            still = (
                before.startswith("#") or "_created" in before or "perc" in before or last in ("0.0", "1.0")
            )
            moved.append(f"{before}{blank}{last if still else float(last) * number}")
        yield ("\n".join(moved) + "\n").encode()


class _Engine(asyncio.Protocol):
    """One connection to one engine."""

    def __init__(self, served: Served) -> None:
        self._served = served

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._out = transport
        self._host: str = transport.get_extra_info("sockname")[0]

    def data_received(self, data: bytes) -> None:
        kind = int(self._host.split(".")[1])
        if kind >= 10:
            self._misbehave(BAD[kind - 10])
        elif data.startswith(b"GET /metrics "):
            served = self._served
            served.scrapes[self._host] += 1
            served.states[self._host] += 1
            body = served.bodies[served.states[self._host] % VARIANTS]
            self._out.write(_HEAD % len(body) + body)
        else:
            self._out.write(_HEAD % 0)

    def _misbehave(self, how: str) -> None:
        if how == "noise":
            body = os.urandom(50_000)
            self._out.write(_HEAD % len(body) + body)
        elif how == "drip":
            self._out.write(_HEAD % 50_000)
            self._drip()
        elif how == "huge":
            self._out.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nConnection: close\r\n\r\n")
            self._flood(100 << 20)

    def _drip(self) -> None:
        if not self._out.is_closing():
            self._out.write(b"x")
            asyncio.get_running_loop().call_later(0.2, self._drip)

    def _flood(self, left: int) -> None:
        if left > 0 and not self._out.is_closing():
            if self._out.get_write_buffer_size() < 1 << 20:
                self._out.write(b"vllm:what 1\n" * 20_000)
                left -= 240_000
            asyncio.get_running_loop().call_later(0.002, self._flood, left)


if __name__ == "__main__":
    sys.exit(main())
