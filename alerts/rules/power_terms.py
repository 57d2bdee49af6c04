"""What the rules about power share."""

from __future__ import annotations

from alerts.cases import Given, given
from alerts.places import (
    DEVICE,
)
from gigawatch.catalogue import facility
from gigawatch.promql import (
    max_by,
    series,
)

FACILITY = "facility and IT on-call"
DEAD_VOLTS = 100
"""Below this a phase counts as dead at every line-to-neutral voltage in use (120 to 277 V)."""

volts = max_by(series(facility.VOLTAGE), *DEVICE)


def volt(device: str, value: float | str, rack: str = "") -> Given:
    return given(
        facility.VOLTAGE, value, device=device, rack=rack, side=device[-1].upper(), scope="phase", id="L1"
    )
