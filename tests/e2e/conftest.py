"""Stacks of real parts, once for all end-to-end tests of a module."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from live_stack import Stack, start


@pytest.fixture(scope="module")
def starter(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """The starter blueprint, as `make up` starts it."""
    stack = start(tmp_path_factory.mktemp("starter") / "state")
    yield stack
    stack.run("down")


@pytest.fixture(scope="module")
def mid_scale(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """The mid-scale blueprint: room for several faults at once."""
    stack = start(tmp_path_factory.mktemp("mid") / "state", "--blueprint", "mid-scale")
    yield stack
    stack.run("down")
