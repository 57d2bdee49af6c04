"""Pods, as the Kubernetes API tells of them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from fnmatch import fnmatchcase
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # what a pod is costs nothing; who asks for them needs aiohttp
    from exporters.jobs.kube_api import KubeApi

GPU_RESOURCES = ("nvidia.com/gpu*", "nvidia.com/mig-*")
"""Globs of resource names that mean a GPU, or a part of one."""
ALIVE = "status.phase!=Succeeded,status.phase!=Failed"
"""Field selector of pods that have not ended."""
_GROUPS = (
    "leaderworkerset.sigs.k8s.io/group-key", "ray.io/cluster", "jobset.sigs.k8s.io/jobset-name",
    "training.kubeflow.org/job-name", "batch.kubernetes.io/job-name", "job-name",
)  # fmt: skip
"""Labels that pods of one engine or job have in common, the surest first."""
_QUANTITY = re.compile(r"^([0-9]{1,6})(k?)$")
_MOST_GPUS = 4096
"""GPUs of one pod; more is damage."""
_LONGEST = 253
"""Characters of a name in Kubernetes."""
_LONGEST_NOTE = 1024
"""Characters of an annotation's value; longer ones hold whole manifests."""
_MOST = 256
"""Labels, annotations, containers, ports of a pod."""
_LATEST = 7258118400.0
"""The year 2200: a later time is damage."""


@dataclass(frozen=True)
class Pod:
    """A pod. Times are Unix seconds, None while it has not come that far; texts are empty where unknown.

    `scheduled`: when it was given its node, and with it its GPUs. `started`: when the first of the containers
    that run now began. `gpus`: devices asked for, a MIG part counts as one. `owner`: kind and name of its
    controller, `owner_uid` that controller's id. `group`: what joins it with the other pods of one engine or
    job, within its namespace. `gated`: held back by whoever admits it (Kueue). `ending`: being deleted.
    """

    namespace: str
    name: str
    uid: str = ""
    node: str = ""
    ip: str = ""
    phase: str = ""
    ready: bool = False
    labels: Mapping[str, str] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)
    ports: tuple[tuple[str, int], ...] = ()
    created: float | None = None
    scheduled: float | None = None
    started: float | None = None
    gpus: int = 0
    owner: str = ""
    group: str = ""
    gated: bool = False
    owner_uid: str = ""
    ending: bool = False


async def list_pods(
    api: KubeApi,
    namespaces: Sequence[str] = (),
    selector: str = "",
    fields: str = ALIVE,
    resources: Sequence[str] = GPU_RESOURCES,
    keep: Callable[[Pod], bool] = lambda _: True,
) -> list[Pod]:
    """Pods of these namespaces, of all where none is named; of each only those that `keep` takes are held.

    Raises SourceError (see KubeApi.each).
    """
    found: dict[tuple[str, str], Pod] = {}

    def take(row: object) -> None:
        pod = parse_pod(row, resources)
        if pod is not None and keep(pod):
            found[pod.namespace, pod.name] = pod

    for namespace in namespaces or ("",):
        place = f"/api/v1/namespaces/{namespace}/pods" if namespace else "/api/v1/pods"
        await api.each(place, take, selector, fields)
    return list(found.values())


def parse_pod(item: object, resources: Sequence[str] = GPU_RESOURCES) -> Pod | None:
    """One row of a list of pods; None for what is none. Never raises."""
    metadata, spec, status = (map_of(map_of(item).get(key)) for key in ("metadata", "spec", "status"))
    namespace, name = text(metadata.get("namespace")), text(metadata.get("name"))
    if not namespace or not name:
        return None
    labels = texts_of(metadata.get("labels"))
    owner = next((o for o in rows_of(metadata.get("ownerReferences")) if o.get("controller") is True), {})
    conditions = {text(one.get("type")): one for one in rows_of(status.get("conditions"))}
    return Pod(
        namespace,
        name,
        uid=text(metadata.get("uid")),
        node=text(spec.get("nodeName")),
        ip=_address(status.get("podIP")),
        phase=text(status.get("phase")),
        ready=_true(conditions.get("Ready")),
        labels=labels,
        annotations=texts_of(metadata.get("annotations")),
        ports=tuple(dict.fromkeys(_ports(spec))),
        created=time_of(metadata.get("creationTimestamp")),
        scheduled=_scheduled(conditions.get("PodScheduled"), status),
        started=_started(status),
        gpus=gpus_of(spec, resources),
        owner="/".join(filter(None, (text(owner.get("kind")), text(owner.get("name"))))),
        group=next((labels[key] for key in _GROUPS if labels.get(key)), ""),
        gated=bool(rows_of(spec.get("schedulingGates"))),
        owner_uid=text(owner.get("uid")),
        ending="deletionTimestamp" in metadata,
    )


