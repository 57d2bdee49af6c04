"""Serving: latency, load and what becomes of requests, for each engine and model of a site.

Buckets differ between engines, so quantiles are taken for each kind of engine by itself. Over five minutes.
"""

from __future__ import annotations

from collections.abc import Mapping

from gigawatch.catalogue import Metric, Unit, inference
from gigawatch.promql.expr import Expr, clamp_min, max_by, one_minus, rate, series, sum_by
from gigawatch.promql.histograms import buckets, quantile_of
from gigawatch.promql.recording.common import LONG_WINDOW, Quantiles
from gigawatch.promql.rule import Recorded, recorded

ENGINE = ("site", "engine", "model")
_OBJECTIVE = (*ENGINE, "objective")


def _quantiles(metric: Metric, what: str) -> Quantiles:
    base = Recorded(
        f"engine:{metric.name}_bucket:rate5m",
        sum_by(rate(buckets(metric), LONG_WINDOW), *ENGINE, "le"),
        f"{what}: observations per second up to each edge of the engine's buckets.",
        Unit.COUNT,
    )

    def at(share: float, which: str) -> Recorded:
        return Recorded(
            f"engine:{metric.name}:p{round(share * 100)}",
            quantile_of(share, recorded(base)).in_unit(Unit.SECONDS),
            f"{what}, {which}.",
            Unit.SECONDS,
        )

    return Quantiles(base, at(0.5, "median"), at(0.95, "95th percentile"), at(0.99, "99th percentile"))


ENGINE_TTFT = _quantiles(inference.INFERENCE_TTFT, "Time to the first token")
ENGINE_ITL = _quantiles(inference.INFERENCE_ITL, "Time from one token to the next")
ENGINE_TPOT = _quantiles(inference.INFERENCE_TPOT, "Mean time per generated token of a request")
ENGINE_QUEUE_TIME = _quantiles(
    inference.INFERENCE_QUEUE_TIME, "Time that requests wait before work on them begins"
)
ENGINE_DURATION = _quantiles(inference.INFERENCE_REQUEST_DURATION, "Time from a request's arrival to its end")


def _per_second(metric: Metric, *by: str, **labels: str) -> Expr:
    return sum_by(rate(series(metric, **labels), LONG_WINDOW), *(by or ENGINE))


ENGINE_REQUESTS = Recorded(
    "engine:aif_inference_requests:rate5m",
    _per_second(inference.INFERENCE_REQUESTS, *ENGINE, "outcome"),
    "Requests finished per second, by outcome.",
    Unit.COUNT,
)
_finished = sum_by(recorded(ENGINE_REQUESTS), *ENGINE)
_failed = sum_by(recorded(ENGINE_REQUESTS, outcome="error"), *ENGINE)
ENGINE_ERRORS = Recorded(
    "engine:aif_inference_requests:errors",
    (_failed / (_finished > 0)).in_unit(Unit.RATIO),
    "Share of the finished requests that ended with an error; absent where the engine does not tell errors.",
    Unit.RATIO,
)
ENGINE_CACHE_HIT = Recorded(
    "engine:aif_inference_prefix_cache:hit",
    _per_second(inference.INFERENCE_CACHE_HIT) / (_per_second(inference.INFERENCE_CACHE_QUERIED) > 0),
    "Share of the prompt tokens looked up in the prefix cache that it had.",
    Unit.RATIO,
)
ENGINE_PREEMPTIONS = Recorded(
    "engine:aif_inference_preemptions:rate5m",
    _per_second(inference.INFERENCE_PREEMPTIONS),
    "Requests per second that were thrown out of the key-value cache and begun again.",
    Unit.COUNT,
)
ENGINE_ACCEPTANCE = Recorded(
    "engine:aif_inference_draft_tokens:accepted",
    _per_second(inference.INFERENCE_ACCEPTED_TOKENS) / (_per_second(inference.INFERENCE_DRAFT_TOKENS) > 0),
    "Speculative decoding: share of the proposed tokens that were right.",
    Unit.RATIO,
)
_running = sum_by(series(inference.INFERENCE_REQUESTS_RUNNING), *ENGINE)
_waiting = sum_by(series(inference.INFERENCE_REQUESTS_WAITING), *ENGINE)
ENGINE_SATURATION = Recorded(
    "engine:aif_inference_requests:waiting",
    # An idle engine is not saturated: 0, not a division by nothing.
    (_waiting / (_running + _waiting > 0)).or_(_waiting * 0).in_unit(Unit.RATIO),
    "Share of the requests present that wait for a place; 0 while there are none.",
    Unit.RATIO,
)
ENGINE_KV_USAGE = Recorded(
    "engine:aif_inference_kv_cache_usage_ratio:max",
    max_by(series(inference.INFERENCE_KV_CACHE_USAGE), *ENGINE),
    "Share of the key-value cache in use, of the fullest replica.",
    Unit.RATIO,
)

BURN_WINDOWS = ("5m", "30m", "1h", "6h")
_allowed = one_minus(max_by(series(inference.INFERENCE_OBJECTIVE_SHARE), *_OBJECTIVE))


def _burn(window: str) -> Recorded:
    observed = sum_by(rate(series(inference.INFERENCE_OBSERVED), window), *_OBJECTIVE)
    met = sum_by(rate(series(inference.INFERENCE_MET), window), *_OBJECTIVE)
    missed = clamp_min((observed - met) / (observed > 0), 0)
    return Recorded(
        f"engine:aif_inference_objective:burn{window}",
        (missed / (_allowed > 0)).in_unit(Unit.COUNT),
        f"How many times faster than allowed requests miss a latency objective, over {window}: at 1 exactly "
        "as many as the objective grants. Absent without requests.",
        Unit.COUNT,
    )


BURN: Mapping[str, Recorded] = {window: _burn(window) for window in BURN_WINDOWS}
"""Burn rates by window."""
