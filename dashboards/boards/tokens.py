"""gw-tokens: what the AI factory makes of its power and money, and how much of it does anything at all."""

from __future__ import annotations

from dashboards import limits
from dashboards.boards.common import DATASOURCE, MODEL_VARIABLE, SITE, SITE_VARIABLE, or_zero
from dashboards.boards.tokens_cost import cost, stages
from dashboards.model import Board, Section
from dashboards.panels import Column, Line, stat, table, timeseries
from dashboards.places import TOKENS as UID
from gigawatch.promql import Match, Recorded, matches, max_by, recorded, sum_by
from gigawatch.promql import recording as rec

_MODEL: dict[str, str | Match] = {**SITE, "model": matches("$model")}
_KEYS = ("site", "model")


def board() -> Board:
    """Tokens, energy, money and use of the whole factory."""
    return Board(
        UID,
        "Factory efficiency",
        "How many tokens come out of a joule and a dollar, and which GPUs are held, busy and getting "
        "something done?",
        ("gigawatch", "tokens", "cost"),
        (DATASOURCE, SITE_VARIABLE, MODEL_VARIABLE),
        (_now(), _split(), _energy(), cost(), stages()),
    )


def _site(rule: Recorded, legend: str) -> Line:
    return Line(max_by(recorded(rule, **SITE), "site"), f"{{{{site}}}} {legend}")


def _now() -> Section:
    return Section(
        "Now",
        (
            stat(
                "Tokens generated",
                "How many tokens per second do the chosen models produce?",
                or_zero(sum_by(recorded(rec.MODEL_TOKENS, **_MODEL))),
                decimals=0,
            ),
            stat(
                "Training tokens",
                "How many tokens per second does training work through?",
                or_zero(sum_by(recorded(rec.SITE_TRAINING_TOKENS, **SITE))),
                decimals=0,
            ),
            stat(
                "Tokens/J, GPUs",
                "How many tokens are generated from a joule of GPU energy?",
                max_by(recorded(rec.SITE_TPJ.gpu, **SITE), "site"),
                legend="{{site}}",
                decimals=3,
            ),
            stat(
                "Tokens/J, facility",
                "And from a joule bought, with processors, fans, cooling and losses?",
                max_by(recorded(rec.SITE_TPJ.facility, **SITE), "site"),
                legend="{{site}}",
                decimals=3,
            ),
            stat(
                "Cost per Mtoken",
                "What did a million generated tokens cost over the last hour, purchase, energy and staff "
                "included? An estimate.",
                max_by(recorded(rec.SITE_USD_PER_MTOKEN_1H, **SITE), "site"),
                legend="{{site}}",
                decimals=2,
            ),
            stat(
                "Cost per GPU hour",
                "What does an hour of one GPU cost, whether it is used or not?",
                max_by(recorded(rec.SITE_USD_PER_GPU_HOUR, **SITE), "site"),
                legend="{{site}}",
                decimals=2,
            ),
            stat(
                "Allocated",
                "What share of all GPUs do jobs hold? Above 90 % is good, below 80 % money stands idle.",
                max_by(recorded(rec.SITE_SPLIT.allocated, **SITE), "site"),
                legend="{{site}}",
                steps=limits.ALLOCATED,
                decimals=0,
            ),
            stat(
                "Productive",
                "In what share of all GPU time did jobs and engines make progress?",
                max_by(recorded(rec.SITE_SPLIT.productive, **SITE), "site"),
                legend="{{site}}",
                decimals=0,
            ),
        ),
    )


def _split() -> Section:
    rack = rec.RACK_SPLIT
    return Section(
        "Held, busy, productive",
        (
            timeseries(
                "What becomes of the GPUs",
                "Of all GPUs: which are held by jobs, which are busy, and which get something done? Held "
                "but not busy is waste; busy but not productive is a hang, a restart or work done twice.",
                _site(rec.SITE_SPLIT.allocated, "held by jobs"),
                _site(rec.SITE_SPLIT.busy, "busy"),
                _site(rec.SITE_SPLIT.productive, "productive"),
                Line(
                    max_by(recorded(rec.SITE_SPLIT.telling, **SITE), "site"),
                    "{{site}} tell of their progress",
                    dashed=True,
                ),
                low=0,
                high=1,
                width=12,
            ),
            table(
                "Racks by use",
                "Which rack is held, and does nothing? Where fewer tell of their progress than are held, "
                "some may be productive unseen.",
                ("site", "rack"),
                Column("Held", recorded(rack.allocated, **SITE), decimals=0),
                Column("Busy", recorded(rack.busy, **SITE), decimals=0),
                Column("Productive", recorded(rack.productive, **SITE), decimals=0),
                Column("Tell", recorded(rack.telling, **SITE), decimals=0),
                Column("Tokens/J", recorded(rec.RACK_TPJ.facility, **SITE), decimals=3),
                Column("Training tokens/J", recorded(rec.RACK_TRAINING_TPJ.facility, **SITE), decimals=3),
                width=12,
                sort="Productive",
                hide=("site",),
            ),
        ),
    )


def _energy() -> Section:
    model = rec.MODEL_TPJ
    return Section(
        "Tokens per joule",
        (
            timeseries(
                "Generated tokens per joule",
                "How many tokens come out of a joule: of the GPUs alone, with their nodes, with cooling and "
                "losses? Only figures of one scope can be compared.",
                _site(rec.SITE_TPJ.gpu, "GPUs"),
                _site(rec.SITE_TPJ.node, "nodes"),
                _site(rec.SITE_TPJ.facility, "facility"),
                low=0,
            ),
            timeseries(
                "Trained tokens per joule",
                "The same for training: does a joule move less text through the models than before?",
                _site(rec.SITE_TRAINING_TPJ.gpu, "GPUs"),
                _site(rec.SITE_TRAINING_TPJ.node, "nodes"),
                _site(rec.SITE_TRAINING_TPJ.facility, "facility"),
                low=0,
            ),
            timeseries(
                "Power by model served",
                "What do the GPUs of each model draw?",
                Line(max_by(recorded(rec.MODEL_POWER, **_MODEL), *_KEYS), "{{model}}"),
                low=0,
            ),
            table(
                "Models by what they make of energy and money",
                "Which model is dear, and is all of its energy known? Prompt tokens that had to be computed "
                "are work too: the last column counts them with those generated. A model's name leads to "
                "its engines.",
                _KEYS,
                Column("Tokens", recorded(rec.MODEL_TOKENS, **_MODEL), decimals=0),
                Column("GPU power", recorded(rec.MODEL_POWER, **_MODEL), decimals=1),
                Column("Tokens/J, GPUs", recorded(model.gpu, **_MODEL), decimals=3),
                Column("Nodes", recorded(model.node, **_MODEL), decimals=3),
                Column("Facility", recorded(model.facility, **_MODEL), decimals=3),
                Column("Known", recorded(rec.MODEL_TOKENS_KNOWN, **_MODEL), decimals=0, steps=limits.KNOWN),
                Column("Against peak", recorded(rec.MODEL_MFU, **_MODEL), decimals=1),
                Column("Cost per hour", recorded(rec.MODEL_COST, **_MODEL), decimals=2),
                Column("$ per Mtoken", recorded(rec.MODEL_USD_PER_MTOKEN_1H, **_MODEL), decimals=2),
                Column("$ per M computed", recorded(rec.MODEL_USD_PER_MCOMPUTED_1H, **_MODEL), decimals=2),
                height=6,
                hide=("site",),
            ),
        ),
    )
