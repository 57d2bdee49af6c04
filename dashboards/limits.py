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
FAILOVER: Steps = rising(0.9, 1)
"""Load against what is left when a side, a feed or a spare device is lost; above 1 it does not hold."""
HEADROOM: Steps = falling(5, 0)
"""Amperes left of a breaker's continuous limit (80 % of its rating)."""
IMBALANCE: Steps = rising(0.1, 0.2)
"""How far the worst phase is from the mean of all."""
BATTERY_CHARGE: Steps = falling(0.9, 0.5)
FEED_SIDES: Steps = (("red", None), ("green", 2))
"""Live sides of a rack: two are redundant."""
LEFT: Steps = (("red", None), ("green", 0))
"""Power that may still be added: below nothing there is too much already."""
FLOW: Steps = falling(0.85, 0.7)
"""Coolant flow against design."""
CAPACITY: Steps = rising(0.8, 0.9)
"""Heat against what a cooling device can carry."""
ABOVE_DEW_POINT: Steps = falling(4, 2)
FLOW_PER_KW: Steps = falling(1.25, 1.0)
"""Litres a minute for each kilowatt; 1.5 is OCP's design figure, 1.0 the least."""
RISE: Steps = rising(12, 15)
"""Kelvin that the coolant warms up; 8 to 12 are usual, above 15 the flow is low."""
TIME_TO_THROTTLE: Steps = falling(3600, 900)
RCI: Steps = falling(0.96, 0.9)
"""Rack cooling index: 1 is ideal, 0.96 good, below 0.9 poor (Herrlin)."""
HUMIDITY: Steps = (("red", None), ("orange", 0.08), ("green", 0.2), ("orange", 0.7), ("red", 0.8))
"""Relative humidity: 70 % is ASHRAE's recommended limit."""
DEW_POINT: Steps = (("orange", None), ("green", -9), ("orange", 15), ("red", 17))
"""Dew point of the air in °C: -9 to 15 recommended (ASHRAE, 2021)."""
CONTRADICTION: Steps = rising(1.1, 2)
SILENT_DEVICES: Steps = rising(1, 3)
SPACE: Steps = rising(0.8, 0.95)
"""Share of a resource that is used or promised."""
EXHAUSTION: Steps = falling(180 * 86400, 30 * 86400)
"""Time until a limit is reached: half a year to order, a month to act."""
RESERVOIR: Steps = falling(0.6, 0.4)
RESISTANCE_CHANGE: Steps = rising(0.08, 0.15)
RISK: Steps = rising(0.3, 0.5)
ANOMALY: Steps = rising(0.7, 0.9)
ANALYTICS_AGE: Steps = rising(90, 180)
JUDGED: Steps = (("orange", None), ("green", 0.9))
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
LAG: Steps = rising(5, 30)
"""Seconds that a poll begins after it was meant to."""
KV_CACHE: Steps = rising(0.85, 0.95)
CHECKPOINT_AGE: Steps = rising(3600, 7200)
UTILIZATION: Steps = falling(0.6, 0.2)
WUE: Steps = rising(0.5, 1.8)
"""Litres per kilowatt-hour of IT; 1.8 is the often quoted mean of the industry."""
CUE: Steps = rising(0.2, 0.5)
"""Kilograms of CO2 for each kilowatt-hour of IT."""
PUE: Steps = rising(1.4, 1.7)
FILESYSTEM: Steps = rising(0.8, 0.95)
