"""Inference engines: tokens, requests, latency, and whether they get anything done.

Every figure is an engine's own, brought to one form by its dialect (`exporters/inference/dialects`).
"""

from __future__ import annotations

from collections.abc import Mapping

from gigawatch.catalogue.model import Kind, Metric, Origin, Presence, Target, Unit

TOKEN_KINDS = ("prompt", "generation")
TOKEN_SOURCES = ("computed", "cached", "unknown")
ENGINE = ("engine", "model", "replica")
"""`engine` is the kind of server (vllm, sglang, ...), `replica` one that runs: HOST:PORT, or what the user
calls it; /RANK is added for the second and further ranks of data-parallel serving."""
OBJECTIVES = ("time_to_first_token", "inter_token_latency", "request_duration")


def _inference(
    key: str,
    kind: Kind,
    unit: Unit,
    text: str,
    labels: tuple[str, ...] = ENGINE,
    values: Mapping[str, tuple[str, ...]] | None = None,
) -> Metric:
    return Metric(key, kind, unit, text, Origin.WORKLOAD, Target.NODE, labels, values or {}, Presence.EVENT)


def _tokens(key: str, text: str) -> Metric:
    return _inference(key, Kind.COUNTER, Unit.TOKENS, text)


def _latency(key: str, text: str) -> Metric:
    return _inference(key, Kind.HISTOGRAM, Unit.SECONDS, text)


# What is done
INFERENCE_TOKENS = _inference(
    "inference_tokens_total",
    Kind.COUNTER,
    Unit.TOKENS,
    "Tokens of an inference engine: prompt read or text generated, computed or taken from a cache.",
    (*ENGINE, "kind", "source"),
    {"kind": TOKEN_KINDS, "source": TOKEN_SOURCES},
)
INFERENCE_REQUESTS = _inference(
    "inference_requests_total",
    Kind.COUNTER,
    Unit.COUNT,
    "Requests finished, by outcome; `other` where the engine does not say, or says something else.",
    (*ENGINE, "outcome"),
    {"outcome": ("stop", "length", "abort", "error", "other")},
)
INFERENCE_FLOPS = _inference(
    "inference_flops_total",
    Kind.COUNTER,
    Unit.COUNT,
    "Floating-point operations of the model's own work, as the engine estimates them, per GPU.",
)

# What is in it
INFERENCE_REQUESTS_RUNNING = _inference(
    "inference_requests_running", Kind.GAUGE, Unit.COUNT, "Requests being worked on."
)
INFERENCE_REQUESTS_WAITING = _inference(
    "inference_requests_waiting", Kind.GAUGE, Unit.COUNT, "Requests waiting for a place."
)
INFERENCE_KV_CACHE_USAGE = _inference(
    "inference_kv_cache_usage_ratio", Kind.GAUGE, Unit.RATIO, "Share of the key-value cache in use."
)
INFERENCE_PREEMPTIONS = _inference(
    "inference_preemptions_total",
    Kind.COUNTER,
    Unit.COUNT,
    "Requests thrown out of the key-value cache and begun again; no other count shows the work lost.",
)
INFERENCE_CACHE_QUERIED = _tokens(
    "inference_prefix_cache_queried_tokens_total", "Prompt tokens looked up in the prefix cache."
)
INFERENCE_CACHE_HIT = _tokens(
    "inference_prefix_cache_hit_tokens_total", "Prompt tokens that the prefix cache had."
)
INFERENCE_DRAFTS = _inference(
    "inference_drafts_total", Kind.COUNTER, Unit.COUNT, "Speculative decoding: drafts checked."
)
INFERENCE_DRAFT_TOKENS = _tokens(
    "inference_draft_tokens_total", "Speculative decoding: tokens proposed by the draft."
)
INFERENCE_ACCEPTED_TOKENS = _tokens(
    "inference_accepted_draft_tokens_total", "Speculative decoding: proposed tokens that were right."
)

