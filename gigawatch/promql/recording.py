"""THE recording rules: from GPU and device to node, rack, loop, model, job and site.

Rates span one minute: four scrapes at 15 s, and right soon after a start, where a longer span would read low
until it has filled. Figures of money over longer times are averages of these. Every rule aggregates both
sides of an operation to the same labels first, so that a missing input makes one figure absent and never
wrong.
"""

from __future__ import annotations

from functools import cache

from gigawatch.catalogue import Unit, facility, gpu, site, workload
from gigawatch.promql.expr import (
    Expr,
    avg_by,
    count_by,
    foreign,
    join,
    many_to_one,
    matches,
    max_by,
    min_by,
    on,
    one_minus,
    rate,
    series,
    sum_by,
)
from gigawatch.promql.rule import Recorded, recorded

WINDOW = "1m"
_HOURS_PER_YEAR = 8766
_NODE = ("site", "rack", "node")
_RACK = ("site", "rack")
_LOOP = ("site", "loop")
_SITE = ("site",)

# Where things stand, for alerts: Alertmanager mutes along these labels. A node or device that discovery
# does not describe (it is down, or young) keeps its alerts and merely lacks the labels.
_node_place = max_by(series(site.NODE_INFO), "site", "node", "rack", "hall", "row", "loop")
_node_target = foreign(
    'max by (site, node, rack) (up{job="gigawatch-agent"} >= bool 0)', ("site", "node", "rack")
)
NODE_PLACE = Recorded(
    "node:aif_place:info",
    Expr(f"{_node_place.inner} or on (site, node) {_node_target.inner}", _node_place.labels, atom=False),
    "Hall, row, rack and cooling loop of each node; always 1.",
    Unit.COUNT,
)
_device_place = max_by(series(site.DEVICE_INFO), "site", "device", "role", "feed", "loop")
_device_target = foreign('max by (site, device) (up{job="gigawatch-facility"} >= bool 0)', ("site", "device"))
DEVICE_PLACE = Recorded(
    "device:aif_place:info",
    Expr(
        f"{_device_place.inner} or on (site, device) {_device_target.inner}", _device_place.labels, atom=False
    ),
    "Role, feed and cooling loop of each facility device; always 1.",
    Unit.COUNT,
)
_cdu = series(site.DEVICE_INFO, role="cdu", loop=matches(".+"))
_loop_feeds = max_by(_cdu, "site", "loop", "hall", "feed")
_loop_single = on(_loop_feeds, "and", count_by(_loop_feeds, "site", "loop").equals(1), "site", "loop")
_loop_plain = max_by(_cdu, "site", "loop", "hall")
LOOP_PLACE = Recorded(
    "loop:aif_place:info",
    Expr(f"({_loop_single.text}) or on (site, loop) {_loop_plain.inner}", _loop_feeds.labels, atom=False),
    "Hall of each cooling loop, and the feed of its coolant units where they all hang on one; always 1.",
    Unit.COUNT,
)

# GPU, with the loop its node hangs on: the base of every thermal question.
_gpu_power = max_by(series(gpu.GPU_POWER, scope="gpu"), *_NODE, "gpu", "uuid")
GPU_POWER = Recorded(
    "gpu:aif_gpu_power_watts:loop",
    join(_gpu_power, site.NODE_INFO, ("site", "node"), ("hall", "row", "loop")),
    "Power of each GPU, with place and cooling loop.",
    Unit.WATTS,
)
GPU_MARGIN = Recorded(
    "gpu:aif_gpu_temperature_margin_celsius:loop",
    join(
        min_by(series(gpu.GPU_TEMPERATURE_MARGIN), *_NODE, "gpu", "uuid"),
        site.NODE_INFO,
        ("site", "node"),
        ("hall", "row", "loop"),
    ),
    "Kelvin left until each GPU slows down, with place and cooling loop.",
    Unit.CELSIUS,
)

