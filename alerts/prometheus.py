"""Rule files for Prometheus 2.42 and later, and the unit tests that promtool runs on them."""

from __future__ import annotations

import textwrap

from alerts import common
from alerts.cases import Case, Given, world
from alerts.model import KEEP_LEAST, Alert, paced
from alerts.rules import by_group
from alerts.text import Dialect
from alerts.yamltext import HEADER, dump
from gigawatch.artifacts import BuildOptions
from gigawatch.promql import Recorded, recording
from gigawatch.promql.recording.order import SLOW


def rule(alert: Alert, options: BuildOptions) -> dict[str, object]:
    """One alert as Prometheus reads it."""
    made: dict[str, object] = {"alert": alert.name, "expr": alert.expr.text}
    hold = paced(alert.hold, options.pace)
    if hold != "0s":
        made["for"] = hold
    keep = paced(alert.keep, options.pace, KEEP_LEAST)
    if keep != "0s":
        made["keep_firing_for"] = keep
    made["labels"] = common.fixed_labels(alert, Dialect.PROMETHEUS)
    made["annotations"] = common.page_texts(alert, options, Dialect.PROMETHEUS)
    return made


def alert_rules(options: BuildOptions) -> str:
    """The file of all alerts, one group per domain."""
    groups = [
        {"name": f"gigawatch-alerts-{name}", "rules": [rule(alert, options) for alert in alerts]}
        for name, alerts in by_group().items()
    ]
    return dump({"groups": groups}, "alerts/rules")


def recording_rules() -> str:
    """The file of all recording rules; what each one means stands above it."""
    lines = [HEADER.format(source="gigawatch/promql/recording/") + "groups:"]
    for name, rules in recording.groups().items():
        lines.append(f"- name: {name}")
        if name.endswith(SLOW):
            lines.append("  interval: 1m")
        lines.append("  rules:")
        for recorded in rules:
            lines.append(f"  # {recorded.help}")
            one = dump([{"record": recorded.name, "expr": recorded.expr.text}])
            lines.append(textwrap.indent(one, "  ").rstrip())
    return "\n".join(lines) + "\n"


def rules_under_test(name: str) -> str:
    """The alerts of one group with the recording rules that they need: promtool evaluates every rule it is
    given at every step, so that the whole set would take minutes."""
    alerts = by_group()[name]
    needed = _needed(" ".join(alert.expr.text for alert in alerts))
    groups: list[dict[str, object]] = [
        {"name": group, "rules": [{"record": r.name, "expr": r.expr.text} for r in rules if r in needed]}
        for group, rules in recording.groups().items()
        if needed & set(rules)
    ]
    options = BuildOptions()
    groups.append({"name": f"gigawatch-alerts-{name}", "rules": [rule(alert, options) for alert in alerts]})
    return dump({"groups": groups}, "alerts/rules")


def _needed(text: str) -> set[Recorded]:
    """Recording rules that a text names, and those that they name."""
    found: set[Recorded] = set()
    texts = [text]
    while texts:
        read = texts.pop()
        for one in recording.all_rules():
            if one not in found and one.name in read:
                found.add(one)
                texts.append(one.expr.text)
    return found


def unit_tests(name: str) -> str:
    """promtool's unit tests of the alerts of one group."""
    tests = [_test(alert, case) for alert in by_group()[name] for case in alert.cases]
    head = {"rule_files": [f"rules/{name}.yml"], "evaluation_interval": "1m"}
    return dump({**head, "tests": tests}, "the cases in alerts/rules")


def _test(alert: Alert, case: Case) -> dict[str, object]:
    shown = ("site", "severity", "place", *sorted(case.carries))
    by = ", ".join(label for label in shown if label != "site" or _has_site(alert))
    expected = []
    for place in case.fires:
        labels = {"severity": str(alert.severity), "place": place, **case.carries}
        if _has_site(alert):
            labels["site"] = "s1"
        text = ",".join(f'{label}="{value}"' for label, value in sorted(labels.items()))
        expected.append({"labels": f"{{{text}}}", "value": 1})
    return {
        "name": f"{alert.name}: {case.name}",
        "interval": case.step,
        "input_series": [{"series": one.series, "values": one.values} for one in _unique(case)],
        "promql_expr_test": [
            {
                "expr": f'count by ({by}) (ALERTS{{alertname="{alert.name}",alertstate="firing"}})',
                "eval_time": case.at,
                "exp_samples": expected,
            }
        ],
    }


def _unique(case: Case) -> list[Given]:
    """The world and what the case gives; a case that gives a series of the world overrides it."""
    found = {one.series: one for one in (*world(), *case.given)}
    return list(found.values())


def _has_site(alert: Alert) -> bool:
    return "site" in alert.labels
