"""What the bus knows of one device: its points, their last values, and the readings they make."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from dataclasses import dataclass, field

from exporters.facility.driver import Polled
from exporters.facility.mqtt.mapping import Binding, Unbound, bind
from exporters.facility.mqtt.point import Meta
from gigawatch.catalogue import facility
from gigawatch.readings import Reading
from gigawatch.topology import Device, Role

STALE_AFTER = 250.0
"""Seconds: values come at least every 100."""
_GRAVEST = ("leak", "fault", "warning", "dry")
"""Which state of a leak zone counts where several points tell of it."""
_log = logging.getLogger(__name__)


@dataclass(slots=True, eq=False)
class Point:
    """A point that belongs to somebody, and what it last said."""

    rest: str
    meta: Meta
    raw: int
    """Hash of the metadata as they came: they come again every 100 s."""
    value: float | None = None
    time: float = 0.0
    views: list[View] = field(default_factory=list)


class View:
    """One device's part of the bus."""

    def __init__(self, device: Device, name: str) -> None:
        self.device = device
        self.objects = frozenset({name or device.name})
        """objectId, associateId or beginning of the tag path of what belongs to it."""
        self.racks = frozenset({device.rack} - {""}) if device.role is Role.MANIFOLD else frozenset()
        self.dropped: Counter[str] = Counter()
        """Since the last poll."""
        self.changed = False
        """Whether a value is another than in the last answer."""
        self.arrived = asyncio.Event()
        """Set once a value of it has come."""
        self._bound: dict[Point, Binding | None] = {}
        self._order: list[Point] | None = None
        """Points by name, so that it is always the same one that counts; None: to be sorted anew."""

    def __len__(self) -> int:
        """Points that are known, whether or not they are used."""
        return len(self._bound)

    @property
    def mapped(self) -> int:
        """Points that some metric is made of."""
        return sum(binding is not None for binding in self._bound.values())

    def add(self, point: Point) -> None:
        """A point is its, or its metadata have changed."""
        try:
            self._bound[point] = bind(point.meta, self.device)
        except Unbound as error:
            self._bound[point] = None
            self.dropped[error.reason] += 1
            _log.debug("%s: %s is not used (%s)", self.device.name, point.rest, error.reason)
        self._order = None
        self.changed = True

    def remove(self, point: Point) -> None:
        """A point is there no longer, or not its any more."""
        if self._bound.pop(point, None) is not None:
            self.changed = True
        self._order = None

    def heard(self, point: Point, before: float | None) -> None:
        """A value has come, or has gone."""
        if self._bound.get(point) is None:
            self.dropped["unmapped"] += 1
            return
        self.changed = self.changed or point.value != before
        self.arrived.set()

    def answer(self, now: float) -> Polled:
        """Readings of all values that are fresh. Costs no more than going through them."""
        polled = Polled()
        told: set[tuple[str, tuple[str, ...]]] = set()
        leaks: dict[tuple[str, ...], str] = {}
        if self._order is None:
            self._order = sorted(self._bound, key=lambda each: each.rest)
        for point in self._order:
            binding, value = self._bound[point], point.value
            if binding is None or value is None:
                continue
            if not -STALE_AFTER <= now - point.time <= STALE_AFTER:
                polled.drop("stale")
                continue
            if binding.metric is facility.LEAK_STATE:
                _gravest(leaks, binding, value, polled)
                continue
            key = (binding.metric.key, binding.labels)
            if key in told:
                polled.drop("duplicate")
                continue
            if _readings(binding, value, polled):
                told.add(key)
        for labels, state in leaks.items():
            _spread(facility.LEAK_STATE.values["state"], Binding(facility.LEAK_STATE, labels), state, polled)
        return polled


def _gravest(leaks: dict[tuple[str, ...], str], binding: Binding, value: float, polled: Polled) -> None:
    state = binding.states.get(int(value)) if value == int(value) else None
    if state is None:
        if value not in (0.0, 1.0):
            polled.drop("state")
        return
    known = leaks.get(binding.labels, state)
    leaks[binding.labels] = min(known, state, key=_GRAVEST.index)


def _readings(binding: Binding, value: float, polled: Polled) -> bool:
    if not (binding.states or binding.flags):
        value = abs(value) if binding.absolute else value
        base = value * binding.factor + binding.offset
        polled.readings.append(Reading(binding.metric, binding.labels, base))
        return True
    number = int(value) if value == int(value) else None
    if binding.flags:
        if number is None or number not in binding.flags:
            polled.drop("state")
            return False
        polled.readings.append(Reading(binding.metric, binding.labels, binding.flags[number]))
        return True
    if number is None or number not in binding.states:
        polled.drop("state")
        return False
    values = binding.metric.values[binding.metric.state_label]
    _spread(values, binding, binding.states[number], polled)
    return True


def _spread(values: tuple[str, ...], binding: Binding, state: str, polled: Polled) -> None:
    for each in values:
        polled.readings.append(Reading(binding.metric, (*binding.labels, each), float(each == state)))
