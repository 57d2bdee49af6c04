"""The fault matrix of docs/node-agent.md, one test per row: what is seen, and that it heals by itself.

Everything goes through the agent as a process, pynvml and a driver library; only the driver is not NVIDIA's.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Self

import psutil
import pytest

from gigawatch.catalogue import Metric, gpu, own

Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]
Start = Callable[..., Any]
OK8 = {str(index): "ok" for index in range(8)}


def value(samples: Samples, of: Metric, /, **labels: str) -> float:
    """The one sample that has these labels; 0 if there is none."""
    wanted = set(labels.items())
    found = [v for (name, has), v in samples.items() if name == of.name and wanted <= has]
    assert len(found) < 2, f"{of.name}{labels} is {len(found)} samples"
    return found[0] if found else 0.0


def states(samples: Samples) -> dict[str, str]:
    """The state of each GPU by index (by uuid where it has none); exactly one is 1."""
    found: dict[str, str] = {}
    for (name, labels), at in samples.items():
        if name == gpu.GPU_STATE.name and at == 1:
            named = dict(labels)
            key = named["gpu"] or named["uuid"]
            assert key not in found
            found[key] = named["state"]
    return found


def powered(samples: Samples) -> set[str]:
    """Indexes of the GPUs whose power is known."""
    return {dict(labels)["gpu"] for name, labels in samples if name == gpu.GPU_POWER.name}


def healthy(count: int) -> Callable[[Samples], bool]:
    wanted = {str(index) for index in range(count)}
    return lambda s: set(states(s)) == wanted == powered(s) and set(states(s).values()) == {"ok"}


class Watch:
    """Scrapes all along; the agent must answer, soon, whatever happens to its GPUs."""

    def __init__(self, agent: Any) -> None:
        self.worst, self._agent = 0.0, agent
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self.failures: list[str] = []

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()
        assert not self.failures
        # Three seconds are ages for what takes a millisecond; a crowded machine needs some slack.
        assert self.worst < 3, f"an answer took {self.worst:.1f} s"

    def _run(self) -> None:
        while not self._over.wait(0.1):
            for path in ("/metrics", "/-/healthy"):
                began = time.monotonic()
                try:
                    self._agent.get(path)
                except OSError as error:
                    self.failures.append(f"{path}: {error}")
                self.worst = max(self.worst, time.monotonic() - began)


@pytest.fixture
def agent(gpu_agent: Start, request: pytest.FixtureRequest) -> Iterator[Any]:
    """Eight GPUs, watched from the first healthy page to the end of the test."""
    started = gpu_agent("gpus 8", "live 1", settings={"gpu": {"quarantine_after": 1}})
    started.wait_for(healthy(8))
    with Watch(started):
        yield started


def test_a_gpu_that_hangs(agent: Any) -> None:
    process = agent.child.pid
    agent.steer("gpus 8", "live 1", "hang 3")
    samples = agent.wait_for(lambda s: states(s) == OK8 | {"3": "hung"} and powered(s) == set("0124567"))
    assert value(samples, own.COLLECTOR_STUCK, collector="gpu3") > 0
    assert value(samples, own.COLLECTOR_UP, collector="gpu3") == 0
    of_hung = {name for name, labels in samples if ("gpu", "3") in labels}
    assert of_hung <= {m.name for m in (gpu.GPU_STATE, gpu.GPU_INFO, gpu.GPU_XID_ERRORS, own.GPU_PROBES)}
    assert any(name == gpu.GPU_INFO.name and ("gpu", "3") in labels for name, labels in samples)
    # The others go on: their energy rises from scrape to scrape.
    before = value(samples, gpu.GPU_ENERGY, gpu="2")
    agent.wait_for(lambda s: value(s, gpu.GPU_ENERGY, gpu="2") > before)
    agent.wait_for(lambda s: value(s, own.GPU_PROBES, gpu="3", outcome="hangs") >= 1)
    assert agent.child.pid == process, "one hung GPU is no reason for a new process"
    agent.steer("gpus 8", "live 1")
    agent.wait_for(healthy(8))
    assert agent.child.pid == process


def test_a_gpu_whose_call_never_returns(agent: Any) -> None:
    process = agent.child.pid
    agent.steer("gpus 8", "live 1", "stuck 3")
    agent.wait_for(lambda s: states(s) == OK8 | {"3": "hung"})
    # The GPU is well again, but the thread that asked it sits in the driver for ever.
    agent.steer("gpus 8", "live 1")
    samples = agent.wait_for(healthy(8), seconds=90)
    assert value(samples, own.COLLECTOR_ERRORS, collector="gpu", error="gpu_answers") == 1
    assert agent.child.pid != process


def test_a_driver_that_blocks_as_a_whole(agent: Any) -> None:
    agent.steer("gpus 8", "live 1", "hang_everything 1")
    samples = agent.wait_for(lambda s: set(states(s).values()) == {"hung"} and not powered(s))
    assert value(samples, own.COLLECTOR_UP, collector="host") == 1
    agent.steer("gpus 8", "live 1")
    agent.wait_for(healthy(8), seconds=120)


def test_a_gpu_that_blocks_the_search_for_gpus(gpu_agent: Start) -> None:
    agent = gpu_agent("gpus 8", "hang_index 5", settings={"gpu": {"quarantine_after": 1}})
    agent.wait_for(lambda s: states(s) == OK8 | {"5": "hung"} and powered(s) == set("0123467"))
    agent.steer("gpus 8")
    agent.wait_for(healthy(8))


def test_a_driver_that_blocks_at_its_door(gpu_agent: Start) -> None:
    agent = gpu_agent("gpus 2", "hang_init 1")
    samples = agent.wait_for(lambda s: value(s, own.COLLECTOR_STUCK, collector="gpu") > 0)
    assert value(samples, own.COLLECTOR_UP, collector="gpu") == 0
    assert value(samples, own.COLLECTOR_UP, collector="host") == 1
    agent.steer("gpus 2")
    agent.wait_for(healthy(2))


@pytest.mark.parametrize(
    ("word", "state"),
    [("lost", "lost"), ("gpu_not_found", "missing"), ("unknown", "lost")],
)
def test_a_gpu_that_is_gone(agent: Any, word: str, state: str) -> None:
    agent.steer("gpus 8", "live 1", f"{word} 1")
    samples = agent.wait_for(lambda s: states(s) == OK8 | {"1": state} and powered(s) == set("0234567"))
    assert value(samples, own.COLLECTOR_UP, collector="gpu1") == 0
    agent.wait_for(lambda s: value(s, gpu.GPUS_VISIBLE, source="nvml") == 7)
    agent.steer("gpus 8", "live 1")
    agent.wait_for(healthy(8))


def test_a_gpu_that_needs_a_reset(agent: Any) -> None:
    agent.steer("gpus 8", "live 1", "reset_required 6")
    samples = agent.wait_for(lambda s: states(s) == OK8 | {"6": "reset_required"})
    assert value(samples, own.COLLECTOR_UP, collector="gpu6") == 0
    agent.steer("gpus 8", "live 1")
    agent.wait_for(healthy(8))


def test_a_gpu_that_the_driver_no_longer_lists(agent: Any) -> None:
    agent.steer("gpus 7", "live 1")
    samples = agent.wait_for(lambda s: states(s) == OK8 | {"7": "missing"})
    assert any(name == gpu.GPU_INFO.name and ("gpu", "7") in labels for name, labels in samples)
    assert powered(samples) == set("0123456")
    agent.steer("gpus 8", "live 1")
    agent.wait_for(healthy(8))


def test_a_slow_gpu(agent: Any) -> None:
    agent.steer("gpus 8", "live 1", "slow 2 20000")
    agent.wait_for(lambda s: powered(s) >= set("0134567"))
    before = value(agent.samples(), gpu.GPU_ENERGY, gpu="0")
    agent.wait_for(lambda s: value(s, gpu.GPU_ENERGY, gpu="0") > before)
    agent.steer("gpus 8", "live 1")
    agent.wait_for(healthy(8))


def test_a_driver_that_is_unloaded_and_comes_back(agent: Any) -> None:
    agent.steer("gpus 8", "unload 1", "init 9")
    samples = agent.wait_for(lambda s: set(states(s).values()) == {"missing"} and len(states(s)) == 8)
    assert not powered(samples)
    agent.wait_for(lambda s: value(s, own.COLLECTOR_ERRORS, collector="gpu", error="driver_not_loaded"))
    agent.steer("gpus 8", "live 1")
    agent.wait_for(healthy(8))


def test_a_driver_that_somebody_wants_to_unload(agent: Any) -> None:
    process = agent.child
    agent.steer("gpus 8", "live 1", "unbind 1")
    agent.wait_for(lambda s: value(s, own.COLLECTOR_ERRORS, collector="gpu", error="driver_unbind") == 1)
    assert not process.is_running(), "whoever holds the driver open keeps it from being unloaded"
    agent.steer("gpus 8", "live 1")
    agent.wait_for(healthy(8))


def test_a_driver_that_is_replaced_underneath(
    gpu_agent: Start, driver_library: Callable[[str], Path], tmp_path: Path
) -> None:
    directory = tmp_path / "lib"
    shutil.copytree(driver_library(""), directory)
    agent = gpu_agent("gpus 2", "version 580.1", library=directory)
    agent.wait_for(healthy(2))
    fresh = directory / "fresh"
    shutil.copy(directory / "libnvidia-ml.so.1", fresh)
    fresh.replace(directory / "libnvidia-ml.so.1")
    agent.steer("gpus 2", "mismatch 1")
    agent.wait_for(lambda s: value(s, own.COLLECTOR_ERRORS, collector="gpu", error="version_mismatch"))
    agent.steer("gpus 2", "version 590.2")

    def versions(samples: Samples) -> set[str]:
        info = [dict(labels) for name, labels in samples if name == gpu.GPU_INFO.name]
        return {labels["driver_version"] for labels in info}

    agent.wait_for(lambda s: healthy(2)(s) and versions(s) == {"590.2"})


def test_a_collector_process_that_crashes(agent: Any) -> None:
    before = agent.child
    agent.steer("gpus 8", "live 1", "crash 4")
    agent.wait_for(lambda s: value(s, own.COLLECTOR_ERRORS, collector="gpu", error="exited"))
    agent.steer("gpus 8", "live 1")
    agent.wait_for(lambda s: healthy(8)(s) and value(s, own.COLLECTOR_PROCESS_STARTS, process="gpu") >= 2)
    assert not before.is_running()


def test_a_collector_process_that_leaks(agent: Any) -> None:
    before = agent.child
    agent.steer("gpus 8", "live 1", "leak 4000000")
    agent.wait_for(lambda s: value(s, own.COLLECTOR_PROCESS_STARTS, process="gpu") >= 2, seconds=90)
    assert not before.is_running()
    agent.steer("gpus 8", "live 1")
    samples = agent.wait_for(healthy(8))
    assert value(samples, own.COLLECTOR_PROCESS_MEMORY, process="gpu") < 192 << 20


def test_a_collector_process_that_is_frozen(agent: Any) -> None:
    frozen = agent.child
    frozen.suspend()
    samples = agent.wait_for(lambda s: not powered(s))
    assert set(states(samples).values()) == {"hung"}
    assert value(samples, own.COLLECTOR_UP, collector="host") == 1
    agent.wait_for(healthy(8))
    assert not frozen.is_running()


def test_nothing_accumulates(agent: Any) -> None:
    """Faults one after the other: threads, descriptors and processes are as many afterwards as before."""

    def used() -> tuple[int, int, int]:
        serving = psutil.Process(agent.process.pid)
        family = [serving, *serving.children(recursive=True)]
        return (len(family), sum(p.num_threads() for p in family), sum(p.num_fds() for p in family))

    def fault(*lines: str) -> None:
        agent.steer("gpus 8", "live 1", *lines)
        agent.wait_for(lambda s: not healthy(8)(s))
        time.sleep(2)
        agent.steer("gpus 8", "live 1")
        agent.wait_for(healthy(8), seconds=120)

    fault("hang 1")
    before = used()
    for lines in (("hang 1",), ("lost 2",), ("crash 3",), ("hang 4", "lost 5"), ("hang 1",)):
        fault(*lines)
    deadline = time.monotonic() + 30
    while (after := used()) > before and time.monotonic() < deadline:
        time.sleep(0.5)
    assert after[0] <= before[0]
    assert after[1] <= before[1] + 2
    assert after[2] <= before[2] + 4


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
def test_no_process_is_left_behind(gpu_agent: Start, how: signal.Signals) -> None:
    agent = gpu_agent("gpus 2", "hang 0", settings={"gpu": {"quarantine_after": 0.5}})
    agent.wait_for(lambda s: value(s, own.GPU_PROBES, gpu="0", outcome="hangs") >= 1)
    family = psutil.Process(agent.process.pid).children(recursive=True)
    agent.process.send_signal(how)
    status = agent.process.wait(30)
    assert status == (0 if how == signal.SIGTERM else -signal.SIGKILL)
    deadline = time.monotonic() + 30
    while any(p.is_running() and p.status() != psutil.STATUS_ZOMBIE for p in family):
        assert time.monotonic() < deadline, "a process outlived its parent"
        time.sleep(0.05)


def test_the_serving_process_never_loads_the_driver(agent: Any) -> None:
    maps = Path(f"/proc/{agent.process.pid}/maps").read_text()
    assert "libnvidia-ml" not in maps
    assert "libnvidia-ml" in Path(f"/proc/{agent.child.pid}/maps").read_text()


def test_the_matrix_names_these_tests() -> None:
    """Each row of the documented matrix has its test here, and each test of a fault its row."""
    page = (Path(__file__).parents[2] / "docs" / "node-agent.md").read_text()
    rows = set(re.findall(r"`(test_\w+)`", page))
    known = {name for name in globals() if name.startswith("test_a_")}
    assert known <= rows
    here = os.listdir(Path(__file__).parent)  # noqa: PTH208 - names are enough
    sources = "".join((Path(__file__).parent / name).read_text() for name in here if name.endswith(".py"))
    assert all(f"def {name}(" in sources for name in rows)
