"""Who waits for GPUs, and how long those waited who have them, as readings."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

from exporters.jobs.holding import clean
from gigawatch.catalogue import workload
from gigawatch.readings import Reading

_REMEMBERED = 3600.0
"""Seconds for which an empty queue is still told of as empty."""
_MOST_QUEUES = 4096


class Work(NamedTuple):
    """A job, or a part of one that Kubernetes or Slurm handles by itself; times are Unix seconds.

    `jobs`: how many it stands for (elements of an array; 0 for the further pods of a gang). `since`: when it
    began to wait. `start`: when it was given its GPUs, None while it waits. `held`: it cannot start, however
    many GPUs are free.
    """

    job_id: str
    namespace: str
    user: str
    partition: str
    stage: str
    gpus: int
    since: float | None
    start: float | None = None
    held: bool = False
    jobs: int = 1

    @property
    def queue(self) -> Queue:
        """The queue it stands in."""
        return (clean(self.namespace), clean(self.partition), self.stage)


Queue = tuple[str, str, str]
"""Namespace, partition, stage."""


class Waiting:
    """Keeps in mind which queues there were, so that an empty one reads 0 rather than nothing."""

    def __init__(self, scheduler: str, wall: Callable[[], float], monotonic: Callable[[], float]) -> None:
        self._scheduler, self._wall, self._monotonic = scheduler, wall, monotonic
        self._seen: dict[Queue, float] = {}

    def readings(self, works: Iterable[Work]) -> Iterator[Reading]:
        """Of all jobs that hold GPUs or wait for some."""
        jobs: dict[Queue, int] = {}
        gpus: dict[Queue, int] = {}
        oldest: dict[Queue, float] = {}
        now, told = self._wall(), dict[tuple[str, ...], float]()
        for work in works:
            queue = work.queue
            self._seen[queue] = self._monotonic()
            if work.start is not None:
                yield from self._holder(work, told)
                continue
            jobs[queue] = jobs.get(queue, 0) + work.jobs
            gpus[queue] = gpus.get(queue, 0) + work.gpus
            if not work.held and work.since is not None:
                oldest[queue] = max(oldest.get(queue, 0.0), now - work.since)
        for labels, seconds in told.items():
            yield Reading(workload.JOB_QUEUE_TIME, labels, seconds)
        for queue in self._queues():
            labels = (self._scheduler, *queue)
            yield Reading(workload.JOBS_PENDING, labels, float(jobs.get(queue, 0)))
            yield Reading(workload.GPUS_PENDING, labels, float(gpus.get(queue, 0)))
            if queue in oldest:
                yield Reading(workload.OLDEST_PENDING, labels, oldest[queue])

    def _holder(self, work: Work, told: dict[tuple[str, ...], float]) -> Iterator[Reading]:
        job_id = clean(work.job_id)
        if work.stage:
            yield Reading(workload.JOB_STAGE_INFO, (self._scheduler, job_id, work.stage), 1.0)
        if work.since is not None and work.start is not None:
            namespace, partition, stage = work.queue
            labels = (self._scheduler, job_id, namespace, clean(work.user), partition, stage)
            told[labels] = max(work.start - work.since, 0.0)

    def _queues(self) -> Iterable[Queue]:
        """Those of the last hour; where there was none, one without a name says that the queue is empty."""
        latest = self._monotonic()
        newest = sorted(self._seen.items(), key=lambda item: -item[1])[:_MOST_QUEUES]
        self._seen = {queue: at for queue, at in newest if latest - at <= _REMEMBERED}
        return sorted(self._seen) or [("", "", "")]