def gpus_of(spec: Mapping[str, Any], resources: Sequence[str] = GPU_RESOURCES) -> int:
    """GPUs that a pod of this specification asks for, as Kubernetes counts: containers that run at the same
    time add up, initial containers run one after another. Claims (DRA) are not among them."""
    together = sum(_asked(one, resources) for one in rows_of(spec.get("containers")))
    sidecars = most = 0
    for one in rows_of(spec.get("initContainers")):
        asked = _asked(one, resources)
        if one.get("restartPolicy") == "Always":
            sidecars += asked
            most = max(most, sidecars)
        else:
            most = max(most, sidecars + asked)
    asked = max(together + sidecars, most)
    return asked if asked <= _MOST_GPUS else 0


def _asked(container: Mapping[str, Any], resources: Sequence[str]) -> int:
    """A device's limit is its request; either may stand alone."""
    given = map_of(container.get("resources"))
    limits, requests = map_of(given.get("limits")), map_of(given.get("requests"))
    names = [
        name for name in list({**limits, **requests})[:_MOST]
        if any(fnmatchcase(name, pattern) for pattern in resources)
    ]  # fmt: skip
    return sum(max(_quantity(limits.get(name)), _quantity(requests.get(name))) for name in names)


def _quantity(value: object) -> int:
    found = _QUANTITY.match(value) if isinstance(value, str) else None
    if found:
        return int(found[1]) * (1000 if found[2] else 1)
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else 0


def _ports(spec: Mapping[str, Any]) -> Iterator[tuple[str, int]]:
    for kind in ("containers", "initContainers"):
        for one in rows_of(spec.get(kind)):
            if kind == "initContainers" and one.get("restartPolicy") != "Always":
                continue
            for port in rows_of(one.get("ports")):
                number = port.get("containerPort")
                if (
                    isinstance(number, int)
                    and 0 < number < 65536
                    and not isinstance(number, bool)
                    and port.get("protocol", "TCP") == "TCP"
                ):
                    yield text(port.get("name")), number


def _scheduled(condition: Mapping[str, Any] | None, status: Mapping[str, Any]) -> float | None:
    """Pods that their kubelet made (static ones) go through no scheduler: its word counts for them."""
    if condition is not None and not _true(condition):
        return None
    told = time_of(condition.get("lastTransitionTime")) if condition is not None else None
    return told if told is not None else time_of(status.get("startTime"))


def _started(status: Mapping[str, Any]) -> float | None:
    states = (map_of(one.get("state")) for one in rows_of(status.get("containerStatuses")))
    times = (time_of(map_of(state.get("running")).get("startedAt")) for state in states)
    return min((time for time in times if time is not None), default=None)


def _address(value: object) -> str:
    """An IP address: others connect to it, so nothing else passes."""
    try:
        return str(ip_address(text(value)))
    except ValueError:
        return ""


def _true(condition: Mapping[str, Any] | None) -> bool:
    return condition is not None and condition.get("status") == "True"


def time_of(value: object) -> float | None:
    """A time as Kubernetes writes it (RFC 3339, in UTC); None for anything else."""
    if not isinstance(value, str) or len(value) > 40:
        return None
    try:
        when = datetime.fromisoformat(value)
        seconds = when.timestamp() if when.tzinfo is not None else 0.0
    except (ValueError, OverflowError):
        return None
    return seconds if 0 < seconds < _LATEST else None


def map_of(value: object) -> dict[str, Any]:
    """The object itself, empty for anything else."""
    return value if isinstance(value, dict) else {}


def rows_of(value: object) -> list[dict[str, Any]]:
    """The objects of a list, none for anything else."""
    return [row for row in value[:_MOST] if isinstance(row, dict)] if isinstance(value, list) else []


def text(value: object) -> str:
    """A name; empty for anything else."""
    return value if isinstance(value, str) and len(value) <= _LONGEST and value.isprintable() else ""


def texts_of(value: object) -> dict[str, str]:
    """Labels or annotations, without those that are very long; empty for anything else."""
    return {
        key: word for key, word in list(map_of(value).items())[:_MOST]
        if isinstance(word, str) and len(word) <= _LONGEST_NOTE
    }  # fmt: skip
