"""The script of `helm test`, against real parts of a simulated site."""

from __future__ import annotations

import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import chart_render as chart
import pytest
from helm_tools import CHART

from gigawatch.serving import free_port

SCRIPT = CHART / "files" / "test" / "check_metrics.py"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """Addresses of agent, facility, sd and workload, started with the command lines of the demo pod."""
    agent, facility, sd, workload = (free_port(port) for port in (29610, 29710, 29810, 29910))
    log = (tmp_path_factory.mktemp("site") / "log").open("w")
    lines = (
        ["agent", "--simulate", "--blueprint=starter", f"--listen=127.0.0.1:{agent}"],
        ["facility", "--simulate", "--blueprint=starter", f"--listen=127.0.0.1:{facility}"],
        ["sd", "--blueprint=starter", f"--listen=127.0.0.1:{sd}",
         f"--agent=127.0.0.1:{agent}", f"--facility=127.0.0.1:{facility}"],
        ["workload", f"--listen=127.0.0.1:{workload}"],
    )  # fmt: skip
    started = [
        subprocess.Popen([sys.executable, "-m", "gigawatch.cli", *line], stderr=log, stdout=log)
        for line in lines
    ]
    try:
        for port in (agent, facility, sd, workload):
            _wait(port)
        yield {
            "agent": f"http://127.0.0.1:{agent}",
            "facility": f"http://127.0.0.1:{facility}",
            "sd": f"http://127.0.0.1:{sd}",
            "workload": f"http://127.0.0.1:{workload}",
        }
    finally:
        for process in started:
            process.terminate()
        for process in started:
            process.wait(timeout=60)
        log.close()


def _wait(port: int) -> None:
    deadline = time.monotonic() + 60
    while True:
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/-/ready", timeout=10).close()
            return
        except OSError:
            assert time.monotonic() < deadline, f"nothing is ready on port {port}"
            time.sleep(0.1)


def _check(*arguments: str, timeout: float = 60) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(SCRIPT), f"--timeout={timeout}", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=180)


def test_a_sound_site_passes(site: dict[str, str]) -> None:
    result = _check(
        f"agent={site['agent']}/metrics",
        f"facility={site['facility']}/metrics",
        f"sd={site['sd']}/metrics",
        f"workload={site['workload']}/metrics",
        f"nodes={site['sd']}/sd/agents",
        f"devices={site['sd']}/sd/facility",
    )
    assert result.returncode == 0, result.stdout + result.stderr
    assert result.stdout.count("ok ") == 6


def test_missing_series_are_named(site: dict[str, str]) -> None:
    result = _check(f"analytics={site['sd']}/metrics", timeout=0)
    assert result.returncode == 1
    assert "FAIL analytics" in result.stdout
    assert "no series" in result.stdout


def test_a_dead_part_is_named(site: dict[str, str]) -> None:
    result = _check(f"sd={site['sd']}/metrics", "agent=http://127.0.0.1:1/metrics", timeout=0)
    assert result.returncode == 1
    assert "ok   sd" in result.stdout
    assert "FAIL agent http://127.0.0.1:1/metrics" in result.stdout


def test_the_hook_asks_every_part_of_the_release() -> None:
    (hook,) = chart.of_kind(chart.objects("values-starter.yaml"), "Pod")
    assert hook["metadata"]["annotations"]["helm.sh/hook"] == "test"
    (container,) = hook["spec"]["containers"]
    checks = dict(a.split("=", 1) for a in container["args"])
    assert checks.keys() == {"--timeout", "sd", "analytics", "nodes", "devices"}
    services = {
        f"http://{s['metadata']['name']}:{p['port']}"
        for s in chart.of_kind(chart.objects("values-starter.yaml"), "Service")
        for p in s["spec"]["ports"]
    }
    for kind, url in checks.items():
        assert kind == "--timeout" or url.rsplit("/", 1)[0].removesuffix("/sd") in services
    (script,) = [
        o["data"]["check_metrics.py"]
        for o in chart.of_kind(chart.objects("values-starter.yaml"), "ConfigMap")
        if o["metadata"]["name"] == "gw-gigawatch-test"
    ]
    assert script.strip() == Path(SCRIPT).read_text().strip()
