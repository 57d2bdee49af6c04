"""The program that asks facility devices, in the chart: its files, its secrets, what Prometheus is told."""

from __future__ import annotations

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

import chart_render as chart
import yaml

from exporters.facility.settings import FacilitySettings, add_facility_arguments, facility_settings
from exporters.inventory.endpoints import load_endpoints

VALUES = (
    "inventory.blueprint=starter",
    "facility.enabled=true",
    "facility.config=credentials: {pdu: {community_file: /etc/gigawatch-credentials/pdus/community}}",
    "facility.secrets={pdus,cdus}",
    "facility.endpoints.content=pdu-r01-a: [{protocol: snmp\\, address: 10.0.0.1\\, credentials: pdu}]",
    "facility.profiles.snmp=our-profiles",
    "defaults.replicas=2",
)


def _rendered(*values: str) -> list[dict[str, Any]]:
    return [one for one in yaml.safe_load_all(chart.with_settings(*values)) if one]


def _pod(objects: list[dict[str, Any]], part: str) -> dict[str, Any]:
    (found,) = [
        one for one in objects
        if one["kind"] == "Deployment" and one["metadata"]["name"] == f"gw-gigawatch-{part}"
    ]  # fmt: skip
    assert part != "facility" or found["spec"]["replicas"] == 1
    spec: dict[str, Any] = found["spec"]["template"]["spec"]
    return spec


def _settings(container: dict[str, Any], folder: Path, texts: dict[str, str]) -> FacilitySettings:
    """What the program makes of its command line, environment and file."""
    (folder / "facility.yaml").write_text(texts["facility.yaml"])
    parser = ArgumentParser()
    add_facility_arguments(parser)
    arguments = [one.replace("/etc/gigawatch-facility", str(folder)) for one in container["args"][1:]]
    environment = {one["name"]: one["value"] for one in container.get("env", [])}
    return facility_settings(parser.parse_args(arguments), environment)


def test_files_and_secrets_lie_where_the_settings_look_for_them(tmp_path: Path) -> None:
    objects = _rendered(*VALUES)
    spec = _pod(objects, "facility")
    (container,) = spec["containers"]
    texts = {key: text for one in objects if one["kind"] == "ConfigMap" for key, text in one["data"].items()}
    settings = _settings(container, tmp_path, texts)
    mounted = {mount["mountPath"]: mount["name"] for mount in container["volumeMounts"]}
    volumes = {volume["name"]: volume for volume in spec["volumes"]}
    secret = settings.credentials["pdu"].community_file
    assert secret is not None
    assert volumes[mounted[str(secret.parent)]]["secret"]["secretName"] == "pdus"
    assert volumes[mounted["/etc/gigawatch-credentials/cdus"]]["secret"]["defaultMode"] == 0o440
    assert volumes[mounted[settings.folders()["snmp_profiles"]]]["configMap"]["name"] == "our-profiles"
    listed = settings.endpoints
    assert listed is not None
    assert volumes[mounted[str(listed.parent)]]["configMap"]["name"] == "gw-gigawatch-facility-endpoints"
    (tmp_path / listed.name).write_text(texts[listed.name])
    assert list(load_endpoints(tmp_path / listed.name)) == ["pdu-r01-a"]
    assert settings.simulate is False
    # Discovery reads the same file, so that it names the devices that have a page.
    (told,) = _pod(objects, "sd")["containers"]
    assert f"--endpoints={listed}" in told["args"]
    assert str(listed.parent) in {mount["mountPath"] for mount in told["volumeMounts"]}


def test_a_simulated_site_lists_all_devices() -> None:
    for values in (("facility.enabled=true", "facility.simulate=true"), ("demo.enabled=true",)):
        (told,) = _pod(_rendered("inventory.blueprint=starter", *values), "sd")["containers"]
        assert "--all-devices" in told["args"]
