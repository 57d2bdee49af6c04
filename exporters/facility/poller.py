"""Asks all devices: one event loop in one thread, each endpoint at its own moment, with its own deadline."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module

from exporters.facility.driver import Make
from exporters.facility.follower import Follower, Surroundings
from exporters.facility.job import Job, Jobs, Key
from exporters.facility.pages import Pages
from exporters.facility.pools import Pools
from exporters.facility.tally import Tally
from exporters.runtime.gate import Gate
from exporters.runtime.health import Health
from gigawatch.topology import Inventory

log = logging.getLogger(__name__)

LIMITS = {"snmp": 64, "redfish": 64, "modbus": 128, "mqtt": 64}
_BEAT = 0.5
_LOOK = 1.0
"""Seconds between looks at what drivers were told without asking."""
_LATE = 5.0
"""Seconds for which the event loop may stand still before that is told."""
_SECONDS_TO_LEAVE = 3.0


def maker(protocol: str) -> Make:
    """What a protocol exports; imports its library."""
    make: Make = import_module(f"exporters.facility.{protocol}").make
    return make


class Poller:
    """Follows the endpoints that it was given last. What they have to say lies in `pages`.

    Nothing that a device or its driver does, short of holding up the whole thread, is felt by another.
    """

    def __init__(
        self,
        limits: Mapping[str, int] = LIMITS,
        makers: Callable[[str], Make] = maker,
        hurry: bool = False,
    ) -> None:
        """`limits`: polls that may begin side by side, by protocol. With `hurry` each endpoint is asked at
        once instead of at its own moment."""
        self.pages = Pages()
        self._limits, self._makers, self._hurry = dict(limits), makers, hurry
        self._followers: dict[Key, Follower] = {}
        self._tasks: dict[Key, asyncio.Task[None]] = {}
        self._gate = Gate()
        self._arranged = threading.Event()
        self._loop = asyncio.new_event_loop()
        self._ending = asyncio.Event()
        self._around: Surroundings | None = None
        self._plan: tuple[Jobs, Inventory, dict[str, str]] | None = None
        self._beat_at = time.monotonic()
        self._thread = threading.Thread(target=self._main, name="devices", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Break off everything that is under way, and take leave of the devices."""
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._ending.set)
            self._thread.join(_SECONDS_TO_LEAVE + 1)

    def arrange(self, jobs: Jobs, inventory: Inventory, options: dict[str, str]) -> None:
        """From now on ask these, and nothing else. From any thread. What is in both and has not changed is
        not interrupted."""
        for protocol in {job.endpoint.protocol for job in jobs.values()}:
            try:
                self._makers(protocol)  # imports take long: here, and not where devices wait
            except Exception as error:  # noqa: BLE001 - told by each device that needs it
                log.debug("%s: %s", protocol, error)
        self._arranged.clear()
        self._plan = jobs, inventory, options
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._arrange)

    def wait_settled(self, seconds: float) -> bool:
        """Wait until every endpoint has been asked once; False if one has not in that time."""
        until = time.monotonic() + seconds
        while not self.settled:
            if time.monotonic() >= until:
                return False
            time.sleep(0.02)
        return True

    @property
    def settled(self) -> bool:
        """Whether every endpoint has been asked once."""
        followers = list(self._followers.values())
        return self._arranged.is_set() and all(follower.tally.tried for follower in followers)

    @property
    def beats(self) -> bool:
        """Whether the event loop has moved of late."""
        return self._thread.is_alive() and time.monotonic() - self._beat_at < _LATE

    @property
    def tallies(self) -> list[Tally]:
        return [follower.tally for follower in list(self._followers.values())]

    def health(self) -> Health:
        """Of the event loop, and what the range gate refused."""
        late = time.monotonic() - self._beat_at - _BEAT
        return Health(
            "devices", self._thread.is_alive(), max(0.0, late), time.time() if self.beats else None,
            stuck=late if late > _LATE else 0.0, rejected=dict(self._gate.rejected),
        )  # fmt: skip

    # From here on: in the loop's thread.

    def _main(self) -> None:
        asyncio.set_event_loop(self._loop)
        # Names are looked up there, and some take their time.
        self._loop.set_default_executor(ThreadPoolExecutor(32, thread_name_prefix="devices"))
        try:
            self._loop.run_until_complete(self._run())
        except Exception:
            log.exception("asking devices ended")
        finally:
            self._loop.close()

    async def _run(self) -> None:
        self._arrange()
        minding = [asyncio.create_task(self._beat()), asyncio.create_task(self._look())]
        try:
            await self._ending.wait()
        finally:
            tasks = [*minding, *self._tasks.values()]
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks, timeout=0.5)
            leaving = [follower.leave() for follower in self._followers.values()]
            closing = {task for task in leaving if task is not None} | (
                self._around.leaving if self._around is not None else set()
            )
            if closing:
                await asyncio.wait(closing, timeout=_SECONDS_TO_LEAVE - 0.5)

    async def _beat(self) -> None:
        while True:
            self._beat_at = time.monotonic()
            await asyncio.sleep(_BEAT)

    async def _look(self) -> None:
        while True:
            await asyncio.sleep(_LOOK)
            for follower in list(self._followers.values()):
                follower.look()

    def _arrange(self) -> None:
        if self._plan is None or self._ending.is_set():
            return
        jobs, inventory, options = self._plan
        around = self._around
        if around is None:
            around = self._around = Surroundings(
                self._makers, Pools(self._limits), self._gate, inventory, options, self._hurry, {}, set()
            )
        everybody = options != around.options
        around.inventory, around.options = inventory, options
        former, followers = self._followers, {}
        for key, job in jobs.items():
            follower = former.get(key)
            if follower is None or follower.job != job or everybody:
                follower = self._replace(key, follower, job, around)
            followers[key] = follower
        for key in former.keys() - followers.keys():
            self._end(key, former[key])
        # In the order of the plan: the first endpoint of a device wins.
        self._followers = followers
        self.pages.arrange(follower.tally for follower in followers.values())
        self._arranged.set()

    def _replace(self, key: Key, former: Follower | None, job: Job, around: Surroundings) -> Follower:
        if former is not None and former.job.same_thing == job.same_thing:
            tally = former.tally
            tally.planned(job)
        else:
            tally = Tally(job)
        after = self._end(key, former) if former is not None else None
        follower = Follower(job, tally, around)
        self._tasks[key] = self._loop.create_task(follower.run(after))
        return follower

    def _end(self, key: Key, follower: Follower) -> asyncio.Task[None] | None:
        self._tasks.pop(key).cancel()
        return follower.leave()
