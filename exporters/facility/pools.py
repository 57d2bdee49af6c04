"""Who may begin to poll: limits per protocol that dead and slow devices cannot use up."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from types import TracebackType


class Pool:
    """So many places. One that has been held for some time is free again, though its holder goes on: who
    waits for an answer costs nothing, and must not make others late."""

    def __init__(self, places: int) -> None:
        self._free = asyncio.Semaphore(places)

    def place(self, patience: float) -> Place:
        """For an `async with`; held for `patience` seconds at most."""
        return Place(self._free, patience)


class Place:
    def __init__(self, free: asyncio.Semaphore, patience: float) -> None:
        self._free, self._patience = free, patience
        self._timer: asyncio.TimerHandle | None = None

    async def __aenter__(self) -> None:
        await self._free.acquire()
        self._timer = asyncio.get_running_loop().call_later(self._patience, self._give)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._give()

    def _give(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
            self._free.release()


class Pools:
    """Two pools per protocol: one for devices that answered well last time, and one of half the size for
    those that did not, so that a hall without power does not stand in the way of all others."""

    def __init__(self, limits: Mapping[str, int]) -> None:
        self._well = {name: Pool(limit) for name, limit in limits.items()}
        self._doubtful = {name: Pool(max(1, limit // 2)) for name, limit in limits.items()}

    def pool(self, protocol: str, doubtful: bool) -> Pool:
        return (self._doubtful if doubtful else self._well)[protocol]
