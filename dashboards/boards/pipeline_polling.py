"""The facility section of gw-pipeline: whether devices answer, on time, and whether they tell the truth."""

from __future__ import annotations

from dashboards import limits
from dashboards.boards.common import RATE, SITE, or_zero
from dashboards.model import Panel, Section
from dashboards.panels import Column, Line, States, alarm, stat, table, timeseries
from gigawatch.catalogue import facility, polling, site
from gigawatch.promql import (
    age,
    count_by,
    increase,
    max_by,
    rate,
    recorded,
    series,
    sum_by,
    topk,
)
from gigawatch.promql import recording as rec

_DEVICE = ("site", "rack", "device")
_WAY = ("site", "rack", "device", "endpoint")
_STATES: States = {0: ("yes", "green"), 1: ("asked seldom", "orange")}
_SAYS = ("site", "rack", "device", "kind", "liar", "reading", "error")

_ANSWERS: States = {0: ("no", "red"), 1: ("yes", "green")}


def polling_section() -> Section:
    """Polling of facility devices, and what of their readings cannot be believed."""
    devices = series(facility.FACILITY_POLL_UP, **SITE)
    errors = increase(series(polling.POLL_ERRORS, **SITE), "1h")
    dropped = increase(series(polling.READINGS_DROPPED, **SITE), "1h")
    return Section(
        "Facility devices",
        (
            stat(
                "Devices silent",
                "How many facility devices did not answer their last poll? Their racks show gaps, not zeros:"
                " look at the network or the credentials first.",
                or_zero(count_by(devices.equals(0))),
                width=6,
                steps=alarm("orange"),
                decimals=0,
                filled=True,
            ),
            stat(
                "Devices given up",
                "How many ways to a device are asked only now and then, because they failed several times in"
                " a row?",
                or_zero(sum_by(series(polling.POLL_CIRCUIT_OPEN, **SITE))),
                width=6,
                steps=alarm("orange"),
                decimals=0,
                filled=True,
            ),
            stat(
                "Contradictions",
                "How many readings contradict each other? Believe neither until the table below is settled.",
                or_zero(sum_by(recorded(rec.SITE_CONTRADICTIONS, **SITE))),
                width=6,
                steps=alarm("orange"),
                decimals=0,
                filled=True,
            ),
            stat(
                "Inventory sources lost",
                "How many sources of the inventory (file, NetBox) cannot be read? The last good state stands"
                " in.",
                or_zero(count_by(series(site.INVENTORY_SOURCE_UP, **SITE).equals(0))),
                width=6,
                steps=alarm("orange"),
                decimals=0,
                filled=True,
            ),
            _contradictions(),
            table(
                "Readings that stand still",
                "Which readings have not moved for a day? A dead sensor looks calm: have it checked.",
                (*_DEVICE, "reading"),
                Column("Still", recorded(rec.READING_STILL, **SITE), states={1: ("for a day", "orange")}),
                width=9,
                nothing="Every reading moves",
                hide=("site",),
            ),
            table(
                "Devices and their answers",
                "Which devices do not answer, and for how long already? Those that are silent stand first.",
                _WAY,
                Column("Answers", max_by(series(polling.POLL_ENDPOINT_UP, **SITE), *_WAY), states=_ANSWERS),
                Column("Polls", max_by(series(polling.POLL_CIRCUIT_OPEN, **SITE), *_WAY), states=_STATES),
                Column(
                    "Last answer",
                    max_by(age(series(polling.POLL_LAST_SUCCESS, **SITE)), *_WAY),
                    decimals=0,
                    steps=limits.SILENT,
                ),
                Column(
                    "Late by", max_by(series(polling.POLL_LAG, **SITE), *_WAY), decimals=1, steps=limits.LAG
                ),
                Column("Every", max_by(series(polling.POLL_INTERVAL, **SITE), *_WAY), decimals=0),
                width=24,
                height=9,
                sort="Answers",
                hide=("site",),
            ),
            table(
                "Poll errors by reason",
                "Why do polls fail? auth: credentials; timeout: network or an overloaded card; decode: a "
                "firmware that needs another profile.",
                ("site", "device", "endpoint", "reason"),
                Column(
                    "In 1 h", topk(30, sum_by(errors, "site", "device", "endpoint", "reason") > 0), decimals=0
                ),
                width=8,
                nothing="No poll failed",
                sort="In 1 h",
                descending=True,
                hide=("site",),
            ),
            table(
                "Readings left out",
                "Which values are left out, and why: a sentinel, a bad quality, no number, out of range? "
                "Many at once point to a wrong profile.",
                ("site", "device", "reason"),
                Column(
                    "Left out in 1 h", topk(30, sum_by(dropped, "site", "device", "reason") > 0), decimals=0
                ),
                width=8,
                nothing="No value was left out",
                sort="Left out in 1 h",
                descending=True,
                hide=("site",),
            ),
            timeseries(
                "Poll errors",
                "When did polls begin to fail, and for which reason?",
                Line(
                    sum_by(rate(series(polling.POLL_ERRORS, **SITE), RATE), "reason"), "{{reason}} per second"
                ),
                low=0,
            ),
            table(
                "Inventory sources",
                "Is the inventory fresh, and could each source be read?",
                ("site", "source"),
                Column("Readable", series(site.INVENTORY_SOURCE_UP, **SITE), states=_ANSWERS),
                width=24,
                height=6,
                nothing="The service discovery does not tell",
                hide=("site",),
            ),
        ),
    )


def _contradictions() -> Panel:
    return table(
        "Readings that contradict each other",
        "Which device is likelier wrong, about what, and by how much? A factor of exactly ten is a scale: "
        "change the profile. Else compare with a clamp meter.",
        _SAYS,
        Column("Says, by the others", recorded(rec.CONTRADICTION, **SITE), decimals=2),
        width=15,
        nothing="Nothing contradicts",
        sort="Device",
        hide=("site",),
    )