# Node
NODE_GPU_POWER = Recorded(
    "node:aif_gpu_power_watts:sum", sum_by(_gpu_power, *_NODE), "Power of a node's GPUs.", Unit.WATTS
)
NODE_UTILIZATION = Recorded(
    "node:aif_gpu_utilization_ratio:avg",
    avg_by(series(gpu.GPU_UTILIZATION, engine="gpu"), *_NODE),
    "Mean GPU utilisation of a node.",
    Unit.RATIO,
)
NODE_MARGIN = Recorded(
    "node:aif_gpu_temperature_margin_celsius:min",
    min_by(series(gpu.GPU_TEMPERATURE_MARGIN), *_NODE),
    "Smallest temperature margin among a node's GPUs.",
    Unit.CELSIUS,
)
NODE_TEMPERATURE = Recorded(
    "node:aif_gpu_temperature_celsius:max",
    max_by(series(gpu.GPU_TEMPERATURE, sensor="core"), *_NODE),
    "Hottest GPU core of a node.",
    Unit.CELSIUS,
)
NODE_GPUS_OK = Recorded(
    "node:aif_gpus:ok",
    sum_by(series(gpu.GPU_STATE, state="ok"), *_NODE),
    "GPUs of a node that work.",
    Unit.COUNT,
)
NODE_TOKENS = Recorded(
    "node:aif_inference_tokens:rate1m",
    sum_by(rate(series(workload.INFERENCE_TOKENS, kind="generation"), WINDOW), *_NODE),
    "Tokens generated per second on a node.",
    Unit.TOKENS_PER_SECOND,
)

# Rack: PDU inlets only; a watt shows at inlet, outlet and node, and must be counted once.
_pdu = series(site.DEVICE_INFO, role="rack_pdu")
_rack_inlet = sum_by(
    many_to_one(
        max_by(series(facility.POWER_ACTIVE, scope="inlet"), *_RACK, "device", "side"),
        "*",
        max_by(_pdu, *_RACK, "device"),
        (*_RACK, "device"),
    ),
    *_RACK,
)
RACK_POWER = Recorded(
    "rack:aif_power_active_watts:sum", _rack_inlet, "Power into a rack, over all its PDUs.", Unit.WATTS
)
RACK_SIDE_POWER = Recorded(
    "rack:aif_power_active_watts:side",
    sum_by(
        many_to_one(
            max_by(series(facility.POWER_ACTIVE, scope="inlet"), *_RACK, "device", "side"),
            "*",
            max_by(_pdu, *_RACK, "device"),
            (*_RACK, "device"),
        ),
        *_RACK,
        "side",
    ),
    "Power into a rack per feed side.",
    Unit.WATTS,
)
RACK_BUDGET_USED = Recorded(
    "rack:aif_power_budget:used",
    on(recorded(RACK_POWER), "/", max_by(series(site.POWER_BUDGET), *_RACK), *_RACK),
    "Power into a rack against its budget.",
    Unit.RATIO,
)
RACK_GPU_POWER = Recorded(
    "rack:aif_gpu_power_watts:sum", sum_by(_gpu_power, *_RACK), "Power of a rack's GPUs.", Unit.WATTS
)
RACK_UTILIZATION = Recorded(
    "rack:aif_gpu_utilization_ratio:avg",
    avg_by(series(gpu.GPU_UTILIZATION, engine="gpu"), *_RACK),
    "Mean GPU utilisation of a rack.",
    Unit.RATIO,
)
RACK_MARGIN = Recorded(
    "rack:aif_gpu_temperature_margin_celsius:min",
    min_by(series(gpu.GPU_TEMPERATURE_MARGIN), *_RACK),
    "Smallest temperature margin among a rack's GPUs.",
    Unit.CELSIUS,
)
RACK_TOKENS = Recorded(
    "rack:aif_inference_tokens:rate1m",
    sum_by(rate(series(workload.INFERENCE_TOKENS, kind="generation"), WINDOW), *_RACK),
    "Tokens generated per second in a rack.",
    Unit.TOKENS_PER_SECOND,
)
RACK_INLET = Recorded(
    "rack:aif_air_temperature_celsius:max",
    max_by(series(facility.AIR_TEMPERATURE, position="inlet"), *_RACK),
    "Warmest air inlet of a rack.",
    Unit.CELSIUS,
)

# Loop
_of_loop = {"loop": matches(".+")}


def _loop(metric_expr: Expr, function: str) -> Expr:
    joined = join(metric_expr, site.DEVICE_INFO, ("site", "device"), ("loop",), **_of_loop)
    return {"sum": sum_by, "max": max_by, "min": min_by}[function](joined, *_LOOP)


def _device(expr: Expr, *extra: str) -> Expr:
    return max_by(expr, "site", "device", *extra)


