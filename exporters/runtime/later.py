"""A source whose device may come later: a module that is loaded, a service that is started after us."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import Protocol

from exporters.runtime.source import Source
from gigawatch.readings import Reading

_LOOK_EVERY = 60.0


class Optional(Source, Protocol):
    """A source that knows whether there is anything to read."""

    @property
    def present(self) -> bool:
        """Whether what it reads is there."""


class Later:
    """The source, from the moment its device is there. Until then it is `dormant`: no health, no readings."""

    def __init__(self, source: Optional, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._source, self._monotonic = source, monotonic
        self.name, self.interval, self.deadline = source.name, source.interval, source.deadline
        self.dormant = not source.present
        self._looked = monotonic()

    def read(self) -> Iterable[Reading]:
        """Once awake it stays so: what goes away again is a failure to be told of."""
        if self.dormant:
            if self._monotonic() - self._looked < _LOOK_EVERY:
                return ()
            self._looked = self._monotonic()
            if not self._source.present:
                return ()
            self.dormant = False
        return self._source.read()
