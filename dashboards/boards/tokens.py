"""gw-tokens: what the AI factory produces, how fast, and what a token costs in joules and dollars."""

from __future__ import annotations

from dashboards import limits
from dashboards.boards.common import (
    DATASOURCE,
    MODEL_VARIABLE,
    RATE,
    SITE,
    SITE_VARIABLE,
    or_zero,
    usd_per_mtoken,
)
from dashboards.model import Board, Section
from dashboards.panels import Column, Line, per_minute, stat, state_timeline, table, timeseries
from dashboards.places import TOKENS as UID
from gigawatch.catalogue import Unit, inference
from gigawatch.promql import Match, matches, max_by, mean, rate, recorded, series, sum_by
from gigawatch.promql import recording as rec

_MODEL: dict[str, str | Match] = {**SITE, "model": matches("$model")}
_KEYS = ("site", "model")
_REPLICA = ("model", "replica")


def board() -> Board:
    """Inference and its economics."""
    return Board(
        UID,
        "Tokens and cost",
        "How many tokens come out, how long do users wait, and what does a token cost in joules and dollars?",
        ("gigawatch", "tokens", "cost"),
        (DATASOURCE, SITE_VARIABLE, MODEL_VARIABLE),
        (_now(), _models(), _serving(), _efficiency(), _cost()),
    )


def _now() -> Section:
    waiting = or_zero(sum_by(recorded(rec.MODEL_REQUESTS_WAITING, **_MODEL)))
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
                "Requests running",
                "How many requests are being worked on?",
                or_zero(sum_by(recorded(rec.MODEL_REQUESTS_RUNNING, **_MODEL))),
                decimals=0,
            ),
            stat("Requests waiting", "Do users queue?", waiting, decimals=0),
            stat(
                "Time to first token",
                "How long does a user of the slowest replica look at an empty line?",
                max_by(mean(inference.INFERENCE_TTFT, RATE, *_KEYS, "engine", "replica", **_MODEL)),
                steps=limits.FIRST_TOKEN,
                decimals=2,
            ),
            stat(
                "Tokens/J, GPUs",
                "How many tokens come out of a joule of GPU energy? Per model.",
                max_by(recorded(rec.MODEL_TOKENS_PER_JOULE, **_MODEL), *_KEYS),
                legend="{{model}}",
                decimals=3,
            ),
            stat(
                "Tokens/J, facility",
                "And out of a joule bought, cooling and losses included? An estimate by share of GPU power.",
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
        ),
    )


def _models() -> Section:
    ttft = max_by(mean(inference.INFERENCE_TTFT, RATE, *_KEYS, "engine", "replica", **_MODEL), *_KEYS)
    return Section(
        "Models",
        (
            table(
                "Models",
                "Which model produces how much, for what? A model's name narrows the board to it.",
                _KEYS,
                Column("Tokens", recorded(rec.MODEL_TOKENS, **_MODEL), decimals=0),
                Column("Running", recorded(rec.MODEL_REQUESTS_RUNNING, **_MODEL), decimals=0),
                Column("Waiting", recorded(rec.MODEL_REQUESTS_WAITING, **_MODEL), decimals=0),
                Column("First token", ttft, decimals=2, steps=limits.FIRST_TOKEN),
                Column("GPU power", recorded(rec.MODEL_POWER, **_MODEL), decimals=1),
                Column("Tokens per joule", recorded(rec.MODEL_TOKENS_PER_JOULE, **_MODEL), decimals=3),
                Column("Cost per million", recorded(rec.MODEL_USD_PER_MTOKEN, **_MODEL), decimals=2),
                height=6,
            ),
        ),
    )


