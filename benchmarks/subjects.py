"""Exporters as a benchmark sees them: programs with a page, and the processes behind it."""

from __future__ import annotations

import contextlib
import gzip
import http.client
import os
import re
import socket
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

PEER = "nvitop-exporter==1.7.2"
_ACCEPT = "text/plain;version=0.0.4"


class Subject:
    """A running exporter."""

    def __init__(self, name: str, command: list[str], environment: dict[str, str], log: Path, port: int = 0):
        self.name, self.log = name, log
        with log.open("w") as out:
            self.process = subprocess.Popen(
                command, env=os.environ | environment, stdout=out, stderr=out, text=True
            )
        try:
            self.port = port or self._port()
            self._connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
            self._await_page()
        except BaseException:
            self.end()
            raise

    def _port(self) -> int:
        until = time.monotonic() + 60
        while time.monotonic() < until and self.process.poll() is None:
            told = re.search(r"http://[\w.]+:(\d+)", self.log.read_text())
            if told:
                return int(told[1])
            time.sleep(0.1)
        raise SystemExit(f"{self.name} did not start: {self.log.read_text()[-2000:]}")

    def _await_page(self) -> None:
        """Until the page is there, and its number of samples has stood for some seconds."""
        until, before, since = time.monotonic() + 90, -1, 0.0
        while time.monotonic() < until:
            try:
                now = samples(self.page())
            except OSError:
                now = -1
            if now != before:
                before, since = now, time.monotonic()
            elif now > 0 and time.monotonic() - since > 6:
                return
            if self.process.poll() is not None:
                break
            time.sleep(0.5)
        raise SystemExit(f"{self.name} gave no steady page: {self.log.read_text()[-2000:]}")

    def scrape(self, encoding: str = "identity") -> tuple[bytes, float]:
        """The body as it came, and the seconds it took."""
        headers = {"Accept": _ACCEPT, "Accept-Encoding": encoding}
        began = time.perf_counter()
        try:
            self._connection.request("GET", "/metrics", headers=headers)
            answer = self._connection.getresponse()
            body = answer.read()
        except (OSError, http.client.HTTPException):
            self._connection.close()
            raise
        if answer.status != 200:
            raise OSError(f"{self.name} answers {answer.status}")
        return body, time.perf_counter() - began

    def page(self) -> str:
        """The page as text."""
        body, _ = self.scrape()
        return (gzip.decompress(body) if body[:2] == b"\x1f\x8b" else body).decode()

    def processes(self) -> list[psutil.Process]:
        """The whole family that lives now."""
        try:
            parent = psutil.Process(self.process.pid)
            return [parent, *parent.children(recursive=True)]
        except psutil.NoSuchProcess:
            return []

    def end(self) -> None:
        """End the whole family."""
        family = self.processes()
        for member in family:
            with contextlib.suppress(psutil.NoSuchProcess):
                member.kill()
        self.process.wait(30)


@dataclass(frozen=True, slots=True)
class Footprint:
    """A family of processes at one moment. Sizes in bytes, cpu in seconds since each of them started."""

    rss: int
    pss: int
    threads: int
    descriptors: int
    processes: int
    cpu: float


def footprint(subject: Subject) -> Footprint:
    """What the family holds now; a member that ends meanwhile is left out."""
    rss = pss = threads = descriptors = count = 0
    cpu = 0.0
    for process in subject.processes():
        with contextlib.suppress(psutil.NoSuchProcess, psutil.AccessDenied, OSError):
            memory = process.memory_full_info()
            rss, pss = rss + memory.rss, pss + memory.pss
            threads += process.num_threads()
            descriptors += process.num_fds()
            cpu += cpu_seconds(process.pid)
            count += 1
    return Footprint(rss, pss, threads, descriptors, count, cpu)


def family_cpu(subject: Subject) -> float:
    """Processor seconds of all that live now."""
    total = 0.0
    for process in subject.processes():
        with contextlib.suppress(OSError):
            total += cpu_seconds(process.pid)
    return total


def cpu_seconds(pid: int) -> float:
    """Processor time of a process, finer than /proc: the kernel's clock of it (clock_getcpuclockid)."""
    return time.clock_gettime((~pid << 3) | 2)


def samples(page: str) -> int:
    """Lines that are samples."""
    return sum(1 for line in page.splitlines() if line and not line.startswith("#"))


def agent(folder: Path, environment: dict[str, str], **settings: Any) -> Subject:
    """Our agent at a tick of one second, all that a node has; no scheduler, as a machine has one or not."""
    state = folder / "state"
    state.mkdir(exist_ok=True)
    collectors = {"gpu": "on", "kubernetes": "off", "slurm": "off"}
    given = {"interval": "1s", "collectors": collectors, "state_directory": state, **settings}
    config = folder / "agent.yaml"
    config.write_text("".join(f"{key}: {_yaml(value)}\n" for key, value in given.items()))
    words = ["agent", "--config", str(config), "--listen", "127.0.0.1:0"]
    command = [sys.executable, "-m", "gigawatch.cli", *words]
    return Subject("gigawatch", command, environment, folder / "agent.log")


def _yaml(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {_yaml(inner)}" for key, inner in value.items()) + "}"
    return f"'{value}'"


def peer(folder: Path, environment: dict[str, str], cache: Path) -> Subject | str:
    """nvitop-exporter from a virtual environment of its own; the reason in words where it cannot be had."""
    home = cache / PEER.replace("==", "-")
    program = home / "bin" / "nvitop-exporter"
    if not program.exists():
        print(f"installing {PEER} into {home}", file=sys.stderr)
        made = _quiet(sys.executable, "-m", "venv", str(home))
        pip = (str(home / "bin" / "python"), "-m", "pip", "install", "--quiet", PEER)
        done = _quiet(*pip) if made.returncode == 0 else made
        if done.returncode:
            return f"{PEER} cannot be installed: {(done.stderr or done.stdout).strip().splitlines()[-1]}"
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [str(program), "--bind-address", "127.0.0.1", "--hostname", "node", "--port", str(port)]
    return Subject("nvitop_exporter", [*command, "--interval", "1"], environment, folder / "peer.log", port)


def _quiet(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, check=False, capture_output=True, text=True)
