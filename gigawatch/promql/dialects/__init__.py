"""Dialects: what other exporters say, in our words.

A cluster that already runs dcgm-exporter or node_exporter gets our series from theirs through recording
rules. The tables here are the only place where foreign metric names stand. See docs/existing-exporters.md.
"""

from gigawatch.promql.dialects.dcgm import DCGM
from gigawatch.promql.dialects.model import Dialect, Foreign, Made, Pick, Row, Step, Taken
from gigawatch.promql.dialects.node_exporter import NODE_EXPORTER
from gigawatch.promql.dialects.rules import DialectRule, groups

DIALECTS: tuple[Dialect, ...] = (DCGM, NODE_EXPORTER)

__all__ = [
    "DCGM",
    "DIALECTS",
    "NODE_EXPORTER",
    "Dialect",
    "DialectRule",
    "Foreign",
    "Made",
    "Pick",
    "Row",
    "Step",
    "Taken",
    "groups",
]
