"""The collector runtime: sources in lanes of their own, one rendering per tick, HTTP that drives nothing."""

from exporters.runtime.child import ChildOptions, Frame, Producer
from exporters.runtime.exporter import Exporter
from exporters.runtime.gate import Gate
from exporters.runtime.health import Health, health_readings
from exporters.runtime.lane import Lane
from exporters.runtime.page import Page
from exporters.runtime.source import Source, SourceError
from exporters.runtime.supervisor import Supervisor

__all__ = [
    "ChildOptions",
    "Exporter",
    "Frame",
    "Gate",
    "Health",
    "Lane",
    "Page",
    "Producer",
    "Source",
    "SourceError",
    "Supervisor",
    "health_readings",
]
