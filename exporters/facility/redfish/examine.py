"""What a page holds: its resources with their values, and the pages that it leads to."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from exporters.facility.redfish.age import age
from exporters.facility.redfish.jsons import at, items, link, mapping, number, text
from exporters.facility.redfish.links import local
from exporters.facility.redfish.model import Body, Found, Link, Seen, State, Subject, Value
from exporters.facility.redfish.naming import plain
from exporters.facility.redfish.tables_chassis import TABLES
from exporters.facility.redfish.tree import Page, Part, Slot, normal

MOST_MEMBERS = 512
"""Members of one collection, or objects in one list, that are looked at."""
_DEEPEST = 8
"""Links from the device's resource."""
_NESTED = 4
"""Objects within objects."""
_MOST_SLOTS = 4096
"""Values on one page."""
_LONGEST_LINK = 500


class Examination:
    """Of one page, read at `now`. Raises nothing, whatever the body is."""

    def __init__(
        self, page: Page, origin: str, subject: Subject, now: float, clock: float, oldest: float
    ) -> None:
        """`clock`: what time it is for the service. Sensors that say they were read longer ago than `oldest`
        seconds are left out."""
        self.parts: list[Part] = []
        self.children: list[Page] = []
        self.dropped: dict[str, int] = {}
        self.payloads = self.bare = 0
        """Members that came with their properties, and those that are links alone."""
        self.more = ""
        """Where the collection goes on."""
        self._page, self._origin, self._subject, self._now = page, origin, subject, now
        self._clock, self._oldest = clock, oldest
        self._slots = 0

    def of(self, body: Body) -> Examination:
        """Look at a whole answer."""
        page = self._page
        if isinstance(body.get("Members"), list):
            self._members(body)
        else:
            self._resource(body, page.uri, page.table, page.fields, page.index, page.count, 0)
        return self

    def _members(self, body: Body) -> None:
        page = self._page
        found = items(body.get("Members"))[:MOST_MEMBERS]
        self.more = local(body.get("Members@odata.nextLink"), self._origin)
        for index, member in enumerate(found):
            if has_payload(mapping(member)):
                self.payloads += 1
            else:
                self.bare += 1
            self._target(member, page.table, page.fields, index, len(found), page.uri, 0)

    def _resource(
        self, body: Body, key: str, table: str, known: Mapping[str, str], index: int, count: int, nested: int
    ) -> None:
        rows = TABLES[table]
        name = rows.name or plain
        fields = {**known, **name(Seen(body, key, known, index, count, self._subject))}
        status = mapping(body.get("Status"))
        part = Part(key, table, text(status.get("State")), body.get("CoolantConnectorType") == "Return")
        self.parts.append(part)
        for value in rows.values:
            self._value(part, body, value, tuple(label.format_map(fields) for label in value.labels), False)
        for state in rows.states:
            self._state(part, body, state, fields)
        if rows.more is not None:
            for found in rows.more(body, self._subject):
                self._found(part, body, found, fields)
        for way in rows.links:
            if not any(at(body, other) for other in way.unless):
                self._follow(body, key, way, fields, nested)

    def _value(self, part: Part, body: Body, row: Value, labels: tuple[str, ...], alone: bool) -> None:
        raw = at(body, row.path)
        if row.roles and self._subject.role not in row.roles:
            return
        source = ""
        if isinstance(raw, dict):
            source = text(raw.get("DataSourceUri"), _LONGEST_LINK)
            missing = "Reading" not in raw
            raw = raw.get("Reading")
        else:
            missing = raw is None and not _has(body, row.path)
        if missing or self._slots >= _MOST_SLOTS or (row.unless and _numeric(body, row.unless)):
            return
        self._slots += 1
        slot = Slot(
            row.metric, labels, part, row.every, row.scale, None, row.join, row.rank, row.above, row.standby
        )
        slot.alone = alone
        slot.keys = _keys(part, row.path, source)
        self._take(part, slot, raw)

    def _state(self, part: Part, body: Body, row: State, fields: Mapping[str, str]) -> None:
        if self._slots >= _MOST_SLOTS or not _has(body, row.path):
            return
        self._slots += 1
        labels = tuple(label.format_map(fields) for label in row.labels)
        slot = Slot(row.metric, labels, part, row.every, words=row.words, always=row.always)
        source = text(body.get("DataSourceUri"), _LONGEST_LINK)
        slot.keys = _keys(part, row.path, f"{source}#/{row.path}" if source else "")
        self._take(part, slot, at(body, row.path))

    def _found(self, part: Part, body: Body, found: Found | str, fields: Mapping[str, str]) -> None:
        if isinstance(found, str):
            self.dropped[found] = self.dropped.get(found, 0) + 1
            return
        labels = tuple(fields["id"] if label == "{id}" else label for label in found.labels)
        read = text(body.get("ReadingTime"))
        if read and age(read, self._clock) > self._oldest:
            self.dropped["stale"] = self.dropped.get("stale", 0) + 1
            body = {**body, found.value.path: None}
        self._value(part, body, found.value, labels, found.alone)

    def _take(self, part: Part, slot: Slot, raw: object) -> None:
        part.slots.append(slot)
        if reason := slot.take(raw, self._now):
            self.dropped[reason] = self.dropped.get(reason, 0) + 1

    def _follow(self, body: Body, key: str, way: Link, known: Mapping[str, str], nested: int) -> None:
        target = at(body, way.path)
        fields = {**known, **way.fields} if way.fields else known
        pointer = f"{key}{'' if '#' in key else '#'}/{way.path}"
        if isinstance(target, list):
            several = target[:MOST_MEMBERS]
            for index, item in enumerate(several):
                self._target(item, way.table, fields, index, len(several), f"{pointer}/{index}", nested + 1)
        elif isinstance(target, dict):
            self._target(target, way.table, fields, 0, 1, pointer, nested + 1, way.many)

    def _target(
        self,
        found: object,
        table: str,
        fields: Mapping[str, str],
        index: int,
        count: int,
        pointer: str,
        nested: int,
        many: bool = False,
    ) -> None:
        """What a link leads to: another page, or an object that came along."""
        body = mapping(found)
        address = link(body)
        if body and has_payload(body):
            if nested <= _NESTED:
                uri = local(address, self._origin)
                # An object within another keeps its pointer; a member that was expanded has an address.
                key = address if uri and "#" in address else uri or pointer
                self._resource(body, key, table, fields, index, count, nested)
            return
        uri = local(address, self._origin)
        if uri and self._page.depth < _DEEPEST:
            self.children.append(Page(uri, table, fields, self._page.depth + 1, index, count, many))


