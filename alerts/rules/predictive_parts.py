"""Predictive: findings about memory, links, drivers, pumps and the power path. Tickets: they explain and
foretell; what has failed already has alerts of its own, and these stay silent beside them."""

from __future__ import annotations

from alerts.cases import Case, Given, given
from alerts.model import Action, Alert, Domain, Scope, Severity
from alerts.places import at_loop, at_node, without
from alerts.rules.predictive import SAID, WHEN
from gigawatch.catalogue import findings
from gigawatch.promql import Expr, matches, max_by, series


def _incident(cause: str, *scopes: str) -> Expr:
    """Incidents of a cause that somebody is called for."""
    among = matches("|".join(scopes))
    open_ = max_by(series(findings.INCIDENT_INFO, cause=cause, scope=among), "site", "place", "incident")
    known = max_by(series(findings.INCIDENT_KNOWN_INFO), "site", "incident")
    return without(open_, known, "site", "incident")


def _placed(expr: Expr, **labels: str) -> Expr:
    """Labels cut out of `place`."""
    text = expr.text
    for label, pattern in labels.items():
        text = f'label_replace({text}, "{label}", "$1", "place", "{pattern}")'
    return Expr(text, (expr.labels or frozenset()) | labels.keys(), expr.unit)


def _of_gpu(cause: str) -> Expr:
    return at_node(_placed(_incident(cause, "gpu"), node="([^/]+)/gpu.*", gpu=".*/gpu(.+)"))


def _of_node(cause: str) -> Expr:
    return at_node(_placed(_incident(cause, "node"), node="(.+)"))


def _open(cause: str, scope: str, place: str) -> Given:
    return given(findings.INCIDENT_INFO, 1, incident=f"{cause}-1", cause=cause, scope=scope, place=place)


def _cases(cause: str, scope: str, place: str, other: str, **carries: str) -> tuple[Case, ...]:
    known = given(findings.INCIDENT_KNOWN_INFO, 1, incident=f"{cause}-1", reason="marked_known")
    return (
        Case("found", (_open(cause, scope, place),), (place,), carries=carries),
        Case("another cause", (_open(other, scope, place),)),
        Case("known already", (_open(cause, scope, place), known)),
    )


_GPU_MUTED = ("gpu-errors", "gpu-lost", "node-down")

