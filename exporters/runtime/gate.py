"""The range gate: impossible values are not exported, they are counted."""

from __future__ import annotations

import math
from collections.abc import Sequence

from gigawatch.catalogue import (
    Kind,
    Metric,
    Origin,
    Unit,
    electrical,
    facility,
    gpu,
    host,
    inference,
    storage,
    training,
)
from gigawatch.readings import Reading

SENTINELS = frozenset({float(2**32 - 1), float(2**64 - 1)})
"""What drivers say for "I do not know"."""

_FIRST_SENTINEL = min(SENTINELS)
_LARGEST = float(2**63)
_ENDLESS = (-math.inf, math.inf)
_RANGES: dict[Unit, tuple[float, float]] = {
    Unit.RATIO: (0.0, 1.0),
    Unit.FLAG: (0.0, 1.0),
    Unit.CELSIUS: (-50.0, 150.0),
    Unit.WATTS: (0.0, 1e9),
    Unit.JOULES: (0.0, _LARGEST),
    Unit.BYTES: (0.0, _LARGEST),
    Unit.BYTES_PER_SECOND: (0.0, 1e14),
    Unit.TRANSFERS_PER_SECOND: (0.0, 1e12),
    Unit.HERTZ: (0.0, 1e11),
    Unit.SECONDS: (0.0, _LARGEST),
    Unit.TIMESTAMP: (0.0, 4.2e9),
    Unit.AMPERES: (0.0, 1e5),
    Unit.VOLTS: (0.0, 1e6),
    Unit.CUBIC_METERS_PER_SECOND: (0.0, 1e3),
    Unit.PASCALS: (-1e8, 1e8),
    Unit.COUNT: (0.0, _LARGEST),
    Unit.TOKENS: (0.0, _LARGEST),
}
_GPU_WATTS = 5e3
"""No GPU draws more; a whole server may."""
_OWN_RANGE: dict[Metric, tuple[float, float]] = {
    gpu.GPU_FAN_SPEED: (0.0, 2.0),  # what the driver aims at may be more than the rated speed
    host.HOST_CLOCK_OFFSET: (-1e6, 1e6),  # ahead or behind
    storage.NVME_WEAR: (0.0, 2.55),  # disks outlive what their makers vouch for; a byte of percent
    facility.UPS_LOAD: (0.0, 3.0),  # overload is real
    electrical.LOAD: (0.0, 3.0),
    training.TRAINING_FLOPS: (0.0, 1e33),  # a large run takes 1e26
    inference.INFERENCE_FLOPS: (0.0, 1e33),
    training.TRAINING_LOSS: (-1e30, 1e30),  # some are negative, and some explode
}


def allowed_range(metric: Metric) -> tuple[float, float]:
    """Lowest and highest value that the metric can have."""
    if metric in _OWN_RANGE:
        return _OWN_RANGE[metric]
    if metric.kind is Kind.INFO:
        return (1.0, 1.0)
    if metric.unit is Unit.WATTS and metric.origin is Origin.AGENT and metric.key.startswith("gpu_"):
        return (0.0, _GPU_WATTS)
    if metric.kind is Kind.HISTOGRAM:
        return (0.0, _LARGEST)  # counts, and a sum of what cannot be negative
    low, high = _RANGES.get(metric.unit, _ENDLESS)
    return (max(low, 0.0), high) if metric.kind is Kind.COUNTER else (low, high)


class Gate:
    """Lets possible readings through and counts the others. One per lane: not for several threads."""

    def __init__(self) -> None:
        self.rejected: dict[tuple[str, str], int] = {}
        self._ranges: dict[Metric, tuple[float, float]] = {}

    def sift(self, readings: Sequence[Reading]) -> list[Reading]:
        """The readings that can be true."""
        ranges = self._ranges
        passed = []
        for reading in readings:
            metric, _, value, _ = reading
            try:
                low, high = ranges[metric]
            except KeyError:
                low, high = ranges[metric] = allowed_range(metric)
            if low <= value <= high and (value < _FIRST_SENTINEL or value not in SENTINELS):
                passed.append(reading)
            else:
                self._reject(metric, value)
        return passed

    def _reject(self, metric: Metric, value: float) -> None:
        if value != value:
            reason = "not_a_number"
        elif value in SENTINELS:
            reason = "sentinel"
        else:
            reason = "out_of_range"
        key = (metric.name, reason)
        self.rejected[key] = self.rejected.get(key, 0) + 1
