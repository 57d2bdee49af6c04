"""Each token once: where a router and engines behind it are read, what both would count is the engines'.

Latencies of both stay: what clients see and what engines do, told apart by the label `engine`.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable

from exporters.inference.dialect import Dialect
from gigawatch.catalogue import inference
from gigawatch.serving.exposition import Blocks

COUNTED_ONCE = frozenset(
    metric.name
    for metric in (
        inference.INFERENCE_TOKENS,
        inference.INFERENCE_REQUESTS,
        inference.INFERENCE_REQUESTS_RUNNING,
        inference.INFERENCE_REQUESTS_WAITING,
    )
)
_MODEL = re.compile(rb'[{,]model="((?:[^"\\]|\\.)*)"')


def served(engines: Iterable[tuple[Dialect, Iterable[str]]]) -> frozenset[str]:
    """Models of which an engine itself is read, from the models of each that is read. Case tells nothing:
    routers write it their own way."""
    return frozenset(
        model.casefold()
        for dialect, models in engines
        if not dialect.stands_before
        for model in models
        if model
    )


def left_to_engines(blocks: Blocks, models: Collection[str]) -> Blocks:
    """A router's lines without what engines that serve these `models` count as well."""
    if not models:
        return blocks
    kept = dict(blocks)
    for name in COUNTED_ONCE & blocks.keys():
        lines = [line for line in blocks[name].splitlines(keepends=True) if _model(line) not in models]
        if lines:
            kept[name] = b"".join(lines)
        else:
            del kept[name]
    return kept


def _model(line: bytes) -> str:
    found = _MODEL.search(line)
    text = found.group(1).decode() if found else ""
    return text.replace(r"\"", '"').replace(r"\n", "\n").replace("\\\\", "\\").casefold()
