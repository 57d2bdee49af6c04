"""Lets the test modules of this folder import their helpers beside them."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture(scope="session", autouse=True)
def rendered(request: pytest.FixtureRequest) -> None:
    """Renders side by side what most tests look at, unless only a few tests run."""
    if sum("test_chart_objects" in item.nodeid for item in request.session.items) > 20:
        import chart_render as chart

        chart.render_ahead(
            {"values": values, **more}
            for values in chart.FILES
            for more in ({}, {"release": "b"}, {"operator": False})
        )
