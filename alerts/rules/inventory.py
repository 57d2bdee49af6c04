"""Where the inventory and what is measured disagree, an inventory that is old, and room that runs out."""

from __future__ import annotations

from alerts.cases import Case, Given, given, other, target
from alerts.model import Action, Alert, Domain, Scope, Severity
from alerts.places import both, without
from gigawatch.catalogue import capacity, facility, gpu, polling, site
from gigawatch.promql import (
    Expr,
    count_by,
    differs,
    foreign,
    max_by,
    min_by,
    on,
    series,
)
from gigawatch.promql.joins import relabel

_SD = {"job": "gigawatch-sd"}
_agents = foreign('max by (site, node) (up{job="gigawatch-agent"})', ("site", "node"))
_gpus = max_by(series(gpu.GPU_INFO), "site", "node")
_known = max_by(series(site.NODE_INFO), "site", "node")
_seen_at = foreign(
    'count by (site, device) (count by (site, device, rack) (up{job="gigawatch-facility"}))',
    ("site", "device"),
)
_polled_at = count_by(max_by(series(facility.FACILITY_POLL_UP), "site", "device", "rack"), "site", "device")
# The target's own rack wins over what the device says, which Prometheus renames.
_says = foreign(
    f'max by (site, device, node, reported_rack, unit) ({polling.REPORTED_PLACE.name}{{reported_rack!=""}})',
    ("site", "device", "node", "reported_rack", "unit"),
)
_planned = series(site.DEVICE_INFO, rack=differs(""))
_in_rack = relabel(_says, "rack", "$1", "reported_rack")
_KEY = ("site", "device")
_wrong_rack = on(
    without(_in_rack, max_by(_planned, *_KEY, "rack"), *_KEY, "rack"), "and", max_by(_planned, *_KEY), *_KEY
)
_slot = relabel(max_by(series(site.RACK_SLOT_INFO), "site", "name", "unit"), "device", "$1", "name")
_units = max_by(_slot, *_KEY, "unit")
_node_units = max_by(series(site.NODE_INFO), "site", "node", "unit")
_tells_unit = Expr(_in_rack.text.replace('reported_rack!=""', 'reported_rack!="",unit!=""'), _in_rack.labels)
_wrong_unit = on(without(_tells_unit, _units, *_KEY, "unit"), "and", max_by(_units, *_KEY), *_KEY).or_(
    on(
        without(_tells_unit, _node_units, "site", "node", "unit"),
        "and",
        max_by(_node_units, "site", "node"),
        "site",
        "node",
    )
)
_DAY = 86400
_soon = (
    min_by(series(capacity.CAPACITY_EXHAUSTION, bound="expected"), "site", "scope", "place", "resource")
    < 30 * _DAY
)


def _agent_with_gpu(node: str) -> tuple[Given, ...]:
    seen = target("gigawatch-agent", 1, node=node, rack="r1")
    return (seen, other(gpu.GPU_INFO.name, 1, node=node, rack="r1", gpu="0", uuid="GPU-1"))


def _says_it_stands(rack: str, unit: str) -> tuple[Given, ...]:
    told = other(
        polling.REPORTED_PLACE.name, 1, device="bmc-n1", node="n1", rack="r1", reported_rack=rack, unit=unit
    )
    return (told,)


def _runs_out(days: float) -> tuple[Given, ...]:
    return tuple(
        given(
            capacity.CAPACITY_EXHAUSTION,
            value * _DAY,
            scope="row",
            place="row-a",
            resource="cooling",
            bound=bound,
        )
        for bound, value in (("expected", days), ("early", days / 3), ("late", days * 4))
    )


