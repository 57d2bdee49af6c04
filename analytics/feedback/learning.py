"""What marks teach: how precise each cause is, what it takes to open an incident, what nobody is called for.

Marks move numbers in bounded steps and fade. A cause starts from a stated prior, Beta(8, 2): eight of ten of
its incidents are expected to be right. What is learned may delay and raise the bar for a cause; it never
silences a finding of high score, and a mark about one thing never mutes another thing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from analytics.feedback.marks import Mark
from analytics.incidents.model import Incident

PRIOR_RIGHT, PRIOR_WRONG = 8.0, 2.0
PRIOR = PRIOR_RIGHT / (PRIOR_RIGHT + PRIOR_WRONG)
HALF_LIFE = 90 * 86400.0
"""Seconds after which a mark counts half."""
STEP = 1.1
"""A mark moves a threshold by at most this factor."""
MOST = 2.0
MOST_HERE = 4.0
"""How far the threshold of a cause, and of a cause at one thing, may rise."""
HERE = 1.5
"""What a wrong mark does to the threshold of its cause at that one thing."""
WAIT, WAIT_HERE = 60.0, 1800.0
"""Seconds that an incident lasts longer before it opens, for each unit that a threshold is above 1."""
HIGHEST_BAR = 0.85
"""No score of this or more is ever kept from opening."""
QUIET_WRONG = 7 * 86400.0
"""Seconds in which a thing marked wrong calls nobody, unless it grows."""
GROWN = 0.15
"""A score that is higher by this than when it was marked is another matter."""
CALIBRATION = 10.0
"""How many marks a detector's own confidence counts as."""


@dataclass(slots=True)
class _Cause:
    right: float = 0.0
    wrong: float = 0.0
    threshold: float = 1.0
    at: float = 0.0

    def fade(self, now: float) -> None:
        """Let time pass: counts and threshold fall back towards the prior."""
        share = 0.5 ** (max(now - self.at, 0.0) / HALF_LIFE) if self.at else 1.0
        self.right, self.wrong = self.right * share, self.wrong * share
        self.threshold = 1.0 + (self.threshold - 1.0) * share
        self.at = max(now, self.at)

    @property
    def precision(self) -> float:
        return (PRIOR_RIGHT + self.right) / (PRIOR_RIGHT + PRIOR_WRONG + self.right + self.wrong)

    def take(self, mark: Mark) -> None:
        """Learn one mark; what was known already says nothing of precision."""
        self.fade(mark.time)
        if mark.verdict == "known":
            return
        if mark.verdict == "right":
            self.right += 1.0
        else:
            self.wrong += 1.0
        wanted = min(max(PRIOR / self.precision, 1.0), MOST)
        self.threshold = min(max(wanted, self.threshold / STEP), self.threshold * STEP)


@dataclass(frozen=True, slots=True)
class CauseFigures:
    """What is known of one cause now."""

    cause: str
    precision: float
    threshold: float
    counts: dict[str, int]


class Learned:
    """What a list of marks comes to; made anew with each mark. Reading it is safe from any thread."""

    def __init__(self, marks: Iterable[Mark] = ()) -> None:
        self._causes: dict[str, _Cause] = {}
        self._latest: dict[tuple[str, str, str], Mark] = {}
        self._wrong: dict[tuple[str, str, str], list[float]] = {}
        self._counts: dict[str, Counter[str]] = {}
        self._by_name: dict[str, list[Mark]] = {}
        for mark in sorted(marks, key=lambda one: one.time):
            self._causes.setdefault(mark.cause, _Cause()).take(mark)
            self._counts.setdefault(mark.cause, Counter())[mark.verdict] += 1
            self._latest[mark.id] = mark
            self._by_name.setdefault(mark.incident, []).append(mark)
            if mark.verdict == "wrong":
                self._wrong.setdefault(mark.id, []).append(mark.time)
            elif mark.verdict == "right":
                self._wrong.pop(mark.id, None)

    def of(self, incident: str) -> list[Mark]:
        """Marks of an incident, oldest first."""
        return self._by_name.get(incident, [])

    def figures(self, now: float) -> list[CauseFigures]:
        """Every cause that was marked."""
        made = []
        for cause in sorted(self._causes):
            c = self._now(cause, now)
            made.append(CauseFigures(cause, c.precision, c.threshold, dict(self._counts[cause])))
        return made

    def signals(self) -> tuple[dict[str, int], dict[str, int]]:
        """How often incidents that rested on a signal were right, and wrong: what likelihoods learn from."""
        right: Counter[str] = Counter()
        wrong: Counter[str] = Counter()
        for marks in self._by_name.values():
            last = next((mark for mark in reversed(marks) if mark.verdict != "known"), None)
            if last is not None:
                (right if last.verdict == "right" else wrong).update(set(last.signals))
        return dict(right), dict(wrong)

    def _now(self, cause: str, now: float) -> _Cause:
        kept = self._causes.get(cause)
        if kept is None:
            return _Cause()
        made = _Cause(kept.right, kept.wrong, kept.threshold, kept.at)
        made.fade(now)
        return made

    def _here(self, key: tuple[str, str, str], now: float) -> float:
        times = self._wrong.get(key)
        if not times:
            return 1.0
        count = sum(0.5 ** (max(now - when, 0.0) / HALF_LIFE) for when in times)
        return float(min(HERE**count, MOST_HERE))

    def needs(self, cause: str, scope: str, key: str, now: float) -> tuple[float, float]:
        """Least score (0 to 1), and seconds beyond the usual that a suspicion must last, to open."""
        if not self._causes:
            return 0.0, 0.0
        threshold, here = self._now(cause, now).threshold, self._here((cause, scope, key), now)
        score = min(1.0 - 1.0 / (threshold * here), HIGHEST_BAR)
        return score, WAIT * (threshold - 1.0) + WAIT_HERE * (here - 1.0)

    def standing(self, now: float) -> list[Mark]:
        """The marks by which nobody is called for their thing now, whether or not it is found at present."""
        return [mark for mark in self._latest.values() if now < _until(mark)]

    def known(self, incident: Incident, now: float) -> tuple[str, str, float] | None:
        """Why nobody is called for an incident: it was marked known, or wrong and has not grown since."""
        mark = self._latest.get(incident.id)
        if mark is None or now >= _until(mark):
            return None
        grown = incident.score >= min(mark.score + GROWN, 1.0) or len(incident.gpus) > 2 * max(mark.gpus, 1)
        if mark.verdict == "wrong" and grown:
            return None
        who = f" by {mark.by}" if mark.by else ""
        said = f": {mark.note}" if mark.note else ""
        return f"marked_{mark.verdict}", f"marked as {mark.verdict}{who}{said}", _until(mark)

    def confidence(self, cause: str, given: float | None, now: float) -> float | None:
        """A detector's confidence after the marks of its cause: Beta prior at its value, worth ten marks."""
        c = self._now(cause, now)
        if given is None:
            return c.precision if c.right + c.wrong > 0.5 else None
        return (CALIBRATION * given + c.right) / (CALIBRATION + c.right + c.wrong)


def _until(mark: Mark) -> float:
    """When a mark ends to keep people from being called (Unix time)."""
    if mark.verdict == "right":
        return 0.0
    return mark.until or (mark.time + QUIET_WRONG if mark.verdict == "wrong" else 0.0)
