"""The sections of gw-serving about load and money: how full engines are, and what their tokens cost."""

from __future__ import annotations

from dashboards import limits
from dashboards.boards.common import RATE, SERVED
from dashboards.model import Section
from dashboards.panels import Column, Line, per_minute, table, timeseries
from gigawatch.catalogue import Unit, inference
from gigawatch.promql import Expr, Recorded, max_by, rate, recorded, series, sum_by
from gigawatch.promql import recording as rec

_KEYS = ("site", "engine", "model")
_REPLICA = (*_KEYS, "replica")
_NAME = "{{model}} on {{engine}}"


def _engine(rule: Recorded) -> Expr:
    return max_by(recorded(rule, **SERVED), *_KEYS)


def load() -> Section:
    """How much there is to do, and how full the engines are."""
    kinds = sum_by(rate(series(inference.INFERENCE_TOKENS, **SERVED), RATE), "model", "kind", "source")
    running = max_by(series(inference.INFERENCE_REQUESTS_RUNNING, **SERVED), "model", "replica")
    waiting = max_by(series(inference.INFERENCE_REQUESTS_WAITING, **SERVED), "model", "replica")
    finished = sum_by(recorded(rec.ENGINE_REQUESTS, **SERVED), "model", "engine", "outcome")
    return Section(
        "Load",
        (
            timeseries(
                "Tokens read and generated",
                "What do the engines do: read prompts, take them from the cache, or generate? Engines that "
                "count when a request ends show steps.",
                Line(kinds, "{{model}} {{kind}} {{source}}"),
                low=0,
            ),
            timeseries(
                "Requests by replica",
                "Does one replica get more than the others, or do requests pile up everywhere?",
                Line(running, "{{model}} {{replica}} running"),
                Line(waiting, "{{model}} {{replica}} waiting"),
                low=0,
            ),
            timeseries(
                "Requests finished per minute",
                "Do requests end in errors or aborts?",
                Line(per_minute(finished), "{{model}} on {{engine}} {{outcome}}"),
                low=0,
            ),
            timeseries(
                "Share of requests that wait",
                "Is there more to do than the engines have places for? Then a replica more helps, or a "
                "longer cache.",
                Line(_engine(rec.ENGINE_SATURATION), _NAME),
                low=0,
                high=1,
                steps=limits.WAITING,
            ),
            timeseries(
                "Key-value cache",
                "Is a replica's cache full? Then requests wait or are thrown out.",
                Line(
                    max_by(series(inference.INFERENCE_KV_CACHE_USAGE, **SERVED), "model", "replica"),
                    "{{model}} {{replica}}",
                ),
                low=0,
                high=1,
                steps=limits.KV_CACHE,
            ),
            timeseries(
                "Requests thrown out per minute",
                "How many requests lose their place in the cache and begin again? Their first work stands "
                "in no token count.",
                Line(per_minute(_engine(rec.ENGINE_PREEMPTIONS)), _NAME),
                low=0,
            ),
            timeseries(
                "Prompt tokens found in the prefix cache",
                "What share of the prompts need not be read again? A fall makes first tokens slow.",
                Line(_engine(rec.ENGINE_CACHE_HIT), _NAME),
                low=0,
                high=1,
                width=12,
            ),
            timeseries(
                "Drafted tokens that were right",
                "Does speculative decoding pay? Below a half it often costs more than it gives.",
                Line(_engine(rec.ENGINE_ACCEPTANCE), _NAME),
                low=0,
                high=1,
                width=12,
            ),
        ),
    )


def cost() -> Section:
    """What comes out for what goes in, replica by replica."""
    tokens = max_by(recorded(rec.REPLICA_TOKENS, **SERVED), *_REPLICA)
    watts = max_by(recorded(rec.REPLICA_POWER.gpu, **SERVED), *_REPLICA)
    dollars = max_by(recorded(rec.REPLICA_COST, **SERVED), *_REPLICA)
    site = {label: SERVED[label] for label in ("site", "model")}
    return Section(
        "Efficiency and cost",
        (
            table(
                "Replicas by what they yield",
                "Which replica turns power and money into fewer tokens than its like? Costs are estimates: "
                "capital by GPUs, energy by power.",
                _REPLICA,
                Column("GPUs", recorded(rec.REPLICA_GPUS, **SERVED), decimals=1),
                Column("Tokens", tokens, decimals=0),
                Column("GPU power", watts, decimals=1),
                Column("Tokens per joule", (tokens / (watts > 0)).in_unit(Unit.TOKENS_PER_JOULE), decimals=3),
                Column("Cost per hour", dollars, decimals=2),
                Column("Against peak FLOPS", recorded(rec.REPLICA_MFU, **SERVED), decimals=1),
                height=7,
                sort="Tokens per joule",
                hide=("site",),
            ),
            timeseries(
                "Cost per million tokens",
                "What does a million generated tokens cost, by model, over the last hour? Little traffic "
                "makes them dear.",
                Line(max_by(recorded(rec.MODEL_USD_PER_MTOKEN_1H, **site), "site", "model"), "{{model}}"),
                low=0,
                decimals=2,
                width=12,
            ),
            timeseries(
                "Tokens per joule of GPU energy",
                "Does a model turn energy into fewer tokens than before?",
                Line(max_by(recorded(rec.MODEL_TPJ.gpu, **site), "site", "model"), "{{model}}"),
                low=0,
                width=12,
            ),
        ),
    )
