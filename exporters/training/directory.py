"""What training jobs tell of themselves: the files that `gigawatch.reporter` leaves on this node.

Whoever may write to the directory may claim to be any job. So all files of a job must belong to one user: the
first one seen speaks for it, and where two were there from the start neither does; the log names both. Links
are not followed, and what is wrong in one file costs that file only.
"""

from __future__ import annotations

import logging
import os
import re
import stat
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from exporters.jobs.identity import Devices, Gpus
from exporters.runtime.source import SourceError, kind_of
from exporters.training.precision import precision
from exporters.training.report import LARGEST, Report, ReportError, parse
from exporters.training.voices import Voices
from gigawatch.catalogue import training
from gigawatch.readings import Reading

log = logging.getLogger(__name__)

MAX_AGE = 3600.0
"""Seconds for which a job that fell silent is shown."""
_FAREWELL = 300.0
"""Seconds for which a job that ended is shown: long enough for every Prometheus to see its last figures."""
_MOST = 1024
_MOST_EACH = 512
"""Files that are read in all, and of one user: nobody crowds the others out."""
_OPEN = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_UUID = re.compile(r"^(gpu-|mig-)?[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$", re.IGNORECASE)


class _Told(NamedTuple):
    """A report, and where it came from."""

    report: Report
    name: str
    owner: int


