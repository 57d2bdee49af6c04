"""Inference engines under load: queues, latency objectives, full caches."""

from __future__ import annotations

from alerts.cases import Case, Given, given, rising, turning
from alerts.model import Action, Alert, Domain, Scope, Severity
from alerts.places import NODE, both, near_node, without
from gigawatch.catalogue import Metric, inference
from gigawatch.promql import (
    Expr,
    increase,
    many_to_one,
    max_by,
    max_over_time,
    min_by,
    min_over_time,
    on,
    rate,
    recorded,
    recording,
    series,
    sum_by,
)

_WHO = ("engine", "model", "replica")
_ENGINE = (*NODE, *_WHO)
_MODEL = ("site", "engine", "model")
_OBJECTIVE = (*_MODEL, "objective")
_VLLM = {"engine": "vllm", "model": "llama", "replica": "0"}
_STALLED = ("node-down", "gpu-lost", "node-storage", "rack-power", "loop-cooling", "node-cooling")
_PLACE = "{node|replica}"
_ENOUGH = 50
"""Observations in an hour below which a share of them says too little."""

_waiting = max_by(series(inference.INFERENCE_REQUESTS_WAITING), *_ENGINE)
_running = max_by(series(inference.INFERENCE_REQUESTS_RUNNING), *_ENGINE)
_observed = sum_by(increase(series(inference.INFERENCE_OBSERVED), "1h"), *_OBJECTIVE) > _ENOUGH
_preempted = sum_by(rate(series(inference.INFERENCE_PREEMPTIONS), "10m"), *_ENGINE)
_ended = sum_by(rate(series(inference.INFERENCE_REQUESTS), "10m"), *_ENGINE)


_gone = ("site", "model")


def _out_of_order(span: str) -> tuple[Expr, Expr]:
    """Models of which an engine stood still, and those of which one was gone, within that span."""
    stood = max_by(max_over_time(series(inference.INFERENCE_STALLED), span), *_gone)
    patience = max_by(series(inference.INFERENCE_PATIENCE), *_gone)
    up = min_by(min_over_time(series(inference.INFERENCE_ENGINE_UP), span), *_gone)
    return on(stood, ">", patience, *_gone), up.equals(0)


def _burns(long: str, short: str, factor: float, after: str) -> Expr:
    """The budget of an objective goes that many times too fast, over a long span and still now.

    Not for that long `after` an engine of the model stood still or was gone: that had a page of its own, and
    what waited meanwhile comes late.
    """
    over = recorded(recording.BURN[long]) > factor
    still = recorded(recording.BURN[short]) > factor
    burning = both(both(over, still, *_OBJECTIVE), _observed, *_OBJECTIVE)
    for known in _out_of_order(after):
        burning = without(burning, known, *_gone)
    return burning


def _engine(metric: Metric, values: float | str, **labels: str) -> Given:
    return given(metric, values, **_VLLM, **labels)


def _first_tokens(met: float) -> tuple[Given, ...]:
    """Ten first tokens a step, so many of them in time; 99 % should be."""
    ttft = {"objective": "time_to_first_token"}
    return (
        _engine(inference.INFERENCE_OBSERVED, rising(10), **ttft),
        _engine(inference.INFERENCE_MET, rising(met), **ttft),
        _engine(inference.INFERENCE_OBJECTIVE_SHARE, 0.99, **ttft),
        _engine(inference.INFERENCE_OBJECTIVE, 2.5, **ttft),
    )


