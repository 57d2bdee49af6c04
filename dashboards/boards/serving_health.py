"""The sections of gw-serving about engines themselves: dead, frozen or well, and how they are read."""

from __future__ import annotations

from dashboards import limits
from dashboards.boards.common import MAYBE_SERVED, or_zero
from dashboards.model import Section
from dashboards.panels import OK_OR_NOT, Column, Line, alarm, state_timeline, table, timeseries
from gigawatch.catalogue import Metric, Unit, inference
from gigawatch.promql import Expr, above, below, count_by, increase, many_to_one, max_by, series, sum_by

_REPLICA = ("site", "rack", "node", "engine", "model", "replica")
STATES = {
    0: ("no answer", "red"),
    1: ("works or idles", "green"),
    3: ("frozen", "dark-red"),
    4: ("dead", "red"),
    5: ("says it is unhealthy", "orange"),
    7: ("frozen, unhealthy", "dark-red"),
}
_FROZEN, _UNHEALTHY = 2, 4


def _of(metric: Metric) -> Expr:
    return max_by(series(metric, **MAYBE_SERVED), *_REPLICA)


def state() -> Expr:
    """1 while an engine answers, and 2 more while it is frozen, 4 more while it calls itself unhealthy."""
    up = _of(inference.INFERENCE_ENGINE_UP)
    beyond = above(_of(inference.INFERENCE_STALLED) - _of(inference.INFERENCE_PATIENCE), 0)
    sick = below(_of(inference.INFERENCE_ENGINE_HEALTHY), 1)
    code = up
    for more, weight in ((beyond, _FROZEN), (sick, _UNHEALTHY)):
        # What an engine does not tell counts as nothing wrong.
        code = code + more.or_(up * 0) * weight
    return code.in_unit(Unit.COUNT)


def troubled() -> Expr:
    """Replicas that are dead, frozen or call themselves unhealthy."""
    return or_zero(count_by(state().not_equals(1)))


def engines() -> Section:
    """What state each replica is in, and was."""
    return Section(
        "Engines",
        (
            table(
                "Replicas",
                "Which replica stands still with requests in it, and for how long? Beyond its patience it "
                "is frozen, whatever its health route says. The node leads to its GPUs.",
                (*_REPLICA, "granularity"),
                *_columns(),
                height=8,
                sort="Stands still for",
                descending=True,
                hide=("site", "rack"),
            ),
            state_timeline(
                "State of each engine",
                "When was an engine dead, frozen or unhealthy? An idle engine is well.",
                state(),
                STATES,
                legend="{{node}} {{model}} {{replica}}",
                height=9,
            ),
            timeseries(
                "Requests there and nothing done",
                "For how long has an engine that has requests got nothing done? Beyond the dashed line it "
                "is frozen.",
                Line(_of(inference.INFERENCE_STALLED), "{{node}} {{model}} {{replica}}"),
                Line(
                    max_by(series(inference.INFERENCE_PATIENCE, **MAYBE_SERVED), "engine"),
                    "{{engine}}: patience",
                    dashed=True,
                ),
                low=0,
                width=12,
                height=9,
            ),
        ),
    )


def _columns() -> tuple[Column, ...]:
    counting = max_by(series(inference.INFERENCE_COUNTING_INFO, **MAYBE_SERVED), *_REPLICA, "granularity")

    def told(metric: Metric) -> Expr:
        return many_to_one(counting, "*", _of(metric), _REPLICA).in_unit(metric.unit)

    return (
        Column("Answers", told(inference.INFERENCE_ENGINE_UP), steps=alarm("green"), states=OK_OR_NOT),
        Column("Healthy", told(inference.INFERENCE_ENGINE_HEALTHY), steps=alarm("green"), states=OK_OR_NOT),
        Column("Stands still for", told(inference.INFERENCE_STALLED), decimals=0, steps=alarm("orange", 5)),
        Column("Patience", told(inference.INFERENCE_PATIENCE), decimals=0),
        Column("Running", told(inference.INFERENCE_REQUESTS_RUNNING), decimals=0),
        Column("Waiting", told(inference.INFERENCE_REQUESTS_WAITING), decimals=0),
        Column("Cache used", told(inference.INFERENCE_KV_CACHE_USAGE), decimals=0, steps=limits.KV_CACHE),
    )


def reading() -> Section:
    """How engines are read, and whether their metrics are still those that we know."""
    about = ("site", "node", "engine", "replica", "dialect", "version", "source")
    who = ("site", "node", "engine", "replica")
    site = {label: MAYBE_SERVED[label] for label in ("site", "engine")}
    info = max_by(series(inference.INFERENCE_ENGINE_INFO, **site), *about)

    def told(metric: Metric) -> Expr:
        return many_to_one(info, "*", max_by(series(metric, **site), *who), who).in_unit(metric.unit)

    errors = sum_by(increase(series(inference.INFERENCE_SCRAPE_ERRORS, **site), "1h"), *who, "error")
    return Section(
        "How engines are read",
        (
            table(
                "Engines and their metrics",
                "Do we still understand the engine? Missing metrics were renamed, or switched off by a "
                "flag; unknown ones came with a newer version.",
                about,
                Column("Missing", told(inference.INFERENCE_MISSING), decimals=0, steps=alarm("orange")),
                Column("Unknown", told(inference.INFERENCE_UNMAPPED), decimals=0, steps=alarm("blue")),
                Column("Scrape took", told(inference.INFERENCE_SCRAPE_DURATION), decimals=3),
                width=16,
                sort="Missing",
                descending=True,
                hide=("site",),
            ),
            table(
                "Failed scrapes of engines in 1 h",
                "Which engine's metrics could not be read, and why?",
                (*who, "error"),
                Column("Failed", errors > 0, decimals=0, steps=alarm("orange")),
                width=8,
                hide=("site", "node"),
                nothing="None failed",
            ),
        ),
        folded=True,
    )
