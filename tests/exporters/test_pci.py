"""The PCI bus in sysfs: what is there, how its links run, what they got wrong."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from exporters.gpu.pci import PciSource, count_gpus
from exporters.runtime.gate import Gate
from gigawatch.catalogue import Metric, gpu
from gigawatch.catalogue.gpu_links import PCI_AER_ERRORS, PCI_DEVICE_INFO, PCI_LINK_SPEED, PCI_LINK_WIDTH

NODE = Path(__file__).parent / "fixtures" / "pci" / "node.txt"
Samples = dict[tuple[Metric, tuple[str, ...]], float]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """The recorded node."""
    device = tmp_path
    for line in NODE.read_text().splitlines():
        if line.startswith("["):
            device = tmp_path / "sys/bus/pci/devices" / line.strip("[]")
            device.mkdir(parents=True)
            continue
        name, _, content = line.partition(" ")
        (device / name).parent.mkdir(exist_ok=True)
        if content.startswith("-> "):
            (device / name).symlink_to(content.removeprefix("-> "))
        elif name == "config":
            (device / name).write_bytes(bytes.fromhex(content))
        else:
            (device / name).write_text(content.replace("\\n", "\n") + "\n")
    return tmp_path


def read(source: PciSource) -> Samples:
    found: Samples = {}
    for reading in source.read():
        assert (reading.metric, reading.labels) not in found
        found[reading.metric, reading.labels] = reading.value
    return found


def of(samples: Samples, metric: Metric) -> dict[tuple[str, ...], float]:
    return {labels: value for (one, labels), value in samples.items() if one is metric}


def test_what_sits_where(root: Path) -> None:
    found = read(PciSource(30.0, root=root))
    assert set(of(found, PCI_DEVICE_INFO)) == {
        ("0000:07:00.0", "nvswitch", "nvidia-nvswitch", "nvidia", "22a3", "0"),
        ("0000:18:00.0", "network", "mlx5_core", "mellanox", "1021", "0"),
        ("0000:1b:00.0", "gpu", "nvidia", "nvidia", "2330", "0"),
        ("0000:31:00.0", "network", "bnxt_en", "broadcom", "1750", ""),
        ("0000:43:00.0", "gpu", "nvidia", "nvidia", "2330", "0"),
        ("0000:52:00.0", "gpu", "vfio-pci", "nvidia", "2330", "0"),
        ("0000:9b:00.0", "gpu", "", "nvidia", "2235", "1"),
        ("10000:e1:00.0", "nvme", "nvme", "samsung", "a824", "1"),
    }


def test_a_gpu_that_answers_only_ones_is_not_visible_a_sleeping_one_is(root: Path) -> None:
    assert of(read(PciSource(30.0, root=root)), gpu.GPUS_VISIBLE) == {("pci",): 3}
    assert count_gpus(root / "sys/bus/pci/devices") == 4


def test_links_and_what_they_could_do(root: Path) -> None:
    found = read(PciSource(30.0, root=root))
    assert of(found, PCI_LINK_SPEED) == {
        ("0000:07:00.0", "current"): 8e9,
        ("0000:07:00.0", "max"): 8e9,
        ("0000:18:00.0", "current"): 16e9,
        ("0000:18:00.0", "max"): 32e9,
        ("0000:1b:00.0", "current"): 32e9,
        ("0000:1b:00.0", "max"): 32e9,
        ("0000:31:00.0", "current"): 16e9,
        ("0000:31:00.0", "max"): 16e9,
        ("0000:43:00.0", "max"): 32e9,
        ("0000:52:00.0", "current"): 2.5e9,
        ("0000:52:00.0", "max"): 32e9,
        ("10000:e1:00.0", "current"): 16e9,
        ("10000:e1:00.0", "max"): 16e9,
    }
    widths = of(found, PCI_LINK_WIDTH)
    assert widths["0000:52:00.0", "current"] == 8
    assert widths["10000:e1:00.0", "max"] == 4
    assert ("0000:43:00.0", "current") not in widths  # 63 is what a dead link says


def test_errors_by_severity(root: Path) -> None:
    assert of(read(PciSource(30.0, root=root)), PCI_AER_ERRORS) == {
        ("0000:1b:00.0", "correctable"): 7,
        ("0000:1b:00.0", "nonfatal"): 0,
        ("0000:1b:00.0", "fatal"): 1,
        ("0000:18:00.0", "correctable"): 12,
    }


def test_gpus_that_the_driver_does_not_show_are_named(root: Path) -> None:
    source = PciSource(30.0, root=root)
    assert source.missing_from_nvml([]) == []
    list(source.read())
    assert source.missing_from_nvml({(0, 0x1B, 0)}) == [(0, 0x43, 0), (0, 0x9B, 0)]
    assert source.missing_from_nvml({(0, 0x1B, 0), (0, 0x43, 0), (0, 0x9B, 0)}) == []


def test_a_device_that_is_gone_is_gone_at_once_and_a_new_one_there_within_a_minute(root: Path) -> None:
    now = [0.0]
    source = PciSource(30.0, root=root, monotonic=lambda: now[0])
    devices = root / "sys/bus/pci/devices"
    assert of(read(source), gpu.GPUS_VISIBLE) == {("pci",): 3}
    shutil.move(devices / "0000:1b:00.0", root / "removed")
    assert of(read(source), gpu.GPUS_VISIBLE) == {("pci",): 2}
    shutil.move(root / "removed", devices / "0000:1b:00.0")
    now[0] = 61
    assert of(read(source), gpu.GPUS_VISIBLE) == {("pci",): 3}


def test_a_machine_without_the_bus_has_no_gpus(tmp_path: Path) -> None:
    assert read(PciSource(30.0, root=tmp_path)) == {(gpu.GPUS_VISIBLE, ("pci",)): 0}
    assert count_gpus(tmp_path) == 0


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.sampled_from(
        ("current_link_speed", "max_link_width", "aer_dev_fatal", "class", "numa_node", "config")
    ),
    st.binary(max_size=60)
    | st.sampled_from([b"99999999999999999999999999 GT/s", b"TOTAL_ERR_FATAL \xb2", b"x 1\n"]),
)
def test_whatever_a_file_says_no_absurd_value_comes_of_it(root: Path, name: str, content: bytes) -> None:
    (root / "sys/bus/pci/devices/0000:1b:00.0" / name).write_bytes(content)
    gate = Gate()
    readings = gate.sift(list(PciSource(30.0, root=root).read()))
    assert gate.rejected == {}
    assert all(r.value <= 128e9 for r in readings if r.metric is PCI_LINK_SPEED)
    assert all(r.value.is_integer() for r in readings)