ALERTS = (
    Alert(
        name="InferenceQueueGrowing",
        expr=near_node(many_to_one(_waiting, ">", _running * 2, _ENGINE) > 20, *_WHO),
        severity=Severity.WARNING,
        domain=Domain.TOKENS,
        scope=Scope.NODE,
        place=_PLACE,
        summary="{value:.0f} requests wait for {model} on {node}",
        description="{value:.0f} requests wait, more than twice as many as are worked on.",
        cause="More demand than the replicas can serve, or a replica that is slow or gone.",
        consequence="Users wait; the time to the first token grows with the queue.",
        action=Action.NONE,
        first_step="Compare the replicas: one slow (look at its GPUs) or all full (add replicas).",
        board="gw-serving",
        hold="5m",
        rehearse=("engine-hang",),
        symptom_of=_STALLED,
        cases=(
            Case(
                "long queue",
                (
                    _engine(inference.INFERENCE_REQUESTS_WAITING, 90),
                    _engine(inference.INFERENCE_REQUESTS_RUNNING, 30),
                ),
                ("n1",),
            ),
            Case(
                "short queue",
                (
                    _engine(inference.INFERENCE_REQUESTS_WAITING, 10),
                    _engine(inference.INFERENCE_REQUESTS_RUNNING, 30),
                ),
            ),
        ),
    ),
    Alert(
        name="InferenceLatencyBudgetBurnsFast",
        expr=_burns("1h", "5m", 14.4, after="10m"),
        severity=Severity.CRITICAL,
        domain=Domain.TOKENS,
        scope=Scope.SITE,
        place="{model}",
        summary="Users of {model} wait too long: {objective} misses its objective",
        description="Over an hour and still now, misses came {value:.0f} times as fast as the objective of "
        "{objective} on {engine} allows.",
        cause="More demand than the replicas can serve, a replica that is slow or gone, or throttled GPUs.",
        consequence="Two days like this hour use up what the objective allows for a month; users notice now.",
        action=Action.NONE,
        first_step="Look which replicas are slow: one (its GPUs, its node) or all (queue: add replicas).",
        board="gw-serving",
        hold="2m",
        symptom_of=("storage", "engine-gone"),
        note="Google's multi-window rule: 14.4 times over 1 h and 5 min is 2 % of a month's budget an hour. "
        "Objectives are set in the configuration of `gigawatch workload`.",
        rehearse=("engine-slow",),
        cases=(
            Case("one of two is late", _first_tokens(5), ("llama",), at="1h20m"),
            Case("all in time", _first_tokens(10), at="1h20m"),
            Case(
                "a frozen engine lives again",
                (
                    *_first_tokens(5),
                    _engine(inference.INFERENCE_STALLED, turning(90, 150, 0)),
                    _engine(inference.INFERENCE_PATIENCE, 20),
                ),
                at="1h20m",
            ),
            Case(
                "long after that",
                (
                    *_first_tokens(5),
                    _engine(inference.INFERENCE_STALLED, turning(90, 60, 0)),
                    _engine(inference.INFERENCE_PATIENCE, 20),
                ),
                ("llama",),
                at="1h20m",
            ),
            Case(
                "a dead engine is back",
                (*_first_tokens(5), _engine(inference.INFERENCE_ENGINE_UP, turning(0, 150, 1))),
                at="1h20m",
            ),
            Case("a few are late", _first_tokens(9.5), at="1h20m"),
        ),
    ),
    Alert(
        name="InferenceLatencyBudgetBurns",
        expr=_burns("6h", "30m", 6, after="45m"),
        severity=Severity.WARNING,
        domain=Domain.TOKENS,
        scope=Scope.SITE,
        place="{model}",
        summary="{model} uses up its latency budget: {objective}",
        description="Over six hours and still now, misses came {value:.0f} times as fast as the objective of "
        "{objective} on {engine} allows.",
        cause="Demand that has grown, longer prompts, or a replica that is slower than the others.",
        consequence="Within five days nothing is left of what the objective allows for a month.",
        action=Action.NONE,
        first_step="Compare the replicas of {model}, then demand and prompt lengths with those of last week.",
        board="gw-serving",
        hold="15m",
        symptom_of=("storage", "engine-gone"),
        note="Six times over 6 h and 30 min is 5 % of a month's budget in six hours.",
        rehearse=("engine-slow",),
        cases=(
            Case("one of ten is late", _first_tokens(9), ("llama",), at="6h30m", step="2m"),
            Case("two of a hundred are late", _first_tokens(9.8), at="6h30m", step="2m"),
        ),
    ),
    Alert(
        name="InferenceCacheFull",
        expr=near_node(max_by(series(inference.INFERENCE_KV_CACHE_USAGE), *_ENGINE) > 0.95, *_WHO),
        severity=Severity.INFO,
        domain=Domain.TOKENS,
        scope=Scope.NODE,
        place=_PLACE,
        summary="The key-value cache of {model} on {node} is full",
        description="{value:percent} of the cache has been in use for ten minutes.",
        cause="Many or long conversations at once.",
        consequence="The engine interrupts requests to make room; throughput falls.",
        action=Action.NONE,
        first_step="Add a replica, or limit the length of contexts.",
        board="gw-serving",
        hold="10m",
        cases=(
            Case("full", (_engine(inference.INFERENCE_KV_CACHE_USAGE, 0.99),), ("n1",), at="15m"),
            Case("room", (_engine(inference.INFERENCE_KV_CACHE_USAGE, 0.7),), at="15m"),
        ),
    ),
    Alert(
        name="InferencePreempting",
        expr=near_node(many_to_one(_preempted, "/", _ended > 0, _ENGINE) > 0.2, *_WHO),
        severity=Severity.WARNING,
        domain=Domain.TOKENS,
        scope=Scope.NODE,
        place=_PLACE,
        summary="{engine} {replica} on {node} throws out {value:.1f} requests for each that it finishes",
        description="Over ten minutes {value:.2f} preemptions for each finished request of {model}.",
        cause="A key-value cache too small for the requests at once: long contexts, or too many sequences.",
        consequence="Thrown-out work is done again; it costs power and time and shows in no token count.",
        action=Action.NONE,
        first_step="Allow fewer sequences at once, give the cache more memory, or add a replica.",
        board="gw-serving",
        hold="10m",
        symptom_of=_STALLED,
        cases=(
            Case(
                "thrashes",
                (
                    _engine(inference.INFERENCE_PREEMPTIONS, rising(30)),
                    _engine(inference.INFERENCE_REQUESTS, rising(60), outcome="stop"),
                ),
                ("n1",),
                at="25m",
            ),
            Case(
                "now and then",
                (
                    _engine(inference.INFERENCE_PREEMPTIONS, rising(1)),
                    _engine(inference.INFERENCE_REQUESTS, rising(60), outcome="stop"),
                ),
                at="25m",
            ),
        ),
    ),
)
