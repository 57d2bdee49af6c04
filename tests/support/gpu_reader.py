"""GPU sources in a process of their own, read on command: the fake driver is loaded as the real one would be.

As a command it answers lines of JSON on standard input with one line of JSON each: see `_answer`.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from fake_driver import FakeDriver

from exporters.gpu.binding import Lane
from exporters.runtime import SourceError
from exporters.runtime.gate import Gate
from gigawatch.catalogue import Metric, by_name
from gigawatch.readings import Reading


@dataclass(frozen=True)
class Pass:
    """One read of one lane, behind the range gate."""

    rows: dict[tuple[str, tuple[str, ...]], float]
    error: str
    rejected: dict[str, str]
    """Metric name to the reason why a value was not let through."""
    condition: str
    note: dict[str, Any]
    again: bool
    """Every label tuple is the same object as in the pass before."""

    def value(self, metric: Metric, *labels: str) -> float | None:
        """The value with these labels behind gpu and uuid."""
        found = [v for (name, has), v in self.rows.items() if name == metric.name and has[2:] == labels]
        assert len(found) < 2
        return found[0] if found else None

    def of(self, metric: Metric) -> dict[tuple[str, ...], float]:
        """All values of a metric, by the labels behind gpu and uuid."""
        return {has[2:]: v for (name, has), v in self.rows.items() if name == metric.name}

    @property
    def metrics(self) -> set[Metric]:
        return {by_name(name) for name, _ in self.rows}


class GpuReader:
    """The test's end. A context manager; `options` go to GpuSource."""

    def __init__(self, driver: FakeDriver, **options: Any) -> None:
        self.driver = driver
        self._process = subprocess.Popen(
            [sys.executable, __file__, json.dumps(options)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | driver.environment,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, _: object, __: TracebackType | None) -> None:
        self._process.kill()
        self._process.communicate()

    def fast(self, gpu: int = 0) -> Pass:
        """One pass of the fast lane."""
        return self._ask({"gpu": gpu, "lane": "fast"})

    def slow(self, gpu: int = 0) -> Pass:
        """One pass of the slow lane."""
        return self._ask({"gpu": gpu, "lane": "slow"})

    def settled(self, gpu: int = 0) -> tuple[Pass, Pass]:
        """Both lanes once everything has been found out: profiling, and what comes in place of what."""
        for _ in range(3):
            self.fast(gpu)
        self.slow(gpu)
        return self.fast(gpu), self.slow(gpu)

    def while_profiling(self, busy: int, gpu: int) -> Pass:
        """A pass of the fast lane while another GPU's is inside the driver's profiling."""
        return self._ask({"gpu": gpu, "lane": "fast", "busy": busy})

    def _ask(self, order: dict[str, Any]) -> Pass:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        told = json.loads(self._process.stdout.readline())
        rows = {(name, tuple(labels)): value for name, labels, value in told.pop("rows")}
        return Pass(rows, **told)


@dataclass
class _Lanes:
    """The child's end."""

    options: dict[str, Any]
    nvml: Any = None
    sources: dict[tuple[int, str], Any] = field(default_factory=dict)
    devices: dict[int, Any] = field(default_factory=dict)
    labels: dict[tuple[int, str], list[Any]] = field(default_factory=dict)

    def source(self, gpu: int, lane: str) -> Any:
        from exporters.gpu.device import Gpu, GpuSource
        from exporters.gpu.nvml import Nvml

        if self.nvml is None:
            self.nvml = Nvml()
            self.nvml.open()
        if gpu not in self.devices:
            handle = self.nvml.call("nvmlDeviceGetHandleByIndex", gpu)
            self.devices[gpu] = Gpu(self.nvml, gpu, self.nvml.call("nvmlDeviceGetUUID", handle), handle)
        if (gpu, lane) not in self.sources:
            self.sources[gpu, lane] = GpuSource(self.devices[gpu], Lane(lane), 1.0, 0.5, **self.options)
        return self.sources[gpu, lane]

    def read(self, gpu: int, lane: str) -> dict[str, Any]:
        source, gate = self.source(gpu, lane), Gate()
        raw: list[Reading] = []
        error = ""
        try:
            raw.extend(source.read())
        except SourceError as caught:
            error = caught.kind
        rows = gate.sift(raw)
        names = [(row.metric.name, row.labels) for row in rows]
        assert len(set(names)) == len(names), "a series stands twice"
        before = self.labels.get((gpu, lane), [])
        self.labels[gpu, lane] = now = [row.labels for row in rows]
        device = self.devices[gpu]
        return {
            "rows": [(row.metric.name, row.labels, row.value) for row in rows],
            "error": error,
            "rejected": dict(gate.rejected.keys()),
            "condition": device.condition,
            "note": {"mig": device.mig, "pids": device.pids, "bus": device.bus, "info": device.info},
            "again": len(now) == len(before) and all(a is b for a, b in zip(now, before, strict=True)),
        }


def _answer(lanes: _Lanes, order: dict[str, Any]) -> dict[str, Any]:
    """`gpu` and `lane`: which source to read; `busy`: a GPU whose fast lane is read meanwhile."""
    if "busy" not in order:
        return lanes.read(order["gpu"], order["lane"])
    from exporters.gpu.gpm import TURN

    other = threading.Thread(target=lanes.read, args=(order["busy"], "fast"))
    lanes.source(order["gpu"], order["lane"])
    other.start()
    while not TURN.taken:
        time.sleep(0.001)
    return lanes.read(order["gpu"], order["lane"])


def main(options: dict[str, Any]) -> None:
    if "root" in options:
        options["root"] = Path(options["root"])
    lanes = _Lanes(options)
    for line in sys.stdin:
        print(json.dumps(_answer(lanes, json.loads(line))), flush=True)


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
