"""Leaks at coolant units and in nodes, and coolant that gets less."""

from __future__ import annotations

from alerts.cases import Case, given, turning
from alerts.model import Action, Alert, Domain, Scope, Severity
from alerts.places import (
    DEVICE,
    HARDWARE,
    at_bmc,
    at_device,
)
from gigawatch.catalogue import facility, site
from gigawatch.promql import (
    lacks,
    matches,
    max_by,
    min_by,
    series,
)

_LEAK_CAUSE = "A quick coupling, a hose or a cold plate that leaks; rarely condensed water on the sensor."
_SAFETY = "Water next to live parts: do not reach in before power is off there."


_leaks = max_by(series(facility.LEAK_STATE, state="leak", node=""), *DEVICE, "zone").equals(1)
_node_leaks = max_by(series(facility.LEAK_STATE, state="leak"), *HARDWARE, "zone").equals(1)
_traces = max_by(series(facility.LEAK_STATE, state="warning"), *DEVICE, "zone").equals(1)
_level = min_by(series(facility.RESERVOIR_LEVEL), *DEVICE)

_AT = {"device": "manifold-1", "rack": "r1"}
_TRAY = (
    given(site.DEVICE_INFO, 1, **_AT, role="manifold", hall="h1", feed="", side="", loop="loop-1"),
    given(site.LEAK_ZONE_INFO, 1, device="manifold-1", zone="tray", location="rear", endangers="n1, n2"),
)

