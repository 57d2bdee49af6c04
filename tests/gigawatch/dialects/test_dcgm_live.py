"""The rules for dcgm-exporter over recordings of real ones, evaluated by a real Prometheus."""

from __future__ import annotations

import re

import pytest
from board_queries import filled, inputs, queries
from prometheus_run import Prometheus

from alerts.rules import all_alerts
from gigawatch.catalogue import by_name, gpu_activity
from gigawatch.promql.dialects import DCGM, DIALECTS, Dialect

FULL = 'node="n1"'
H100 = "GPU-8b2281de-6d3c-22ed-0ec8-d3b864870b8b"


@pytest.mark.parametrize("dialect", DIALECTS, ids=lambda one: one.name)
def test_every_series_has_exactly_our_labels(cluster: Prometheus, dialect: Dialect) -> None:
    allowed = {}
    for row in dialect.rows:
        fixed = {**row.fixed, "source": row.fixed.get("source", dialect.source)}
        allowed.setdefault(row.metric.name, []).append((set(row.by), fixed))
    found = cluster.query('{__name__=~"aif_.+",source!=""}')
    if dialect is DCGM:
        # No recording shows the load of a partition; test_dcgm_cases has it.
        written = {row.metric.name for row in dialect.rows} - {gpu_activity.GPU_MIG_SM_ACTIVE.name}
        assert {labels["__name__"] for labels, _ in found} >= written
    for labels, _ in found:
        if (labels["__name__"] not in allowed) or labels["source"] not in (dialect.source, "nvml"):
            continue
        got = {label: value for label, value in labels.items() if label != "__name__"}
        for by, fixed in allowed[labels["__name__"]]:
            others = {label: value for label, value in got.items() if label not in fixed}
            if all(got.get(label) == value for label, value in fixed.items()) and others.keys() <= by:
                break
        else:
            raise AssertionError(f"labels that no row of {dialect.name} writes: {labels}")
        # The health of an exporter has the labels of its target; the test's targets name no node.
        assert {"site", "rack", "node"} - got.keys() <= {"node"} & {"node" if "job" in got else ""}, labels
        if by_name(labels["__name__"]).labels[:2] == ("gpu", "uuid"):
            assert got["uuid"].startswith("GPU-"), labels


@pytest.mark.parametrize(
    ("series", "value"),
    [
        ('aif_gpu_power_watts{scope="gpu"}', 655.25),
        ("aif_gpu_power_average_watts", 640.5),
        ('aif_gpu_power_limit_watts{kind="enforced"}', 500),
        ('aif_gpu_power_limit_watts{kind="default"}', 700),
        ("rate(aif_gpu_energy_joules_total[10s])", 640),
        ('aif_gpu_temperature_celsius{sensor="core"}', 85),
        ('aif_gpu_temperature_celsius{sensor="memory"}', 97),
        ('aif_gpu_temperature_threshold_celsius{threshold="slowdown"}', 87),
        # The driver's own margin is "not supported" here: worked out from the threshold.
        ("aif_gpu_temperature_margin_celsius", 2),
        ('aif_gpu_clock_hertz{domain="sm"}', 1.98e9),
        ('aif_gpu_clock_event_active{reason="sw_power_cap"}', 1),
        ('aif_gpu_clock_event_active{reason="hw_thermal_slowdown"}', 1),
        ('aif_gpu_clock_event_active{reason="sw_thermal_slowdown"}', 0),
        ('aif_gpu_clock_event_active{reason="hw_slowdown"}', 0),
        ('rate(aif_gpu_clock_event_seconds_total{reason="sw_power_cap"}[10s])', 0.25),
        ('aif_gpu_utilization_ratio{engine="gpu"}', 0.93),
        ("aif_gpu_sm_active_ratio", 0.71),
        ("aif_gpu_memory_size_bytes", 81559 * 2**20),
        ("aif_gpu_memory_used_bytes", 70000 * 2**20),
        ("aif_gpu_retired_pages_pending", 1),
        ('rate(aif_gpu_nvlink_errors_total{kind="crc"}[10s])', 7),
        ('aif_gpu_recovery_action{action="node_reboot"}', 1),
        ('aif_gpu_recovery_action{action="none"}', 0),
        ('aif_gpus_visible{source="nvml"}', 1),
        ('aif_gpu_state{state="ok"}', 1),
        ('aif_gpu_state{state="lost"}', 0),
        ('aif_collector_up{collector="gpu"}', 1),
        ('aif_gpu_xid_errors_total{xid="79"}', 1),
        ('aif_gpu_xid_errors_total{xid="48"}', 0),
        ("node:aif_gpu_power_watts:sum", 655.25),
        ("node:aif_gpus:ok", 1),
    ],
)
def test_values_of_a_time_sliced_gpu_with_every_field(cluster: Prometheus, series: str, value: float) -> None:
    """Three pods share it: every field stands three times, and must count once."""
    here = re.sub(r"(aif_[a-z_:0-9]+)(\{)?", lambda m: f"{m[1]}{{{FULL}" + ("," if m[2] else "}"), series)
    cluster.until(f"({here}) == {value} or abs({here} - {value}) < {abs(value) / 4 + 1e-9}", 30)
    if "rate" not in series:
        assert cluster.value(here) == pytest.approx(value)