# How long it takes: the engine's own buckets, which differ, so quantiles of different engines never mix
INFERENCE_TTFT = _latency(
    "inference_time_to_first_token_seconds", "From a request's arrival to its first token."
)
INFERENCE_ITL = _latency("inference_inter_token_latency_seconds", "From one token of a request to the next.")
INFERENCE_TPOT = _latency(
    "inference_time_per_output_token_seconds", "Mean time per generated token of a request, one per request."
)
INFERENCE_QUEUE_TIME = _latency(
    "inference_queue_time_seconds", "How long requests waited before work on them began."
)
INFERENCE_REQUEST_DURATION = _latency(
    "inference_request_duration_seconds", "From a request's arrival to its end."
)
INFERENCE_OBJECTIVE = _inference(
    "inference_objective_seconds",
    Kind.GAUGE,
    Unit.SECONDS,
    "Latency objective: a request (or a gap between tokens) should take no longer.",
    (*ENGINE, "objective"),
    {"objective": OBJECTIVES},
)
INFERENCE_OBJECTIVE_SHARE = _inference(
    "inference_objective_ratio",
    Kind.GAUGE,
    Unit.RATIO,
    "Share of requests (or gaps) that should meet the latency objective.",
    (*ENGINE, "objective"),
    {"objective": OBJECTIVES},
)
INFERENCE_OBSERVED = _inference(
    "inference_objective_observations_total",
    Kind.COUNTER,
    Unit.COUNT,
    "Requests (or gaps between tokens) to which a latency objective applied.",
    (*ENGINE, "objective"),
    {"objective": OBJECTIVES},
)
INFERENCE_MET = _inference(
    "inference_objective_met_total",
    Kind.COUNTER,
    Unit.COUNT,
    "Those of them that met it, interpolated within the engine's bucket where the objective is no edge.",
    (*ENGINE, "objective"),
    {"objective": OBJECTIVES},
)

# Whether it works
INFERENCE_ENGINE_UP = _inference(
    "inference_engine_up", Kind.GAUGE, Unit.FLAG, "1 if the engine's metrics answered the last scrape."
)
INFERENCE_ENGINE_HEALTHY = _inference(
    "inference_engine_healthy",
    Kind.GAUGE,
    Unit.FLAG,
    "1 if the engine's health route says so. A frozen engine often says so as well.",
)
INFERENCE_PROGRESS = _inference(
    "inference_progress_total",
    Kind.COUNTER,
    Unit.COUNT,
    "Rises whenever the engine gets something done (steps, iterations, tokens); the pace means nothing.",
)
INFERENCE_STALLED = _inference(
    "inference_stalled_seconds",
    Kind.GAUGE,
    Unit.SECONDS,
    "For how long requests have been there and nothing has been done; 0 while idle or at work.",
)
INFERENCE_PATIENCE = _inference(
    "inference_stall_patience_seconds",
    Kind.GAUGE,
    Unit.SECONDS,
    "How long that may last before it means a frozen engine: it follows from what the engine counts when.",
)
INFERENCE_COUNTING_INFO = _inference(
    "inference_counting_info",
    Kind.INFO,
    Unit.COUNT,
    "When generated tokens are counted: at each step, at each log interval, or when a request ends.",
    (*ENGINE, "granularity"),
    {"granularity": ("step", "log", "request")},
)
INFERENCE_ENGINE_INFO = _inference(
    "inference_engine_info",
    Kind.INFO,
    Unit.COUNT,
    "An engine, where it came from and how it is read.",
    ("engine", "replica", "source", "dialect", "version"),
)
INFERENCE_UNMAPPED = _inference(
    "inference_unmapped_metrics",
    Kind.GAUGE,
    Unit.COUNT,
    "Metrics of an engine that its dialect does not know: the engine is newer than the dialect.",
    ("engine", "replica"),
)
INFERENCE_MISSING = _inference(
    "inference_missing_metrics",
    Kind.GAUGE,
    Unit.COUNT,
    "Metrics that the dialect expects and the engine does not give: renamed, or switched off by a flag.",
    ("engine", "replica"),
)
INFERENCE_SCRAPE_ERRORS = _inference(
    "inference_scrape_errors_total",
    Kind.COUNTER,
    Unit.COUNT,
    "Scrapes of an engine that failed, by kind of error.",
    ("engine", "replica", "error"),
)
INFERENCE_SCRAPE_DURATION = _inference(
    "inference_scrape_duration_seconds",
    Kind.GAUGE,
    Unit.SECONDS,
    "How long the last scrape of an engine took.",
    ("engine", "replica"),
)

# Where it runs: each of these joins a replica to its GPUs; the most particular wins
INFERENCE_GPU_INFO = _inference(
    "inference_gpu_info", Kind.INFO, Unit.COUNT, "Which GPU serves which model.", ("uuid", *ENGINE)
)
INFERENCE_POD_INFO = _inference(
    "inference_pod_info",
    Kind.INFO,
    Unit.COUNT,
    "Pods that make up a replica: one, or those of a group that spans nodes.",
    ("engine", "replica", "namespace", "pod"),
)
INFERENCE_JOB_INFO = _inference(
    "inference_job_info",
    Kind.INFO,
    Unit.COUNT,
    "The job whose GPUs a replica has all for itself, where the configuration says so.",
    ("engine", "replica", "job_id"),
)
INFERENCE_PORT_INFO = _inference(
    "inference_port_info",
    Kind.INFO,
    Unit.COUNT,
    "The TCP port of its node at which a replica answers.",
    ("engine", "replica", "port"),
)
