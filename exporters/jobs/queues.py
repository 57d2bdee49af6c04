"""Queues for GPUs: pods of a Kubernetes cluster, jobs of a Slurm cluster. Asked once per site."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator, Mapping

from exporters.jobs.command import output
from exporters.jobs.kube_api import KubeApi
from exporters.jobs.kueue import Kueue, Workload, uses_kueue, waited_before, without_pods
from exporters.jobs.pods import Pod, list_pods
from exporters.jobs.queue_settings import KubernetesQueueSection, SlurmQueueSection
from exporters.jobs.slurm import can_ask, job_rows
from exporters.jobs.squeue_queue import FORMAT, STATES, row_of, work_of
from exporters.jobs.stages import stage_of_pod
from exporters.jobs.waiting import Waiting, Work
from exporters.runtime.source import SourceError
from gigawatch.readings import Reading


class KubernetesQueue:
    """Pods that ask for GPUs. A job is a pod, `namespace/pod` as the node agent says it; among those that
    wait, pods of one gang count as one job.

    A pod waits from its creation until it is given its node: from then on the GPUs are its own, and pulling
    its image is its own time. The time until Kueue admitted its job comes on top. What Kueue has not admitted
    waits too, with or without pods, but is not the oldest: it is its quota that is used up.
    """

    name = "kubernetes_queue"

    def __init__(
        self,
        interval: float,
        section: KubernetesQueueSection,
        environment: Mapping[str, str],
        deadline: float = 25.0,
        wall: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.interval, self.deadline, self._section = interval, deadline, section
        each = 0.9 * deadline / max(2 * len(section.namespaces), 2)  # lists of pods and of workloads
        self._api = KubeApi(section.api, environment, each)
        self._kueue = Kueue(self._api, section.resources, monotonic) if section.kueue else None
        self._waiting = Waiting("kubernetes", wall, monotonic)

    @property
    def present(self) -> bool:
        """Whether there is a cluster to ask."""
        return self._api.present

    def read(self) -> Iterator[Reading]:
        pods, workloads, failure = asyncio.run(self._listed())
        works = [*pod_works(pods, waited_before(workloads, pods)), *without_pods(workloads, pods)]
        yield from self._waiting.readings(works)
        if failure is not None:
            raise failure

    async def _listed(self) -> tuple[list[Pod], list[Workload], SourceError | None]:
        """Pods, and what Kueue tells; its failure leaves the pods as they are."""
        section = self._section
        pods = await list_pods(
            self._api,
            section.namespaces,
            section.selector,
            resources=section.resources,
            keep=lambda pod: pod.gpus > 0 and not pod.ending,
        )
        if self._kueue is None:
            return pods, [], None
        try:
            return pods, await self._kueue.workloads(section.namespaces, uses_kueue(pods)), None
        except SourceError as error:
            return pods, [], error


def pod_works(pods: list[Pod], before: Mapping[tuple[str, str], float]) -> Iterator[Work]:
    """Pods as work; `before` says how long their jobs had waited before there were pods."""
    gangs: set[tuple[str, str]] = set()
    for pod in pods:
        waits, gang = pod.scheduled is None, (pod.namespace, pod.group)
        further = waits and bool(pod.group) and gang in gangs
        if waits and pod.group:
            gangs.add(gang)
        yield Work(
            f"{pod.namespace}/{pod.name}",
            pod.namespace,
            user="",
            partition="",
            stage=stage_of_pod(pod.labels, pod.annotations),
            gpus=pod.gpus,
            since=pod.created - before.get((pod.namespace, pod.name), 0.0) if pod.created else None,
            start=pod.scheduled,
            held=pod.gated,
            jobs=0 if further else 1,
        )


class SlurmQueue:
    """Jobs that ask for GPUs, from squeue: one request to the controller for each reading."""

    name = "slurm_queue"

    def __init__(
        self,
        interval: float,
        section: SlurmQueueSection,
        deadline: float = 25.0,
        wall: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.interval, self.deadline, self._section = interval, deadline, section
        self._waiting = Waiting("slurm", wall, monotonic)
        self._monotonic = monotonic
        self._columns = False

    @property
    def present(self) -> bool:
        """Whether there is a cluster to ask."""
        return can_ask(self._section.squeue)

    def read(self) -> Iterator[Reading]:
        works = None
        if not self._columns:
            try:
                works = list(self._from_json())
            except SourceError as error:
                if not _without_json(error):
                    raise
                self._columns = True
        yield from self._waiting.readings(self._from_columns() if works is None else works)

    def _from_json(self) -> Iterator[Work]:
        arguments = [self._section.squeue, "--json", "--all", f"--states={STATES}"]
        for row in job_rows(arguments, self._output(arguments)):
            if work := work_of(row, self._section.partitions):
                yield work

    def _from_columns(self) -> list[Work]:
        arguments = [self._section.squeue, "--noheader", "--array", "--all", f"--states={STATES}"]
        lines = "".join(self._output([*arguments, f"--Format={FORMAT}"])).splitlines()
        return [work for line in lines if (work := work_of(row_of(line), self._section.partitions))]

    def _output(self, arguments: list[str]) -> Iterator[str]:
        # Times as Unix seconds; the elements of an array in full, however many.
        form = {"SLURM_TIME_FORMAT": "%s", "SLURM_BITSTR_LEN": "0"}
        return output(arguments, 0.4 * self.deadline, form, self._monotonic)


def _without_json(error: SourceError) -> bool:
    """Whether squeue refused because it was built without JSON, or is older than that."""
    words = str(error).lower()
    return error.kind == "exit_status" and ("json" in words or "unrecognized option" in words)
