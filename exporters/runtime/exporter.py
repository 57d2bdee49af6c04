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
from exporters.runtime.source import Source
from exporters.runtime.supervisor import Supervisor
from gigawatch.readings import Reading
from gigawatch.serving import App, Request, Response
from gigawatch.serving.exposition import Renderer

log = logging.getLogger(__name__)

Silent = Callable[[Frame], Iterable[Reading]]
PageFallback = Callable[[str], bytes | None]


class Exporter:
    """Renders everything known once per tick; HTTP handlers only pick up what lies ready.

    `when_silent` says, from the last frame, what is still true of its devices once the collector process has
    fallen silent. `below` is the path below which the process' own pages are served (as BELOW/NAME/metrics);
    `fallback` renders such a page while the process is silent, None for a name that does not exist.
    """

    def __init__(
        self,
        program: str,
        sources: Sequence[Source],
        interval: float,
        child: Supervisor | None = None,
        when_silent: Silent = lambda _: (),
        below: str = "",
        fallback: PageFallback = lambda _: None,
    ) -> None:
        self.program, self.interval, self.child = program, interval, child
        self.lanes = [Lane(source) for source in sources]
        self._when_silent, self._below, self._fallback = when_silent, below, fallback
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
        readings: list[Reading] = []
        healths: list[Health] = []
        for lane in self.lanes:
            readings.extend(lane.readings())
            healths.append(lane.health())
        if self.child is not None:
            frame, last = self.child.latest, self.child.last
            own = self.child.health()
            if frame is not None:
                readings.extend(frame.readings)
                healths.extend(_merged(own, frame.health))
            else:
                if last is not None:
                    readings.extend(self._when_silent(last))
                healths.append(own)
        readings.extend(health_readings(healths))
        readings.append(build_info(self.program))
        return Page(self._renderer.render(readings) + self._process.render())

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
        """Every source has finished its first run."""
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
        return self._page.answer(request)

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
        due = time.monotonic()
        while not self._stop.is_set():
            try:
                self._page = self.compose()
                self._ready = self._ready or self.wait_settled(0)
            except Exception:
                log.exception("rendering failed; serving no device values until it works again")
                self._page = Page()
            due = max(due + self.interval, time.monotonic())
            # The first pages come quickly, so that a scrape soon after the start finds something.
            step = self.interval if self._ready else min(0.5, self.interval)
            due = min(due, time.monotonic() + step)
            self._stop.wait(max(0.0, due - time.monotonic()))


def _merged(process: Health, inner: Iterable[Health]) -> list[Health]:
    """The process' own health, joined with what it says under the same name (is its driver open?)."""
    found = list(inner)
    for health in found:
        if health.name == process.name:
            health.errors.update(process.errors)
            return found
    return [process, *found]
