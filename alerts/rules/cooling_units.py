"""Coolant units, their pumps, and the flow of a loop against its design of 1.5 L/min per kW (OCP)."""

from __future__ import annotations

from alerts.cases import Case, Given, given, turning
from alerts.model import Action, Alert, Domain, Scope, Severity
from alerts.places import (
    DEVICE,
    at_device,
    at_loop,
)
from gigawatch.catalogue import facility
from gigawatch.promql import (
    max_by,
    recorded,
    recording,
    series,
)


def _cdu(metric_values: float | str, pump: str) -> Given:
    return given(facility.PUMP_RUNNING, metric_values, device="cdu-1", pump=pump)


_pumps = max_by(series(facility.PUMP_RUNNING), *DEVICE, "pump")
_none_turns = max_by(series(facility.PUMP_RUNNING), *DEVICE).equals(0)
_flow = recorded(recording.LOOP_FLOW_RATIO)

ALERTS = (
    Alert(
        name="CduFailed",
        expr=at_device(_none_turns),
        severity=Severity.CRITICAL,
        domain=Domain.COOLING,
        scope=Scope.LOOP,
        summary="Coolant unit {device} has stopped: loop {loop|device} loses its cooling",
        description="No pump of {device} turns.",
        cause="The unit lost power, tripped on a fault of its own (leak, level, pressure), or was switched "
        "off.",
        consequence="GPUs without flow reach their limit within a minute or two and throttle or switch off: "
        "{gpus_on_loop} GPUs on the loop, jobs {jobs_on_loop}. Of its {units_on_loop} coolant units "
        "{units_running_on_loop} still run. The least margin is {margin_on_loop} K, the first GPU throttles "
        "in {throttle_on_loop}.",
        action=Action.SERVICE_REQUIRED,
        first_step="Call facility and start the unit or its stand-by. Meanwhile take load off: lower the "
        "power "
        "limits on the loop, or stop the jobs.",
        board="gw-facility",
        hold="20s",
        keep="2m",
        steps=(
            "Read the unit's own alarm before you start it again.",
            "No flow after three minutes: shut the nodes on the loop down in order.",
        ),
        rehearse=("cdu-failure",),
        symptom_of=("feed", "loop-leak", "tray-leak"),
        note="All heat alerts of GPUs on the loop are muted while this one is active: one cause, one page.",
        cases=(
            Case(
                "stands",
                (_cdu(turning(1, 10, 0), "p1"), _cdu(turning(1, 10, 0), "p2")),
                ("loop-1",),
                carries={"loop": "loop-1", "feed": "utility-a", "device": "cdu-1"},
            ),
            Case("one pump left", (_cdu(0, "p1"), _cdu(1, "p2"))),
        ),
    ),
    Alert(
        name="PumpStopped",
        expr=at_device(_pumps.equals(0)),
        severity=Severity.WARNING,
        domain=Domain.COOLING,
        scope=Scope.LOOP,
        summary="Pump {pump} of {device} stands still",
        description="The unit reports that pump {pump} does not turn.",
        cause="A failed pump or drive; or it is a stand-by that is meant to rest.",
        consequence="The loop has lost its reserve; if the other pump fails, {gpus_on_loop} GPUs lose "
        "their cooling.",
        action=Action.SERVICE_REQUIRED,
        first_step="Check that the flow holds, then have the pump or its drive exchanged.",
        board="gw-facility",
        hold="30s",
        rehearse=("coolant-pump", "cdu-failure"),
        symptom_of=("loop-cooling", "feed"),
        cases=(
            Case("one stands", (_cdu(0, "p1"), _cdu(1, "p2")), ("loop-1",), carries={"pump": "p1"}),
            Case("both turn", (_cdu(1, "p1"), _cdu(1, "p2"))),
        ),
    ),
    Alert(
        name="CoolantFlowLow",
        expr=at_loop(_flow < 0.7),
        severity=Severity.CRITICAL,
        domain=Domain.COOLING,
        scope=Scope.LOOP,
        summary="Loop {loop} has {value:percent} of its flow",
        description="Coolant flow is {value:percent} of design; below 70 % the heat of a full load is not "
        "carried off.",
        cause="A pump stands still, a valve has closed, a filter is blocked, or coolant is missing.",
        consequence="Return and GPUs heat up until they throttle: {gpus_on_loop} GPUs on the loop, jobs "
        "{jobs_on_loop}. Of its {pumps_on_loop} pumps {pumps_running_on_loop} turn. The least margin is "
        "{margin_on_loop} K, the first GPU throttles in {throttle_on_loop}.",
        action=Action.SERVICE_REQUIRED,
        first_step="Call facility: pumps, valves, filter pressure, level. Lower the power limits on the loop "
        "meanwhile.",
        board="gw-facility",
        hold="30s",
        keep="2m",
        rehearse=("coolant-pump", "flow-restricted"),
        symptom_of=("loop-unit", "loop-leak", "tray-leak", "feed"),
        cases=(
            Case(
                "low",
                (
                    given(facility.COOLANT_FLOW, turning(0.001, 10, 0.0006), device="cdu-1", circuit="tcs"),
                    given(facility.COOLANT_DESIGN_FLOW, 0.001, device="cdu-1", circuit="tcs"),
                ),
                ("loop-1",),
                carries={"loop": "loop-1", "hall": "h1", "feed": "utility-a"},
            ),
            Case(
                "enough",
                (
                    given(facility.COOLANT_FLOW, 0.0009, device="cdu-1", circuit="tcs"),
                    given(facility.COOLANT_DESIGN_FLOW, 0.001, device="cdu-1", circuit="tcs"),
                ),
            ),
            Case(
                "not measured", (given(facility.COOLANT_DESIGN_FLOW, 0.001, device="cdu-1", circuit="tcs"),)
            ),
        ),
    ),
    Alert(
        name="CoolantFlowReduced",
        expr=at_loop(_flow < 0.85),
        severity=Severity.WARNING,
        domain=Domain.COOLING,
        scope=Scope.LOOP,
        summary="Loop {loop} has {value:percent} of its flow",
        description="Coolant flow is {value:percent} of design.",
        cause="A filter that fills up, a valve that is not fully open, or air in the loop.",
        consequence="Warmer GPUs and no reserve: {gpus_on_loop} GPUs on the loop.",
        action=Action.NONE,
        first_step="Compare the differential pressure with last month's; plan to change the filter.",
        board="gw-facility",
        hold="5m",
        rehearse=("flow-restricted",),
        symptom_of=("loop-unit", "loop-leak", "tray-leak", "feed"),
        cases=(
            Case(
                "reduced",
                (
                    given(facility.COOLANT_FLOW, 0.0008, device="cdu-1", circuit="tcs"),
                    given(facility.COOLANT_DESIGN_FLOW, 0.001, device="cdu-1", circuit="tcs"),
                ),
                ("loop-1",),
            ),
            Case(
                "full",
                (
                    given(facility.COOLANT_FLOW, 0.00095, device="cdu-1", circuit="tcs"),
                    given(facility.COOLANT_DESIGN_FLOW, 0.001, device="cdu-1", circuit="tcs"),
                ),
            ),
        ),
    ),
    Alert(
        name="CoolingCapacityLow",
        expr=at_loop(recorded(recording.LOOP_CAPACITY_USED) > 0.9),
        severity=Severity.WARNING,
        domain=Domain.COOLING,
        scope=Scope.LOOP,
        summary="Loop {loop} uses {value:percent} of its cooling capacity",
        description="Heat carried off is {value:percent} of what its coolant units can do.",
        cause="More load than planned, or one of several units is out.",
        consequence="A hot day or the loss of a unit is enough to overheat {gpus_on_loop} GPUs.",
        action=Action.NONE,
        first_step="Move load to another loop, or lower power limits.",
        board="gw-facility",
        hold="10m",
        symptom_of=("loop-cooling",),
        cases=(
            Case(
                "nearly all",
                (
                    given(facility.HEAT_REMOVED, 43000, device="cdu-1", circuit="tcs"),
                    given(facility.COOLING_CAPACITY, 45000, device="cdu-1"),
                ),
                ("loop-1",),
                at="15m",
            ),
            Case(
                "half",
                (
                    given(facility.HEAT_REMOVED, 20000, device="cdu-1", circuit="tcs"),
                    given(facility.COOLING_CAPACITY, 45000, device="cdu-1"),
                ),
                at="15m",
            ),
        ),
    ),
)
