"""Predictive: what analytics found before a limit was reached. Tickets, because there is still time."""

from __future__ import annotations

from alerts.cases import Case, Given, given, turning
from alerts.model import Action, Alert, Domain, Scope, Severity
from alerts.places import at_loop, at_node, without
from gigawatch.catalogue import findings
from gigawatch.promql import Expr, max_by, series

COOLING = ("loop-cooling", "node-cooling", "rack-cooling")
MUTED = (*COOLING, "incident-gpu", "incident-node", "gpu-lost", "node-down")


def _labelled(expr: Expr, **labels: str) -> Expr:
    """Labels cut out of `place`, which is node/gpuN for a GPU and else the name of the thing."""
    text = expr.text
    for label, pattern in labels.items():
        text = f'label_replace({text}, "{label}", "$1", "place", "{pattern}")'
    return Expr(text, (expr.labels or frozenset()) | labels.keys(), expr.unit)


def _incident(cause: str, scope: str) -> Expr:
    """Incidents that somebody is called for: not those under maintenance or marked as known or wrong."""
    open_ = max_by(series(findings.INCIDENT_INFO, cause=cause, scope=scope), "site", "place", "incident")
    known = max_by(series(findings.INCIDENT_KNOWN_INFO), "site", "incident")
    return without(open_, known, "site", "incident")


def _of_gpu(cause: str) -> Expr:
    return at_node(_labelled(_incident(cause, "gpu"), node="([^/]+)/gpu.*", gpu=".*/gpu(.+)"))


def _of_node(cause: str) -> Expr:
    return at_node(_labelled(_incident(cause, "node"), node="(.+)"))


def _open(cause: str, scope: str, place: str, values: float | str = 1) -> Given:
    return given(findings.INCIDENT_INFO, values, incident=f"{cause}-1", cause=cause, scope=scope, place=place)


def _known(cause: str, scope: str, place: str) -> Case:
    """An incident that nobody is called for."""
    known = given(findings.INCIDENT_KNOWN_INFO, 1, incident=f"{cause}-1", reason="maintenance")
    return Case("known already", (_open(cause, scope, place), known))


def _told(incident: str) -> tuple[Given, ...]:
    """What stands beside an incident: the texts look it up."""
    signal = findings.THERMAL_RESISTANCE.key
    return (
        given(findings.INCIDENT_ONSET, 0, incident=incident),
        given(findings.INCIDENT_DEVIATION, 0.18, incident=incident, signal=signal),
        given(findings.INCIDENT_CONFIDENCE, 0.83, incident=incident),
        given(findings.INCIDENT_CHILDREN, 2, incident=incident),
        given(findings.INCIDENT_ETA, 259200, incident=incident, bound="expected"),
        given(findings.INCIDENT_ETA, 86400, incident=incident, bound="early"),
    )


