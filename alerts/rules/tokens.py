"""Tokens: inference engines, and whether they get their work done."""

from __future__ import annotations

from alerts.cases import Case, Given, given, rising, stopping
from alerts.model import Action, Alert, Domain, Scope, Severity
from alerts.places import NODE, at_node, both, existed
from gigawatch.catalogue import Metric, gpu, inference
from gigawatch.promql import (
    many_to_one,
    max_by,
    mean,
    on,
    quantile_over_time,
    rate,
    recorded,
    recording,
    series,
    sum_by,
)

_ENGINE = (*NODE, "engine", "model", "replica")
_WHO = {"engine": "vllm", "model": "llama", "replica": "0"}
_STALLED = ("node-down", "gpu-lost", "node-storage", "rack-power", "loop-cooling", "node-cooling")

_busy = max_by(series(inference.INFERENCE_REQUESTS_RUNNING), *_ENGINE).or_(
    max_by(series(inference.INFERENCE_REQUESTS_WAITING), *_ENGINE)
)
_generated = sum_by(rate(series(inference.INFERENCE_TOKENS, kind="generation"), "30s"), *_ENGINE)
_has_work = both(_busy > 0, _generated.equals(0), *_ENGINE)
_finished = sum_by(rate(series(inference.INFERENCE_REQUESTS), "5m"), *_ENGINE)
_failed = sum_by(rate(series(inference.INFERENCE_REQUESTS, outcome="error"), "5m"), *_ENGINE)
_waiting = max_by(series(inference.INFERENCE_REQUESTS_WAITING), *_ENGINE)
_running = max_by(series(inference.INFERENCE_REQUESTS_RUNNING), *_ENGINE)
_tpj = recorded(recording.MODEL_TOKENS_PER_JOULE)
_power = recorded(recording.MODEL_POWER)
_usual_tpj = quantile_over_time(0.5, _tpj, "6h")
_usual_power = quantile_over_time(0.5, _power, "6h")
_hour_ago = existed(_tpj, "1h")


def _engine(metric: Metric, values: float | str, **labels: str) -> Given:
    return given(metric, values, **_WHO, **labels)


def _tokens(values: str) -> Given:
    return _engine(inference.INFERENCE_TOKENS, values, kind="generation", source="computed")


def _first_tokens(seconds: float) -> tuple[Given, ...]:
    """Ten requests a step, each waiting that long for its first token."""
    metric = inference.INFERENCE_TTFT
    return (
        given(metric, rising(10 * seconds), part="sum", **_WHO),
        given(metric, rising(10), part="count", **_WHO),
    )


def _energy() -> Given:
    return given(gpu.GPU_ENERGY, rising(15000))


def _serves() -> Given:
    return given(inference.INFERENCE_GPU_INFO, 1, **_WHO)


