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
from gigawatch.promql import recording


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

    def prometheus(self) -> str:
        """Template of a rule file. An answer without series shows as `none` or `0`."""
        arguments = " ".join(f"$labels.{label}" for label in self.labels)
        call = f"printf {_backquoted(self.query)} {arguments} | query"
        if self.lists:
            # The comma stands before every name but the first.
            item = f"{{{{ if $i }}}}, {{{{ end }}}}{{{{ $s.Labels.{self.lists} }}}}"
            return f"{{{{ range $i, $s := {call} }}}}{item}{{{{ else }}}}none{{{{ end }}}}"
        if self.money:
            figure = '${{ . | first | value | printf "%.2f" }}'
            other = "" if self.sentence else "{{ else }}an unknown sum"
            return f"{{{{ with {call} }}}}{(self.sentence or '%s') % figure}{other}{{{{ end }}}}"
        return f'{{{{ with {call} }}}}{{{{ . | first | value | printf "%.0f" }}}}{{{{ else }}}}0{{{{ end }}}}'


def _backquoted(text: str) -> str:
    return f"`{text}`"


def _jobs_cost(labels: tuple[str, ...], where: str, there: str = "") -> Fact:
    """What the jobs cost that hold GPUs somewhere: `there` is their allocations, if labels do not say it."""
    held = there or f"{workload.GPU_ALLOCATION_INFO.name}{{{','.join(f'{label}=%q' for label in labels)}}}"
    query = f"sum({recording.JOB_COST.name} and on (site, job_id) {held}) > 0"
    return Fact(query, labels, "", "", money=True, sentence=f" The jobs {where} cost %s per hour.")


_GPU_AT = recording.GPU_POWER.name
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
