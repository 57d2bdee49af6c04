"""What boards share: label filters, variables, small expressions, and the panels that several boards show."""

from __future__ import annotations

from dashboards import foreign
from dashboards.model import Panel, Variable
from dashboards.panels import Column, rising, table
from gigawatch.catalogue import Metric, Unit, facility, findings, gpu, inference, site, workload
from gigawatch.promql import (
    Expr,
    Match,
    Selector,
    count_by,
    many_to_one,
    matches,
    max_by,
    now,
    recorded,
    recording,
    series,
    sum_by,
)

RATE = "$__rate_interval"
SITE: dict[str, str | Match] = {"site": matches("$site")}
RACK: dict[str, str | Match] = {**SITE, "rack": matches("$rack")}
NODE: dict[str, str | Match] = {**RACK, "node": matches("$node")}
GPU: dict[str, str | Match] = {**NODE, "gpu": matches("$gpu")}
ALERT_SITE: dict[str, str | Match] = {"site": matches("$site|")}
"""Alerts of the chosen sites and those that belong to no site."""
REAL: dict[str, str | Match] = {"severity": matches("critical|warning|info")}
"""All alerts but the heartbeat."""

DATASOURCE = Variable("datasource", "Data source", "prometheus", kind="datasource")


def label_values(selector: Selector, label: str) -> str:
    """The query of a variable; refuses a label that the series do not have."""
    if label not in (selector.labels or ()):
        raise ValueError(f"label_values: {selector.text} has no label '{label}'")
    return f"label_values({selector.text}, {label})"


SITE_VARIABLE = Variable(
    "site", "Site", label_values(series(site.NODE_INFO), "site"), include_all=True, multi=True
)
RACK_VARIABLE = Variable("rack", "Rack", label_values(series(site.RACK_INFO, **SITE), "rack"))
ANY_RACK_VARIABLE = Variable("rack", "Rack", RACK_VARIABLE.query, include_all=True)
NODE_VARIABLE = Variable("node", "Node", label_values(series(site.NODE_INFO, **RACK), "node"))
HALL_VARIABLE = Variable(
    "hall", "Hall", label_values(series(site.RACK_INFO, **SITE), "hall"), include_all=True
)
HALL: dict[str, str | Match] = {**SITE, "hall": matches("$hall")}
ROW_VARIABLE = Variable("row", "Row", label_values(series(site.RACK_INFO, **HALL), "row"), include_all=True)
PLACED_RACK_VARIABLE = Variable(
    "rack",
    "Rack",
    label_values(series(site.RACK_INFO, **HALL, row=matches("$row")), "rack"),
    include_all=True,
    multi=True,
    listed=True,
)
"""Racks of the chosen hall and row."""
GPU_VARIABLE = Variable(
    "gpu", "GPU", label_values(series(gpu.GPU_STATE, **NODE), "gpu"), include_all=True, multi=True
)
JOB_VARIABLE = Variable(
    "job_id",
    "Job",
    label_values(series(workload.GPU_ALLOCATION_INFO, **SITE), "job_id"),
    include_all=True,
    multi=True,
)
LOOP_VARIABLE = Variable(
    "loop", "Loop", label_values(series(site.LOOP_RACK_INFO, **SITE), "loop"), include_all=True, multi=True
)
MODEL_VARIABLE = Variable(
    "model",
    "Model",
    label_values(series(inference.INFERENCE_ENGINE_UP, **SITE), "model"),
    include_all=True,
    multi=True,
)
ENGINE_VARIABLE = Variable(
    "engine",
    "Engine",
    label_values(series(inference.INFERENCE_ENGINE_UP, **SITE), "engine"),
    include_all=True,
    multi=True,
)
_ENGINE: dict[str, str | Match] = {**SITE, "engine": matches("$engine")}
SERVED_VARIABLE = Variable(
    "model",
    "Model",
    label_values(series(inference.INFERENCE_ENGINE_UP, **_ENGINE), "model"),
    include_all=True,
    multi=True,
)
"""Models of the chosen engines."""
SERVED: dict[str, str | Match] = {**_ENGINE, "model": matches("$model")}
MAYBE_SERVED: dict[str, str | Match] = {**_ENGINE, "model": matches("$model|")}
"""Also engines that have never answered, whose model nobody knows."""


def or_zero(total: Expr) -> Expr:
    """A total without labels, 0 where there is nothing to total."""
    if total.labels:
        raise ValueError(f"or_zero() takes a total without labels, not '{total.text}'")
    return total.or_(foreign.nothing())


