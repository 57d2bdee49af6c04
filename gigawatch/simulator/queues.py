"""Who waits for GPUs: what the site's schedulers would tell of jobs that run and of jobs that do not yet.

The plant's own jobs run for ever. Those that wait come, wait for a while and are withdrawn: drawn from the
seed and their number alone, so that any moment can be asked for.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from gigawatch.catalogue import workload
from gigawatch.readings import Reading
from gigawatch.simulator.identity import digest
from gigawatch.simulator.jobs import Job
from gigawatch.simulator.layout import Layout

SCHEDULER = {"training": "slurm", "inference": "kubernetes"}
SPACING = 900.0
"""Mean seconds between two jobs that one queue gets."""
LONGEST = 5400.0
"""Seconds after which everybody has given up."""
_Pool = tuple[str, str, str]
"""Scheduler, namespace, stage: those that wait for the same."""


def readings(layout: Layout, now: float) -> Iterator[Reading]:
    """Stages and queue times of jobs that run, and the queues; who waits wants more GPUs than are free."""
    seed, free = layout.seed, int(layout.group_gpus[0])
    held = [job for job in layout.jobs if job.kind in SCHEDULER]
    for job in held:
        scheduler = SCHEDULER[job.kind]
        yield Reading(workload.JOB_STAGE_INFO, (scheduler, job.name, job.stage), 1.0)
        waited = 60.0 if scheduler == "kubernetes" else 600.0
        waited = round(waited * math.exp(2.5 * _part(seed, "waited", job.name)))
        labels = (scheduler, job.name, job.namespace, job.user, "", job.stage)
        yield Reading(workload.JOB_QUEUE_TIME, labels, float(waited))
    for pool in _pools(held):
        waiting = list(_waiting(pool, free, seed, now))
        scheduler, namespace, stage = pool
        mine = (scheduler, namespace, "", stage)
        yield Reading(workload.JOBS_PENDING, mine, float(len(waiting)))
        yield Reading(workload.GPUS_PENDING, mine, float(sum(gpus for _, gpus in waiting)))
        oldest = max((now - submitted for submitted, _ in waiting), default=0.0)
        yield Reading(workload.OLDEST_PENDING, mine, float(round(oldest)))


def _pools(jobs: Sequence[Job]) -> list[_Pool]:
    """Every queue that the jobs came from, and one for preparing the data of each that trains."""
    pools = {(SCHEDULER[job.kind], job.namespace, job.stage) for job in jobs}
    pools |= {
        (SCHEDULER[job.kind], job.namespace, "data_preparation") for job in jobs if job.kind == "training"
    }
    return sorted(pools)


def _waiting(pool: _Pool, free: int, seed: int, now: float) -> Iterator[tuple[float, int]]:
    """Jobs that wait at a moment: when they were submitted, and for how many GPUs."""
    last = math.floor(now / SPACING)
    for number in range(last - math.ceil(LONGEST / SPACING) - 1, last + 1):
        submitted = SPACING * (number + _part(seed, "at", *pool, number))
        patience = LONGEST * _part(seed, "patience", *pool, number) ** 3
        if submitted <= now < submitted + patience:
            yield submitted, free + 2 ** math.floor(1 + 4 * _part(seed, "gpus", *pool, number))


def _part(seed: int, *what: object) -> float:
    """A number from 0 to 1 that depends on these and on nothing else."""
    return int.from_bytes(digest(seed, "queue", *what)[:6]) / 2**48
