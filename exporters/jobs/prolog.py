"""What a Slurm prolog left: a directory with one file per GPU, or per job.

Two forms, told apart by the first character of a line:

- A file named after a GPU (index, `index.gpu-instance`, UUID, or any other name of it) with one job number
  per line: what prologs written for other GPU exporters leave.
- JSON lines in a file of any name: `{"job_id": 42, "user": "ada", "partition": "h200", "uuid": "GPU-..."}`;
  the GPU as `uuid` or `index`, or by the file's name; `stage` may be given. All but job_id may be left out.

An empty file says that nobody holds the GPU. Names that begin with a dot or end in .tmp are passed over:
write to such a file and rename it.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

from exporters.jobs.holding import Holding, Unmatched
from exporters.jobs.identity import Devices
from exporters.runtime.source import SourceError

SCHEDULER = "slurm"
_LARGEST = 1 << 16
_MOST = 1024
_JOB_ID = re.compile(r"^[A-Za-z0-9][\w.+-]{0,63}$")
_INSTANCE = re.compile(r"^(\d{1,6})\.(\d{1,6})$")
_GRACE = 60.0
"""Seconds that a file may be older than the first sign of its job: the prolog runs before the job."""


class _GarbledError(ValueError):
    """A line that says nothing."""


class Prolog:
    """Reads the directory. A file that makes no sense, or whose job is gone, is passed over and named."""

    def __init__(
        self, directory: Path, booted: Callable[[], float], wall: Callable[[], float] = time.time
    ) -> None:
        self._directory, self._booted, self._wall = directory, booted, wall

    @property
    def present(self) -> bool:
        """Whether there is such a directory."""
        try:
            return self._directory.is_dir()
        except PermissionError:
            return True  # there is one, and reading it will say what is wrong

    def holdings(
        self, devices: Devices, unmatched: Unmatched, alive: Collection[str] | None, problems: list[str]
    ) -> list[Holding]:
        """Everything the files say that can be true. `alive` are the jobs that are known to run, None where
        nobody knows; `problems` takes a line for every file that was passed over.

        Raises SourceError where the directory cannot be read.
        """
        try:
            files = sorted(path for path in self._directory.iterdir() if _counts(path))
        except OSError as error:
            raise SourceError("io", f"{self._directory}: cannot be read: {error.strerror}") from None
        found: list[Holding] = []
        for path in files[:_MOST]:
            try:
                found += self._file(path, devices, unmatched, alive)
            except _GarbledError as error:
                problems.append(f"{path}: {error}")
            except FileNotFoundError:
                continue  # the epilog was quicker
            except OSError as error:
                problems.append(f"{path}: cannot be read: {error.strerror}")
        if len(files) > _MOST:
            problems.append(f"{self._directory}: {len(files)} files; only {_MOST} were read")
        return found

    def _file(
        self, path: Path, devices: Devices, unmatched: Unmatched, alive: Collection[str] | None
    ) -> list[Holding]:
        with path.open("rb") as file:
            text = file.read(_LARGEST + 1)
        if len(text) > _LARGEST:
            raise _GarbledError(f"larger than {_LARGEST} bytes")
        written = path.stat().st_mtime
        lines = [line.strip() for line in text.decode("utf-8", "replace").splitlines()]
        if any(lines) and written < self._booted():
            raise _GarbledError("stale: written before this host was started; is the epilog missing?")
        found = []
        for number, line in enumerate(lines, 1):
            if not line:
                continue
            try:
                row = _row(line)
            except _GarbledError as error:
                raise _GarbledError(f"line {number}: {error}") from None
            if alive is not None and row["job_id"] not in alive and self._wall() - written > _GRACE:
                raise _GarbledError(f"stale: job {row['job_id']} has ended; is the epilog missing?")
            name = row["uuid"] or row["index"] or path.name.removesuffix(".json")
            if instance := _INSTANCE.match(name):
                gpu = devices.find(instance[1])
                place = devices.find(f"nvidia{gpu.gpu.minor or gpu.gpu.gpu}/gi{instance[2]}") if gpu else None
            else:
                place = devices.find(name)
            if place is None:
                reason = "unknown_index" if name.isdecimal() else "unknown_id"
                unmatched.add(reason if devices else "no_gpu_list")
                continue
            found.append(
                Holding(
                    place.gpu,
                    place.mig_uuid,
                    SCHEDULER,
                    row["job_id"],
                    user=row["user"],
                    partition=row["partition"],
                    stage=row["stage"],
                )
            )
        return found


def _counts(path: Path) -> bool:
    return not path.name.startswith(".") and not path.name.endswith((".tmp", "~")) and path.is_file()


def _row(line: str) -> dict[str, str]:
    """The fields of a line, all of them text; empty where not given."""
    given: Any = {"job_id": line.split(maxsplit=1)[0]}
    if line.startswith("{"):
        try:
            given = json.loads(line)
        except (ValueError, RecursionError):
            raise _GarbledError("is no JSON object") from None
    row = {}
    for key in ("job_id", "user", "partition", "stage", "uuid", "index"):
        value = given.get(key, "")
        if isinstance(value, bool) or not isinstance(value, str | int):
            raise _GarbledError(f"{key} is neither text nor a number")
        try:
            row[key] = str(value)
        except ValueError:  # more digits than Python turns into text
            raise _GarbledError(f"{key} is too long") from None
    if not _JOB_ID.match(row["job_id"]):
        raise _GarbledError(f"{row['job_id'][:40]!r} is no job number")
    return row
