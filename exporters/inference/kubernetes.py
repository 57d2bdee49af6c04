"""Engines in pods: those that say so in annotations, and those that a selector of the settings picks."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from exporters.inference.access import OPEN, Access
from exporters.inference.discovery import MOST_TARGETS, Found
from exporters.inference.fetch import Fetcher
from exporters.inference.targets import Target, check_engine, check_path, check_word, dialect_named
from exporters.jobs.pods import Pod, list_pods

if TYPE_CHECKING:
    from exporters.jobs.kube_api import KubeApi

ENGINE, PORT, PATH, MODEL, SCHEME = (
    f"gigawatch.io/{name}" for name in ("engine", "port", "path", "model", "scheme")
)
"""Annotations of a pod. The first alone makes it an engine; it may be a label too."""
LWS_GROUP = "leaderworkerset.sigs.k8s.io/group-key"
LWS_INDEX = "leaderworkerset.sigs.k8s.io/worker-index"
RAY_CLUSTER, RAY_TYPE = "ray.io/cluster", "ray.io/node-type"
_POD_INDEX = "apps.kubernetes.io/pod-index"
_STARTING = 1800.0
"""Seconds that an engine may take to load its model."""
_MOST_PORTS = 16


@dataclass(frozen=True, slots=True)
class PodRule:
    """Pods that a label selector picks, and what their engines are. Annotations of a pod come first."""

    selector: str
    engine: str = ""
    port: str = ""
    path: str = ""
    model: str = ""


@dataclass(frozen=True, slots=True)
class KubernetesDiscovery:
    """Engines in the pods of a cluster: one list for each of the `rules`, and with `annotated` one of all
    running pods (of `namespaces`, all where empty)."""

    api: KubeApi
    every: float = 30.0
    namespaces: tuple[str, ...] = ()
    rules: tuple[PodRule, ...] = ()
    annotated: bool = True
    group_label: str = ""
    access: Access = OPEN
    clock: Callable[[], float] = field(default=time.time)

    @property
    def name(self) -> str:
        return "kubernetes_engines"

    async def find(self, fetcher: Fetcher) -> Found:  # noqa: ARG002 - the API has a client of its own
        pods: dict[tuple[str, str], Pod] = {}
        picked: dict[tuple[str, str], PodRule] = {}
        for rule in self.rules:
            for pod in await list_pods(self.api, self.namespaces, rule.selector):
                pods[pod.namespace, pod.name] = pod
                picked.setdefault((pod.namespace, pod.name), rule)
        if self.annotated:
            for pod in await list_pods(self.api, self.namespaces, keep=self._matters):
                pods[pod.namespace, pod.name] = pod
        return pod_targets(pods.values(), picked, self.group_label, self.access, self.clock())

    def _matters(self, pod: Pod) -> bool:
        return _says_so(pod) or bool(group_of(pod, self.group_label))


def pod_targets(
    pods: Iterable[Pod],
    picked: Mapping[tuple[str, str], PodRule],
    group_label: str = "",
    access: Access = OPEN,
    now: float = 0.0,
) -> Found:
    """The engines among these pods; a pod whose annotations make no sense is passed over. Never raises."""
    running = [pod for pod in pods if pod.phase == "Running" and pod.ip and not pod.ending]
    engines = {
        (pod.namespace, pod.name): pod
        for pod in running
        if (pod.namespace, pod.name) in picked or (_says_so(pod) and _annotation(pod, ENGINE) != "off")
    }
    groups: dict[str, list[Pod]] = {}
    for pod in running:
        group = group_of(pod, group_label)
        if group:
            groups.setdefault(group, []).append(pod)
    found = Found()
    for key, pod in sorted(engines.items()):
        mates = groups.get(group_of(pod, group_label), [pod])
        speakers = [mate for mate in mates if (mate.namespace, mate.name) in engines]
        if len(speakers) > 1:
            if _ray_alone(pod, group_label):
                mates = [pod]  # each node of the cluster tells its own share
            elif _leader(speakers) is not pod:
                continue
        try:
            rule = picked.get(key, PodRule(""))
            found.targets.extend(
                _targets(pod, rule, sorted((p.namespace, p.name) for p in mates), access, now)
            )
        except ValueError as error:
            found.notes.append(f"pod {pod.namespace}/{pod.name} passed over: {error}")
        if len(found.targets) > MOST_TARGETS:
            break
    return found


def group_of(pod: Pod, group_label: str = "") -> str:
    """What joins the pods of one replica; empty for a pod that stands alone."""
    for label in (group_label, LWS_GROUP, RAY_CLUSTER):
        value = pod.labels.get(label, "") if label else ""
        if value:
            return f"{pod.namespace}/{label}/{value}"
    return ""


def _ray_alone(pod: Pod, group_label: str) -> bool:
    return f"/{RAY_CLUSTER}/" in group_of(pod, group_label)


def _leader(pods: Collection[Pod]) -> Pod:
    """The pod that speaks for its group: the head, the first by its number, the first by name."""

    def rank(pod: Pod) -> tuple[bool, int, str]:
        index = pod.labels.get(LWS_INDEX) or pod.labels.get(_POD_INDEX) or ""
        number = int(index) if index.isascii() and index.isdigit() and len(index) < 10 else 1 << 30
        return pod.labels.get(RAY_TYPE) != "head", number, pod.name

    return min(pods, key=rank)


def _says_so(pod: Pod) -> bool:
    return bool(_annotation(pod, ENGINE))


def _annotation(pod: Pod, name: str) -> str:
    return (pod.annotations.get(name) or pod.labels.get(name) or "").strip()


def _targets(
    pod: Pod, rule: PodRule, mates: Sequence[tuple[str, str]], access: Access, now: float
) -> Iterator[Target]:
    """One for each port that was named. Raises ValueError."""

    def told(name: str, other: str) -> str:
        return _annotation(pod, name) or other

    engine = check_engine(told(ENGINE, rule.engine))
    scheme = told(SCHEME, "https" if access.tls else "http")
    if scheme not in ("http", "https"):
        raise ValueError(f"{SCHEME} is neither http nor https")
    path = told(PATH, rule.path)
    ports = _ports(pod, told(PORT, rule.port), engine)
    began = pod.started or pod.created
    for port in ports:
        name = f"{pod.namespace}/{pod.name}"
        yield Target(
            pod.ip,
            port,
            "kubernetes",
            secure=scheme == "https",
            path=check_path(path) if path else "",
            engine=engine,
            model=check_word(told(MODEL, rule.model)),
            name=name if len(ports) == 1 else f"{name}:{port}",
            node=check_word(pod.node),
            pods=tuple(mates),
            access=access,
            starting=not pod.ready and began is not None and now - began < _STARTING,
        )


def _ports(pod: Pod, told: str, engine: str) -> tuple[int, ...]:
    """Numbers of the ports of its metrics. Raises ValueError."""
    named = dict(pod.ports)
    if told:
        words = [word.strip() for word in told.split(",")]
        if len(words) > _MOST_PORTS:
            raise ValueError(f"{PORT} names more than {_MOST_PORTS} ports")
        return tuple(dict.fromkeys(_port(word, named) for word in words))
    dialect = dialect_named(engine)
    numbers = [number for _, number in pod.ports]
    if dialect is not None and (dialect.port in numbers or not numbers):
        return (dialect.port,)
    if len(set(numbers)) == 1:
        return (numbers[0],)
    if "metrics" in named:
        return (named["metrics"],)
    raise ValueError(f"which of its ports has the metrics? set {PORT}")


def _port(word: str, named: Mapping[str, int]) -> int:
    if word in named:
        return named[word]
    if word.isascii() and word.isdigit() and len(word) <= 5 and 0 < int(word) < 65536:
        return int(word)
    raise ValueError(f"{PORT} is {word[:40]!r}; allowed: a number from 1 to 65535 or the name of a port")
