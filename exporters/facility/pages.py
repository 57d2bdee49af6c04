"""Pages: one for each device that can be asked, rendered when asked for and changed."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass, field

from exporters.facility.tally import Tally, merged
from exporters.runtime.page import Page
from gigawatch.catalogue import facility
from gigawatch.readings import Reading
from gigawatch.serving import Request, Response
from gigawatch.serving.exposition import Renderer

log = logging.getLogger(__name__)

DEVICES, METRICS = "/devices/", "/metrics"
State = tuple[int, bool, bool]


@dataclass(slots=True)
class _Kept:
    """Endpoints of a device, and the page that was rendered of them last."""

    tallies: tuple[Tally, ...]
    renderer: Renderer = field(default_factory=Renderer)
    lock: threading.Lock = field(default_factory=threading.Lock)
    states: list[State] = field(default_factory=list)
    page: Page | None = None


class Pages:
    """Read by HTTP threads while the event loop's thread changes what stands on them.

    A page is rendered by the first who asks for it after something on it has changed; all others are handed
    what lies ready.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._devices: dict[str, _Kept] = {}

    def arrange(self, tallies: Iterable[Tally]) -> None:
        """From now on these are all endpoints that there are, those of a device in their order."""
        devices: dict[str, list[Tally]] = {}
        for tally in tallies:
            devices.setdefault(tally.job.device.name, []).append(tally)
        fresh = {}
        for name, members in devices.items():
            known = self._devices.get(name)
            same = known is not None and known.tallies == tuple(members)
            fresh[name] = known if known is not None and same else _Kept(tuple(members))
        # Replaced as a whole: a reader sees all of the old or all of the new.
        self._devices = fresh

    @property
    def names(self) -> Collection[str]:
        """Devices that have a page."""
        return self._devices.keys()

    def page(self, name: str) -> Page | None:
        """The page of a device as of now; None if it is not asked."""
        kept = self._devices.get(name)
        if kept is None:
            return None
        with kept.lock:
            now = self._clock()
            states = [(tally.revision, *tally.fresh(now)) for tally in kept.tallies]
            if kept.page is None or states != kept.states:
                kept.page, kept.states = Page(kept.renderer.render(_readings(kept.tallies, now))), states
            return kept.page

    def answer(self, request: Request) -> Response:
        """/devices/NAME/metrics."""
        name, _, rest = request.path.removeprefix(DEVICES).partition("/")
        page = self.page(name) if f"/{rest}" == METRICS else None
        if page is None:
            return Response.text(
                f"no page {request.path}; there is {DEVICES}NAME{METRICS} for devices with endpoints\n", 404
            )
        return page.answer(request)


def _readings(tallies: tuple[Tally, ...], now: float) -> Iterator[Reading]:
    if all(tally.tried for tally in tallies):
        yield Reading(facility.FACILITY_POLL_UP, (), float(all(tally.up for tally in tallies)))
    elif any(tally.tried and not tally.up for tally in tallies):
        yield Reading(facility.FACILITY_POLL_UP, (), 0.0)
    for tally in tallies:
        yield from tally.own(now)
    yield from merged(tallies, now)
