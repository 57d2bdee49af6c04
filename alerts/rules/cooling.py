"""Cooling: coolant units, flow, temperatures, leaks, and the air that reaches the servers.

Sources of the limits: supply classes S30 to S50 and ASHRAE's air classes; design flow 1.5 L/min per kW (OCP).
"""

from __future__ import annotations

from alerts.cases import Case, Given, given, turning
from alerts.model import Action, Alert, Domain, Scope, Severity
from alerts.places import DEVICE, HARDWARE, at_bmc, at_device, at_loop, compare
from gigawatch.catalogue import facility
from gigawatch.promql import (
    absolute,
    many_to_one,
    max_by,
    min_by,
    quantile_over_time,
    recorded,
    recording,
    series,
)

_LEAK_CAUSE = "A quick coupling, a hose or a cold plate that leaks; rarely condensed water on the sensor."
_SAFETY = "Water next to live parts: do not reach in before power is off there."


def _cdu(metric_values: float | str, pump: str) -> Given:
    return given(facility.PUMP_RUNNING, metric_values, device="cdu-1", pump=pump)


_pumps = max_by(series(facility.PUMP_RUNNING), *DEVICE, "pump")
_none_turns = max_by(series(facility.PUMP_RUNNING), *DEVICE).equals(0)
_flow = recorded(recording.LOOP_FLOW_RATIO)

