"""An exporter: lanes and a collector process on one side, pages on the other."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable, Sequence

from exporters.runtime.child import Frame
from exporters.runtime.health import Health, build_info, health_readings
from exporters.runtime.lane import Lane
from exporters.runtime.page import Page
from exporters.runtime.process import ProcessMetrics
from exporters.runtime.source import TICKS_TO_LIVE, Source
from exporters.runtime.supervisor import Supervisor
from gigawatch.readings import Reading
from gigawatch.serving import App, Request, Response
from gigawatch.serving.exposition import Blocks, Renderer, assemble

log = logging.getLogger(__name__)

_READY_AFTER = 20.0
"""Seconds after which one source that hangs no longer makes the others wait."""
_SLOW_RENDERING = 5.0
"""Seconds by which a crowded machine may delay a page beyond its ticks."""

Conclude = Callable[[Frame | None, Frame | None], Iterable[Reading]]
"""What the exporter concludes, each tick, from the fresh frame (if any) and the last one (if any)."""
PageFallback = Callable[[str], bytes | None]


class Exporter:
    """Renders everything known once per tick; HTTP handlers only pick up what lies ready.

    `conclude` adds what follows from the collector process' frames, also while it is silent; `verbatim` gives
    text to be served as it is. `below` is the path below which the process' own pages are served (as
    BELOW/NAME/metrics); `fallback` renders such a page while the process is silent, None for a name that does
    not exist. `alive` is called after each rendering.
    """

    def __init__(
        self,
        program: str,
        sources: Sequence[Source],
        interval: float,
        child: Supervisor | None = None,
        conclude: Conclude = lambda _fresh, _last: (),
        verbatim: Callable[[], bytes] = bytes,
        below: str = "",
        fallback: PageFallback = lambda _: None,
        alive: Callable[[], None] = lambda: None,
        closing: Callable[[], None] = lambda: None,
        others: Callable[[], Iterable[Health]] = lambda: (),
    ) -> None:
        self.program, self.interval, self.child = program, interval, child
        self.lanes = [Lane(source) for source in sources]
        self._conclude, self._verbatim, self._alive = conclude, verbatim, alive
        self._closing, self._others = closing, others
        self._born = time.monotonic()
        self._below, self._fallback = below, fallback
        self._renderer = Renderer()
        self._process = ProcessMetrics()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._tick, name="render", daemon=True)
        self._page = Page()
        self._pages: tuple[Frame | None, dict[str, Page]] = (None, {})
        self._ready = False

    def start(self) -> None:
        for lane in self.lanes:
            lane.start()
        if self.child is not None:
            self.child.start()
        self._page = self.compose()
        self._thread.start()

    def stop(self) -> None:
        """End lanes, rendering and the collector process; a read that hangs is left to its daemon thread."""
        self._stop.set()
        for lane in self.lanes:
            lane.stop()
        if self.child is not None:
            self.child.stop()
        self._closing()
        for lane in self.lanes:
            lane.join(0.5)
        if self._thread.is_alive():
            self._thread.join(2)

    def wait_settled(self, seconds: float) -> bool:
        """Wait until every source has finished its first run; False if one has not in that time."""
        deadline = time.monotonic() + seconds
        for lane in self.lanes:
            if not lane.first_run_over.wait(max(0.0, deadline - time.monotonic())):
                return False
        while self.child is not None:
            frame = self.child.latest
            if frame is not None and frame.settled:
                break
            if time.monotonic() >= deadline:
                return False
            time.sleep(0.05)
        return True

    def compose(self) -> Page:
        """The exporter's own page as of now."""
        now = time.monotonic()
        parts: list[Blocks] = []
        healths: list[Health] = list(self._others())
        readings: list[Reading] = []
        for lane in self.lanes:
            parts.extend(part.blocks for part in lane.parts().values())
            if not getattr(lane.source, "dormant", False):
                healths.append(lane.health())
        fresh = last = None
        if self.child is not None:
            fresh, last = self.child.latest, self.child.last
            own = self.child.health()
            if fresh is not None:
                parts.extend(part.blocks for part in fresh.parts.values() if part.fresh(now))
                healths.extend(_merged(own, fresh.health))
            else:
                healths.append(own)
            readings.extend(self.child.readings())
        readings.extend(self._conclude(fresh, last))
        readings.extend(health_readings(healths))
        readings.append(build_info(self.program))
        parts.append(self._renderer.blocks(readings))
        return Page(assemble(parts) + self._verbatim() + self._process.render())

    def page(self, name: str) -> Page | None:
        """A page of the collector process, or its fallback; None if there is none of that name."""
        frame = self.child.latest if self.child is not None else None
        if frame is None:
            text = self._fallback(name)
            return Page(text) if text is not None else None
        seen, pages = self._pages
        if seen is not frame:
            pages = {}
            self._pages = frame, pages
        page = pages.get(name)
        if page is None and name in frame.pages:
            page = pages[name] = Page(b"", *frame.pages[name])
        return page

    def ready(self) -> bool:
        """Every source has finished its first run, or has had long enough for it."""
        return self._ready

    def app(self) -> App:
        """/metrics and, where the collector process renders pages, BELOW/NAME/metrics."""
        app = App(ready=self.ready)
        app.route("GET", "/metrics", self._answer)
        app.route("GET", "/", self._index)
        if self._below:
            app.route("GET", f"{self._below}/", self._answer_page)
        return app

    def _answer(self, request: Request) -> Response:
        page = self._page
        if page.age > TICKS_TO_LIVE * self.interval + _SLOW_RENDERING:
            return Page().answer(
                request
            )  # rendering hangs: nothing is better than what may no longer be true
        return page.answer(request)

    def _answer_page(self, request: Request) -> Response:
        name, _, rest = request.path.removeprefix(f"{self._below}/").partition("/")
        page = self.page(name) if rest == "metrics" else None
        if page is None:
            return Response.text(f"no page {request.path}; pages are {self._below}/NAME/metrics\n", 404)
        if page.empty:
            return Response.text(f"{name} does not answer: it is switched off\n", 503)
        return page.answer(request)

    def _index(self, request: Request) -> Response:
        if request.path != "/":
            return Response.text("not found\n", 404)
        pages = f"{self._below}/NAME/metrics  /-/healthy" if self._below else "/-/healthy"
        return Response.text(f"gigawatch {self.program}: /metrics  {pages}  /-/ready\n")

    def _tick(self) -> None:
        frame: Frame | None = None
        while not self._stop.is_set():
            began = time.monotonic()
            try:
                page = self.compose()
                page.prepare(self._page)
                self._page = page
                self._ready = self._ready or self.wait_settled(0) or began - self._born > _READY_AFTER
            except Exception:
                log.exception("rendering failed; serving no device values until it works again")
                self._page = Page()
            self._alive()
            # The first pages come quickly, so that a scrape soon after the start finds something.
            step = self.interval if self._ready else min(0.5, self.interval)
            if self.child is None:
                self._stop.wait(max(0.0, began + step - time.monotonic()))
            else:
                # In step with the collector process: what it says is on the page at once.
                frame = self.child.await_frame(frame, 1.5 * step)
                self._stop.wait(max(0.0, began + 0.1 * step - time.monotonic()))


def _merged(process: Health, inner: Iterable[Health]) -> list[Health]:
    """The process' own health, joined with what it says under the same name (is its driver open?)."""
    found = list(inner)
    for health in found:
        if health.name == process.name:
            health.errors.update(process.errors)
            return found
    return [process, *found]
