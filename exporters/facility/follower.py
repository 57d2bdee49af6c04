"""One endpoint, followed for as long as it is in the inventory: asked in time, let alone when it is down."""

from __future__ import annotations

import asyncio
import errno
import logging
import random
import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass

from exporters.facility.driver import Driver, Make, Polled, PollError, Reason, Wiring
from exporters.facility.job import Job
from exporters.facility.pools import Pools
from exporters.facility.tally import OPEN_AFTER, Tally, accepted
from exporters.runtime.gate import Gate
from gigawatch.errors import UserError
from gigawatch.topology import Inventory

log = logging.getLogger(__name__)

FIRST_WITHIN = 10.0
"""Seconds within which every device is asked for the first time, however long its interval."""
_LAST_WORD = 0.5
"""Seconds that a poll has to end once it is cancelled."""
_SECONDS_TO_CLOSE = 2.0
_TELL_AGAIN = 600.0
_TRY_AGAIN = frozenset({Reason.TIMEOUT, Reason.UNREACHABLE})
"""What a lost packet or a connection that was dropped in between may look like."""


@dataclass(slots=True)
class Surroundings:
    """What all followers share. Used in the event loop's thread alone."""

    makers: Callable[[str], Make]
    pools: Pools
    gate: Gate
    inventory: Inventory
    options: dict[str, str]
    hurry: bool
    """Ask at once instead of at an endpoint's own moment."""
    shared: dict[str, object]
    leaving: set[asyncio.Task[None]]
    """Drivers that are being closed."""


class Follower:
    """Asks one endpoint. `run` goes on until it is cancelled; `leave` closes what is open then."""

    def __init__(self, job: Job, tally: Tally, around: Surroundings) -> None:
        self.job, self.tally, self._around = job, tally, around
        self._driver: Driver | None = None
        self._asking: asyncio.Task[Polled] | None = None
        self._told: dict[str, float] = {}
        self._answered = tally.up
        self._out_of_turn = False

    async def run(self, after: asyncio.Task[None] | None = None) -> None:
        """`after` is the closing of the one before: a device is not asked twice at the same time."""
        loop = asyncio.get_running_loop()
        if after is not None:
            await asyncio.wait({after}, timeout=2 * _SECONDS_TO_CLOSE)
        due = self._first(loop.time())
        while True:
            await asyncio.sleep(max(0.0, due - loop.time()))
            try:
                await self._turn(due)
            except Exception:
                # Nothing in there should fail; if it does, this device alone suffers.
                log.exception("%s: asking it went wrong", self._name)
                self.tally.failed(Reason.INTERNAL, 0.0)
            due = self._next(loop.time())

    def look(self) -> None:
        """Take what the driver was told without asking."""
        pushed = getattr(self._driver, "pushed", None)
        if pushed is None:
            return
        try:
            polled: Polled | None = pushed()
            if polled is not None:
                self.tally.told(accepted(polled, self._around.gate), polled, time.monotonic())
        except Exception as error:  # noqa: BLE001 - whatever a driver does must stay in its endpoint
            self._say("pushed", f"what it says unasked cannot be used ({_where(error)})")

    def leave(self) -> asyncio.Task[None] | None:
        """Close what is open, without waiting for it."""
        driver, self._driver = self._driver, None
        if self._asking is not None:
            self._asking.cancel()
        if driver is None:
            return None
        task = asyncio.get_running_loop().create_task(self._close(driver))
        self._around.leaving.add(task)
        task.add_done_callback(self._around.leaving.discard)
        return task

    async def _turn(self, due: float) -> None:
        loop = asyncio.get_running_loop()
        tally, job = self.tally, self.job
        doubtful = tally.failures > 0 or tally.took > job.patience
        async with self._around.pools.pool(job.endpoint.protocol, doubtful).place(job.patience):
            began = loop.time()
            tally.late(max(0.0, began - due))
            asked = time.monotonic()
            try:
                polled = await self._ask(began + job.deadline)
                series = accepted(polled, self._around.gate)
            except Exception as error:  # noqa: BLE001 - whatever a driver does must stay in its endpoint
                reason, message = understood(error)
                tally.failed(reason, loop.time() - began, message)
                self._tell(reason, message)
                if tally.failures == OPEN_AFTER or reason is Reason.INTERNAL:
                    # What comes back may be another device, or the same one with another firmware.
                    self.leave()
            else:
                was_open = tally.open
                tally.succeeded(series, polled, asked, loop.time() - began, time.time())
                self._tell_success(was_open)

    async def _ask(self, until: float) -> Polled:
        """One poll, and a second one at once where that may help. Raises what the driver raises."""
        worked = self.tally.up
        loop = asyncio.get_running_loop()
        try:
            return await self._once(until)
        except Exception as error:
            left = until - loop.time()
            if not worked or left < 0.5 * self.job.deadline or understood(error)[0] not in _TRY_AGAIN:
                raise
        return await self._once(until)

    async def _once(self, until: float) -> Polled:
        """Ask, and be back in time whatever the driver does."""
        loop = asyncio.get_running_loop()
        if self._asking is not None:
            # It did not let itself be cancelled: two at a time would be worse than none.
            self._asking.cancel()
            raise PollError(Reason.TIMEOUT, "an earlier poll has not ended yet")
        task = self._asking = loop.create_task(self._poll())
        task.add_done_callback(self._over)
        try:
            await asyncio.wait({task}, timeout=max(0.0, until - loop.time()))
            if not task.done():
                task.cancel()
                await asyncio.wait({task}, timeout=_LAST_WORD)
                raise PollError(Reason.TIMEOUT, f"no whole answer within {self.job.deadline:g} s")
        except asyncio.CancelledError:
            task.cancel()
            raise
        if task.cancelled():
            raise RuntimeError("the driver cancelled itself")
        return task.result()

    async def _poll(self) -> Polled:
        try:
            if self._driver is None:
                self._driver = self._make()
            return await self._driver.poll()
        except (SystemExit, KeyboardInterrupt) as error:
            raise RuntimeError(type(error).__name__) from None

    def _make(self) -> Driver:
        job, around = self.job, self._around
        given = wiring(job, around.inventory, around.shared, around.options)
        return around.makers(job.endpoint.protocol)(given)

    def _over(self, task: asyncio.Task[Polled]) -> None:
        if self._asking is task:
            self._asking = None
        if not task.cancelled():
            task.exception()  # retrieved, so that nobody complains that it was not

    async def _close(self, driver: Driver) -> None:
        closing = asyncio.get_running_loop().create_task(_closed(driver))
        done, _ = await asyncio.wait({closing}, timeout=_SECONDS_TO_CLOSE)
        if done:
            problem = closing.result()
        else:
            closing.cancel()
            await asyncio.wait({closing}, timeout=_LAST_WORD)
            problem = f"takes more than {_SECONDS_TO_CLOSE:g} s to close"
        if problem:
            self._say("close", problem)

    def _first(self, now: float) -> float:
        if self._around.hurry:
            return now
        if self.job.interval <= FIRST_WITHIN:
            return self._moment(now)
        self._out_of_turn = True
        return now + self.job.share * FIRST_WITHIN

    def _next(self, now: float) -> float:
        """The next of its moments; while it is down, some time after that."""
        job, tally = self.job, self.tally
        if tally.problem is Reason.AUTH:
            return now + _back_off(job.interval, tally.failures, job.refusing)
        if tally.open:
            # Counted from the beginning of the poll, so that a device that comes back is seen in time.
            return now + max(0.0, _back_off(job.interval, tally.failures, job.silent) - tally.took)
        due = self._moment(now)
        if self._out_of_turn and due - now < 0.5 * job.interval:
            due += job.interval
        self._out_of_turn = False
        return due

    def _moment(self, now: float) -> float:
        """The next of the moments that are always the same for an endpoint and spread evenly over all."""
        interval = self.job.interval
        return now + ((self.job.share * interval - now) % interval or interval)

    def _tell(self, reason: Reason, message: str) -> None:
        told = f"{message} ({reason.value})"
        if self.tally.failures == OPEN_AFTER:
            log.warning("%s: down, after %d polls that failed: %s", self._name, OPEN_AFTER, told)
            self._told[reason.value] = time.monotonic()
        else:
            self._say(reason.value, told)

    def _say(self, kind: str, message: str) -> None:
        """Each kind of trouble now and then: a device that fails every other time fills no log."""
        now = time.monotonic()
        if now - self._told.get(kind, float("-inf")) > _TELL_AGAIN:
            self._told[kind] = now
            log.warning("%s: %s", self._name, message)

    def _tell_success(self, was_open: bool) -> None:
        if was_open or not self._answered:
            log.info("%s: answers", self._name)
            self._told.clear()
        self._answered = True

    @property
    def _name(self) -> str:
        return f"device {self.job.device.name}: {self.job.label} at {self.job.endpoint.address}"