GPUS = (
    Alert(
        name="MemoryFailing",
        expr=_of_gpu("memory"),
        severity=Severity.WARNING,
        domain=Domain.GPU,
        scope=Scope.GPU,
        summary="Memory of GPU {gpu} of {node} shows signs of failing",
        description="Its errors are of a kind that failures follow." + SAID,
        cause="Rows or on-chip memory that wear out; corrected errors alone are never the reason.",
        consequence="An uncorrected error ends its job: {jobs_on_node}." + WHEN,
        action=Action.RESET_GPU,
        first_step="Reset GPU {gpu} at the next drain of {node}; if the finding returns, run the field "
        "diagnosis and have it exchanged.",
        board="gw-node",
        hold="30s",
        keep="5m",
        rehearse=("ecc-storm",),
        symptom_of=_GPU_MUTED,
        cases=_cases("memory", "gpu", "n1/gpu3", "link", node="n1", gpu="3"),
    ),
    Alert(
        name="LinkFailing",
        expr=_of_gpu("link"),
        severity=Severity.WARNING,
        domain=Domain.GPU,
        scope=Scope.GPU,
        summary="A link of GPU {gpu} of {node} shows signs of failing",
        description="NVLink or PCIe errors beyond what links have." + SAID,
        cause="A marginal connector, riser, cable or far end.",
        consequence="Collectives over it slow down or fail: {jobs_on_node}." + WHEN,
        action=Action.DRAIN,
        first_step="Drain {node} at the next checkpoint, check seat and cables, reset its GPUs together.",
        board="gw-node",
        hold="30s",
        keep="5m",
        rehearse=("nvlink-errors", "pcie-degraded"),
        symptom_of=_GPU_MUTED,
        cases=_cases("link", "gpu", "n1/gpu2", "memory", node="n1", gpu="2"),
    ),
    Alert(
        name="DriverFailing",
        expr=_of_gpu("driver"),
        severity=Severity.WARNING,
        domain=Domain.GPU,
        scope=Scope.GPU,
        summary="Driver or firmware of GPU {gpu} of {node} fails again and again",
        description="XIDs of its system processor or driver." + SAID,
        cause="A driver or firmware bug, less often the GPU's own processor.",
        consequence="The GPU may hang until it is reset: {jobs_on_node}." + WHEN,
        action=Action.RESET_GPU,
        first_step="Drain {node}, reset GPU {gpu}; if it returns, update the driver or exchange the GPU.",
        board="gw-node",
        hold="30s",
        keep="5m",
        symptom_of=_GPU_MUTED,
        cases=_cases("driver", "gpu", "n1/gpu1", "memory", node="n1", gpu="1"),
    ),
    Alert(
        name="NodeLinkFailing",
        expr=_of_node("link"),
        severity=Severity.WARNING,
        domain=Domain.NODE,
        scope=Scope.NODE,
        summary="Fabric ports of {node} err or flap",
        description="More errors than a port in order has." + SAID,
        cause="A marginal cable or transceiver; less often the adapter or the switch port.",
        consequence="Repeated packets hold up jobs that span nodes: {jobs_on_node}." + WHEN,
        action=Action.DRAIN,
        first_step="Look at both ends of the port that counts; clean, reseat or exchange its optics.",
        board="gw-node",
        hold="30s",
        keep="5m",
        rehearse=("link-flapping",),
        symptom_of=("port-errors", "node-down"),
        cases=_cases("link", "node", "n1", "straggler", node="n1"),
    ),
    Alert(
        name="SwitchFailing",
        expr=_incident("switch", "node", "rack", "switch"),
        severity=Severity.WARNING,
        domain=Domain.NODE,
        scope=Scope.SITE,
        place="{place}",
        summary="Links of several things at {place} err at once: look at the switch between them",
        description="Single cables do not go bad together." + SAID,
        cause="An NVSwitch, a leaf switch, its firmware or its power.",
        consequence="{gpus_in_incident} GPUs talk to each other through it." + WHEN,
        action=Action.NONE,
        first_step="Look at the switch's own log and error counters before any cable is touched.",
        board="gw-node",
        hold="30s",
        keep="5m",
        cases=_cases("switch", "rack", "r1", "link"),
    ),
)