class TrainingDirectory:
    """Reads the directory. `gpus` are what the GPU collector knows now: ranks are joined to them.

    A job that ended is shown for five minutes more. One that fell silent is shown for `max_age` seconds, in
    which its elapsed time goes on: it is stalled, or dead and about to begin again. Older files are left
    alone; whoever made the directory tidies it up.
    """

    name = "training"

    def __init__(
        self,
        interval: float,
        gpus: Gpus,
        directory: Path,
        max_age: float = MAX_AGE,
        deadline: float = 5.0,
        wall: Callable[[], float] = time.time,
        voices: Voices | None = None,
    ) -> None:
        self.interval, self.deadline = interval, deadline
        self._voices = voices or Voices(max_age)
        self._gpus, self._directory, self._max_age, self._wall = gpus, directory, max_age, wall
        self._owners: dict[str, int] = {}
        self._logged: dict[str, str] = {}
        self._old = 0

    @property
    def present(self) -> bool:
        """Whether there is such a directory."""
        try:
            return self._directory.is_dir()
        except PermissionError:
            return True  # there is one, and reading it will say what is wrong

    def read(self) -> Iterator[Reading]:
        """Every job's own figures from its rank 0, and each rank's. Raises SourceError if any file is left
        out, OSError without directory."""
        now = self._wall()
        problems: dict[str, tuple[str, str]] = {}
        told = [one for one in self._look(now, problems) if self._shown(one.report, now)]
        told = list(self._newest(self._of_one_owner(told, problems)))
        ours = {job for job in {one.report.job for one in told} if self._voices.may("reporter", job)}
        told = [one for one in told if one.report.job in ours]
        devices = Devices(self._gpus())
        jobs: dict[tuple[str, str], list[Report]] = defaultdict(list)
        for one in told:
            jobs[one.report.job, one.report.model].append(one.report)
        for ranks in jobs.values():
            yield from _job(ranks, now)
        yield from _ranks((one.report for one in told), devices)
        self._log(problems)
        if problems:
            name, (kind, text) = next(iter(problems.items()))
            more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
            raise SourceError(kind, f"{self._directory}/{name}: {text}{more}")

    def _look(self, now: float, problems: dict[str, tuple[str, str]]) -> Iterator[_Told]:
        """Files that are young enough, and whole."""
        old, each, count = 0, Counter[int](), 0
        here = os.open(self._directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            with os.scandir(here) as entries:
                for entry in entries:
                    if entry.name.startswith(".") or not entry.name.endswith(".json"):
                        continue
                    name = _legible(entry.name)
                    try:
                        found = entry.stat(follow_symlinks=False)
                        if found.st_mtime < now - self._max_age:
                            old += 1
                            continue
                        count, each[found.st_uid] = count + 1, each[found.st_uid] + 1
                        if count > _MOST or each[found.st_uid] > _MOST_EACH:
                            limit = f"{_MOST} in all and {_MOST_EACH} of one user are read"
                            problems["*.json"] = ("too_many", f"too many files: {limit}")
                            continue
                        data, owner = _bytes(entry.name, here)
                        yield _Told(parse(data, now), name, owner)
                    except ReportError as error:
                        problems[name] = ("format", str(error))
                    except FileNotFoundError:
                        continue
                    except OSError as error:
                        problems[name] = (kind_of(error), f"cannot be read: {error.strerror}")
        finally:
            os.close(here)
        if old > self._old:
            log.info("training: %s: %d files of jobs that are over; tidy them up", self._directory, old)
        self._old = old

    def _shown(self, report: Report, now: float) -> bool:
        return now - report.told <= (min(_FAREWELL, self._max_age) if report.ended else self._max_age)

    def _of_one_owner(self, told: list[_Told], problems: dict[str, tuple[str, str]]) -> Iterator[_Told]:
        """Files of jobs that one user speaks for: whoever did so first, as far as this agent has seen."""
        claims: dict[str, set[int]] = defaultdict(set)
        for one in told:
            claims[one.report.job].add(one.owner)
        self._owners = {job: uid for job, uid in self._owners.items() if uid in claims.get(job, ())}
        for job, owners in claims.items():
            if len(owners) == 1:
                self._owners.setdefault(job, next(iter(owners)))
        for one in told:
            owner = self._owners.get(one.report.job)
            if owner == one.owner:
                yield one
                continue
            others = sorted(claims[one.report.job] - {one.owner})
            problems[one.name] = (
                "conflict",
                f"belongs to uid {one.owner}, but uid {', '.join(map(str, others))} tells of the same job",
            )

    def _newest(self, told: Iterable[_Told]) -> Iterator[_Told]:
        """One file for each rank of a job."""
        found: dict[tuple[str, str, int], _Told] = {}
        for one in told:
            key = one.report.job, one.report.model, one.report.rank
            if key not in found or found[key].report.told < one.report.told:
                found[key] = one
        yield from found.values()

    def _log(self, problems: dict[str, tuple[str, str]]) -> None:
        for name, (_, text) in problems.items():
            if self._logged.get(name) != text:
                log.warning("training: %s/%s: %s", self._directory, name, text)
        self._logged = {name: text for name, (_, text) in problems.items()}


def _bytes(name: str, directory: int) -> tuple[bytes, int]:
    """A file's content and owner. Raises ReportError for what is no plain file."""
    # Without following links, and without waiting: it may be a pipe, which waits for a writer.
    with os.fdopen(os.open(name, _OPEN, dir_fd=directory), "rb") as file:
        found = os.fstat(file.fileno())
        if not stat.S_ISREG(found.st_mode):
            raise ReportError("is not a regular file")
        if found.st_nlink > 1:
            raise ReportError("has another name elsewhere (a hard link)")
        data = file.read(LARGEST + 1)
    if len(data) > LARGEST:
        raise ReportError(f"is larger than {LARGEST} bytes")
    return data, found.st_uid


def _job(ranks: list[Report], now: float) -> Iterator[Reading]:
    """Readings of one job with one model on this node."""
    labels = (ranks[0].job, ranks[0].model)
    latest = max(one.told for one in ranks)
    yield Reading(training.TRAINING_RANKS, labels, float(len(ranks)))
    yield Reading(training.TRAINING_REPORT_TIMESTAMP, (*labels, "reporter"), latest)
    for one in ranks:
        if one.rank == 0:
            yield from _totals(one, labels, now)


def _totals(report: Report, labels: tuple[str, str], now: float) -> Iterator[Reading]:
    elapsed = (report.told if report.ended else max(now, report.told)) - report.began
    for metric, value in (
        (training.TRAINING_TOKENS, report.tokens),
        (training.TRAINING_SAMPLES, report.samples),
        (training.TRAINING_STEPS, report.steps),
        (training.TRAINING_FLOPS, report.flops),
        (training.TRAINING_STEP_DURATION, report.step_last),
        (training.TRAINING_STEP_SECONDS, report.step_seconds),
        (training.TRAINING_LOSS, report.loss),
        (training.TRAINING_CHECKPOINT_TIMESTAMP, report.checkpoint_at),
        (training.TRAINING_CHECKPOINT_DURATION, report.checkpoint_last),
        (training.TRAINING_CHECKPOINTS, report.checkpoints),
        (training.TRAINING_CHECKPOINT_SECONDS, report.checkpoint_seconds),
        (training.TRAINING_START_TIMESTAMP, report.began),
        (training.TRAINING_ELAPSED, max(0.0, elapsed)),
        (training.TRAINING_RESTARTS, report.restarts),
    ):
        if value is not None:
            yield Reading(metric, labels, value)
    for reason in ("downtime", "startup", "rework"):
        yield Reading(training.TRAINING_LOST, (*labels, reason), getattr(report, reason))
    if report.precision:
        yield Reading(training.TRAINING_PRECISION_INFO, (*labels, precision(report.precision)), 1.0)


def _ranks(reports: Iterable[Report], devices: Devices) -> Iterator[Reading]:
    """Readings of each rank. Where a job trained one model after the other, the one that told last counts."""
    newest: dict[tuple[str, int], Report] = {}
    for report in sorted(reports, key=lambda one: one.told):
        newest[report.job, report.rank] = report
    for (job, rank), report in newest.items():
        labels = (job, str(rank), *_gpu(report.gpu, devices))
        if report.step is not None:
            yield Reading(training.TRAINING_RANK_STEP, labels, float(report.step))
        if report.wait_seconds is not None:
            yield Reading(training.TRAINING_RANK_WAIT, labels, report.wait_seconds)


def _gpu(name: str, devices: Devices) -> tuple[str, str]:
    """Index and UUID of the GPU that a rank uses; empty where nobody knows."""
    if not name or (devices.cut_up and name.startswith("nvidia")):
        return "", ""  # where GPUs are cut up, Slurm's numbers are of parts
    bare = _UUID.match(name)
    if not bare and name.lower().startswith(
        "gpu-"
    ):  # CUDA takes the first characters of a UUID for the whole
        begun = [gpu for gpu in devices.gpus if gpu.uuid.lower().startswith(name.lower())]
        return (begun[0].gpu, begun[0].uuid) if len(begun) == 1 else ("", "")
    for known in (f"GPU-{name}", f"MIG-{name}") if bare and not bare[1] else (name,):
        place = devices.find(known)
        if place is not None:
            return place.gpu.gpu, place.gpu.uuid
    if bare and not devices and not name.upper().startswith("MIG-"):
        return "", name if bare[1] else f"GPU-{name}"  # another exporter reads the GPUs
    return "", ""


def _legible(name: str) -> str:
    """A file name as text that fits one line of a log."""
    text = os.fsencode(name).decode("utf-8", "replace")
    return text if text.isprintable() else ascii(text)[1:-1]
