"""What an agent was told to do, as plain data: it crosses to the serving process without the validator.

`exporters.settings` checks what a user wrote and fills these in; every field's meaning and default stands
here.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

Tier = Literal["hot", "warm", "cold"]
Stage = Literal["data_preparation", "training", "evaluation", "inference"]


@dataclass(frozen=True, slots=True)
class GpuSection:
    """GPU collector. `profiling` reads activity ratios (GPM, Hopper and newer); `processes` gives a series
    per process; `quarantine_after` is how many seconds a GPU may hang before it is asked from a process of
    its own."""

    profiling: bool = True
    processes: bool = False
    quarantine_after: float = 10.0


@dataclass(frozen=True, slots=True)
class StorageSection:
    """Shared file systems and disks. `tiers` gives the tier of mount points that match a glob, first match
    wins; others get theirs from the kind of file system. `probe_deadline` in seconds."""

    tiers: dict[str, Tier] = field(default_factory=dict)
    probe_deadline: float = 2.0


@dataclass(frozen=True, slots=True)
class KubernetesSection:
    """kubelet's pod-resources service. `resources` are globs of device-plugin resource names that mean
    GPUs."""

    socket: Path = Path("/var/lib/kubelet/pod-resources/kubelet.sock")
    resources: tuple[str, ...] = ("nvidia.com/gpu*", "nvidia.com/mig-*")


@dataclass(frozen=True, slots=True)
class SlurmSection:
    """Slurm. `squeue` is the command, `jobs` an optional directory in which a prolog leaves one file per GPU
    or job, `cgroups` the root of the cgroup tree, `node` this node's name in Slurm where it is not the host
    name, `partitions` the stage of the jobs in a partition, where the job itself names none."""

    squeue: str = "squeue"
    jobs: Path | None = None
    cgroups: Path = Path("/sys/fs/cgroup")
    node: str = ""
    partitions: dict[str, Stage] = field(default_factory=dict)


Framework = Literal["auto", "megatron", "torchtitan", "composer", "huggingface", "lightning", "deepspeed"]


@dataclass(frozen=True, slots=True)
class LogSection:
    """Logs of training jobs. `path` is a glob; `job` the job's id, or a regular expression whose one group
    finds it in the path. What the lines do not tell: `tokens_per_step` is the global batch in tokens,
    `flops_per_token` what the model takes for one, `gpus` how many the job has; 0 where it is not known."""

    path: str
    job: str
    framework: Framework = "auto"
    model: str = "unknown"
    tokens_per_step: float = 0.0
    flops_per_token: float = 0.0
    gpus: int = 0


@dataclass(frozen=True, slots=True)
class TrainingSection:
    """What training jobs tell of themselves. `directory` is where their reporters leave files, None to read
    none; `max_age` is how many seconds a job is shown that fell silent without having ended. `otlp_listen` is
    where to listen for OpenTelemetry, empty for nowhere; `logs` are log files to follow."""

    directory: Path | None = Path("/run/gigawatch/training")
    max_age: float = 3600.0
    otlp_listen: str = ""
    logs: tuple[LogSection, ...] = ()


Switch = Literal["auto", "on", "off"]


@dataclass(frozen=True, slots=True)
class CollectorSection:
    """Which collectors run. `auto` runs one where what it reads is there."""

    gpu: Switch = "auto"
    host: bool = True
    power: bool = True
    kernel_log: bool = True
    fabric: bool = True
    storage: bool = True
    kubernetes: Switch = "auto"
    slurm: Switch = "auto"


@dataclass(frozen=True, slots=True)
class AgentPlan:
    """Everything the agent's serving process has to know. Times in seconds; `root` lies before /proc, /sys
    and /dev (a container sees its host's there)."""

    listen: str
    interval: float
    slow_interval: float
    web_config: Path | None = None
    collectors: CollectorSection = CollectorSection()
    gpu: GpuSection = GpuSection()
    storage: StorageSection = StorageSection()
    kubernetes: KubernetesSection = KubernetesSection()
    slurm: SlurmSection = SlurmSection()
    training: TrainingSection = TrainingSection()
    state_directory: Path | None = None
    textfile_directory: Path | None = None
    kernel_log: Path = Path("/dev/kmsg")
    root: Path = Path("/")
