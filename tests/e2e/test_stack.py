"""The stack as its users meet it: healthy after `up`, every panel with data, every declared metric there."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import time
from pathlib import Path
from typing import Any

import pytest
from live_stack import Stack, until

from gigawatch.catalogue import Metric, Origin, Presence, Target, all_metrics
from gigawatch.promql.recording import all_rules
from gigawatch.promql.recording.contradiction import ACTIVE_TO_APPARENT, PRODUCT_TO_APPARENT
from gigawatch.promql.recording.contradictions import SITE_CONTRADICTIONS
from gigawatch.promql.recording.cooling import HALL_SHI, LOOP_REDUNDANCY, LOOP_THROTTLE, LOOP_WITHOUT_LARGEST
from gigawatch.promql.recording.energy import (
    SITE_CUE,
    SITE_ERF,
    SITE_FACILITY_ENERGY_1H,
    SITE_IT_ENERGY_1H,
    SITE_PPUE,
    SITE_PUE_1H,
    SITE_WUE,
)
from gigawatch.promql.recording.replica import GPU_HEAD
from gigawatch.promql.recording.still import READING_STILL

pytestmark = pytest.mark.e2e


def test_everything_is_healthy_and_small(starter: Stack) -> None:
    status = until(lambda: (s := starter.status())["state"] == "healthy" and s, 60, "a healthy stack")
    assert status["memory_bytes"] < 1.5 * 2**30, f"{status['memory_bytes'] / 2**20:.0f} MiB"
    assert status["targets"]["down"] == []
    assert all(part["restarts"] == 0 for part in status["parts"]), status["parts"]


def _declared() -> list[Metric]:
    return [m for m in all_metrics() if m.presence is Presence.ALWAYS]


def test_declared_is_emitted_and_emitted_is_declared(starter: Stack) -> None:
    declared = {name for metric in all_metrics() for name in metric.sample_names}
    # Scores come last: a detector says nothing before it has seen what is ordinary.
    until(lambda: starter.query("aif_anomaly_score"), 240, "the first scores of analytics")
    expected = {name for metric in _declared() for name in metric.sample_names}
    until(
        lambda: expected <= _emitted(starter),
        60,
        "all that is declared",
        lambda: sorted(expected - _emitted(starter)),
    )
    assert sorted(_emitted(starter) - declared) == [], "emitted, but not declared"


def _emitted(stack: Stack) -> set[str]:
    names = stack.get("prometheus", "/api/v1/label/__name__/values")["data"]
    return {name for name in names if name.startswith("aif_")}


def test_series_carry_the_declared_labels(starter: Stack) -> None:
    wrong = []
    for metric in all_metrics():
        if metric.origin is Origin.EVERY:
            continue  # it carries the labels of whatever target it is scraped from
        name = metric.sample_names[0]
        for row in starter.query(f"group by (job) ({name})"):
            job = row["metric"]["job"]
            sample = starter.query(f'topk(1, {name}{{job="{job}"}})')[0]["metric"]
            extra = sample.keys() - metric.queried_labels - {"__name__", "site"}
            missing = {
                label for label in metric.labels if label not in sample and _may_not_be_empty(metric, label)
            }
            if extra or missing:
                wrong.append((metric.name, job, sorted(extra), sorted(missing)))
    assert wrong == []


def _may_not_be_empty(metric: Metric, label: str) -> bool:
    # A finding may be about a loop or a node: then its GPU labels are empty, and Prometheus drops them.
    return label in metric.values or (metric.target is Target.NODE and label in ("gpu", "uuid"))


def test_recording_rules_have_values(starter: Stack) -> None:
    names = {rule.name for rule in all_rules() if rule not in WITHOUT_VALUE}
    until(
        lambda: not (names - _recorded(starter)),
        120,
        "values of all recording rules",
        lambda: names - _recorded(starter),
    )


WITHOUT_VALUE = {
    # The plant's engines name their GPUs outright: nothing there has to be found by job, pod or port.
    GPU_HEAD,
    # One coolant unit has no spare; nothing nears its throttle point; air handlers tell no supply air.
    LOOP_WITHOUT_LARGEST, LOOP_REDUNDANCY, LOOP_THROTTLE, HALL_SHI,
    # They look back over an hour, and the plant uses no water, gives no heat away, knows no grid.
    SITE_FACILITY_ENERGY_1H, SITE_IT_ENERGY_1H, SITE_PUE_1H, SITE_PPUE, SITE_CUE, SITE_WUE, SITE_ERF,
    # Its rack PDUs tell apparent power as a whole, and nothing contradicts itself or stands still.
    PRODUCT_TO_APPARENT, ACTIVE_TO_APPARENT, READING_STILL, SITE_CONTRADICTIONS,
    *(rule for rule in all_rules() if rule.name.startswith("data:aif_contradiction:")),
}  # fmt: skip


def _recorded(stack: Stack) -> set[str]:
    names = "|".join(sorted({rule.name for rule in all_rules()}))
    found = stack.query(f'group by (__name__) ({{__name__=~"{names}"}})')
    return {row["metric"]["__name__"] for row in found}


def _variables(dashboard: dict[str, Any], stack: Stack) -> dict[str, str]:
    """A value for each variable, as the board has it when it is opened."""
    chosen: dict[str, str] = {}
    for variable in dashboard["templating"]["list"]:
        if variable["type"] != "query":
            continue
        query = variable["query"] if isinstance(variable["query"], str) else variable["query"]["query"]
        match = re.fullmatch(r"label_values\((?:(.+),\s*)?(\w+)\)", query)
        assert match, query
        selector = _fill(match[1], chosen)
        found = sorted(
            {row["metric"].get(match[2], "") for row in stack.query(f"group by ({match[2]}) ({selector})")}
            - {""}
        )
        assert found, f"{dashboard['uid']}: ${variable['name']} has no value ({selector})"
        everything = variable.get("includeAll") and variable["current"].get("value") == ["$__all"]
        chosen[variable["name"]] = variable.get("allValue") or ".+" if everything else found[0]
    return chosen


def _fill(text: str, variables: dict[str, str]) -> str:
    fixed = {"__rate_interval": "1m", "__interval": "15s", "__range": "15m", **variables}
    for name in sorted(fixed, key=len, reverse=True):
        text = (
            text.replace(f"${{{name}:regex}}", fixed[name])
            .replace(f"${{{name}}}", fixed[name])
            .replace(f"${name}", fixed[name])
        )
    return text


def _panels(dashboard: dict[str, Any]) -> list[dict[str, Any]]:
    found = []
    for panel in dashboard["panels"]:
        found += [panel, *panel.get("panels", [])]
    return [p for p in found if p.get("targets")]


def test_every_panel_has_data(starter: Stack, checkout: Path) -> None:
    from dashboards.boards.empty import EMPTY_OK

    until(lambda: starter.query("aif_anomaly_score"), 240, "the first scores of analytics")
    until(lambda: starter.query("aif_thermal_resistance_kelvin_per_watt"), 240, "thermal resistances")
    time.sleep(15)  # three more scrapes, so that rates of what came last exist
    empty = []
    queries = 0
    for file in sorted((checkout / "dashboards" / "generated").glob("*.json")):
        dashboard = json.loads(file.read_text())
        variables = _variables(dashboard, starter)
        for panel in _panels(dashboard):
            for target in panel["targets"]:
                queries += 1
                expression = _fill(target["expr"], variables)
                if not starter.query(expression) and (dashboard["uid"], panel["title"]) not in EMPTY_OK:
                    empty.append(f"{dashboard['uid']} / {panel['title']}: {expression}")
    print(f"{queries} queries")
    assert queries > 100
    assert empty == []


PARTS = [
    "plant", "broker", "plant-devices", "agent", "facility", "sd", "analytics", "viewer", "pager",
    "alertmanager", "prometheus",
]  # fmt: skip


def test_killed_parts_come_back(starter: Stack) -> None:
    """One after the other, while those before are still coming back."""
    before = {p["name"]: p for p in starter.status()["parts"]}
    for part in PARTS:
        os.kill(before[part]["pid"], signal.SIGKILL)
        until(lambda part=part: _alive_again(starter, before[part]), 30, f"{part} starts again")
    until(lambda: starter.status()["state"] == "healthy", 90, "the stack heals", starter.status)
    wanted = set(PARTS) - {"prometheus"}
    until(lambda: wanted <= _restarted(starter), 60, "an alert for each", lambda: _restarted(starter))


def _alive_again(stack: Stack, before: dict[str, Any]) -> bool:
    record = json.loads((stack.state / "run" / f"{before['name']}.json").read_text())
    return record["pid"] not in (0, before["pid"])


def _restarted(stack: Stack) -> set[str]:
    """Parts of whose restart an alert tells."""
    fires = 'ALERTS{alertname="ProcessRestarted",alertstate="firing"}'
    return {row["metric"]["process"] for row in stack.query(fires)}


def _part(stack: Stack, name: str) -> dict[str, Any]:
    return {p["name"]: p for p in stack.status()["parts"]}[name]


@pytest.mark.parametrize("part", ["agent", "analytics"])
def test_a_frozen_part_is_an_alert_and_heals(starter: Stack, part: str) -> None:
    pid = _part(starter, part)["pid"]
    os.kill(pid, signal.SIGSTOP)
    try:
        until(lambda: starter.alerts() & {"ProcessDown", "TargetDown"}, 45, f"an alert that {part} is frozen")
    finally:
        os.kill(pid, signal.SIGCONT)
    until(lambda: starter.status()["state"] == "healthy", 60, f"the stack heals after {part} goes on")
    assert _part(starter, part)["pid"] == pid


def test_a_silent_pipeline_pages(starter: Stack) -> None:
    def silences() -> list[dict[str, Any]]:
        return [p for p in starter.pages() if p["labels"].get("alertname") == "MonitoringSilent"]

    # An earlier test may have left one: what was killed there was silent as well.
    until(lambda: all(p["status"] == "resolved" for p in silences()), 90, "silence before has ended")
    before = len(silences())
    pid = _part(starter, "prometheus")["pid"]
    os.kill(pid, signal.SIGSTOP)
    try:
        until(lambda: len(silences()) > before, 110, "a page", starter.pages)
    finally:
        with contextlib.suppress(
            ProcessLookupError
        ):  # the supervisor may have ended what was silent for long
            os.kill(pid, signal.SIGCONT)
    until(lambda: silences()[-1]["status"] == "resolved", 90, "the page ends once Prometheus goes on")
    until(lambda: starter.status()["state"] == "healthy", 60, "the stack heals")
