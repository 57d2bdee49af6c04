"""The inventory as Prometheus http_sd target groups."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypedDict

from gigawatch.topology import Inventory

AGENT_PORT = 9610


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


def agent_targets(inventory: Inventory, addresses: Addresses) -> list[TargetGroup]:
    """One target per node, with the place labels that Prometheus puts on all its series."""
    groups: list[TargetGroup] = []
    for node in inventory.nodes:
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
    """One target per facility device; none without a facility exporter to ask."""
    if not addresses.facility:
        return []
    groups: list[TargetGroup] = []
    for device in inventory.devices:
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
