"""Pages of simulated nodes and devices: complete, declared, and gone with the plant."""

from __future__ import annotations

import gzip
import subprocess
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import psutil
import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics

from exporters.simulated import Simulated, SimulatedProducer, open_plant
from gigawatch.catalogue import Metric, Origin, Presence, all_metrics, domain_of, facility, gpu, own
from gigawatch.errors import UserError
from gigawatch.readings import Reading
from gigawatch.serving import to_openmetrics
from gigawatch.topology import blueprint

Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]
Parse = Callable[[str], Samples]


def check_declared(samples: Samples) -> set[str]:
    """Every series is declared, with exactly its labels and allowed values; returns the names."""
    declared = {name: metric for metric in all_metrics() for name in metric.sample_names}
    for name, labels in samples:
        metric = declared[name]
        edge = {"le"} if name.endswith("_bucket") else set()
        assert {key for key, _ in labels} <= {*metric.labels, *edge}, name
        for label, allowed in metric.values.items():
            assert dict(labels).get(label, "") in allowed, f"{name} {label}"
    return {name for name, _ in samples}


def promtool(text: str) -> None:
    lint = subprocess.run(
        ["promtool", "check", "metrics"], input=text, text=True, capture_output=True, timeout=30
    )
    assert lint.returncode == 0, lint.stdout + lint.stderr


def test_every_page_of_a_site_is_complete_and_declared(parse_text: Parse) -> None:
    inventory = blueprint("starter")
    view = open_plant(inventory)
    agents = SimulatedProducer(Simulated(inventory, "agent", 5.0), view).frame()
    devices = SimulatedProducer(Simulated(inventory, "facility", 5.0), view).frame()
    assert set(agents.pages) == set(inventory.node)
    assert set(devices.pages) == set(inventory.device)
    emitted: set[str] = set()
    for pages, origin in ((agents.pages, Origin.AGENT), (devices.pages, Origin.FACILITY)):
        for name, page in pages.items():
            text = gzip.decompress(page.text).decode()
            assert gzip.decompress(page.openmetrics) == to_openmetrics(text.encode())
            names = check_declared(parse_text(text))
            always = {
                series
                for m in all_metrics()
                if m.origin is origin and m.presence is Presence.ALWAYS
                for series in m.sample_names
            }
            assert always <= names, f"{name} lacks {sorted(always - names)}"
            assert own.EXPORTER_BUILD_INFO.name in names
            opened = list(parse_openmetrics(to_openmetrics(text.encode()).decode()))
            assert sum(len(f.samples) for f in opened) == len(parse_text(text))
            emitted |= names
    promtool(gzip.decompress(agents.pages["r01-n01"].text).decode())
    promtool(gzip.decompress(devices.pages["cdu-1"].text).decode())
    # What only other devices have (transfer switches, filters, smoke detectors) stands in the other domains.
    unheard = {m.name for m in all_metrics() if domain_of(m) == "facility"} - emitted
    assert not unheard, f"no device of the starter site emits {sorted(unheard)}"


class Plant:
    """A view whose time and contents the test sets."""

    def __init__(self) -> None:
        self.published: float | None = 1000.0
        self.readings: list[Reading] = [Reading(facility.FACILITY_POLL_UP, (), 1.0)]

    def refresh(self) -> float:
        if self.published is None:
            raise UserError("no plant publishes here")
        return self.published

    def node_readings(self, node: str) -> Iterable[Reading]:
        return [Reading(gpu.GPU_PERFORMANCE_STATE, ("0", node), 0.0)] if self.readings else []

    def device_readings(self, device: str) -> Iterable[Reading]:
        assert device
        return self.readings


def metric_value(samples: Samples, of: Metric) -> list[float]:
    return [value for (name, _), value in samples.items() if name == of.name]


def test_a_plant_that_stops_takes_its_values_with_it(parse_text: Parse) -> None:
    now, plant = [1000.0], Plant()
    inventory = blueprint("starter")
    agents = SimulatedProducer(Simulated(inventory, "agent", 5.0), plant, lambda: now[0])
    devices = SimulatedProducer(Simulated(inventory, "facility", 5.0), plant, lambda: now[0])

    def pages() -> tuple[Samples, Samples]:
        texts = agents.frame().pages["r01-n01"], devices.frame().pages["cdu-1"]
        node, device = (parse_text(gzip.decompress(page.text).decode()) for page in texts)
        return node, device

    now[0] += 14
    node, device = pages()
    assert metric_value(node, gpu.GPU_PERFORMANCE_STATE) == [0]
    assert metric_value(node, own.COLLECTOR_UP) == [1, 1]
    assert metric_value(device, facility.FACILITY_POLL_UP) == [1]
    for published in (1000.0, None):
        now[0], plant.published = 1016.0, published
        node, device = pages()
        assert metric_value(node, gpu.GPU_PERFORMANCE_STATE) == []
        assert metric_value(node, own.COLLECTOR_UP) == [0, 0]
        assert metric_value(device, facility.FACILITY_POLL_UP) == [0]
    (health,) = agents.frame().health
    assert set(health.errors) == {"stale", "plant"}
    plant.published = 1016.0
    node, _ = pages()
    assert metric_value(node, own.COLLECTOR_UP) == [1, 1]
    plant.readings = []
    assert agents.frame().pages["r01-n01"] == (b"", b""), "a node without power serves nothing"


def test_agent_and_facility_follow_a_real_plant(
    run_served: Callable[..., Any], tmp_path: Path, parse_text: Parse
) -> None:
    state = tmp_path / "state"
    plant = run_served_plant(run_served, state)
    shared = ("--simulate", "--blueprint", "starter", "--state", str(state), "--interval", "500ms")
    agent, exporter = run_served("agent", *shared), run_served("facility", *shared)
    node, device = "/nodes/r01-n01/metrics", "/devices/cdu-1/metrics"
    agent.wait_for(lambda s: any(v == 1 for v in metric_value(s, own.COLLECTOR_UP)), path=node)
    exporter.wait_for(lambda s: metric_value(s, facility.FACILITY_POLL_UP) == [1], path=device)
    with pytest.raises(OSError, match="404"):
        agent.get("/nodes/nowhere/metrics")
    own_page = agent.samples()
    assert metric_value(own_page, gpu.GPU_POWER) == []
    assert any(name == "process_resident_memory_bytes" for name, _ in own_page)
    psutil.Process(plant.process.pid).suspend()
    agent.wait_for(lambda s: metric_value(s, own.COLLECTOR_UP) == [0, 0], path=node)
    exporter.wait_for(lambda s: metric_value(s, facility.FACILITY_POLL_UP) == [0], path=device)
    assert metric_value(agent.samples(node), gpu.GPU_POWER) == []
    psutil.Process(plant.process.pid).resume()
    agent.wait_for(lambda s: len(metric_value(s, gpu.GPU_POWER)) >= 8, path=node)
    frozen = agent.child
    frozen.suspend()
    agent.wait_for(lambda s: metric_value(s, own.COLLECTOR_UP) == [0, 0], path=node)
    began = time.monotonic()
    assert agent.get("/-/healthy") == "ok\n"
    assert time.monotonic() - began < 5
    agent.wait_for(lambda s: metric_value(s, own.COLLECTOR_UP) == [1, 1], path=node)
    assert not frozen.is_running()


def run_served_plant(run_served: Callable[..., Any], state: Path) -> Any:
    inventory = Path(blueprint("starter").source)
    return run_served("plant", "--inventory", str(inventory), "--state", str(state))
