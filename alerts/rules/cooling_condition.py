"""The state of cooling that still works: no reserve, filters, exchangers and coolant that grow worse."""

from __future__ import annotations

from alerts.cases import Case, Given, given
from alerts.model import Action, Alert, Domain, Scope, Severity
from alerts.places import DEVICE, at_device, at_loop, both, without
from gigawatch.catalogue import facility, liquid, site
from gigawatch.promql import (
    avg_over_time,
    before,
    many_to_one,
    matches,
    max_by,
    on,
    recorded,
    recording,
    series,
)

_SD = {"job": "gigawatch-sd"}
_grouped = many_to_one(
    max_by(series(site.REDUNDANCY_SPARE), "site", "device") * 0 + 1,
    "*",
    max_by(series(site.DEVICE_INFO, role="cdu", loop=matches(".+")), "site", "device", "loop"),
    ("site", "device"),
    ("loop",),
)
_no_group = without(recorded(recording.LOOP_REDUNDANCY) > 1, _grouped, "site", "loop")
_supply = max_by(series(facility.COOLANT_SUPPLY_TEMPERATURE, circuit="tcs"), "site", "device")
_water = max_by(series(facility.COOLANT_SUPPLY_TEMPERATURE, circuit="fws"), "site", "device")
_told = max_by(series(facility.COOLANT_SETPOINT, circuit="tcs"), "site", "device")
_saturated = on(_supply - _told > 1, "and", _told - _water > 5, "site", "device")
_approach = max_by(recorded(recording.CDU_APPROACH), "site", "hall", "device") > 8
_filter = max_by(series(liquid.FILTER_PRESSURE), *DEVICE, "filter")
_conductivity = series(liquid.CONDUCTIVITY)
_keys = ("site", "hall", "rack", "device", "circuit")
_risen = max_by(avg_over_time(_conductivity, "1h"), *_keys) / (
    max_by(before(_conductivity, "1d"), *_keys) > 0
)


def _units(heat: float) -> tuple[Given, ...]:
    """Two units of 60 kW on the loop."""
    place = {"rack": "", "hall": "h1", "feed": "utility-b", "side": "", "loop": "loop-1"}
    second = given(site.DEVICE_INFO, 1, device="cdu-2", role="cdu", **place, **_SD)
    rest = tuple(
        reading
        for name in ("cdu-1", "cdu-2")
        for reading in (
            given(facility.COOLING_CAPACITY, 60000, device=name),
            given(facility.HEAT_REMOVED, heat / 2, device=name, circuit="tcs"),
        )
    )
    return (second, *rest)


def _exchanger(supply: float, water: float = 20) -> tuple[Given, ...]:
    return (
        given(facility.COOLANT_SUPPLY_TEMPERATURE, supply, device="cdu-1", circuit="tcs"),
        given(facility.COOLANT_SUPPLY_TEMPERATURE, water, device="cdu-1", circuit="fws"),
        given(facility.COOLANT_SETPOINT, 30, device="cdu-1", circuit="tcs"),
    )


def _flow(liters_per_minute: float) -> tuple[Given, ...]:
    """Through a loop whose rack draws 20 kW."""
    return (
        given(site.LOOP_RACK_INFO, 1, loop="loop-1", rack="r1", hall="h1", **_SD),
        given(facility.COOLANT_FLOW, liters_per_minute / 60000, device="cdu-1", circuit="tcs"),
        *(
            given(
                facility.POWER_ACTIVE, 10000, device=f"pdu-{side}", rack="r1", side=side, scope="inlet", id=""
            )
            for side in "ab"
        ),
    )


def _inlets(celsius: float) -> tuple[Given, ...]:
    """Four inlets, one of them cool."""
    return tuple(
        given(facility.AIR_TEMPERATURE, value, device=f"sensor-{i}", rack="r1", position="inlet", sensor="")
        for i, value in enumerate((22, celsius, celsius, celsius))
    )


def _conductive() -> tuple[Given, ...]:
    """For longer than the world lasts."""
    place = {"rack": "", "hall": "h1", "feed": "utility-a", "side": "", "loop": "loop-1"}
    return (
        given(site.DEVICE_INFO, "1+0x450", device="cdu-1", role="cdu", **place, **_SD),
        given(liquid.CONDUCTIVITY, "0.2+0x350 0.4+0x100", device="cdu-1", circuit="tcs"),
        given(liquid.CONDUCTIVITY, "0.2+0x450", device="cdu-1", circuit="fws"),
    )


