"""Rack PDUs, servers, GPUs and UPS against each other: the same power, measured up to four times."""

from __future__ import annotations

from gigawatch.catalogue import Unit, facility, gpu, site
from gigawatch.promql.expr import Expr, many_to_one, matches, max_by, min_by, on, series, sum_by
from gigawatch.promql.joins import relabel
from gigawatch.promql.recording.common import DEVICE, NODE, RACK
from gigawatch.promql.recording.contradiction import (
    AGREES,
    RACK_POWER_AGREEMENT,
    RACK_SERVERS_POWER,
    claim,
    lately,
    outside,
    rule,
)
from gigawatch.promql.recording.node import NODE_GPU_POWER, NODE_POWER
from gigawatch.promql.recording.place import NODE_PLACE
from gigawatch.promql.recording.power import DEVICE_POWER
from gigawatch.promql.recording.rack import RACK_GPU_POWER
from gigawatch.promql.recording.redundancy import FEED_POWER, RACK_POWER_WHOLE
from gigawatch.promql.rule import Recorded, recorded

_KEY = ("site", "device")
_FEED = ("site", "feed")
_NODE = ("site", "node")
_some = matches(".+")

_rack_mean = lately(RACK_POWER_WHOLE, *RACK)
_servers_mean = lately(RACK_SERVERS_POWER, *RACK)
_believed = (_servers_mean / (lately(RACK_GPU_POWER, *RACK) > 200) >= 0.95) <= 5
_gpus = max_by(recorded(RACK_GPU_POWER), *RACK)
_servers_odd = on(on(_servers_mean, "and", _gpus, *RACK), "unless", _believed, *RACK)
_pdu_info = max_by(series(site.DEVICE_INFO, role="rack_pdu", rack=_some), *RACK, "device")
_pdu = many_to_one(lately(DEVICE_POWER, *_KEY), "*", _pdu_info, (*RACK, "device"))
_should = many_to_one(max_by(_pdu, *DEVICE), "+", _servers_mean - _rack_mean, RACK)
PDU_AGREEMENT = Recorded(
    "device:aif_power_agreement:ratio",
    on(max_by(_pdu, *DEVICE), "/", _should > 100, *DEVICE),
    "What a rack PDU says against what the servers of its rack leave for it if its other PDUs are right, "
    "over five minutes.",
    Unit.RATIO,
)


def _of(racks: Expr, lowest: bool) -> Expr:
    """The PDU of each of these racks that is farthest off."""
    here = on(recorded(PDU_AGREEMENT), "and", racks, *RACK)
    return many_to_one(here, "==", min_by(here, *RACK) if lowest else max_by(here, *RACK), RACK)


_low = on(recorded(RACK_POWER_AGREEMENT) < 0.85, "unless", _servers_odd, *RACK)
_high = on(recorded(RACK_POWER_AGREEMENT) > 5, "unless", _servers_odd, *RACK)
RACK_SERVERS = rule(
    "rack_servers",
    claim(_of(_low, lowest=True).or_(_of(_high, lowest=False)), "rack_servers", "power"),
    "A rack's PDUs against its servers over five minutes: less than 85 % of what those draw, or five times "
    "as much, while the servers agree with their GPUs. The PDU that is farthest off lies.",
)

_output = max_by(series(facility.POWER_ACTIVE, scope="output", node=""), *DEVICE, "id")
_ups = max_by(series(site.DEVICE_INFO, role="ups", feed=_some), *_KEY, "feed")
_out = many_to_one(sum_by(_output, *DEVICE), "*", _ups, _KEY, ("feed",))
_mute = on(_ups, "unless", sum_by(_output, *_KEY), *_KEY)
_feed_out = on(sum_by(_out, *_FEED), "unless", _mute, *_FEED)
_excess = recorded(FEED_POWER) / (_feed_out > 1000) > 1.15
_racks_on = max_by(series(site.DEVICE_INFO, role="rack_pdu", rack=_some, feed=_some), *RACK, "feed")
_doubtful = on(_racks_on, "unless", AGREES, *RACK)
_ups_lies = on(_excess, "unless", _doubtful, *_FEED)
_share = many_to_one(_out * 0 + 1, "/", _ups_lies, _FEED)
_beyond = on(recorded(RACK_POWER_AGREEMENT), "unless", AGREES, *RACK) > 1
_there = max_by(on(_racks_on, "and", _excess, *_FEED), *RACK)
_pdu_lies = _of(on(on(_beyond, "and", _there, *RACK), "unless", _servers_odd, *RACK), lowest=False) > 1.25
FEED_RACKS = rule(
    "feed_racks",
    claim(max_by(_share, *DEVICE), "feed_racks", "output power").or_(claim(_pdu_lies, "feed_racks", "power")),
    "Rack PDUs of a feed against the output of its UPS: 15 % more than that gives. The UPS lies if every "
    "rack agrees with its servers, else the PDU that is farthest above them.",
)

_ratio = lately(NODE_POWER, *_NODE) / (max_by(lately(NODE_GPU_POWER, *NODE), *_NODE) > 200)
_limit = sum_by(max_by(series(gpu.GPU_POWER_LIMIT, kind="enforced"), *_NODE, "uuid"), *_NODE)
_beyond_limit = max_by(recorded(NODE_GPU_POWER), *_NODE) / (_limit > 0) > 1.2
_place = max_by(recorded(NODE_PLACE), *_NODE, "hall", "rack")


def _at(values: Expr) -> Expr:
    """At the place of the node, which stands as the device."""
    placed = many_to_one(values, "*", _place, _NODE, ("hall", "rack"))
    return max_by(relabel(placed, "device", "$1", "node"), *DEVICE)


_odd = _at(outside(_ratio, 0.95, 8))
_greedy = _at(_beyond_limit)
SERVER_GPUS = rule(
    "server_gpus",
    claim(
        on(_odd, "unless", _greedy, *_KEY),
        "server_gpus",
        "power",
        text="management controller of $1",
    ).or_(claim(on(_greedy, "and", _odd, *_KEY), "server_gpus", "power", text="GPUs of $1")),
    "A server's power, as its management controller measures it, against that of its GPUs over five minutes: "
    "less than they draw, or eight times as much. The controller lies, unless the GPUs exceed their limits.",
)
