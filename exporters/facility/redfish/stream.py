"""Server-sent events of a service: taken in as they come, by a task that ends with its last listener."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator
from typing import Protocol

import aiohttp

from exporters.facility.driver import PollError, Reason
from exporters.facility.redfish.jsons import BadJsonError, at, parse
from exporters.facility.redfish.links import local
from exporters.facility.redfish.model import Body
from exporters.facility.redfish.service import Service, refusal
from exporters.facility.redfish.web import PageError

_LARGEST_EVENT = 4 << 20
_FIRST_PAUSE, _LONGEST_PAUSE = 1.0, 60.0
_NOT_OFFERED = 600.0
"""Seconds until a stream that was refused is tried again."""
_SILENCE = 600.0
"""Seconds after which a stream without any sign of life is opened anew."""


class Listener(Protocol):
    """A driver."""

    def hear(self, message: Body) -> None:
        """Take what concerns it. Raises nothing."""


class Stream:
    """One connection, opened again whenever it breaks. Belongs to one event loop."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._listeners: set[Listener] = set()
        self._task: asyncio.Task[None] | None = None
        self.connected = False

    def join(self, listener: Listener) -> None:
        """From now on it hears what comes."""
        self._listeners.add(listener)
        if self._task is None or self._task.done():
            self._task = asyncio.get_running_loop().create_task(self._run())

    async def part(self, listener: Listener) -> None:
        """The last one closes the connection."""
        self._listeners.discard(listener)
        if not self._listeners and self._task is not None:
            task, self._task = self._task, None
            task.cancel()
            await asyncio.wait({task}, timeout=0.3)

    async def _run(self) -> None:
        pause = _FIRST_PAUSE
        while True:
            try:
                uri = local(at(await self._events(), "ServerSentEventUri"), self._service.origin)
                if not uri:
                    pause = _NOT_OFFERED
                else:
                    async for message in self._messages(uri):
                        pause = _FIRST_PAUSE
                        for listener in tuple(self._listeners):
                            listener.hear(message)
            except PageError as error:
                pause = _NOT_OFFERED if error.status else pause
            except (PollError, OSError):
                pass
            finally:
                self.connected = False
            await asyncio.sleep(pause * random.uniform(0.5, 1.0))  # noqa: S311 - nothing to be guessed
            pause = min(pause * 2, _LONGEST_PAUSE)

    async def _events(self) -> Body:
        where = local(at(await self._service.root(), "EventService/@odata.id"), self._service.origin)
        return await self._service.remembered(where, 10.0) if where else {}

    async def _messages(self, uri: str) -> AsyncIterator[Body]:
        service = self._service
        secret = service.secret
        headers = {"Accept": "text/event-stream", **service.authority(secret)}
        async with service.web.open("GET", service.origin + uri, headers, secret) as response:
            if response.status == 401:
                # The next question of a poll renews the session.
                raise PollError(Reason.AUTH, "the stream of events wants other credentials")
            if response.status != 200 or response.content_type != "text/event-stream":
                raise refusal(response.status)
            self.connected = True
            async for data in _events_in(response):
                with contextlib.suppress(BadJsonError):
                    yield parse(data)


async def _events_in(response: aiohttp.ClientResponse) -> AsyncIterator[bytes]:
    """The data of each event."""
    rest, data, size = b"", list[bytes](), 0
    pieces = response.content.iter_any()
    while True:
        async with asyncio.timeout(_SILENCE):
            try:
                piece = await anext(pieces)
            except StopAsyncIteration:
                return
        *lines, rest = (rest + piece).split(b"\n")
        for line in (ended.rstrip(b"\r") for ended in lines):
            if line.startswith(b"data:"):
                data.append(line[5:].removeprefix(b" "))
                size += len(line)
            elif not line and data:
                yield b"\n".join(data)
                data, size = [], 0
        if size + len(rest) > _LARGEST_EVENT:
            return
