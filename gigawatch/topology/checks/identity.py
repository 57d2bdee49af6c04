"""Identity: a serial, an address, a way to ask belong to one thing."""

from __future__ import annotations

from collections.abc import Iterator

from gigawatch.topology.checks.finding import Finding, error, warning
from gigawatch.topology.model import Endpoint, Inventory
from gigawatch.topology.problems import At


def contradictions(inventory: Inventory) -> Iterator[Finding]:
    yield from _twice("serial", _serials(inventory), "is the serial of")
    yield from _twice(
        "address",
        (("nodes", node.name, ("address",), node.address) for node in inventory.nodes if node.address),
        "is the address of",
    )
    yield from _twice(
        "endpoint",
        (
            ("devices", device.name, ("endpoints", index, "address"), _identity(endpoint))
            for device in inventory.devices
            for index, endpoint in enumerate(device.endpoints)
        ),
        "is asked for",
    )
    for device in inventory.devices:
        zones = [zone.name for zone in device.zones]
        for index, name in enumerate(zones):
            if name in zones[:index]:
                yield error("duplicate", "devices", device.name, ("zones", index, "name"),
                            f"'{name}' stands twice", "a device's zones have names of their own")  # fmt: skip
    kinds = {kind.name: kind for kind in inventory.kinds}
    for node in inventory.nodes:
        if node.kind in kinds and kinds[node.kind].what != "node":
            yield error(
                "kind",
                "nodes",
                node.name,
                ("kind",),
                f"'{node.kind}' is a kind of rack",
                "name a kind of node",
            )


def remarks(inventory: Inventory) -> Iterator[Finding]:
    spelled: dict[str, str] = {}
    for node in inventory.nodes:
        if node.gpu_model:
            plain = "".join(filter(str.isalnum, node.gpu_model.lower()))
            other = spelled.setdefault(plain, node.gpu_model)
            if other != node.gpu_model:
                yield warning(
                    "gpu-model",
                    "nodes",
                    node.name,
                    ("gpu_model",),
                    f"is '{node.gpu_model}', elsewhere '{other}'",
                    "spell a model in one way",
                )
    managed: dict[str, str] = {}
    for device in inventory.devices:
        if (
            device.role.value == "bmc"
            and device.node
            and managed.setdefault(device.node, device.name) != device.name
        ):
            yield warning("bmc", "devices", device.name, ("node",),
                          f"is '{device.node}', which '{managed[device.node]}' manages as well")  # fmt: skip


def _serials(inventory: Inventory) -> Iterator[tuple[str, str, At, str]]:
    for node in inventory.nodes:
        yield "nodes", node.name, ("serial",), node.serial
    for device in inventory.devices:
        if device.serial:
            yield "devices", device.name, ("serial",), device.serial


def _twice(code: str, things: Iterator[tuple[str, str, At, str]], verb: str) -> Iterator[Finding]:
    owners: dict[str, str] = {}
    for section, name, at, value in things:
        other = owners.setdefault(value, name)
        if other != name:
            shown = value.split("\0")[0]
            yield error(
                code, section, name, at, f"'{shown}' {verb} '{other}' as well", "each thing has its own"
            )


def _identity(endpoint: Endpoint) -> str:
    """The same for endpoints that ask the same thing."""
    address = endpoint.address.rstrip("/").lower()
    rest = (endpoint.protocol, endpoint.path, str(endpoint.unit), endpoint.context, endpoint.object)
    return "\0".join((address, *rest))
