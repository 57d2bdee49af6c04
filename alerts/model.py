"""What an alert is. Everything else in this room is made from these."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum

from alerts import text
from alerts.cases import Case
from gigawatch.promql import Expr


class Severity(StrEnum):
    """How soon a person has to look. Severity is the consequence of doing nothing, not how odd it is."""

    CRITICAL = "critical"
    """Page now, day and night."""
    WARNING = "warning"
    """Ticket for the next working day."""
    INFO = "info"
    """Context for whoever looks already; nobody is called."""
    NONE = "none"
    """For machines: the dead man's switch."""


class Domain(StrEnum):
    """Who knows about it."""

    GPU = "gpu"
    NODE = "node"
    POWER = "power"
    COOLING = "cooling"
    TOKENS = "tokens"
    PIPELINE = "pipeline"


class Scope(StrEnum):
    """The kind of thing that is broken; the value of label `place` names it."""

    GPU = "gpu"
    NODE = "node"
    RACK = "rack"
    LOOP = "loop"
    FEED = "feed"
    SITE = "site"
    PROCESS = "process"


class Action(StrEnum):
    """The escalation ladder that the field's health checkers share, from nothing to a spare part."""

    NONE = "none"
    RESTART_APP = "restart_app"
    DRAIN = "drain"
    RESET_GPU = "reset_gpu"
    RESTART_OS = "restart_os"
    SERVICE_REQUIRED = "service_required"


_PLACE = {
    Scope.GPU: "{node}/gpu{gpu}",
    Scope.NODE: "{node}",
    Scope.RACK: "{rack}",
    Scope.LOOP: "{loop|device}",
    Scope.FEED: "{feed|device}",
    Scope.SITE: "{site}",
    Scope.PROCESS: "{job}",
}
_STAKES = {
    Scope.GPU: ("stake_of_gpu", "stake_of_node"),
    Scope.NODE: ("stake_of_replica", "stake_of_job", "stake_of_node"),
    Scope.RACK: ("stake_of_rack",),
    Scope.LOOP: ("stake_of_loop",),
    Scope.FEED: ("stake_of_feed",),
    Scope.SITE: ("stake_of_job",),
}
"""What the page of a broken thing says of money: the first whose labels the alert has."""
OWNERS = {
    Domain.GPU: "GPU operations",
    Domain.NODE: "GPU operations",
    Domain.POWER: "facility and IT on-call",
    Domain.COOLING: "facility and IT on-call",
    Domain.TOKENS: "AI platform",
    Domain.PIPELINE: "monitoring",
}
_DURATION = re.compile(r"^(\d+)(s|m|h|d)$")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
MIN_HOLD = 10
KEEP_LEAST = 30
"""Seconds below which no `hold` and no `keep` is shortened for a rehearsal."""


def seconds(duration: str) -> int:
    """`90s`, `5m`, `2h` in seconds. ValueError for anything else."""
    found = _DURATION.match(duration)
    if not found:
        raise ValueError(f"'{duration}' is no duration such as 90s, 5m or 2h")
    return int(found[1]) * _SECONDS[found[2]]


def paced(duration: str, pace: float, least: int = MIN_HOLD) -> str:
    """A duration shortened for a rehearsal stack: pace 1 leaves it alone, 0.2 takes a fifth, never below
    `least` seconds; zero stays zero."""
    given = seconds(duration)
    made = given if not given or pace == 1 else max(min(given, least), round(given * pace))
    for sign, size in (("h", 3600), ("m", 60)):
        if made and made % size == 0:
            return f"{made // size}{sign}"
    return f"{made}s"


@dataclass(frozen=True, slots=True)
class Alert:
    """One alert: the condition, how bad it is, where it is, and all that a tired reader needs to act on it.

    Texts are in the language of `alerts.text`. `place` names the broken thing and is derived from the scope
    if empty. `symptom_of` names the inhibitions (alerts.inhibitions) that mute it while their cause is known.
    """

    name: str
    expr: Expr
    severity: Severity
    domain: Domain
    scope: Scope
    summary: str
    description: str
    """What was measured against which limit."""
    cause: str
    """The likely cause, most frequent first."""
    consequence: str
    """What happens if nobody acts, and how much hangs on it."""
    action: Action
    first_step: str
    board: str
    """uid of the dashboard that shows it."""
    cases: tuple[Case, ...]
    hold: str = "1m"
    """How long the condition must last (`for`); 0s pages on the first evaluation."""
    keep: str = "0s"
    """How long the alert outlives its condition (`keep_firing_for`), against flapping."""
    place: str = ""
    steps: tuple[str, ...] = ()
    """Further steps for the runbook, after the first one."""
    note: str = ""
    """Background for the runbook: where the threshold comes from, when the alert may be wrong."""
    rehearse: tuple[str, ...] = ()
    """Faults of `gigawatch drill` that raise this alert."""
    symptom_of: tuple[str, ...] = ()
    owner: str = ""
    together: bool = False
    """For alerts about a GPU: the cause mostly lies outside of it, so that its siblings fire as well. They
    share one page per node instead of one per GPU."""

    def __post_init__(self) -> None:
        if not re.fullmatch(r"([A-Z][a-z0-9]+)+", self.name):
            raise ValueError(f"{self.name}: an alert's name is written LikeThis")
        for duration in (self.hold, self.keep):
            seconds(duration)
        always = self.severity is Severity.NONE
        if not any(case.fires for case in self.cases) or (
            all(case.fires for case in self.cases) and not always
        ):
            raise ValueError(f"{self.name}: needs a case that fires and one that stays silent")
        for used in text.fields(" ".join(self.texts())):
            if used not in self.labels:
                raise ValueError(
                    f"{self.name}: the text uses {{{used}}}, which the expression does not have; "
                    f"it has {', '.join(sorted(self.labels))}"
                )

    @property
    def labels(self) -> frozenset[str]:
        """Labels that come from the expression."""
        if self.expr.labels is None:
            return frozenset()
        return self.expr.labels

    @property
    def place_text(self) -> str:
        """Name of the broken thing, as a text."""
        usual = _PLACE[self.scope]
        return self.place or (usual if "device" in self.labels else usual.replace("|device", ""))

    @property
    def owned_by(self) -> str:
        """Who is called."""
        return self.owner or OWNERS[self.domain]

    @property
    def consequence_text(self) -> str:
        """The consequence, and what is at stake in dollars where a page says nothing of money yet."""
        if self.severity is not Severity.CRITICAL or "{cost_of" in self.consequence:
            return self.consequence
        for fact in _STAKES.get(self.scope, ()):
            if set(text.FACTS[fact].labels) <= self.labels:
                return f"{self.consequence}{{{fact}}}"
        return self.consequence

    def texts(self) -> tuple[str, ...]:
        """Every text of the alert that is evaluated when it fires."""
        return (
            self.place_text,
            self.summary,
            self.description,
            self.cause,
            self.consequence_text,
            self.first_step,
        )
