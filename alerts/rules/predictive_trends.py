"""Predictive: trends of single GPUs, before or without a finding that explains them. Silent where an operator
knows why already."""

from __future__ import annotations

from alerts.cases import Case, Given, given
from alerts.model import Action, Alert, Domain, Scope, Severity
from alerts.places import at_node, gpu_max, gpu_min, without
from alerts.rules.predictive import MUTED
from gigawatch.catalogue import findings
from gigawatch.promql import Expr, matches, max_by, series

_PLACED = {"rack": "r1", "node": "n1"}
_HEAT = ("thermal_interface", "cold_plate", "fan", "sensor", "coolant_loop", "inlet_air", "pump")
"""Causes that a GPU's trend of heat may have."""
_ERRORS = ("memory", "link", "driver")


def _unless_known(trend: Expr, causes: tuple[str, ...], scopes: str = ".+") -> Expr:
    """Trends of GPUs, without those that an operator knows the cause of, be it found at present or not."""
    known = series(findings.KNOWN_GPU_INFO, cause=matches("|".join(causes)), scope=matches(scopes))
    return without(trend, max_by(known, "site", "node", "uuid"), "site", "node", "uuid")


def _marked(trend: Given, cause: str = "thermal_interface", scope: str = "gpu") -> tuple[Given, ...]:
    """A trend of n1/gpu0, and what is known there."""
    labels = {"cause": cause, "scope": scope, "gpu": "0", **_PLACED}
    return trend, given(findings.KNOWN_GPU_INFO, 1, reason="marked_known", **labels)


ALERTS = (
    Alert(
        name="ThermalResistanceRising",
        expr=at_node(
            _unless_known(gpu_max(series(findings.THERMAL_RESISTANCE_CHANGE)) > 0.15, _HEAT, "gpu|node")
        ),
        severity=Severity.WARNING,
        domain=Domain.GPU,
        scope=Scope.GPU,
        summary="GPU {gpu} of {node} is {value:percent} harder to cool than it was",
        description="Thermal resistance {value:percent} above its own baseline, less what its peers share.",
        cause="Its thermal interface or cold plate.",
        consequence="It grows hotter at the same load until it throttles. Jobs on the node: {jobs_on_node}.",
        action=Action.DRAIN,
        first_step="Plan the renewal of its thermal interface with the next drain.",
        board="gw-predict",
        hold="3m",
        keep="2m",
        rehearse=("thermal-interface", "cold-plate-fouling"),
        symptom_of=MUTED,
        note="A healthy fleet stays within 5 %; paste that has failed shows 20 % and more. Silent while the "
        "heat of this GPU or node is marked as known; a mark of its loop or rack does not count, since the "
        "figure leaves out what peers share.",
        cases=(
            Case(
                "risen",
                (given(findings.THERMAL_RESISTANCE_CHANGE, 0.3, gpu="0", **_PLACED),),
                ("n1/gpu0",),
                carries={"loop": "loop-1"},
            ),
            Case("within scatter", (given(findings.THERMAL_RESISTANCE_CHANGE, 0.04, gpu="0", **_PLACED),)),
            Case(
                "known already", _marked(given(findings.THERMAL_RESISTANCE_CHANGE, 0.3, gpu="0", **_PLACED))
            ),
            Case(
                "its loop is known",
                _marked(
                    given(findings.THERMAL_RESISTANCE_CHANGE, 0.3, gpu="0", **_PLACED), "coolant_loop", "loop"
                ),
                ("n1/gpu0",),
            ),
            Case(
                "its neighbour is known",
                _marked(given(findings.THERMAL_RESISTANCE_CHANGE, 0.3, gpu="1", **_PLACED)),
                ("n1/gpu1",),
            ),
        ),
    ),
    Alert(
        name="ThrottleForecast",
        expr=at_node(_unless_known(gpu_min(series(findings.TIME_TO_THROTTLE)) < 86400, _HEAT)),
        severity=Severity.WARNING,
        domain=Domain.GPU,
        scope=Scope.GPU,
        summary="GPU {gpu} of {node} will throttle in about {value:duration}",
        description="If its trend goes on, its temperature margin is used up in {value:duration}.",
        cause="Cooling of this GPU that gets worse: see its thermal resistance.",
        consequence="From then on its jobs slow down: {jobs_on_node}.",
        action=Action.DRAIN,
        first_step="Drain {node} before that, or lower its power limit to gain time.",
        board="gw-predict",
        hold="3m",
        keep="2m",
        rehearse=("thermal-interface",),
        symptom_of=MUTED,
        cases=(
            Case("today", (given(findings.TIME_TO_THROTTLE, 7200, gpu="0", **_PLACED),), ("n1/gpu0",)),
            Case("next month", (given(findings.TIME_TO_THROTTLE, 2.6e6, gpu="0", **_PLACED),)),
            Case(
                "its loop is known",
                _marked(given(findings.TIME_TO_THROTTLE, 7200, gpu="0", **_PLACED), "coolant_loop", "loop"),
            ),
            Case(
                "another cause is known",
                _marked(given(findings.TIME_TO_THROTTLE, 7200, gpu="0", **_PLACED), "memory"),
                ("n1/gpu0",),
            ),
            Case(
                "the mark has ended",
                (
                    given(findings.TIME_TO_THROTTLE, 7200, gpu="0", **_PLACED),
                    given(
                        findings.KNOWN_GPU_INFO,
                        "1x8 stale",
                        cause="thermal_interface",
                        scope="gpu",
                        reason="marked_known",
                        gpu="0",
                        **_PLACED,
                    ),
                ),
                ("n1/gpu0",),
            ),
        ),
    ),
    Alert(
        name="FailureRiskHigh",
        expr=at_node(
            _unless_known(gpu_max(series(findings.FAILURE_RISK, horizon="24h")) > 0.5, (*_HEAT, *_ERRORS))
        ),
        severity=Severity.WARNING,
        domain=Domain.GPU,
        scope=Scope.GPU,
        summary="GPU {gpu} of {node} will fail or throttle within a day: {value:percent}",
        description="Estimated chance {value:percent} within 24 hours.",
        cause="Trends of its temperature margin and its errors together.",
        consequence="An unplanned end of its job: {jobs_on_node}.",
        action=Action.DRAIN,
        first_step="Move its job at the next checkpoint and drain {node}.",
        board="gw-predict",
        hold="5m",
        rehearse=("thermal-interface",),
        symptom_of=MUTED,
        cases=(
            Case(
                "likely",
                (given(findings.FAILURE_RISK, 0.8, horizon="24h", gpu="0", **_PLACED),),
                ("n1/gpu0",),
            ),
            Case(
                "unlikely",
                (
                    given(findings.FAILURE_RISK, 0.1, horizon="24h", gpu="0", **_PLACED),
                    given(findings.FAILURE_RISK, 0.9, horizon="7d", gpu="0", **_PLACED),
                ),
            ),
            Case(
                "known already",
                _marked(given(findings.FAILURE_RISK, 0.8, horizon="24h", gpu="0", **_PLACED), "memory"),
            ),
            Case(
                "slow for a known reason",
                _marked(given(findings.FAILURE_RISK, 0.8, horizon="24h", gpu="0", **_PLACED), "straggler"),
                ("n1/gpu0",),
            ),
        ),
    ),
)
