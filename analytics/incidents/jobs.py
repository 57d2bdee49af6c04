"""Which GPUs have just changed hands: a job that starts or stops moves every level, and nothing is wrong."""

from __future__ import annotations

from collections.abc import Sequence

from analytics.detectors.base import Suspicion
from analytics.fleet import Roster
from analytics.incidents.causality import LEVELS, SLACK

SETTLE = 600.0
"""Seconds after a start or stop in which levels still move."""

_PART = 256
"""GPUs whose jobs are compared at once."""


class JobChanges:
    """When each GPU last changed its job; forgotten once settled."""

    def __init__(self) -> None:
        self._codes: object = None
        self._keys: Sequence[str] = ()
        self._jobs: list[str] = []
        self._changed: dict[str, float] = {}

    def look(self, now: float, gpus: Roster) -> None:
        """Compare the jobs of all GPUs with those of the last tick."""
        if self._changed:
            self._changed = {uuid: when for uuid, when in self._changed.items() if now - when < SETTLE}
        codes = gpus.codes("job")[0]
        if codes is self._codes:  # the roster makes new ones when a label changes
            return
        keys, jobs = gpus.keys, gpus.labels["job"]
        if self._codes is not None:
            if keys is not self._keys:
                before = dict(zip(self._keys, self._jobs, strict=True))
                moved = [u for u, job in zip(keys, jobs, strict=True) if before.get(u, job) != job]
            else:  # GPUs that are new have had no other job
                # Comparing lists at once is quick, and most parts of a fleet stay as they were.
                moved = [
                    keys[row]
                    for first in range(0, len(self._jobs), _PART)
                    if (was := self._jobs[first : first + _PART]) != (is_ := jobs[first : first + len(was)])
                    for row, (old, new) in enumerate(zip(was, is_, strict=True), first)
                    if old != new
                ]
            self._changed.update(dict.fromkeys(moved, now))
        self._codes, self._keys, self._jobs = codes, keys, list(jobs)

    def explains(self, one: Suspicion, keys: Sequence[str]) -> bool:
        """Whether most GPUs of a finding that rests on levels have just changed their job, and it is not
        older than that."""
        if not self._changed or one.cause not in LEVELS or not one.gpus:
            return False
        times = [self._changed[keys[row]] for row in one.gpus if keys[row] in self._changed]
        if 2 * len(times) < len(one.gpus):
            return False
        return one.since is None or one.since >= min(times) - SLACK
