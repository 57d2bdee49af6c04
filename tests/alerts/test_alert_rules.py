"""The generated rules, judged by the real promtool and by an independent parser of the current grammar."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import promql_parser
import pytest
import yaml

from alerts import prometheus
from alerts.build import artifacts
from alerts.cases import Case, given
from alerts.model import Severity, paced, seconds
from alerts.rules import all_alerts, by_group
from gigawatch.artifacts import BuildOptions
from gigawatch.build import write
from gigawatch.catalogue import all_metrics, gpu
from gigawatch.promql import recording

PROMTOOL = shutil.which("promtool") or "promtool"


@pytest.fixture(scope="module")
def generated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("alerts")
    write(artifacts(BuildOptions()), root)
    return root / "alerts" / "generated"


def promtool(*args: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([PROMTOOL, *map(str, args)], capture_output=True, text=True, timeout=300)


def test_promtool_accepts_the_rules_without_a_lint(generated: Path) -> None:
    done = promtool(
        "check", "rules", "--lint=all", "--lint-fatal",
        generated / "prometheus-rules.yml", generated / "recording-rules.yml",
        *sorted((generated / "tests" / "rules").glob("*.yml")),
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr


def _parsed(text: str) -> Any:
    return yaml.load(text, yaml.CSafeLoader)


def load(path: Path) -> Any:
    return _parsed(path.read_text(encoding="utf-8"))


def alone(rules: dict[str, Any], name: str) -> dict[str, Any]:
    """One alert of a rule file, with the recording rules that it rests on. promtool evaluates all rules of
    a file at every step of every case: taken one by one they need a fifth of the time."""
    every = [(group["name"], rule) for group in rules["groups"] for rule in group["rules"]]
    wanted = next(rule for _, rule in every if rule.get("alert") == name)
    kept, texts = [wanted], [wanted["expr"]]
    while texts:
        text = texts.pop()
        for _, rule in every:
            if rule not in kept and "record" in rule and rule["record"] in text:
                kept.append(rule)
                texts.append(rule["expr"])
    groups: dict[str, list[Any]] = {}
    for group, rule in every:
        if rule in kept:
            groups.setdefault(group, []).append(rule)
    return {"groups": [{"name": group, "rules": found} for group, found in groups.items()]}


def one_by_one(generated: Path, into: Path, change: Callable[[dict[str, Any]], bool]) -> list[Path]:
    """The generated unit tests, one file per alert; `change` may alter a test, or drop it."""
    files = []
    for group, alerts in by_group().items():
        rules = load(generated / "tests" / "rules" / f"{group}.yml")
        content = load(generated / "tests" / f"{group}.yml")
        assert content["rule_files"] == [f"rules/{group}.yml"]
        assert {test["name"].split(":")[0] for test in content["tests"]} == {alert.name for alert in alerts}
        for alert in alerts:
            tests = [test for test in content["tests"] if test["name"].split(":")[0] == alert.name]
            (into / f"{alert.name}.rules.yml").write_text(json.dumps(alone(rules, alert.name)))
            files.append(into / f"{alert.name}.yml")
            files[-1].write_text(
                json.dumps(
                    {
                        "rule_files": [f"{alert.name}.rules.yml"],
                        "evaluation_interval": content["evaluation_interval"],
                        "tests": [test for test in tests if change(test)],
                    }
                )
            )
    return files


def test_every_case_of_every_alert(generated: Path, tmp_path: Path) -> None:
    done = promtool("test", "rules", *one_by_one(generated, tmp_path, lambda _: True))
    assert done.returncode == 0, (done.stdout + done.stderr)[-4000:]


def test_a_wrong_expectation_fails(generated: Path, tmp_path: Path) -> None:
    content = load(generated / "tests" / "predictive.yml")
    silent = next(test for test in content["tests"] if not test["promql_expr_test"][0]["exp_samples"])
    fires = next(test for test in content["tests"] if test["promql_expr_test"][0]["exp_samples"])
    silent["promql_expr_test"][0]["exp_samples"] = fires["promql_expr_test"][0]["exp_samples"]
    content["rule_files"] = [str(generated / "tests" / "rules" / "predictive.yml")]
    content["tests"] = [silent]
    (tmp_path / "wrong.yml").write_text(yaml.safe_dump(content))
    assert promtool("test", "rules", tmp_path / "wrong.yml").returncode != 0


def test_gpus_that_fail_together_are_seen_in_the_same_evaluation(generated: Path, tmp_path: Path) -> None:
    """Only then is the page of the node there before those of its GPUs have left."""
    name = 'aif_gpu_nvlink_up{site="s1",rack="r1",node="n1",gpu="%d",uuid="U%d",link="0"}'
    links = [{"series": name % (i, i), "values": "1x9 0x20"} for i in range(4)]
    firing = 'count by (alertname) (ALERTS{alertstate="firing",severity="critical"})'
    seen = [("GpuNvlinkDown", 4), ("GpusFailTogether", 1)]
    asked = [
        {"expr": firing, "eval_time": "10m30s", "exp_samples": []},
        {
            "expr": firing,
            "eval_time": "11m",
            "exp_samples": [{"labels": f'{{alertname="{one}"}}', "value": count} for one, count in seen],
        },
    ]
    node = 'aif_node_info{site="s1",node="n1",rack="r1",row="a",hall="h1",unit="4",loop="loop-1"}'
    content = {
        "rule_files": [str(generated / "tests" / "rules" / "gpu.yml")],
        "evaluation_interval": "30s",
        "tests": [
            {
                "interval": "1m",
                "input_series": [*links, {"series": node, "values": "1x30"}],
                "promql_expr_test": asked,
            }
        ],
    }
    (tmp_path / "together.yml").write_text(yaml.safe_dump(content))
    done = promtool("test", "rules", tmp_path / "together.yml")
    assert done.returncode == 0, done.stdout + done.stderr


def test_heat_waits_for_minutes_after_the_cooling_is_back_and_then_pages(
    generated: Path, tmp_path: Path
) -> None:
    """The unit stands for minutes. One GPU cools down with the loop, one stays hot: it has its own fault."""
    node = 'aif_node_info{site="s1",node="n1",rack="r1",row="a",hall="h1",unit="4",loop="loop-1"}'
    unit = 'aif_device_info{site="s1",device="cdu-1",role="cdu",hall="h1",feed="utility-a",loop="loop-1"}'
    pump = 'aif_pump_running{site="s1",hall="h1",device="cdu-1",pump="p1"}'
    margin = 'aif_gpu_temperature_margin_celsius{site="s1",rack="r1",node="n1",gpu="%d",uuid="U%d"}'
    given = {node: "1x60", unit: "1x60", pump: "1x3 0x7 1x50",
             margin % (0, 0): "20x5 2x12 25x50", margin % (1, 1): "20x5 2x60"}  # fmt: skip
    heat = ["CduFailed", "GpuThermalSlowdown", "LoopHeatExplained"]
    named = "|".join(heat)
    firing = f'count by (alertname) (ALERTS{{alertstate="firing",alertname=~"{named}"}})'
    # When, and how many of each fire; a GPU pages where the loop explains nothing any more.
    seen = [
        ("1m", (0, 0, 0)),
        ("5m", (1, 2, 1)),
        ("8m30s", (0, 2, 1)),
        ("14m", (0, 1, 1)),
        ("20m", (0, 1, 0)),
    ]
    asked = [
        {
            "expr": firing,
            "eval_time": moment,
            "exp_samples": [
                {"labels": f'{{alertname="{name}"}}', "value": count}
                for name, count in zip(heat, counts, strict=True)
                if count
            ],
        }
        for moment, counts in seen
    ]
    content = {
        "rule_files": [str(generated / "tests" / "rules" / f"{name}.yml") for name in ("cooling", "gpu")],
        "evaluation_interval": "30s",
        "tests": [
            {
                "interval": "30s",
                "input_series": [{"series": name, "values": values} for name, values in given.items()],
                "promql_expr_test": asked,
            }
        ],
    }
    (tmp_path / "aftercare.yml").write_text(yaml.safe_dump(content))
    done = promtool("test", "rules", tmp_path / "aftercare.yml")
    assert done.returncode == 0, done.stdout + done.stderr


def test_texts_expand_when_an_alert_fires(generated: Path, tmp_path: Path) -> None:
    """promtool prints what it got where nothing was expected: the texts as a person would see them."""
    seen: set[str] = set()

    def expect_nothing(test: dict[str, Any]) -> bool:
        alert = test["name"].split(":")[0]
        query = test.pop("promql_expr_test")[0]
        if not query["exp_samples"] or alert in seen:
            return False
        seen.add(alert)
        test["alert_rule_test"] = [{"eval_time": query["eval_time"], "alertname": alert, "exp_alerts": []}]
        return True

    shown = promtool("test", "rules", *one_by_one(generated, tmp_path, expect_nothing))
    text = shown.stdout + shown.stderr
    for alert in all_alerts():
        assert f'alertname="{alert.name}"' in text or f"alertname: {alert.name}" in text, alert.name
    for broken in ("error expanding", "<no value>", "%!", "{{"):
        found = re.search(rf".{{200}}{re.escape(broken)}.{{100}}", text, re.S)
        assert broken not in text, found and found[0]


@pytest.mark.parametrize("alert", all_alerts(), ids=lambda a: a.name)
def test_expression_parses_in_the_current_grammar_and_names_known_metrics(alert) -> None:
    promql_parser.parse(alert.expr.text)
    known = {name for metric in all_metrics() for name in metric.sample_names}
    known |= {rule.name for rule in recording.all_rules()}
    for name in re.findall(r"(?:[a-z]+:)?aif_[a-z0-9_]+(?::[a-z0-9_]+)?", alert.expr.text):
        assert name in known, name


def test_every_alert_says_what_a_page_needs() -> None:
    rules = _parsed(prometheus.alert_rules(BuildOptions(viewer_url="http://v:1", runbook_url="http://v:1/r")))
    found = [rule for group in rules["groups"] for rule in group["rules"]]
    assert len(found) == len(all_alerts()) >= 30
    for rule in found:
        assert {"severity", "domain", "scope", "place"} <= rule["labels"].keys()
        annotations = rule["annotations"]
        assert all(annotations.values()), rule["alert"]
        assert annotations["runbook_url"] == f"http://v:1/r/{rule['alert']}.md"
        assert annotations["dashboard_url"].startswith("http://v:1/d/gw-")


def test_critical_alerts_are_the_minority() -> None:
    counts = {severity: sum(a.severity is severity for a in all_alerts()) for severity in Severity}
    assert counts[Severity.CRITICAL] < counts[Severity.WARNING]
    assert counts[Severity.NONE] == 1


def test_every_fault_has_an_alert_that_calls_somebody_and_every_drill_exists() -> None:
    faults = pytest.importorskip("gigawatch.simulator.faults").FAULTS
    named = {fault for alert in all_alerts() for fault in alert.rehearse}
    assert named <= set(faults)
    called = {
        fault for alert in all_alerts() if alert.severity in (Severity.CRITICAL, Severity.WARNING)
        for fault in alert.rehearse
    }  # fmt: skip
    assert called == set(faults)


def test_pace_shortens_holds_but_never_below_ten_seconds() -> None:
    assert paced("5m", 0.2) == "1m"
    assert paced("30s", 0.2) == "10s"
    assert paced("0s", 0.2) == "0s"
    assert paced("3m", 1.0) == "3m"
    rules = _parsed(prometheus.alert_rules(BuildOptions(pace=0.01)))
    holds = {seconds(rule["for"]) for group in rules["groups"] for rule in group["rules"] if "for" in rule}
    assert min(holds) >= 10


def test_generated_twice_is_the_same_text() -> None:
    assert artifacts(BuildOptions()) == artifacts(BuildOptions())


def test_the_checkout_holds_what_is_generated() -> None:
    root = Path(__file__).parents[2]
    for name, text in artifacts(BuildOptions()).items():
        assert (root / name).read_text(encoding="utf-8") == text, f"{name}: run gigawatch build"


def test_a_mistake_in_an_alert_is_refused() -> None:
    alert = all_alerts()[0]
    with pytest.raises(ValueError, match="nowhere"):
        replace(alert, summary="{nowhere} is down")
    with pytest.raises(ValueError, match="stays silent"):
        replace(alert, cases=alert.cases[:1])
    with pytest.raises(ValueError, match="written LikeThis"):
        replace(alert, name="node_down")
    with pytest.raises(ValueError, match="no duration"):
        replace(alert, hold="1 minute")
    with pytest.raises(ValueError, match="no label"):
        given(gpu.GPU_POWER, 1, scope="gpu", colour="red")
    with pytest.raises(ValueError, match="never occurs"):
        given(gpu.GPU_POWER, 1, scope="rack")
    assert Case("x", ()).fires == ()
