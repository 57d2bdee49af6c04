"""Whether an engine that has requests gets anything done. A frozen one still answers, and says it is well."""

from __future__ import annotations

from dataclasses import dataclass

from exporters.inference.outputs import Scalar


class Stall:
    """For how long requests have been there and nothing was done."""

    __slots__ = ("_busy", "_progress", "_since")

    def __init__(self) -> None:
        self._busy = False
        self._progress = 0.0
        self._since = 0.0

    def seconds(self, now: float, progress: float, requests: float) -> float:
        """At an instant (monotonic seconds) with this much done and so many requests running or waiting.

        The time begins when requests are first seen beside a progress that stands still. Scrapes that fail in
        between are no instants at all: they neither count nor begin it anew, for the same progress before and
        after says that nothing was done.
        """
        moved, self._progress = progress != self._progress, progress
        if moved or not self._busy:
            self._since = now
        self._busy = requests > 0.0
        return max(now - self._since, 0.0) if self._busy else 0.0


@dataclass(slots=True)
class Watched:
    """What tells whether one replica of a model gets anything done."""

    progress: Scalar
    requests: tuple[Scalar, ...]
    stalled: Scalar

    def judge(self, stall: Stall, now: float) -> None:
        """Tell for how long it has stood still, where its figures can be told."""
        present = [one.value for one in self.requests if one.value is not None]
        if self.progress.value is None or not present:
            self.stalled.refuse("")
        else:
            self.stalled.show(stall.seconds(now, self.progress.value, sum(present)))
