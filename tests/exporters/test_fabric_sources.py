"""InfiniBand and RoCE ports on trees like those of real servers."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from trees import lay_out, put

from exporters.fabric import InfinibandSource, fabric_sources
from exporters.runtime.gate import allowed_range
from gigawatch.catalogue import Metric, fabric
from gigawatch.readings import Reading

FIXTURES = Path(__file__).parent / "fixtures"
IB, ROCE, DOWN = ("mlx5_0", "1"), ("mlx5_1", "1"), ("mlx5_2", "1")
Found = dict[tuple[Metric, tuple[str, ...]], float]


def found(source: InfinibandSource) -> Found:
    readings: list[Reading] = list(source.read())
    values = {(r.metric, r.labels): r.value for r in readings}
    assert len(values) == len(readings), "a series twice"
    for reading in readings:
        assert len(reading.labels) == len(reading.metric.labels)
        for label, allowed in reading.metric.values.items():
            assert reading.labels[reading.metric.labels.index(label)] in allowed
    return values


@pytest.fixture
def hgx(tmp_path: Path) -> Path:
    return lay_out(tmp_path, FIXTURES / "sysfs-hgx" / "tree.txt")


def test_a_host_without_adapters_has_no_source(tmp_path: Path) -> None:
    source = InfinibandSource(5.0, root=tmp_path)
    assert not source.present
    assert found(source) == {}
    (later,) = fabric_sources(5.0, tmp_path)
    assert later.dormant
    assert list(later.read()) == []


def test_an_infiniband_port_gives_all_its_counters(hgx: Path) -> None:
    (source,) = fabric_sources(5.0, hgx)
    assert not source.dormant
    values = found(source)
    assert values[(fabric.IB_PORT_STATE, (*IB, "active"))] == 1
    assert values[(fabric.IB_PORT_STATE, (*IB, "down"))] == 0
    info = (*IB, "InfiniBand", "ibp24s0", "28.39.1002", "0000:18:00.0")
    assert values[(fabric.IB_PORT_INFO, info)] == 1
    assert values[(fabric.IB_PORT_SPEED, IB)] == 50e9
    assert values[(fabric.IB_PORT_BYTES, (*IB, "receive"))] == 4000
    assert values[(fabric.IB_PORT_BYTES, (*IB, "transmit"))] == 8000
    assert values[(fabric.IB_PORT_FLAPS, IB)] == 6
    assert values[(fabric.IB_PORT_WAIT, IB)] == 13
    errors = {labels[2]: v for (metric, labels), v in values.items() if metric is fabric.IB_PORT_ERRORS}
    assert errors == {
        "symbol": 3, "link_recovery": 4, "receive": 5, "receive_remote": 7, "constraint": 8 + 9,
        "link_integrity": 10, "buffer_overrun": 11, "vl15_dropped": 12,
    }, "what the adapter answers with N/A is absent"  # fmt: skip
    assert values[(fabric.ROCE_EVENTS, (*IB, "out_of_buffer"))] == 14


def test_a_roce_port_tells_of_congestion_and_losses(hgx: Path) -> None:
    values = found(InfinibandSource(5.0, root=hgx))
    assert values[(fabric.IB_PORT_INFO, (*ROCE, "Ethernet", "eth5", "26.41.1000", "0000:3a:00.1"))] == 1
    assert values[(fabric.IB_PORT_SPEED, ROCE)] == 2.5e9 / 8
    events = {
        labels[2]: value
        for (metric, labels), value in values.items()
        if metric is fabric.ROCE_EVENTS and labels[:2] == ROCE
    }
    assert events == {
        "ecn_marked": 21, "cnp_sent": 22, "cnp_handled": 23, "out_of_sequence": 24,
        "packet_sequence_error": 25, "rnr_nak_retry": 26, "adaptive_retransmission": 27,
        "duplicate_request": 28, "implied_nak_sequence_error": 29, "slow_restart": 30, "out_of_buffer": 31,
        "local_ack_timeout": 32,
    }  # fmt: skip
    assert set(events) == set(fabric.ROCE_EVENTS.values["kind"])
    assert (fabric.IB_PORT_BYTES, (*ROCE, "receive")) not in values, "0 in both directions: not counted"


def test_a_port_that_is_down_has_no_speed(hgx: Path) -> None:
    values = found(InfinibandSource(5.0, root=hgx))
    assert values[(fabric.IB_PORT_STATE, (*DOWN, "down"))] == 1
    assert values[(fabric.IB_PORT_STATE, (*DOWN, "active"))] == 0
    assert (fabric.IB_PORT_SPEED, DOWN) not in values


def test_other_makers_counters_have_the_same_meaning(tmp_path: Path) -> None:
    values = found(InfinibandSource(5.0, root=lay_out(tmp_path, FIXTURES / "sysfs-cloud" / "tree.txt")))
    efa, broadcom = ("rdmap79s0", "1"), ("bnxt_re0", "1")
    assert values[(fabric.IB_PORT_BYTES, (*efa, "receive"))] == 1000, "bytes, not words of four"
    assert values[(fabric.IB_PORT_INFO, (*efa, "Unspecified", "", "0.0.0.0", "0000:4f:00.0"))] == 1
    assert values[(fabric.IB_PORT_BYTES, (*broadcom, "receive"))] == 20
    assert values[(fabric.IB_PORT_BYTES, (*broadcom, "transmit"))] == 0
    assert values[(fabric.ROCE_EVENTS, (*broadcom, "ecn_marked"))] == 1
    assert values[(fabric.ROCE_EVENTS, (*broadcom, "cnp_sent"))] == 2
    assert values[(fabric.ROCE_EVENTS, (*broadcom, "local_ack_timeout"))] == 3


def test_ports_are_listed_again_once_a_minute(hgx: Path) -> None:
    now = [0.0]
    source = InfinibandSource(5.0, root=hgx, monotonic=lambda: now[0])
    assert any(labels[:2] == DOWN for _, labels in found(source))
    (hgx / "sys/class/infiniband/mlx5_2").unlink()
    put(hgx / "sys/class/infiniband/mlx5_9/ports/1/state", "2: INIT\n")
    values = found(source)
    assert not any(labels[:2] == DOWN for _, labels in values), "what is gone is gone at once"
    assert (fabric.IB_PORT_STATE, ("mlx5_9", "1", "init")) not in values
    now[0] += 60
    assert found(source)[(fabric.IB_PORT_STATE, ("mlx5_9", "1", "init"))] == 1


def test_two_ports_of_one_adapter_find_their_own_interface(tmp_path: Path) -> None:
    adapter = tmp_path / "sys/class/infiniband/mlx4_0"
    for port, files in (("1", {"dev_port": "0", "dev_id": "0x0"}), ("2", {"dev_port": "0", "dev_id": "0x1"})):
        put(adapter / "ports" / port / "state", "4: ACTIVE\n")
        for name, content in files.items():
            put(adapter / "device/net" / f"ib{int(port) - 1}" / name, content + "\n")
    values = found(InfinibandSource(5.0, root=tmp_path))
    names = {labels[1]: labels[3] for metric, labels in values if metric is fabric.IB_PORT_INFO}
    assert names == {"1": "ib0", "2": "ib1"}


_NAMES = (
    "state", "rate", "link_layer", "counters/port_rcv_data", "counters/symbol_error",
    "hw_counters/out_of_buffer", "gid_attrs/ndevs/0",
)  # fmt: skip
_CONTENT = (
    st.binary(max_size=60)
    | st.from_regex(rb"[0-9]{1,30} ?(Gb/sec)?")
    | st.sampled_from((b"4: ACTIVE", b"1: DOWN", b"Ethernet"))
)


@given(st.dictionaries(st.sampled_from(_NAMES), _CONTENT))
def test_whatever_stands_in_the_files(files: dict[str, bytes]) -> None:
    with tempfile.TemporaryDirectory() as directory:
        for name, content in files.items():
            put(Path(directory) / "sys/class/infiniband/mlx5_0/ports/1" / name, content)
        for (metric, _), value in found(InfinibandSource(5.0, root=Path(directory))).items():
            low, high = allowed_range(metric)
            assert low <= value <= min(high, 1e21)
