"""An inventory as a file: what `load_inventory` reads again as the same inventory."""

from __future__ import annotations

import dataclasses
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from gigawatch.errors import FileError
from gigawatch.topology.model import Economics, Inventory
from gigawatch.topology.rows import SECTIONS

_RENAMED = {"flow_cubic_meters_per_second": "flow_liters_per_minute"}


def to_yaml(inventory: Inventory) -> str:
    """The file's text: one thing per line, fields that have their default left out."""
    lines = ["version: 1", f"site: {_flow({'name': inventory.site})}"]
    for section in SECTIONS:
        things = getattr(inventory, section)
        if things:
            lines.append(f"{section}:")
            lines += [f"  - {_flow(_row(section, thing))}" for thing in things]
    economics = _economics(inventory.economics)
    if economics:
        lines.append(f"economics: {_flow(economics)}")
    if inventory.workloads:
        lines.append("workloads:")
        lines += [f"  - {_flow(one)}" for one in inventory.workloads]
    return "\n".join(lines) + "\n"


def write(path: Path, inventory: Inventory) -> None:
    """Replace a file in one step. Raises FileError."""
    try:
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                file.write(to_yaml(inventory))
            Path(name).chmod(0o644)
            Path(name).replace(path)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise
    except OSError as error:
        raise FileError(path, "", f"cannot be written ({error.strerror})", "check its folder") from None


def _row(section: str, thing: Any) -> dict[str, Any]:
    fields = SECTIONS[section].model_fields
    row: dict[str, Any] = {}
    for field in dataclasses.fields(thing):
        name, value = _RENAMED.get(field.name, field.name), _plain(getattr(thing, field.name))
        if name != field.name:
            value = round(value * 60_000, 9)
        if section == "nodes" and name == "serial" and value == f"sn-{thing.name}":
            continue
        if fields[name].is_required() or value != fields[name].get_default(call_default_factory=True):
            row[name] = value
    return row


def _plain(value: Any) -> Any:
    """Without what is only ours: tuples, enumerations, dataclasses."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        kept = {
            field.name: (_plain(getattr(value, field.name)), field) for field in dataclasses.fields(value)
        }
        return {name: one for name, (one, field) in kept.items() if one != _plain(field.default)}
    if isinstance(value, tuple | list):
        return [_plain(one) for one in value]
    return str(value) if isinstance(value, str) else value


def _economics(economics: Economics) -> dict[str, Any]:
    assets = {
        name: {
            "capex_usd": capex,
            "residual_ratio": economics.residual_ratio[name],
            "amortization_years": economics.amortization_years[name],
        }
        for name, capex in economics.capex_usd.items()
    }
    others = {
        name: getattr(economics, name)
        for name in (
            "staff_usd_per_year",
            "maintenance_usd_per_year",
            "colo_usd_per_year",
            "energy_usd_per_kwh",
            "cloud_usd_per_gpu_hour",
        )
    }
    return {
        **({"assets": assets} if assets else {}),
        **{name: value for name, value in others.items() if value},
    }


def _flow(value: Mapping[str, Any]) -> str:
    text = yaml.dump(
        dict(value),
        Dumper=getattr(yaml, "CSafeDumper", yaml.SafeDumper),
        default_flow_style=True,
        sort_keys=False,
        width=1_000_000,
        allow_unicode=True,
    )
    return str(text).strip()
