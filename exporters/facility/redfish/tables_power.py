"""Power distribution: mains, branches, outlets, meters, transfer switches, power supplies."""

from __future__ import annotations

from exporters.facility.redfish import naming
from exporters.facility.redfish.model import KWH, PERCENT, SLOW, Join, Link, State, Table, Value
from exporters.facility.redfish.tables_cooling import HEALTH_OF_PART
from gigawatch.catalogue import Metric, electrical, facility

_INLET = ("{side}", "inlet", "")
_BREAKERS = {"Normal": "normal", "Tripped": "tripped", "Off": "off"}
_OUTLETS = {"On": "on", "Off": "off", "PoweringOn": "unknown", "PoweringOff": "unknown", "Paused": "unknown"}
_PHASES = ("1", "2", "3")
_LINES = (("1", "2"), ("2", "3"), ("3", "1"))


def _measured(scope: str) -> tuple[Value, ...]:
    """What circuits and outlets measure of themselves."""
    labels = ("{side}", scope, "{id}")
    return (
        Value("CurrentAmps", facility.CURRENT, 1.0, labels),
        Value("Voltage", facility.VOLTAGE, 1.0, labels),
        Value("FrequencyHz", electrical.FREQUENCY, 1.0, labels),
        Value("PowerLoadPercent", electrical.LOAD, PERCENT, labels),
    )


def _energetic(labels: tuple[str, ...], join: Join = Join.FIRST, rank: int = 0) -> tuple[Value, ...]:
    """Power and energy; of an inlet these are summed, so that a watt is told once."""
    return (
        Value("PowerWatts", facility.POWER_ACTIVE, 1.0, labels, join, rank),
        Value("PowerWatts/ApparentVA", electrical.POWER_APPARENT, 1.0, labels, join, rank),
        Value("EnergykWh", facility.ENERGY, KWH, labels, join, rank),
    )


def _factor(labels: tuple[str, ...], rank: int = 0) -> tuple[Value, ...]:
    return (Value("PowerWatts/PowerFactor", electrical.POWER_FACTOR, 1.0, labels, rank=rank),)


def _conductors(scope: str) -> tuple[Value, ...]:
    """Each conductor of a three-phase circuit. A branch's keep its scope, their id is in front."""
    phase, line = (scope, scope) if scope != "inlet" else ("phase", "line")
    rows: list[Value] = []

    def row(path: str, metric: Metric, where: str, name: str, scale: float = 1.0) -> None:
        rows.append(Value(path, metric, scale, ("{side}", where, "{prefix}" + name)))

    for one in _PHASES:
        row(f"PolyPhaseCurrentAmps/Line{one}", facility.CURRENT, phase, f"L{one}")
        row(f"PolyPhaseVoltage/Line{one}ToNeutral", facility.VOLTAGE, phase, f"L{one}")
        row(f"PolyPhasePowerWatts/Line{one}ToNeutral", facility.POWER_ACTIVE, phase, f"L{one}")
        row(f"PolyPhaseEnergykWh/Line{one}ToNeutral", facility.ENERGY, phase, f"L{one}", KWH)
    for one, other in _LINES:
        ends = f"Line{one}ToLine{other}"
        row(f"PolyPhaseVoltage/{ends}", facility.VOLTAGE, line, f"L{one}-L{other}")
        row(f"PolyPhasePowerWatts/{ends}", facility.POWER_ACTIVE, line, f"L{one}-L{other}")
    return tuple(rows)


def _circuit(scope: str, energetic: tuple[Value, ...]) -> tuple[Value, ...]:
    labels = ("{side}", scope, "{id}")
    return (
        *energetic,
        *_measured(scope),
        *_conductors(scope),
        Value("RatedCurrentAmps", facility.BREAKER_RATING, 1.0, ("{side}", "{breaker}"), every=SLOW),
        Value("UnbalancedCurrentPercent", electrical.PHASE_IMBALANCE, PERCENT, labels),
    )


_BREAKER = State("BreakerState", facility.BREAKER_STATE, _BREAKERS, ("{side}", "{breaker}"), always=True)
_BRANCH = ("{side}", "branch", "{id}")
_OUTLET = ("{side}", "outlet", "{id}")

