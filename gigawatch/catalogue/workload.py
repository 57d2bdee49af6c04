"""Who holds the GPUs, in which stage of a pipeline, and who waits for some."""

from collections.abc import Mapping

from gigawatch.catalogue.model import Kind, Metric, Origin, Presence, Target, Unit

STAGES = ("data_preparation", "training", "evaluation", "inference")
"""Stages of a pipeline; fine-tuning belongs to evaluation."""


def _work(
    key: str,
    kind: Kind,
    unit: Unit,
    text: str,
    labels: tuple[str, ...],
    values: Mapping[str, tuple[str, ...]] | None = None,
    origin: Origin = Origin.AGENT,
) -> Metric:
    target = Target.NODE if origin is Origin.AGENT else Target.SITE
    return Metric(key, kind, unit, text, origin, target, labels, values or {}, Presence.EVENT)


GPU_ALLOCATION_INFO = _work(
    "gpu_allocation_info",
    Kind.INFO,
    Unit.COUNT,
    "Which job holds a GPU, or a share of it; GPUs that a job holds and leaves idle are here too.",
    (
        "gpu", "uuid", "scheduler", "namespace", "pod", "container", "job_id", "user", "partition", "stage",
        "mig_uuid",
    ),
    {"stage": STAGES},
)  # fmt: skip
ALLOCATION_UNMATCHED = _work(
    "allocation_unmatched_devices",
    Kind.GAUGE,
    Unit.COUNT,
    "Devices that a scheduler says it gave away and that are no GPU of this node, by why.",
    ("scheduler", "reason"),
    {"reason": ("unknown_id", "unknown_index", "no_gpu_list")},
)
JOB_STAGE_INFO = _work(
    "job_stage_info",
    Kind.INFO,
    Unit.COUNT,
    "In which stage of a pipeline a job works, as its pod label, job comment or partition says.",
    ("scheduler", "job_id", "stage"),
    {"stage": STAGES},
    Origin.WORKLOAD,
)
JOB_QUEUE_TIME = _work(
    "job_queue_seconds",
    Kind.GAUGE,
    Unit.SECONDS,
    "How long a job that holds GPUs had waited from its submission to its start.",
    ("scheduler", "job_id", "namespace", "user", "partition", "stage"),
    {"stage": STAGES},
    Origin.WORKLOAD,
)
JOBS_PENDING = _work(
    "jobs_pending",
    Kind.GAUGE,
    Unit.COUNT,
    "Jobs that asked for GPUs and have not started; 0 where the queue is empty.",
    ("scheduler", "namespace", "partition", "stage"),
    {"stage": STAGES},
    Origin.WORKLOAD,
)
GPUS_PENDING = _work(
    "gpus_pending",
    Kind.GAUGE,
    Unit.COUNT,
    "GPUs that waiting jobs ask for.",
    ("scheduler", "namespace", "partition", "stage"),
    {"stage": STAGES},
    Origin.WORKLOAD,
)
OLDEST_PENDING = _work(
    "jobs_pending_oldest_seconds",
    Kind.GAUGE,
    Unit.SECONDS,
    "How long the job that has waited longest has waited; jobs on hold or behind others are left out.",
    ("scheduler", "namespace", "partition", "stage"),
    {"stage": STAGES},
    Origin.WORKLOAD,
)
GPU_PORT_INFO = _work(
    "gpu_port_info",
    Kind.INFO,
    Unit.COUNT,
    "Which TCP port is answered by processes (or their parents) that work on a GPU.",
    ("gpu", "uuid", "port"),
)
