"""Slurm: which job holds which GPU, from the best witness there is.

squeue knows every job and its GPUs, idle ones included. Where it does not answer, the files of a prolog do,
and then the cgroups of the processes on the GPUs. A lower witness never contradicts a higher one about a GPU.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from exporters.jobs.cgroups import SCHEDULER, Cgroups, Processes
from exporters.jobs.holding import Holding, Unmatched, readings
from exporters.jobs.identity import Devices, Gpus
from exporters.jobs.prolog import Prolog
from exporters.jobs.slurm import Squeue, can_ask
from exporters.jobs.squeue import Job
from exporters.jobs.stages import stage, stage_of_job
from exporters.runtime.source import SourceError
from exporters.sections import SlurmSection
from gigawatch.readings import Reading

_AT_LEAST_EVERY = 10
"""Reads after which squeue is asked again though no job came or went."""


class SlurmSource:
    """Jobs and their GPUs. The series' job is Slurm's job number: that of the element in an array, that of
    the component in a heterogeneous job. Slurm's account stands in no label.

    While the cgroups on this node are those of the jobs that squeue named, squeue is not asked anew: twice a
    minute from every node is a burden to the controller of a large cluster.
    """

    name = "slurm"

    def __init__(
        self,
        interval: float,
        gpus: Gpus,
        processes: Processes,
        section: SlurmSection,
        root: Path = Path("/"),
        deadline: float = 15.0,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self.interval, self.deadline = interval, deadline
        self._gpus, self._command, self._partitions = gpus, section.squeue, section.partitions
        self._squeue = Squeue(section.squeue, section.node, 0.6 * deadline)
        self._root, proc = root, root / "proc"
        self._sluids: dict[str, str] = {}
        self._cgroups = Cgroups(
            processes, root / str(section.cgroups).lstrip("/"), proc, lambda: self._sluids
        )
        self._prolog = Prolog(section.jobs, lambda: _booted(proc), wall) if section.jobs else None
        self._known: tuple[frozenset[str], list[Job]] | None = None
        self._reads_since = 0

    @property
    def present(self) -> bool:
        """Whether this node shows any sign of Slurm: the command alone may lie about on any host."""
        return (
            can_ask(self._command, self._root)
            or (self._prolog is not None and self._prolog.present)
            or self._cgroups.jobs() is not None
        )

    def read(self) -> Iterator[Reading]:
        devices, unmatched, problems = Devices(self._gpus()), Unmatched(SCHEDULER), list[str]()
        failure: SourceError | None = None
        try:
            jobs = self._jobs()
        except SourceError as error:
            failure = error
            found, witnessed = self._witnesses(devices, unmatched, problems, self._cgroups.job_ids())
            if error.kind == "not_found" and witnessed:
                failure = None  # squeue need not be installed on a node
        else:
            found = self._told(jobs, devices, unmatched, problems)
        yield from readings((self._staged(one) for one in found), unmatched)
        if failure is not None:
            raise failure
        if problems:
            more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
            raise SourceError("parse", problems[0] + more)

    def _staged(self, holding: Holding) -> Holding:
        """A holding whose job named no stage, with that of its partition."""
        return holding._replace(
            stage=stage(holding.stage) or stage_of_job("", holding.partition, self._partitions)
        )

    def _jobs(self) -> list[Job]:
        """Jobs on this node, from squeue or as it told last."""
        present = self._cgroups.jobs()
        self._reads_since += 1
        if self._known and self._known[0] == present and self._reads_since < _AT_LEAST_EVERY:
            return self._known[1]
        self._known = None
        jobs = self._squeue.jobs()
        self._sluids = {job.sluid: job.job_id for job in jobs if job.sluid}
        if present is not None and self._cgroups.job_ids() == {job.job_id for job in jobs}:
            self._known, self._reads_since = (present, jobs), 0
        return jobs

    def _told(
        self, jobs: list[Job], devices: Devices, unmatched: Unmatched, problems: list[str]
    ) -> list[Holding]:
        """squeue's word; for devices that it names in no way that can be followed, the other witnesses'."""
        found: list[Holding] = []
        open_questions: dict[str, tuple[Job, int]] = {}
        for job in jobs:
            untold = job.untold
            for index in job.indices:
                # With MIG, Slurm numbers parts and whole GPUs alike: the number tells nothing.
                gpu = None if devices.cut_up else devices.by_minor(index)
                if gpu is not None:
                    found.append(_of(job, Holding(gpu, "", SCHEDULER, job.job_id)))
                elif devices.cut_up:
                    untold += 1
                else:
                    unmatched.add("unknown_index" if devices else "no_gpu_list")
            if untold:
                open_questions[job.job_id] = (job, untold)
        if open_questions:
            others, _ = self._witnesses(devices, Unmatched(SCHEDULER), problems, {job.job_id for job in jobs})
            taken = {(one.gpu.uuid, one.mig_uuid) for one in found}
            for job, untold in open_questions.values():
                answers = [
                    _of(job, one)
                    for one in others
                    if one.job_id == job.job_id and (one.gpu.uuid, one.mig_uuid) not in taken
                ]
                found += answers
                if len(answers) < untold:
                    unmatched.add("unknown_index" if devices else "no_gpu_list", untold - len(answers))
        return found

    def _witnesses(
        self, devices: Devices, unmatched: Unmatched, problems: list[str], alive: set[str] | None
    ) -> tuple[list[Holding], bool]:
        """What prolog and cgroups say, and whether there is either."""
        found: list[Holding] = []
        prolog = self._prolog
        if prolog is not None and prolog.present:
            found = prolog.holdings(devices, unmatched, alive, problems)
        found += _further(found, self._cgroups.holdings(devices, unmatched))
        return found, (prolog is not None and prolog.present) or self._cgroups.jobs() is not None


def _further(found: list[Holding], others: Iterable[Holding]) -> list[Holding]:
    """Of `others`, those on GPUs that nothing in `found` speaks of."""
    taken = {one.gpu.uuid for one in found}
    return [one for one in others if one.gpu.uuid not in taken]


def _of(job: Job, holding: Holding) -> Holding:
    """A holding, with what squeue knows of its job."""
    return holding._replace(user=job.user, partition=job.partition, stage=job.stage or holding.stage)


def _booted(proc: Path) -> float:
    """Unix time at which the host was started; 0 where the kernel does not tell."""
    try:
        lines = (proc / "stat").read_text(encoding="ascii", errors="replace").splitlines()
    except OSError:
        return 0.0
    for line in lines:
        key, _, value = line.partition(" ")
        if key == "btime" and value.isdecimal():
            return float(value)
    return 0.0
