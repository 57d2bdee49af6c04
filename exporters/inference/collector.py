"""Scrapes all engines: one event loop in one thread, each target at its own moment, with its own deadline."""

from __future__ import annotations

import asyncio
import dataclasses
import hashlib
import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from exporters.inference.discovery import Discovery, Found
from exporters.inference.engine import Engine, Objectives
from exporters.inference.fetch import Fetcher, FetchError
from exporters.inference.health import ask, route_of
from exporters.inference.normal import Objective
from exporters.inference.once import served
from exporters.inference.pages import Pages
from exporters.inference.targets import Target, combine
from exporters.runtime.health import Health
from exporters.runtime.source import TICKS_TO_LIVE, kind_of

log = logging.getLogger(__name__)

_BEAT = 0.5
_LATE = 5.0
"""Seconds for which the event loop may stand still before that is told."""
_SECONDS_TO_LEAVE = 3.0

Place = Callable[[Target], str]
"""The node of a target that does not say; empty where it cannot be told."""


class Collector:
    """Finds engines and scrapes them every `interval` seconds, each with `deadline` seconds for its answer.

    `discoveries` stand in order: the first is the most particular. What it has to say lies in `pages`.
    """

    def __init__(
        self,
        discoveries: Sequence[Discovery],
        interval: float = 10.0,
        deadline: float = 5.0,
        objectives: Objectives = lambda _: {},
        place: Place = lambda _: "",
        hurry: bool = False,
    ) -> None:
        """With `hurry` each engine is scraped at once when it is found, instead of at its own moment."""
        self.pages = Pages(TICKS_TO_LIVE * interval + deadline + _LATE)
        self._discoveries = tuple(discoveries)
        self._interval, self._deadline = interval, deadline
        self._objectives, self._place, self._hurry = objectives, place, hurry
        self._engines: dict[str, Engine] = {}
        self._tasks: dict[str, tuple[asyncio.Task[None], ...]] = {}
        self._searches: list[asyncio.Task[None]] = []
        self._found: dict[Discovery, Found] = {}
        self._healths: dict[Discovery, Health] = {}
        self._told: set[str] = set()
        self._readers = ThreadPoolExecutor(1, thread_name_prefix="large-answers")
        self._loop = asyncio.new_event_loop()
        self._ending = asyncio.Event()
        self._beat_at = time.monotonic()
        self._settled = threading.Event()
        self._thread = threading.Thread(target=self._main, name="engines", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Break off everything that is under way."""
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._ending.set)
            self._thread.join(_SECONDS_TO_LEAVE)
        self._readers.shutdown(wait=False, cancel_futures=True)

    def replace(self, discoveries: Sequence[Discovery], objectives: Objectives, place: Place) -> None:
        """Other settings, from any thread. Engines that are in both are not interrupted."""
        self._loop.call_soon_threadsafe(self._replace, tuple(discoveries), objectives, place)

    def wait_settled(self, seconds: float) -> bool:
        """Wait until every discovery has answered or failed and every engine has been tried once."""
        return self._settled.wait(seconds)

    def healths(self) -> Iterator[Health]:
        """Of the loop and of each discovery."""
        late = time.monotonic() - self._beat_at - _BEAT
        alive = self._thread.is_alive()
        rejected: Counter[tuple[str, str]] = Counter()
        for engine in list(self._engines.values()):
            rejected.update(engine.rejected)
        yield Health("engines", alive, max(0.0, late), time.time() if alive and late < _LATE else None,
                     stuck=late if late > _LATE else 0.0)  # fmt: skip
        for health in list(self._healths.values()):
            yield Health(
                health.name, health.up, health.duration, health.last_success, errors=dict(health.errors)
            )

    # From here on: in the loop's thread.

    def _main(self) -> None:
        asyncio.set_event_loop(self._loop)
        # Names are looked up there, and some take their time.
        self._loop.set_default_executor(ThreadPoolExecutor(32, thread_name_prefix="engines"))
        try:
            self._loop.run_until_complete(self._run())
        except Exception:
            log.exception("scraping engines ended")
        finally:
            self._loop.close()

    async def _run(self) -> None:
        self._fetcher = Fetcher(keep=max(60.0, 3 * self._interval))
        self._replace(self._discoveries, self._objectives, self._place)
        beat = asyncio.create_task(self._beat())
        try:
            await self._ending.wait()
        finally:
            running = [beat, *self._searches, *(task for tasks in self._tasks.values() for task in tasks)]
            for task in running:
                task.cancel()
            await asyncio.wait(running, timeout=1)
            await self._fetcher.close()

    async def _beat(self) -> None:
        while True:
            self._beat_at = time.monotonic()
            if not self._settled.is_set() and self._all_tried():
                self._settled.set()
            await asyncio.sleep(_BEAT)

    def _all_tried(self) -> bool:
        return all(one in self._healths for one in self._discoveries) and all(
            engine.tried for engine in self._engines.values()
        )

    def _replace(self, discoveries: tuple[Discovery, ...], objectives: Objectives, place: Place) -> None:
        for task in self._searches:
            task.cancel()
        self._discoveries, self._objectives, self._place = discoveries, objectives, place
        # What was found before stays until all have looked again: no engine is dropped and begun anew.
        self._healths = {one: health for one, health in self._healths.items() if one in discoveries}
        self._searches = [asyncio.create_task(self._search(one)) for one in discoveries]

    async def _search(self, discovery: Discovery) -> None:
        while True:
            health = self._healths.get(discovery) or Health(discovery.name)
            began = time.monotonic()
            try:
                found = await discovery.find(self._fetcher)
            except Exception as error:  # noqa: BLE001 - whatever a discovery does must stay in it
                kind = error.kind if isinstance(error, FetchError) else kind_of(error)
                health.errors[kind] = health.errors.get(kind, 0) + 1
                if health.up or discovery not in self._healths:
                    log.warning("%s: %s; engines known so far stay", discovery.name, str(error) or kind)
                health.up = False
            else:
                health.up, health.last_success = True, time.time()
                self._found[discovery] = found
            health.duration = time.monotonic() - began
            self._healths[discovery] = health
            self._adopt()
            await asyncio.sleep(discovery.every)

    def _adopt(self) -> None:
        """Scrape what is known now, and nothing else."""
        if all(one in self._healths for one in self._discoveries):
            self._found = {one: found for one, found in self._found.items() if one in self._discoveries}
        current = [self._found[one] for one in self._discoveries if one in self._found]
        targets, notes = combine([found.targets for found in current])
        self._tell([note for found in current for note in found.notes] + notes)
        former, _ = combine(
            [found.targets for one, found in self._found.items() if one not in self._discoveries]
        )
        self._follow_all(former | targets)

    def _follow_all(self, targets: Mapping[str, Target]) -> None:
        changed = False
        for key in [key for key in self._engines if key not in targets]:
            for task in self._tasks.pop(key):
                task.cancel()
            del self._engines[key]
            changed = True
        for key, found in targets.items():
            target = found if found.node else _at(found, self._place(found))
            engine = self._engines.get(key)
            if engine is None:
                engine = self._engines[key] = Engine(target, self._objectives_of, read=self._models_read)
                self._tasks[key] = (self._task(self._follow(engine)), self._task(self._listen(engine)))
            elif engine.target != target:
                engine.update(target)
            else:
                continue
            changed = True
        if changed:
            self.pages.arrange(self._engines.values())

    def _objectives_of(self, model: str) -> Mapping[str, Objective]:
        return self._objectives(model)

    def _models_read(self) -> frozenset[str]:
        return served((one.dialect, one.models) for one in self._engines.values() if one.dialect is not None)

    def _task(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        return self._loop.create_task(work)

    def _tell(self, notes: Sequence[str]) -> None:
        """Each once, for as long as it holds."""
        for note in notes:
            if note not in self._told:
                log.warning("%s", note)
        self._told = set(notes)

    async def _follow(self, engine: Engine) -> None:
        """Scrape it at its own moment of each interval, the same ones for as long as the program runs."""
        phase = _share(engine.target.key) * self._interval
        if self._hurry:
            await engine.scrape(self._fetcher, self._deadline, self._readers)
        while True:
            await asyncio.sleep(_until(self._loop.time(), phase, self._interval))
            await engine.scrape(self._fetcher, self._deadline, self._readers)

    async def _listen(self, engine: Engine) -> None:
        """Ask for its health, at a beat and with a deadline of its own."""
        share = _share(engine.target.key + " health")
        while True:
            asked = route_of(engine.target, engine.dialect)
            if asked is None:
                engine.hear(None)
                await asyncio.sleep(self._interval)
                continue
            url, route = asked
            await asyncio.sleep(_until(self._loop.time(), share * route.every, route.every))
            engine.hear(await ask(self._fetcher, url, engine.target, route.deadline))


def _share(key: str) -> float:
    """A number from 0 to 1 that is always the same for a key, and evenly spread over many."""
    return int.from_bytes(hashlib.blake2b(key.encode(), digest_size=8).digest(), "big") / 2**64


def _until(now: float, phase: float, interval: float) -> float:
    """Seconds to the next moment of a phase."""
    return (phase - now) % interval or interval


def _at(target: Target, node: str) -> Target:
    return dataclasses.replace(target, node=node) if node else target
