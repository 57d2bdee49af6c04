"""Shared: a fake driver library, and agents started as real processes with it."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path

import psutil
import pytest
from fake_driver import FakeDriver, built
from prometheus_client.parser import text_string_to_metric_families

Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


@pytest.fixture(scope="session")
def driver_library() -> Callable[[str], Path]:
    """Directory with a fake libnvidia-ml.so.1, built on first use; `flags` such as -DOLD_DRIVER."""

    def find(flags: str = "") -> Path:
        try:
            return built(flags)
        except FileNotFoundError as error:
            pytest.skip(str(error))

    return find


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
        (only,) = filter(_collects, psutil.Process(self.process.pid).children())
        return only


def _collects(process: psutil.Process) -> bool:
    """Not a probe, nor something that is about to be reaped."""
    with contextlib.suppress(psutil.Error):
        return any("exporters.runtime.child" in word for word in process.cmdline())
    return False


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

    driver: FakeDriver
    start_again: Callable[[], Served]

    def restart(self, how: signal.Signals = signal.SIGTERM) -> None:
        """End it, whether it likes it or not, and start another with the same settings."""
        self.process.send_signal(how)
        self.process.wait(30)
        fresh = self.start_again()
        self.process, self.log, self.url = fresh.process, fresh.log, fresh.url

    def steer(self, *lines: str) -> None:
        """Tell the fake driver how to behave from now on."""
        self.driver.write(*lines)


@pytest.fixture
def gpu_agent(
    run_served: Callable[..., Served], driver_library: Callable[[str], Path], tmp_path: Path
) -> Iterator[Callable[..., GpuAgent]]:
    """Start an agent with GPUs of four NVLinks; `library` is the directory that the loader searches."""
    drivers: list[FakeDriver] = []

    def start(
        *control: str,
        flags: str = "-DNO_OFA",
        library: Path | None = None,
        interval: str = "500ms",
        settings: Mapping[str, object] | None = None,
        kernel_log: Path | None = None,
    ) -> GpuAgent:
        config = tmp_path / "agent.yaml"
        collectors = {"gpu": "on", "kernel_log": kernel_log is not None, "power": False, "storage": False}
        chosen = {"interval": interval, "slow_interval": interval, "collectors": collectors}
        if kernel_log is not None:
            chosen["kernel_log"] = str(kernel_log)
        # Settings in JSON are settings in YAML.
        config.write_text(json.dumps({**chosen, **(settings or {})}))
        found = library or driver_library(flags)
        driver = FakeDriver(
            tmp_path / "control", *control, library=found, always=("links * 4",), kernel_log=kernel_log
        )
        drivers.append(driver)
        begin = partial(run_served, "agent", "--config", str(config), environment=driver.environment)
        served = begin()
        served.__class__ = GpuAgent
        assert isinstance(served, GpuAgent)
        served.driver, served.start_again = driver, begin
        return served

    yield start
    for driver in drivers:
        driver.close()
