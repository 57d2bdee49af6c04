"""Endpoints of devices that stand in a file of their own, beside the inventory."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

from pydantic import RootModel, ValidationError, model_validator

from gigawatch.config import read_mapping
from gigawatch.config.load import Lines, _explain
from gigawatch.errors import FileError
from gigawatch.topology import Endpoint, Inventory
from gigawatch.topology.checks.endpoints import wrong
from gigawatch.topology.rows import EndpointRow

Endpoints = Mapping[str, tuple[Endpoint, ...]]
"""By name of the device."""


class CheckedRow(EndpointRow):
    """An endpoint in a file of its own."""

    @model_validator(mode="after")
    def _usable(self) -> Self:
        for (name, *_), problem, remedy in wrong(self.endpoint()):
            raise ValueError(f"{name} {problem}; {remedy}" if remedy else f"{name} {problem}")
        return self

    def endpoint(self) -> Endpoint:
        return Endpoint(**self.model_dump())


class EndpointsFile(RootModel[dict[str, list[CheckedRow]]]):
    """A file of endpoints as its author writes it: name of the device, list of endpoints."""


def load_endpoints(path: Path) -> Endpoints:
    """What a file in YAML or (NAME.json) JSON says. Raises FileError with one line."""
    data, lines = _read_json(path) if path.suffix == ".json" else read_mapping(path)
    try:
        parsed = EndpointsFile.model_validate(data)
    except ValidationError as error:
        raise _explain(path, error.errors(include_url=False), lines, {}, CheckedRow) from None
    return {name: tuple(row.endpoint() for row in rows) for name, rows in parsed.root.items()}


def join(inventory: Inventory, endpoints: Endpoints) -> Inventory:
    """The inventory with those endpoints. A device that the file names has the file's endpoints and no
    others: what is to be asked at a simulated plant must not be asked in the real one as well."""
    if not endpoints:
        return inventory
    devices = tuple(
        replace(device, endpoints=endpoints[device.name]) if device.name in endpoints else device
        for device in inventory.devices
    )
    return replace(inventory, devices=devices)


def strangers(inventory: Inventory, endpoints: Endpoints) -> list[str]:
    """Names in a file of endpoints that no device of the inventory has."""
    return sorted(endpoints.keys() - inventory.device.keys())


def _read_json(path: Path) -> tuple[dict[str, Any], Lines]:
    try:
        data = json.loads(path.read_bytes(), object_pairs_hook=_once)
    except OSError as error:
        remedy = "check the path and its permissions"
        raise FileError(path, "", f"cannot be read ({error.strerror})", remedy) from None
    except json.JSONDecodeError as error:
        raise FileError(path, "", f"not valid JSON: {error.msg}", "", error.lineno) from None
    except (ValueError, RecursionError) as error:
        raise FileError(path, "", f"not valid JSON: {str(error) or type(error).__name__}") from None
    if not isinstance(data, dict):
        raise FileError(path, "", "holds no object at the top", "expected names of devices with lists")
    return data, {}


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name in found:
            raise ValueError(f"'{name}' stands twice; keep one of the two")
        found[name] = value
    return found
