"""Where things stand, for alerts: Alertmanager mutes along these labels."""

from __future__ import annotations

from gigawatch.catalogue import Unit, site
from gigawatch.promql.expr import Expr, count_by, foreign, matches, max_by, on, series
from gigawatch.promql.rule import Recorded

_node_place = max_by(series(site.NODE_INFO), "site", "node", "rack", "hall", "row", "loop")
_node_target = foreign(
    'max by (site, node, rack) (up{job="gigawatch-agent"} >= bool 0)', ("site", "node", "rack")
)
NODE_PLACE = Recorded(
    "node:aif_place:info",
    Expr(f"{_node_place.inner} or on (site, node) {_node_target.inner}", _node_place.labels, atom=False),
    "Hall, row, rack and cooling loop of each node; always 1.",
    Unit.COUNT,
)
_device_place = max_by(series(site.DEVICE_INFO), "site", "device", "role", "feed", "loop")
_device_target = foreign('max by (site, device) (up{job="gigawatch-facility"} >= bool 0)', ("site", "device"))
DEVICE_PLACE = Recorded(
    "device:aif_place:info",
    Expr(
        f"{_device_place.inner} or on (site, device) {_device_target.inner}", _device_place.labels, atom=False
    ),
    "Role, feed and cooling loop of each facility device; always 1.",
    Unit.COUNT,
)
_cdu = series(site.DEVICE_INFO, role="cdu", loop=matches(".+"))
_loop_feeds = max_by(_cdu, "site", "loop", "hall", "feed")
_loop_single = on(_loop_feeds, "and", count_by(_loop_feeds, "site", "loop").equals(1), "site", "loop")
_loop_plain = max_by(_cdu, "site", "loop", "hall")
LOOP_PLACE = Recorded(
    "loop:aif_place:info",
    Expr(f"({_loop_single.text}) or on (site, loop) {_loop_plain.inner}", _loop_feeds.labels, atom=False),
    "Hall of each cooling loop, and the feed of its coolant units where they all hang on one; always 1.",
    Unit.COUNT,
)