def has_payload(body: Body) -> bool:
    """Whether an object is a resource, and not a mere link to it (which some services adorn)."""
    if "@odata.id" not in body:
        return True
    return any("@" not in name and name not in ("Id", "Name") for name in body)


def _keys(part: Part, path: str, source: str) -> tuple[str, ...]:
    own = normal(f"{part.key}{'' if '#' in part.key else '#'}/{path}")
    return (own, normal(source)) if source else (own,)


def _has(body: Body, path: str) -> bool:
    above, _, name = path.rpartition("/")
    found = at(body, above) if above else body
    return isinstance(found, Mapping) and name in found


def _numeric(body: Body, path: str) -> bool:
    raw = at(body, path)
    return number(mapping(raw).get("Reading") if isinstance(raw, dict) else raw) is not None


def identity(body: Body) -> tuple[str, str, str, str]:
    """Vendor, model, firmware, serial."""
    vendor, model = text(body.get("Manufacturer"), 80), text(body.get("Model"), 80)
    return vendor, model, text(body.get("FirmwareVersion"), 80), text(body.get("SerialNumber"), 80)


def place(body: Body) -> tuple[str, str] | None:
    """Rack and unit that the device says it is in, if it does."""
    spot = mapping(mapping(body.get("Location")).get("Placement"))
    rack, unit = text(spot.get("Rack")), number(spot.get("RackOffset"))
    if not rack and unit is None:
        return None
    return rack, str(int(unit)) if unit is not None and 0 <= unit < 1000 else ""


def managers(body: Body, origin: str) -> Iterator[str]:
    """Controllers of a chassis: their firmware is the BMC's."""
    for item in items(mapping(body.get("Links")).get("ManagedBy"))[:1]:
        if uri := local(link(item), origin):
            yield uri
