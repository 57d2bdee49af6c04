"""Recording rules: expressions with a name of their own, computed once for panels, alerts and analytics."""

from __future__ import annotations

import re
from dataclasses import dataclass

from gigawatch.catalogue import Unit
from gigawatch.promql.expr import Expr, Match, PromQLError, Selector, _known, matchers

_NAME = re.compile(r"^[a-z]+:[a-z0-9_]+:[a-z0-9_]+$")


@dataclass(frozen=True, slots=True, eq=False)
class Recorded:
    """A recorded series: `name` is level:metric:operations; labels and unit follow from the expression."""

    name: str
    expr: Expr
    help: str
    unit: Unit
    slow: bool = False
    """Evaluated once a minute, whatever the pace of the others: for what looks back over an hour or a day."""

    def __post_init__(self) -> None:
        if not _NAME.match(self.name):
            raise PromQLError(f"{self.name}: a recorded name has the form level:metric:operations")

    @property
    def queried_labels(self) -> frozenset[str]:
        """The labels a recorded series carries."""
        return _known(self.expr)


def recorded(rule: Recorded, **labels: str | Match) -> Selector:
    """Series of a recording rule. Refuses labels it does not have."""
    text = rule.name + matchers(labels, rule.queried_labels, rule.name)
    return Selector(text, rule.queried_labels, rule.unit, metric=None, over=rule.name)
