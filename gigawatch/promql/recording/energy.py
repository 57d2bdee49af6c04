"""Efficiency of the site over an hour, from energy counters (ISO/IEC 30134): absent while a meter was silent.

Interim figures: the standard's are annual. Category 2: energy of IT is what leaves the rack PDUs' inlets.
"""

from __future__ import annotations

from gigawatch.catalogue import Unit, facility, gpu, liquid, room, site
from gigawatch.promql.expr import (
    Expr,
    Selector,
    avg_by,
    count_by,
    increase,
    many_to_one,
    max_by,
    on,
    series,
    sum_by,
)
from gigawatch.promql.joins import relabel
from gigawatch.promql.recording.common import SITE
from gigawatch.promql.recording.power import COOLING_ROLES, inlet, with_role
from gigawatch.promql.recording.site import SITE_FACILITY_POWER, SITE_GPU_POWER, meters, silent_meters
from gigawatch.promql.rule import Recorded, recorded

HOUR = "1h"
JOULES_PER_KWH = 3.6e6
_KEY = ("site", "device")
_inlet = series(facility.ENERGY, scope="inlet", node="")
_then = Expr(f"{_inlet.text} offset 1h", _inlet.labels, _inlet.unit)
_hourly = sum_by(inlet(facility.ENERGY, lambda readings: increase(readings, HOUR)), *_KEY)


def _of(chosen: Expr) -> Expr:
    """Energy into some devices within the hour; absent unless all of them tell it now and told it then."""
    told = sum_by(many_to_one(_hourly, "*", chosen, _KEY), *SITE)
    missing = on(chosen, "unless", max_by(_inlet, *_KEY), *_KEY)
    missing_then = on(chosen, "unless", max_by(_then, *_KEY), *_KEY)
    return on(on(told, "unless", missing, *SITE), "unless", missing_then, *SITE).in_unit(Unit.JOULES)


SITE_METERS_SILENT = Recorded(
    "site:aif_meters:silent",
    count_by(silent_meters(), *SITE).or_(count_by(max_by(series(site.METER_INFO), *_KEY), *SITE) * 0),
    "Meters on which the PUE rests that tell no energy.",
    Unit.COUNT,
)
SITE_FACILITY_ENERGY_1H = Recorded(
    "site:aif_facility_energy_joules:increase1h",
    _of(meters("facility")),
    "Energy that the site bought within an hour.",
    Unit.JOULES,
    slow=True,
)
SITE_IT_ENERGY_1H = Recorded(
    "site:aif_it_energy_joules:increase1h",
    _of(meters("it")),
    "Energy that reached the racks within an hour.",
    Unit.JOULES,
    slow=True,
)
_it = recorded(SITE_IT_ENERGY_1H) > 0
SITE_PUE_1H = Recorded(
    "site:aif_pue:increase1h",
    (recorded(SITE_FACILITY_ENERGY_1H) / _it).in_unit(Unit.COUNT),
    "Power usage effectiveness over an hour, interim, category 2 (ISO/IEC 30134-2).",
    Unit.COUNT,
    slow=True,
)
_cooling = (_of(with_role(COOLING_ROLES)) / _it).in_unit(Unit.COUNT)
SITE_PPUE = Recorded(
    "site:aif_partial_pue:increase1h",
    relabel(_cooling + 1, "part", "cooling", "site").or_(
        relabel(recorded(SITE_PUE_1H) - _cooling, "part", "other", "site")
    ),
    "Partial PUE over an hour: 1 and what cooling, or all else (losses, lighting), takes per joule of IT.",
    Unit.COUNT,
    slow=True,
)
SITE_CUE = Recorded(
    "site:aif_carbon_kilograms:per_kwh",
    avg_by(series(room.CARBON_INTENSITY), *SITE).in_unit(Unit.COUNT) / 1000 * recorded(SITE_PUE_1H),
    "Carbon usage effectiveness (ISO/IEC 30134-8): kilograms of CO2 for each kilowatt-hour of IT.",
    Unit.COUNT,
    slow=True,
)


def _each_hour(counter: Selector) -> Expr:
    return sum_by(max_by(increase(counter, HOUR), *_KEY), *SITE)


SITE_WUE = Recorded(
    "site:aif_water_liters:per_kwh",
    (_each_hour(series(liquid.WATER_CONSUMED)) * (1000 * JOULES_PER_KWH) / _it).in_unit(Unit.COUNT),
    "Water usage effectiveness (ISO/IEC 30134-9): liters for each kilowatt-hour of IT.",
    Unit.COUNT,
    slow=True,
)
SITE_ERF = Recorded(
    "site:aif_energy_reused:ratio",
    (_each_hour(series(liquid.HEAT_REUSED)) / (recorded(SITE_FACILITY_ENERGY_1H) > 0)).in_unit(Unit.RATIO),
    "Energy reuse factor (ISO/IEC 30134-6): share of the energy bought that somebody uses as heat.",
    Unit.RATIO,
    slow=True,
)
_all_gpus = on(
    recorded(SITE_GPU_POWER),
    "and",
    on(
        count_by(max_by(series(gpu.GPU_POWER, scope="gpu"), *SITE, "uuid"), *SITE),
        "==",
        max_by(series(site.GPUS_OWNED), *SITE),
        *SITE,
    ),
    *SITE,
)
SITE_GPU_OVERHEAD = Recorded(
    "site:aif_facility_power:per_gpu_watt",
    (recorded(SITE_FACILITY_POWER) / (_all_gpus > 0)).in_unit(Unit.COUNT),
    "Watts bought for each watt of the GPUs, where all GPUs tell theirs: total usage effectiveness with the "
    "GPUs alone as computing, so an upper bound (processors and memory compute as well).",
    Unit.COUNT,
)