POWER = {
    "PowerDistribution": Table(
        links=(
            Link("Metrics", "PowerDistributionMetrics"),
            Link("Mains", "Mains", many=True),
            Link("Branches", "Branch", many=True),
            Link("Feeders", "Branch", many=True),
            Link("Subfeeds", "Branch", many=True),
            Link("PowerSupplies", "PowerSupply", many=True),
            Link("Outlets", "Outlet", many=True),
            Link("EnvironmentMetrics", "EnvironmentMetrics"),
            Link("LeakDetection", "LeakDetection"),
            Link("MainsRedundancy", "Redundancy", {"group": "mains"}),
            Link("PowerSupplyRedundancy", "Redundancy", {"group": "supplies"}),
        ),
        states=(
            State(
                "TransferConfiguration/ActiveMainsId",
                electrical.TRANSFER_SOURCE,
                # What makers call their two sources; a name of another kind is not guessed at.
                {
                    "A": "A",
                    "B": "B",
                    "1": "A",
                    "2": "B",
                    "None": "none",
                    "": "none",
                    "MainsA": "A",
                    "MainsB": "B",
                    "Mains1": "A",
                    "Mains2": "B",
                    "AC1": "A",
                    "AC2": "B",
                    "SourceA": "A",
                    "SourceB": "B",
                    "Source1": "A",
                    "Source2": "B",
                },
            ),
        ),
    ),
    "PowerDistributionMetrics": Table(
        values=(
            *_energetic(_INLET),
            *_factor(_INLET),
            Value("PowerLoadPercent", electrical.LOAD, PERCENT, _INLET),
            Value("TemperatureCelsius", facility.AIR_TEMPERATURE, 1.0, ("room", "pdu")),
            Value("HumidityPercent", facility.HUMIDITY, PERCENT, ("room", "pdu")),
        ),
    ),
    "Mains": Table(
        values=(
            *_circuit("inlet", _energetic(_INLET, Join.SUM, rank=2)),
            *_factor(("{side}", "inlet", "{id}"), 2),
        ),
        states=(_BREAKER,),
        name=naming.main_circuit,
    ),
    "Branch": Table(
        values=(*_circuit("branch", _energetic(_BRANCH)), *_factor(_BRANCH)),
        states=(_BREAKER,),
        name=naming.circuit,
    ),
    "Outlet": Table(
        values=(*_energetic(_OUTLET), *_factor(_OUTLET), *_measured("outlet")),
        states=(State("PowerState", electrical.OUTLET_STATE, _OUTLETS, ("{side}", "{id}")),),
    ),
    "PowerSupply": Table(
        states=(HEALTH_OF_PART,),
        links=(Link("Metrics", "PowerSupplyMetrics"),),
        name=naming.numbered("psu"),
    ),
    "PowerSupplyMetrics": Table(
        values=(
            # Summed, and only where nothing else says what goes in: a watt is told once.
            Value("InputPowerWatts", facility.POWER_ACTIVE, 1.0, _INLET, Join.SUM, rank=3),
            Value("EnergykWh", facility.ENERGY, KWH, _INLET, Join.SUM, rank=3),
            Value(
                "OutputPowerWatts",
                facility.POWER_ACTIVE,
                1.0,
                ("{side}", "output", ""),
                Join.SUM,
                roles=("power_shelf",),
            ),
            Value("InputVoltage", facility.VOLTAGE, 1.0, ("{side}", "inlet", "{psu}")),
            Value("InputCurrentAmps", facility.CURRENT, 1.0, ("{side}", "inlet", "{psu}")),
        ),
        name=naming.of_supply,
    ),
    "EnvironmentMetrics": Table(
        values=(
            Value("PowerWatts", facility.POWER_ACTIVE, 1.0, _INLET),
            Value("PowerWatts/ApparentVA", electrical.POWER_APPARENT, 1.0, _INLET),
            *_factor(_INLET),
            Value("EnergyJoules", facility.ENERGY, 1.0, _INLET),
            Value("EnergykWh", facility.ENERGY, KWH, _INLET, rank=1),
            Value("PowerLoadPercent", electrical.LOAD, PERCENT, _INLET, rank=1),
            Value("TemperatureCelsius", facility.AIR_TEMPERATURE, 1.0, ("{air}", ""), rank=2),
            Value("HumidityPercent", facility.HUMIDITY, PERCENT, ("{air}", ""), rank=2),
            Value("DewPointCelsius", facility.DEW_POINT, 1.0, ("{air}", ""), rank=2),
        ),
        name=naming.air,
    ),
}