ALERTS = (
    Alert(
        name="NodeWithoutPlace",
        expr=without(both(_agents, _gpus, "site", "node"), _known, "site", "node"),
        severity=Severity.WARNING,
        domain=Domain.PIPELINE,
        scope=Scope.NODE,
        summary="{node} reports, and the inventory does not know it",
        description="An agent on {node} shows GPUs; no rack, loop or feed of it is known.",
        cause="A node that was added or renamed without the inventory.",
        consequence="Its page would not say where it stands or what hangs on it, and it is missing in sums.",
        action=Action.NONE,
        first_step="Add it to the inventory, or correct its name there.",
        board="gw-pipeline",
        hold="15m",
        symptom_of=("sd-gone",),
        cases=(
            Case("unknown", _agent_with_gpu("n9"), ("n9",), at="20m"),
            Case("known", _agent_with_gpu("n1"), at="20m"),
            Case("no GPU there", (target("gigawatch-agent", 1, node="n9", rack="r1"),), at="20m"),
        ),
    ),
    Alert(
        name="PlaceWithoutNode",
        expr=without(_known, _agents, "site", "node"),
        severity=Severity.WARNING,
        domain=Domain.PIPELINE,
        scope=Scope.NODE,
        summary="{node} stands in the inventory, and nobody looks for it",
        description="There is no scrape target for {node}.",
        cause="A node that is gone or not yet there, one without an address in the inventory, or an agent "
        "that is not deployed.",
        consequence="If it is there, it is not observed; if it is not, room and power count as used.",
        action=Action.NONE,
        first_step="Deploy its agent, or take it out of the inventory.",
        board="gw-pipeline",
        hold="30m",
        symptom_of=("sd-gone",),
        cases=(
            Case("not scraped", (target("gigawatch-agent", 1, node="n1", rack="r1"),), ("n2",), at="40m"),
            Case(
                "both are, one is down",
                (
                    target("gigawatch-agent", 1, node="n1", rack="r1"),
                    target("gigawatch-agent", 0, node="n2", rack="r1", instance="i2"),
                ),
                at="40m",
            ),
        ),
    ),
    Alert(
        name="DeviceInTwoRacks",
        expr=(_seen_at > 1).or_(_polled_at > 1),
        severity=Severity.WARNING,
        domain=Domain.PIPELINE,
        scope=Scope.SITE,
        place="{device}",
        summary="{device} shows up in {value:.0f} racks at once",
        description="One device is scraped with {value:.0f} different racks.",
        cause="Two devices with one name, or two inventories that serve the same Prometheus.",
        consequence="Its power counts twice, and pages about it name the wrong place.",
        action=Action.NONE,
        first_step="Find both targets in Prometheus; give each device a name of its own.",
        board="gw-pipeline",
        hold="5m",
        cases=(
            Case(
                "twice",
                tuple(
                    given(facility.FACILITY_POLL_UP, 1, device="pdu-x", rack=rack) for rack in ("r1", "r2")
                ),
                ("pdu-x",),
            ),
            Case("once", (given(facility.FACILITY_POLL_UP, 1, device="pdu-x", rack="r1"),)),
        ),
    ),
    Alert(
        name="WrongPlaceReported",
        expr=max_by(_wrong_rack.or_(_wrong_unit), "site", "device", "reported_rack", "unit"),
        severity=Severity.INFO,
        domain=Domain.PIPELINE,
        scope=Scope.SITE,
        place="{device}",
        summary="{device} says it stands in {reported_rack}, unit {unit}; the inventory says otherwise",
        description="The device's own word (Redfish Location) and the inventory differ in rack or unit.",
        cause="Somebody moved it, or typed its place wrongly in one of the two.",
        consequence="Whoever is sent there looks at the wrong rack.",
        action=Action.NONE,
        first_step="Have somebody look at the label on it; correct the one that is wrong.",
        board="gw-pipeline",
        hold="15m",
        note="`gigawatch inventory check` with a running Prometheus lists all of them.",
        cases=(
            Case(
                "another rack",
                _says_it_stands("r7", ""),
                ("bmc-n1",),
                at="20m",
                carries={"reported_rack": "r7"},
            ),
            Case("another unit", _says_it_stands("r1", "9"), ("bmc-n1",), at="20m", carries={"unit": "9"}),
            Case("as planned", _says_it_stands("r1", "4"), at="20m"),
        ),
    ),
    Alert(
        name="InventorySourceDown",
        expr=max_by(series(site.INVENTORY_SOURCE_UP), "site", "source").equals(0),
        severity=Severity.WARNING,
        domain=Domain.PIPELINE,
        scope=Scope.SITE,
        summary="The inventory of {site} cannot be read from its source ({source})",
        description="The last good state stands in for it.",
        cause="NetBox is down or refuses the token, or the file is gone.",
        consequence="Moves and additions are not seen; all else goes on.",
        action=Action.NONE,
        first_step="The log of the service discovery names the error.",
        board="gw-pipeline",
        hold="15m",
        symptom_of=("sd-gone",),
        cases=(
            Case("down", (given(site.INVENTORY_SOURCE_UP, 0, source="netbox", **_SD),), ("s1",), at="20m"),
            Case("up", (given(site.INVENTORY_SOURCE_UP, 1, source="netbox", **_SD),), at="20m"),
        ),
    ),
    Alert(
        name="InventoryStale",
        expr=max_by(series(site.INVENTORY_AGE), "site") > _DAY,
        severity=Severity.WARNING,
        domain=Domain.PIPELINE,
        scope=Scope.SITE,
        summary="The inventory of {site} was last read {value:duration} ago",
        description="Its source has not been read well for more than a day.",
        cause="See InventorySourceDown; or its answers are refused, see InventoryRefused.",
        consequence="Whatever moved since carries its old place, on pages too.",
        action=Action.NONE,
        first_step="Run: gigawatch inventory check",
        board="gw-pipeline",
        hold="5m",
        symptom_of=("sd-gone",),
        cases=(
            Case("two days", (given(site.INVENTORY_AGE, 2 * _DAY, **_SD),), ("s1",)),
            Case("fresh", (given(site.INVENTORY_AGE, 60, **_SD),)),
        ),
    ),
    Alert(
        name="CapacityNearLimit",
        expr=_soon,
        severity=Severity.WARNING,
        domain=Domain.POWER,
        scope=Scope.SITE,
        place="{place}",
        summary="The {resource} of {place} will be used up in {value:duration}",
        description="If the trend of measured load and reservations goes on; the board shows the interval.",
        cause="Growth of load, or racks and nodes that were added.",
        consequence="After that nothing more can be placed there; what grows by itself trips or overheats.",
        action=Action.NONE,
        first_step="gigawatch capacity shows where there is room; order or move before that.",
        board="gw-facility",
        hold="1h",
        note="Expected time below 30 days, as analytics reckons it.",
        cases=(
            Case("next week", _runs_out(7), ("row-a",), at="90m", step="1m", carries={"resource": "cooling"}),
            Case("next year", _runs_out(400), at="90m", step="1m"),
        ),
    ),
)
