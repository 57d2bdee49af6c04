"""The inventory as Prometheus http_sd target groups."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypedDict

from gigawatch.topology import Inventory

AGENT_PORT = 9610
Devices = Literal["asked", "all", "any"]
"""Those with endpoints; all of them; those with endpoints, and all of a site where none has any (it can only
be a simulated one)."""


class TargetGroup(TypedDict):
    """One element of an http_sd answer."""

    targets: list[str]
    labels: dict[str, str]


@dataclass(frozen=True, slots=True)
class Addresses:
    """Where exporters answer. Empty: every node's own agent; no facility exporter."""

    agent: str = ""
    """One agent that serves a page for each node (a simulated site)."""
    facility: str = ""
    """The facility exporter, which serves a page for each device."""
    host_agent: str = ""
    """A further agent that speaks for the machine it runs on."""
    host_name: str = ""
    devices: Devices = "any"
    """Which devices the facility exporter has a page for."""


def agent_targets(inventory: Inventory, addresses: Addresses) -> list[TargetGroup]:
    """One target per node, with the place labels that Prometheus puts on all its series."""
    groups: list[TargetGroup] = []
    for node in sorted(inventory.nodes, key=lambda node: node.name):
        labels = {"site": inventory.site, "rack": node.rack, "node": node.name, "instance": node.name}
        if addresses.agent:
            labels["__metrics_path__"] = f"/nodes/{node.name}/metrics"
            address = addresses.agent
        else:
            address = node.address or f"{node.name}:{AGENT_PORT}"
        groups.append(TargetGroup(targets=[address], labels=labels))
    if addresses.host_agent:
        name = addresses.host_name or addresses.host_agent
        labels = {"site": inventory.site, "node": name, "instance": name}
        groups.append(TargetGroup(targets=[addresses.host_agent], labels=labels))
    return groups


def facility_targets(inventory: Inventory, addresses: Addresses) -> list[TargetGroup]:
    """One target per facility device that has a page; none without a facility exporter to ask."""
    if not addresses.facility:
        return []
    groups: list[TargetGroup] = []
    asked = [device for device in inventory.devices if device.endpoints]
    every = addresses.devices == "all" or (addresses.devices == "any" and not asked)
    for device in sorted(inventory.devices if every else asked, key=lambda device: device.name):
        labels = {
            "site": inventory.site,
            "hall": device.hall,
            "rack": device.rack,
            "device": device.name,
            "node": device.node,
            "instance": device.name,
            "__metrics_path__": f"/devices/{device.name}/metrics",
        }
        present = {name: value for name, value in labels.items() if value}
        groups.append(TargetGroup(targets=[addresses.facility], labels=present))
    return groups
