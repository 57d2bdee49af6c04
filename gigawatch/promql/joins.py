"""Joins with choices: what counts where several things could be said of one thing, or none."""

from __future__ import annotations

from gigawatch.promql.expr import Expr, PromQLError, count_by, on


def otherwise(left: Expr, right: Expr, *labels: str) -> Expr:
    """The series of `left`, and those of `right` for whose `labels` there is none in `left`."""
    if left.labels is None or right.labels is None:
        raise PromQLError(f"'{left.text}' or '{right.text}': a scalar has no labels")
    for side in (left, right):
        missing = [label for label in labels if label not in (side.labels or ())]
        if missing:
            raise PromQLError(f"or on ({', '.join(labels)}): '{side.text}' has no {', '.join(missing)}")
    text = f"{left.inner} or on ({', '.join(labels)}) {right.inner}"
    return Expr(text, left.labels | right.labels, left.unit, atom=False)


def sole(expr: Expr, *labels: str) -> Expr:
    """Those series that are the only one with their `labels`: what is said in two ways is not known."""
    return on(expr, "and", count_by(expr, *labels).equals(1), *labels)


def copied(expr: Expr, label: str, *sources: str, between: str = "|") -> Expr:
    """`label` set to the values of `sources`, joined. Keeps all other labels."""
    missing = [source for source in sources if source not in (expr.labels or ())]
    if missing:
        raise PromQLError(f"copied(): '{expr.text}' has no {', '.join(missing)}")
    quoted = ", ".join(f'"{part}"' for part in (label, between, *sources))
    return Expr(f"label_join({expr.text}, {quoted})", (expr.labels or frozenset()) | {label}, expr.unit)


def relabel(expr: Expr, label: str, to: str, source: str = "", pattern: str = "(.*)") -> Expr:
    """`label` set to `to` ($1: what `pattern` caught of the label `source`) where all of it matches.

    Two series must not become one by it: PromQL then gives no answer at all.
    """
    source = source or label
    text = f'label_replace({expr.text}, "{label}", "{to}", "{source}", "{pattern}")'
    return Expr(text, (expr.labels or frozenset()) | {label}, expr.unit)
