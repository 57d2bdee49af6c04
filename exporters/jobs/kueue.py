"""Jobs that Kueue has not admitted: most have no pods yet, so the list of pods says nothing of them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from exporters.jobs.kube_api import KubeApi
from exporters.jobs.pods import Pod, gpus_of, map_of, rows_of, text, texts_of, time_of
from exporters.jobs.stages import stage_of_pod
from exporters.jobs.waiting import Work
from exporters.runtime.source import SourceError

QUEUE = "kueue.x-k8s.io/queue-name"
_GROUP = "kueue.x-k8s.io/pod-group-name"
_VERSIONS = ("v1beta1", "v1beta2")
_ASK_AGAIN = 600.0
"""Seconds until a cluster without Kueue is asked anew."""
_MOST_PODS = 1 << 16


class Workload(NamedTuple):
    """A job in a queue of Kueue's. `owners` are the ids and names of what it stands for, `begun` whether it
    ran before and was put back: since when it waits then is not known."""

    namespace: str
    name: str
    owners: frozenset[str]
    created: float | None
    admitted: float | None
    gpus: int
    stage: str
    waits: bool
    begun: bool


class Kueue:
    """Asks for workloads, and remembers where there are none to be had."""

    def __init__(self, api: KubeApi, resources: Sequence[str], monotonic: Callable[[], float]) -> None:
        self._api, self._resources, self._monotonic = api, resources, monotonic
        self._absent_until = 0.0

    async def workloads(self, namespaces: Sequence[str], used: bool) -> list[Workload]:
        """Workloads of these namespaces. `used`: pods bear marks of Kueue, so a refusal tells of a missing
        right; else it may only mean that there is no such list. Raises SourceError."""
        if self._monotonic() < self._absent_until:
            return []
        for version in _VERSIONS:
            try:
                return await self._listed(version, namespaces)
            except SourceError as error:
                if error.kind != "not_found" and (error.kind != "permission" or used):
                    raise
        self._absent_until = self._monotonic() + _ASK_AGAIN
        return []

    async def _listed(self, version: str, namespaces: Sequence[str]) -> list[Workload]:
        found: dict[tuple[str, str], Workload] = {}

        def take(row: object) -> None:
            one = parse_workload(row, self._resources)
            if one is not None and one.gpus:
                found[one.namespace, one.name] = one

        for namespace in namespaces or ("",):
            inside = f"namespaces/{namespace}/" if namespace else ""
            await self._api.each(f"/apis/kueue.x-k8s.io/{version}/{inside}workloads", take)
        return list(found.values())


def parse_workload(item: object, resources: Sequence[str]) -> Workload | None:
    """One row of a list of workloads; None for what is none. Never raises."""
    metadata, spec, status = (map_of(map_of(item).get(key)) for key in ("metadata", "spec", "status"))
    namespace, name = text(metadata.get("namespace")), text(metadata.get("name"))
    if not namespace or not name:
        return None
    references = rows_of(metadata.get("ownerReferences"))
    owners = {text(owner.get(key)) for owner in references for key in ("uid", "name")}
    conditions = rows_of(status.get("conditions"))
    known = {text(one.get("type")) for one in conditions}
    true = {text(one.get("type")): one for one in conditions if one.get("status") == "True"}
    sets = rows_of(spec.get("podSets"))
    return Workload(
        namespace,
        name,
        frozenset(owners - {""}),
        time_of(metadata.get("creationTimestamp")),
        time_of(true.get("Admitted", {}).get("lastTransitionTime")),
        sum(_gpus(one, resources) for one in sets),
        next((stage for one in sets if (stage := _stage(one))), _stage_of(metadata)),
        waits=not true.keys() & {"QuotaReserved", "Admitted", "Finished"} and spec.get("active") is not False,
        begun=bool(known & {"Evicted", "Preempted", "Requeued"}),
    )


def _gpus(pod_set: Mapping[str, Any], resources: Sequence[str]) -> int:
    count = pod_set.get("count", 1)
    if not isinstance(count, int) or not 0 < count <= _MOST_PODS:
        return 0
    return count * gpus_of(map_of(map_of(pod_set.get("template")).get("spec")), resources)


def _stage(pod_set: Mapping[str, Any]) -> str:
    return _stage_of(map_of(map_of(pod_set.get("template")).get("metadata")))


def _stage_of(metadata: Mapping[str, Any]) -> str:
    return stage_of_pod(texts_of(metadata.get("labels")), texts_of(metadata.get("annotations")))


def uses_kueue(pods: Collection[Pod]) -> bool:
    """Whether any pod came through Kueue."""
    return any(QUEUE in pod.labels or pod.gated for pod in pods)


def without_pods(workloads: Collection[Workload], pods: Collection[Pod]) -> Iterator[Work]:
    """Workloads that wait and have no pods to be counted by. Their quota is used up: none is the oldest."""
    known = {(pod.namespace, mark) for pod in pods for mark in _marks(pod)}
    for one in workloads:
        if one.waits and not any((one.namespace, mark) in known for mark in (one.name, *one.owners)):
            yield Work(
                f"{one.namespace}/{one.name}",
                one.namespace,
                "",
                "",
                one.stage,
                one.gpus,
                one.created,
                held=True,
            )


def waited_before(workloads: Collection[Workload], pods: Collection[Pod]) -> dict[tuple[str, str], float]:
    """Seconds for which the jobs of these pods waited before they could make them, by namespace and name of
    the pod: Kueue lets most jobs make their pods only once it has admitted them."""
    admitted: dict[tuple[str, str], Workload] = {}
    for one in workloads:
        if not one.begun:
            admitted |= {(one.namespace, mark): one for mark in (one.name, *one.owners)}
    found = {}
    for pod in pods:
        for mark in _marks(pod):
            job = admitted.get((pod.namespace, mark))
            if job is None or job.created is None or job.admitted is None or pod.created is None:
                continue
            if job.created <= job.admitted <= pod.created:
                found[pod.namespace, pod.name] = job.admitted - job.created
    return found


def _marks(pod: Pod) -> set[str]:
    """Ids and names by which a workload may be that of a pod."""
    return {pod.uid, pod.owner_uid, pod.group, pod.labels.get(_GROUP, "")} - {""}
