"""What a cluster with foreign exporters alone has to do without."""

from __future__ import annotations

import re
from functools import cache

from gigawatch.catalogue import Metric, Origin, Target, all_metrics, domain_of
from gigawatch.promql.dialects import DIALECTS
from gigawatch.promql.recording import all_rules

FOREIGN_DOMAINS = ("gpu", "gpu_activity", "gpu_links", "host", "fabric")
"""Domains of which foreign exporters speak; the rest is the agent's in any case."""
_WORD = re.compile(r"[a-z0-9_:]+")


@cache
def given() -> frozenset[str]:
    """Names of our metrics that some dialect writes."""
    return frozenset(row.metric.name for dialect in DIALECTS for row in dialect.rows)


@cache
def not_given() -> tuple[Metric, ...]:
    """Metrics of those domains that only our agent can tell."""
    return tuple(
        metric
        for metric in all_metrics()
        if domain_of(metric) in FOREIGN_DOMAINS
        and metric.origin is Origin.AGENT
        and metric.target is Target.NODE
        and metric.name not in given()
    )


def lacking(text: str) -> tuple[str, ...]:
    """Metrics that an expression rests on, directly or through recording rules, and that no dialect gives."""
    rules = {rule.name: rule.expr.text for rule in all_rules()}
    names = {metric.name for metric in not_given()}
    found: set[str] = set()
    seen: set[str] = set()
    waiting = [text]
    while waiting:
        for word in set(_WORD.findall(waiting.pop())) - seen:
            seen.add(word)
            if word in names:
                found.add(word)
            elif word in rules:
                waiting.append(rules[word])
    return tuple(sorted(found))