SAID = (
    " Away from its own past: {incident_deviation}, for {incident_age}. How sure the cause is: "
    "{incident_confidence}. Incident {incident}: the viewer's page of findings says why this cause and not "
    "another, and takes your mark."
)
"""What the description of every incident ends with."""
WHEN = " Expected in {incident_eta}, at the earliest in {incident_eta_early}."
"""What the consequence of an incident with a trend ends with."""
ALERTS = (
    Alert(
        name="ThermalInterfaceWear",
        expr=_of_gpu("thermal_interface"),
        severity=Severity.WARNING,
        domain=Domain.GPU,
        scope=Scope.GPU,
        summary="Heat leaves GPU {gpu} of {node} worse than before",
        description="Its thermal resistance has risen against its own baseline while its neighbours' has "
        "not." + SAID,
        cause="Thermal paste or pad that dries out or is pumped out, or a cold plate that has come loose.",
        consequence="At the same load it grows hotter until it throttles. Jobs on the node: {jobs_on_node}."
        + WHEN,
        action=Action.DRAIN,
        first_step="See on the board when it will throttle; plan the drain and the renewal of its paste "
        "before that.",
        board="gw-predict",
        hold="0s",
        keep="1m",
        steps=("Until then a lower power limit buys time.",),
        rehearse=("thermal-interface",),
        symptom_of=(*COOLING, "gpu-lost", "node-down"),
        cases=(
            Case(
                "found",
                (
                    _open("thermal_interface", "gpu", "n1/gpu3", turning(1, 200, 1)),
                    *_told("thermal_interface-1"),
                ),
                ("n1/gpu3",),
                carries={"node": "n1", "gpu": "3", "loop": "loop-1"},
            ),
            Case("another cause", (_open("straggler", "gpu", "n1/gpu3"),)),
            _known("thermal_interface", "gpu", "n1/gpu3"),
        ),
    ),
    Alert(
        name="ColdPlateFouling",
        expr=_of_node("cold_plate"),
        severity=Severity.WARNING,
        domain=Domain.COOLING,
        scope=Scope.NODE,
        summary="The cold plates of {node} are clogging",
        description="All its GPUs have become harder to cool together, its neighbours have not." + SAID,
        cause="Deposits or particles in the cold plates, or a quick coupling that is half closed.",
        consequence="{gpus_in_incident} GPUs of the node will throttle. Jobs: {jobs_on_node}." + WHEN,
        action=Action.DRAIN,
        first_step="Check that both couplings of {node} are fully seated; plan to flush its cold plates.",
        board="gw-predict",
        hold="0s",
        keep="1m",
        steps=("Take a coolant sample: conductivity, pH, particles.",),
        rehearse=("cold-plate-fouling",),
        symptom_of=(*COOLING, "node-down"),
        cases=(
            Case(
                "found",
                (_open("cold_plate", "node", "n1"),),
                ("n1",),
                carries={"node": "n1", "loop": "loop-1"},
            ),
            Case("another cause", (_open("fan", "node", "n1"),)),
            _known("cold_plate", "node", "n1"),
        ),
    ),
    Alert(
        name="LoopDegrading",
        expr=at_loop(_labelled(_incident("coolant_loop", "loop"), loop="(.+)")),
        severity=Severity.WARNING,
        domain=Domain.COOLING,
        scope=Scope.LOOP,
        summary="Loop {loop} cools worse than it did",
        description="The GPUs of the loop grow warmer together at the same load." + SAID,
        cause="Flow that falls, a supply that grows warmer, or a filter or heat exchanger that fouls.",
        consequence="{gpus_in_incident} GPUs lose margin together: {jobs_on_loop}." + WHEN,
        action=Action.NONE,
        first_step="Compare flow, supply temperature and differential pressure with last month's.",
        board="gw-predict",
        hold="30s",
        rehearse=("flow-restricted", "cdu-setpoint", "coolant-pump"),
        symptom_of=("loop-cooling", "feed"),
        cases=(
            Case(
                "found",
                (_open("coolant_loop", "loop", "loop-1"),),
                ("loop-1",),
                carries={"loop": "loop-1", "hall": "h1"},
            ),
            Case("another cause", (_open("inlet_air", "rack", "r1"),)),
            _known("coolant_loop", "loop", "loop-1"),
        ),
    ),
    Alert(
        name="InletAirTrend",
        expr=_labelled(_incident("inlet_air", "rack"), rack="(.+)"),
        severity=Severity.WARNING,
        domain=Domain.COOLING,
        scope=Scope.RACK,
        summary="The nodes of rack {rack} get warmer air than before",
        description="Inlets or air-cooled parts of the rack warm up together." + SAID,
        cause="Recirculation: a missing panel, an open door, or weak room cooling.",
        consequence="{gpus_in_incident} GPUs are affected: {jobs_in_rack}." + WHEN,
        action=Action.NONE,
        first_step="Compare with the racks beside it.",
        board="gw-predict",
        hold="30s",
        rehearse=("inlet-temperature",),
        symptom_of=("rack-cooling",),
        cases=(
            Case("found", (_open("inlet_air", "rack", "r1"),), ("r1",), carries={"rack": "r1"}),
            Case("another cause", (_open("power_path", "rack", "r1"),)),
            _known("inlet_air", "rack", "r1"),
        ),
    ),
    Alert(
        name="FanWeak",
        expr=_of_node("fan"),
        severity=Severity.WARNING,
        domain=Domain.COOLING,
        scope=Scope.NODE,
        summary="The fans of {node} move less air than they should",
        description="Its parts are warmer than speed and load explain." + SAID,
        cause="A fan that wears out, or dust.",
        consequence="Memory and network adapters overheat first: {jobs_on_node}." + WHEN,
        action=Action.SERVICE_REQUIRED,
        first_step="Look at the fan speeds of {node}; plan the exchange.",
        board="gw-predict",
        hold="30s",
        rehearse=("fan-failure",),
        symptom_of=(*COOLING, "node-down"),
        cases=(
            Case("found", (_open("fan", "node", "n1"),), ("n1",)),
            Case("another cause", (_open("cold_plate", "node", "n1"),)),
            _known("fan", "node", "n1"),
        ),
    ),
    Alert(
        name="StragglerFound",
        expr=_of_gpu("straggler"),
        severity=Severity.WARNING,
        domain=Domain.TOKENS,
        scope=Scope.GPU,
        summary="GPU {gpu} of {node} is slower than the others of its job",
        description="Its job waits for it again and again." + SAID,
        cause="Heat, a power cap, held clocks, a slow link; less often uneven work.",
        consequence="The whole job runs at its speed: {jobs_on_node}.",
        action=Action.DRAIN,
        first_step="Compare its clocks, power and temperature with its neighbours'.",
        board="gw-job",
        hold="30s",
        rehearse=("straggler",),
        symptom_of=(*MUTED, "node-storage"),
        cases=(
            Case("found", (_open("straggler", "gpu", "n1/gpu5"),), ("n1/gpu5",), carries={"gpu": "5"}),
            Case("another cause", (_open("thermal_interface", "gpu", "n1/gpu5"),)),
            _known("straggler", "gpu", "n1/gpu5"),
        ),
    ),
    Alert(
        name="CoolingWeakens",
        expr=_incident("coolant_loop", "rack")
        .or_(_incident("inlet_air", "node"))
        .or_(_incident("inlet_air", "device"))
        .or_(_incident("fan", "device")),
        severity=Severity.WARNING,
        domain=Domain.COOLING,
        scope=Scope.SITE,
        place="{place}",
        summary="Cooling at {place} grows worse",
        description="Its nodes grow warmer together at the same load." + SAID,
        cause="A manifold, a valve or an air handler that serves this place and not the others.",
        consequence="{gpus_in_incident} GPUs lose margin together." + WHEN,
        action=Action.NONE,
        first_step="Look at what serves {place} alone: couplings and valves of the rack, filters and fans of "
        "the air handler.",
        board="gw-predict",
        hold="30s",
        cases=(
            Case("found", (_open("coolant_loop", "rack", "r1"),), ("r1",)),
            Case("the whole loop", (_open("coolant_loop", "loop", "loop-1"),)),
            _known("coolant_loop", "rack", "r1"),
        ),
    ),
    Alert(
        name="AnomalyUnexplained",
        expr=_incident("unknown", "gpu")
        .or_(_incident("unknown", "node"))
        .or_(_incident("unknown", "rack"))
        .or_(_incident("power_path", "node"))
        .or_(_incident("job", "job"))
        .or_(_incident("software", "site")),
        severity=Severity.INFO,
        domain=Domain.GPU,
        scope=Scope.SITE,
        place="{place}",
        summary="{place} behaves in a new way",
        description="Analytics finds it abnormal and knows no cause in the hardware." + SAID,
        cause="Unknown: a new kind of load, a sensor, or the beginning of a fault.",
        consequence="{gpus_in_incident} GPUs are touched.",
        action=Action.NONE,
        first_step="Look at its signals on the board of predictions; ask whether a job or an update changed.",
        board="gw-predict",
        hold="2m",
        cases=(
            Case("found", (_open("unknown", "gpu", "n1/gpu5"),), ("n1/gpu5",)),
            Case("explained", (_open("straggler", "gpu", "n1/gpu5"),)),
            _known("unknown", "gpu", "n1/gpu5"),
        ),
    ),
)
