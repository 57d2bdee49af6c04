"""The file that Grafana provisions, against the fields that its provisioning reads (it drops the others in
silence, and refuses the file for those that are missing)."""

from __future__ import annotations

import re
from typing import Any

import promql_parser
import pytest
import yaml

from alerts import grafana
from alerts.model import Severity, paced, seconds
from alerts.rules import all_alerts, by_group
from gigawatch.artifacts import BuildOptions

NO_DATA = {"OK", "NoData", "Alerting", "KeepLast"}
ERROR = {"OK", "Error", "Alerting", "KeepLast"}
GROUP = {"orgId": int, "name": str, "folder": str, "interval": str, "rules": list}
REQUIRED: dict[str, type] = {"uid": str, "title": str, "condition": str, "data": list}
OPTIONAL: dict[str, type] = {
    "dashboardUid": str, "panelId": int, "noDataState": str, "execErrState": str, "for": str,
    "keepFiringFor": str, "missing_series_evals_to_resolve": int, "annotations": dict, "labels": dict,
    "isPaused": bool, "notification_settings": dict, "record": dict,
}  # fmt: skip
QUERY = {"refId": str, "relativeTimeRange": dict, "datasourceUid": str, "model": dict}
SHAPES = (GROUP, REQUIRED | OPTIONAL, QUERY)
BASE_INTERVAL = 10


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    text = grafana.provisioning(BuildOptions(viewer_url="http://v:1", runbook_url="http://v:1/r"))
    found: dict[str, Any] = yaml.load(text, yaml.CSafeLoader)
    return found


@pytest.fixture(scope="module")
def rules(document: dict[str, Any]) -> list[dict[str, Any]]:
    return [rule for group in document["groups"] for rule in group["rules"]]


def complaints(found: dict[str, Any], shape: dict[str, type], required: set[str]) -> list[str]:
    """What Grafana would refuse or drop."""
    told = [f"lacks {name}" for name in required - found.keys()]
    told += [f"unknown field {name}" for name in found.keys() - shape.keys()]
    for name in found.keys() & shape.keys():
        value, wanted = found[name], shape[name]
        if not isinstance(value, wanted) or (wanted is int and isinstance(value, bool)):
            told.append(f"{name} is {value!r}")
        elif name in required and value in ("", [], {}):
            told.append(f"{name} is empty")
    return told


def test_every_level_has_the_fields_that_grafana_reads_and_no_others(document: dict[str, Any]) -> None:
    assert document.keys() == {"apiVersion", "groups"}
    assert document["apiVersion"] == 1
    for group in document["groups"]:
        assert complaints(group, GROUP, set(GROUP)) == [], group["name"]
        assert group["orgId"] >= 1
        assert seconds(group["interval"]) % BASE_INTERVAL == 0
        for rule in group["rules"]:
            assert complaints(rule, REQUIRED | OPTIONAL, set(REQUIRED)) == [], rule.get("title")
            assert ("dashboardUid" in rule) == ("panelId" in rule), rule["title"]
            for query in rule["data"]:
                assert complaints(query, QUERY, set(QUERY)) == [], (rule["title"], query)


def test_the_field_check_finds_what_it_is_for(rules: list[dict[str, Any]]) -> None:
    nested = {"grafana_alert": {"title": "x"}, **{k: v for k, v in rules[0].items() if k != "title"}}
    told = complaints(nested, REQUIRED | OPTIONAL, set(REQUIRED))
    assert sorted(told) == ["lacks title", "unknown field grafana_alert"]
    query = {**rules[0]["data"][0], "datasourceUid": {"type": "prometheus", "uid": "p"}}
    assert complaints(query, QUERY, set(QUERY)) == ["datasourceUid is {'type': 'prometheus', 'uid': 'p'}"]


