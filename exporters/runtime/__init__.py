"""The collector runtime: sources in lanes of their own, one rendering per tick, HTTP that drives nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gigawatch.lazy import lazily

if TYPE_CHECKING:
    from exporters.runtime.child import ChildOptions, Frame, Producer
    from exporters.runtime.exporter import Exporter
    from exporters.runtime.gate import Gate
    from exporters.runtime.health import Health, health_readings
    from exporters.runtime.lane import Lane
    from exporters.runtime.later import Later
    from exporters.runtime.page import Page
    from exporters.runtime.part import Part, Parts
    from exporters.runtime.source import Source, SourceError
    from exporters.runtime.supervisor import Supervisor

__all__ = [
    "ChildOptions",
    "Exporter",
    "Frame",
    "Gate",
    "Health",
    "Lane",
    "Later",
    "Page",
    "Part",
    "Parts",
    "Producer",
    "Source",
    "SourceError",
    "Supervisor",
    "health_readings",
]

__getattr__ = lazily(
    __name__,
    {
        "ChildOptions": "child",
        "Exporter": "exporter",
        "Frame": "child",
        "Gate": "gate",
        "Health": "health",
        "Lane": "lane",
        "Later": "later",
        "Page": "page",
        "Part": "part",
        "Parts": "part",
        "Producer": "child",
        "Source": "source",
        "SourceError": "source",
        "Supervisor": "supervisor",
        "health_readings": "health",
    },
)
