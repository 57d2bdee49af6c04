"""Metric reports: one GET that brings what would otherwise take one for each resource."""

from __future__ import annotations

from exporters.facility.redfish.age import age, clock_of
from exporters.facility.redfish.jsons import items, last, link, mapping, text
from exporters.facility.redfish.links import local
from exporters.facility.redfish.model import Body
from exporters.facility.redfish.service import Service
from exporters.facility.redfish.tree import Tree, normal
from exporters.facility.redfish.walk import Walk
from exporters.facility.redfish.web import PageError

_MOST_VALUES = 20_000
_MOST_TRIED = 8
"""Reports that are looked into where none bears the device's name."""
_MOST_USED = 3
_PATIENCE = 3
"""Failures in a row after which a report is left alone."""
_SEARCH_AGAIN = 600.0
"""Seconds until reports are looked for again where none was of use, or one went stale."""


class Reports:
    """The reports that speak of one device."""

    def __init__(self, names: tuple[str, ...]) -> None:
        self._names = names
        """What a report of the device may be called."""
        self._used: list[str] = []
        self._next_search = float("-inf")
        self._failures = 0

    async def read(
        self, service: Service, tree: Tree, now: float, oldest: float, walk: Walk
    ) -> dict[str, int]:
        """Fill the tree's values; what is too old is counted and left to be read elsewhere.

        Raises PollError where the service cannot be reached.
        """
        dropped: dict[str, int] = {}
        if not tree.complete:
            return dropped
        if not self._used and now >= self._next_search:
            self._next_search = now + _SEARCH_AGAIN
            self._used = await self._search(service, tree, walk.seconds_for_one)
        for uri in tuple(self._used):
            try:
                walk.gets += 1
                body, headers = await service.fetch(uri, walk.seconds_for_one)
            except PageError as error:
                self._failures += 1
                if error.status in (404, 410) or self._failures >= _PATIENCE:
                    self._leave(uri, now)
                continue
            self._failures = 0
            walk.answers += 1
            taken, counts = fill(tree, body, now, oldest, clock_of(headers, now))
            for reason, count in counts.items():
                dropped[reason] = dropped.get(reason, 0) + count
            if not taken:
                self._leave(uri, now)
        return dropped

    def _leave(self, uri: str, now: float) -> None:
        self._used.remove(uri)
        self._next_search = now + _SEARCH_AGAIN

    async def _search(self, service: Service, tree: Tree, seconds: float) -> list[str]:
        try:
            telemetry = local(link((await service.root()).get("TelemetryService")), service.origin)
            if not telemetry:
                return []
            about = await service.remembered(telemetry, seconds)
            listed = local(link(about.get("MetricReports")), service.origin)
            reports = await service.remembered(listed, seconds) if listed else {}
        except PageError:
            return []
        found = [local(link(item), service.origin) for item in items(reports.get("Members"))[:_MOST_VALUES]]
        named = [uri for uri in found if uri and last(uri) in self._names]
        others = [uri for uri in found if uri and uri not in named]
        return await self._useful(service, tree, named or others[:_MOST_TRIED], seconds)

    async def _useful(self, service: Service, tree: Tree, uris: list[str], seconds: float) -> list[str]:
        """Those that tell the most, each something that the ones before it do not."""
        tree.reindex()
        told: dict[str, set[str]] = {}
        for uri in uris:
            try:
                body = await service.get(uri, seconds)
            except PageError:
                continue
            told[uri] = {
                key
                for item in items(body.get("MetricValues"))[:_MOST_VALUES]
                if (key := normal(text(mapping(item).get("MetricProperty"), 500))) in tree.index
            }
        chosen: list[str] = []
        covered: set[str] = set()
        for uri in sorted(told, key=lambda uri: -len(told[uri])):
            if told[uri] - covered and len(chosen) < _MOST_USED:
                chosen.append(uri)
                covered |= told[uri]
        return chosen


def fill(
    tree: Tree, report: Body, now: float, oldest: float, clock: float, pushed: bool = False
) -> tuple[int, dict[str, int]]:
    """Values of a report into the tree: how many were of use, and those left out by reason."""
    tree.reindex()
    taken, dropped = 0, dict[str, int]()
    whole = text(report.get("Timestamp"))
    ages: dict[str, float] = {}
    index, states = tree.index, tree.states
    for item in items(report.get("MetricValues"))[:_MOST_VALUES]:
        entry = mapping(item)
        spelled = entry.get("MetricProperty")
        if not isinstance(spelled, str):
            continue
        key = normal(spelled)
        slots = index.get(key)
        part = states.get(key.removesuffix("#/Status/State")) if slots is None else None
        if slots is None and (part is None or not key.endswith("#/Status/State")):
            continue
        stamp = entry.get("Timestamp", whole)
        stamp = stamp if isinstance(stamp, str) else whole
        if stamp not in ages:
            ages[stamp] = age(stamp, clock)
        if ages[stamp] > oldest:
            dropped["stale"] = dropped.get("stale", 0) + 1
            continue
        raw = entry.get("MetricValue")
        taken += 1
        if part is not None:
            part.state = text(raw)
            continue
        for slot in slots or ():
            if reason := slot.take(raw, now):
                dropped[reason] = dropped.get(reason, 0) + 1
            slot.pushed = pushed
    return taken, dropped
