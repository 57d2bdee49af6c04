"""Simulated devices: the plant's readings, rendered as the pages that real agents would serve."""

from __future__ import annotations

import gzip
import logging
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol

from exporters.facility.driver import Polled, Reason
from exporters.facility.job import Job
from exporters.facility.tally import Tally
from exporters.runtime import Frame, Gate, Health, health_readings
from exporters.runtime.child import PageBytes
from exporters.runtime.health import build_info
from exporters.runtime.source import TICKS_TO_LIVE
from gigawatch.catalogue import facility
from gigawatch.errors import UserError
from gigawatch.readings import Reading
from gigawatch.serving import render, to_openmetrics
from gigawatch.serving.exposition import Renderer
from gigawatch.topology import Endpoint, Inventory

if TYPE_CHECKING:
    from exporters.settings import Settings

log = logging.getLogger(__name__)

Side = Literal["agent", "facility"]


class View(Protocol):
    """The plant as `gigawatch.simulator.view` shows it."""

    def refresh(self) -> float: ...
    def node_readings(self, node: str) -> Iterable[Reading]: ...
    def device_readings(self, device: str) -> Iterable[Reading]: ...


@dataclass(frozen=True, slots=True)
class Simulated:
    """What to simulate: one side of a site. Renders a page for each of its nodes or devices."""

    inventory: Inventory
    side: Side
    interval: float

    @property
    def names(self) -> tuple[str, ...]:
        things = self.inventory.nodes if self.side == "agent" else self.inventory.devices
        return tuple(thing.name for thing in things)

    def collectors(self, name: str) -> tuple[str, ...]:
        """The collectors that a real agent on that node would run."""
        if self.side == "facility":
            return ()
        return ("gpu", "host") if self.inventory.node[name].gpus else ("host",)

    def dead_page(self, name: str) -> bytes | None:
        """The page of a node or device while nothing is known of it; None if there is none of that name."""
        known = self.inventory.node if self.side == "agent" else self.inventory.device
        if name not in known:
            return None
        return render(self._without_plant(name))

    def _without_plant(self, name: str) -> Iterator[Reading]:
        if self.side == "facility":
            yield Reading(facility.FACILITY_POLL_UP, (), 0.0)
        yield from health_readings(Health(collector) for collector in self.collectors(name))
        yield build_info(self.side)


class SimulatedProducer:
    """Renders all pages once per tick. A plant that has stopped publishing leaves no device value behind."""

    def __init__(self, simulated: Simulated, view: View, clock: Callable[[], float] = time.time) -> None:
        self._simulated, self._view, self._clock = simulated, view, clock
        self._renderers = {name: Renderer() for name in simulated.names}
        self._tallies: dict[str, Tally] = {}
        self._gate = Gate()
        self._health = Health("plant")
        self._complaint = ""

    def frame(self) -> Frame:
        began = time.perf_counter()
        alive = self._refresh()
        pages = {}
        for name in self._simulated.names:
            text = self.page(name) if alive else self._simulated.dead_page(name) or b""
            opened = to_openmetrics(text) if text else b""
            pages[name] = PageBytes(*(gzip.compress(form, 1) if form else b"" for form in (text, opened)))
        self._health.duration = time.perf_counter() - began
        self._health.rejected = dict(self._gate.rejected)
        return Frame({}, pages, [self._health])

    def page(self, name: str) -> bytes:
        """The exposition of one node or device as the plant now stands; empty if it has no power."""
        began = time.perf_counter()
        simulated, view = self._simulated, self._view
        raw = view.node_readings(name) if simulated.side == "agent" else view.device_readings(name)
        readings = self._gate.sift(list(raw))
        if not readings:
            return b""
        took, now = time.perf_counter() - began, self._clock()
        collectors = [Health(collector, True, took, now) for collector in simulated.collectors(name)]
        readings.extend(health_readings(collectors))
        if simulated.side == "facility":
            readings.extend(self._asked(name, readings, took, now))
        readings.append(build_info(simulated.side))
        return self._renderers[name].render(readings)

    def _asked(self, name: str, readings: list[Reading], took: float, now: float) -> list[Reading]:
        """How asking a device went, as the poller would tell it."""
        tally = self._tallies.get(name)
        if tally is None:
            device, every = self._simulated.inventory.device[name], self._simulated.interval
            tally = self._tallies[name] = Tally(
                Job(device, Endpoint("plant", ""), "plant", every, every, every)
            )
        if any(one.metric is facility.FACILITY_POLL_UP and not one.value for one in readings):
            tally.failed(Reason.TIMEOUT, took)
        else:
            tally.succeeded({}, Polled(), now, took, now)
        return list(tally.own(now))

    def _refresh(self) -> bool:
        try:
            published = self._view.refresh()
        except UserError as error:
            self._fail("plant", str(error))
            return False
        age = self._clock() - published
        if age > TICKS_TO_LIVE * self._simulated.interval:
            self._fail("stale", f"the plant has published nothing for {age:.0f} s")
            return False
        self._health.up, self._health.last_success, self._complaint = True, self._clock(), ""
        return True

    def _fail(self, kind: str, message: str) -> None:
        self._health.up = False
        self._health.errors[kind] = self._health.errors.get(kind, 0) + 1
        if kind != self._complaint:
            log.warning("%s; pages show no device values until it does", message)
        self._complaint = kind


def make_producer(simulated: Simulated, state: str, seed: int) -> SimulatedProducer:
    """In the collector process: open the plant (published in `state`, or one of our own) and render it."""
    return SimulatedProducer(simulated, open_plant(simulated.inventory, state, seed))


def open_plant(inventory: Inventory, state: str = "", seed: int = 1) -> View:
    """The view of the plant, published in the directory `state`, or stepped in this process."""
    from pathlib import Path

    from gigawatch.simulator.view import open_view

    view: View = open_view(inventory, Path(state) if state else None, seed)
    return view


def print_simulated(settings: Settings, side: Side, name: str) -> int:
    """Print the page of a simulated node or device, of the first where none is named. Raises UserError."""
    inventory = settings.site()
    simulated = Simulated(inventory, side, settings.seconds)
    thing = "node" if side == "agent" else "device"
    if not simulated.names:
        raise UserError(f"{inventory.source}: the site has no {thing}s")
    if name and name not in simulated.names:
        raise UserError(
            f"no {thing} '{name}' in site '{inventory.site}'; the first is '{simulated.names[0]}'"
        )
    view = open_plant(inventory, str(settings.state) if settings.state else "", settings.seed)
    view.refresh()
    page = SimulatedProducer(simulated, view).page(name or simulated.names[0])
    if not page:
        raise UserError(f"{thing} '{name or simulated.names[0]}' is switched off")
    sys.stdout.write(page.decode())
    return 0
