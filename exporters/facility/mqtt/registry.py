"""Which messages belong to whom. What belongs to nobody is forgotten: memory stays with what is used."""

from __future__ import annotations

from collections import OrderedDict

from exporters.facility.mqtt.point import (
    LARGEST_VALUE,
    Bad,
    Meta,
    parse_metadata,
    parse_topic,
    parse_value,
)
from exporters.facility.mqtt.view import Point, View

MOST_POINTS = 50_000
"""Of all devices of one broker together."""
_MOST_FOREIGN = 100_000
_MOST_WAITING = 1_000


class Registry:
    """Takes messages as they come, in any order, and hands them to the views they belong to."""

    def __init__(self, most_points: int = MOST_POINTS) -> None:
        self._most = most_points
        self._points: dict[str, Point] = {}
        self._objects: dict[str, list[View]] = {}
        self._racks: dict[str, list[View]] = {}
        self._foreign: dict[int, int] = {}
        """Points of nobody: hash of the topic to hash of the metadata."""
        self._waiting: OrderedDict[str, tuple[str, bytes]] = OrderedDict()
        """Values whose metadata have not come yet, with their publisher."""

    def __len__(self) -> int:
        return len(self._points)

    def claim(self, view: View) -> None:
        """A device joins. Metadata that were nobody's are wanted again."""
        for index, names in ((self._objects, view.objects), (self._racks, view.racks)):
            for name in names:
                index.setdefault(name, []).append(view)
        self._foreign.clear()

    def release(self, view: View) -> None:
        """A device leaves, and its points with it."""
        for index in (self._objects, self._racks):
            for name in [name for name, views in index.items() if view in views]:
                index[name].remove(view)
                if not index[name]:
                    del index[name]
        for point in list(self._points.values()):
            if view in point.views:
                point.views.remove(view)
                if not point.views:
                    del self._points[point.rest]

    def take(self, topic: str, payload: bytes) -> None:
        """A message. Whatever it is, nothing is raised."""
        try:
            publisher, is_value, rest = parse_topic(topic)
        except Bad:
            return
        if is_value:
            self._value(publisher, rest, payload)
        elif publisher == "PUB":
            self._metadata(rest, payload)

    def _metadata(self, rest: str, payload: bytes) -> None:
        point, mark = self._points.get(rest), hash(payload)
        if point is not None and point.raw == mark:
            return
        if not payload:
            self._forget(rest)
            return
        if point is None and self._foreign.get(hash(rest)) == mark:
            return
        try:
            meta = parse_metadata(rest, payload)
        except Bad as bad:
            for view in point.views if point else ():
                view.dropped[bad.reason] += 1
            return
        owners = self._owners(meta)
        if not owners:
            self._forget(rest)
            if len(self._foreign) >= _MOST_FOREIGN:
                self._foreign.clear()
            self._foreign[hash(rest)] = mark
            return
        if point is None:
            if len(self._points) >= self._most:
                for view in owners:
                    view.dropped["too_many"] += 1
                return
            point = self._points[rest] = Point(rest, meta, mark)
        for view in point.views:
            if view not in owners:
                view.remove(point)
        point.meta, point.raw, point.views = meta, mark, owners
        for view in owners:
            view.add(point)
        if rest in self._waiting:
            self._value(*self._waiting_value(rest))

    def _waiting_value(self, rest: str) -> tuple[str, str, bytes]:
        publisher, payload = self._waiting.pop(rest)
        return publisher, rest, payload

    def _value(self, publisher: str, rest: str, payload: bytes) -> None:
        point = self._points.get(rest)
        if point is None:
            if hash(rest) not in self._foreign and len(payload) <= LARGEST_VALUE:
                self._waiting[rest] = publisher, payload
                self._waiting.move_to_end(rest)
                if len(self._waiting) > _MOST_WAITING:
                    self._waiting.popitem(last=False)
            return
        if publisher != point.meta.publisher:
            return
        before = point.value
        try:
            point.value, point.time = parse_value(payload)
        except Bad as bad:
            if bad.reason != "error":
                point.value = None  # it says itself that it knows no value
            for view in point.views:
                view.dropped[bad.reason] += 1
                view.changed = view.changed or point.value != before
            return
        for view in point.views:
            view.heard(point, before)

    def _forget(self, rest: str) -> None:
        self._waiting.pop(rest, None)
        point = self._points.pop(rest, None)
        for view in point.views if point else ():
            view.remove(point)  # type: ignore[arg-type]  # there is a point, or there are no views

    def _owners(self, meta: Meta) -> list[View]:
        found = [
            *self._objects.get(meta.object_id, ()),
            *self._objects.get(meta.associate_id, ()),
            *self._racks.get(meta.rack_id, ()),
            *self._racks.get(meta.associate_id, ()),
        ]
        at = -1
        while (at := meta.tag_path.find("/", at + 1)) >= 0:
            found += self._objects.get(meta.tag_path[:at], ())
        found += self._objects.get(meta.tag_path, ())
        return list(dict.fromkeys(found))
