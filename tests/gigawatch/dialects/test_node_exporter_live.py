"""The rules for node_exporter over a real one and a recording, evaluated by a real Prometheus."""

from __future__ import annotations

import pytest
from board_queries import filled, inputs, queries
from prometheus_run import Prometheus

from gigawatch.promql.dialects import NODE_EXPORTER
from gigawatch.promql.dialects.coverage import given


def test_host_section_shows_what_node_exporter_gives(cluster: Prometheus) -> None:
    names = cluster.metric_names()
    asked = [
        (title, text)
        for title, text in queries("gw-node")
        if any("host_" in name or "ib_port" in name or "roce" in name for name in inputs(text))
        and inputs(text) <= given() | {"aif_node_info"}
        and inputs(text) <= names
    ]
    assert len(asked) > 15
    empty = [f"{title}: {text}" for title, text in asked if not cluster.query(filled(text))]
    assert not empty, "\n".join(empty)


def test_every_host_metric_that_node_exporter_tells_is_ours_too(cluster: Prometheus) -> None:
    names = cluster.metric_names()
    silent = {
        row.metric.name
        for row in NODE_EXPORTER.rows
        if all(set(foreign.names) & names for foreign in row.foreign) and row.metric.name not in names
    }
    # This machine may have no shared file system, and no interface that knows its speed.
    allowed = {"aif_host_network_speed_bytes_per_second"} | {
        name for name in silent if name.startswith(("aif_mount_", "aif_storage_"))
    }
    assert silent <= allowed


def test_host_values_are_those_of_node_exporter(cluster: Prometheus) -> None:
    here = '{node="n1"}'
    assert cluster.value(f"aif_host_cpus{here}") == cluster.value(
        'count(node_cpu_seconds_total{mode="idle",job="node-exporter"})'
    )
    assert cluster.value(f"aif_host_memory_size_bytes{here}") == cluster.value(
        'node_memory_MemTotal_bytes{job="node-exporter"}'
    )
    spent = cluster.value(f"sum(aif_host_cpu_seconds_total{here})")
    assert spent == pytest.approx(cluster.value('sum(node_cpu_seconds_total{job="node-exporter"})'), rel=0.02)
    assert cluster.value(f"time() - aif_host_boot_timestamp_seconds{here}") > 0
    assert cluster.value('aif_collector_up{node="n1",collector="host"}') == 1


def test_fabric_of_a_recorded_node(cluster: Prometheus) -> None:
    # No label node in the scrape: the host part of the address stands for it.
    node = 'node="127.0.0.1"'
    states = cluster.query(f"aif_ib_port_state{{{node}}} == 1")
    assert {(row["device"], row["state"]) for row, _ in states} == {
        ("rocep1s0f0", "active"), ("roceP2p1s0f0", "active"),
        ("rocep1s0f1", "down"), ("roceP2p1s0f1", "down"),
    }  # fmt: skip
    one = f'{{{node},device="rocep1s0f0",direction="receive"}}'
    assert cluster.value(f"aif_ib_port_bytes_total{one}") == 2.2447398712e10
    info = cluster.query(f'aif_ib_port_info{{{node},device="rocep1s0f0"}}')
    assert [(row["firmware"], row["port"]) for row, _ in info] == [("28.45.4028", "1")]
    assert cluster.value(f'aif_host_temperature_celsius{{{node},chip="nvme_nvme0",sensor="temp1"}}') == 51.85
    assert cluster.value(f"count(aif_roce_events_total{{{node}}})") == 12 * 4
