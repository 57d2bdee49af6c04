"""From which values on a figure turns orange and red, the same on every board.

Where an alert watches the same figure, one of the two starts at its threshold.
"""

from __future__ import annotations

from dashboards.panels import Steps, falling, rising

MARGIN: Steps = falling(10, 3)
"""Kelvin left until a GPU slows itself down."""
INLET: Steps = rising(27, 32)
"""Server inlet air in °C: ASHRAE's recommended and allowable limits for class A1."""
BUDGET: Steps = rising(0.9, 1)
"""Power of a rack against what was planned."""
BREAKER: Steps = rising(0.8, 0.9)
"""Current against a breaker's rating; 80 % is the limit for continuous load (NEC 210.20)."""
UPS_LOAD: Steps = rising(0.5, 0.8)
"""Above half its rating, a UPS cannot take over the load of its twin."""
UPS_RUNTIME: Steps = falling(600, 300)
FLOW: Steps = falling(0.85, 0.7)
"""Coolant flow against design."""
CAPACITY: Steps = rising(0.8, 0.9)
"""Heat against what a cooling device can carry."""
ABOVE_DEW_POINT: Steps = falling(4, 2)
RESERVOIR: Steps = falling(0.6, 0.4)
RESISTANCE_CHANGE: Steps = rising(0.08, 0.15)
RISK: Steps = rising(0.3, 0.5)
ANOMALY: Steps = rising(0.7, 0.9)
ANALYTICS_AGE: Steps = rising(90, 180)
HEARTBEAT_AGE: Steps = rising(120, 180)
FIRST_TOKEN: Steps = rising(3, 5)
BETWEEN_TOKENS: Steps = rising(0.1, 0.2)
"""Slower than a person reads from 0.2 s on."""
ERRORS: Steps = rising(0.01, 0.05)
BURN: Steps = rising(1, 14.4)
"""Above 1 an objective is missed in the long run; at 14.4 a month's allowance is gone in two days."""
WAITING: Steps = rising(0.2, 0.5)
GOODPUT: Steps = falling(0.9, 0.8)
MFU: Steps = falling(0.35, 0.2)
"""Dense models reach 0.35 to 0.5."""
KNOWN: Steps = falling(0.99, 0.9)
ALLOCATED: Steps = falling(0.9, 0.8)
QUEUE: Steps = rising(3600, 14400)
SILENT: Steps = rising(120, 600)
KV_CACHE: Steps = rising(0.85, 0.95)
CHECKPOINT_AGE: Steps = rising(3600, 7200)
UTILIZATION: Steps = falling(0.6, 0.2)
PUE: Steps = rising(1.4, 1.7)
FILESYSTEM: Steps = rising(0.8, 0.95)
