"""What the recording rules of all levels share: spans of time and sets of labels."""

from __future__ import annotations

from gigawatch.catalogue import gpu
from gigawatch.promql.expr import max_by, series

WINDOW = "1m"
"""Four scrapes at 15 s, and right soon after a start, where a longer span would read low until it has filled.
Figures of money over longer times are averages of these."""
HOURS_PER_YEAR = 8766
NODE = ("site", "rack", "node")
RACK = ("site", "rack")
LOOP = ("site", "loop")
SITE = ("site",)
MODEL = ("site", "model")

gpu_power = max_by(series(gpu.GPU_POWER, scope="gpu"), *NODE, "gpu", "uuid")
