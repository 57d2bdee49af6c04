"""gw-fleet: the site at a glance, and the door to everything else."""

from __future__ import annotations

from dashboards import limits
from dashboards.boards.common import (
    ALERT_SITE,
    DATASOURCE,
    SITE,
    SITE_VARIABLE,
    alerts_table,
    firing,
    gpus_not_ok,
    incidents_open,
    incidents_table,
    maintenance_table,
    metered,
    or_zero,
    usd_per_mtoken,
)
from dashboards.model import Board, Section
from dashboards.panels import Column, Line, alarm, bars, falling, stat, table, timeseries
from dashboards.places import FLEET
from gigawatch.catalogue import gpu, site
from gigawatch.promql import count_by, max_by, min_by, recorded, series, sum_by
from gigawatch.promql import recording as rec

_RACK = ("site", "rack")


def board() -> Board:
    """The site overview."""
    return Board(
        FLEET,
        "Site overview",
        "Is the AI factory well, what does it draw, what does it make of it, and where must someone look?",
        ("gigawatch", "site"),
        (DATASOURCE, SITE_VARIABLE),
        (_now(), _racks(), _attention(), _trends()),
    )


def _now() -> Section:
    working = or_zero(sum_by(series(gpu.GPU_STATE, state="ok", **SITE)))
    allocated = sum_by(recorded(rec.SITE_GPUS_ALLOCATED, **SITE)) / sum_by(series(site.GPUS_OWNED, **SITE))
    return Section(
        "Now",
        (
            stat(
                "GPUs working",
                "How many GPUs answer and are in order?",
                working,
                decimals=0,
            ),
            stat(
                "GPUs not working",
                "How many of the GPUs in the inventory are lost, hung, waiting for a reset or not reported?",
                gpus_not_ok(),
                steps=alarm(),
                decimals=0,
                filled=True,
            ),
            stat(
                "Power bought",
                "How much power does the site draw from its utility intakes?",
                metered("facility"),
                decimals=1,
            ),
            stat(
                "PUE",
                "How many watts are bought for each watt that reaches the racks? Interim figure, category 2.",
                max_by(recorded(rec.SITE_PUE, **SITE), "site"),
                legend="{{site}}",
                steps=limits.PUE,
                decimals=2,
            ),
            stat(
                "GPU utilisation",
                "How busy are the GPUs on average?",
                max_by(recorded(rec.SITE_UTILIZATION, **SITE), "site"),
                legend="{{site}}",
                steps=limits.UTILIZATION,
                decimals=0,
            ),
            stat(
                "Tokens generated",
                "How many tokens per second do all models together produce?",
                sum_by(recorded(rec.SITE_TOKENS, **SITE)),
                decimals=0,
            ),
            stat(
                "Tokens per joule",
                "How many tokens does serving make of a joule bought? An estimate: serving is "
                "charged by its share of GPU power.",
                max_by(recorded(rec.SITE_TOKENS_PER_JOULE, **SITE), "site"),
                legend="{{site}}",
                decimals=3,
            ),
            stat(
                "Cost per Mtoken",
                "What does a million generated tokens cost, purchase, energy and staff included? An "
                "estimate.",
                usd_per_mtoken(),
                legend="{{site}}",
                decimals=2,
            ),
            stat(
                "Smallest margin",
                "How many kelvin is the GPU nearest to slowdown away from it?",
                min_by(recorded(rec.SITE_MARGIN, **SITE)),
                steps=limits.MARGIN,
                decimals=1,
            ),
            stat(
                "Open incidents",
                "How many physical causes does the analysis see at work?",
                incidents_open(),
                steps=alarm("orange"),
                decimals=0,
                filled=True,
            ),
            stat(
                "Critical alerts",
                "How many alerts that page someone fire now?",
                or_zero(count_by(firing(**ALERT_SITE, severity="critical"))),
                steps=alarm(),
                decimals=0,
                filled=True,
            ),
            stat(
                "Warnings",
                "How many alerts fire that can wait for working hours?",
                or_zero(count_by(firing(**ALERT_SITE, severity="warning"))),
                steps=alarm("orange"),
                decimals=0,
                filled=True,
            ),
            stat(
                "GPUs in use",
                "Which share of the GPUs is held by a job?",
                allocated,
                steps=falling(0.8, 0.5),
                decimals=0,
            ),
            stat(
                "Power of the racks",
                "How much of the power bought reaches the racks?",
                metered("it"),
                decimals=1,
            ),
            stat(
                "Power of the GPUs",
                "How much of it do the GPUs draw?",
                sum_by(recorded(rec.SITE_GPU_POWER, **SITE)),
                decimals=1,
            ),
            stat(
                "Cost per hour",
                "What does the site cost per hour, purchase prices spread over their life?",
                sum_by(recorded(rec.SITE_COST, **SITE)),
                decimals=2,
            ),
        ),
    )