LOOP_SUPPLY = Recorded(
    "loop:aif_coolant_supply_temperature_celsius:max",
    _loop(_device(series(facility.COOLANT_SUPPLY_TEMPERATURE, circuit="tcs")), "max"),
    "Coolant temperature on its way to the racks.",
    Unit.CELSIUS,
)
LOOP_RETURN = Recorded(
    "loop:aif_coolant_return_temperature_celsius:max",
    _loop(_device(series(facility.COOLANT_RETURN_TEMPERATURE, circuit="tcs")), "max"),
    "Coolant temperature on its way back from the racks.",
    Unit.CELSIUS,
)
LOOP_FLOW = Recorded(
    "loop:aif_coolant_flow_cubic_meters_per_second:sum",
    _loop(_device(series(facility.COOLANT_FLOW, circuit="tcs")), "sum"),
    "Coolant flow of a loop.",
    Unit.CUBIC_METERS_PER_SECOND,
)
LOOP_FLOW_RATIO = Recorded(
    "loop:aif_coolant_flow:ratio",
    recorded(LOOP_FLOW) / _loop(_device(series(facility.COOLANT_DESIGN_FLOW, circuit="tcs")), "sum"),
    "Coolant flow of a loop against what it was built for.",
    Unit.RATIO,
)
LOOP_HEAT = Recorded(
    "loop:aif_heat_removed_watts:sum",
    _loop(_device(series(facility.HEAT_REMOVED, circuit="tcs")), "sum"),
    "Heat that a loop carries away.",
    Unit.WATTS,
)
LOOP_CAPACITY_USED = Recorded(
    "loop:aif_cooling_capacity:used",
    recorded(LOOP_HEAT) / _loop(_device(series(facility.COOLING_CAPACITY)), "sum"),
    "Heat of a loop against what its coolant units can carry.",
    Unit.RATIO,
)
LOOP_MARGIN = Recorded(
    "loop:aif_gpu_temperature_margin_celsius:min",
    min_by(recorded(GPU_MARGIN, loop=matches(".+")), *_LOOP),
    "Smallest temperature margin among the GPUs on a loop.",
    Unit.CELSIUS,
)
LOOP_GPU_POWER = Recorded(
    "loop:aif_gpu_power_watts:sum",
    sum_by(recorded(GPU_POWER, loop=matches(".+")), *_LOOP),
    "Power of the GPUs on a loop.",
    Unit.WATTS,
)

# Model and job
_MODEL = ("site", "model")
MODEL_TOKENS = Recorded(
    "model:aif_inference_tokens:rate1m",
    sum_by(rate(series(workload.INFERENCE_TOKENS, kind="generation"), WINDOW), *_MODEL),
    "Tokens generated per second with a model.",
    Unit.TOKENS_PER_SECOND,
)
MODEL_POWER = Recorded(
    "model:aif_gpu_power_watts:sum",
    sum_by(
        many_to_one(
            max_by(rate(series(gpu.GPU_ENERGY), WINDOW), "site", "uuid"),
            "*",
            max_by(series(workload.INFERENCE_GPU_INFO), "site", "uuid", "model"),
            ("site", "uuid"),
            ("model",),
        ),
        *_MODEL,
    ),
    "Power of the GPUs that serve a model (from their energy counters).",
    Unit.WATTS,
)
MODEL_TOKENS_PER_JOULE = Recorded(
    "model:aif_tokens_per_joule:gpu",
    (recorded(MODEL_TOKENS) / (recorded(MODEL_POWER) > 0)).in_unit(Unit.TOKENS_PER_JOULE),
    "Tokens generated per joule of GPU energy, per model.",
    Unit.TOKENS_PER_JOULE,
)
MODEL_REQUESTS_RUNNING = Recorded(
    "model:aif_inference_requests_running:sum",
    sum_by(series(workload.INFERENCE_REQUESTS_RUNNING), *_MODEL),
    "Requests being worked on, per model.",
    Unit.COUNT,
)
MODEL_REQUESTS_WAITING = Recorded(
    "model:aif_inference_requests_waiting:sum",
    sum_by(series(workload.INFERENCE_REQUESTS_WAITING), *_MODEL),
    "Requests waiting, per model.",
    Unit.COUNT,
)
_JOB = ("site", "job_id")
JOB_POWER = Recorded(
    "job:aif_gpu_power_watts:sum",
    sum_by(
        many_to_one(
            max_by(series(gpu.GPU_POWER, scope="gpu"), "site", "uuid"),
            "*",
            max_by(series(workload.GPU_ALLOCATION_INFO), "site", "uuid", "job_id"),
            ("site", "uuid"),
            ("job_id",),
        ),
        *_JOB,
    ),
    "Power of the GPUs that a job holds.",
    Unit.WATTS,
)
JOB_UTILIZATION = Recorded(
    "job:aif_gpu_utilization_ratio:avg",
    avg_by(
        many_to_one(
            max_by(series(gpu.GPU_UTILIZATION, engine="gpu"), "site", "uuid"),
            "*",
            max_by(series(workload.GPU_ALLOCATION_INFO), "site", "uuid", "job_id"),
            ("site", "uuid"),
            ("job_id",),
        ),
        *_JOB,
    ),
    "Mean utilisation of the GPUs that a job holds.",
    Unit.RATIO,
)
JOB_GPUS = Recorded(
    "job:aif_gpus:count",
    count_by(max_by(series(workload.GPU_ALLOCATION_INFO), "site", "uuid", "job_id"), *_JOB),
    "GPUs that a job holds.",
    Unit.COUNT,
)
JOB_TOKENS = Recorded(
    "job:aif_training_tokens:rate1m",
    sum_by(rate(series(workload.TRAINING_TOKENS), WINDOW), *_JOB),
    "Tokens per second that a training job works through.",
    Unit.TOKENS_PER_SECOND,
)

