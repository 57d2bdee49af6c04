"""All boards, in the order in which they stand in the bar of links."""

from __future__ import annotations

from functools import cache

from dashboards.boards import (
    alarms,
    capacity,
    cooling,
    efficiency,
    elevation,
    facility,
    fleet,
    job,
    node,
    pipeline,
    power,
    predict,
    rack,
    rooms,
    serving,
    tokens,
    training,
)
from dashboards.model import Board


@cache
def all_boards() -> tuple[Board, ...]:
    """Every board."""
    modules = (
        fleet, rack, node, job, serving, training, tokens,
        facility, elevation, power, cooling, rooms, capacity, efficiency,
        predict, alarms, pipeline,
    )  # fmt: skip
    return tuple(module.board() for module in modules)