ALERTS = (
    Alert(
        name="CoolingRedundancyLost",
        expr=at_loop(_no_group),
        severity=Severity.WARNING,
        domain=Domain.COOLING,
        scope=Scope.LOOP,
        summary="Loop {loop} could not lose a coolant unit",
        description="Its heat is {value:percent} of what its units can carry away without the largest.",
        cause="More load than planned, or a unit that is out.",
        consequence="If a unit fails, {gpus_on_loop} GPUs overheat. Of its {units_on_loop} units "
        "{units_running_on_loop} run.",
        action=Action.NONE,
        first_step="Move load to another loop or lower power limits until the others suffice.",
        board="gw-facility",
        hold="10m",
        symptom_of=("loop-cooling", "feed"),
        note="N+1 by heat. Units that the inventory puts into a group are judged by it: see SpareInUse.",
        cases=(
            Case("one is not enough", _units(70000), ("loop-1",), at="15m"),
            Case("one is enough", _units(50000), at="15m"),
        ),
    ),
    Alert(
        name="ApproachHigh",
        expr=at_device(both(_approach, _saturated, "site", "device")),
        severity=Severity.WARNING,
        domain=Domain.COOLING,
        scope=Scope.LOOP,
        summary="The heat exchanger of {device} leaves {value:.1f} K between its circuits",
        description="It supplies its racks {value:.1f} K warmer than it is supplied itself and misses its "
        "set point, although the facility water is cold enough; 3 to 5 K are usual.",
        cause="A fouled heat exchanger, too little facility water, or air in it.",
        consequence="The loop warms up with the load: {gpus_on_loop} GPUs.",
        action=Action.SERVICE_REQUIRED,
        first_step="Compare flow and pressure of the facility water; plan to clean the exchanger.",
        board="gw-facility",
        hold="10m",
        symptom_of=("loop-cooling", "feed"),
        note="A valve that throttles makes a large approach as well: only a unit that misses its set point "
        "counts.",
        cases=(
            Case("fouled", _exchanger(33), ("loop-1",), at="15m"),
            Case("throttled by its valve", _exchanger(30), at="15m"),
            Case("warm facility water", _exchanger(36, 27), at="15m"),
        ),
    ),
    Alert(
        name="FilterClogged",
        expr=at_device(_filter > 50_000),
        severity=Severity.WARNING,
        domain=Domain.COOLING,
        scope=Scope.LOOP,
        summary="Filter {filter} of {device} is clogged",
        description="It takes {value:si}Pa; a clean one takes 10 to 20 kPa.",
        cause="Particles from new piping, corrosion, or growth in the coolant.",
        consequence="Flow falls and pumps run faster: {gpus_on_loop} GPUs on the loop.",
        action=Action.SERVICE_REQUIRED,
        first_step="Switch to the second filter if there is one, and have this one changed.",
        board="gw-facility",
        hold="5m",
        note="50 kPa is our own step; take the maker's where he names one.",
        cases=(
            Case(
                "clogged",
                (given(liquid.FILTER_PRESSURE, 70000, device="cdu-1", filter="f1"),),
                ("loop-1",),
                carries={"filter": "f1"},
            ),
            Case("clean", (given(liquid.FILTER_PRESSURE, 15000, device="cdu-1", filter="f1"),)),
        ),
    ),
    Alert(
        name="FlowPerKilowattLow",
        expr=at_loop(recorded(recording.LOOP_FLOW_PER_KW) < 1),
        severity=Severity.WARNING,
        domain=Domain.COOLING,
        scope=Scope.LOOP,
        summary="Loop {loop} has {value:.2f} L/min of coolant for each kilowatt",
        description="{value:.2f} L/min per kW into its racks; 1.5 is the usual design, 1.0 the least.",
        cause="More load than the loop was built for, pumps held slow, or a filter that fills up.",
        consequence="Coolant warms up by more than 14 K; the last GPUs in line are hottest: {gpus_on_loop} "
        "GPUs.",
        action=Action.NONE,
        first_step="Compare with the design flow: is flow missing, or has load been added?",
        board="gw-facility",
        hold="5m",
        symptom_of=("loop-cooling", "feed"),
        note="OCP Open Accelerator Infrastructure: 1.5 L/min per kW at a rise of 10 K (1.25 to 2.0).",
        cases=(
            Case("too little", _flow(16), ("loop-1",)),
            Case("as designed", _flow(30)),
        ),
    ),
    Alert(
        name="ConductivityRising",
        expr=at_device(_risen > 1.3),
        severity=Severity.WARNING,
        domain=Domain.COOLING,
        scope=Scope.LOOP,
        summary="The coolant of {device} conducts {value:.1f} times as well as yesterday",
        description="Conductivity of circuit {circuit} has risen to {value:.1f} times what it was yesterday.",
        cause="Corrosion, wrong coolant topped up, or facility water that leaks in through the exchanger.",
        consequence="Corrosion clogs cold plates, and a leak does more harm: {gpus_on_loop} GPUs.",
        action=Action.SERVICE_REQUIRED,
        first_step="Take a sample: conductivity, pH, inhibitor, particles.",
        board="gw-facility",
        hold="1h",
        note="Coolants differ a hundredfold, so it is held against itself, not against a limit.",
        cases=(
            Case("doubled, in one of two circuits", _conductive(), ("loop-1",), at="26h", step="4m"),
            Case("no yesterday to compare with", _conductive(), at="10m"),
        ),
    ),
    Alert(
        name="RackCoolingIndexLow",
        expr=recorded(recording.HALL_RCI_HIGH) < 0.9,
        severity=Severity.WARNING,
        domain=Domain.COOLING,
        scope=Scope.SITE,
        place="{hall}",
        summary="Servers of {hall} breathe air that is too warm: rack cooling index {value:percent}",
        description="100 % means that no inlet is above 27 °C; below 90 % is poor.",
        cause="Too little cold air, or hot air that flows back: missing panels, open aisles, weak fans.",
        consequence="Parts age sooner and fans draw more power; there is no reserve for a hot day: "
        "{jobs_in_hall}.",
        action=Action.NONE,
        first_step="Find the warm inlets on the thermal map and close the ways by which hot air returns.",
        board="gw-facility",
        hold="30m",
        note="Rack cooling index (Herrlin): all that inlets are above 27 °C, against 5 K for each of them.",
        cases=(
            Case("warm", _inlets(29), ("h1",), at="40m", step="1m"),
            Case("fine", _inlets(26), at="40m", step="1m"),
        ),
    ),
)
