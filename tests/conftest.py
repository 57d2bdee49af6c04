"""What tests of all rooms share."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

ROOT = Path(__file__).resolve().parent.parent

# How long an example takes says more about what else the machine does than about the code.
settings.register_profile("gigawatch", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("gigawatch")


@pytest.fixture(scope="session")
def checkout() -> Path:
    """The checkout under test."""
    return ROOT
