"""Cost of the site per hour, and of a million tokens."""

from __future__ import annotations

from gigawatch.catalogue import Unit, site
from gigawatch.promql.expr import Expr, many_to_one, max_by, one_minus, series, sum_by
from gigawatch.promql.recording.common import HOURS_PER_YEAR, SITE
from gigawatch.promql.recording.model import MODEL_POWER, MODEL_TOKENS
from gigawatch.promql.recording.site import SITE_FACILITY_POWER, SITE_GPU_POWER, SITE_TOKENS
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
_serving_share = sum_by(recorded(MODEL_POWER), *SITE) / (recorded(SITE_GPU_POWER) > 0)
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
        SITE,
    ).in_unit(Unit.USD_PER_MILLION_TOKENS),
    "Cost of a million tokens generated with a model, charged by its share of GPU power (an estimate).",
    Unit.USD_PER_MILLION_TOKENS,
)
