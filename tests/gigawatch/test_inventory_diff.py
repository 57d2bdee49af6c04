"""The inventory against telemetry: every kind of difference, from what a real Prometheus answers."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from exporters_served import Served
from prometheus_run import Prometheus

from gigawatch.catalogue import facility, gpu, polling
from gigawatch.catalogue.model import Metric
from gigawatch.catalogue.own import EXPORTER_BUILD_INFO
from gigawatch.cli import main
from gigawatch.errors import UserError
from gigawatch.topology import Endpoint, Inventory, blueprint
from gigawatch.topology.diff import differences, same_gpu
from gigawatch.topology.export import to_yaml
from gigawatch.topology.telemetry import Hardware, Shown, observe


def site() -> Inventory:
    """The smallest blueprint, with devices that are to be asked and that are known by serial and model."""
    plain = blueprint("starter")
    ask = (Endpoint("snmp", "192.0.2.1"),)
    changes: dict[str, dict[str, Any]] = {
        "pdu-r01-a": {"endpoints": ask, "model": "AP8641", "serial": "ZA1"},
        "pdu-r01-b": {"endpoints": (Endpoint("snmp", "192.0.2.2"),)},
        "bmc-r01-n01": {"endpoints": (Endpoint("redfish", "https://192.0.2.3"),)},
    }
    devices = tuple(replace(d, **changes.get(d.name, {})) for d in plain.devices)
    nodes = tuple(replace(n, serial=f"SRV-{n.name[-1]}") for n in plain.nodes)
    return replace(plain, devices=devices, nodes=nodes)


def agreeing(inventory: Inventory) -> Shown:
    """Telemetry in which nothing is wrong."""
    shown = Shown()
    for node in inventory.nodes:
        shown.nodes[node.name] = {node.rack}
        shown.gpus[node.name] = {"NVIDIA H100 80GB HBM3": {f"GPU-{node.name}-{n}" for n in range(8)}}
    for device in inventory.devices:
        shown.devices[device.name] = {device.rack}
    shown.nodes["laptop"] = {""}
    shown.hardware["pdu-r01-a"] = Hardware("APC", "AP8641", "za1")
    shown.hardware["bmc-r01-n01"] = Hardware("Acme", "HGX", "SRV-1")
    shown.places["bmc-r01-n01"] = ("R01", "10")
    return shown


def test_nothing_is_told_where_all_agrees() -> None:
    inventory = site()
    assert differences(inventory, agreeing(inventory)) == []


def kinds(inventory: Inventory, shown: Shown) -> list[tuple[str, str, str, str]]:
    return [(one.kind, one.name, one.inventory, one.telemetry) for one in differences(inventory, shown)]


DIFFERENCES: list[tuple[Callable[[Shown], object], tuple[str, str, str, str]]] = [
    (
        lambda s: s.nodes.update({"r09-n01": {"r09"}}),
        ("node-without-place", "r09-n01", "", "reports from rack r09"),
    ),
    (lambda s: s.nodes.pop("r01-n02"), ("place-without-node", "r01-n02", "stands there", "never reported")),
    (lambda s: s.nodes.update({"r01-n02": {"r02"}}), ("rack", "r01-n02", "r01", "r02")),
    (lambda s: s.nodes["r01-n02"].add("r02"), ("two-racks", "r01-n02", "r01", "r01, r02")),
    (lambda s: s.gpus["r01-n01"]["NVIDIA H100 80GB HBM3"].pop(), ("gpu-count", "r01-n01", "8", "7")),
    (
        lambda s: s.gpus.update({"r01-n01": {"NVIDIA H200": set("abcdefgh")}}),
        ("gpu-model", "r01-n01", "H100-SXM5-80GB", "NVIDIA H200"),
    ),
    (
        lambda s: s.devices.update({"pdu-x": {"r01"}}),
        ("device-without-place", "pdu-x", "", "polled, in rack r01"),
    ),
    (lambda s: s.devices["ups-a"].add("r01"), ("two-racks", "ups-a", "", "r01")),
    (lambda s: s.devices.pop("pdu-r01-b"), ("device-silent", "pdu-r01-b", "is to be asked", "never polled")),
    (lambda s: s.silent.add("pdu-r01-b"), ("device-silent", "pdu-r01-b", "stands there", "does not answer")),
    (lambda s: s.devices.pop("ups-a"), ("device-not-asked", "ups-a", "has no endpoint", "never polled")),
    (
        lambda s: s.hardware.update({"pdu-r01-a": Hardware("APC", "AP8641", "ZA2")}),
        ("serial", "pdu-r01-a", "ZA1", "ZA2"),
    ),
    (
        lambda s: s.hardware.update({"bmc-r01-n01": Hardware("Acme", "HGX", "SRV-9")}),
        ("serial", "bmc-r01-n01", "SRV-1", "SRV-9"),
    ),
    (
        lambda s: s.hardware.update({"pdu-r01-a": Hardware("Raritan", "PX3-5902", "ZA1")}),
        ("device-model", "pdu-r01-a", "AP8641", "Raritan PX3-5902"),
    ),
    (
        lambda s: s.places.update({"bmc-r01-n01": ("r02", "10")}),
        ("rack", "bmc-r01-n01", "r01", "says of itself: r02"),
    ),
    (
        lambda s: s.places.update({"bmc-r01-n01": ("r01", "12")}),
        ("unit", "bmc-r01-n01", "U10", "says of itself: U12"),
    ),
]


@pytest.mark.parametrize(("change", "told"), DIFFERENCES)
def test_every_kind_of_difference_is_told_by_itself(
    change: Callable[[Shown], object], told: tuple[str, str, str, str]
) -> None:
    inventory = site()
    shown = agreeing(inventory)
    change(shown)
    assert kinds(inventory, shown) == [told]


def test_not_every_manifold_has_to_be_asked() -> None:
    inventory = site()
    shown = agreeing(inventory)
    del shown.devices["manifold-r01"]
    assert kinds(inventory, shown) == []


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("H100-SXM5-80GB", "NVIDIA H100 80GB HBM3", True),
        ("H100-SXM5-80GB", "NVIDIA H100 NVL", True),
        ("H100-PCIe-80GB", "NVIDIA H200", False),
        ("B200-SXM-180GB", "NVIDIA B200", True),
        ("B200-SXM-180GB", "NVIDIA GB200", False),
        ("A100-SXM4-40GB", "NVIDIA A100-SXM4-80GB", False),
        ("A100-SXM4-40GB", "NVIDIA A100-SXM4-40GB", True),
        ("L40S", "NVIDIA L40", False),
        ("RTX 6000 Ada", "NVIDIA RTX 6000 Ada Generation", True),
        ("GH200 480GB", "NVIDIA GH200 480GB", True),
        ("our-accelerator", "NVIDIA H100", True),
    ],
)
def test_names_of_one_product_are_told_from_those_of_two(one: str, other: str, same: bool) -> None:
    assert same_gpu(one, other) is same


def series(metric: Metric, **labels: str) -> str:
    given = ",".join(f"{name}={json.dumps(value)}" for name, value in labels.items())
    return f"{metric.name}{{{given}}} 1 {time.time() - 10:.3f}\n"


@pytest.fixture(scope="module")
def prometheus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    """A Prometheus that has just heard of a node and a controller of the site, of a node that is in no
    inventory, and of a site where all is well."""
    folder = tmp_path_factory.mktemp("prometheus")
    text = ""
    for site_name, node, rack in (
        ("starter", "r01-n01", "r01"),
        ("starter", "r05-n01", "r05"),
        ("calm", "n1", "r1"),
    ):
        place = {"site": site_name, "node": node, "rack": rack}
        text += series(EXPORTER_BUILD_INFO, program="agent", **place)
        for number in range(7):
            text += series(gpu.GPU_INFO, uuid=f"GPU-{node}-{number}", model="NVIDIA H100 80GB HBM3", **place)
    controller = {"site": "starter", "device": "bmc-r01-n01", "node": "r01-n01", "rack": "r01"}
    text += series(facility.FACILITY_POLL_UP, **controller)
    text += series(polling.HARDWARE_INFO, endpoint="redfish", model="HGX", serial="SRV-1", **controller)
    text += series(polling.REPORTED_PLACE, reported_rack="r07", unit="10", **controller)
    (folder / "history").write_text(text + "# EOF\n")
    made = [
        "promtool",
        "tsdb",
        "create-blocks-from",
        "openmetrics",
        str(folder / "history"),
        str(folder / "data"),
    ]
    subprocess.run(made, check=True, capture_output=True, timeout=60)
    (folder / "prometheus.yml").write_text("{}\n")
    with Prometheus(folder) as running:
        running.until(polling.REPORTED_PLACE.name, 30)
        yield running


def test_the_command_asks_prometheus_and_exits_1(
    prometheus: Prometheus, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "site.yaml"
    path.write_text(to_yaml(site()))
    url = f"http://127.0.0.1:{prometheus._port}"
    arguments = ["inventory", "diff", "--inventory", str(path), "--prometheus", url]
    assert main([*arguments, "--json"]) == 1
    answer = json.loads(capsys.readouterr().out)
    found = {(one["kind"], one["name"], one["telemetry"]) for one in answer["differences"]}
    assert not answer["equal"]
    assert {
        ("node-without-place", "r05-n01", "reports from rack r05"),
        ("place-without-node", "r01-n02", "never reported"),
        ("gpu-count", "r01-n01", "7"),
        ("device-silent", "pdu-r01-a", "never polled"),
        ("rack", "bmc-r01-n01", "says of itself: r07"),
    } <= found
    assert not {one for one in found if one[0] in ("serial", "device-model", "unit", "gpu-model")}
    assert main(arguments) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["difference", "name", "inventory", "telemetry", "place"]
    assert any("place-without-node  r01-n02" in line and "U20" in line for line in lines)


def test_a_site_in_agreement_exits_0(
    prometheus: Prometheus, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    path = tmp_path / "site.yaml"
    path.write_text(
        "version: 1\nsite: {name: calm}\n"
        "racks: [{name: r1, hall: h, row: a, power_watts: 30000, cooling: air}]\n"
        "nodes: [{name: n1, rack: r1, unit: 1, gpu_model: H100, gpus: 7}]\n"
    )
    url = f"http://127.0.0.1:{prometheus._port}"
    assert main(["inventory", "diff", "--inventory", str(path), "--prometheus", url]) == 0
    assert capsys.readouterr().out == "site 'calm': inventory and telemetry agree\n"


def test_what_is_no_prometheus_is_told_in_one_line() -> None:
    with (
        Served({"api/v1/query": "<html>"}) as served,
        pytest.raises(UserError, match=r"no Prometheus|answers 501"),
    ):
        observe(f"http://{served.address}", "x")
    with pytest.raises(UserError, match="cannot be asked"):
        observe("http://127.0.0.1:1", "x")
    with pytest.raises(UserError, match="no URL"):
        observe("127.0.0.1:9090", "x")
