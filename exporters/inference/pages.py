"""Pages: one for each node, with the series of the engines on it, rendered when asked for and changed."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field

from exporters.inference.engine import Engine
from exporters.runtime.page import Page
from gigawatch.serving import Request, Response
from gigawatch.serving.exposition import assemble

NODES, METRICS = "/nodes/", "/metrics"
_STALE = -1


@dataclass(slots=True)
class _Kept:
    """Engines of a node, and the page that was rendered of them last."""

    engines: tuple[Engine, ...]
    lock: threading.Lock = field(default_factory=threading.Lock)
    revisions: list[int] = field(default_factory=list)
    page: Page | None = None


class Pages:
    """Read by HTTP threads while the event loop's thread replaces what stands on them.

    A page is rendered by the first who asks for it after something on it has changed; all others are handed
    what lies ready. The node of no name is that of engines whose node nobody knows.
    """

    def __init__(self, lives: float, clock: Callable[[], float] = time.monotonic) -> None:
        """What no scrape has renewed for `lives` seconds is no longer shown."""
        self._lives, self._clock = lives, clock
        self._nodes: dict[str, _Kept] = {}

    def arrange(self, engines: Iterable[Engine]) -> None:
        """From now on these are all engines that there are."""
        nodes: dict[str, list[Engine]] = {}
        for engine in engines:
            nodes.setdefault(engine.target.node, []).append(engine)
        # Replaced as a whole: a reader sees all of the old or all of the new.
        self._nodes = {node: _Kept(tuple(members)) for node, members in nodes.items()}

    @property
    def nodes(self) -> Collection[str]:
        """Nodes that have a page, in order."""
        return sorted(node for node in self._nodes if node)

    def page(self, node: str) -> Page | None:
        """The page of a node as of now; None if there is no engine on it."""
        kept = self._nodes.get(node)
        if kept is None:
            return None
        with kept.lock:
            revisions = [engine.revision if self._fresh(engine) else _STALE for engine in kept.engines]
            if kept.page is None or revisions != kept.revisions:
                shown = zip(kept.engines, revisions, strict=True)
                text = assemble(part for engine, state in shown if state != _STALE for part in engine.parts)
                kept.page, kept.revisions = Page(text), revisions
            return kept.page

    def _fresh(self, engine: Engine) -> bool:
        return self._clock() - engine.renewed <= self._lives

    def everything(self) -> bytes:
        """All engines of all nodes."""
        engines = [engine for kept in self._nodes.values() for engine in kept.engines]
        return assemble(part for engine in engines for part in engine.parts)

    def unplaced(self) -> bytes:
        """Text of the engines whose node nobody knows."""
        page = self.page("")
        return page.text if page is not None else b""

    def answer(self, request: Request) -> Response:
        """/nodes/NAME/metrics."""
        name = request.path.removeprefix(NODES)
        page = self.page(name.removesuffix(METRICS)) if name.endswith(METRICS) and name != METRICS else None
        if page is None:
            return Response.text(
                f"no page {request.path}; there is {NODES}NAME/metrics for nodes with engines\n", 404
            )
        return page.answer(request)
