"""What tokens cost.

A replica is charged with capital and fixed cost of the site by its GPUs, and with the site's energy by their
power, as jobs are; what nobody uses stays with the site. Money is reckoned over an hour, cost and tokens each
summed first, because at little traffic the quotient of a minute explodes; the figure of the minute stands
beside it for models and sites.
"""

from __future__ import annotations

from gigawatch.catalogue import Unit
from gigawatch.promql.expr import on, sum_over_time
from gigawatch.promql.recording.charge import JOB_COST
from gigawatch.promql.recording.drawn import REPLICA_COMPUTED_CHARGED, REPLICA_COST, REPLICA_TOKENS_CHARGED
from gigawatch.promql.recording.efficiency import JOB_TOKENS_5M, OVER_JOBS, OVER_REPLICAS, Over
from gigawatch.promql.rule import Recorded, recorded

_HOUR = "1h"
_GENERATED = "a million tokens generated"
_COMPUTED = "a million tokens, generated ones and computed ones of prompts together"
_TRAINED = "a million training tokens"


def _price(
    level: str, metric: str, what: str, cost: Recorded, tokens: Recorded, over: Over, window: str = _HOUR
) -> Recorded:
    """Dollars per million tokens, of those (replicas, jobs) that have both a cost and tokens."""
    keys = sorted(tokens.queried_labels)
    spent, made = recorded(cost), recorded(tokens)
    if window == _HOUR:
        dollars = over(on(sum_over_time(spent, _HOUR), "and", made, *keys))
        done = over(sum_over_time(made, _HOUR))
    else:
        dollars, done = over(on(spent, "and", made, *keys)), over(made)
    return Recorded(
        f"{level}:aif_{metric}:rate{window}",
        (dollars / 3600 / (done > 0) * 1e6).in_unit(Unit.USD_PER_MILLION_TOKENS),
        f"Cost of {what}, by {level}, over {'an hour' if window == _HOUR else 'a minute'}: GPUs bear capital "
        "and fixed cost of the site, power its energy.",
        Unit.USD_PER_MILLION_TOKENS,
    )


def _of_generated(level: str, window: str = _HOUR) -> Recorded:
    over = OVER_REPLICAS[level]
    return _price(
        level, "usd_per_million_tokens", _GENERATED, REPLICA_COST, REPLICA_TOKENS_CHARGED, over, window
    )


def _of_computed(level: str) -> Recorded:
    over = OVER_REPLICAS[level]
    return _price(
        level, "usd_per_million_computed_tokens", _COMPUTED, REPLICA_COST, REPLICA_COMPUTED_CHARGED, over
    )


def _of_trained(level: str) -> Recorded:
    return _price(
        level, "usd_per_million_training_tokens", _TRAINED, JOB_COST, JOB_TOKENS_CHARGED, OVER_JOBS[level]
    )


MODEL_USD_PER_MTOKEN = _of_generated("model", "1m")
SITE_USD_PER_MTOKEN = _of_generated("site", "1m")
MODEL_USD_PER_MTOKEN_1H = _of_generated("model")
JOB_USD_PER_MTOKEN_1H = _of_generated("job")
USER_USD_PER_MTOKEN_1H = _of_generated("user")
NAMESPACE_USD_PER_MTOKEN_1H = _of_generated("namespace")
RACK_USD_PER_MTOKEN_1H = _of_generated("rack")
SITE_USD_PER_MTOKEN_1H = _of_generated("site")
MODEL_USD_PER_MCOMPUTED_1H = _of_computed("model")
SITE_USD_PER_MCOMPUTED_1H = _of_computed("site")
MODEL_COST = Recorded(
    "model:aif_cost_usd_per_hour:sum",
    OVER_REPLICAS["model"](recorded(REPLICA_COST)),
    "What the GPUs that serve a model cost per hour.",
    Unit.USD_PER_HOUR,
)

JOB_TOKENS_CHARGED = Recorded(
    "job:aif_training_tokens:charged",
    on(recorded(JOB_TOKENS_5M), "and", recorded(JOB_COST), "site", "job_id"),
    "Tokens per second that a training job whose cost is known works through.",
    Unit.TOKENS_PER_SECOND,
)
JOB_USD_PER_MTRAINING_1H = _of_trained("job")
USER_USD_PER_MTRAINING_1H = _of_trained("user")
NAMESPACE_USD_PER_MTRAINING_1H = _of_trained("namespace")
MODEL_USD_PER_MTRAINING_1H = _of_trained("model")
SITE_USD_PER_MTRAINING_1H = _of_trained("site")
