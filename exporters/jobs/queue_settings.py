"""Where the queues are, as plain data: the API of Kubernetes and the controller of Slurm."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from exporters.sections import Stage

_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")


@dataclass(frozen=True, slots=True)
class KubernetesApiSection:
    """The API of a cluster. `url` may stay empty inside the cluster. The token is read anew each time, since
    Kubernetes renews it, and is sent over https only. Where there is no `ca_file`, the host's authorities
    count. `page` is how many objects are asked for at once."""

    url: str = ""
    token_file: Path = _ACCOUNT / "token"
    ca_file: Path = _ACCOUNT / "ca.crt"
    page: int = 500


@dataclass(frozen=True, slots=True)
class KubernetesQueueSection:
    """Pods that wait for GPUs. `namespaces`: all where empty. `selector`: a label selector. `resources`:
    globs of resource names that mean GPUs. `kueue`: ask for Kueue's workloads too, where it is installed."""

    api: KubernetesApiSection = field(default_factory=KubernetesApiSection)
    namespaces: tuple[str, ...] = ()
    selector: str = ""
    resources: tuple[str, ...] = ("nvidia.com/gpu*", "nvidia.com/mig-*")
    kueue: bool = True


@dataclass(frozen=True, slots=True)
class SlurmQueueSection:
    """Jobs that wait for GPUs. `squeue` is the command, `partitions` the stage of the jobs in a partition,
    where the job itself names none."""

    squeue: str = "squeue"
    partitions: dict[str, Stage] = field(default_factory=dict)
