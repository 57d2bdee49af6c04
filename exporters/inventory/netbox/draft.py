"""A site in NetBox as a draft of an inventory: the same checks as for a file, told with the object's page."""

from __future__ import annotations

import math
from collections import defaultdict
from typing import Any

from gigawatch.topology import Role
from gigawatch.topology.checks.power import DISTRIBUTING
from gigawatch.topology.draft import Draft, draft_of_file
from gigawatch.topology.problems import Origin, Severity

from .client import Object
from .cooling import Cooling
from .places import Places, Rows, stated
from .power import Power
from .reading import custom, ident, kilograms, natural, number, slug, sub, text
from .settings import NODE, NetBoxSettings
from .snapshot import Snapshot

_COOLED = (Role.CDU.value, Role.CRAH.value)
_ON_LOOPS = (Role.CDU.value, Role.MANIFOLD.value)


def draft_of(snapshot: Snapshot, settings: NetBoxSettings) -> Draft:
    """The draft of a site, with the overlay laid over it. Raises FileError if the overlay is no YAML."""
    return _Drawer(snapshot, settings).draw()


class _Drawer:
    def __init__(self, snapshot: Snapshot, settings: NetBoxSettings) -> None:
        self._snapshot, self._settings = snapshot, settings
        self._places = Places(snapshot, settings)
        self._power = Power(snapshot, settings, self._places)
        self._cooling = Cooling(snapshot, settings, self._places)
        self._types = {ident(one): one for one in snapshot.of("dcim/device-types")}
        self._draft = Draft(Origin(f"{settings.url} (site {settings.site})"))
        devices = sorted(snapshot.of("dcim/devices"), key=lambda one: natural(text(one, "name")))
        standing = [one for one in devices if text(one, "status") in settings.statuses]
        role = settings.role_of
        self._roles = {ident(one): role(text(one.get("role"), "slug")) for one in standing}
        self._nodes = [one for one in standing if self._roles[ident(one)] == NODE and self._racked(one)]
        self._devices = [one for one in standing if self._roles[ident(one)] not in ("", NODE)]
        self._names = {ident(one): slug(text(one, "name")) for one in self._devices}
        self._gpus: dict[int, list[Object]] = defaultdict(list)
        for item in snapshot.of("dcim/inventory-items"):
            if text(item.get("role"), "slug") in settings.gpu_item_roles:
                self._gpus[ident(item, "device")].append(item)

    def draw(self) -> Draft:
        draft = self._draft
        draft.head = {"version": 1, "site": {"name": slug(self._settings.site)}}
        loops: dict[str, set[int]] = defaultdict(set)
        units: dict[str, Object] = {}
        nodes = [(self._node(one), one) for one in self._nodes]
        devices = [(self._device(one), one) for one in self._devices]
        for values, one in [*devices, *nodes]:
            if values.get("loop"):
                units.setdefault(values["loop"], one)
                rack = ident(one, "rack")
                # A coolant unit stands where it does; the racks it serves are those of the nodes.
                if rack and values.get("role") != Role.CDU:
                    loops[values["loop"]].add(rack)
                else:
                    loops.setdefault(values["loop"], set())
        dry = {ident(one, "rack") for values, one in nodes if not values.get("loop")}
        liquid = {ident(one, "rack") for values, one in nodes if values.get("loop")} - dry
        self._add("racks", "racks", self._places.rack_rows(self._power.rack_power(), liquid))
        self._add("rows", "racks", self._places.rows())
        self._add("loops", "devices", self._cooling.loop_rows(loops, units))
        self._add("nodes", "devices", nodes)
        self._add("devices", "power-panels", self._power.panel_rows())
        self._add("devices", "cooling-sources", self._cooling.source_rows())
        self._add("devices", "devices", devices)
        self._add("devices", "devices", self._controllers())
        self._add("reservations", "rack-reservations", self._places.reservation_rows())
        if self._settings.overlay is not None:
            draft.lay_over(draft_of_file(self._settings.overlay))
        panels = set(self._power.panels.values())
        for drawn in draft.things["devices"]:
            # A panel that nothing feeds is where the site's power comes in.
            if drawn.name in panels and not drawn.values.get("fed_by") and "role" not in drawn.laid_over:
                drawn.values["role"] = Role.UTILITY.value
        return draft

    def _add(self, section: str, kind: str, rows: Rows) -> None:
        for values, one in rows:
            self._draft.add(section, values, self._origin(kind, one))

    def _origin(self, kind: str, one: Object) -> Origin:
        return Origin(
            f"{self._settings.url}/dcim/{kind}/{ident(one)}/", name=text(one, "name") or str(ident(one))
        )

    def _racked(self, one: Object) -> bool:
        """Whether a node has a place; NetBox may hold one that waits for it."""
        if self._places.racks.get(ident(one, "rack")) and self._unit(one):
            return True
        self._draft.fault(
            self._origin("devices", one), (), "unplaced", "has no rack or no position in it: it is left out",
            "give it a position", Severity.WARNING,
        )  # fmt: skip
        return False

    def _node(self, one: Object) -> dict[str, Any]:
        fields = self._settings.fields
        device, items = ident(one), self._gpus.get(ident(one), [])
        kind = self._types.get(ident(one, "device_type"), {})
        model = custom(one, fields.gpu_model) or custom(kind, fields.gpu_model)
        if model is None and items:
            model = text(items[0], "part_id") or text(items[0], "name")
        gpus = custom(one, fields.gpus)
        if gpus is None:
            gpus = custom(kind, fields.gpus)
        ports = len(self._power.plugs(device))
        values: dict[str, Any] = {
            "name": slug(text(one, "name")),
            "rack": self._places.racks.get(ident(one, "rack")),
            "unit": self._unit(one),
            "height": self._height(one),
            "gpu_model": str(model) if model is not None else None,
            "gpus": len(items) if gpus is None else gpus,
            "psus": min(ports, 32) or None,
            "loop": self._cooling.loop(one) or None,
            "serial": text(one, "serial") or None,
            "address": self._address(one, "primary_ip", self._settings.agent_port),
            "power_watts": custom(one, fields.power_watts) or custom(kind, fields.power_watts),
            "ports": custom(one, fields.ports) or custom(kind, fields.ports),
            "kind": custom(one, fields.kind) or custom(kind, fields.kind),
            "weight_kg": kilograms(kind, "weight"),
            "supplies": self._power.supplies(device, self._names)[:32] or None,
        }
        return stated(values)

    def _device(self, one: Object) -> dict[str, Any]:
        fields, device = self._settings.fields, ident(one)
        role = self._roles[device]
        kind = self._types.get(ident(one, "device_type"), {})
        unit = self._unit(one)
        values: dict[str, Any] = {
            "name": self._names[device],
            "role": role,
            "hall": self._places.hall(one),
            "rack": self._places.racks.get(ident(one, "rack")),
            "unit": unit,
            "height": self._height(one) if unit else None,
            "face": "both" if kind.get("is_full_depth") else text(one, "face") or None,
            "model": text(kind, "model") or None,
            "serial": text(one, "serial") or None,
            "capacity_watts": custom(one, fields.capacity_watts),
            "group": custom(one, fields.group),
            "spare": custom(one, fields.spare),
            "side": custom(one, fields.side),
            "endpoints": self._endpoints(one, role),
        }
        if role in _ON_LOOPS:
            values["loop"] = (
                self._cooling.unit_loop(one) if role == Role.CDU else self._cooling.loop(one) or None
            )
        if role in _COOLED:
            values["cooled_by"] = self._cooling.coolers(one) or None
        upstream = self._power.upstream(device, self._names, role in DISTRIBUTING)
        return {**upstream, **stated(values)}

    def _controllers(self) -> Rows:
        """A management controller for each node with an out-of-band address."""
        template = self._settings.endpoints.get(Role.BMC.value)
        found: Rows = []
        for one in self._nodes:
            if template and self._address(one, "oob_ip", 1):
                node = slug(text(one, "name"))
                values = {
                    "name": f"bmc-{node}", "role": "bmc", "rack": self._places.racks.get(ident(one, "rack")),
                    "node": node, "endpoints": self._endpoints(one, "bmc", "oob_ip"),
                }  # fmt: skip
                found.append((stated(values), one))
        return found

    def _endpoints(self, one: Object, role: str, which: str = "primary_ip") -> list[dict[str, Any]] | None:
        template = self._settings.endpoints.get(role)
        host = self._address(one, which, template.port if template else 0)
        if template is None or not host:
            return None
        scheme = {"redfish": "https://", "mqtt": "mqtts://"}.get(template.protocol, "")
        values = template.model_dump(exclude={"port"}, exclude_defaults=True)
        return [{**values, "protocol": template.protocol, "address": scheme + host}]

    def _address(self, one: Object, which: str, port: int) -> str | None:
        host = text(sub(one, which), "address").partition("/")[0]
        if not host:
            return None
        host = f"[{host}]" if ":" in host else host
        return f"{host}:{port}" if port else host

    def _unit(self, one: Object) -> int | None:
        position = number(one, "position") or number(sub(one, "parent_device"), "position")
        if not position:
            return None
        return math.floor(position) - self._places.first_unit.get(ident(one, "rack"), 1) + 1

    def _height(self, one: Object) -> int:
        kind = self._types.get(ident(one, "device_type"), {})
        return max(1, math.ceil(min(number(kind, "u_height") or 1, 1000)))
