"""NVIDIA NIM for LLMs, releases 1.x.

Traps that this table knows: the names bear no prefix, so an unnamed engine is tried for NIM last, by the
one name that nobody else uses. `time_per_output_token_seconds` has one observation per gap between tokens,
not per request (963 for 997 tokens of 34 requests), and is mapped so. `request_success_total` counts again
what `request_finish_total` tells by reason. `/v1/health/live` speaks for NIM's proxy alone,
`/v1/health/ready` for the model. The documentation says that tokens are counted per iteration; nobody has
recorded it under load, so patience is long. NIM 2.x passes on `vllm:*`: it is vLLM at another path, and
recognised so.
"""

from __future__ import annotations

from exporters.inference.dialect import (
    Dialect,
    Figure,
    FirstOf,
    Granularity,
    HealthRoute,
    Sample,
    finished,
    generated,
    prompt,
)
from gigawatch.catalogue import inference

_FINISHED = "request_finish_total"
_REASONS = ("stop", "length", "abort", "error")

DIALECT = Dialect(
    engine="nim",
    title="NVIDIA NIM 1.x",
    version="1.14",
    origin="docs.nvidia.com/nim, Observability, releases 1.0 to 1.14; nvidia_nim/metrics.py of "
    "DataDog/integrations-core; values of a test run of 2026-04 published on GitHub; not recorded",
    recognised_by=("num_request_max",),
    own=("",),
    port=8000,
    path="/v1/metrics",
    needs="read at /v1/metrics (the oldest releases: at /metrics)",
    health=HealthRoute("/v1/health/ready"),
    granularity=Granularity.STEP,
    patience=60.0,
    progress=(
        Sample("generation_tokens_total"),
        Sample("prompt_tokens_total"),
        Sample("time_per_output_token_seconds_count"),
    ),
    passes_on=("vllm", "sglang", "tensorrt_llm"),
    figures=(
        generated(Sample("generation_tokens_total")),
        prompt("unknown", Sample("prompt_tokens_total")),
        Figure(inference.INFERENCE_REQUESTS_RUNNING, Sample("num_requests_running")),
        Figure(inference.INFERENCE_REQUESTS_WAITING, Sample("num_requests_waiting")),
        FirstOf(
            (
                (
                    *(
                        finished(reason, Sample(_FINISHED, where={"finished_reason": reason}))
                        for reason in _REASONS
                    ),
                    finished("other", Sample(_FINISHED, but={"finished_reason": _REASONS})),
                ),
                (
                    finished("other", Sample("request_success_total")),
                    finished("error", Sample("request_failure_total")),
                ),
                (finished("other", Sample("request_success_total")),),
            ),
            expected=False,
        ),
        Figure(inference.INFERENCE_KV_CACHE_USAGE, Sample("gpu_cache_usage_perc", fold="max")),
        Figure(inference.INFERENCE_TTFT, Sample("time_to_first_token_seconds")),
        Figure(inference.INFERENCE_ITL, Sample("time_per_output_token_seconds")),
        Figure(inference.INFERENCE_REQUEST_DURATION, Sample("e2e_request_latency_seconds")),
    ),
    ignored=(
        # Figures of the Python process and of the HTTP server.
        "python_*", "process_*", "http_*",
        # Sizes of requests; a setting.
        "request_prompt_tokens*", "request_generation_tokens*", "num_request_max",
        # Of the machine; the node agent gives these.
        "gpu_power_*", "gpu_total_energy_*", "gpu_utilization", "gpu_memory_*",
    ),
)  # fmt: skip
