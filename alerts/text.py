"""The small template language of alert texts, and its translation for those who evaluate it.

A text is plain English with fields in braces: a label (`{node}`), a fallback (`{loop|device}`), the
value of the expression (`{value}`, `{value:.0f}`, `{value:percent}`, `{value:duration}`, `{value:si}`), or a
fact that is looked up when the alert fires (`{gpus_on_loop}`). Prometheus and Grafana spell these apart.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import StrEnum
from string import Formatter

from gigawatch.catalogue import findings, own, site, storage, training, workload
from gigawatch.promql import Recorded, recording


class Dialect(StrEnum):
    """Who evaluates the text."""

    PROMETHEUS = "prometheus"
    GRAFANA = "grafana"
    PAGE = "page"
    """A documentation page: labels become placeholders that a reader understands."""


@dataclass(frozen=True, slots=True)
class Fact:
    """A figure or list that is looked up when the alert fires: how much hangs on the broken thing."""

    query: str
    """PromQL with one %q per label."""
    labels: tuple[str, ...]
    lists: str
    """The label whose values are listed; empty for a plain figure."""
    placeholder: str
    money: bool = False
    """The figure is in dollars per hour."""
    sentence: str = ""
    """What the figure stands in (for %s); left out where there is none."""
    shown: str = 'printf "%.0f"'
    """How a plain figure is written."""
    missing: str = "0"
    """What stands there if there is no figure."""
    valued: bool = False
    """A list says the value of each as well."""

    def prometheus(self) -> str:
        """Template of a rule file. An answer without series shows as `none` or `0`."""
        arguments = " ".join(f"$labels.{label}" for label in self.labels)
        call = f"printf {_backquoted(self.query)} {arguments} | query"
        if self.lists:
            # The comma stands before every name but the first.
            item = f"{{{{ if $i }}}}, {{{{ end }}}}{{{{ $s.Labels.{self.lists} }}}}"
            if self.valued:
                bare = f'$s.Labels.{self.lists} | reReplaceAll "{_UNITS}" ""'
                name = f'{{{{ {bare} | reReplaceAll "_" " " }}}}'
                item = f"{{{{ if $i }}}}, {{{{ end }}}}{name} by {{{{ $s.Value | {self.shown} }}}}"
            missing = self.missing if self.valued else "none"
            return f"{{{{ range $i, $s := {call} }}}}{item}{{{{ else }}}}{missing}{{{{ end }}}}"
        if self.money:
            figure = '${{ . | first | value | printf "%.2f" }}'
            other = "" if self.sentence else "{{ else }}an unknown sum"
            return f"{{{{ with {call} }}}}{(self.sentence or '%s') % figure}{other}{{{{ end }}}}"
        figure = f"{{{{ . | first | value | {self.shown} }}}}"
        return f"{{{{ with {call} }}}}{figure}{{{{ else }}}}{self.missing}{{{{ end }}}}"


_UNITS = "_(kelvin_per_watt|celsius|watts|hertz|ratio|seconds|volts|amperes|bytes)$"
"""The unit at the end of a name, which a sentence does without."""


def _backquoted(text: str) -> str:
    return f"`{text}`"


def _jobs_cost(labels: tuple[str, ...], where: str, there: str = "") -> Fact:
    """What the jobs cost that hold GPUs somewhere: `there` is their allocations, if labels do not say it."""
    held = there or f"{workload.GPU_ALLOCATION_INFO.name}{{{','.join(f'{label}=%q' for label in labels)}}}"
    query = f"sum({recording.JOB_COST.name} and on (site, job_id) {held}) > 0"
    return Fact(query, labels, "", "", money=True, sentence=f" The jobs {where} cost %s per hour.")


def _figure(
    rule: Recorded, labels: tuple[str, ...], placeholder: str, missing: str = "an unknown number of"
) -> Fact:
    """The value of a recorded series."""
    query = f"{rule.name}{{{','.join(f'{label}=%q' for label in labels)}}}"
    return Fact(query, labels, "", placeholder, missing=missing)


def _duration(query: str, labels: tuple[str, ...], placeholder: str, missing: str) -> Fact:
    return Fact(query, labels, "", placeholder, shown="humanizeDuration", missing=missing)


_LOOP = ("site", "loop")
_FEED = ("site", "feed")
_GPU_AT = recording.GPU_POWER.name
_THROTTLE = recording.LOOP_THROTTLE.name
_NO_TREND = "a time that no trend tells yet"
FACTS = {
    "gpus_on_loop": Fact(
        f"count({_GPU_AT}{{site=%q,loop=%q}})", ("site", "loop"), "", "the GPUs on the loop"
    ),
    "gpus_in_rack": Fact(
        f"count({_GPU_AT}{{site=%q,rack=%q}})", ("site", "rack"), "", "the GPUs in the rack"
    ),
    "stake_of_gpu": _jobs_cost(("site", "node", "gpu"), "on it"),
    "stake_of_node": _jobs_cost(("site", "node"), "on the node"),
    "stake_of_rack": _jobs_cost(("site", "rack"), "in the rack"),
    "stake_of_loop": _jobs_cost(
        ("site", "loop"),
        "on the loop",
        f"({workload.GPU_ALLOCATION_INFO.name} and on (site, node) "
        f"{recording.NODE_PLACE.name}{{site=%q,loop=%q}})",
    ),
    "stake_of_feed": _jobs_cost(
        ("site", "feed"),
        "in its racks",
        f"({workload.GPU_ALLOCATION_INFO.name} and on (site, rack) "
        f'{site.DEVICE_INFO.name}{{role="rack_pdu",site=%q,feed=%q}})',
    ),
    "stake_of_replica": Fact(
        f"{recording.REPLICA_COST.name}{{site=%q,engine=%q,model=%q,replica=%q}}",
        ("site", "engine", "model", "replica"),
        "",
        "",
        money=True,
        sentence=" Its GPUs cost %s per hour.",
    ),
    "stake_of_job": Fact(
        f"{recording.JOB_COST.name}{{site=%q,job_id=%q}}",
        ("site", "job_id"),
        "",
        "",
        money=True,
        sentence=" The job costs %s per hour.",
    ),
    "cost_of_gpu": Fact(
        f"{recording.SITE_USD_PER_GPU_HOUR.name}{{site=%q}}", ("site",), "", "its cost", money=True
    ),
    "cost_of_job": Fact(
        f"{recording.JOB_COST.name}{{site=%q,job_id=%q}}", ("site", "job_id"), "", "its cost", money=True
    ),
    "ranks_behind": Fact(
        f"group by (rank) ({training.TRAINING_RANK_STEP.name}{{site=%q,job_id=%q}} "
        f"< scalar(max({training.TRAINING_RANK_STEP.name}{{site=%q,job_id=%q}})))",
        ("site", "job_id", "site", "job_id"),
        "rank",
        "the ranks that are behind",
    ),
    "racks_on_feed": Fact(
        f'group by (rack) ({site.DEVICE_INFO.name}{{role="rack_pdu",site=%q,feed=%q}})',
        ("site", "feed"),
        "rack",
        "the racks on the feed",
    ),
    "overloaded_racks_on_feed": Fact(
        f"group by (rack) (({recording.RACK_FAILOVER.name}{{site=%q}} > 1) and on (site, rack) "
        f'{site.DEVICE_INFO.name}{{role="rack_pdu",site=%q,feed=%q}})',
        ("site", "site", "feed"),
        "rack",
        "the racks that one side alone cannot carry",
    ),
    "battery_of_feed": _duration(
        f"{recording.FEED_BATTERY.name}{{site=%q,feed=%q}}",
        _FEED,
        "the time its batteries last",
        "an unknown time",
    ),
    "cooling_on_feed": Fact(
        f'group by (device) ({site.DEVICE_INFO.name}{{role=~"cdu|chiller|crah",site=%q,feed=%q}})',
        _FEED,
        "device",
        "the cooling on the feed",
    ),
    "loops_on_feed": Fact(
        f"group by (loop) ({recording.LOOP_PLACE.name}{{site=%q,feed=%q}})",
        _FEED,
        "loop",
        "the loops that hang on it alone",
    ),
    "throttle_on_feed": _duration(
        f"min({_THROTTLE} and on (site, loop) {recording.LOOP_PLACE.name}{{site=%q,feed=%q}})",
        _FEED,
        "the time to throttle",
        _NO_TREND,
    ),
    "throttle_on_loop": _duration(
        f"{_THROTTLE}{{site=%q,loop=%q}}", _LOOP, "the time to throttle", _NO_TREND
    ),
    "margin_on_loop": _figure(recording.LOOP_MARGIN, _LOOP, "the least margin", "an unknown number of"),
    "pumps_running_on_loop": _figure(recording.LOOP_PUMPS_RUNNING, _LOOP, "the pumps that turn"),
    "pumps_on_loop": _figure(recording.LOOP_PUMPS, _LOOP, "all"),
    "units_running_on_loop": _figure(recording.LOOP_UNITS_RUNNING, _LOOP, "the units that run"),
    "units_on_loop": _figure(recording.LOOP_UNITS, _LOOP, "all"),
    "zone_location": Fact(
        f"group by (location) ({site.LEAK_ZONE_INFO.name}{{site=%q,device=%q,zone=%q}})",
        ("site", "device", "zone"),
        "location",
        "where it lies",
    ),
    "zone_endangers": Fact(
        f'group by (endangers) ({site.LEAK_ZONE_INFO.name}{{site=%q,device=%q,zone=%q,endangers!=""}})',
        ("site", "device", "zone"),
        "endangers",
        "what stands below or beside it",
    ),
    "jobs_in_hall": Fact(
        f"group by (job_id) ({workload.GPU_ALLOCATION_INFO.name} and on (site, node) "
        f"{recording.NODE_PLACE.name}{{site=%q,hall=%q}})",
        ("site", "hall"),
        "job_id",
        "the jobs in the hall",
    ),
    "jobs_on_node": Fact(
        f"group by (job_id) ({workload.GPU_ALLOCATION_INFO.name}{{site=%q,node=%q}})",
        ("site", "node"),
        "job_id",
        "the jobs on the node",
    ),
    "gpu_pages_on_node": Fact(
        'group by (alertname) (ALERTS{alertstate="firing",severity="critical",scope="gpu",site=%q,node=%q})',
        ("site", "node"),
        "alertname",
        "the alerts of its GPUs",
    ),
    "gpus_paged_on_node": Fact(
        'group by (gpu) (ALERTS{alertstate="firing",severity="critical",scope="gpu",site=%q,node=%q})',
        ("site", "node"),
        "gpu",
        "the GPUs",
    ),
    "jobs_in_rack": Fact(
        f"group by (job_id) ({workload.GPU_ALLOCATION_INFO.name}{{site=%q,rack=%q}})",
        ("site", "rack"),
        "job_id",
        "the jobs in the rack",
    ),
    "jobs_on_loop": Fact(
        f"group by (job_id) ({workload.GPU_ALLOCATION_INFO.name} and on (site, node) "
        f"{recording.NODE_PLACE.name}{{site=%q,loop=%q}})",
        ("site", "loop"),
        "job_id",
        "the jobs on the loop",
    ),
    "nodes_stalled": Fact(
        f"group by (node) ({storage.MOUNT_RESPONSIVE.name}{{site=%q,mountpoint=%q}} == 0)",
        ("site", "mountpoint"),
        "node",
        "the nodes that wait",
    ),
    "gpus_in_incident": Fact(
        f"max({findings.INCIDENT_AFFECTED_GPUS.name}{{incident=%q}})",
        ("incident",),
        "",
        "the GPUs it touches",
    ),
    "incident_age": _duration(
        f"time() - max({findings.INCIDENT_ONSET.name}{{incident=%q}})",
        ("incident",),
        "the time since it began",
        "an unknown time",
    ),
    "incident_deviation": Fact(
        f"max by (signal) ({findings.INCIDENT_DEVIATION.name}{{incident=%q}})",
        ("incident",),
        "signal",
        "the signal and how far it is",
        shown="humanizePercentage",
        missing="no figure that has a past",
        valued=True,
    ),
    "incident_confidence": Fact(
        f"max({findings.INCIDENT_CONFIDENCE.name}{{incident=%q}})",
        ("incident",),
        "",
        "how sure it is",
        shown="humanizePercentage",
        missing="nobody knows how",
    ),
    "incident_eta": _duration(
        f'min({findings.INCIDENT_ETA.name}{{incident=%q,bound="expected"}})',
        ("incident",),
        "the time that is left",
        _NO_TREND,
    ),
    "incident_eta_early": _duration(
        f'min({findings.INCIDENT_ETA.name}{{incident=%q,bound="early"}})',
        ("incident",),
        "the time that is surely left",
        _NO_TREND,
    ),
    "processes_down": Fact(
        f"group by (process) ({own.PROCESS_UP.name} == 0)", (), "process", "the parts that are down"
    ),
}

_VALUES = {
    "percent": ("humanizePercentage", "the ratio"),
    "duration": ("humanizeDuration", "the time"),
    "si": ("humanize", "the value"),
}


def fields(text: str) -> tuple[str, ...]:
    """The labels that a text uses, in order."""
    found: list[str] = []
    for name, _ in _fields(text):
        if name in FACTS:
            found += FACTS[name].labels
        elif name != "value":
            found += name.split("|")
    return tuple(dict.fromkeys(found))


def _fields(text: str) -> Iterable[tuple[str, str]]:
    for _, name, form, _ in Formatter().parse(text):
        if name is not None:
            yield name, form or ""


def render(text: str, dialect: Dialect) -> str:
    """The text as `dialect` evaluates it."""
    field = _FIELD[dialect]
    parts = []
    for literal, name, form, _ in Formatter().parse(text):
        parts.append(literal)
        if name is not None:
            parts.append(field(name, form or ""))
    return "".join(parts)


def _template_field(name: str, form: str, value: str, fact: Callable[[Fact], str]) -> str:
    if name in FACTS:
        return fact(FACTS[name])
    if name == "value":
        shown = _VALUES[form][0] if form in _VALUES else f'printf "%{form or ".1f"}"'
        return f"{{{{ {value} | {shown} }}}}"
    first, _, second = name.partition("|")
    if second:
        both = f"{{{{ $labels.{first} }}}}{{{{ else }}}}{{{{ $labels.{second} }}}}"
        return f"{{{{ if $labels.{first} }}}}{both}{{{{ end }}}}"
    return f"{{{{ $labels.{name} }}}}"


def _prometheus(name: str, form: str) -> str:
    return _template_field(name, form, "$value", Fact.prometheus)


def _grafana(name: str, form: str) -> str:
    # Grafana has no `query` in templates: the figure is on the linked board.
    return _template_field(name, form, "$values.A.Value", lambda fact: fact.placeholder)


def _page(name: str, form: str) -> str:
    if name in FACTS:
        shown = FACTS[name].placeholder
        return f"*{shown}*" if shown else ""
    if name == "value":
        return f"*{_VALUES[form][1] if form in _VALUES else 'value'}*"
    return f"*{name.partition('|')[0]}*"


_FIELD = {Dialect.PROMETHEUS: _prometheus, Dialect.GRAFANA: _grafana, Dialect.PAGE: _page}

_STEPS = ("hall", "row", "rack", "loop", "feed", "device", "node")


def place_line(labels: frozenset[str]) -> str:
    """Template of the annotation `place`: from the site down to the thing, as far as the labels reach."""
    parts = ["{{ $labels.site }}" if "site" in labels else "{{ with $labels.site }}{{ . }}{{ end }}"]
    parts += [
        f"{{{{ with $labels.{step} }}}} › {{{{ . }}}}{{{{ end }}}}" for step in _STEPS if step in labels
    ]
    if "gpu" in labels:
        parts.append("{{ with $labels.gpu }} › GPU {{ . }}{{ end }}")
    return "".join(parts)
