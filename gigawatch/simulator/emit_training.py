"""Readings of training jobs, as their reporters tell them: the job on the node of its first rank."""

from __future__ import annotations

import numpy as np

from gigawatch.catalogue import Metric, training
from gigawatch.simulator import train
from gigawatch.simulator.layout import Array, Layout
from gigawatch.simulator.state import State
from gigawatch.simulator.table import Table, Values, floored, rounded

PRECISION = "bf16"


def fill(layout: Layout, table: Table) -> None:
    """Add what jobs tell of themselves; the table's things are the groups of GPUs."""

    def add(metric: Metric, values: Values | float, *extra: str) -> None:
        def labels(k: int) -> tuple[str, ...]:
            job = layout.groups[k - 1].job
            return (job.name, job.model, *extra)

        table.add(metric, labels, values, layout.training)

    add(training.TRAINING_TOKENS, floored("tokens"))
    add(training.TRAINING_SAMPLES, lambda s: np.floor(s.tokens / train.SEQUENCE))
    add(training.TRAINING_STEPS, floored("steps"))
    # Forward and backward: six operations per parameter and token.
    add(training.TRAINING_FLOPS, lambda s: np.floor(s.tokens) * 6 * layout.parameters)
    add(training.TRAINING_STEP_DURATION, rounded("step_time", 3))
    add(training.TRAINING_STEP_SECONDS, rounded("stepping", 3))
    add(training.TRAINING_LOSS, lambda s: np.round(train.loss(s), 4))
    add(training.TRAINING_CHECKPOINT_TIMESTAMP, rounded("checkpoint_done", 1))
    # Before the first checkpoint there is none to tell the duration of.
    add(
        training.TRAINING_CHECKPOINT_DURATION,
        lambda s: np.where(s.checkpoints > 0, np.round(s.checkpoint_duration, 3), np.nan),
    )
    add(training.TRAINING_CHECKPOINTS, floored("checkpoints"))
    add(training.TRAINING_CHECKPOINT_SECONDS, rounded("checkpoint_seconds", 3))
    add(training.TRAINING_START_TIMESTAMP, rounded("began", 0))
    add(training.TRAINING_ELAPSED, rounded("elapsed", 3))
    add(training.TRAINING_RESTARTS, floored("restarts"))
    for row, reason in enumerate(training.TRAINING_LOST.values["reason"]):
        add(training.TRAINING_LOST, rounded("lost_seconds", 3, row), reason)
    add(training.TRAINING_REPORT_TIMESTAMP, rounded("reported", 1), "reporter")
    add(training.TRAINING_PRECISION_INFO, 1.0, PRECISION)


def fill_nodes(layout: Layout, table: Table) -> None:
    """Add how many ranks report on each node."""

    def labels(n: int) -> tuple[str, ...]:
        job = layout.groups[layout.node_group[n] - 1].job
        return (job.name, job.model)

    here = layout.training[layout.node_group]
    table.add(training.TRAINING_RANKS, labels, layout.node_gpus.astype(float), here)


def rank_step(layout: Layout, state: State) -> Array:
    """The step that each GPU's rank has finished last: one step behind is who holds the others up."""
    held_up = (state.stalled_for > 0) | (state.port_down > 0)
    behind = (state.lost > 0) | held_up[layout.gpu_node]
    return np.asarray(np.maximum(np.floor(state.step_number)[layout.gpu_group] - behind, 0.0))
