"""How the labels of a resource are named."""

from __future__ import annotations

from collections.abc import Mapping

from exporters.facility.redfish.jsons import last, mapping, text
from exporters.facility.redfish.model import Body, Name, Seen


def ident(body: Body, uri: str) -> str:
    """What the device calls it."""
    found = body.get("Id", body.get("MemberId"))
    return text(found) or (str(found) if type(found) is int else "") or last(uri)


def plain(seen: Seen) -> Mapping[str, str]:
    """`id`: as the device calls it."""
    return {"id": ident(seen.body, seen.uri)}


def numbered(word: str) -> Name:
    """`id`: as the device calls it, with the word in front where that is a bare number."""

    def name(seen: Seen) -> Mapping[str, str]:
        found = ident(seen.body, seen.uri)
        return {"id": word + found if found.isdecimal() else found}

    return name


def main_circuit(seen: Seen) -> Mapping[str, str]:
    """The one main circuit is the device itself; several keep their ids."""
    return {"id": "", "breaker": "main", "prefix": ""} if seen.count == 1 else circuit(seen)


def circuit(seen: Seen) -> Mapping[str, str]:
    """`id` and `breaker` of a circuit, and `prefix` for the ids of its conductors."""
    found = ident(seen.body, seen.uri)
    return {"id": found, "breaker": found, "prefix": found + " "}


def group(seen: Seen) -> Mapping[str, str]:
    """`group` of a redundancy: numbered from the second one on."""
    name = seen.known.get("group", "")
    return {"group": name if seen.index == 0 else f"{name} {seen.index + 1}"}


def zone(seen: Seen) -> Mapping[str, str]:
    """`zone` of a leak detector: the name that the inventory knows, else its id."""
    body = seen.body
    known = text(body.get("Id")) or last(text(body.get("DataSourceUri"), 500))
    place = text(mapping(body.get("Location")).get("Name"))
    names = [
        name for name in (known, text(body.get("DeviceName")), place, text(body.get("Name"))) if name
    ] or [f"detector {seen.index + 1}"]
    return {"zone": next((name for name in names if name in seen.subject.zones), names[0])}


def of_supply(seen: Seen) -> Mapping[str, str]:
    """`psu`: the power supply whose meter this is."""
    return {"psu": seen.known.get("id", "")}


def air(seen: Seen) -> Mapping[str, str]:
    """`air`: which air a device means that has no named place for its sensor."""
    return {"air": "inlet" if seen.subject.role == "bmc" else "room"}
