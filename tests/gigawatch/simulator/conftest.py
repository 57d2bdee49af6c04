"""Plants in balance, built once per site and copied for each test."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import pytest

from gigawatch.simulator.plant import Plant
from gigawatch.topology import Inventory, blueprint

START = 1_767_225_600.0


@cache
def _site(name: str) -> Inventory:
    return blueprint(name)


@cache
def _balanced(name: str) -> Plant:
    return Plant(_site(name), 1, START)


def _fresh(name: str = "starter") -> Plant:
    plant = Plant(_site(name), 1, START, warm_up=0)
    plant.state.buffer[:] = _balanced(name).state.buffer
    assert plant.time == START
    return plant


@pytest.fixture
def fresh_plant() -> Callable[..., Plant]:
    """fresh_plant(blueprint): a plant of seed 1 in balance at START."""
    return _fresh


@pytest.fixture
def start() -> float:
    return START
