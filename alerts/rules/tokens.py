"""Tokens: inference engines and training jobs, and whether they get their work done."""

from __future__ import annotations

from alerts.cases import Case, Given, given, rising, stopping
from alerts.model import Action, Alert, Domain, Scope, Severity
from alerts.places import NODE, at_node, both, existed
from gigawatch.catalogue import Metric, gpu, workload
from gigawatch.promql import (
    age,
    avg_by,
    many_to_one,
    max_by,
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
_JOB = {"job_id": "42", "model": "llama"}
_STALLED = ("node-down", "gpu-lost", "node-storage", "rack-power", "loop-cooling", "node-cooling")

_busy = max_by(series(workload.INFERENCE_REQUESTS_RUNNING), *_ENGINE).or_(
    max_by(series(workload.INFERENCE_REQUESTS_WAITING), *_ENGINE)
)
_generated = sum_by(rate(series(workload.INFERENCE_TOKENS, kind="generation"), "30s"), *_ENGINE)
_has_work = both(_busy > 0, _generated.equals(0), *_ENGINE)
_finished = sum_by(rate(series(workload.INFERENCE_REQUESTS), "5m"), *_ENGINE)
_failed = sum_by(rate(series(workload.INFERENCE_REQUESTS, outcome="error"), "5m"), *_ENGINE)
_waiting = max_by(series(workload.INFERENCE_REQUESTS_WAITING), *_ENGINE)
_running = max_by(series(workload.INFERENCE_REQUESTS_RUNNING), *_ENGINE)
_tpj = recorded(recording.MODEL_TOKENS_PER_JOULE)
_power = recorded(recording.MODEL_POWER)
_usual_tpj = quantile_over_time(0.5, _tpj, "6h")
_usual_power = quantile_over_time(0.5, _power, "6h")
_hour_ago = existed(_tpj, "1h")


def _engine(metric: Metric, values: float | str, **labels: str) -> Given:
    return given(metric, values, **_WHO, **labels)


def _tokens(values: str) -> Given:
    return _engine(workload.INFERENCE_TOKENS, values, kind="generation", source="computed")


def _energy() -> Given:
    return given(gpu.GPU_ENERGY, rising(15000))


def _serves() -> Given:
    return given(workload.INFERENCE_GPU_INFO, 1, **_WHO)


INFERENCE = (
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
                (_engine(workload.INFERENCE_REQUESTS_RUNNING, 12), _tokens(stopping(3000, 20))),
                ("n1",),
                step="15s",
                carries={"model": "llama", "engine": "vllm"},
            ),
            Case(
                "no requests",
                (_engine(workload.INFERENCE_REQUESTS_RUNNING, 0), _tokens(stopping(3000, 20))),
                step="15s",
            ),
            Case(
                "works", (_engine(workload.INFERENCE_REQUESTS_RUNNING, 12), _tokens(rising(3000))), step="15s"
            ),
            Case("begins, no counter yet", (_engine(workload.INFERENCE_REQUESTS_RUNNING, 12),), step="15s"),
        ),
    ),
    Alert(
        name="InferenceEngineDown",
        expr=at_node(max_by(series(workload.INFERENCE_ENGINE_UP), *_ENGINE).equals(0)),
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
            Case("down", (_engine(workload.INFERENCE_ENGINE_UP, 0),), ("n1",)),
            Case("up", (_engine(workload.INFERENCE_ENGINE_UP, 1),)),
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
                    _engine(workload.INFERENCE_REQUESTS_WAITING, 90),
                    _engine(workload.INFERENCE_REQUESTS_RUNNING, 30),
                ),
                ("n1",),
            ),
            Case(
                "short queue",
                (
                    _engine(workload.INFERENCE_REQUESTS_WAITING, 10),
                    _engine(workload.INFERENCE_REQUESTS_RUNNING, 30),
                ),
            ),
        ),
    ),
    Alert(
        name="InferenceFirstTokenSlow",
        expr=at_node(max_by(series(workload.INFERENCE_TTFT_SECONDS), *_ENGINE) > 5),
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
            Case("slow", (_engine(workload.INFERENCE_TTFT_SECONDS, 9),), ("n1",)),
            Case("quick", (_engine(workload.INFERENCE_TTFT_SECONDS, 0.4),)),
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
                    _engine(workload.INFERENCE_REQUESTS, rising(10), outcome="error"),
                    _engine(workload.INFERENCE_REQUESTS, rising(90), outcome="stop"),
                ),
                ("n1",),
                at="12m",
            ),
            Case(
                "few",
                (
                    _engine(workload.INFERENCE_REQUESTS, rising(1), outcome="error"),
                    _engine(workload.INFERENCE_REQUESTS, rising(90), outcome="stop"),
                ),
                at="12m",
            ),
        ),
    ),
    Alert(
        name="InferenceCacheFull",
        expr=at_node(max_by(series(workload.INFERENCE_KV_CACHE_USAGE), *_ENGINE) > 0.95),
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
            Case("full", (_engine(workload.INFERENCE_KV_CACHE_USAGE, 0.99),), ("n1",), at="15m"),
            Case("room", (_engine(workload.INFERENCE_KV_CACHE_USAGE, 0.7),), at="15m"),
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
                        workload.INFERENCE_TOKENS,
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
                        workload.INFERENCE_TOKENS, rising(60000), kind="generation", source="computed", **_WHO
                    ),
                    _energy(),
                    _serves(),
                ),
                at="1h25m",
            ),
        ),
    ),
)

