"""Shared: training jobs with the reporter."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from training_jobs import PLACES, Jobs


@pytest.fixture
def nowhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """No scheduler around, whatever runs these tests."""
    for name in list(os.environ):
        if name.startswith(PLACES) or name == "HOSTNAME":
            monkeypatch.delenv(name)


@pytest.fixture
def jobs(tmp_path: Path) -> Iterator[Jobs]:
    """Training jobs in processes of their own, ended with the test."""
    found = Jobs(tmp_path)
    yield found
    found.close()
