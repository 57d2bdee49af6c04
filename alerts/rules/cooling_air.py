"""The air that reaches the servers, against the air classes of ASHRAE."""

from __future__ import annotations

from alerts.cases import Case, Given, given, turning
from alerts.model import Action, Alert, Domain, Scope, Severity
from alerts.places import (
    DEVICE,
    HARDWARE,
)
from gigawatch.catalogue import facility
from gigawatch.promql import (
    max_by,
    recorded,
    recording,
    series,
)

_inlet = max_by(series(facility.AIR_TEMPERATURE, position="inlet"), *HARDWARE)
_rack_inlet = recorded(recording.RACK_INLET)


def _air(values: float | str, node: str = "n1") -> Given:
    return given(
        facility.AIR_TEMPERATURE,
        values,
        device=f"bmc-{node}",
        rack="r1",
        node=node,
        position="inlet",
        sensor="",
    )


ALERTS = (
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
                (given(facility.HUMIDITY, 0.85, device="sensor-1", position="room", sensor=""),),
                ("h1",),
                at="15m",
            ),
            Case(
                "ordinary",
                (given(facility.HUMIDITY, 0.5, device="sensor-1", position="room", sensor=""),),
                at="15m",
            ),
        ),
    ),
)
