"""Meters that cannot be right."""

from __future__ import annotations

from alerts.cases import Case, given
from alerts.model import Action, Alert, Domain, Scope, Severity
from gigawatch.catalogue import facility, site
from gigawatch.promql import (
    Expr,
    recorded,
    recording,
)

ALERTS = (
    Alert(
        name="PueImplausible",
        expr=Expr(
            f"{recorded(recording.SITE_PUE).text} < 0.98 or {recorded(recording.SITE_PUE).text} > 3",
            frozenset({"site"}),
            atom=False,
        ),
        severity=Severity.WARNING,
        domain=Domain.POWER,
        scope=Scope.SITE,
        summary="The PUE of {site} is {value:.2f}: a meter is wrong",
        description="Bought energy divided by energy to the racks gives {value:.2f}; below 1 it cannot be, "
        "above 3 it "
        "is not credible.",
        cause="A meter that is not read, counted twice, or scaled wrongly.",
        consequence="Every cost and efficiency figure that rests on it is wrong.",
        action=Action.NONE,
        first_step="Compare each meter of the facility board with its neighbours.",
        board="gw-facility",
        hold="15m",
        cases=(
            Case(
                "below one",
                (
                    given(facility.ENERGY, "0+30000x200", device="utility-a", side="A", scope="inlet", id=""),
                    given(
                        facility.ENERGY,
                        "0+60000x200",
                        device="pdu-a",
                        rack="r1",
                        side="A",
                        scope="inlet",
                        id="",
                    ),
                    given(site.METER_INFO, 1, device="utility-a", role="facility"),
                    given(site.METER_INFO, 1, device="pdu-a", role="it"),
                ),
                ("s1",),
                at="25m",
            ),
            Case(
                "plausible",
                (
                    given(facility.ENERGY, "0+75000x200", device="utility-a", side="A", scope="inlet", id=""),
                    given(
                        facility.ENERGY,
                        "0+60000x200",
                        device="pdu-a",
                        rack="r1",
                        side="A",
                        scope="inlet",
                        id="",
                    ),
                    given(site.METER_INFO, 1, device="utility-a", role="facility"),
                    given(site.METER_INFO, 1, device="pdu-a", role="it"),
                ),
                at="25m",
            ),
        ),
    ),
)
