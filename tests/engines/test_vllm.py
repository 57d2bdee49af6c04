"""A real vLLM: counts that agree with what its clients were told; idle, frozen and dead told apart.

Engine, `gigawatch workload`, Prometheus and the rules that users get. Opt-in: `make test-engines`.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from prometheus_run import Prometheus, free_port
from vllm_server import MODEL, Vllm

pytestmark = pytest.mark.engine
STEP = 15
"""Seconds between scrapes and between evaluations of rules, as in the chart."""
IN_TIME = 60.0
IDLE = 600.0
_HOME = Path(os.environ.get("GIGAWATCH_ENGINES", ".engines")).resolve() / "vllm-0.32.0"
_RULES = ("recording-rules.yml", "prometheus-rules.yml")
_OURS = 'alertname=~"Inference.*|Workload.*"'


@pytest.fixture
def vllm(tmp_path: Path) -> Iterator[Vllm]:
    if not (_HOME / ".ready").exists():
        pytest.fail(f"no vLLM in {_HOME}; run: make test-engines")
    server = Vllm(_HOME, tmp_path, free_port())
    try:
        server.wait_ready()
        yield server
    finally:
        server.stop()


@pytest.fixture
def watched(vllm: Vllm, tmp_path: Path, checkout: Path) -> Iterator[Prometheus]:
    """The engine, scraped by `gigawatch workload`, that by Prometheus with the generated rules."""
    port = free_port()
    settings = {
        "listen": f"127.0.0.1:{port}",
        "engines": {"targets": [{"address": f"127.0.0.1:{vllm.port}", "node": "n1"}]},
    }
    (tmp_path / "workload.yaml").write_text(yaml.safe_dump(settings))
    config = {
        "global": {"scrape_interval": f"{STEP}s", "evaluation_interval": f"{STEP}s"},
        "rule_files": [str(checkout / "alerts/generated" / name) for name in _RULES],
        "scrape_configs": [
            {
                "job_name": "gigawatch-workload",
                "http_sd_configs": [{"url": f"http://127.0.0.1:{port}/targets", "refresh_interval": "5s"}],
                "relabel_configs": [{"target_label": "site", "replacement": "s"}],
            }
        ],
    }
    (tmp_path / "prometheus.yml").write_text(yaml.safe_dump(config))
    command = [sys.executable, "-m", "gigawatch.cli", "workload", "--config", str(tmp_path / "workload.yaml")]
    with (tmp_path / "workload.log").open("wb") as log:
        workload = subprocess.Popen(command, stdout=log, stderr=log)
        try:
            with Prometheus(tmp_path) as prometheus:
                prometheus.until("aif_inference_engine_up == 1", 60)
                yield prometheus
        finally:
            workload.terminate()
            workload.wait(20)


def _firing(prometheus: Prometheus) -> set[str]:
    found = prometheus.query(f'ALERTS{{alertstate="firing",{_OURS}}}')
    return {labels["alertname"] for labels, _ in found}


def test_tokens_equal_the_usage_that_clients_were_told(vllm: Vllm, watched: Prometheus) -> None:
    long = "0123456789 " * 40  # the tokenizer knows no digits: more tokens than the 128 of a cache block
    for n in range(6):
        vllm.complete(f"{n} watt", 20 + n)
        vllm.complete(f"token {n}", 50, stream=True)
        vllm.complete(long, 7)  # the same prompt again: most of it is in the cache
    told = vllm.told
    assert told["requests"] == 18
    assert told["completion_tokens"] == sum(20 + n for n in range(6)) + 6 * 50 + 6 * 7

    total = 'sum(aif_inference_tokens_total{kind="generation"})'
    watched.until(f"{total} == {told['completion_tokens']}", 45)
    prompts = watched.value('sum(aif_inference_tokens_total{kind="prompt"})')
    cached = watched.value('sum(aif_inference_tokens_total{kind="prompt",source="cached"})')
    assert prompts == told["prompt_tokens"]
    assert cached == told["cached_tokens"] > 0
    assert watched.value("sum(aif_inference_requests_total)") == told["requests"]
    assert watched.value("aif_inference_unmapped_metrics") == 0
    assert watched.value("aif_inference_missing_metrics") == 0
    assert {labels["model"] for labels, _ in watched.query("aif_inference_engine_up")} == {MODEL}
    assert _firing(watched) == set()


def test_an_idle_engine_raises_nothing(vllm: Vllm, watched: Prometheus) -> None:
    vllm.complete("watt", 30)
    until = time.monotonic() + IDLE
    while time.monotonic() < until:
        time.sleep(STEP)
        alerts = watched.query(f"ALERTS{{{_OURS}}}")
        assert alerts == [], alerts


def test_a_frozen_core_is_told_within_a_minute_and_heals(vllm: Vllm, watched: Prometheus) -> None:
    with vllm.load():
        watched.until("sum(aif_inference_requests_running) > 0", 60)
        core = vllm.core
        core.send_signal(signal.SIGSTOP)
        began = time.monotonic()
        watched.until('ALERTS{alertstate="firing",alertname="InferenceEngineHung"}', IN_TIME)
        print(f"frozen told after {time.monotonic() - began:.0f} s")
        assert "InferenceEngineDown" not in _firing(watched)
        core.send_signal(signal.SIGCONT)
        watched.until('absent(ALERTS{alertstate="firing",alertname="InferenceEngineHung"})', 120)


def test_a_killed_core_is_told_within_a_minute(vllm: Vllm, watched: Prometheus) -> None:
    with vllm.load():
        watched.until("sum(aif_inference_requests_running) > 0", 60)
        vllm.core.kill()
        began = time.monotonic()
        told = 'ALERTS{alertstate="firing",alertname=~"InferenceEngineDown|InferenceEngineUnhealthy"}'
        watched.until(told, IN_TIME)
        print(f"dead told after {time.monotonic() - began:.0f} s")
        assert "InferenceEngineHung" not in _firing(watched)
