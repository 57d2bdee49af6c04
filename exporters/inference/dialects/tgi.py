"""Hugging Face Text Generation Inference (TGI), in maintenance since 3.x.

Traps that this table knows: tokens are the sums of histograms with one observation per request, so they
move only when a request ends; progress is read from the calls to the model, which move with each step;
series carry no model, so the configuration names it; durations are in seconds, though their names do not
say so; `request_mean_time_per_token_duration` is the whole time of inference, prefill included, over the
tokens generated; there is no time to first token and no figure of the cache. A series comes into being with
its first event: an engine that has had no request has none, which is no drift. `/health` makes an idle
engine generate a token.
"""

from __future__ import annotations

from exporters.inference.dialect import Dialect, Figure, Granularity, HealthRoute, Sample
from gigawatch.catalogue import Metric, inference


def _figure(to: Metric, sample: Sample, expected: bool = True, **labels: str) -> Figure:
    return Figure(to, sample, labels, expected)


DIALECT = Dialect(
    engine="tgi",
    title="Text Generation Inference",
    version="3.3",
    origin="docs/source/reference/metrics.md of huggingface/text-generation-inference, commit 53fdbe617d4f, "
    "and router/src of commits 003eaec0fbe0, db931fcf; not recorded",
    recognised_by=("tgi_",),
    port=3000,
    needs="read at the port that it serves (80 in its container) or at 9000",
    health=HealthRoute(deadline=10.0, every=30.0),
    granularity=Granularity.REQUEST,
    # A step of prefill takes as long as its prompts are.
    patience=60.0,
    progress=(Sample("tgi_batch_inference_success"),),
    model_labels=(),
    lazy=True,
    starts_empty=True,
    figures=(
        _figure(
            inference.INFERENCE_TOKENS,
            Sample("tgi_request_generated_tokens_sum"),
            kind="generation",
            source="computed",
        ),
        _figure(
            inference.INFERENCE_TOKENS,
            Sample("tgi_request_input_length_sum"),
            kind="prompt",
            source="unknown",
        ),
        _figure(inference.INFERENCE_REQUESTS_RUNNING, Sample("tgi_batch_current_size")),
        _figure(inference.INFERENCE_REQUESTS_WAITING, Sample("tgi_queue_size")),
        _figure(inference.INFERENCE_REQUESTS, Sample("tgi_request_success"), outcome="other"),
        _figure(
            inference.INFERENCE_REQUESTS,
            Sample("tgi_request_failure", where={"err": "dropped"}),
            expected=False,
            outcome="abort",
        ),
        _figure(
            inference.INFERENCE_REQUESTS,
            Sample("tgi_request_failure", but={"err": "dropped"}),
            expected=False,
            outcome="error",
        ),
        _figure(inference.INFERENCE_TPOT, Sample("tgi_request_mean_time_per_token_duration")),
        _figure(inference.INFERENCE_QUEUE_TIME, Sample("tgi_request_queue_duration")),
        _figure(inference.INFERENCE_REQUEST_DURATION, Sample("tgi_request_duration")),
    ),
    ignored=(
        # Sizes and stages of requests.
        "tgi_request_count", "tgi_request_max_new_tokens*", "tgi_request_validation_duration*",
        "tgi_request_inference_duration*", "tgi_request_total_tokens*",
        # Tokens that speculation saved: the share of drafts that were right cannot be had from it.
        "tgi_request_skipped_tokens*",
        # Steps: their durations by method, and what a batch may hold.
        "tgi_batch_*",
    ),
)  # fmt: skip