ALERTS = (
    Alert(
        name="LeakAtCoolantUnit",
        expr=at_device(_leaks, role=matches("cdu|")),
        severity=Severity.CRITICAL,
        domain=Domain.COOLING,
        scope=Scope.LOOP,
        summary="Leak at {device}: loop {loop} loses coolant",
        description="The leak sensor of zone {zone} is wet.",
        cause=_LEAK_CAUSE,
        consequence="The unit switches off when its level is low; then {gpus_on_loop} GPUs lose their "
        "cooling, jobs {jobs_on_loop}. Of the {units_on_loop} coolant units {units_running_on_loop} run. "
        "Below or beside the leak: {zone_endangers}. The first GPU throttles in {throttle_on_loop}.",
        action=Action.SERVICE_REQUIRED,
        first_step="Call facility and IT together; someone looks at the unit now. " + _SAFETY,
        board="gw-facility",
        hold="10s",
        keep="2m",
        steps=(
            "Prepare to stop the jobs on the loop; the page lists them.",
            "Isolate the leaking section if valves allow it.",
        ),
        rehearse=("leak",),
        cases=(
            Case(
                "wet",
                (given(facility.LEAK_STATE, turning(0, 10, 1), device="cdu-1", zone="cdu", state="leak"),),
                ("loop-1",),
                carries={"loop": "loop-1", "zone": "cdu"},
            ),
            Case(
                "dry",
                (
                    given(facility.LEAK_STATE, 0, device="cdu-1", zone="cdu", state="leak"),
                    given(facility.LEAK_STATE, 1, device="cdu-1", zone="cdu", state="dry"),
                ),
            ),
        ),
    ),
    Alert(
        name="LeakInTray",
        expr=at_device(_leaks, role=lacks("cdu|")),
        severity=Severity.CRITICAL,
        domain=Domain.COOLING,
        scope=Scope.LOOP,
        place="{device}",
        summary="Leak at {device} in {rack|hall}, zone {zone}",
        description="The leak sensor of zone {zone} is wet. Where: {zone_location}.",
        cause=_LEAK_CAUSE,
        consequence="Coolant drips onto what is below or beside it: {zone_endangers}. If the loop empties, "
        "{gpus_on_loop} GPUs lose their cooling: jobs {jobs_on_loop}. Of its {units_on_loop} coolant units "
        "{units_running_on_loop} run; the first GPU throttles in {throttle_on_loop}.",
        action=Action.SERVICE_REQUIRED,
        first_step="Call facility and IT together; someone goes there now. " + _SAFETY,
        board="gw-facility",
        hold="10s",
        keep="2m",
        steps=(
            "Close the valves of the rack's branch if it is coolant.",
            "Power off what stands in the water, top down; see the list in the page.",
            "No coolant missing anywhere? Then look for condensate and for pipes above.",
        ),
        rehearse=("leak",),
        symptom_of=("loop-leak", "node-leak"),
        cases=(
            Case(
                "wet",
                (*_TRAY, given(facility.LEAK_STATE, turning(0, 10, 1), zone="tray", state="leak", **_AT)),
                ("manifold-1",),
                carries={"loop": "loop-1", "rack": "r1", "zone": "tray"},
            ),
            Case("dry", (*_TRAY, given(facility.LEAK_STATE, 0, zone="tray", state="leak", **_AT))),
            Case(
                "at a coolant unit, which has a page of its own",
                (given(facility.LEAK_STATE, 1, device="cdu-1", zone="cdu", state="leak"),),
            ),
        ),
    ),
    Alert(
        name="LeakWarning",
        expr=at_device(_traces),
        severity=Severity.WARNING,
        domain=Domain.COOLING,
        scope=Scope.LOOP,
        place="{device}",
        summary="Moisture at {device}, zone {zone}",
        description="The leak sensor of zone {zone} reports a first trace. Where: {zone_location}.",
        cause="Condensate, a drop from service work, or a leak that begins.",
        consequence="If it is a leak, it grows: below or beside it stand {zone_endangers}.",
        action=Action.SERVICE_REQUIRED,
        first_step="Have somebody look today, with a torch and a dry cloth. " + _SAFETY,
        board="gw-facility",
        hold="1m",
        symptom_of=("loop-leak", "node-leak"),
        cases=(
            Case(
                "a trace",
                (given(facility.LEAK_STATE, 1, device="cdu-1", zone="cdu", state="warning"),),
                ("cdu-1",),
                carries={"zone": "cdu"},
            ),
            Case("dry", (given(facility.LEAK_STATE, 0, device="cdu-1", zone="cdu", state="warning"),)),
        ),
    ),
    Alert(
        name="LeakInNode",
        expr=at_bmc(_node_leaks),
        severity=Severity.CRITICAL,
        domain=Domain.COOLING,
        scope=Scope.NODE,
        summary="Leak in {node}",
        description="The leak sensor of the server is wet.",
        cause=_LEAK_CAUSE,
        consequence="Coolant on live boards: the node can be destroyed, and it drips onto those below. Jobs: "
        "{jobs_on_node}.",
        action=Action.SERVICE_REQUIRED,
        first_step="Power {node} off through its management controller, then call facility and IT. "
        + _SAFETY,
        board="gw-node",
        hold="10s",
        keep="2m",
        steps=("Check the nodes below it in the rack.", "Close its quick couplings before it is pulled out."),
        rehearse=("leak",),
        cases=(
            Case(
                "wet",
                (
                    given(
                        facility.LEAK_STATE,
                        1,
                        device="bmc-n1",
                        rack="r1",
                        node="n1",
                        zone="node",
                        state="leak",
                    ),
                ),
                ("n1",),
                carries={"loop": "loop-1", "node": "n1"},
            ),
            Case(
                "dry",
                (
                    given(
                        facility.LEAK_STATE,
                        0,
                        device="bmc-n1",
                        rack="r1",
                        node="n1",
                        zone="node",
                        state="leak",
                    ),
                ),
            ),
        ),
    ),
    Alert(
        name="LeakSensorFault",
        expr=at_device(max_by(series(facility.LEAK_STATE, state="fault"), *DEVICE, "zone").equals(1)),
        severity=Severity.WARNING,
        domain=Domain.COOLING,
        scope=Scope.LOOP,
        place="{device}",
        summary="The leak sensor of {device} does not work",
        description="The sensor of zone {zone} reports a fault of its own.",
        cause="A broken cable or a sensor that is unplugged.",
        consequence="A leak there would go unseen.",
        action=Action.SERVICE_REQUIRED,
        first_step="Check plug and cable of the sensor.",
        board="gw-facility",
        hold="5m",
        cases=(
            Case(
                "broken",
                (given(facility.LEAK_STATE, 1, device="cdu-1", zone="cdu", state="fault"),),
                ("cdu-1",),
            ),
            Case("sound", (given(facility.LEAK_STATE, 0, device="cdu-1", zone="cdu", state="fault"),)),
        ),
    ),
    Alert(
        name="ReservoirLow",
        expr=at_device(_level < 0.4),
        severity=Severity.WARNING,
        domain=Domain.COOLING,
        scope=Scope.LOOP,
        summary="{device} has {value:percent} of its coolant left",
        description="The reservoir is at {value:percent}; many units switch off between 10 and 20 %.",
        cause="A slow leak, or coolant that was not topped up after service.",
        consequence="When the unit switches off, {gpus_on_loop} GPUs lose their cooling.",
        action=Action.SERVICE_REQUIRED,
        first_step="Look for a leak first, then have it topped up.",
        board="gw-facility",
        hold="1m",
        rehearse=("leak",),
        symptom_of=("loop-leak", "tray-leak"),
        cases=(
            Case("low", (given(facility.RESERVOIR_LEVEL, 0.3, device="cdu-1"),), ("loop-1",)),
            Case("full", (given(facility.RESERVOIR_LEVEL, 0.9, device="cdu-1"),)),
        ),
    ),
)
