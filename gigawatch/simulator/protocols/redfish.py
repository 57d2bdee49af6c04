"""A Redfish service that speaks for many devices, as an aggregator does; read only.

Chassis, ThermalEquipment/CDUs and TelemetryService/MetricReports; `$expand` does what the root announces.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from gigawatch.serving import App, Request, Response
from gigawatch.simulator.protocols.resources import (
    CDUS,
    CHASSIS,
    REPORTS,
    ROOT,
    Builder,
    Resource,
    collection,
)
from gigawatch.simulator.protocols.values import Answer, Values

_HEADERS = {"OData-Version": "4.0", "Cache-Control": "no-store"}
_REPORTED = frozenset({"Reading", "SetPoint", "State", "Health", "DetectorState", "CoolingCapacityWatts"})
"""Properties that stand in a device's metric report: all that changes."""
_EXPAND = {"ExpandAll": True, "NoLinks": True, "Links": False, "Levels": True, "MaxLevels": 1}
_EXPANDING = (".", "*", ".($levels=1)", "*($levels=1)")


class Service:
    """The resources of all devices, by the path of each device's own resource."""

    def __init__(self, devices: Mapping[str, Builder], answer: Answer) -> None:
        self._builders, self._answer = devices, answer
        """By name of the device."""
        self._path = {name: builder.path for name, builder in devices.items()}
        self._owner = {builder.path: name for name, builder in devices.items()}
        self._built: dict[str, tuple[Values, dict[str, Resource]]] = {}

    def attach(self, app: App) -> None:
        """Answer below /redfish."""
        app.route("GET", "/redfish", lambda _: _json({"v1": f"{ROOT}/"}))
        app.route("GET", "/redfish/", self.reply)

    def reply(self, request: Request) -> Response:
        """The resource at the request's path, expanded if that was asked for."""
        path = request.path.rstrip("/")
        if path == "/redfish":
            return _json({"v1": f"{ROOT}/"})
        fixed = self._fixed(path)
        if fixed is not None:
            return _json(self._expanded(fixed, request))
        owner = self._owner_of(path)
        if owner is None:
            return _error(404, "ResourceMissingAtURI", f"there is no resource {path[:200]}")
        resources = self._resources(owner)
        if resources is None:
            return _error(503, "ServiceTemporarilyUnavailable", f"{owner} does not answer")
        found = self._report(owner) if path == f"{REPORTS}/{owner}" else resources.get(path)
        if found is None:
            return _error(404, "ResourceMissingAtURI", f"there is no resource {path[:200]}")
        return _json(self._expanded(found, request))

    def _fixed(self, path: str) -> Resource | None:
        """What belongs to no device."""
        if path == ROOT:
            return _root()
        if path == ROOT + "/ThermalEquipment":
            body = {"Id": "ThermalEquipment", "Name": "Thermal equipment", "CDUs": {"@odata.id": CDUS}}
            return {"@odata.id": path, "@odata.type": "#ThermalEquipment.v1_1_0.ThermalEquipment", **body}
        if path == ROOT + "/TelemetryService":
            body = {"Id": "TelemetryService", "Name": "Telemetry", "MetricReports": {"@odata.id": REPORTS}}
            return {"@odata.id": path, "@odata.type": "#TelemetryService.v1_3_0.TelemetryService", **body}
        if path == REPORTS:
            return collection(REPORTS, "MetricReport", [f"{REPORTS}/{name}" for name in self._path])
        if path in (CHASSIS, CDUS):
            kind = "Chassis" if path == CHASSIS else "CoolingUnit"
            return collection(path, kind, [p for p in self._path.values() if p.rpartition("/")[0] == path])
        return None

    def _owner_of(self, path: str) -> str | None:
        if path.startswith(REPORTS + "/"):
            name = path.removeprefix(REPORTS + "/")
            return name if name in self._path else None
        for root in (CHASSIS, CDUS):
            if path.startswith(root + "/"):
                return self._owner.get(f"{root}/{path.removeprefix(root + '/').partition('/')[0]}")
        return None

    def _resources(self, name: str) -> dict[str, Resource] | None:
        values = self._answer(name)
        if values is None:
            return None
        known = self._built.get(name)
        if known is None or known[0] is not values:
            built = {str(resource["@odata.id"]): resource for resource in self._builders[name].build(values)}
            known = self._built[name] = (values, built)
        return known[1]

    def _report(self, name: str) -> Resource | None:
        resources = self._resources(name)
        values = self._answer(name)
        if resources is None or values is None:
            return None
        rows = [
            {"MetricProperty": f"{path}#{pointer}", "MetricValue": str(value)}
            for path, resource in resources.items()
            for pointer, value in _walk(resource, "")
        ]
        return {
            "@odata.id": f"{REPORTS}/{name}",
            "@odata.type": "#MetricReport.v1_5_0.MetricReport",
            "Id": name,
            "Name": f"All readings of {name}",
            "Timestamp": datetime.fromtimestamp(values.time, UTC).isoformat(timespec="milliseconds"),
            "MetricValues": rows,
        }

    def _expanded(self, resource: Resource, request: Request) -> Resource:
        asked = request.query.get("$expand", [""])[0]
        if asked not in _EXPANDING or "Members" not in resource:
            return resource
        members = [self._member(member) for member in resource["Members"]]
        return {**resource, "Members": members}

    def _member(self, link: Resource) -> Resource:
        """The resource itself; the bare link where its device does not answer."""
        path = str(link["@odata.id"])
        owner = self._owner_of(path)
        resources = self._resources(owner) if owner is not None else None
        if owner is None or resources is None:
            return link
        found = self._report(owner) if path == f"{REPORTS}/{owner}" else resources.get(path)
        return found if found is not None else link


def _walk(value: Any, pointer: str) -> Iterator[tuple[str, Any]]:
    """JSON pointers and values of what is reported."""
    if isinstance(value, dict):
        for key, inner in value.items():
            if isinstance(inner, dict | list):
                yield from _walk(inner, f"{pointer}/{key}")
            elif key in _REPORTED and inner is not None:
                yield f"{pointer}/{key}", inner
    elif isinstance(value, list):
        for place, inner in enumerate(value):
            yield from _walk(inner, f"{pointer}/{place}")


def _root() -> Resource:
    def link(name: str) -> Resource:
        return {"@odata.id": f"{ROOT}/{name}"}

    return {
        "@odata.id": f"{ROOT}/",
        "@odata.type": "#ServiceRoot.v1_16_0.ServiceRoot",
        "Id": "RootService",
        "Name": "Gigawatch simulated site",
        "RedfishVersion": "1.20.0",
        "ProtocolFeaturesSupported": {"ExpandQuery": _EXPAND},
        "Chassis": link("Chassis"),
        "ThermalEquipment": link("ThermalEquipment"),
        "TelemetryService": link("TelemetryService"),
    }


def _json(body: Resource, status: int = 200) -> Response:
    text = json.dumps(body, separators=(",", ":")).encode()
    return Response(text, "application/json; charset=utf-8", status, _HEADERS)


def _error(status: int, code: str, message: str) -> Response:
    return _json({"error": {"code": f"Base.1.18.{code}", "message": message}}, status)
