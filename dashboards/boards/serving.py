"""gw-serving: what engines give their users: how fast, how much, and whether they keep their word."""

from __future__ import annotations

from dashboards import limits
from dashboards.boards.common import (
    DATASOURCE,
    ENGINE_VARIABLE,
    SERVED,
    SERVED_VARIABLE,
    SITE_VARIABLE,
    or_zero,
)
from dashboards.boards.serving_health import engines, reading, troubled
from dashboards.boards.serving_load import cost, load
from dashboards.model import Board, Panel, Section
from dashboards.panels import Column, Line, alarm, stat, table, timeseries
from dashboards.places import SERVING as UID
from gigawatch.catalogue import inference
from gigawatch.promql import Expr, Recorded, max_by, recorded, series, sum_by
from gigawatch.promql import recording as rec
from gigawatch.promql.recording.common import Quantiles

_KEYS = ("site", "engine", "model")
_OBJECTIVE = (*_KEYS, "objective")


def board() -> Board:
    """Inference engines as their users meet them."""
    return Board(
        UID,
        "Serving",
        "Do the engines answer, how long do users wait, and which engine is slow, full, frozen or dead?",
        ("gigawatch", "serving"),
        (DATASOURCE, SITE_VARIABLE, ENGINE_VARIABLE, SERVED_VARIABLE),
        (_now(), engines(), _latency(), _objectives(), load(), cost(), reading()),
    )


def of_engine(rule: Recorded, *keys: str) -> Expr:
    """A figure of each chosen engine and model."""
    return max_by(recorded(rule, **SERVED), *(keys or _KEYS))


def _sum(rule: Recorded) -> Expr:
    return sum_by(recorded(rule, **SERVED), *_KEYS)


def _now() -> Section:
    requests = (inference.INFERENCE_REQUESTS_RUNNING, inference.INFERENCE_REQUESTS_WAITING)
    running, waiting = (sum_by(series(metric, **SERVED), *_KEYS) for metric in requests)
    return Section(
        "Now",
        (
            stat(
                "Engines in trouble",
                "How many replicas are dead, frozen or call themselves unhealthy? They stand in the next "
                "section.",
                troubled(),
                steps=alarm(),
                decimals=0,
                filled=True,
            ),
            stat(
                "Fastest burn",
                "How many times faster than allowed is a latency objective missed (5 minutes)? Above 1 it "
                "will not be kept; at 14 somebody is paged.",
                max_by(recorded(rec.BURN["5m"], **SERVED)),
                steps=limits.BURN,
                decimals=1,
            ),
            stat(
                "Slowest first token",
                "How long do the unluckiest 5 % wait for an answer to begin, at the slowest model?",
                max_by(recorded(rec.ENGINE_TTFT.p95, **SERVED)),
                steps=limits.FIRST_TOKEN,
                decimals=2,
            ),
            stat(
                "Slowest stream",
                "How long are the longest 5 % of the gaps between tokens, at the slowest model?",
                max_by(recorded(rec.ENGINE_ITL.p95, **SERVED)),
                steps=limits.BETWEEN_TOKENS,
                decimals=3,
            ),
            stat(
                "Requests failing",
                "What share of the requests ends with an error, at the worst model?",
                max_by(recorded(rec.ENGINE_ERRORS, **SERVED)),
                steps=limits.ERRORS,
                decimals=1,
            ),
            stat("Running", "How many requests are being worked on?", or_zero(sum_by(running)), decimals=0),
            stat("Waiting", "How many requests wait for a place?", or_zero(sum_by(waiting)), decimals=0),
            stat(
                "Tokens generated",
                "How many tokens per second come out?",
                or_zero(sum_by(recorded(rec.REPLICA_TOKENS, **SERVED))),
                decimals=0,
            ),
            table(
                "Models",
                "Which model is slow, full or failing, on which kind of engine? Its name narrows the board "
                "to it. Times are those that one request in twenty exceeds.",
                _KEYS,
                Column("Tokens", _sum(rec.REPLICA_TOKENS), decimals=0),
                Column("Running", running, decimals=0),
                Column("Waiting", waiting, decimals=0),
                Column("First token", of_engine(rec.ENGINE_TTFT.p95), decimals=2, steps=limits.FIRST_TOKEN),
                Column(
                    "Between tokens", of_engine(rec.ENGINE_ITL.p95), decimals=3, steps=limits.BETWEEN_TOKENS
                ),
                Column("Whole request", of_engine(rec.ENGINE_DURATION.p95), decimals=1),
                Column("Failing", of_engine(rec.ENGINE_ERRORS), decimals=2, steps=limits.ERRORS),
                Column("Cache used", of_engine(rec.ENGINE_KV_USAGE), decimals=0, steps=limits.KV_CACHE),
                Column("Burn", of_engine(rec.BURN["1h"]), decimals=1, steps=limits.BURN),
                height=6,
            ),
        ),
    )