async def _closed(driver: Driver) -> str:
    """What went wrong in closing it; empty if nothing did."""
    try:
        await driver.close()
    except Exception as error:  # noqa: BLE001 - whatever a driver does must stay in its endpoint
        return f"closing failed ({_where(error)})"
    return ""


def wiring(job: Job, inventory: Inventory, shared: dict[str, object], options: dict[str, str]) -> Wiring:
    """What a driver for this job is given."""
    return Wiring(
        job.device, job.endpoint, inventory, job.secret, job.deadline, job.interval, time.time, shared,
        options,
    )  # fmt: skip


def _back_off(interval: float, failures: int, longest: float) -> float:
    """Between one interval and twice as many with each failure: chance keeps a hall that came back from
    being asked all at once."""
    window = min(longest, interval * 2.0 ** min(failures, 16))
    return random.uniform(min(interval, window), window)  # noqa: S311 - nothing to be guessed


def understood(error: Exception) -> tuple[Reason, str]:
    """The reason under which an error is counted, and a line that shows nothing it should not."""
    if isinstance(error, PollError):
        return error.reason, _line(str(error)) or error.reason.value
    if isinstance(error, UserError):
        return Reason.PROFILE, _line(str(error))
    if isinstance(error, TimeoutError):
        return Reason.TIMEOUT, "no answer"
    if isinstance(error, ssl.SSLError):
        return Reason.TLS, _line(error.reason or "TLS failed")
    if isinstance(error, ConnectionRefusedError):
        return Reason.REFUSED, "nothing listens there"
    if isinstance(error, OSError) and error.errno not in (errno.EMFILE, errno.ENFILE, errno.ENOMEM):
        return Reason.UNREACHABLE, _line(error.strerror or type(error).__name__)
    if isinstance(error, ImportError):
        missing = f"needs the Python module '{error.name}', which is not installed"
        return Reason.INTERNAL, f"{missing}; install it with: pip install 'gigawatch[facility]'"
    return Reason.INTERNAL, f"a mistake of our own: {_where(error)}"


def _where(error: BaseException | None) -> str:
    """Type of an error and where it was raised; not its text, which may hold anything."""
    trace = error.__traceback__ if error is not None else None
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    name = type(error).__name__
    if trace is None:
        return name
    file = trace.tb_frame.f_code.co_filename.rpartition("/")[2]
    return f"{name}, {file}:{trace.tb_lineno}"


def _line(text: str) -> str:
    shown = " ".join(text.split())[:300]
    return shown if shown.isprintable() else ascii(shown)[1:-1]