def test_groups_and_titles_are_those_of_the_alerts(document: dict[str, Any]) -> None:
    found = {group["name"]: [rule["title"] for rule in group["rules"]] for group in document["groups"]}
    assert found == {
        f"gigawatch-{name}": [alert.name for alert in alerts if alert.severity is not Severity.NONE]
        for name, alerts in by_group().items()
    }


def test_uids_are_short_legal_unique_and_stay(rules: list[dict[str, Any]]) -> None:
    uids = [rule["uid"] for rule in rules]
    assert len(set(uids)) == len(uids)
    assert all(re.fullmatch(r"[A-Za-z0-9_-]{1,40}", uid) for uid in uids)
    # Grafana knows a rule by its uid: another text with the same name must update it, not add a second one.
    again = yaml.load(
        grafana.provisioning(BuildOptions(pace=0.2, viewer_url="http://other:1")), yaml.CSafeLoader
    )
    assert [rule["uid"] for group in again["groups"] for rule in group["rules"]] == uids


def test_data_sources_are_uids_and_the_condition_refers_to_a_query(rules: list[dict[str, Any]]) -> None:
    for rule in rules:
        refs = [query["refId"] for query in rule["data"]]
        assert len(set(refs)) == len(refs)
        assert rule["condition"] in refs, rule["title"]
        for query in rule["data"]:
            model, source = query["model"], query["datasourceUid"]
            assert model["refId"] == query["refId"]
            assert re.fullmatch(r"-100|[A-Za-z0-9_-]{1,40}", source), source
            assert set(query["relativeTimeRange"]) == {"from", "to"}
            assert query["relativeTimeRange"]["from"] > query["relativeTimeRange"]["to"] >= 0
            if source == "-100":
                used = set(re.findall(r"\$(?:\{)?([A-Z]+)", model["expression"]))
                assert used <= set(refs) - {query["refId"]}
                assert used, rule["title"]
            else:
                assert model["instant"] is True
                assert model["range"] is False
                promql_parser.parse(model["expr"])


def test_states_and_durations(rules: list[dict[str, Any]]) -> None:
    by_name = {alert.name: alert for alert in all_alerts()}
    for rule in rules:
        alert = by_name[rule["title"]]
        assert rule["noDataState"] in NO_DATA - {"Alerting"}, "no series must page nobody"
        assert rule["execErrState"] in ERROR - {"Alerting"}
        assert seconds(rule["for"]) == seconds(paced(alert.hold, 1.0))
        assert seconds(rule.get("keepFiringFor", "0s")) == seconds(alert.keep)
        assert rule["data"][0]["model"]["expr"] == alert.expr.text


def expanded(text: str, variables: str) -> str:
    """Grafana's reading of a provisioned text: $$ is a dollar, a variable is what the environment says."""
    return re.sub(r"\$\$|" + variables, lambda found: "$" if found[0] == "$$" else "", text)


def test_dollars_survive_grafanas_expansion(rules: list[dict[str, Any]]) -> None:
    templates = 0
    for rule in rules:
        for name, text in rule["labels"].items():
            assert isinstance(text, str), (rule["title"], name)
            shown = expanded(text, r"\$\{?\w+\}?")
            assert shown == text.replace("$$", "$"), (rule["title"], name, text)
            assert shown.count("{{") == shown.count("}}")
            assert all("$" in field for field in re.findall(r"{{(?! *(?:end|else)).*?}}", shown)), shown
            templates += "{{" in shown
        for name, text in rule["annotations"].items():
            assert isinstance(text, str)
            assert text, (rule["title"], name)
            assert expanded(text, r"\$\{\w+\}") == text, (rule["title"], name, text)
            assert "$$" not in text
            # Grafana's templates know no PromQL, and no value but those of its queries.
            assert "query" not in re.sub(r"urlquery", "", " ".join(re.findall(r"{{.*?}}", text)))
            assert set(re.findall(r"\$values\.(\w+)", text)) <= {"A", "B"}
            assert "$value " not in text
    assert templates > 50
