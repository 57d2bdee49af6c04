"""Tokens of each model on each replica, the power of its GPUs over the same time, and where they stand."""

from __future__ import annotations

from gigawatch.catalogue import Unit, inference
from gigawatch.promql.expr import Expr, many_to_one, matches, max_by, on, rate, series, sum_by
from gigawatch.promql.joins import otherwise, sole
from gigawatch.promql.recording.common import LONG_WINDOW, PAIR, WINDOW
from gigawatch.promql.recording.gpu import GPU_ENERGY_RATE, GPU_ENERGY_RATE_LONG, GPU_PLACE
from gigawatch.promql.recording.replica import GPU_REPLICA_SHARE, HEAD, headed, per_replica
from gigawatch.promql.rule import Recorded, recorded

_at_end = max_by(series(inference.INFERENCE_COUNTING_INFO, granularity="request"), *PAIR)


def by_counting(short: Expr, long: Expr) -> Expr:
    """A rate of each `PAIR` over one minute; over five where the engine counts only when a request ends."""
    return on(short, "unless", _at_end, *PAIR).or_(on(long, "and", _at_end, *PAIR))


def _tokens(**labels: str) -> Expr:
    counted = series(inference.INFERENCE_TOKENS, **labels)
    return by_counting(sum_by(rate(counted, WINDOW), *PAIR), sum_by(rate(counted, LONG_WINDOW), *PAIR))


REPLICA_TOKENS = Recorded(
    "replica:aif_inference_tokens:rate1m",
    _tokens(kind="generation"),
    "Tokens generated per second with a model on a replica, over one minute; over five where the engine "
    "counts only when a request ends.",
    Unit.TOKENS_PER_SECOND,
)
REPLICA_PROMPT_TOKENS = Recorded(
    "replica:aif_inference_prompt_tokens:rate1m",
    # Where some are of unknown source, the computed ones are not all that were computed.
    on(
        _tokens(kind="prompt", source="computed"),
        "unless",
        max_by(series(inference.INFERENCE_TOKENS, kind="prompt", source="unknown"), *PAIR),
        *PAIR,
    ),
    "Prompt tokens per second that a replica computed for a model: without those from a cache, and only "
    "where the engine tells them apart.",
    Unit.TOKENS_PER_SECOND,
)
REPLICA_GPU_POWER = Recorded(
    "replica:aif_gpu_power_watts:sum",
    by_counting(per_replica(recorded(GPU_ENERGY_RATE)), per_replica(recorded(GPU_ENERGY_RATE_LONG))),
    "Power of the GPUs of a model on a replica, from their energy counters, over the time of its tokens; "
    "absent unless all of them tell it.",
    Unit.WATTS,
)

# Where a replica's GPUs stand. One whose GPUs nobody knows stands where its engine says that it runs.
_rows = many_to_one(recorded(GPU_REPLICA_SHARE), "*", recorded(GPU_PLACE), ("site", "uuid"), ("rack", "node"))
_by_head = sum_by(_rows, *HEAD, "rack", "node")
_weights = many_to_one(_by_head, "/", sum_by(_by_head, *HEAD), HEAD)
_own = max_by(
    headed(series(inference.INFERENCE_TOKENS, kind="generation", node=matches(".+"))), *HEAD, "rack", "node"
)
_own_one = sole(_own, *HEAD)
HEAD_PLACE = Recorded(
    "replica:aif_gpus:place",
    otherwise(_weights, _own_one * 0 + 1, *HEAD).in_unit(Unit.RATIO),
    "Share of the GPUs of a replica and its ranks that a node has; 1 at the engine's own node where they are "
    "not known.",
    Unit.RATIO,
)


def on_nodes(values: Expr, *by: str) -> Expr:
    """A figure of each `PAIR`, shared out over nodes (or racks) as the GPUs of the replica are."""
    placed = many_to_one(recorded(HEAD_PLACE), "*", sum_by(headed(values), *HEAD), HEAD)
    return sum_by(placed, *by).in_unit(values.unit)
