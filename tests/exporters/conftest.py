"""Shared: a fake driver library, and agents started as real processes with it."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
from prometheus_client.parser import text_string_to_metric_families

Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]
_SOURCE = Path(__file__).parent / "fixtures" / "fake_nvml.c"


@pytest.fixture(scope="session")
def driver_library(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Directory with a fake libnvidia-ml.so.1, built on first use; `flags` such as -DOLD_DRIVER."""
    compiler = shutil.which("gcc") or shutil.which("cc")
    if compiler is None:
        pytest.skip("needs a C compiler to build the fake driver library")
    built: dict[str, Path] = {}

    def build(flags: str = "") -> Path:
        if flags not in built:
            directory = tmp_path_factory.mktemp("driver")
            command = [compiler, "-O1", "-w", "-shared", "-fPIC", "-Wl,-soname,libnvidia-ml.so.1"]
            output = ["-o", str(directory / "libnvidia-ml.so.1"), str(_SOURCE)]
            subprocess.run([*command, *flags.split(), *output], check=True, timeout=60)
            built[flags] = directory
        return built[flags]

    return build


class Served:
    """A program of ours that listens, and what its pages say."""

    def __init__(self, process: subprocess.Popen[str], log: Path) -> None:
        self.process, self.log = process, log
        self.url = self._await_url()

    def _await_url(self) -> str:
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            told = re.search(r"https?://[\w.]+:\d+", self.log.read_text())
            if told:
                return told[0].replace("0.0.0.0", "127.0.0.1")
            if self.process.poll() is not None:
                break
            time.sleep(0.05)
        raise AssertionError(f"did not start: {self.log.read_text()}")

    def get(self, path: str = "/metrics", accept: str = "", timeout: float = 30) -> str:
        request = urllib.request.Request(self.url + path, headers={"Accept": accept} if accept else {})
        with urllib.request.urlopen(request, timeout=timeout) as answer:
            return str(answer.read().decode())

    def samples(self, path: str = "/metrics") -> Samples:
        return parse(self.get(path))

    def wait_for(
        self, met: Callable[[Samples], bool], seconds: float = 60, path: str = "/metrics"
    ) -> Samples:
        """Samples as soon as the condition holds; the time limit is for crowded machines."""
        deadline = time.monotonic() + seconds
        while True:
            found = self.samples(path)
            if met(found):
                return found
            assert time.monotonic() < deadline, f"never happened; log: {self.log.read_text()[-2000:]}"
            time.sleep(0.1)

    def has_child(self) -> bool:
        return bool(psutil.Process(self.process.pid).children())

    @property
    def child(self) -> psutil.Process:
        """The collector process."""
        (only,) = psutil.Process(self.process.pid).children()
        return only


def parse(text: str) -> Samples:
    found: Samples = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            key = (sample.name, frozenset(sample.labels.items()))
            assert key not in found, f"{key} stands twice"
            found[key] = sample.value
    return found


@pytest.fixture
def parse_text() -> Callable[[str], Samples]:
    return parse


@pytest.fixture
def run_served(tmp_path: Path) -> Iterator[Callable[..., Served]]:
    """Start `gigawatch ARGUMENTS --listen 127.0.0.1:0`; everything is ended with the test."""
    started: list[subprocess.Popen[str]] = []

    def start(*arguments: str, environment: dict[str, str] | None = None) -> Served:
        log = tmp_path / f"log-{len(started)}"
        command = [sys.executable, "-m", "gigawatch.cli", *arguments, "--listen", "127.0.0.1:0"]
        with log.open("w") as out:
            process = subprocess.Popen(
                command, stdout=out, stderr=out, text=True, env=os.environ | (environment or {})
            )
        started.append(process)
        return Served(process, log)

    yield start
    for process in started:
        with contextlib.suppress(psutil.NoSuchProcess):
            family = [*psutil.Process(process.pid).children(recursive=True), psutil.Process(process.pid)]
            for member in family:
                with contextlib.suppress(psutil.NoSuchProcess):
                    member.kill()
        process.wait(60)


class GpuAgent(Served):
    """An agent whose driver is the fake."""

    control: Path

    def steer(self, *lines: str) -> None:
        """Tell the fake driver how to behave from now on."""
        fresh = self.control.with_suffix(".new")
        fresh.write_text("\n".join(lines) + "\n")
        fresh.replace(self.control)


@pytest.fixture
def gpu_agent(
    run_served: Callable[..., Served], driver_library: Callable[[str], Path], tmp_path: Path
) -> Callable[..., GpuAgent]:
    """Start an agent with GPUs; `library` is the directory that the loader searches."""

    def start(
        *control: str, flags: str = "", library: Path | None = None, interval: str = "500ms"
    ) -> GpuAgent:
        config = tmp_path / "agent.yaml"
        config.write_text(
            f"interval: {interval}\nslow_interval: {interval}\n"
            "collectors: {gpu: 'on', kernel_log: false, power: false}\n"
        )
        steering = tmp_path / "control"
        steering.write_text("\n".join(control) + "\n")
        environment = {
            "LD_LIBRARY_PATH": str(library or driver_library(flags)),
            "FAKE_NVML_CONTROL": str(steering),
        }
        served = run_served("agent", "--config", str(config), environment=environment)
        served.__class__ = GpuAgent
        assert isinstance(served, GpuAgent)
        served.control = steering
        return served

    return start
