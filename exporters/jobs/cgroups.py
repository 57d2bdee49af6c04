"""Slurm without asking Slurm: the jobs whose processes run on GPUs, by their cgroups.

CUDA_VISIBLE_DEVICES is never looked at: inside a job its numbers count from 0, whichever GPUs the job has.
"""

from __future__ import annotations

import os
import pwd
import re
from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path

from exporters.jobs.holding import Holding, Unmatched
from exporters.jobs.identity import Devices, Place

SCHEDULER = "slurm"
_JOB = re.compile(r"^job_(\d{1,20})$")
_SLUID = re.compile(r"^s[0-9A-Z]{10,16}$")
"""Slurm's own id of a job, which names its cgroup from 26.05 on."""
_ENVIRONMENT = re.compile(rb"(?:^|\0)SLURM_JOB_ID=(\d{1,20})(?:\0|$)")
_DEVICE_FILE = re.compile(r"^c 195:(\d{1,3}) ", re.MULTILINE)
"""Major number of /dev/nvidiaN; numbers from 254 on are no GPUs (nvidiactl, modeset)."""
_NOT_A_GPU = 254
_DEEPEST = 3

Processes = Callable[[], Mapping[int, Collection[str]]]
"""What the driver knows of processes on GPUs: process id to the UUIDs of its GPUs or parts of them."""


class Cgroups:
    """Jobs by cgroup: `job_N` below a directory of Slurm's (both versions of cgroups), or Slurm's own id.

    Sees a job's GPUs while its processes use them, and with cgroup v1 also those that it leaves idle: there
    the devices a job may open can be read. `sluids` turns Slurm's ids into job numbers.
    """

    def __init__(
        self,
        processes: Processes,
        cgroups: Path = Path("/sys/fs/cgroup"),
        proc: Path = Path("/proc"),
        sluids: Callable[[], Mapping[str, str]] = dict,
    ) -> None:
        self._processes, self._cgroups, self._proc, self._sluids = processes, cgroups, proc, sluids
        self._homes: list[Path] = []

    def jobs(self) -> frozenset[str] | None:
        """Every job on this node by the name of its directory; None where Slurm keeps no cgroups."""
        found = frozenset(path.name for path in self._directories())
        return found if self._homes else None

    def _directories(self) -> list[Path]:
        """Directories of jobs; with cgroup v1 a job has one for each controller."""
        if not self._homes or not all(home.is_dir() for home in self._homes):
            self._homes = list(_slurm_homes(self._cgroups, _DEEPEST))
        found = []
        for home in self._homes:
            for entry in _entries(home):
                below = _entries(entry) if entry.name.startswith("uid_") else [entry]
                found += [path for path in below if _job_name(path.name)]
        return found

    def job_ids(self) -> set[str] | None:
        """Numbers of the jobs on this node; None where they cannot be told for all of them."""
        names = self.jobs()
        if names is None:
            return None
        ids = {self._number(name) for name in names}
        return None if "" in ids else ids

    def holdings(self, devices: Devices, unmatched: Unmatched) -> list[Holding]:
        """GPUs that jobs may open (cgroup v1) or use."""
        found: dict[tuple[str, str, str], Holding] = {}
        for holding in (*self._permitted(devices), *self._in_use(devices, unmatched)):
            key = (holding.gpu.uuid, holding.mig_uuid, holding.job_id)
            found.setdefault(key, holding)
        return list(found.values())

    def _permitted(self, devices: Devices) -> Iterator[Holding]:
        for path in self._directories():
            for minor in _DEVICE_FILE.findall(_text(path / "devices.list")):
                gpu = devices.by_minor(int(minor)) if int(minor) < _NOT_A_GPU else None
                if gpu is not None and not gpu.mig:
                    user = self._user(path.parent.name.removeprefix("uid_"))
                    yield _holding(Place(gpu), self._number(path.name) or path.name, user)

    def _in_use(self, devices: Devices, unmatched: Unmatched) -> Iterator[Holding]:
        unknown: set[tuple[str, str]] = set()
        for process, uuids in sorted(self._processes().items()):
            job_id = self._job_of(process)
            for uuid in sorted(uuids) if job_id else ():
                place = devices.find(uuid)
                if place is None:
                    unknown.add((job_id, uuid))
                else:
                    yield _holding(place, job_id, self._owner(process))
        unmatched.add("unknown_id" if devices else "no_gpu_list", len(unknown))

    def _job_of(self, process: int) -> str:
        """Number of the job a process belongs to; empty where it belongs to none."""
        name = ""
        for line in _text(self._proc / str(process) / "cgroup").splitlines():
            parts = line.rpartition(":")[2].split("/")
            below = [part for at, part in enumerate(parts) if any("slurm" in above for above in parts[:at])]
            name = next((part for part in below if _job_name(part)), name)
        told = self._number(name)
        # An environment can be forged or lost: it is asked last.
        return told or self._environment(process) or name

    def _number(self, name: str) -> str:
        match = _JOB.match(name)
        return match[1] if match else self._sluids().get(name, "")

    def _environment(self, process: int) -> str:
        try:
            found = _ENVIRONMENT.search((self._proc / str(process) / "environ").read_bytes())
        except OSError:
            return ""
        return found[1].decode("ascii") if found else ""

    def _owner(self, process: int) -> str:
        try:
            return self._user(str((self._proc / str(process)).stat().st_uid))
        except OSError:
            return ""

    def _user(self, number: str) -> str:
        """Name of a user; the number itself where the host's accounts are not ours to read."""
        if not number.isdecimal():
            return ""
        if self._proc != Path("/proc"):
            return number
        try:
            return pwd.getpwuid(int(number)).pw_name
        except (KeyError, OverflowError):
            return number


def _holding(place: Place, job_id: str, user: str) -> Holding:
    return Holding(place.gpu, place.mig_uuid, SCHEDULER, job_id, user=user)


def _job_name(name: str) -> bool:
    return bool(_JOB.match(name) or _SLUID.match(name))


def _slurm_homes(path: Path, depth: int) -> Iterator[Path]:
    """Directories of Slurm's in a cgroup tree; an administrator may have moved them to another slice."""
    for entry in _entries(path):
        if re.match(r"^(slurm(_.*)?|(.*_)?slurmstepd\.scope)$", entry.name):
            yield entry
        elif depth > 1:
            yield from _slurm_homes(entry, depth - 1)


def _entries(path: Path) -> list[Path]:
    try:
        with os.scandir(path) as entries:
            return sorted(path / e.name for e in entries if e.is_dir(follow_symlinks=False))
    except OSError:
        return []


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
