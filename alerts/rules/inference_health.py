"""Inference engines: dead, frozen, silent or unwell, and whether we still understand what they say."""

from __future__ import annotations

from alerts.cases import Case, Given, given, rising, turning
from alerts.model import Action, Alert, Domain, Scope, Severity
from alerts.places import NODE, both, near_node, without
from gigawatch.catalogue import Metric, inference
from gigawatch.promql import Expr, increase, many_to_one, max_by, on, series, sum_by

_WHO = ("engine", "model", "replica")
_ENGINE = (*NODE, *_WHO)
_PROGRAM = (*NODE, "engine", "replica")
_VLLM = {"engine": "vllm", "model": "llama", "replica": "0"}
_TARGET = {"engine": "vllm", "replica": "0"}
_STALLED = ("node-down", "gpu-lost", "node-storage", "rack-power")
"""Not cooling: hot GPUs are slow, and what is too hot to work at all is lost."""
_PLACE = "{node|replica}"


def _of(metric: Metric) -> Expr:
    return max_by(series(metric), *_ENGINE)


_up = _of(inference.INFERENCE_ENGINE_UP)
_unhealthy = _of(inference.INFERENCE_ENGINE_HEALTHY).equals(0)
_refused = sum_by(increase(series(inference.INFERENCE_SCRAPE_ERRORS, error="refused"), "1m"), *_PROGRAM) > 0
_stalled = on(_of(inference.INFERENCE_STALLED), ">", _of(inference.INFERENCE_PATIENCE), *_ENGINE)
_gone = both(_up.equals(0), _refused, *_PROGRAM)
_frozen = without(_stalled, _unhealthy, *_ENGINE)
_running = _of(inference.INFERENCE_REQUESTS_RUNNING)
_waiting = _of(inference.INFERENCE_REQUESTS_WAITING)
_finished = sum_by(increase(series(inference.INFERENCE_REQUESTS), "5m"), *_ENGINE)
_failed = sum_by(increase(series(inference.INFERENCE_REQUESTS, outcome="error"), "5m"), *_ENGINE)


def _engine(metric: Metric, values: float | str, **labels: str) -> Given:
    return given(metric, values, **_VLLM, **labels)


def _errors(kind: str, values: float | str) -> Given:
    return given(inference.INFERENCE_SCRAPE_ERRORS, values, error=kind, **_TARGET)


def _stands(seconds: float) -> tuple[Given, ...]:
    return (
        _engine(inference.INFERENCE_STALLED, seconds),
        _engine(inference.INFERENCE_PATIENCE, 20),
        _engine(inference.INFERENCE_ENGINE_UP, 1),
    )


