"""Workload rows of an inventory or scenario: who runs what, and where."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from itertools import product
from typing import Any

from gigawatch.catalogue import workload
from gigawatch.errors import UserError
from gigawatch.topology import Inventory

KINDS = ("training", "inference", "idle")
DEFAULT_LOAD = 0.55
"""Mean demand on an engine against its capacity: an afternoon peak with noise stays below saturation."""
STAGES = workload.GPU_ALLOCATION_INFO.values["stage"]
_FIELDS = (
    "kind",
    "name",
    "model",
    "engine",
    "nodes",
    "user",
    "namespace",
    "stage",
    "load",
    "checkpoint_minutes",
)
_RANGE = re.compile(r"\[(\d+)-(\d+)\]")
_LARGEST = 100_000
_PARAMETERS = re.compile(r"(\d+(?:\.\d+)?)b(?:$|[^a-z])", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Job:
    """One workload: the nodes in `nodes` work for it, all of their GPUs."""

    kind: str
    """training, inference or idle."""
    name: str
    nodes: tuple[str, ...]
    model: str = ""
    engine: str = ""
    user: str = ""
    namespace: str = ""
    stage: str = ""
    load: float = DEFAULT_LOAD
    """Inference: mean demand against capacity."""
    checkpoint_seconds: float = 600.0
    """Training: time between two checkpoints."""

    @property
    def parameters(self) -> float:
        """Parameters of the model, read from its name (llama-3.1-70b: 70e9); 8e9 where it names none."""
        found = _PARAMETERS.findall(self.model)
        return float(found[-1]) * 1e9 if found else 8e9


def expand(pattern: str) -> list[str]:
    """The names a pattern stands for, with any number of bracket ranges: r[01-02]-n[1-4]."""
    spans = []
    for low, high in _RANGE.findall(pattern):
        if int(low) > int(high) or int(high) - int(low) >= _LARGEST:
            raise UserError(f"the range [{low}-{high}] in '{pattern}' is empty or too large")
        spans.append([str(n).zfill(len(low)) for n in range(int(low), int(high) + 1)])
    size = 1
    for span in spans:
        size *= len(span)
    if size > _LARGEST:
        raise UserError(f"'{pattern}' stands for more than {_LARGEST} names")
    names = []
    for picked in product(*spans):
        numbers = iter(picked)
        names.append(_RANGE.sub(lambda _, n=numbers: next(n), pattern))  # type: ignore[misc] # bound default
    return names


def parse_jobs(
    rows: Iterable[Mapping[str, object]], inventory: Inventory, source: str = ""
) -> tuple[Job, ...]:
    """Typed jobs from raw rows.

    Raises UserError with one line that names the row, the field, what is wrong and what is allowed:
    unknown kind, unknown node, two jobs on one node.
    """
    where = source or inventory.source or "workloads"
    jobs: list[Job] = []
    holder: dict[str, str] = {}
    for index, row in enumerate(rows):
        job = _parse(f"{where}: workloads[{index}]", row, inventory)
        for node in job.nodes:
            if node in holder:
                raise UserError(
                    f"{where}: workloads[{index}].nodes: '{node}' is held by '{holder[node]}'; "
                    "one job per node"
                )
            holder[node] = job.name
        if any(other.name == job.name for other in jobs):
            raise UserError(f"{where}: workloads[{index}].name: '{job.name}' is taken; names are unique")
        jobs.append(job)
    return tuple(jobs)


def _parse(at: str, row: Mapping[str, object], inventory: Inventory) -> Job:
    if not isinstance(row, Mapping):
        raise UserError(f"{at}: is not a mapping; write fields such as kind, name, nodes")
    for key in row:
        if key not in _FIELDS:
            raise UserError(f"{at}.{key}: is not a known field; known here: {', '.join(_FIELDS)}")
    kind = _text(at, row, "kind")
    if kind not in KINDS:
        raise UserError(f"{at}.kind: is '{kind}'; allowed: {', '.join(KINDS)}")
    name = _text(at, row, "name")
    if not name:
        raise UserError(f"{at}.name: is missing; give the job a name")
    stage = _text(at, row, "stage") or ("inference" if kind == "inference" else "training")
    if stage not in STAGES:
        raise UserError(f"{at}.stage: is '{stage}'; allowed: {', '.join(STAGES)}")
    patterns = row.get("nodes")
    if not isinstance(patterns, list) or not patterns or not all(isinstance(p, str) for p in patterns):
        raise UserError(f"{at}.nodes: is not a list of node names; write nodes: [r01-n01] or a bracket range")
    nodes: list[str] = []
    for pattern in patterns:
        try:
            names = expand(pattern)
        except UserError as error:
            raise UserError(f"{at}.nodes: {error}") from None
        for node in names:
            if node not in inventory.node:
                raise UserError(f"{at}.nodes: no node '{node}'; {near(node, inventory.node)}")
            if inventory.node[node].gpus == 0 and kind != "idle":
                raise UserError(f"{at}.nodes: '{node}' has no GPUs; name nodes with GPUs")
            if node in nodes:
                raise UserError(f"{at}.nodes: '{node}' stands twice; keep one of the two")
            nodes.append(node)
    return Job(
        kind, name, tuple(nodes), _text(at, row, "model"), _text(at, row, "engine") or "vllm", _text(at,
        row, "user"),
        _text(at, row, "namespace"), stage, _number(at, row, "load", DEFAULT_LOAD, 0.0, 2.0),
        60 * _number(at, row, "checkpoint_minutes", 10.0, 1.0, 1440.0),
    )  # fmt: skip


def _text(at: str, row: Mapping[str, object], field: str) -> str:
    value = row.get(field, "")
    if not isinstance(value, str):
        raise UserError(f"{at}.{field}: is {value!r}; expected text")
    return value


def _number(at: str, row: Mapping[str, object], field: str, default: float, low: float, high: float) -> float:
    value: Any = row.get(field, default)
    if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
        raise UserError(f"{at}.{field}: is {value!r}; expected a number from {low:g} to {high:g}")
    return float(value)


def near(name: str, known: Iterable[str]) -> str:
    """What a user may have meant, for the end of an error line."""
    names = sorted(known)
    close = get_close_matches(name, names, n=3)
    if close:
        return f"did you mean {' or '.join(close)}?"
    return f"known: {', '.join(names[:8])}{' ...' if len(names) > 8 else ''}" if names else "there is none"
