"""Endpoints: addresses in the form of their protocol, and no field that means nothing there."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import urlsplit

from gigawatch.config.load import parse_duration
from gigawatch.topology.checks.finding import Finding, error
from gigawatch.topology.model import Endpoint, Inventory
from gigawatch.topology.problems import At

_SCHEMES = {"redfish": ("https", "http"), "mqtt": ("mqtts", "mqtt")}
_ONLY = {"path": ("redfish",), "context": ("snmp",), "object": ("mqtt",), "profile": ("snmp", "modbus")}
"""Fields that mean something in some protocols only."""
SHORTEST, LONGEST = 0.5, 3600.0
"""Seconds between two polls that make sense."""


def contradictions(inventory: Inventory) -> Iterator[Finding]:
    for device in inventory.devices:
        for index, endpoint in enumerate(device.endpoints):
            for at, problem, remedy in wrong(endpoint):
                yield error("endpoint", "devices", device.name, ("endpoints", index, *at), problem, remedy)


def wrong(endpoint: Endpoint) -> Iterator[tuple[At, str, str]]:
    """Field, problem and remedy of all that makes no sense in an endpoint."""
    yield from _address(endpoint)
    protocol = endpoint.protocol
    for name, protocols in _ONLY.items():
        if getattr(endpoint, name) and protocol not in protocols:
            yield (name,), f"means nothing to {protocol}", f"it belongs to {' and '.join(protocols)}"
    if protocol != "modbus" and endpoint.unit != 1:
        yield ("unit",), f"means nothing to {protocol}", "it belongs to modbus"
    if protocol == "modbus" and not endpoint.profile:
        yield (
            ("profile",),
            "is missing",
            "a Modbus device does not say what it is: name the profile of its model",
        )
    if endpoint.path and protocol == "redfish" and not endpoint.path.startswith("/redfish/"):
        yield ("path",), f"is '{endpoint.path[:80]}'", "a Redfish resource begins with /redfish/"
    if endpoint.interval:
        try:
            seconds = parse_duration(endpoint.interval)
        except ValueError as problem:
            yield ("interval",), str(problem), ""
        else:
            if not SHORTEST <= seconds <= LONGEST:
                yield ("interval",), f"is {endpoint.interval}", "allowed: 500ms to 1h"


def _address(endpoint: Endpoint) -> Iterator[tuple[At, str, str]]:
    schemes = _SCHEMES.get(endpoint.protocol)
    form = f"{schemes[0]}://HOST or {schemes[0]}://HOST:PORT" if schemes else "HOST or HOST:PORT"
    text = endpoint.address
    if "@" in text:
        # Nothing of what may be a password is shown.
        yield ("address",), "holds a user or a password", f"allowed: {form}; secrets go by `credentials`"
        return
    try:
        parts = urlsplit(text if schemes else f"//{text}")
        sound = bool(parts.hostname) and parts.port != 0 and not parts.query and not parts.fragment
    except ValueError:
        parts, sound = urlsplit(""), False
    if not sound or any(c.isspace() for c in text) or (not schemes and "://" in text):
        yield ("address",), f"is '{text[:80]}'", f"allowed: {form}"
    elif schemes and parts.scheme not in schemes:
        begins = " or ".join(f"{scheme}://" for scheme in schemes)
        yield ("address",), f"is '{text[:80]}'", f"an address of {endpoint.protocol} begins with {begins}"
    elif parts.path.rstrip("/"):
        more = "; the resource goes into `path`" if endpoint.protocol == "redfish" else ""
        yield ("address",), f"is '{text[:80]}', with a path", f"allowed: {form}{more}"
