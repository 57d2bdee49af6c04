"""gw-efficiency: what is bought for what reaches the racks, in energy, carbon, water and money."""

from __future__ import annotations

from dashboards import limits
from dashboards.boards.common import DATASOURCE, SITE, SITE_VARIABLE, metered, usd_per_mtoken
from dashboards.model import Board, Panel, Section
from dashboards.panels import Column, Line, alarm, stat, table, timeseries
from dashboards.places import EFFICIENCY as UID
from gigawatch.catalogue import Unit, room, site
from gigawatch.promql import Expr, Recorded, many_to_one, max_by, recorded, series, sum_by
from gigawatch.promql import recording as rec

_LITERS = "suffix: L/kWh"
_KILOGRAMS = "suffix: kg/kWh"


def board() -> Board:
    """Efficiency after ISO/IEC 30134."""
    return Board(
        UID,
        "Efficiency",
        "How much is bought for what reaches the racks, and what comes out of it?",
        ("gigawatch", "facility", "cost"),
        (DATASOURCE, SITE_VARIABLE),
        (_now(), _where(), _trends(), _meters()),
    )


def _of(rule: Recorded) -> Expr:
    return max_by(recorded(rule, **SITE), "site")


def _now() -> Section:
    return Section(
        "Last hour",
        (
            stat(
                "PUE",
                "How many joules were bought in the last hour for each joule that reached the racks "
                "(category 2)? Absent while a meter was silent: see the meters below.",
                _of(rec.SITE_PUE_1H),
                legend="{{site}}",
                steps=limits.PUE,
                decimals=3,
            ),
            stat(
                "CUE",
                "How much carbon dioxide does a kilowatt-hour of IT stand for? It follows the grid: shift "
                "work to cleaner hours.",
                _of(rec.SITE_CUE),
                legend="{{site}}",
                steps=limits.CUE,
                decimals=3,
                unit=_KILOGRAMS,
            ),
            stat(
                "WUE",
                "How much water is used up for a kilowatt-hour of IT? High on hot days where water "
                "evaporates.",
                _of(rec.SITE_WUE),
                legend="{{site}}",
                steps=limits.WUE,
                decimals=2,
                unit=_LITERS,
            ),
            stat(
                "Energy reused",
                "Which share of the energy does somebody use a second time (ERF)?",
                _of(rec.SITE_ERF),
                legend="{{site}}",
                decimals=1,
            ),
            stat(
                "Silent meters",
                "How many of the meters behind these figures tell nothing? While one is silent the figures "
                "are absent and not wrong: repair it first.",
                sum_by(recorded(rec.SITE_METERS_SILENT, **SITE)),
                steps=alarm("orange"),
                decimals=0,
                filled=True,
            ),
            stat(
                "Per GPU watt",
                "How many watts are bought for each watt of the GPUs: building, servers and network "
                "together?",
                _of(rec.SITE_GPU_OVERHEAD),
                legend="{{site}}",
                decimals=2,
            ),
            stat(
                "Tokens per J",
                "How many tokens does serving make of a joule bought? An estimate.",
                _of(rec.SITE_TOKENS_PER_JOULE),
                legend="{{site}}",
                decimals=3,
            ),
            stat(
                "Cost per hour",
                "What does the power bought cost now?",
                sum_by(recorded(rec.SITE_COST_ENERGY, **SITE)),
                decimals=2,
            ),
        ),
    )


def _where() -> Section:
    return Section(
        "Where it goes",
        (
            timeseries(
                "Bought and used",
                "How much of what is bought reaches the racks and the GPUs?",
                Line(metered("facility"), "bought"),
                Line(metered("it"), "racks"),
                Line(sum_by(recorded(rec.SITE_GPU_POWER, **SITE)), "GPUs"),
                low=0,
            ),
            timeseries(
                "Parts of the PUE",
                "Is it cooling, or the rest (UPS losses, transformers, light), that costs?",
                Line(
                    max_by(recorded(rec.SITE_PPUE, **SITE), "site", "part"),
                    "{{site}} {{part}}",
                ),
                low=1,
                decimals=3,
            ),
            table(
                "Energy of the last hour",
                "How much was bought, how much reached the racks, and what does it amount to?",
                ("site",),
                Column("Bought", _of(rec.SITE_FACILITY_ENERGY_1H) / 3600, decimals=1, unit="watth"),
                Column("To the racks", _of(rec.SITE_IT_ENERGY_1H) / 3600, decimals=1, unit="watth"),
                Column("Price of a kWh", series(site.ENERGY_PRICE, **SITE), decimals=3),
                Column("Cost per Mtoken", usd_per_mtoken(), decimals=2),
                width=8,
                height=8,
            ),
        ),
    )


def _trends() -> Section:
    def over_time(title: str, description: str, rule: Recorded, unit: str = "", decimals: int = 3) -> Panel:
        return timeseries(
            title, description, Line(_of(rule), "{{site}}"), decimals=decimals, unit=unit, width=8
        )

    carbon = max_by(series(room.CARBON_INTENSITY, **SITE), "site", "zone")
    return Section(
        "Over time",
        (
            timeseries(
                "PUE over time",
                "Does the building take more for the same work? The quick line shows faults, the slow one "
                "counts.",
                Line(_of(rec.SITE_PUE_1H), "{{site}} over 1 h"),
                Line(_of(rec.SITE_PUE), "{{site}} over 1 min", dashed=True),
                decimals=2,
            ),
            over_time("CUE over time", "Is the carbon of the work falling?", rec.SITE_CUE, _KILOGRAMS),
            over_time(
                "WUE over time",
                "Does the water for the work grow with the weather?",
                rec.SITE_WUE,
                _LITERS,
                2,
            ),
            over_time("Reused energy", "Does the heat find a user?", rec.SITE_ERF, decimals=2),
            timeseries(
                "Carbon of the grid",
                "When is the grid clean? Work that can wait belongs there.",
                Line(carbon, "{{site}} {{zone}}"),
                low=0,
            ),
            over_time(
                "Tokens per joule over time",
                "Does the site make more of what it buys?",
                rec.SITE_TOKENS_PER_JOULE,
            ),
        ),
    )


def _meters() -> Section:
    keys = ("site", "device", "role")
    meters = max_by(series(site.METER_INFO, **SITE), *keys)
    power = max_by(recorded(rec.DEVICE_POWER, **SITE), "site", "device")

    return Section(
        "Meters behind the figures",
        (
            table(
                "Meters",
                "Which meters are counted as bought (facility) and as IT, and does each tell its power? One "
                "without power makes PUE absent.",
                keys,
                Column(
                    "Power",
                    many_to_one(meters, "*", power, ("site", "device")).in_unit(Unit.WATTS),
                    decimals=1,
                ),
                Column("Counts", meters, states={1: ("yes", "text")}),
                width=24,
                height=7,
                sort="Power",
                hide=("site",),
            ),
        ),
    )
