"""`gigawatch up --workload FILE`: engines of this machine, on the boards beside its GPUs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
import yaml
from engine_server import EngineServer

from gigawatch.local import stack, tools
from gigawatch.local.plan import PORTS, Layout, Plan
from gigawatch.topology import load_inventory

MACHINE = tools.Machine("580.1", 8)


def _wanted(tmp_path: Path, engine: str) -> stack.Wanted:
    """What `up` wants on a machine with GPUs that nobody has described, and an engine."""
    inventory = tmp_path / "inventory.yaml"
    inventory.write_text(stack.this_machine(MACHINE, "gpu-box", PORTS["agent"]))
    settings = tmp_path / "workload.yaml"
    settings.write_text(f"engines: {{targets: [{{address: '{engine}'}}]}}\nqueues: {{slurm: off}}\n")
    found = tools.require("prometheus", "promtool", "alertmanager")
    return stack.Wanted(load_inventory(inventory), inventory, False, 1, 1.0, False, found, settings)


def _plan(wanted: stack.Wanted, layout: Layout) -> Plan:
    ports, _ = stack.choose_ports([*stack.part_names(wanted), "supervisor"])
    stack.write_files(wanted, layout, ports)
    return stack.make_plan(wanted, layout, ports)


def _until(what: Callable[[], Any]) -> Any:
    deadline = time.monotonic() + 90
    while True:
        try:
            if found := what():
                return found
        except OSError:
            pass
        assert time.monotonic() < deadline, "not in time"
        time.sleep(0.2)


def _json(url: str) -> Any:
    with urllib.request.urlopen(url, timeout=5) as answer:
        return json.load(answer)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_tokens_of_an_engine_here_carry_this_node(tmp_path: Path, host: str) -> None:
    """The plan's own commands of workload and Prometheus, a recording of vLLM as the engine."""
    with EngineServer() as engine:
        plan = _plan(_wanted(tmp_path, f"{host}:{engine.port}"), Layout(tmp_path / "state"))
        workload, prometheus = plan.part("workload"), plan.part("prometheus")
        environment = {k: v for k, v in os.environ.items() if not k.startswith("KUBERNETES_")}
        started: list[subprocess.Popen[bytes]] = []
        with (tmp_path / "log").open("w") as log:
            try:
                started.extend(
                    subprocess.Popen(part.command, stdout=log, stderr=log, env=environment)
                    for part in (workload, prometheus)
                )
                _until(lambda: urllib.request.urlopen(workload.health, timeout=5).status == 200)
                query = quote('aif_inference_tokens_total{kind="generation"}')
                (found,) = _until(
                    lambda: _json(f"{prometheus.url}/api/v1/query?query={query}")["data"]["result"]
                )
            finally:
                for process in started:
                    process.terminate()
                for process in started:
                    process.wait(60)
    labels = found["metric"]
    assert float(found["value"][1]) > 0
    assert (labels["site"], labels["rack"], labels["node"]) == ("local", "rack-1", "gpu-box")
    assert (labels["job"], labels["engine"]) == ("gigawatch-workload", "vllm")


def test_nothing_of_it_runs_unless_asked_for(tmp_path: Path) -> None:
    wanted = _wanted(tmp_path, "127.0.0.1:8000")
    assert "workload" in stack.part_names(wanted)
    without = replace(wanted, workload=None)
    assert "workload" not in stack.part_names(without)
    layout = Layout(tmp_path / "state")
    _plan(without, layout)
    jobs = yaml.safe_load((layout.etc / "prometheus.yml").read_text())["scrape_configs"]
    assert "gigawatch-workload" not in {job["job_name"] for job in jobs}


def test_settings_that_cannot_be_used_are_told_before_anything_starts(tmp_path: Path) -> None:
    settings = tmp_path / "workload.yaml"
    settings.write_text("engines: {interval: often}\n")
    command = ["up", "--state", str(tmp_path / "state"), "--workload", str(settings)]
    done = subprocess.run(
        [sys.executable, "-m", "gigawatch.cli", *command], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"gigawatch: {settings}:1: engines.interval: ")
    assert not (tmp_path / "state").exists()


def test_sound_settings_pass_the_check_without_a_word_and_without_asking_anybody(tmp_path: Path) -> None:
    with EngineServer() as engine:
        wanted = _wanted(tmp_path, f"127.0.0.1:{engine.port}")
        command = ["workload", "--check", "--config", str(wanted.workload)]
        done = subprocess.run(
            [sys.executable, "-m", "gigawatch.cli", *command], capture_output=True, text=True, timeout=120
        )
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
        assert engine.asked == []