def _racks() -> Section:
    return Section(
        "Racks",
        (
            table(
                "Racks",
                "Which rack needs a look? A rack's name leads to its board.",
                _RACK,
                Column("Power", recorded(rec.RACK_POWER, **SITE), decimals=1),
                Column(
                    "Of budget",
                    recorded(rec.RACK_BUDGET_USED, **SITE),
                    decimals=0,
                    steps=limits.BUDGET,
                    cell="gauge",
                    low=0,
                    high=1,
                ),
                Column("GPU power", recorded(rec.RACK_GPU_POWER, **SITE), decimals=1),
                Column("Utilisation", recorded(rec.RACK_UTILIZATION, **SITE), decimals=0),
                Column("Margin", recorded(rec.RACK_MARGIN, **SITE), decimals=1, steps=limits.MARGIN),
                Column("Inlet", recorded(rec.RACK_INLET, **SITE), decimals=1, steps=limits.INLET),
                Column("GPUs working", sum_by(recorded(rec.NODE_GPUS_OK, **SITE), *_RACK), decimals=0),
                Column("GPUs expected", sum_by(series(site.GPUS_EXPECTED, **SITE), *_RACK), decimals=0),
                Column("Tokens", recorded(rec.RACK_TOKENS, **SITE), decimals=0),
                height=8,
                sort="Margin",
            ),
        ),
    )


def _attention() -> Section:
    return Section(
        "What needs attention", (alerts_table(14, 8), incidents_table(10, 8), maintenance_table(24, 4))
    )


def _trends() -> Section:
    return Section(
        "Trends",
        (
            timeseries(
                "Power",
                "How is the power bought split between racks, GPUs and everything around them?",
                Line(metered("facility"), "bought"),
                Line(metered("it"), "racks"),
                Line(sum_by(recorded(rec.SITE_GPU_POWER, **SITE)), "GPUs"),
                low=0,
            ),
            timeseries(
                "Smallest margin per rack",
                "Does a rack drift towards slowdown?",
                Line(min_by(recorded(rec.RACK_MARGIN, **SITE), *_RACK), "{{rack}}"),
                steps=limits.MARGIN,
                low=0,
            ),
            timeseries(
                "Utilisation per rack",
                "Which rack stands idle, and which one just lost its work?",
                Line(max_by(recorded(rec.RACK_UTILIZATION, **SITE), *_RACK), "{{rack}}"),
                low=0,
                high=1,
            ),
            timeseries(
                "Tokens generated by model",
                "Does a model produce less than a while ago?",
                Line(max_by(recorded(rec.MODEL_TOKENS, **SITE), "site", "model"), "{{model}}"),
                low=0,
            ),
            timeseries(
                "PUE over time",
                "Does the building take more for the same work?",
                Line(max_by(recorded(rec.SITE_PUE, **SITE), "site"), "{{site}}"),
                decimals=2,
            ),
            bars(
                "Power per rack against budget",
                "Which racks are close to the power planned for them?",
                max_by(recorded(rec.RACK_BUDGET_USED, **SITE), *_RACK),
                legend="{{rack}}",
                steps=limits.BUDGET,
                high=1,
                decimals=0,
            ),
        ),
    )