ALERTS = (
    Alert(
        name="InferenceEngineHung",
        expr=at_node(_has_work),
        severity=Severity.CRITICAL,
        domain=Domain.TOKENS,
        scope=Scope.NODE,
        summary="{engine} on {node} takes requests and generates nothing",
        description="{value:.0f} requests of model {model} are in work, and not one token came out for "
        "half a minute "
        "and longer.",
        cause="The engine's scheduler hangs, a GPU of its group is gone, or a collective operation waits "
        "for ever.",
        consequence="Every request to replica {replica} of {model} runs into its timeout.",
        action=Action.RESTART_APP,
        first_step="Take the replica out of the load balancer, then restart it.",
        board="gw-tokens",
        hold="30s",
        keep="1m",
        steps=(
            "Before the restart: save a stack trace (py-spy dump) if the engine is in Python.",
            "Look for XIDs and lost GPUs on the node; then it is they.",
        ),
        rehearse=("engine-hang",),
        symptom_of=_STALLED,
        cases=(
            Case(
                "hangs",
                (_engine(inference.INFERENCE_REQUESTS_RUNNING, 12), _tokens(stopping(3000, 20))),
                ("n1",),
                step="15s",
                carries={"model": "llama", "engine": "vllm"},
            ),
            Case(
                "no requests",
                (_engine(inference.INFERENCE_REQUESTS_RUNNING, 0), _tokens(stopping(3000, 20))),
                step="15s",
            ),
            Case(
                "works",
                (_engine(inference.INFERENCE_REQUESTS_RUNNING, 12), _tokens(rising(3000))),
                step="15s",
            ),
            Case("begins, no counter yet", (_engine(inference.INFERENCE_REQUESTS_RUNNING, 12),), step="15s"),
        ),
    ),
    Alert(
        name="InferenceEngineDown",
        expr=at_node(max_by(series(inference.INFERENCE_ENGINE_UP), *_ENGINE).equals(0)),
        severity=Severity.CRITICAL,
        domain=Domain.TOKENS,
        scope=Scope.NODE,
        summary="{engine} on {node} does not answer",
        description="The engine's metrics page has not answered for a minute.",
        cause="The process ended (out of memory, a lost GPU), or it hangs so hard that it does not even "
        "answer.",
        consequence="Replica {replica} of {model} serves nobody.",
        action=Action.RESTART_APP,
        first_step="Read the last lines of its log, then restart it.",
        board="gw-tokens",
        hold="1m",
        rehearse=("engine-hang",),
        symptom_of=_STALLED,
        cases=(
            Case("down", (_engine(inference.INFERENCE_ENGINE_UP, 0),), ("n1",)),
            Case("up", (_engine(inference.INFERENCE_ENGINE_UP, 1),)),
        ),
    ),
    Alert(
        name="InferenceQueueGrowing",
        expr=at_node(many_to_one(_waiting, ">", _running * 2, _ENGINE) > 20),
        severity=Severity.WARNING,
        domain=Domain.TOKENS,
        scope=Scope.NODE,
        summary="{value:.0f} requests wait for {model} on {node}",
        description="{value:.0f} requests wait, more than twice as many as are worked on.",
        cause="More demand than the replicas can serve, or a replica that is slow or gone.",
        consequence="Users wait; the time to the first token grows with the queue.",
        action=Action.NONE,
        first_step="Compare the replicas: one slow (look at its GPUs) or all full (add replicas).",
        board="gw-tokens",
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
        name="InferenceFirstTokenSlow",
        expr=at_node(mean(inference.INFERENCE_TTFT, "1m", *_ENGINE) > 5),
        severity=Severity.WARNING,
        domain=Domain.TOKENS,
        scope=Scope.NODE,
        summary="First tokens of {model} on {node} take {value:.1f} s",
        description="Mean time to the first token {value:.1f} s over the last minute.",
        cause="A queue, very long prompts, or GPUs that are throttled.",
        consequence="Users notice; those who time out ask again and make it worse.",
        action=Action.NONE,
        first_step="Look at the queue, then at clocks and temperatures of the node's GPUs.",
        board="gw-tokens",
        hold="5m",
        rehearse=("engine-hang",),
        symptom_of=_STALLED,
        cases=(
            Case("slow", _first_tokens(9), ("n1",)),
            Case("quick", _first_tokens(0.4)),
        ),
    ),
    Alert(
        name="InferenceErrors",
        expr=at_node(many_to_one(_failed, "/", _finished > 0, _ENGINE) > 0.05),
        severity=Severity.WARNING,
        domain=Domain.TOKENS,
        scope=Scope.NODE,
        summary="{value:percent} of the requests to {model} on {node} fail",
        description="{value:percent} of the requests of five minutes ended with an error.",
        cause="Requests that are too long, memory that is short, or a fault of the engine.",
        consequence="Users get errors from replica {replica}.",
        action=Action.RESTART_APP,
        first_step="Read the engine's log for the error that repeats.",
        board="gw-tokens",
        hold="5m",
        symptom_of=_STALLED,
        cases=(
            Case(
                "many",
                (
                    _engine(inference.INFERENCE_REQUESTS, rising(10), outcome="error"),
                    _engine(inference.INFERENCE_REQUESTS, rising(90), outcome="stop"),
                ),
                ("n1",),
                at="12m",
            ),
            Case(
                "few",
                (
                    _engine(inference.INFERENCE_REQUESTS, rising(1), outcome="error"),
                    _engine(inference.INFERENCE_REQUESTS, rising(90), outcome="stop"),
                ),
                at="12m",
            ),
        ),
    ),
    Alert(
        name="InferenceCacheFull",
        expr=at_node(max_by(series(inference.INFERENCE_KV_CACHE_USAGE), *_ENGINE) > 0.95),
        severity=Severity.INFO,
        domain=Domain.TOKENS,
        scope=Scope.NODE,
        summary="The key-value cache of {model} on {node} is full",
        description="{value:percent} of the cache has been in use for ten minutes.",
        cause="Many or long conversations at once.",
        consequence="The engine interrupts requests to make room; throughput falls.",
        action=Action.NONE,
        first_step="Add a replica, or limit the length of contexts.",
        board="gw-tokens",
        hold="10m",
        cases=(
            Case("full", (_engine(inference.INFERENCE_KV_CACHE_USAGE, 0.99),), ("n1",), at="15m"),
            Case("room", (_engine(inference.INFERENCE_KV_CACHE_USAGE, 0.7),), at="15m"),
        ),
    ),
    Alert(
        name="TokensPerJouleDropped",
        expr=both(
            many_to_one(_tpj, "<", _usual_tpj * 0.6, ("site", "model")),
            both(on(_power, ">", _usual_power * 0.9, "site", "model"), _hour_ago, "site", "model"),
            "site",
            "model",
        ),
        severity=Severity.WARNING,
        domain=Domain.TOKENS,
        scope=Scope.SITE,
        place="{model}",
        summary="{model} makes {value:.3f} tokens per joule, much less than usual",
        description="Below 60 % of its median of six hours, while its GPUs draw as much power as ever.",
        cause="Throttled or spinning GPUs, a bad roll-out of the engine, or requests of another kind.",
        consequence="The same tokens cost much more energy and capacity.",
        action=Action.NONE,
        first_step="Compare the replicas of {model}; look at clocks, then at what was changed last.",
        board="gw-tokens",
        hold="15m",
        note="Judged only while power is at its usual level, because efficiency falls at night by itself, "
        "and only after an hour of history.",
        symptom_of=("storage",),
        cases=(
            Case(
                "half",
                (
                    given(
                        inference.INFERENCE_TOKENS,
                        "0+60000x120 7200000+20000x200",
                        kind="generation",
                        source="computed",
                        **_WHO,
                    ),
                    _energy(),
                    _serves(),
                ),
                ("llama",),
                at="1h25m",
            ),
            Case(
                "as ever",
                (
                    given(
                        inference.INFERENCE_TOKENS,
                        rising(60000),
                        kind="generation",
                        source="computed",
                        **_WHO,
                    ),
                    _energy(),
                    _serves(),
                ),
                at="1h25m",
            ),
        ),
    ),
)
