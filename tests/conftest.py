"""What tests of all rooms share."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

ROOT = Path(__file__).resolve().parent.parent

# How long an example takes says more about what else the machine does than about the code.
# GIGAWATCH_EXAMPLES=2000 looks more closely, where no test says how many it takes.
EXAMPLES = int(os.environ.get("GIGAWATCH_EXAMPLES", "50"))
settings.register_profile(
    "gigawatch", max_examples=EXAMPLES, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("gigawatch")


@pytest.fixture(scope="session")
def checkout() -> Path:
    """The checkout under test."""
    return ROOT
