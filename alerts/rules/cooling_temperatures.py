"""Temperatures of the coolant. Supply classes S30 to S50 are the source of the limits."""

from __future__ import annotations

from alerts.cases import Case, Given, given, turning
from alerts.model import Action, Alert, Domain, Scope, Severity
from alerts.places import (
    DEVICE,
    at_device,
    at_loop,
    compare,
)
from gigawatch.catalogue import facility, site
from gigawatch.promql import (
    absolute,
    many_to_one,
    max_by,
    recorded,
    recording,
    series,
)

_SAFETY = "Water next to live parts: do not reach in before power is off there."


_supply_by = max_by(series(facility.COOLANT_SUPPLY_TEMPERATURE, circuit="tcs"), *DEVICE)
_setpoint_by = max_by(series(facility.COOLANT_SETPOINT, circuit="tcs"), *DEVICE)
_planned_setpoint = max_by(series(site.LOOP_SUPPLY_SETPOINT), "site", "loop")
_over_setpoint = many_to_one(_supply_by, "-", _setpoint_by, ("site", "device"))
_setpoint_moved = absolute(many_to_one(at_device(_setpoint_by), "-", _planned_setpoint, ("site", "loop")))
_supply = recorded(recording.LOOP_SUPPLY)
_rise = recorded(recording.LOOP_RETURN) - _supply
_dew = max_by(series(facility.DEW_POINT, position="room"), "site", "hall")
_fws = max_by(series(facility.COOLANT_SUPPLY_TEMPERATURE, circuit="fws"), *DEVICE)


def _supply_at(values: float | str, circuit: str = "tcs") -> Given:
    return given(facility.COOLANT_SUPPLY_TEMPERATURE, values, device="cdu-1", circuit=circuit)


def _setpoint_at(values: float | str) -> Given:
    return given(facility.COOLANT_SETPOINT, values, device="cdu-1", circuit="tcs")


def _planned(celsius: float) -> Given:
    return given(site.LOOP_SUPPLY_SETPOINT, celsius, loop="loop-1", hall="h1", job="gigawatch-sd")


ALERTS = (
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
        "{jobs_on_loop}. The least margin is {margin_on_loop} K, the first GPU throttles in "
        "{throttle_on_loop}.",
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
        expr=_setpoint_moved > 1,
        severity=Severity.WARNING,
        domain=Domain.COOLING,
        scope=Scope.LOOP,
        summary="The set point of {device} is {value:.1f} K off its plan",
        description="The supply set point is {value:.1f} K away from what the inventory plans for {loop}.",
        cause="Somebody changed it, or a building control system did; or the plan is not up to date.",
        consequence="Warmer: {gpus_on_loop} GPUs lose margin. Colder: water may condense on the piping.",
        action=Action.NONE,
        first_step="Ask facility whether it is meant; if not, set it back.",
        board="gw-facility",
        hold="1m",
        rehearse=("cdu-setpoint",),
        symptom_of=("loop-unit", "feed"),
        note="If the change is meant, write it into the inventory (supply_celsius): the alert ends.",
        cases=(
            Case(
                "raised",
                (_setpoint_at(turning(30, 10, 42)), _planned(30)),
                ("loop-1",),
                carries={"device": "cdu-1", "loop": "loop-1", "feed": "utility-a", "hall": "h1"},
            ),
            Case("raised before monitoring began", (_setpoint_at(42), _planned(30)), ("loop-1",), at="2m"),
            Case("lowered", (_setpoint_at(18), _planned(30)), ("loop-1",)),
            Case("as planned", (_setpoint_at(30.5), _planned(30))),
            Case("moved back", (_setpoint_at(turning(42, 10, 30)), _planned(30))),
            Case("no plan", (_setpoint_at(42),)),
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
                (
                    _supply_at(18),
                    given(facility.DEW_POINT, 17, device="sensor-1", position="room", sensor=""),
                ),
                ("loop-1",),
            ),
            Case(
                "dry",
                (
                    _supply_at(30),
                    given(facility.DEW_POINT, 12, device="sensor-1", position="room", sensor=""),
                ),
            ),
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
