"""The client library's session, with a look at every datagram before the library sees it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from collections.abc import Callable
from typing import TypeVar

from gufo.snmp import SnmpVersion, User
from gufo.snmp.aio import SnmpSession

from exporters.facility.driver import PollError, Reason
from exporters.facility.snmp.integrity import Signatures
from exporters.facility.snmp.sound import REFUSALS, STATUS, examine

TOO_BIG, NO_SUCH_NAME, NOT_AUTHORISED = 1, 2, 16
T = TypeVar("T")


class StatusError(Exception):
    """The agent refused a request with an error status."""

    def __init__(self, status: int) -> None:
        self.status = status

    def told(self) -> PollError:
        """The refusal as the end of a poll."""
        text = STATUS[self.status] if self.status < len(STATUS) else f"error status {self.status}"
        if self.status == NOT_AUTHORISED:
            return PollError(Reason.AUTH, "lets the user in, but shows nothing at this security level")
        return PollError(Reason.PROTOCOL, f"answers {text}")


class Session(SnmpSession):
    """The library's session, with a look at each datagram before the library reads it."""

    def __init__(
        self, address: str, port: int, timeout: float, version: SnmpVersion, community: str, user: User | None
    ) -> None:
        super().__init__(address, port, timeout=timeout, version=version, community=community, user=user)
        self._signatures = Signatures(user.auth_key) if user and user.auth_key else None
        self.encrypts = bool(user and user.priv_key)
        self.heard = False
        self.tap = socket.socket(fileno=os.dup(self._fd))
        self.bulk = version is not SnmpVersion.v1

    async def _recv(self, receiver: Callable[[], T]) -> T:
        loop = asyncio.get_running_loop()
        end = loop.time() + self._timeout
        while True:
            await self._readable(loop, end)
            try:
                data = self.tap.recv(65535, socket.MSG_PEEK)
                seen = examine(data)
                if self._signatures:
                    self._signatures.check(data, seen)
                self.heard = True
                if seen.status or seen.refusal:
                    self._discard()
                    raise (
                        PollError(Reason.AUTH, REFUSALS[seen.refusal])
                        if seen.refusal
                        else StatusError(seen.status)
                    )
                return receiver()
            except BlockingIOError:  # a late answer to an older request: the library passes over it
                continue

    async def _readable(self, loop: asyncio.AbstractEventLoop, end: float) -> None:
        ready: asyncio.Future[None] = loop.create_future()

        def settle() -> None:
            if not ready.done():
                ready.set_result(None)

        def expire() -> None:
            if not ready.done():
                ready.set_exception(TimeoutError())

        loop.add_reader(self._fd, settle)
        timer = loop.call_at(end, expire)
        try:
            await ready
        finally:
            timer.cancel()
            loop.remove_reader(self._fd)

    def _discard(self) -> None:
        with contextlib.suppress(OSError):
            self.tap.recv(65535)
