"""What the GPUs are used for: allocation, inference engines, training jobs."""

from collections.abc import Mapping

from gigawatch.catalogue.model import Kind, Metric, Origin, Presence, Target, Unit

TOKEN_KINDS = ("prompt", "generation")
TOKEN_SOURCES = ("computed", "cached", "unknown")


def _work(
    key: str,
    kind: Kind,
    unit: Unit,
    text: str,
    labels: tuple[str, ...],
    values: Mapping[str, tuple[str, ...]] | None = None,
) -> Metric:
    return Metric(key, kind, unit, text, Origin.AGENT, Target.NODE, labels, values or {}, Presence.EVENT)


_ENGINE = ("engine", "model", "replica")

GPU_ALLOCATION_INFO = _work(
    "gpu_allocation_info",
    Kind.INFO,
    Unit.COUNT,
    "Which job holds a GPU, or a share of it; GPUs that a job holds and leaves idle are here too.",
    (
        "gpu", "uuid", "scheduler", "namespace", "pod", "container", "job_id", "user", "partition", "stage",
        "mig_uuid",
    ),
    {"stage": ("data_preparation", "training", "evaluation", "inference")},
)  # fmt: skip
ALLOCATION_UNMATCHED = _work(
    "allocation_unmatched_devices",
    Kind.GAUGE,
    Unit.COUNT,
    "Devices that a scheduler says it gave away and that are no GPU of this node, by why.",
    ("scheduler", "reason"),
    {"reason": ("unknown_id", "unknown_index", "no_gpu_list")},
)
INFERENCE_GPU_INFO = _work(
    "inference_gpu_info",
    Kind.INFO,
    Unit.COUNT,
    "Which GPU serves which model.",
    ("uuid", *_ENGINE),
)
INFERENCE_TOKENS = _work(
    "inference_tokens_total",
    Kind.COUNTER,
    Unit.TOKENS,
    "Tokens of an inference engine: prompt read or text generated, computed or taken from a cache.",
    (*_ENGINE, "kind", "source"),
    {"kind": TOKEN_KINDS, "source": TOKEN_SOURCES},
)
INFERENCE_REQUESTS_RUNNING = _work(
    "inference_requests_running", Kind.GAUGE, Unit.COUNT, "Requests being worked on.", _ENGINE
)
INFERENCE_REQUESTS_WAITING = _work(
    "inference_requests_waiting", Kind.GAUGE, Unit.COUNT, "Requests waiting for a place.", _ENGINE
)
INFERENCE_REQUESTS = _work(
    "inference_requests_total",
    Kind.COUNTER,
    Unit.COUNT,
    "Requests finished, by outcome.",
    (*_ENGINE, "outcome"),
    {"outcome": ("stop", "length", "abort", "error")},
)
INFERENCE_KV_CACHE_USAGE = _work(
    "inference_kv_cache_usage_ratio", Kind.GAUGE, Unit.RATIO, "Share of the key-value cache in use.", _ENGINE
)
INFERENCE_TTFT_SECONDS = _work(
    "inference_time_to_first_token_mean_seconds",
    Kind.GAUGE,
    Unit.SECONDS,
    "Mean time to the first token over the last minute.",
    _ENGINE,
)
INFERENCE_ENGINE_UP = _work(
    "inference_engine_up", Kind.GAUGE, Unit.FLAG, "1 if the engine answered its last scrape.", _ENGINE
)
TRAINING_TOKENS = _work(
    "training_tokens_total",
    Kind.COUNTER,
    Unit.TOKENS,
    "Tokens a training job has worked through, counted on the node of its first rank.",
    ("job_id", "model"),
)
TRAINING_STEPS = _work(
    "training_steps_total",
    Kind.COUNTER,
    Unit.COUNT,
    "Optimizer steps of a training job.",
    ("job_id", "model"),
)
TRAINING_STEP_DURATION = _work(
    "training_step_duration_seconds",
    Kind.GAUGE,
    Unit.SECONDS,
    "Duration of the last training step.",
    ("job_id", "model"),
)
TRAINING_CHECKPOINT_TIMESTAMP = _work(
    "training_checkpoint_timestamp_seconds",
    Kind.GAUGE,
    Unit.TIMESTAMP,
    "When the last checkpoint was complete (Unix time).",
    ("job_id", "model"),
)
TRAINING_RANK_WAIT = _work(
    "training_rank_wait_seconds_total",
    Kind.COUNTER,
    Unit.SECONDS,
    "Time a rank waited for the others in collectives; the straggler is the one that never waits.",
    ("job_id", "gpu", "uuid"),
)