def _quantiles(title: str, question: str, rules: Quantiles, objective: str = "", width: int = 8) -> Panel:
    lines = [
        Line(of_engine(rule), f"{{{{model}}}} on {{{{engine}}}}, {share}")
        for rule, share in ((rules.p50, "half"), (rules.p95, "95 %"), (rules.p99, "99 %"))
    ]
    if objective:
        promised = max_by(series(inference.INFERENCE_OBJECTIVE, objective=objective, **SERVED), *_KEYS)
        lines.append(Line(promised, "{{model}} on {{engine}}, objective", dashed=True))
    return timeseries(title, question, *lines, low=0, width=width)


def _latency() -> Section:
    return Section(
        "Latency",
        (
            _quantiles(
                "Time to first token",
                "Within what time do half of the answers, 95 % and 99 % begin? Kinds of engine count in "
                "different buckets, so each stands for itself.",
                rec.ENGINE_TTFT,
                "time_to_first_token",
            ),
            _quantiles(
                "Time between tokens",
                "Does the text flow, or does it stutter?",
                rec.ENGINE_ITL,
                "inter_token_latency",
            ),
            _quantiles(
                "Time of whole requests",
                "Within what time do requests end? Long answers take long; a rise at equal answers does not.",
                rec.ENGINE_DURATION,
                "request_duration",
            ),
            _quantiles(
                "Time in the queue",
                "How much of the wait is the queue, before work begins? Counted when a request ends; below "
                "the engine's first bucket (0.3 s at vLLM) it is a guess.",
                rec.ENGINE_QUEUE_TIME,
                width=12,
            ),
            _quantiles(
                "Mean time per token of a request",
                "How fast does a user see text, one figure per request? Not the gap between two tokens.",
                rec.ENGINE_TPOT,
                width=12,
            ),
        ),
    )


def _objectives() -> Section:
    promised, share = (
        max_by(series(metric, **SERVED), *_OBJECTIVE)
        for metric in (inference.INFERENCE_OBJECTIVE, inference.INFERENCE_OBJECTIVE_SHARE)
    )
    burns = {window: of_engine(rule, *_OBJECTIVE) for window, rule in rec.BURN.items()}
    return Section(
        "Objectives",
        (
            table(
                "Objectives",
                "Which objective is missed, and since when: in the last minutes only, or for hours? A burn "
                "of 1 uses up exactly what the objective allows.",
                _OBJECTIVE,
                Column("No longer than", promised, decimals=2),
                Column("For", share, decimals=1),
                *(
                    Column(f"Burn, {window}", burn, decimals=1, steps=limits.BURN)
                    for window, burn in burns.items()
                ),
                width=14,
                sort="Burn, 1h",
                descending=True,
                hide=("site",),
            ),
            timeseries(
                "Burn of objectives",
                "Does an objective burn now (5 minutes), and long enough to matter (1 hour)?",
                Line(burns["5m"], "{{model}} on {{engine}}, {{objective}}"),
                Line(burns["1h"], "{{model}} on {{engine}}, {{objective}}, 1 hour", dashed=True),
                low=0,
                width=10,
                steps=limits.BURN,
            ),
        ),
    )