def _serving() -> Section:
    kinds = sum_by(rate(series(inference.INFERENCE_TOKENS, **_MODEL), RATE), "model", "kind", "source")
    finished = sum_by(rate(series(inference.INFERENCE_REQUESTS, **_MODEL), RATE), "model", "outcome")
    engines = max_by(series(inference.INFERENCE_ENGINE_UP, **_MODEL), "model", "engine", "replica")
    return Section(
        "Serving",
        (
            timeseries(
                "Tokens by model",
                "Does a model produce less than a while ago?",
                Line(max_by(recorded(rec.MODEL_TOKENS, **_MODEL), *_KEYS), "{{model}}"),
                low=0,
            ),
            timeseries(
                "Prompt and generated tokens",
                "What do the engines do: read prompts, generate, or answer from the cache?",
                Line(kinds, "{{model}} {{kind}} {{source}}"),
                low=0,
            ),
            timeseries(
                "Requests",
                "Do requests pile up?",
                Line(max_by(recorded(rec.MODEL_REQUESTS_RUNNING, **_MODEL), *_KEYS), "{{model}} running"),
                Line(max_by(recorded(rec.MODEL_REQUESTS_WAITING, **_MODEL), *_KEYS), "{{model}} waiting"),
                low=0,
            ),
            timeseries(
                "Key-value cache",
                "Is a replica's cache full? Then requests wait or are thrown out.",
                Line(
                    max_by(series(inference.INFERENCE_KV_CACHE_USAGE, **_MODEL), *_REPLICA),
                    "{{model}} {{replica}}",
                ),
                low=0,
                high=1,
                steps=limits.KV_CACHE,
            ),
            timeseries(
                "Time to first token by replica",
                "How long do users wait for an answer to begin?",
                Line(
                    mean(inference.INFERENCE_TTFT, RATE, *_REPLICA, **_MODEL),
                    "{{model}} {{replica}}",
                ),
                low=0,
            ),
            timeseries(
                "Requests finished per minute",
                "Do requests end in errors or aborts?",
                Line(per_minute(finished), "{{model}} {{outcome}}"),
                low=0,
            ),
            state_timeline(
                "Engines",
                "Does every engine answer?",
                engines.in_unit(Unit.COUNT),
                {0: ("no answer", "red"), 1: ("answers", "green")},
                legend="{{model}} {{engine}} {{replica}}",
                width=24,
                height=5,
            ),
        ),
    )


def _efficiency() -> Section:
    return Section(
        "Tokens per joule",
        (
            timeseries(
                "Tokens per joule of GPU energy",
                "Does a model turn energy into fewer tokens than before?",
                Line(max_by(recorded(rec.MODEL_TOKENS_PER_JOULE, **_MODEL), *_KEYS), "{{model}}"),
                low=0,
            ),
            timeseries(
                "Tokens per joule bought",
                "How many tokens come out of a joule bought, cooling and losses included? An "
                "estimate by share of GPU power.",
                Line(max_by(recorded(rec.SITE_TOKENS_PER_JOULE, **SITE), "site"), "{{site}}"),
                low=0,
            ),
            timeseries(
                "GPU power by model",
                "What do the GPUs of each model draw?",
                Line(max_by(recorded(rec.MODEL_POWER, **_MODEL), *_KEYS), "{{model}}"),
                low=0,
            ),
        ),
    )


def _cost() -> Section:
    return Section(
        "Cost",
        (
            timeseries(
                "Cost per million tokens by model",
                "What does a million generated tokens cost, by model? An estimate by share of GPU power.",
                Line(max_by(recorded(rec.MODEL_USD_PER_MTOKEN, **_MODEL), *_KEYS), "{{model}}"),
                Line(usd_per_mtoken(), "{{site}} overall"),
                low=0,
                decimals=2,
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
            table(
                "Cost per site",
                "What does each site cost per hour, and how is that made up?",
                ("site",),
                Column("Total", recorded(rec.SITE_COST, **SITE), decimals=2),
                Column("Purchase", recorded(rec.SITE_COST_CAPEX, **SITE), decimals=2),
                Column("Energy", recorded(rec.SITE_COST_ENERGY, **SITE), decimals=2),
                Column("Fixed", recorded(rec.SITE_COST_FIXED, **SITE), decimals=2),
                width=8,
                height=8,
            ),
        ),
    )
