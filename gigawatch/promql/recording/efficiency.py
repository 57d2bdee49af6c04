"""Tokens per joule: of generation and of training, at three scopes, for whoever asks.

Only tokens whose energy is known are divided by energy, and only the energy of those. The energy of an
engine's GPUs includes that of reading prompts; the tokens are those generated. Training tokens stand apart. A
job that generates and trains (reinforcement learning) has all its energy in both figures.
"""

from __future__ import annotations

from collections.abc import Callable

from gigawatch.catalogue import Unit, training
from gigawatch.promql.expr import Expr, many_to_one, max_by, on, rate, series, sum_by
from gigawatch.promql.joins import sole
from gigawatch.promql.recording.common import LONG_WINDOW, MODEL, PAIR, RACK, SITE, Scopes, complete
from gigawatch.promql.recording.drawn import GPU_NODE_POWER, REPLICA_POWER, facility_power
from gigawatch.promql.recording.generated import REPLICA_TOKENS, on_nodes
from gigawatch.promql.recording.gpu import GPU_ENERGY_RATE, GPU_ENERGY_RATE_LONG
from gigawatch.promql.recording.held import GPU_SHARE
from gigawatch.promql.recording.holder import JOB, NAMESPACE, USER
from gigawatch.promql.recording.owner import REPLICA_JOB, REPLICA_NAMESPACE, REPLICA_USER
from gigawatch.promql.rule import Recorded, recorded

Over = Callable[[Expr], Expr]
_JOB = ("site", "job_id")
_SCOPE_TEXTS = {
    "gpu": "per joule of their GPUs",
    "node": "per joule of their nodes, by their part in the GPUs",
    "facility": "per joule that the site buys for them",
}


def _per_joule(level: str, metric: str, what: str, tokens: Recorded, powers: Scopes, over: Over) -> Scopes:
    keys = sorted(tokens.queried_labels)

    def at(scope: str, power: Recorded) -> Recorded:
        known = over(on(recorded(tokens), "and", recorded(power), *keys))
        drawn = over(on(recorded(power), "and", recorded(tokens), *keys))
        return Recorded(
            f"{level}:aif_{metric}:{scope}",
            (known / (drawn > 0)).in_unit(Unit.TOKENS_PER_JOULE),
            f"{what.format(level)} {_SCOPE_TEXTS[scope]}; only those of whose GPUs all tell their energy.",
            Unit.TOKENS_PER_JOULE,
        )

    return Scopes(at("gpu", powers.gpu), at("node", powers.node), at("facility", powers.facility))


def over_model(values: Expr) -> Expr:
    return sum_by(values, *MODEL)


def over_site(values: Expr) -> Expr:
    return sum_by(values, *SITE)


def over_rack(values: Expr) -> Expr:
    return on_nodes(values, *RACK)


OVER_REPLICAS: dict[str, Over] = {
    "model": over_model,
    "job": lambda values: JOB.over_replicas(values, REPLICA_JOB),
    "user": lambda values: USER.over_replicas(values, REPLICA_USER),
    "namespace": lambda values: NAMESPACE.over_replicas(values, REPLICA_NAMESPACE),
    "rack": over_rack,
    "site": over_site,
}
"""How a figure of each replica adds up."""


def _generated(level: str) -> Scopes:
    return _per_joule(
        level,
        "tokens_per_joule",
        "Tokens generated, by {},",
        REPLICA_TOKENS,
        REPLICA_POWER,
        OVER_REPLICAS[level],
    )


MODEL_TPJ = _generated("model")
JOB_TPJ = _generated("job")
USER_TPJ = _generated("user")
NAMESPACE_TPJ = _generated("namespace")
RACK_TPJ = _generated("rack")
SITE_TPJ = _generated("site")
MODEL_TOKENS_PER_JOULE = MODEL_TPJ.gpu
SITE_TOKENS_PER_JOULE = SITE_TPJ.facility


