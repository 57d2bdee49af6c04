"""llama.cpp, its server (llama-server).

Traps that this table knows: generated tokens are counted when a request ends, prompts when they have been
read, calls to the model at each step; prompt tokens leave out those that were cached; the two gauges of
tokens per second cover the time since the last scrape, whoever scraped; `tokens_predicted_seconds_total`
adds up requests that ran side by side; `n_tokens_max` is called a counter and is none; six digits are
printed, so that from a million tokens on counters move in steps. Nothing names the model. The loop that
does the work also answers `/metrics`: a frozen server shows as one that does not answer, and one that
reads long prompts on a slow machine answers late.
"""

from __future__ import annotations

from exporters.inference.dialect import Dialect, Figure, Granularity, Sample, generated, prompt
from gigawatch.catalogue import inference

_PROMPT = "llamacpp:prompt_tokens_total"
_CACHED = "llamacpp:prompt_tokens_cached_total"
_GENERATED = "llamacpp:tokens_predicted_total"
_DRAFTS = "llamacpp:spec_decode_num_drafts_total"

DIALECT = Dialect(
    engine="llamacpp",
    title="llama.cpp",
    version="b11434",
    origin="recordings of b11434; older names from tools/server/README.md of ggml-org/llama.cpp, 2025",
    recognised_by=("llamacpp:",),
    port=8080,
    needs="started with --metrics (or LLAMA_ARG_ENDPOINT_METRICS=1); a router wants ?model= in the path",
    granularity=Granularity.REQUEST,
    # A step of prefill is a batch of 2048 tokens, and images stand in no count.
    patience=60.0,
    progress=(Sample("llamacpp:n_decode_total"), Sample(_DRAFTS), Sample(_PROMPT), Sample(_GENERATED)),
    model_labels=(),
    figures=(
        generated(Sample(_GENERATED)),
        prompt("computed", Sample(_PROMPT)),
        # Not in builds before 2026.
        Figure(
            inference.INFERENCE_TOKENS,
            Sample(_CACHED),
            {"kind": "prompt", "source": "cached"},
            expected=False,
        ),
        Figure(inference.INFERENCE_REQUESTS_RUNNING, Sample("llamacpp:requests_processing")),
        Figure(inference.INFERENCE_REQUESTS_WAITING, Sample("llamacpp:requests_deferred")),
        # Only in builds before 2025.
        Figure(
            inference.INFERENCE_KV_CACHE_USAGE, Sample("llamacpp:kv_cache_usage_ratio"), expected=False
        ),
        Figure(inference.INFERENCE_DRAFTS, Sample(_DRAFTS, silent_zero=True), expected=False),
        Figure(
            inference.INFERENCE_DRAFT_TOKENS,
            Sample("llamacpp:spec_decode_num_draft_tokens_total", silent_zero=True),
            expected=False,
        ),
        Figure(
            inference.INFERENCE_ACCEPTED_TOKENS,
            Sample("llamacpp:spec_decode_num_accepted_tokens_total", silent_zero=True),
            expected=False,
        ),
    ),
    ignored=(
        # Of the time since the last scrape.
        "llamacpp:prompt_tokens_seconds", "llamacpp:predicted_tokens_seconds",
        # Times added up over slots, a mean since the start, the longest sequence, an old count of the cache.
        "llamacpp:prompt_seconds_total", "llamacpp:tokens_predicted_seconds_total",
        "llamacpp:n_busy_slots_per_decode", "llamacpp:n_tokens_max*", "llamacpp:n_past_max*",
        "llamacpp:kv_cache_tokens",
    ),
)  # fmt: skip
