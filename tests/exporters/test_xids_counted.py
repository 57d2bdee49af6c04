"""XIDs through the whole agent: the driver's events and the kernel log, restarts and crashes between them."""

from __future__ import annotations

import random
import signal
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from gigawatch.catalogue import Metric, gpu, own

Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]
CODES = (13, 31, 43, 48, 63, 74, 79, 94, 119, 145)


def counted(samples: Samples) -> Counter[tuple[str, str]]:
    """Events by GPU and code; whoever told of an event first, it is one."""
    found: Counter[tuple[str, str]] = Counter()
    for (name, labels), value in samples.items():
        named = dict(labels)
        if name == gpu.GPU_XID_ERRORS.name and value:
            found[named["gpu"], named["xid"]] += int(value)
    return found


def of(samples: Samples, metric: Metric, collector: str, **labels: str) -> float:
    """A collector's self-metric; 0 if there is none."""
    wanted = {("collector", collector), *labels.items()}
    return sum(value for (name, has), value in samples.items() if name == metric.name and wanted <= has)


def test_a_thousand_xids_over_restarts_and_a_crash(gpu_agent: Callable[..., Any], tmp_path: Path) -> None:
    log = tmp_path / "kmsg"
    agent = gpu_agent("gpus 8", settings={"state_directory": str(tmp_path / "state")}, kernel_log=log)
    agent.wait_for(lambda s: len({dict(k[1])["gpu"] for k in s if k[0] == gpu.GPU_INFO.name}) == 8)
    chance, sent = random.Random(1), Counter[tuple[str, str]]()

    def send(count: int) -> None:
        for _ in range(count):
            where, code = chance.randrange(8), chance.choice(CODES)
            agent.driver.xid(where, code)
            sent[str(where), str(code)] += 1
            if chance.random() < 0.02:
                time.sleep(0.1)

    send(200)
    agent.restart(signal.SIGTERM)
    send(200)  # while the new agent may still be starting: only the kernel log tells of some of these
    agent.wait_for(lambda s: sum(counted(s).values()) >= 100)
    agent.steer("gpus 8", "crash 3")
    send(200)
    agent.wait_for(
        lambda s: any(k[0] == own.COLLECTOR_ERRORS.name and ("error", "exited") in k[1] for k in s)
    )
    agent.steer("gpus 8")
    send(200)
    agent.restart(signal.SIGKILL)
    send(200)
    agent.wait_for(lambda s: sum(counted(s).values()) >= 1000)
    time.sleep(3)  # what would be counted twice, would be by now
    assert counted(agent.samples()) == sent


def test_a_kernel_log_that_cannot_be_read(gpu_agent: Callable[..., Any], tmp_path: Path) -> None:
    log = tmp_path / "kmsg"
    log.mkdir()  # not readable as a log, whoever we are
    config = {"collectors": {"gpu": "on", "kernel_log": True}, "kernel_log": str(log)}
    agent = gpu_agent("gpus 1", settings=config)
    agent.wait_for(
        lambda s: of(s, own.COLLECTOR_ERRORS, "kernel_log") and of(s, own.COLLECTOR_UP, "gpu0_slow")
    )
    time.sleep(1)  # its events are asked for right after it was found
    agent.driver.xid(0, 31)
    agent.wait_for(lambda s: counted(s) == {("0", "31"): 1})
    log.rmdir()
    log.touch()
    agent.driver.kernel_log = log
    agent.driver.xid(0, 48)
    agent.wait_for(lambda s: counted(s) == {("0", "31"): 1, ("0", "48"): 1}, seconds=120)
    agent.wait_for(lambda s: of(s, own.COLLECTOR_UP, "kernel_log") == 1, seconds=120)