def _known(level: str, *by: str) -> Recorded:
    all_tokens = sum_by(recorded(REPLICA_TOKENS), *by)
    known = sum_by(on(recorded(REPLICA_TOKENS), "and", recorded(REPLICA_POWER.gpu), *PAIR), *by)
    return Recorded(
        f"{level}:aif_inference_tokens:known",
        (known.or_(all_tokens * 0) / (all_tokens > 0)).in_unit(Unit.RATIO),
        "Share of the tokens generated whose GPUs and energy are known: what tokens per joule rests on.",
        Unit.RATIO,
    )


MODEL_TOKENS_KNOWN = _known("model", *MODEL)
SITE_TOKENS_KNOWN = _known("site", *SITE)

# Training: tokens come with each step, which may take a minute.
JOB_TOKENS_5M = Recorded(
    "job:aif_training_tokens:rate5m",
    sum_by(rate(series(training.TRAINING_TOKENS), LONG_WINDOW), *_JOB),
    "Tokens per second that a training job works through, over five minutes.",
    Unit.TOKENS_PER_SECOND,
)
_JOB_GPU_POWER = Recorded(
    "job:aif_gpu_energy_joules:rate5m",
    complete(recorded(GPU_SHARE), recorded(GPU_ENERGY_RATE_LONG), *_JOB),
    "Power of a job's GPUs from their energy counters, over five minutes; absent unless all of them tell it.",
    Unit.WATTS,
)
_overhead = complete(recorded(GPU_SHARE), recorded(GPU_NODE_POWER), *_JOB) / (
    complete(recorded(GPU_SHARE), recorded(GPU_ENERGY_RATE), *_JOB) > 0
)
_JOB_NODE_POWER = Recorded(
    "job:aif_node_power_watts:sum",
    (recorded(_JOB_GPU_POWER) * _overhead).in_unit(Unit.WATTS),
    "Power of a job's GPUs with their part of what their nodes draw besides.",
    Unit.WATTS,
)
_JOB_FACILITY_POWER = Recorded(
    "job:aif_facility_power_watts:sum",
    facility_power(recorded(_JOB_GPU_POWER), recorded(_JOB_NODE_POWER)),
    "Power that the site buys for a job: that of its nodes times the PUE; where no node tells its power, by "
    "its share of GPU power (an estimate).",
    Unit.WATTS,
)
JOB_DRAWN = Scopes(_JOB_GPU_POWER, _JOB_NODE_POWER, _JOB_FACILITY_POWER)

_model_of = sole(max_by(series(training.TRAINING_TOKENS), *_JOB, "model"), *_JOB) * 0 + 1
_in_rack = sum_by(recorded(GPU_SHARE), *RACK, "job_id")
_rack_share = many_to_one(_in_rack, "/", sum_by(_in_rack, *_JOB), _JOB)
OVER_JOBS: dict[str, Over] = {
    "model": lambda values: sum_by(many_to_one(values, "*", _model_of, _JOB, ("model",)), *MODEL),
    "job": lambda values: values,
    "user": USER.over_jobs,
    "namespace": NAMESPACE.over_jobs,
    "rack": lambda values: sum_by(many_to_one(_rack_share, "*", values, _JOB), *RACK),
    "site": over_site,
}
"""How a figure of each job adds up; that of a job over several racks by its GPUs in each."""


def _trained(level: str) -> Scopes:
    return _per_joule(
        level,
        "training_tokens_per_joule",
        "Training tokens, by {},",
        JOB_TOKENS_5M,
        JOB_DRAWN,
        OVER_JOBS[level],
    )


MODEL_TRAINING_TPJ = _trained("model")
JOB_TRAINING_TPJ = _trained("job")
USER_TRAINING_TPJ = _trained("user")
NAMESPACE_TRAINING_TPJ = _trained("namespace")
RACK_TRAINING_TPJ = _trained("rack")
SITE_TRAINING_TPJ = _trained("site")
