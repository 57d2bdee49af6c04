"""Bracket ranges in names, and the numbers that other fields of the row take from them.

`r[01-10]` stands for r01 to r10. In the other fields {1} is the text of the first range ("07"), {1:d} its
number without leading zeros (7), {1:+100} and {1:-1} the number with an offset (107, 6), {1:*4} and {1:*4-3}
a multiple of it (28, 25).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from math import prod
from typing import Any

RANGE = re.compile(r"\[(\d+)-(\d+)\]")
LARGEST_RANGE = 100_000
"""Names that one row may stand for."""
_PLACE = re.compile(r"\{(\d)(?::([^{}]*))?\}")
_FORM = re.compile(r"d|[+-]\d{1,9}|\*(\d{1,9})([+-]\d{1,9})?")
FORMS = "allowed: {1}, {1:d}, {1:+100}, {1:-1}, {1:*4}, {1:*4-3}"


class ExpansionError(Exception):
    """A range or a placeholder makes no sense. `at` is the path of the field within the row."""

    def __init__(self, at: tuple[str | int, ...], problem: str, remedy: str) -> None:
        super().__init__(problem)
        self.at, self.problem, self.remedy = at, problem, remedy


def expand(row: dict[str, Any]) -> Iterator[tuple[dict[str, Any], int]]:
    """Each thing that a row stands for, with its position within the last range. Raises ExpansionError."""
    name = row.get("name")
    if not isinstance(name, str):
        yield row, 0
        return
    spans = _spans(name, ("name",))
    for number in range(prod(map(len, spans))):
        picked: list[str] = []
        rest = number
        for span in reversed(spans):
            rest, place = divmod(rest, len(span))
            picked.insert(0, span[place])
        counter = iter(picked)
        filled = {key: _fill(value, picked, (key,)) for key, value in row.items() if key != "name"}
        filled["name"] = RANGE.sub(lambda _, counter=counter: next(counter), name)  # type: ignore[misc] # bound default
        yield filled, number % len(spans[-1]) if spans else 0


def names(pattern: str) -> list[str]:
    """The names that a pattern stands for. Raises ExpansionError."""
    return [str(row["name"]) for row, _ in expand({"name": pattern})] if RANGE.search(pattern) else [pattern]


def _spans(name: str, at: tuple[str | int, ...]) -> list[list[str]]:
    ranges = [(low, high) for low, high in RANGE.findall(name)]
    for low, high in ranges:
        if int(low) > int(high):
            raise ExpansionError(at, f"has the range [{low}-{high}]", "put the lower number first")
    if prod(int(high) - int(low) + 1 for low, high in ranges) > LARGEST_RANGE:
        written = "".join(f"[{low}-{high}]" for low, high in ranges)
        raise ExpansionError(at, f"has the range {written[:60]}", f"at most {LARGEST_RANGE} names")
    return [[str(n).zfill(len(low)) for n in range(int(low), int(high) + 1)] for low, high in ranges]


def _fill(value: Any, picked: list[str], at: tuple[str | int, ...]) -> Any:
    if isinstance(value, str):
        return _PLACE.sub(lambda match: _number(match, picked, at), value) if "{" in value else value
    if isinstance(value, list):
        return [_fill(one, picked, (*at, index)) for index, one in enumerate(value)]
    if isinstance(value, dict):
        return {key: _fill(one, picked, (*at, str(key))) for key, one in value.items()}
    return value


def _number(match: re.Match[str], picked: list[str], at: tuple[str | int, ...]) -> str:
    place, form = int(match[1]), match[2]
    if not 1 <= place <= len(picked):
        raise ExpansionError(at, f"refers to {{{place}}}", f"the name has {len(picked)} bracket ranges")
    if form is None:
        return picked[place - 1]
    parsed = _FORM.fullmatch(form)
    if parsed is None:
        raise ExpansionError(at, f"has the placeholder {match[0][:40]}", FORMS)
    number = int(picked[place - 1])
    if parsed[1]:
        number = number * int(parsed[1]) + int(parsed[2] or 0)
    elif form != "d":
        number += int(form)
    return str(number)