# Site
SITE_GPU_POWER = Recorded(
    "site:aif_gpu_power_watts:sum", sum_by(_gpu_power, *_SITE), "Power of all GPUs.", Unit.WATTS
)
SITE_UTILIZATION = Recorded(
    "site:aif_gpu_utilization_ratio:avg",
    avg_by(series(gpu.GPU_UTILIZATION, engine="gpu"), *_SITE),
    "Mean GPU utilisation.",
    Unit.RATIO,
)
SITE_MARGIN = Recorded(
    "site:aif_gpu_temperature_margin_celsius:min",
    min_by(series(gpu.GPU_TEMPERATURE_MARGIN), *_SITE),
    "Smallest temperature margin of all GPUs.",
    Unit.CELSIUS,
)
SITE_GPUS_OK = Recorded(
    "site:aif_gpus:ok", sum_by(series(gpu.GPU_STATE, state="ok"), *_SITE), "GPUs that work.", Unit.COUNT
)
SITE_GPUS_ALLOCATED = Recorded(
    "site:aif_gpus:allocated",
    count_by(max_by(series(workload.GPU_ALLOCATION_INFO), *_SITE, "uuid"), *_SITE),
    "GPUs that a job holds.",
    Unit.COUNT,
)


def _metered(role: str) -> Expr:
    return sum_by(
        many_to_one(
            max_by(rate(series(facility.ENERGY, scope="inlet"), WINDOW), "site", "device", "side"),
            "*",
            max_by(series(site.METER_INFO, role=role), "site", "device"),
            ("site", "device"),
        ),
        *_SITE,
    ).in_unit(Unit.WATTS)


SITE_FACILITY_POWER = Recorded(
    "site:aif_facility_power_watts:rate1m", _metered("facility"), "Power the site buys.", Unit.WATTS
)
SITE_IT_POWER = Recorded(
    "site:aif_it_power_watts:rate1m", _metered("it"), "Power that reaches the racks.", Unit.WATTS
)
SITE_PUE = Recorded(
    "site:aif_pue:ratio",
    recorded(SITE_FACILITY_POWER) / (recorded(SITE_IT_POWER) > 0),
    "Power usage effectiveness, interim, category 2 (ISO/IEC 30134-2).",
    Unit.COUNT,
)
SITE_TOKENS = Recorded(
    "site:aif_inference_tokens:rate1m",
    sum_by(rate(series(workload.INFERENCE_TOKENS, kind="generation"), WINDOW), *_SITE),
    "Tokens generated per second.",
    Unit.TOKENS_PER_SECOND,
)
SITE_TRAINING_TOKENS = Recorded(
    "site:aif_training_tokens:rate1m",
    sum_by(rate(series(workload.TRAINING_TOKENS), WINDOW), *_SITE),
    "Training tokens per second.",
    Unit.TOKENS_PER_SECOND,
)
SITE_TOKENS_PER_JOULE = Recorded(
    "site:aif_tokens_per_joule:facility",
    # Serving's share of the site's energy follows its share of GPU power: an estimate, and labelled so.
    (
        recorded(SITE_TOKENS)
        / (
            recorded(SITE_FACILITY_POWER)
            * (sum_by(recorded(MODEL_POWER), *_SITE) / (recorded(SITE_GPU_POWER) > 0))
            > 0
        )
    ).in_unit(Unit.TOKENS_PER_JOULE),
    "Tokens generated per joule bought, serving charged by its share of GPU power (an estimate).",
    Unit.TOKENS_PER_JOULE,
)


