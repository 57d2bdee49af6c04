"""Questions to GPUs that hang, each from a process of its own, with growing pauses."""

from __future__ import annotations

import logging
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from exporters.gpu.probe_codes import ANSWERS, COMMAND, GONE

log = logging.getLogger(__name__)

HANGS = "hangs"
_OUTCOMES = {ANSWERS: "answers", GONE: "gone"}
_DEADLINE = 10.0
"""Seconds in which a process has to start and ask."""


@dataclass(slots=True)
class _Case:
    process: subprocess.Popen[bytes] | None = None
    began: float = 0.0
    told: bool = False
    """The outcome of the present process has been counted already; it only has not ended yet."""
    next_at: float = -1e9
    pause: float = 5.0
    last: str = ""
    counts: dict[str, int] = field(default_factory=dict)


class Probes:
    """At most one process per GPU, also where a process can not even be killed."""

    def __init__(
        self,
        longest_pause: float = 300.0,
        deadline: float = _DEADLINE,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._longest, self._deadline, self._monotonic = longest_pause, deadline, monotonic
        self._cases: dict[int, _Case] = {}

    def ask(self, index: int) -> str:
        """Ask if it is time to; the outcome of a question that has just been decided, else nothing.

        `answers`, `gone` (it says that it is lost), `failed` (it answers, but no good), `hangs`.
        """
        case, now = self._cases.setdefault(index, _Case()), self._monotonic()
        if case.process is None:
            if now >= case.next_at:
                self._begin(index, case, now)
            return ""
        code = case.process.poll()
        if code is None and now - case.began < self._deadline:
            return ""
        if code is None:
            case.process.kill()
            return self._decide(case, HANGS, now)
        case.process = None
        return self._decide(case, _OUTCOMES.get(code, "failed"), now)

    def last(self, index: int) -> str:
        """The last outcome; empty if there is none yet."""
        case = self._cases.get(index)
        return case.last if case is not None else ""

    def asked(self) -> list[int]:
        """Indexes of which there is anything to forget."""
        return [index for index, case in self._cases.items() if case.process is not None or case.last]

    def counts(self) -> dict[int, dict[str, int]]:
        """Outcomes so far by index."""
        return {index: case.counts for index, case in self._cases.items() if case.counts}

    def forget(self, index: int) -> None:
        """It works again: nothing is left of a question under way, and the next time is asked at once."""
        case = self._cases.get(index)
        if case is None:
            return
        case.last, case.next_at, case.pause = "", -1e9, 5.0
        if case.process is not None:
            case.process.kill()
            if case.process.poll() is not None:
                case.process = None
            case.told = True

    def _begin(self, index: int, case: _Case, now: float) -> None:
        try:
            case.process = subprocess.Popen(
                [sys.executable, "-P", "-c", COMMAND, str(index)],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
        except OSError as error:
            log.warning("GPU %d cannot be asked: %s", index, error)
            case.next_at = now + case.pause
            return
        case.began, case.told = now, False

    def _decide(self, case: _Case, outcome: str, now: float) -> str:
        if case.told:
            return ""
        case.told, case.last = case.process is not None, outcome
        case.counts[outcome] = case.counts.get(outcome, 0) + 1
        case.next_at = now + case.pause
        case.pause = min(2 * case.pause, self._longest)
        return outcome
