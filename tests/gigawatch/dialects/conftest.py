"""A real Prometheus that scrapes recordings, and a real node_exporter, under our rules."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from exporters_served import FIXTURES, FULL, Served, inventory_text
from prometheus_run import Prometheus, free_port

from alerts import dialects, prometheus
from gigawatch.artifacts import BuildOptions
from gigawatch.promql.dialects import DIALECTS

PLACE = {"site": "s1", "rack": "r1"}
RECORDED = {
    # Target -> recording, labels of the target, whether the exporter's labels win.
    "l4": ("dcgm-l4.prom", PLACE, False),
    "a800": ("dcgm-a800-mig.prom", PLACE, False),
    "a30": ("dcgm-a30-pods.prom", PLACE, True),
    "a30-exported": (
        "dcgm-a30-pods.prom",
        {**PLACE, "node": "n5", "pod": "exporter-x", "namespace": "gpu-operator", "container": "exporter"},
        False,
    ),
    "a30-power": ("dcgm-a30-mig-power.prom", PLACE, False),
    "unknown": ("dcgm-unknown-values.prom", {**PLACE, "node": "n7"}, False),
    "full": ("", {**PLACE, "node": "n1"}, False),
}
_PACE = 0.01
"""Holds of alerts become as short as they may be: ten seconds."""


@pytest.fixture(scope="session")
def node_exporter(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of a node_exporter that tells of this machine."""
    program = shutil.which("prometheus-node-exporter") or shutil.which("node_exporter")
    assert program, "node_exporter is missing; install it with: scripts/setup test"
    address = f"127.0.0.1:{free_port()}"
    log = (tmp_path_factory.mktemp("node-exporter") / "log").open("w")
    process = subprocess.Popen(
        [program, f"--web.listen-address={address}", "--no-collector.systemd"], stdout=log, stderr=log
    )
    yield address
    process.terminate()
    process.wait(10)
    log.close()


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory, node_exporter: str) -> Iterator[Prometheus]:
    """Prometheus with all our rules, some seconds after an XID 79 on the GPU of node n1."""
    folder = tmp_path_factory.mktemp("dialects")
    recordings = {name: (FIXTURES / file).read_text() for name, (file, *_) in RECORDED.items() if file}
    recordings["roce"] = (FIXTURES / "node-exporter-roce.prom").read_text()
    with Served({**recordings, "full": FULL.text, "inventory": inventory_text}) as served:
        jobs = [
            {
                "job_name": f"dcgm-exporter-{name}",
                "metrics_path": f"/{name}",
                "honor_labels": honoured,
                "static_configs": [{"targets": [served.address], "labels": labels}],
            }
            for name, (_, labels, honoured) in RECORDED.items()
        ]
        jobs += [
            _job("node-exporter", "/metrics", node_exporter, {**PLACE, "node": "n1"}),
            # Without a label node: it is taken from the address.
            _job("node-exporter-roce", "/roce", served.address, PLACE),
            {**_job("gigawatch-sd", "/inventory", served.address, {}), "honor_labels": True},
        ]
        rules = {"recording": prometheus.recording_rules()}
        rules["alerts"] = prometheus.alert_rules(BuildOptions(pace=_PACE))
        rules |= {dialect.name: dialects.rules(dialect) for dialect in DIALECTS}
        for name, text in rules.items():
            (folder / f"{name}.yml").write_text(text)
        config = {
            "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
            "rule_files": [f"{name}.yml" for name in rules],
            "scrape_configs": jobs,
        }
        (folder / "prometheus.yml").write_text(yaml.safe_dump(config))
        with Prometheus(folder) as running:
            running.until('count(aif_gpu_power_watts{node="n1"})', 40)
            time.sleep(3)  # a few samples, so that the XID is seen to change
            FULL.fail()
            yield running


def _job(name: str, path: str, address: str, labels: dict[str, str]) -> dict[str, object]:
    static = [{"targets": [address], "labels": labels}]
    return {"job_name": name, "metrics_path": path, "static_configs": static}


@pytest.fixture(scope="session", autouse=True)
def _no_proxy() -> None:
    os.environ.setdefault("NO_PROXY", "127.0.0.1,localhost")


@pytest.fixture(scope="session")
def checkout_rules() -> dict[str, Path]:
    """The generated rule files of the checkout, by dialect."""
    root = Path(__file__).parents[3]
    return {one.name: root / "alerts" / "generated" / "dialects" / f"{one.name}.yml" for one in DIALECTS}
