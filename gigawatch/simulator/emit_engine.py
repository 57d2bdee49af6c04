"""Readings of inference engines, one replica per node, as their dialects bring them to one form."""

from __future__ import annotations

import numpy as np

from gigawatch.catalogue import Metric, inference
from gigawatch.readings import COUNT, SUM
from gigawatch.simulator import latency
from gigawatch.simulator.layout import Array, Layout
from gigawatch.simulator.state import State
from gigawatch.simulator.table import Labels, Mask, Table, Values, floored, rounded

COUNTED = {"vllm": ("step", "0.32.0", 20.0), "sglang": ("request", "0.5.23", 30.0)}
"""By engine: when it counts generated tokens, its version, and the seconds after which no progress means that
it is frozen."""
DRAFTED = 3.0
"""Tokens that a draft proposes."""
ACCEPTED = 0.62
LARGE = 60e9
"""Models with so many parameters are served with a small one that drafts for them."""
DRAFT_LENGTH = 1 + ACCEPTED * DRAFTED
"""Tokens that come out of one checked draft."""


def fill(layout: Layout, table: Table) -> None:
    """Add all rows; the table's things are the groups of GPUs."""
    if layout.inference.any():
        rows = _Engines(layout, table)
        rows.work()
        rows.cache()
        rows.latency()
        rows.health()
        rows.identity()


class _Engines:
    def __init__(self, layout: Layout, table: Table) -> None:
        self._layout, self._table = layout, table
        self._kinds = ["", *(group.job.engine for group in layout.groups)]

    def _add(self, metric: Metric, values: Values | float, *extra: str, where: Mask | None = None) -> None:
        here = self._layout.inference if where is None else self._layout.inference & where
        self._table.add(metric, self._labels(*extra), values, here)

    def _labels(self, *extra: str) -> Labels:
        groups = self._layout.groups

        def labels(k: int) -> tuple[str, ...]:
            group = groups[k - 1]
            return (group.job.engine, group.job.model, group.replica, *extra)

        return labels

    def _told(self, metric: Metric, values: Values, *extra: str, where: Mask | None = None) -> None:
        """What an engine tells only while it answers."""
        self._add(metric, _answered(values), *extra, where=where)

    def work(self) -> None:
        for row, (kind, source) in enumerate(
            (("prompt", "computed"), ("prompt", "cached"), ("generation", "computed"))
        ):
            self._told(inference.INFERENCE_TOKENS, floored("served", row), kind, source)
        self._told(inference.INFERENCE_REQUESTS_RUNNING, rounded("running", 0))
        self._told(inference.INFERENCE_REQUESTS_WAITING, rounded("waiting", 0))
        for row, outcome in enumerate(("stop", "length", "abort", "error")):
            self._told(inference.INFERENCE_REQUESTS, floored("requests", row), outcome)
        # Two operations per parameter and token that is worked out, spread over the replica's GPUs.
        per_token = 2 * self._layout.parameters / np.maximum(self._layout.group_gpus, 1)
        self._told(inference.INFERENCE_FLOPS, lambda s: np.floor(s.served[0] + s.served[2]) * per_token)

    def cache(self) -> None:
        self._told(inference.INFERENCE_KV_CACHE_USAGE, rounded("cache_used", 4))
        self._told(inference.INFERENCE_PREEMPTIONS, floored("preempted"))
        self._told(inference.INFERENCE_CACHE_QUERIED, lambda s: np.floor(s.served[0]) + np.floor(s.served[1]))
        self._told(inference.INFERENCE_CACHE_HIT, floored("served", 1))
        large = self._layout.parameters >= LARGE
        for metric, each in (
            (inference.INFERENCE_DRAFTS, 1.0),
            (inference.INFERENCE_DRAFT_TOKENS, DRAFTED),
            (inference.INFERENCE_ACCEPTED_TOKENS, ACCEPTED * DRAFTED),
        ):
            self._told(metric, _drafts(each), where=large)

    def latency(self) -> None:
        families = [latency.family(kind) for kind in self._kinds]
        for name in sorted({families[k] for k in np.flatnonzero(self._layout.inference)}):
            mine = np.array([family == name for family in families])
            for number, metric in enumerate(latency.HISTOGRAMS):
                for edge, row in latency.rows_of(name, number):
                    self._told(metric, floored("latency_counts", row), edge, where=mine)
                self._told(metric, rounded("latency_sums", 6, number), SUM, where=mine)
                counted = floored("latency_counts", latency.count_row(metric))
                self._told(metric, counted, COUNT, where=mine)
        for objective, (metric, seconds, share) in latency.OBJECTIVES.items():
            self._add(inference.INFERENCE_OBJECTIVE, seconds, objective)
            self._add(inference.INFERENCE_OBJECTIVE_SHARE, share, objective)
            counted = floored("latency_counts", latency.count_row(metric))
            self._told(inference.INFERENCE_OBSERVED, counted, objective)
            met = floored("latency_counts", latency.objective_row(objective))
            self._told(inference.INFERENCE_MET, met, objective)

    def health(self) -> None:
        self._add(inference.INFERENCE_ENGINE_UP, rounded("answering", 0))
        # A frozen engine says that it is well, as real ones do.
        self._add(inference.INFERENCE_ENGINE_HEALTHY, rounded("answering", 0))
        self._told(inference.INFERENCE_PROGRESS, floored("progress"))
        self._told(inference.INFERENCE_STALLED, rounded("stalled", 0))
        for kind in sorted({self._kinds[k] for k in np.flatnonzero(self._layout.inference)}):
            granularity, _, patience = COUNTED.get(kind, COUNTED["vllm"])
            mine = np.array([other == kind for other in self._kinds])
            self._add(inference.INFERENCE_PATIENCE, patience, where=mine)
            self._add(inference.INFERENCE_COUNTING_INFO, 1.0, granularity, where=mine)

    def identity(self) -> None:
        layout, groups = self._layout, self._layout.groups

        def about(k: int) -> tuple[str, ...]:
            group = groups[k - 1]
            version = COUNTED.get(group.job.engine, ("", "", 0.0))[1]
            return (group.job.engine, group.replica, "simulated", group.job.engine, version)

        def who(k: int) -> tuple[str, ...]:
            return (groups[k - 1].job.engine, groups[k - 1].replica)

        self._table.add(inference.INFERENCE_ENGINE_INFO, about, 1.0, layout.inference)
        for metric in (inference.INFERENCE_UNMAPPED, inference.INFERENCE_MISSING):
            self._table.add(metric, who, _answered(lambda s: s.answering * 0), layout.inference)
        self._table.add(
            inference.INFERENCE_SCRAPE_DURATION,
            who,
            _answered(lambda s: np.round(0.006 + 2e-5 * s.running, 4)),
            layout.inference,
        )


def _answered(values: Values) -> Values:
    return lambda state: np.where(state.answering > 0, values(state), np.nan)


def _drafts(each: float) -> Values:
    def values(state: State) -> Array:
        return np.asarray(np.floor(state.served[2] / DRAFT_LENGTH * each))

    return values