_RUN = (*NODE, "job_id", "model")
_steps = max_by(rate(series(workload.TRAINING_STEPS), "5m"), *_RUN)
_old_steps = max_by(existed(series(workload.TRAINING_STEPS), "5m"), *_RUN)
_wait = max_by(rate(series(workload.TRAINING_RANK_WAIT), "2m"), *NODE, "gpu", "uuid", "job_id")
_wait_of_job = avg_by(_wait, "site", "job_id")
_checkpoint = max_by(age(series(workload.TRAINING_CHECKPOINT_TIMESTAMP)), *NODE, "job_id", "model")


def _rank(gpu: str, per_step: float) -> Given:
    return given(workload.TRAINING_RANK_WAIT, rising(per_step), gpu=gpu, job_id="42")


TRAINING = (
    Alert(
        name="TrainingStalled",
        expr=at_node(both(_steps.equals(0), _old_steps, *_RUN)),
        severity=Severity.CRITICAL,
        domain=Domain.TOKENS,
        scope=Scope.NODE,
        place="{job_id}",
        summary="Training job {job_id} makes no progress",
        description="Not one optimizer step of {model} within five minutes.",
        cause="A lost GPU or node, storage that does not answer, or a collective operation that waits for "
        "ever.",
        consequence="All its GPUs are held and burn power for nothing.",
        action=Action.RESTART_APP,
        first_step="Look for alerts on the job's nodes; if there are none, take stack traces and restart "
        "it from its "
        "last checkpoint.",
        board="gw-job",
        hold="2m",
        symptom_of=(*_STALLED, "storage"),
        rehearse=("storage-stall",),
        note="Jobs whose single step takes longer than five minutes need a longer window.",
        cases=(
            Case("stands", (given(workload.TRAINING_STEPS, stopping(10, 20), **_JOB),), ("42",), at="20m"),
            Case("runs", (given(workload.TRAINING_STEPS, rising(10), **_JOB),), at="20m"),
            Case("has just begun", (given(workload.TRAINING_STEPS, "_x24 0+0x200", **_JOB),), at="16m"),
            Case("never began", (given(workload.TRAINING_STEPS, "_x24 0+0x200", **_JOB),), ("42",), at="22m"),
            Case(
                "writes a checkpoint",
                (given(workload.TRAINING_STEPS, "0+10x20 200+0x4 210+10x100", **_JOB),),
                at="14m",
            ),
        ),
    ),
    Alert(
        name="TrainingStraggler",
        expr=at_node(
            both(
                many_to_one(_wait, "<", _wait_of_job * 0.3, ("site", "job_id")),
                _wait_of_job > 0.15,
                "site",
                "job_id",
            )
        ),
        severity=Severity.WARNING,
        domain=Domain.TOKENS,
        scope=Scope.GPU,
        summary="Job {job_id} waits for GPU {gpu} of {node}",
        description="The other ranks wait a large part of their time; this one waits {value:percent} and "
        "is the one "
        "they wait for.",
        cause="A GPU that is throttled, capped or held at low clocks; a slow link; or uneven work.",
        consequence="The whole job runs at the speed of this one GPU.",
        action=Action.DRAIN,
        first_step="Compare clocks, power and temperature of GPU {gpu} with its neighbours.",
        board="gw-job",
        hold="1m",
        rehearse=("straggler",),
        symptom_of=_STALLED,
        cases=(
            Case(
                "one never waits",
                (_rank("0", 0.2), _rank("1", 12), _rank("2", 12), _rank("3", 12)),
                ("n1/gpu0",),
            ),
            Case("all wait alike", (_rank("0", 6), _rank("1", 6), _rank("2", 7))),
            Case("nobody waits long", (_rank("0", 0.1), _rank("1", 2), _rank("2", 2))),
        ),
    ),
    Alert(
        name="CheckpointOverdue",
        expr=at_node(_checkpoint > 7200),
        severity=Severity.WARNING,
        domain=Domain.TOKENS,
        scope=Scope.NODE,
        place="{job_id}",
        summary="Job {job_id} wrote its last checkpoint {value:duration} ago",
        description="The last complete checkpoint of {model} is {value:duration} old.",
        cause="Storage that is slow or full, or a job that was set up without checkpoints.",
        consequence="Any failure now throws that much work away.",
        action=Action.NONE,
        first_step="Look at storage, then ask the job's owner.",
        board="gw-job",
        hold="5m",
        symptom_of=(*_STALLED, "storage"),
        cases=(
            Case(
                "overdue",
                (given(workload.TRAINING_CHECKPOINT_TIMESTAMP, 60, **_JOB),),
                ("42",),
                at="2h10m",
                step="2m",
            ),
            Case(
                "recent",
                (given(workload.TRAINING_CHECKPOINT_TIMESTAMP, 3600, **_JOB),),
                at="2h10m",
                step="2m",
            ),
        ),
    ),
)

ALERTS = (*INFERENCE, *TRAINING)
