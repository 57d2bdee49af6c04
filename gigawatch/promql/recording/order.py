"""All recording rules, and the groups in which they are evaluated."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import fields
from functools import cache

from gigawatch.promql.recording import (
    charge,
    contradiction,
    contradiction_heat,
    contradiction_rack,
    contradictions,
    cooling,
    cost,
    drawn,
    efficiency,
    energy,
    flops,
    generated,
    gpu,
    headroom,
    held,
    job,
    loop,
    model,
    money,
    node,
    owner,
    place,
    power,
    rack,
    redundancy,
    replica,
    serving,
    site,
    stage,
    still,
    tenant,
    training,
    utilisation,
)
from gigawatch.promql.recording.common import Quantiles, Scopes
from gigawatch.promql.recording.utilisation import Split
from gigawatch.promql.rule import Recorded

_LEVELS = (
    place, power, gpu, held, replica, generated, owner, node, rack, redundancy, loop, cooling, model, job,
    site, cost, drawn, tenant, charge, efficiency, money, flops, training, utilisation, serving, stage,
    headroom, energy, contradiction, contradiction_rack, contradiction_heat, contradictions, still,
)  # fmt: skip
_TOGETHER = ("replica", "model")
"""Levels that feed on sites and sites on them: they share one group, in the order of the rules."""
SLOW = "-slow"
"""How the name of a group ends that is evaluated once a minute."""


@cache
def groups() -> dict[str, tuple[Recorded, ...]]:
    """All rules by evaluation group, each group in an order in which inputs come before their users."""
    by_level: dict[str, list[Recorded]] = {}
    for rule in all_rules():
        level = rule.name.split(":", 1)[0]
        level = "site" if level in _TOGETHER else level
        by_level.setdefault(f"{level}{SLOW}" if rule.slow else level, []).append(rule)
    return {f"gigawatch-{level}": tuple(rules) for level, rules in by_level.items()}


@cache
def all_rules() -> tuple[Recorded, ...]:
    """All recording rules, level after level, each in the order of its file."""
    found: dict[Recorded, None] = {}
    for level in _LEVELS:
        for value in vars(level).values():
            found.update((rule, None) for rule in _rules_in(value))
    return tuple(found)


def _rules_in(value: object) -> Iterator[Recorded]:
    """A rule, or those of a bundle."""
    if isinstance(value, Recorded):
        yield value
    elif isinstance(value, Scopes | Quantiles | Split):
        for field in fields(value):
            yield getattr(value, field.name)
    elif isinstance(value, Mapping):
        for one in value.values():
            if isinstance(one, Recorded):
                yield one
