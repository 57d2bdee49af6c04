"""Asks one Redfish resource and everything below it, with as few questions as its service allows."""

from __future__ import annotations

import zlib
from collections.abc import Iterator

from exporters.facility.driver import Polled, PollError, Reason, Wiring
from exporters.facility.redfish.compose import compose
from exporters.facility.redfish.events import hear
from exporters.facility.redfish.examine import identity, managers, place
from exporters.facility.redfish.finding import find
from exporters.facility.redfish.hub import Hub, Place, hub
from exporters.facility.redfish.jsons import last, text
from exporters.facility.redfish.links import origin_of
from exporters.facility.redfish.model import SLOW, Body, Subject
from exporters.facility.redfish.reports import Reports
from exporters.facility.redfish.tree import Page, Slot, Tree
from exporters.facility.redfish.walk import Walk
from exporters.facility.redfish.web import PageError
from gigawatch.catalogue import Kind, polling
from gigawatch.readings import Reading

_STALE_AFTER = 3
"""Intervals after which a value is no longer told."""
_QUICKEST = 30.0
"""Seconds between two readings of what changes seldom, however restless the device is."""
EVENTS_OPTION = "redfish_events"
"""Name of the option that, when `off`, leaves streams of events alone."""


class RedfishDriver:
    """See `exporters.facility.driver.Driver`; `pushed` gives what came between two polls."""

    def __init__(self, wiring: Wiring) -> None:
        """Raises PollError(PROFILE) if the address cannot be used."""
        self._wiring = wiring
        self._origin = origin_of(wiring.endpoint.address)
        device, path = wiring.device, wiring.endpoint.path
        self._subject = Subject(device.side, device.role.value, frozenset(zone.name for zone in device.zones))
        self._names = tuple(name for name in (device.name, last(path), device.node) if name)
        # Between 0.8 and 1.2, so that devices do not all read again at the same moment.
        self._jitter = 0.8 + 0.4 * (zlib.crc32(device.name.encode()) % 1000) / 1000
        self._tree, self._reports = Tree(), Reports(self._names)
        self._hub: Hub | None = None
        self._place: Place | None = None
        self._identity = ("", "", "", "", "")
        self._where: tuple[str, str] | None = None
        self._states: frozenset[tuple[object, ...]] = frozenset()
        self._hurried = float("-inf")
        self._heard = False

    async def poll(self) -> Polled:
        """Everything the device says now."""
        wiring = self._wiring
        place = self._enter()
        now = wiring.clock()
        walk = Walk(
            place.service, self._tree, self._subject, now, wiring.deadline, self._oldest, self._jitter
        )
        polled = Polled()
        try:
            if self._tree.root is None:
                await self._settle(place, walk)
            polled.dropped = await self._reports.read(place.service, self._tree, now, self._oldest, walk)
            await walk.go()
            self._describe(walk)
            await self._learn_firmware(place, walk)
        except PageError as error:
            if error.status in (404, 410) or error.reason is Reason.PROFILE:
                self._begin_anew(place)
            raise
        for reason, count in walk.dropped.items():
            polled.drop(reason, count)
        self._tell(polled, now)
        self._judge(polled, walk)
        self._hear_from(place)
        return polled

    def pushed(self) -> Polled | None:
        """What came since the last poll; None if nothing did."""
        if not self._heard:
            return None
        self._heard = False
        polled = Polled(identity=self._identity)
        now = self._wiring.clock()
        compose(self._tree, polled, lambda slot: self._fresh(slot, now), pushed=True)
        return polled if polled.readings else None

    def hear(self, message: Body) -> None:
        """A message of the service's stream of events."""
        if hear(self._tree, message, self._wiring.clock(), self._oldest):
            self._heard = True

    async def close(self) -> None:
        """Leave the service; the last one ends the session."""
        place, self._place = self._place, None
        if place is not None and self._hub is not None:
            await place.stream.part(self)
            await self._hub.leave(place)

    def _enter(self) -> Place:
        if self._place is None:
            self._hub = hub(self._wiring)
            self._place = self._hub.enter(self._wiring, self._origin)
        return self._place

    async def _settle(self, place: Place, walk: Walk) -> None:
        """Find the resource that is the device."""
        wiring = self._wiring
        uri, table = await find(place.service, wiring.device, wiring.endpoint.path, walk.seconds_for_one)
        self._tree.plant(Page(uri, table, {"side": self._subject.side}, 0))
        self._reports = Reports((*self._names, last(uri)))

    def _begin_anew(self, place: Place) -> None:
        self._tree = Tree()
        place.service.forget()

    def _describe(self, walk: Walk) -> None:
        """Identity and place, if the device's own resource was read."""
        if walk.about is None or self._tree.root is None:
            return
        vendor, model, firmware, serial = identity(walk.about)
        self._identity = (self._tree.root.table, vendor, model, firmware or self._identity[3], serial)
        self._where = place(walk.about)

    async def _learn_firmware(self, place: Place, walk: Walk) -> None:
        """A chassis has none of its own: its controller's."""
        if walk.about is None or self._identity[3]:
            return
        for uri in managers(walk.about, self._origin):
            try:
                manager = await place.service.remembered(uri, walk.seconds_for_one)
            except PageError:
                return
            profile, vendor, model, _, serial = self._identity
            self._identity = (profile, vendor, model, text(manager.get("FirmwareVersion"), 80), serial)

    @property
    def _oldest(self) -> float:
        return _STALE_AFTER * self._wiring.interval

    def _fresh(self, slot: Slot, now: float) -> bool:
        return 0 <= now - slot.at <= self._oldest + 2 * slot.every

    def _tell(self, polled: Polled, now: float) -> None:
        compose(self._tree, polled, lambda slot: self._fresh(slot, now))
        for slot in self._tree.slots:
            slot.pushed = False
        self._heard = False
        states = frozenset(_states(polled.readings))
        if self._states and states != self._states and now - self._hurried >= _QUICKEST:
            # Something happened: what changes seldom may have changed as well.
            self._hurried = now
            for page in self._tree.pages.values():
                if any(slot.every == SLOW for slot in page.slots):
                    page.read_at = float("-inf")
        self._states = states
        polled.identity = self._identity
        if polled.readings and self._where is not None:
            polled.readings.append(Reading(polling.REPORTED_PLACE, self._where, 1.0))

    def _judge(self, polled: Polled, walk: Walk) -> None:
        """An answer without any value is a failure."""
        if polled.readings:
            return
        if walk.error is not None:
            raise walk.error
        if polled.dropped.get("stale"):
            raise PollError(Reason.STALE, "all that it says is too old")
        raise PollError(
            Reason.EMPTY, f"{last(self._tree.root.uri if self._tree.root else '')}: has no value known to us"
        )

    def _hear_from(self, place: Place) -> None:
        if self._wiring.options.get(EVENTS_OPTION) != "off":
            place.stream.join(self)


def _states(readings: list[Reading]) -> Iterator[tuple[object, ...]]:
    for reading in readings:
        if reading.metric.kind is Kind.STATE_SET and reading.value:
            yield (reading.metric, *reading.labels)


def make(wiring: Wiring) -> RedfishDriver:
    """A driver for an endpoint. Raises PollError(PROFILE)."""
    return RedfishDriver(wiring)