def state_code(metric: Metric, codes: dict[str, int], *keys: str, **labels: str | Match) -> Expr:
    """A state set as one number per thing: the sum of the codes of its states, 0 for those not named."""
    parts = [
        sum_by(series(metric, **labels, **{metric.state_label: state}), *keys) * code
        for state, code in codes.items()
    ]
    total = parts[0]
    for part in parts[1:]:
        total = total + part
    return total.in_unit(Unit.COUNT)


def firing(**labels: str | Match) -> Expr:
    """Alerts that fire, without the heartbeat unless a severity is named."""
    return foreign.pick(foreign.ALERTS, alertstate="firing", **{**REAL, **labels})


def firing_for(*keys: str, **labels: str | Match) -> Expr:
    """How long each alert has been waiting or firing, for those that fire."""
    since = now() - foreign.pick(foreign.ALERTS_SINCE, **{**REAL, **labels}).in_unit(Unit.SECONDS)
    # ALERTS has one label more; the values of the others are the same on both.
    pair = Expr(
        f"{since.inner} and ignoring (alertstate) {firing(**labels).text}",
        since.labels,
        Unit.SECONDS,
        atom=False,
    )
    return max_by(pair, *keys)


def alerts_table(width: int, height: int, **labels: str | Match) -> Panel:
    """Who calls for help, where, and for how long already."""
    keys = ("severity", "alertname", "place", "domain", "site", "rack", "node", "gpu")
    return table(
        "Firing alerts",
        "Which alerts fire now, where, and for how long? The worst stand first; rack, node and GPU "
        "lead to their boards.",
        keys,
        Column("For", firing_for(*keys, **{**ALERT_SITE, **labels}), decimals=0),
        nothing="No alert fires",
        width=width,
        height=height,
        sort="Severity",
    )


def incidents_table(width: int, height: int) -> Panel:
    """Findings grouped by cause, with the number of GPUs they touch."""
    keys = ("site", "incident", "cause", "scope", "place")
    info = max_by(series(findings.INCIDENT_INFO, **SITE), *keys)
    touched = max_by(series(findings.INCIDENT_AFFECTED_GPUS, **SITE), "site", "incident")
    affected = many_to_one(info, "*", touched, ("site", "incident"))
    return table(
        "Incidents by cause",
        "Which findings share one physical cause, and how many GPUs does each touch?",
        keys,
        Column("GPUs affected", affected, decimals=0, steps=rising(1, 8)),
        nothing="No incident is open",
        width=width,
        height=height,
        sort="GPUs affected",
        descending=True,
    )


def incidents_open() -> Expr:
    """Number of open incidents."""
    return or_zero(count_by(series(findings.INCIDENT_INFO, **SITE)))


def maintenance_left(*scopes: str) -> Expr:
    """How long each place is still under maintenance."""
    chosen = {"scope": matches("|".join(scopes))} if scopes else {}
    until = max_by(series(site.MAINTENANCE_UNTIL, **SITE, **chosen), "site", "scope", "place", "reason")
    return (until - now()).in_unit(Unit.SECONDS) > 0


def maintenance_table(width: int = 24, height: int = 4) -> Panel:
    """What is worked on now: alerts of these places are silenced."""
    return table(
        "Under maintenance",
        "What is being worked on, until when, and why? Alerts of these places are silenced and pages stay "
        "away until then; what is red there may be meant to be.",
        ("site", "scope", "place", "reason"),
        Column("Ends in", maintenance_left(), decimals=0),
        nothing="Nothing is under maintenance",
        width=width,
        height=height,
        sort="Ends in",
        hide=("site",),
    )


def metered(role: str) -> Expr:
    """Power that flows now through the meters of a role: facility is what is bought, it what reaches racks.

    From gauges, not from the energy counters behind PUE and cost: those need minutes of history to be right.
    """
    power = max_by(series(facility.POWER_ACTIVE, scope="inlet", **SITE), "site", "device", "side")
    meters = max_by(series(site.METER_INFO, role=role, **SITE), "site", "device")
    return sum_by(many_to_one(power, "*", meters, ("site", "device")))


def usd_per_mtoken() -> Expr:
    """Cost of a million tokens over all models: their costs, weighted by their tokens."""
    tokens = max_by(recorded(recording.MODEL_TOKENS, **SITE), "site", "model")
    cost = max_by(recorded(recording.MODEL_USD_PER_MTOKEN, **SITE), "site", "model")
    return (sum_by(cost * tokens, "site") / (sum_by(tokens, "site") > 0)).in_unit(Unit.USD_PER_MILLION_TOKENS)


def gpus_not_ok() -> Expr:
    """GPUs that the inventory promises and that do not work."""
    expected = sum_by(series(site.GPUS_EXPECTED, **SITE))
    working = or_zero(sum_by(series(gpu.GPU_STATE, state="ok", **SITE)))
    return Expr(f"{expected.text} - ({working.text})", frozenset(), Unit.COUNT, atom=False)
