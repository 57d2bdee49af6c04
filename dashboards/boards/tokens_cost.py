"""The sections of gw-tokens about money and about the stages of pipelines."""

from __future__ import annotations

from dashboards import limits
from dashboards.boards.common import SITE
from dashboards.model import Panel, Section
from dashboards.panels import Column, Line, alarm, table, timeseries
from gigawatch.promql import Match, Recorded, matches, max_by, recorded, sum_by
from gigawatch.promql import recording as rec

_MODEL: dict[str, str | Match] = {**SITE, "model": matches("$model")}
_ESTIMATE = "An estimate: capital and fixed cost by GPUs, energy by measured power, over the last hour."


def _by_model(rule: Recorded) -> Line:
    return Line(max_by(recorded(rule, **_MODEL), "site", "model"), "{{model}}")


def _of(rule: Recorded) -> Line:
    return Line(max_by(recorded(rule, **SITE), "site"), "{{site}} overall", dashed=True)


def cost() -> Section:
    """What tokens cost, and who pays."""
    return Section(
        "Cost",
        (
            timeseries(
                "Cost per million tokens by model",
                f"What does a million generated tokens cost? {_ESTIMATE}",
                _by_model(rec.MODEL_USD_PER_MTOKEN_1H),
                _of(rec.SITE_USD_PER_MTOKEN_1H),
                low=0,
                decimals=2,
            ),
            timeseries(
                "Cost per million training tokens by model",
                f"What does it cost to train on a million tokens? {_ESTIMATE}",
                _by_trained(),
                _of(rec.SITE_USD_PER_MTRAINING_1H),
                low=0,
                decimals=3,
            ),
            timeseries(
                "Cost per hour by kind",
                "What is the money spent on: machines, power or people?",
                Line(sum_by(recorded(rec.SITE_COST_CAPEX, **SITE)), "purchase, spread over its life"),
                Line(sum_by(recorded(rec.SITE_COST_ENERGY, **SITE)), "energy"),
                Line(sum_by(recorded(rec.SITE_COST_FIXED, **SITE)), "staff, maintenance, rent"),
                stacked=True,
                low=0,
                decimals=2,
            ),
            _tenants(),
            table(
                "Racks by cost",
                f"Where is the money spent, and what comes out of it? {_ESTIMATE}",
                ("site", "rack"),
                Column("Cost per hour", recorded(rec.RACK_COST, **SITE), decimals=2),
                Column("Tokens", recorded(rec.RACK_TOKENS, **SITE), decimals=0),
                Column("$ per Mtoken", recorded(rec.RACK_USD_PER_MTOKEN_1H, **SITE), decimals=2),
                width=7,
                sort="Cost per hour",
                descending=True,
                hide=("site",),
            ),
            table(
                "Cost per site",
                "What does each site cost per hour, and how is that made up?",
                ("site",),
                Column("Total", recorded(rec.SITE_COST, **SITE), decimals=2),
                Column("Purchase", recorded(rec.SITE_COST_CAPEX, **SITE), decimals=2),
                Column("Energy", recorded(rec.SITE_COST_ENERGY, **SITE), decimals=2),
                Column("Fixed", recorded(rec.SITE_COST_FIXED, **SITE), decimals=2),
                width=6,
            ),
        ),
    )


def _by_trained() -> Line:
    # The variable holds models that are served; those that are trained have other names.
    return Line(max_by(recorded(rec.MODEL_USD_PER_MTRAINING_1H, **SITE), "site", "model"), "{{model}}")


def _tenants() -> Panel:
    return table(
        "Projects by cost",
        f"Which project gets how many tokens for its money? {_ESTIMATE}",
        ("site", "namespace"),
        Column("Cost per hour", recorded(rec.NAMESPACE_COST, **SITE), decimals=2),
        Column("Tokens", recorded(rec.NAMESPACE_INFERENCE_TOKENS, **SITE), decimals=0),
        Column("$ per Mtoken", recorded(rec.NAMESPACE_USD_PER_MTOKEN_1H, **SITE), decimals=2),
        Column("Training tokens", recorded(rec.NAMESPACE_TOKENS, **SITE), decimals=0),
        Column("$ per M trained", recorded(rec.NAMESPACE_USD_PER_MTRAINING_1H, **SITE), decimals=3),
        width=11,
        sort="Cost per hour",
        descending=True,
        hide=("site",),
    )


def stages() -> Section:
    """Data preparation, training, evaluation, inference: what each holds, and how long it waits for more."""
    stage = ("site", "stage")
    return Section(
        "Stages of the pipeline",
        (
            table(
                "Stages",
                "Which stage holds the GPUs, uses them, and waits for more? The wait is from submission to "
                "start, of the jobs that run now.",
                stage,
                Column("GPUs", recorded(rec.STAGE_GPUS, **SITE), decimals=0),
                Column(
                    "Utilisation",
                    recorded(rec.STAGE_UTILIZATION, **SITE),
                    decimals=0,
                    steps=limits.UTILIZATION,
                ),
                Column("GPU power", recorded(rec.STAGE_POWER, **SITE), decimals=1),
                Column("Cost per hour", recorded(rec.STAGE_COST, **SITE), decimals=2),
                Column("Mean wait", recorded(rec.STAGE_QUEUE_MEAN, **SITE), decimals=0, steps=limits.QUEUE),
                Column("Longest wait", recorded(rec.STAGE_QUEUE_MAX, **SITE), decimals=0, steps=limits.QUEUE),
                Column(
                    "Jobs waiting", recorded(rec.STAGE_JOBS_PENDING, **SITE), decimals=0, steps=alarm("blue")
                ),
                Column("GPUs wanted", recorded(rec.STAGE_GPUS_PENDING, **SITE), decimals=0),
                Column(
                    "Oldest waits", recorded(rec.STAGE_OLDEST_PENDING, **SITE), decimals=0, steps=limits.QUEUE
                ),
                height=6,
                hide=("site",),
            ),
            timeseries(
                "GPUs by stage",
                "Which stage takes the GPUs of the others?",
                Line(max_by(recorded(rec.STAGE_GPUS, **SITE), *stage), "{{stage}}"),
                low=0,
            ),
            timeseries(
                "Utilisation by stage",
                "Does a stage hold GPUs that it does not use?",
                Line(max_by(recorded(rec.STAGE_UTILIZATION, **SITE), *stage), "{{stage}}"),
                low=0,
                high=1,
            ),
            timeseries(
                "GPUs wanted by stage",
                "How many GPUs do waiting jobs ask for, and does the queue grow?",
                Line(max_by(recorded(rec.STAGE_GPUS_PENDING, **SITE), *stage), "{{stage}}"),
                low=0,
            ),
        ),
    )