def test_who_holds_a_shared_gpu(cluster: Prometheus) -> None:
    rows = [labels for labels, _ in cluster.query(f"aif_gpu_allocation_info{{{FULL}}}")]
    assert {row["pod"] for row in rows} == {f"gpu-workload-{n}" for n in (1, 2, 3)}
    assert {row["job_id"] for row in rows} == {f"default/gpu-workload-{n}" for n in (1, 2, 3)}
    assert all(row["uuid"] == H100 and row["scheduler"] == "kubernetes" for row in rows)


def test_identity(cluster: Prometheus) -> None:
    ((labels, _),) = cluster.query(f"aif_gpu_info{{{FULL}}}")
    assert labels["model"] == "NVIDIA H100 80GB HBM3"
    assert labels["pci_bus_id"] == "00000000:8D:00.0"
    assert (labels["driver_version"], labels["serial"], labels["vbios"]) == ("550.144.03", "1652", "96.00")


def test_an_l4_as_the_gpu_operator_gives_it(cluster: Prometheus) -> None:
    node = 'node="i-030791dc5a37cd257"'
    # Without the instant power the average stands for it; without the total its parts do.
    assert cluster.value(f"aif_gpu_power_watts{{{node}}}") == pytest.approx(16.365)
    assert cluster.value(f"aif_gpu_memory_size_bytes{{{node}}}") == (22563 + 0 + 470) * 2**20
    assert cluster.value(f"aif_gpu_pcie_throughput_bytes_per_second{{{node},direction='transmit'}}") == 112603
    assert cluster.query(f'aif_gpu_temperature_celsius{{{node},sensor="memory"}}') == []  # it has no sensor
    assert cluster.value(f'aif_gpu_temperature_celsius{{{node},sensor="core"}}') == 31
    assert cluster.query(f"aif_gpu_allocation_info{{{node}}}") == []


def test_a_partition_is_no_gpu(cluster: Prometheus) -> None:
    node = 'node="msxf-hpc-64-35-ai"'
    assert cluster.value(f"aif_gpus_visible{{{node}}}") == 3
    cores = {
        labels["gpu"]: value
        for labels, value in cluster.query(f'aif_gpu_temperature_celsius{{{node},sensor="core"}}')
    }
    assert cores == {"0": 33, "1": 27, "2": 26}
    parts = [labels for labels, _ in cluster.query(f"aif_gpu_mig_info{{{node}}}")]
    assert {(row["gpu"], row["gi"], row["profile"]) for row in parts} == {("0", p, "2g.20gb") for p in "356"}


