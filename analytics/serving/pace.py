"""When the next run is due, and what time it is, slow runs and clocks that step notwithstanding."""

from __future__ import annotations

from collections.abc import Callable

SLOW_RUNS = 3
"""So many runs in a row that take too long lengthen the interval."""
QUICK_RUNS = 20
"""So many in a row that would have had time at a shorter one shorten it again."""
LONGEST = 16
"""The interval never grows beyond so many times the one that is set."""
TOLERATED = 5.0
"""Seconds that the clocks may differ: the age of an answer, and the Date header has no fractions."""


class Pace:
    """Runs at every multiple of an interval; those not reached in time are skipped, never made up."""

    def __init__(self, interval: float) -> None:
        self._wanted = interval
        self.interval = interval
        self.skipped = 0
        self._slow = self._quick = 0
        self._due: float | None = None

    def after(self, began: float, ended: float) -> tuple[float, str | None]:
        """Seconds to wait after a run (monotonic begin, end), and a line if the interval is another now."""
        due = (began if self._due is None else self._due) + self.interval
        late = ended - due
        if late > 0:
            missed = int(late // self.interval) + 1
            self.skipped += missed
            due += missed * self.interval
        self._due = due
        return due - ended, self._adapt(ended - began)

    def restart(self) -> None:
        """Count from the next run on."""
        self._due = None

    def _adapt(self, took: float) -> str | None:
        self._slow = self._slow + 1 if took > self.interval else 0
        quick = self.interval > self._wanted and took < 0.4 * self.interval
        self._quick = self._quick + 1 if quick else 0
        if self._slow >= SLOW_RUNS and self.interval < LONGEST * self._wanted:
            self.interval, self._slow = min(2 * self.interval, LONGEST * self._wanted), 0
            return (
                f"runs take {took:.1f} s: the interval is {self.interval:g} s from now on (set: "
                f"{self._wanted:g} s); use --shard, or a longer interval"
            )
        if self._quick >= QUICK_RUNS:
            self.interval, self._quick = max(self.interval / 2, self._wanted), 0
            return f"runs take {took:.1f} s again: the interval is {self.interval:g} s from now on"
        return None


class DataClock:
    """The time by which data is asked for: Prometheus' own, where ours differs from it."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._ahead = 0.0

    def now(self) -> float:
        """Unix time."""
        return self._clock() + self._ahead

    def compare(self, skew: float | None) -> str | None:
        """Take note of how far Prometheus' clock is ahead of ours; a line if that is not what was assumed.

        What was read just before was then asked for at the wrong time.
        """
        if skew is None or abs(skew - self._ahead) <= TOLERATED:
            return None
        self._ahead = skew if abs(skew) > TOLERATED else 0.0
        if not self._ahead:
            return "our clock agrees with Prometheus' again"
        way = "behind" if skew > 0 else "ahead of"
        return (
            f"our clock is {abs(skew):.0f} s {way} Prometheus': its time is used; check the time service here"
        )