def _per_site(expr: Expr) -> Expr:
    return max_by(expr, *_SITE)


_ASSET = (*_SITE, "asset_class")
SITE_COST_CAPEX = Recorded(
    "site:aif_cost_capex_usd_per_hour:sum",
    sum_by(
        max_by(series(site.COST_CAPEX), *_ASSET)
        * one_minus(max_by(series(site.COST_RESIDUAL), *_ASSET))
        / (max_by(series(site.COST_AMORTIZATION), *_ASSET) * _HOURS_PER_YEAR),
        *_SITE,
    ).in_unit(Unit.USD_PER_HOUR),
    "Purchase prices spread over their life, less what is recovered at its end.",
    Unit.USD_PER_HOUR,
)
SITE_COST_ENERGY = Recorded(
    "site:aif_cost_energy_usd_per_hour:rate1m",
    (recorded(SITE_FACILITY_POWER) / 1000 * _per_site(series(site.ENERGY_PRICE))).in_unit(Unit.USD_PER_HOUR),
    "Cost of the power the site buys.",
    Unit.USD_PER_HOUR,
)
SITE_COST_FIXED = Recorded(
    "site:aif_cost_fixed_usd_per_hour:sum",
    (
        (
            _per_site(series(site.COST_STAFF))
            + _per_site(series(site.COST_MAINTENANCE))
            + _per_site(series(site.COST_COLO))
        )
        / _HOURS_PER_YEAR
    ).in_unit(Unit.USD_PER_HOUR),
    "Staff, maintenance and rent.",
    Unit.USD_PER_HOUR,
)
SITE_COST = Recorded(
    "site:aif_cost_usd_per_hour:sum",
    recorded(SITE_COST_CAPEX) + recorded(SITE_COST_ENERGY) + recorded(SITE_COST_FIXED),
    "What the site costs per hour.",
    Unit.USD_PER_HOUR,
)
_serving_share = sum_by(recorded(MODEL_POWER), *_SITE) / (recorded(SITE_GPU_POWER) > 0)
SITE_USD_PER_MTOKEN = Recorded(
    "site:aif_usd_per_million_tokens:rate1m",
    (recorded(SITE_COST) * _serving_share / 3600 / (recorded(SITE_TOKENS) > 0) * 1e6).in_unit(
        Unit.USD_PER_MILLION_TOKENS
    ),
    "Cost of a million generated tokens; serving is charged by its share of GPU power (an estimate).",
    Unit.USD_PER_MILLION_TOKENS,
)
MODEL_USD_PER_MTOKEN = Recorded(
    "model:aif_usd_per_million_tokens:rate1m",
    many_to_one(
        (recorded(MODEL_POWER) / 3600 / (recorded(MODEL_TOKENS) > 0) * 1e6),
        "*",
        (recorded(SITE_COST) / (recorded(SITE_GPU_POWER) > 0)),
        _SITE,
    ).in_unit(Unit.USD_PER_MILLION_TOKENS),
    "Cost of a million tokens generated with a model, charged by its share of GPU power (an estimate).",
    Unit.USD_PER_MILLION_TOKENS,
)


@cache
def groups() -> dict[str, tuple[Recorded, ...]]:
    """All rules by evaluation group, each group in an order in which inputs come before their users."""
    by_level: dict[str, list[Recorded]] = {}
    for value in globals().values():
        if isinstance(value, Recorded):
            by_level.setdefault(value.name.split(":", 1)[0], []).append(value)
    # Models and sites feed on each other: they share one group, in the order of this file.
    by_level["site"] = by_level.pop("model") + by_level["site"]
    by_level["site"].sort(key=all_rules().index)
    return {f"gigawatch-{level}": tuple(rules) for level, rules in by_level.items()}


@cache
def all_rules() -> tuple[Recorded, ...]:
    """All recording rules in the order of this file."""
    return tuple(value for value in globals().values() if isinstance(value, Recorded))