FACILITY = (
    Alert(
        name="PumpWeak",
        expr=at_loop(_placed(_incident("pump", "loop"), loop="(.+)")),
        severity=Severity.WARNING,
        domain=Domain.COOLING,
        scope=Scope.LOOP,
        summary="A pump of loop {loop} moves less coolant than it did at that speed",
        description="Flow at equal pump speed has fallen, or a pump has stopped." + SAID,
        cause="A worn pump, air in the loop, or a pump that stands.",
        consequence="{gpus_in_incident} GPUs lose margin together: {jobs_on_loop}." + WHEN,
        action=Action.SERVICE_REQUIRED,
        first_step="Compare speed, flow and pressure of the pumps; switch to the standby pump.",
        board="gw-facility",
        hold="30s",
        keep="2m",
        rehearse=("coolant-pump",),
        symptom_of=("pump-stopped", "loop-cooling", "loop-unit", "feed"),
        cases=_cases("pump", "loop", "loop-1", "coolant_loop", loop="loop-1"),
    ),
    Alert(
        name="PowerLimitAhead",
        expr=_placed(_incident("breaker", "rack", "device", "feed"), rack="(.+)", device="(.+)"),
        severity=Severity.WARNING,
        domain=Domain.POWER,
        scope=Scope.SITE,
        place="{place}",
        summary="{place} is about to draw more than it may for hours",
        description="By the forecast it reaches its limit." + SAID,
        cause="Jobs that have begun, foreign load, or a limit that is planned too tight.",
        consequence="A breaker may trip, and all behind it is dark." + WHEN,
        action=Action.NONE,
        first_step="Lower the power limits of its GPUs, or hold back the next job there.",
        board="gw-facility",
        hold="30s",
        keep="2m",
        rehearse=("breaker-limit",),
        symptom_of=("breaker-now", "breaker-here", "site-feed"),
        note="A breaker carries 80 % of its rating for hours (NEC 210.20).",
        cases=_cases("breaker", "rack", "r1", "power_swing"),
    ),
    Alert(
        name="PowerPathWeak",
        expr=_incident("power_path", "rack", "feed"),
        severity=Severity.WARNING,
        domain=Domain.POWER,
        scope=Scope.SITE,
        place="{place}",
        summary="One power path of {place} carries nothing",
        description="Its other side has taken over the load." + SAID,
        cause="A feed, UPS, PDU or breaker on that side; less often its meter.",
        consequence="There is no redundancy, and the other side may not bear it for long." + WHEN,
        action=Action.NONE,
        first_step="Follow the path upwards from the rack to the first device without voltage.",
        board="gw-facility",
        hold="30s",
        keep="2m",
        rehearse=("feed-lost",),
        symptom_of=("site-feed",),
        cases=_cases("power_path", "rack", "r1", "breaker"),
    ),
    Alert(
        name="PowerSupplyWeak",
        expr=_of_node("power_supply"),
        severity=Severity.WARNING,
        domain=Domain.POWER,
        scope=Scope.NODE,
        summary="A power supply of {node} has failed, and the others carry its load",
        description="Found among what else happens on the node." + SAID,
        cause="A supply that has died or lost its input.",
        consequence="With the next one the node throttles or goes down: {jobs_on_node}." + WHEN,
        action=Action.SERVICE_REQUIRED,
        first_step="Check its cord and PDU outlet, then exchange the supply; that can be done under load.",
        board="gw-node",
        hold="30s",
        keep="2m",
        rehearse=("psu-lost",),
        symptom_of=("psu", "node-down", "rack-power"),
        cases=_cases("power_supply", "node", "n1", "fan", node="n1"),
    ),
    Alert(
        name="PowerSwings",
        expr=_incident("power_swing", "job", "rack", "feed"),
        severity=Severity.WARNING,
        domain=Domain.POWER,
        scope=Scope.SITE,
        place="{place}",
        summary="{place} makes power swing further than UPS and utility are set to bear",
        description="From peak to peak within a minute, in most minutes." + SAID,
        cause="A synchronous job whose GPUs compute and wait in step.",
        consequence="{gpus_in_incident} GPUs are part of it; UPS and generators may go off." + WHEN,
        action=Action.NONE,
        first_step="Switch on power smoothing, or spread its checkpoints and collectives in time.",
        board="gw-facility",
        hold="1m",
        keep="5m",
        cases=_cases("power_swing", "job", "pretrain-7", "job"),
    ),
    Alert(
        name="WorkChanged",
        expr=_incident("software", "gpu", "node", "job", "site").or_(_incident("job", "job")),
        severity=Severity.INFO,
        domain=Domain.TOKENS,
        scope=Scope.SITE,
        place="{place}",
        summary="{place} works at another pace than before, and no part is to blame",
        description="A setting, a release or the job itself changed." + SAID,
        cause="A power limit, driver or firmware that was changed, or other work in the same job.",
        consequence="{gpus_in_incident} GPUs give more or fewer tokens than they did.",
        action=Action.NONE,
        first_step="Ask what was rolled out or set at that time.",
        board="gw-job",
        hold="2m",
        keep="5m",
        rehearse=("power-cap",),
        cases=_cases("software", "node", "n1", "straggler"),
    ),
)

ALERTS = (*GPUS, *FACILITY)
