"""Cost of the site per hour, and of the GPUs of its parts."""

from __future__ import annotations

from gigawatch.catalogue import Unit, site
from gigawatch.promql.expr import Expr, join, many_to_one, matches, max_by, one_minus, series, sum_by
from gigawatch.promql.recording.common import HOURS_PER_YEAR, LOOP, NODE, RACK, SITE
from gigawatch.promql.recording.site import SITE_FACILITY_POWER, SITE_GPU_POWER
from gigawatch.promql.rule import Recorded, recorded


def _per_site(expr: Expr) -> Expr:
    return max_by(expr, *SITE)


_ASSET = (*SITE, "asset_class")
SITE_COST_CAPEX = Recorded(
    "site:aif_cost_capex_usd_per_hour:sum",
    sum_by(
        max_by(series(site.COST_CAPEX), *_ASSET)
        * one_minus(max_by(series(site.COST_RESIDUAL), *_ASSET))
        / (max_by(series(site.COST_AMORTIZATION), *_ASSET) * HOURS_PER_YEAR),
        *SITE,
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
        / HOURS_PER_YEAR
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
_owned = _per_site(series(site.GPUS_OWNED)) > 0
COST_OF_GPU = (recorded(SITE_COST_CAPEX) + recorded(SITE_COST_FIXED)) / _owned
"""Dollars per hour of one GPU of the site, its energy apart."""
ENERGY_COST_OF_WATT = recorded(SITE_COST_ENERGY) / (recorded(SITE_GPU_POWER) > 0)
"""Dollars per hour of the energy that a site buys, for each watt of its GPUs."""
SITE_USD_PER_GPU_HOUR = Recorded(
    "site:aif_usd_per_gpu_hour:sum",
    (recorded(SITE_COST) / _owned).in_unit(Unit.USD_PER_HOUR),
    "What one GPU of the site costs per hour, used or not: the site's cost by the GPUs it owns.",
    Unit.USD_PER_HOUR,
)
_gpus = max_by(series(site.GPUS_EXPECTED), *NODE)


def _cost_of(gpus: Expr, level: str, place: str) -> Recorded:
    return Recorded(
        f"{level}:aif_cost_usd_per_hour:sum",
        many_to_one(gpus, "*", recorded(SITE_USD_PER_GPU_HOUR), SITE).in_unit(Unit.USD_PER_HOUR),
        f"What the GPUs {place} cost per hour, whether they work or not.",
        Unit.USD_PER_HOUR,
    )


NODE_COST = _cost_of(_gpus, "node", "of a node")
RACK_COST = _cost_of(sum_by(_gpus, *RACK), "rack", "of a rack")
_on_loop = join(_gpus, site.NODE_INFO, ("site", "node"), ("loop",), loop=matches(".+"))
LOOP_COST = _cost_of(sum_by(_on_loop, *LOOP), "loop", "on a cooling loop")