UNITS = (
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
        "{gpus_on_loop} GPUs on the loop, jobs {jobs_on_loop}.",
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
        symptom_of=("feed", "loop-leak"),
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
        "{jobs_on_loop}.",
        action=Action.SERVICE_REQUIRED,
        first_step="Call facility: pumps, valves, filter pressure, level. Lower the power limits on the loop "
        "meanwhile.",
        board="gw-facility",
        hold="30s",
        keep="2m",
        rehearse=("coolant-pump", "flow-restricted"),
        symptom_of=("loop-unit", "loop-leak", "feed"),
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
        symptom_of=("loop-unit", "loop-leak", "feed"),
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

_supply_by = max_by(series(facility.COOLANT_SUPPLY_TEMPERATURE, circuit="tcs"), *DEVICE)
_setpoint_by = max_by(series(facility.COOLANT_SETPOINT, circuit="tcs"), *DEVICE)
_usual_setpoint = max_by(
    quantile_over_time(0.5, series(facility.COOLANT_SETPOINT, circuit="tcs"), "6h"), *DEVICE
)
_over_setpoint = many_to_one(_supply_by, "-", _setpoint_by, ("site", "device"))
_setpoint_moved = absolute(many_to_one(_setpoint_by, "-", _usual_setpoint, ("site", "device")))
_supply = recorded(recording.LOOP_SUPPLY)
_rise = recorded(recording.LOOP_RETURN) - _supply
_dew = max_by(series(facility.DEW_POINT, position="room"), "site", "hall")
_fws = max_by(series(facility.COOLANT_SUPPLY_TEMPERATURE, circuit="fws"), *DEVICE)


def _supply_at(values: float | str, circuit: str = "tcs") -> Given:
    return given(facility.COOLANT_SUPPLY_TEMPERATURE, values, device="cdu-1", circuit=circuit)


def _setpoint_at(values: float | str) -> Given:
    return given(facility.COOLANT_SETPOINT, values, device="cdu-1", circuit="tcs")


TEMPERATURES = (
    Alert(
        name="CoolantSupplyHot",
        expr=at_loop(_supply > 45),
        severity=Severity.CRITICAL,
        domain=Domain.COOLING,
        scope=Scope.LOOP,
        summary="Coolant of loop {loop} arrives at {value:.1f} °C",
        description="Supply temperature {value:.1f} °C; above 45 °C no class of servers but the warmest is "
        "specified.",
        cause="The facility water is too warm or does not flow, a valve is stuck, or the set point was "
        "changed.",
        consequence="Every GPU on the loop loses its margin together: {gpus_on_loop} GPUs, jobs "
        "{jobs_on_loop}.",
        action=Action.SERVICE_REQUIRED,
        first_step="Call facility: chiller, facility water, control valve. Lower the power limits on the "
        "loop.",
        board="gw-facility",
        hold="1m",
        keep="2m",
        symptom_of=("loop-unit", "feed"),
        cases=(
            Case("hot", (_supply_at(47),), ("loop-1",), carries={"loop": "loop-1"}),
            Case("warm by design", (_supply_at(40),)),
        ),
    ),
    Alert(
        name="CoolantOffSetpoint",
        expr=at_device(_over_setpoint > 3),
        severity=Severity.WARNING,
        domain=Domain.COOLING,
        scope=Scope.LOOP,
        summary="Coolant of loop {loop} is {value:.1f} K warmer than told",
        description="{device} holds its supply {value:.1f} K above its set point.",
        cause="Facility water too warm, control valve at its stop, a fouled heat exchanger, or too much "
        "load.",
        consequence="The control has no reserve left: {gpus_on_loop} GPUs warm up with the loop.",
        action=Action.NONE,
        first_step="Look at the facility water: if it is cool, valve or heat exchanger are to blame.",
        board="gw-facility",
        hold="3m",
        rehearse=("cdu-failure",),
        symptom_of=("loop-cooling", "feed"),
        cases=(
            Case("too warm", (_supply_at(35), _setpoint_at(30)), ("loop-1",)),
            Case("holds it", (_supply_at(31), _setpoint_at(30))),
        ),
    ),
    Alert(
        name="CoolantSetpointMoved",
        expr=at_device(_setpoint_moved > 1),
        severity=Severity.WARNING,
        domain=Domain.COOLING,
        scope=Scope.LOOP,
        summary="The set point of {device} was moved by {value:.1f} K",
        description="The supply set point is {value:.1f} K away from its median of the last six hours.",
        cause="Somebody changed it, or a building control system did.",
        consequence="Warmer: {gpus_on_loop} GPUs lose margin. Colder: water may condense on the piping.",
        action=Action.NONE,
        first_step="Ask facility whether it is meant; if not, set it back.",
        board="gw-facility",
        hold="1m",
        rehearse=("cdu-setpoint",),
        symptom_of=("loop-unit", "feed"),
        note="The median follows a change that is meant within three hours, and the alert ends by itself.",
        cases=(
            Case("raised", (_setpoint_at(turning(30, 20, 42)),), ("loop-1",), at="15m"),
            Case("as ever", (_setpoint_at(30),), at="15m"),
        ),
    ),
    Alert(
        name="CoolantRiseHigh",
        expr=at_loop(_rise > 15),
        severity=Severity.WARNING,
        domain=Domain.COOLING,
        scope=Scope.LOOP,
        summary="Coolant of loop {loop} warms up by {value:.1f} K",
        description="Return minus supply is {value:.1f} K; 8 to 12 K is usual, above 15 K there is too "
        "little flow.",
        cause="Too little flow for the load.",
        consequence="The last GPUs in line are the hottest; {gpus_on_loop} GPUs on the loop.",
        action=Action.NONE,
        first_step="Look at flow and filter pressure.",
        board="gw-facility",
        hold="3m",
        rehearse=("flow-restricted", "coolant-pump"),
        symptom_of=("loop-cooling", "feed"),
        cases=(
            Case(
                "too much",
                (
                    _supply_at(30),
                    given(facility.COOLANT_RETURN_TEMPERATURE, 48, device="cdu-1", circuit="tcs"),
                ),
                ("loop-1",),
            ),
            Case(
                "usual",
                (
                    _supply_at(30),
                    given(facility.COOLANT_RETURN_TEMPERATURE, 40, device="cdu-1", circuit="tcs"),
                ),
            ),
        ),
    ),
    Alert(
        name="CondensationRisk",
        expr=compare(at_loop(_supply), "<", _dew + 2, ("site", "hall")),
        severity=Severity.CRITICAL,
        domain=Domain.COOLING,
        scope=Scope.LOOP,
        summary="Water may condense on loop {loop}: supply {value:.1f} °C",
        description="Supply temperature {value:.1f} °C is less than 2 K above the dew point of the hall.",
        cause="Humid air in the hall, or a set point that is too low.",
        consequence="Water drips onto electronics in every rack of the loop: {gpus_on_loop} GPUs.",
        action=Action.NONE,
        first_step="Raise the set point of the loop by 3 K now, then have the hall dried.",
        board="gw-facility",
        hold="3m",
        steps=(_SAFETY,),
        cases=(
            Case(
                "too cold",
                (_supply_at(18), given(facility.DEW_POINT, 17, device="sensor-1", position="room")),
                ("loop-1",),
            ),
            Case("dry", (_supply_at(30), given(facility.DEW_POINT, 12, device="sensor-1", position="room"))),
        ),
    ),
    Alert(
        name="FacilityWaterWarm",
        expr=at_device(compare(_fws, ">", _setpoint_by - 1, ("site", "device"))),
        severity=Severity.WARNING,
        domain=Domain.COOLING,
        scope=Scope.LOOP,
        summary="Facility water reaches {device} at {value:.1f} °C",
        description="That is less than 1 K below what the loop is to be supplied with.",
        cause="Chillers or dry coolers at their limit, or out.",
        consequence="The set point of the loop cannot be held much longer: {gpus_on_loop} GPUs.",
        action=Action.NONE,
        first_step="Ask facility for the state of the chillers.",
        board="gw-facility",
        hold="5m",
        symptom_of=("feed",),
        cases=(
            Case("too warm", (_supply_at(30, "fws"), _setpoint_at(30)), ("loop-1",)),
            Case("cool", (_supply_at(22, "fws"), _setpoint_at(30))),
        ),
    ),
)

_leaks = max_by(series(facility.LEAK_STATE, state="leak", node=""), *DEVICE, "zone").equals(1)
_node_leaks = max_by(series(facility.LEAK_STATE, state="leak"), *HARDWARE, "zone").equals(1)
_level = min_by(series(facility.RESERVOIR_LEVEL), *DEVICE)

LEAKS = (
    Alert(
        name="LeakAtCoolantUnit",
        expr=at_device(_leaks),
        severity=Severity.CRITICAL,
        domain=Domain.COOLING,
        scope=Scope.LOOP,
        summary="Leak at {device}: loop {loop} loses coolant",
        description="The leak sensor of zone {zone} is wet.",
        cause=_LEAK_CAUSE,
        consequence="The unit switches off when its level is low; then {gpus_on_loop} GPUs lose their "
        "cooling, jobs "
        "{jobs_on_loop}.",
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
        symptom_of=("loop-leak",),
        cases=(
            Case("low", (given(facility.RESERVOIR_LEVEL, 0.3, device="cdu-1"),), ("loop-1",)),
            Case("full", (given(facility.RESERVOIR_LEVEL, 0.9, device="cdu-1"),)),
        ),
    ),
)

_inlet = max_by(series(facility.AIR_TEMPERATURE, position="inlet"), *HARDWARE)
_rack_inlet = recorded(recording.RACK_INLET)


def _air(values: float | str, node: str = "n1") -> Given:
    return given(
        facility.AIR_TEMPERATURE, values, device=f"bmc-{node}", rack="r1", node=node, position="inlet"
    )


AIR = (
    Alert(
        name="InletAirHot",
        expr=_rack_inlet > 32,
        severity=Severity.CRITICAL,
        domain=Domain.COOLING,
        scope=Scope.RACK,
        summary="Air of {value:.1f} °C reaches rack {rack}",
        description="The warmest inlet of the rack is at {value:.1f} °C; class A1 allows 32 °C.",
        cause="Hot air flows back to the front (missing blanking panels, failed fans), or room cooling is "
        "out.",
        consequence="What is cooled by air overheats: memory, network, power supplies, and GPUs without "
        "cold plates: "
        "{gpus_in_rack} GPUs in the rack.",
        action=Action.NONE,
        first_step="Is it one rack or the row? One: panels and doors. Row: call facility about the room "
        "cooling.",
        board="gw-rack",
        hold="1m",
        keep="2m",
        rehearse=("inlet-temperature",),
        owner="facility and IT on-call",
        cases=(
            Case("hot", (_air(turning(22, 10, 36)),), ("r1",)),
            Case("warm", (_air(29),)),
        ),
    ),
    Alert(
        name="InletAirWarm",
        expr=_rack_inlet > 27,
        severity=Severity.WARNING,
        domain=Domain.COOLING,
        scope=Scope.RACK,
        summary="Air of {value:.1f} °C reaches rack {rack}",
        description="The warmest inlet of the rack is at {value:.1f} °C; 18 to 27 °C is recommended.",
        cause="Hot air flows back to the front, or room cooling is weak.",
        consequence="Fans run faster and parts age sooner: {gpus_in_rack} GPUs in the rack.",
        action=Action.NONE,
        first_step="Compare with the neighbouring racks; look for missing blanking panels.",
        board="gw-rack",
        hold="5m",
        rehearse=("inlet-temperature",),
        cases=(
            Case("warm", (_air(29),), ("r1",)),
            Case("cool", (_air(24),)),
        ),
    ),
    Alert(
        name="HumidityHigh",
        expr=max_by(series(facility.HUMIDITY, position="room"), *DEVICE) > 0.7,
        severity=Severity.WARNING,
        domain=Domain.COOLING,
        scope=Scope.SITE,
        place="{hall}",
        summary="Humidity in {hall} is {value:percent}",
        description="{device} measures {value:percent}; 70 % is the recommended maximum.",
        cause="Outside air, a humidifier that does not stop, or a leak.",
        consequence="Corrosion, and water on cold surfaces.",
        action=Action.NONE,
        first_step="Ask facility about humidifiers and air intake; look for leaks.",
        board="gw-facility",
        hold="10m",
        cases=(
            Case(
                "damp",
                (given(facility.HUMIDITY, 0.85, device="sensor-1", position="room"),),
                ("h1",),
                at="15m",
            ),
            Case("ordinary", (given(facility.HUMIDITY, 0.5, device="sensor-1", position="room"),), at="15m"),
        ),
    ),
)

ALERTS = (*UNITS, *LEAKS, *TEMPERATURES, *AIR)
