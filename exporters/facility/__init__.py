"""Facility devices: power, cooling, sensors, management controllers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gigawatch.lazy import lazily

if TYPE_CHECKING:
    from exporters.facility.exporter import facility_exporter
    from exporters.facility.program import Facility

__all__ = ["Facility", "facility_exporter"]

__getattr__ = lazily(__name__, {"Facility": "program", "facility_exporter": "exporter"})