ALERTS = (
    Alert(
        name="InferenceEngineHung",
        expr=near_node(_frozen, *_WHO),
        severity=Severity.CRITICAL,
        domain=Domain.TOKENS,
        scope=Scope.NODE,
        place=_PLACE,
        summary="{engine} {replica} on {node} takes requests and gets nothing done",
        description="Requests for model {model} have been there for {value:duration} in which the engine "
        "did not a single step, though its metrics still answer. Its health route often says all is well.",
        cause="The engine's core hangs: a GPU of its group is gone, a collective operation waits for ever, "
        "or its scheduler is stuck.",
        consequence="Every request to replica {replica} of {model} runs into its timeout.",
        action=Action.RESTART_APP,
        first_step="Take the replica out of the load balancer, then restart it.",
        board="gw-serving",
        hold="0s",
        keep="1m",
        steps=(
            "Before the restart: save a stack trace (py-spy dump) if the engine is in Python.",
            "Look for XIDs and lost GPUs on the node; then it is they.",
        ),
        note="How long an engine may stand still follows from what it counts when: each dialect says so. "
        "Engines that count only when a request ends, and show no other sign of work, are not judged.",
        rehearse=("engine-hang",),
        symptom_of=_STALLED,
        cases=(
            Case("frozen", _stands(45), ("n1",), carries={"model": "llama", "engine": "vllm"}),
            Case("within its patience", _stands(12)),
            Case("idle or at work", _stands(0)),
            Case(
                "known to be dead",
                (*_stands(45), _engine(inference.INFERENCE_ENGINE_HEALTHY, 0)),
            ),
            Case("never judged", (_engine(inference.INFERENCE_STALLED, 600),)),
        ),
    ),
    Alert(
        name="InferenceEngineDown",
        expr=near_node(_gone, *_WHO),
        severity=Severity.CRITICAL,
        domain=Domain.TOKENS,
        scope=Scope.NODE,
        place=_PLACE,
        summary="{engine} {replica} on {node} is dead",
        description="Nobody listens any more where the engine's metrics were.",
        cause="The process ended: out of memory, a lost GPU, a crash, or somebody stopped it.",
        consequence="Replica {replica} of {model} serves nobody.",
        action=Action.RESTART_APP,
        first_step="Read the last lines of its log, then restart it.",
        board="gw-serving",
        hold="15s",
        rehearse=("engine-hang",),
        symptom_of=_STALLED,
        note="An engine that was taken away on purpose goes from the configuration or from Kubernetes, and "
        "its alert with it.",
        cases=(
            Case("dead", (_engine(inference.INFERENCE_ENGINE_UP, 0), _errors("refused", rising(6))), ("n1",)),
            Case("up", (_engine(inference.INFERENCE_ENGINE_UP, 1), _errors("refused", 6))),
            Case("slow", (_engine(inference.INFERENCE_ENGINE_UP, 0), _errors("timeout", rising(6)))),
        ),
    ),
    Alert(
        name="InferenceEngineUnhealthy",
        expr=near_node(both(_unhealthy, _up > 0, *_ENGINE), *_WHO),
        severity=Severity.CRITICAL,
        domain=Domain.TOKENS,
        scope=Scope.NODE,
        place=_PLACE,
        summary="{engine} {replica} on {node} says that it is not healthy",
        description="Its metrics answer, and its health route says no: the part that does the work is dead.",
        cause="The engine's core crashed (out of memory, a lost GPU) and its server outlived it for a while.",
        consequence="Replica {replica} of {model} answers requests with errors.",
        action=Action.RESTART_APP,
        first_step="Read its log for the first error, then restart it.",
        board="gw-serving",
        hold="15s",
        keep="30s",
        symptom_of=_STALLED,
        note="vLLM with a killed core answers so until its server ends too. Engines that load a model say no "
        "as well; those have no metrics yet.",
        cases=(
            Case(
                "core is dead",
                (_engine(inference.INFERENCE_ENGINE_HEALTHY, 0), _engine(inference.INFERENCE_ENGINE_UP, 1)),
                ("n1",),
            ),
            Case(
                "healthy",
                (_engine(inference.INFERENCE_ENGINE_HEALTHY, 1), _engine(inference.INFERENCE_ENGINE_UP, 1)),
            ),
        ),
    ),
    Alert(
        name="InferenceEngineSilent",
        expr=near_node(without(_up.equals(0), _refused, *_PROGRAM), *_WHO),
        severity=Severity.CRITICAL,
        domain=Domain.TOKENS,
        scope=Scope.NODE,
        place=_PLACE,
        summary="{engine} {replica} on {node} lives, and its metrics do not come",
        description="For three minutes no scrape of the engine gave metrics, though somebody listens there.",
        cause="A server that is overloaded or hangs so hard that it does not even answer; a network that "
        "lets connections open and nothing through; or a path or flag that is wrong since a roll-out.",
        consequence="Whether replica {replica} of {model} serves anybody is not known.",
        action=Action.RESTART_APP,
        first_step="Ask the replica for one token by hand; restart it if none comes.",
        board="gw-serving",
        hold="3m",
        steps=(
            "The log of `gigawatch workload` says what came back instead of metrics.",
            "docs/reference/engines.md lists path and flags for each engine.",
        ),
        symptom_of=_STALLED,
        cases=(
            Case(
                "times out",
                (_engine(inference.INFERENCE_ENGINE_UP, 0), _errors("timeout", rising(6))),
                ("n1",),
            ),
            Case("one failed scrape", (_engine(inference.INFERENCE_ENGINE_UP, turning(0, 1, 1)),)),
            Case("dead", (_engine(inference.INFERENCE_ENGINE_UP, 0), _errors("refused", rising(6)))),
        ),
    ),
    Alert(
        name="InferenceErrors",
        expr=near_node(many_to_one(_failed, "/", _finished > 0, _ENGINE) > 0.05, *_WHO),
        severity=Severity.WARNING,
        domain=Domain.TOKENS,
        scope=Scope.NODE,
        place=_PLACE,
        summary="{value:percent} of the requests to {model} on {node} fail",
        description="{value:percent} of the requests of five minutes ended with an error.",
        cause="Requests that are too long, memory that is short, or a fault of the engine.",
        consequence="Users get errors from replica {replica}.",
        action=Action.RESTART_APP,
        first_step="Read the engine's log for the error that repeats.",
        board="gw-serving",
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
        name="InferenceMetricsDrifted",
        expr=near_node(max_by(series(inference.INFERENCE_MISSING), *_PROGRAM) > 0, "engine", "replica"),
        severity=Severity.WARNING,
        domain=Domain.TOKENS,
        scope=Scope.NODE,
        place=_PLACE,
        summary="{engine} {replica} on {node} lacks {value:.0f} metrics that it should give",
        description="The dialect for {engine} expects {value:.0f} metrics that this engine does not give.",
        cause="A newer version of the engine that renamed them, or a flag that switches them off.",
        consequence="Figures of this engine are missing: boards have gaps and alerts on it may be blind.",
        action=Action.NONE,
        first_step="Read the log of `gigawatch workload`: it names them, and flags to set.",
        board="gw-serving",
        hold="10m",
        steps=("Renamed: add the new name to the dialect, see docs/adding-an-engine.md.",),
        cases=(
            Case("renamed", (given(inference.INFERENCE_MISSING, 2, **_TARGET),), ("n1",), at="15m"),
            Case("all there", (given(inference.INFERENCE_MISSING, 0, **_TARGET),), at="15m"),
        ),
    ),
    Alert(
        name="InferenceMetricsUnmapped",
        expr=near_node(max_by(series(inference.INFERENCE_UNMAPPED), *_PROGRAM) > 0, "engine", "replica"),
        severity=Severity.INFO,
        domain=Domain.TOKENS,
        scope=Scope.NODE,
        place=_PLACE,
        summary="{engine} {replica} on {node} gives {value:.0f} metrics that nobody reads",
        description="{value:.0f} names stand in no list of the dialect for {engine}.",
        cause="A newer version of the engine, or a plug-in of it.",
        consequence="Nothing is lost yet; a figure that you may want is not collected.",
        action=Action.NONE,
        first_step="Read the log of `gigawatch workload`: it names them.",
        board="gw-serving",
        hold="10m",
        cases=(
            Case("new names", (given(inference.INFERENCE_UNMAPPED, 3, **_TARGET),), ("n1",), at="15m"),
            Case("all known", (given(inference.INFERENCE_UNMAPPED, 0, **_TARGET),), at="15m"),
        ),
    ),
)
