"""Training jobs that tell of themselves in their logs: files are followed, lines read by `patterns.py`."""

from __future__ import annotations

import calendar
import glob
import itertools
import logging
import re
import stat
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from exporters.runtime.source import SourceError, kind_of
from exporters.sections import LogSection
from exporters.training.log_job import LogJob, number
from exporters.training.log_lines import AT_ONCE, LogTail
from exporters.training.patterns import BY_NAME, COLOURS, FRAMEWORKS, RANK, STAMP, Framework
from exporters.training.tally import Tally, label
from exporters.training.voices import Voices
from gigawatch.readings import Reading

log = logging.getLogger(__name__)

_LOOK_EVERY = 30.0
_MOST = 256
"""Files that are followed: those written to last."""
_PATHS = 8192
"""Paths that a glob may give."""
_BUDGET = 8 << 20
"""Bytes that are read at a time, of all files."""


@dataclass(slots=True)
class _File:
    """A log that is followed, and what was found out of it."""

    tail: LogTail
    given: LogSection
    job: str
    framework: Framework | None = None
    rank: str | None = None
    """What stands before the lines of the rank that told first; others tell the same."""


class LogSource:
    """Follows the files that are there, from their ends on. One job in several files is one job."""

    name = "training_logs"

    def __init__(
        self,
        interval: float,
        logs: Sequence[LogSection],
        voices: Voices,
        max_age: float = 3600.0,
        deadline: float = 10.0,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self.interval, self.deadline = interval, deadline
        self._given, self._voices, self._max_age, self._wall = tuple(logs), voices, max_age, wall
        self._files: dict[str, _File] = {}
        self._jobs: dict[tuple[str, str], LogJob] = {}
        self._problems: dict[str, tuple[str, str]] = {}
        self._logged: dict[str, str] = {}
        self._looked = float("-inf")
        self._turn = 0

    def read(self) -> Iterator[Reading]:
        """Every job of which anything was written of late. Raises SourceError if any file is left out."""
        now = self._wall()
        if not 0 <= now - self._looked < _LOOK_EVERY:
            self._look(now)
            self._looked = now
        problems = dict(self._problems)
        self._follow(now, problems)
        self._jobs = {key: job for key, job in self._jobs.items() if job.tally.shown(now, self._max_age)}
        for (name, model), job in self._jobs.items():
            if self._voices.may("log", name):
                yield from job.tally.readings(name, model, "log", now)
        for path, (_, text) in problems.items():
            if self._logged.get(path) != text:
                log.warning("training: %s: %s", ascii(path)[1:-1], text)
        self._logged = {path: text for path, (_, text) in problems.items()}
        if problems:
            path, (kind, text) = next(iter(problems.items()))
            more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
            raise SourceError(kind, f"{ascii(path)[1:-1]}: {text}{more}")

    def _look(self, now: float) -> None:
        """Find the files that are to be followed."""
        found: dict[str, tuple[float, LogSection, str]] = {}
        self._problems = {}
        for given in self._given:
            for path in itertools.islice(glob.iglob(given.path), _PATHS):  # noqa: PTH207 - Path.glob takes no absolute ones
                if path in found:
                    continue
                try:
                    file = Path(path).lstat()
                except OSError:
                    continue  # went away
                if not stat.S_ISREG(file.st_mode) or file.st_mtime < now - self._max_age:
                    continue
                job = _job(given.job, path)
                if job:
                    found[path] = file.st_mtime, given, job
                else:
                    self._problems[path] = "format", "training.logs: `job` finds none in this path"
        newest = sorted(found, key=lambda path: found[path][0], reverse=True)
        if len(newest) > _MOST:
            told = f"{len(newest)} files; the {_MOST} written to last are read"
            self._problems["training.logs"] = "too_many", told
        self._files = {
            path: self._files.get(path) or _File(LogTail(path), *found[path][1:]) for path in newest[:_MOST]
        }

    def _follow(self, now: float, problems: dict[str, tuple[str, str]]) -> None:
        """Read on; where it becomes too much at once, the files that are left come first next time."""
        files = list(self._files.values())
        for done in range(min(len(files), _BUDGET // AT_ONCE) if self._busy(files) else len(files)):
            file = files[(self._turn + done) % len(files)]
            try:
                for line in file.tail.lines():
                    self._take(file, line, now)
            except FileNotFoundError:
                continue
            except OSError as error:
                problems[file.tail.path] = kind_of(error), f"cannot be read: {error.strerror}"
        self._turn += _BUDGET // AT_ONCE

    def _busy(self, files: list[_File]) -> bool:
        """Whether there is more to read than is read at a time."""
        waiting = 0
        for file in files:
            try:
                waiting += min(AT_ONCE, max(0, Path(file.tail.path).lstat().st_size - file.tail.offset))
            except OSError:
                continue
        return waiting > _BUDGET

    def _take(self, file: _File, line: str, now: float) -> None:
        if "\x1b" in line:
            line = COLOURS.sub("", line)
        rank = RANK.match(line)
        before = rank[0] if rank else ""
        if file.rank is not None and file.rank != before:
            return
        line = line[len(before) :]
        framework, values = self._values(file, line)
        if framework is None:
            return
        key = file.job, file.given.model
        job = self._jobs.get(key)
        if not values:
            if job is not None and job.path == file.tail.path:
                job.tally.ended = True
            return
        if job is None:
            job = self._jobs[key] = LogJob(Tally(began=now, told=now), file.given)
        if job.admits(file.tail.path, now):
            file.framework, file.rank = framework, before
            job.take(values, _stamp(line), now)

    def _values(self, file: _File, line: str) -> tuple[Framework | None, dict[str, float]]:
        """Whose line it is and what it says: nothing where it says that the training is over."""
        given = file.given.framework
        choice = FRAMEWORKS if given == "auto" else (BY_NAME[given],)
        for framework in choice:
            values: dict[str, float] = {}
            for pattern in framework.lines:
                if pattern.marker in line:
                    values |= _fields(pattern.fields, line)
            if values:
                return framework, values
            if framework is file.framework:
                # Not another one's: what comes later only adds lines of its own to these.
                return (framework, {}) if any(text in line for text in framework.ended) else (None, {})
        return None, {}


def _fields(fields: Sequence[re.Pattern[str]], line: str) -> dict[str, float]:
    values: dict[str, float] = {}
    for place, field in enumerate(fields):
        match = field.search(line)
        if match is None:
            if place == 0:
                return {}
            continue
        for role, text in match.groupdict().items():
            value = number(text)
            if value is not None and (value >= 0 or role == "loss"):
                values[role] = value
    return values


def _job(pattern: str, path: str) -> str:
    """The job of a file: a text, or what the one group of the expression finds in the path."""
    expression = re.compile(pattern)
    if not expression.groups:
        return label(pattern)
    match = expression.search(path)
    return label(match[1] or "") if match else ""


def _stamp(line: str) -> float | None:
    """The time at the beginning of a line, good for differences: nobody knows in which zone it is."""
    match = STAMP.search(line[:64])
    if match is None:
        return None
    year, month, day, hour, minute, second = (int(part) for part in match.groups()[:6])
    if not (1970 <= year <= 2200 and 1 <= month <= 12 and 1 <= day <= 31):
        return None
    return calendar.timegm((year, month, day, hour, minute, second)) + float(f"0.{match[7] or 0}")
