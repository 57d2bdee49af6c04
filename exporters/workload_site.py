"""What the inventory knows of the nodes on which engines run, and what Prometheus is told to scrape."""

from __future__ import annotations

import logging
import re
from collections.abc import Collection
from pathlib import Path
from urllib.parse import quote

from exporters.inference.pages import METRICS, NODES
from exporters.inference.targets import Target
from exporters.inventory.targets import TargetGroup
from gigawatch.errors import UserError
from gigawatch.serving import Request, Response
from gigawatch.topology import Inventory, load_inventory

log = logging.getLogger(__name__)

_HOST = re.compile(r"^[A-Za-z0-9._:\[\]-]{1,255}$")

_HERE = ("127.0.0.1", "localhost", "::1")


def stamp_of(path: Path | None) -> object:
    """Changes with the file, also where a link to it is turned; None for no file."""
    if path is None:
        return None
    try:
        found = path.stat()
    except OSError as error:
        return error.errno
    return found.st_mtime_ns, found.st_size, found.st_ino


class Site:
    """The newest good inventory, or none at all. Read by several threads."""

    def __init__(self, path: Path | None) -> None:
        """Raises UserError where the file cannot be used."""
        self._path = path
        self._stamp = stamp_of(path)
        self.errors = 0
        self.problem = ""
        self._accept(load_inventory(path) if path is not None else None)

    def refresh(self) -> bool:
        """Look at the file; True if another inventory came into force. A bad one changes nothing."""
        stamp = stamp_of(self._path)
        if self._path is None or stamp == self._stamp:
            return False
        self._stamp = stamp
        try:
            self._accept(load_inventory(self._path))
        except UserError as error:
            self.errors, self.problem = self.errors + 1, str(error)
            log.warning("inventory refused, the last good one stays in force: %s", error)
            return False
        self.problem = ""
        return True

    def place(self, target: Target) -> str:
        """The node that a target's host is; empty where the inventory knows none of that name or address."""
        nodes = self._hosts
        return nodes.get(target.host) or nodes.get(target.host.partition(".")[0], "")

    def labels(self, node: str = "") -> dict[str, str]:
        """Place labels of a node, or of the site."""
        inventory = self._inventory
        if inventory is None:
            return {}
        known = inventory.node.get(node)
        return {"site": inventory.site} | ({"rack": known.rack} if known is not None else {})

    def _accept(self, inventory: Inventory | None) -> None:
        hosts: dict[str, str] = {}
        for node in inventory.nodes if inventory is not None else ():
            hosts[node.name] = node.name
            address = node.address.rpartition(":")[0] if ":" in node.address else node.address
            if address:
                hosts.setdefault(address.strip("[]"), node.name)
            if address in _HERE:
                # A site of this machine alone, as `gigawatch up` describes it.
                for name in _HERE:
                    hosts.setdefault(name, node.name)
        self._inventory, self._hosts = inventory, hosts


def target_groups(address: str, secure: bool, nodes: Collection[str], site: Site) -> list[TargetGroup]:
    """A group for each node's page and one for our own, in the format of http_sd."""
    scheme = {"__scheme__": "https"} if secure else {}
    groups = [TargetGroup(targets=[address], labels={**site.labels(), **scheme})]
    for node in nodes:
        labels = {**site.labels(node), "node": node, "instance": node}
        labels["__metrics_path__"] = f"{NODES}{quote(node, safe='')}{METRICS}"
        groups.append(TargetGroup(targets=[address], labels={**labels, **scheme}))
    return groups


def answer_targets(
    request: Request, advertise: str, secure: bool, nodes: Collection[str], site: Site
) -> Response:
    """/targets: where we are is what the settings say, or how the asker reached us."""
    address = advertise or request.headers.get("Host", "")
    if not _HOST.match(address):
        return Response.text("the Host header is no HOST:PORT; set `advertise`\n", 400)
    return Response.json(target_groups(address, secure, nodes, site))
