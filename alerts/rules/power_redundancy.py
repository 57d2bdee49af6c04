"""What is left when a feed, a unit of a group or a source of a transfer switch is gone."""

from __future__ import annotations

from alerts.cases import Case, Given, given, turning
from alerts.model import Action, Alert, Domain, Scope, Severity
from alerts.places import DEVICE, at_device, both
from alerts.rules.power_terms import FACILITY
from gigawatch.catalogue import electrical, facility, site
from gigawatch.promql import avg_over_time, matches, max_by, recorded, recording, series

_taken = max_by(series(electrical.TRANSFER_SOURCE), *DEVICE, "source").equals(1)
_seldom = max_by(avg_over_time(series(electrical.TRANSFER_SOURCE), "1d"), *DEVICE, "source") < 0.5
_SD = {"job": "gigawatch-sd"}


def _side(watts: float, side: str) -> Given:
    pdu = f"pdu-{side}"
    return given(facility.POWER_ACTIVE, watts, device=pdu, rack="r1", side=side.upper(), scope="inlet", id="")


def _feeds(watts: float) -> tuple[Given, ...]:
    """A rack that draws as much, on two feeds with UPS of 30 kW."""
    place = {"rack": "", "hall": "h1", "feed": "utility-b", "side": "B", "loop": ""}
    other = given(site.DEVICE_INFO, 1, device="ups-b", role="ups", **place, **_SD)
    capacities = tuple(given(facility.POWER_CAPACITY, 30000, device=f"ups-{side}") for side in "ab")
    return (_side(watts / 2, "a"), _side(watts / 2, "b"), other, *capacities)


def _chillers(heat: float) -> tuple[Given, ...]:
    """Three of 100 kW, one of them spare."""
    found: list[Given] = []
    for name in ("chiller-1", "chiller-2", "chiller-3"):
        found += [
            given(site.REDUNDANCY_SPARE, 1, device=name, group="chillers", **_SD),
            given(facility.COOLING_CAPACITY, 100000, device=name),
            given(facility.HEAT_REMOVED, heat / 3, device=name, circuit="fws"),
        ]
    return tuple(found)


def _switch(a: float | str, b: float | str) -> tuple[Given, ...]:
    place = {"rack": "r1", "hall": "h1", "feed": "", "side": "", "loop": ""}
    info = given(site.DEVICE_INFO, 1, device="ats-1", role="transfer_switch", **place, **_SD)
    return info, *(
        given(electrical.TRANSFER_SOURCE, value, device="ats-1", rack="r1", source=source)
        for source, value in (("A", a), ("B", b))
    )


ALERTS = (
    Alert(
        name="FeedWithoutRedundancy",
        expr=recorded(recording.FEED_FAILOVER) > 1,
        severity=Severity.WARNING,
        domain=Domain.POWER,
        scope=Scope.FEED,
        summary="Feed {feed} could not carry its racks alone",
        description="All that its racks draw over both feeds is {value:percent} of what its UPS may carry.",
        cause="Racks were added or run hotter than the plan that made the feeds redundant.",
        consequence="If the other feed fails, this one is overloaded and follows it: {racks_on_feed} go "
        "dark.",
        action=Action.NONE,
        first_step="Lower the power limits of its racks until one feed suffices, or add capacity.",
        board="gw-facility",
        hold="10m",
        note="2N: each feed alone must carry all of its racks. Absent while a PDU of one of them is silent.",
        cases=(
            Case("too much for one", _feeds(33000), ("utility-a", "utility-b"), at="15m"),
            Case("one suffices", _feeds(27000), at="15m"),
        ),
    ),
    Alert(
        name="SpareInUse",
        expr=recorded(recording.GROUP_LOAD) > 1,
        severity=Severity.WARNING,
        domain=Domain.POWER,
        scope=Scope.SITE,
        place="{group}",
        summary="The group {group} carries more than it can without its spare",
        description="Its load is {value:percent} of what it may carry if as many devices fail as the "
        "inventory allows for.",
        cause="More load than planned, or devices of the group that are out.",
        consequence="The loss of one more device overloads the others: they trip, or the temperature rises.",
        action=Action.NONE,
        first_step="Take load off, or bring back what is out; if the group has grown, correct the inventory.",
        board="gw-facility",
        hold="10m",
        owner=FACILITY,
        note="N+1 of UPS, power shelves, coolant units and chillers: `group` and `spare` of the inventory.",
        cases=(
            Case("needs the spare", _chillers(230000), ("chillers",), at="15m"),
            Case("spare is spare", _chillers(180000), at="15m"),
        ),
    ),
    Alert(
        name="RedundancyDegraded",
        expr=at_device(
            max_by(
                series(electrical.REDUNDANCY_STATE, state=matches("degraded|lost"), node=""), *DEVICE, "group"
            ).equals(1)
        ),
        severity=Severity.WARNING,
        domain=Domain.POWER,
        scope=Scope.SITE,
        place="{device}",
        summary="{device} reports that its {group} are no longer redundant",
        description="The device judges the redundancy of its {group} as degraded or lost.",
        cause="A part of the group has failed, was taken out, or has no power.",
        consequence="The next failure of such a part stops the device, and what hangs on it.",
        action=Action.SERVICE_REQUIRED,
        first_step="Read on the device which part it misses, and have it exchanged.",
        board="gw-facility",
        hold="2m",
        symptom_of=("feed", "loop-cooling"),
        cases=(
            Case(
                "a pump is gone",
                (given(electrical.REDUNDANCY_STATE, 1, device="cdu-1", group="pumps", state="degraded"),),
                ("cdu-1",),
                carries={"loop": "loop-1", "group": "pumps"},
            ),
            Case(
                "full",
                (
                    given(electrical.REDUNDANCY_STATE, 1, device="cdu-1", group="pumps", state="full"),
                    given(electrical.REDUNDANCY_STATE, 0, device="cdu-1", group="pumps", state="lost"),
                ),
            ),
        ),
    ),
    Alert(
        name="TransferSwitchOnSecondary",
        expr=at_device(both(_taken, _seldom, "site", "device", "source")),
        severity=Severity.WARNING,
        domain=Domain.POWER,
        scope=Scope.SITE,
        place="{device}",
        summary="Transfer switch {device} takes source {source}",
        description="Over the last day it mostly took another source.",
        cause="Its usual source failed or went out of tolerance, or somebody switched it over.",
        consequence="Behind it nothing is redundant until the usual source is back.",
        action=Action.NONE,
        first_step="Is the usual source back? Then it may have to be switched back by hand.",
        board="gw-facility",
        hold="2m",
        symptom_of=("other-feed",),
        note="Which source is the usual one is taken from the last day, so no setting is needed; after half "
        "a day on the other one the alert ends.",
        cases=(
            Case("switched over", _switch(turning(1, 20, 0), turning(0, 20, 1)), ("ats-1",), at="14m"),
            Case("as always", _switch(1, 0)),
        ),
    ),
)
