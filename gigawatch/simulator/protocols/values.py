"""What a device says now, as the protocols ask for it."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Iterator

from gigawatch.catalogue import Metric, facility
from gigawatch.errors import UserError
from gigawatch.readings import Reading
from gigawatch.simulator.view import PlantView

log = logging.getLogger(__name__)


class Values:
    """Readings of one device at one moment, by metric and labels."""

    def __init__(self, name: str, side: str, time: float, readings: Iterable[Reading]) -> None:
        self.name, self.side, self.time = name, side, time
        self._found = {(metric, labels): value for metric, labels, value, _ in readings}

    def get(self, metric: Metric, *labels: str) -> float | None:
        """The value, or None where the device does not offer it."""
        return self._found.get((metric, labels))

    def number(self, metric: Metric, *labels: str) -> float:
        """The value, or NaN."""
        return self._found.get((metric, labels), float("nan"))

    def power(self, metric: Metric, scope: str, number: str = "") -> float | None:
        """A value of the power chain, whatever the device's side."""
        return self._found.get((metric, (self.side, scope, number)))

    def state(self, metric: Metric, *labels: str) -> str | None:
        """Which state of a state set is on; None where the device has no such thing."""
        place = metric.labels.index(metric.state_label)
        for name in metric.values[metric.state_label]:
            if self._found.get((metric, (*labels[:place], name, *labels[place:]))) == 1.0:
                return name
        return None

    def each(self, metric: Metric, *wanted: str) -> Iterator[tuple[tuple[str, ...], float]]:
        """Labels and values of all series of a metric whose first labels are those."""
        for (other, labels), value in self._found.items():
            if other is metric and labels[: len(wanted)] == wanted:
                yield labels, value


Answer = Callable[[str], Values | None]
"""What a device says now; None while it answers nobody. The servers get this and know nothing of plants."""


SAMPLE = 1.0
"""Seconds for which a device that was asked stands by what it said: a poll of several questions gets answers
of one moment, as from a meter that samples once a second."""


class Devices:
    """All devices of a plant, moved on by `refresh`. Read by several threads."""

    def __init__(self, view: PlantView, sides: dict[str, str], sample: float = SAMPLE) -> None:
        self._view, self._sides, self._sample = view, sides, sample
        self._moment: dict[str, Values | None] | None = None
        self._asked: dict[str, tuple[float, Values | None]] = {}
        self._time = 0.0
        self._complained = False

    def refresh(self) -> bool:
        """Take over the plant's newest state; False while there is none, and nothing answers then."""
        try:
            published = self._view.refresh()
        except UserError as error:
            self._moment = None
            if not self._complained:
                log.warning("%s; no device answers meanwhile", error)
            self._complained = True
            return False
        self._complained = False
        if published != self._time or self._moment is None:
            # A new dictionary: whoever still reads the old one reads one moment.
            self._moment, self._time = {}, published
        return True

    @property
    def alive(self) -> bool:
        """Whether the plant speaks."""
        return self._moment is not None

    def __call__(self, name: str) -> Values | None:
        moment = self._moment
        if moment is None:
            return None
        now = time.monotonic()
        asked, said = self._asked.get(name, (float("-inf"), None))
        if now - asked < self._sample:
            return said
        if name not in moment:
            values = Values(name, self._sides[name], self._time, self._view.device_readings(name))
            moment[name] = values if values.get(facility.FACILITY_POLL_UP) == 1.0 else None
        self._asked[name] = (now, moment[name])
        return moment[name]


def now_ms() -> int:
    """Unix time in milliseconds."""
    return int(time.time() * 1000)