def test_power_that_differs_between_partitions_counts_once(cluster: Prometheus) -> None:
    node = 'node="yg-data-k8s-gpu-a30-node-test-test0003.mt"'
    assert cluster.value(f"sum(aif_gpu_power_watts{{{node}}})") == pytest.approx(52.746 + 56.127)


def test_memory_of_a_partition_is_not_that_of_the_gpu(cluster: Prometheus) -> None:
    node = 'node="dcgm-exporter-wwwjh"'
    assert cluster.value(f'aif_gpu_mig_memory_used_bytes{{{node},gpu="0",gi="6"}}') == 3744 * 2**20
    # The GPU's figure is the sum over its partitions: here one is recorded.
    assert cluster.value(f'aif_gpu_memory_used_bytes{{{node},gpu="0"}}') == 3744 * 2**20
    assert cluster.query(f'aif_gpu_memory_free_bytes{{{node},gpu="2"}}') == []
    assert cluster.value(f'aif_gpu_memory_free_bytes{{{node},gpu="1"}}') == 11275 * 2**20


@pytest.mark.parametrize("node", ["dcgm-exporter-wwwjh", "n5"])
def test_pods_whether_the_exporters_labels_win_or_not(cluster: Prometheus, node: str) -> None:
    rows = [labels for labels, _ in cluster.query(f'aif_gpu_allocation_info{{node="{node}"}}')]
    held = {(row["gpu"], row["namespace"], row["pod"], row["container"]) for row in rows}
    assert held == {
        ("0", "default", "triton-server-f7cb5d77-wwk9g", "triton-server"),
        ("2", "default", "triton-server-f7cb5d77-95xcf", "triton-server"),
    }, "the GPU that no pod holds must not be the exporter's own"


def test_numbers_that_mean_unknown_are_no_values(cluster: Prometheus) -> None:
    assert cluster.query('DCGM_FI_DEV_RETIRED_SBE{job="dcgm-exporter-unknown"}')
    assert cluster.query('{__name__=~"aif_.+",source="dcgm",node="n7",collector=""}') == []


@pytest.mark.parametrize(
    "alert", ["GpuFellOffBus", "GpuThermalSlowdown", "GpuPowerLimitLowered", "GpuMemoryHot"]
)
def test_alerts_fire_with_their_place(cluster: Prometheus, alert: str) -> None:
    found = cluster.until(f'ALERTS{{alertname="{alert}",alertstate="firing",node="n1"}}', 45)
    for labels, _ in found:
        place = {
            label: labels[label] for label in ("site", "rack", "row", "hall", "loop", "gpu", "uuid", "place")
        }
        assert place == {
            "site": "s1", "rack": "r1", "row": "a", "hall": "h1", "loop": "loop-1", "gpu": "0", "uuid": H100,
            "place": "n1/gpu0",
        }  # fmt: skip


def test_alerts_are_of_our_rules() -> None:
    names = {alert.name for alert in all_alerts()}
    assert {"GpuFellOffBus", "GpuThermalSlowdown", "GpuPowerLimitLowered", "GpuMemoryHot"} <= names


def test_boards_show_what_dcgm_exporter_gives(cluster: Prometheus) -> None:
    """Every query of these boards that rests on nothing but GPU series of the dialect returns data."""
    offered = {row.metric.name for row in DCGM.rows} | {"aif_node_info", "aif_gpus_expected"}
    offered -= {gpu_activity.GPU_MIG_SM_ACTIVE.name}  # in no recording
    asked = [
        (title, text)
        for title, text in queries("gw-node", "gw-fleet", "gw-rack", "gw-job")
        if inputs(text) and inputs(text) <= offered and "user:" not in text  # users are not known
    ]
    assert len(asked) > 40
    # Half a minute of history is what rates of these boards need.
    cluster.until(f"count_over_time(aif_gpu_energy_joules_total{{{FULL}}}[1m]) > 15", 45)
    empty = [f"{title}: {text}" for title, text in asked if not cluster.query(filled(text))]
    assert not empty, "\n".join(empty)
