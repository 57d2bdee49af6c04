"""The catalogue: names, kinds, units and closed label sets hold together."""

from __future__ import annotations

import io
import pickle
import re
import subprocess
import tokenize
from pathlib import Path

import pytest

from gigawatch.catalogue import Kind, Metric, Origin, Target, Unit, all_metrics, by_name, domain_of, gpu
from gigawatch.readings import Reading, histogram
from gigawatch.serving import render

METRICS = all_metrics()


def make(key: str, kind: Kind = Kind.GAUGE, unit: Unit = Unit.COUNT, **more: object) -> Metric:
    return Metric(key, kind, unit, "A test.", Origin.AGENT, Target.NODE, **more)  # type: ignore[arg-type] # test


@pytest.mark.parametrize("metric", METRICS, ids=lambda m: m.name)
def test_names_are_legal_and_labels_are_not_the_targets(metric: Metric) -> None:
    assert re.fullmatch(r"aif_[a-z][a-z0-9_]*", metric.name)
    assert len(set(metric.labels)) == len(metric.labels)
    assert not set(metric.labels) & {"job", "instance", "le", "quantile"}
    if metric.target is not Target.SITE:
        # The exposition must not carry what service discovery adds, or Prometheus renames it to exported_*.
        assert not set(metric.labels) & set(metric.target.value)
    assert metric.help.endswith(".")


def test_every_name_passes_promtools_lint() -> None:
    readings: list[Reading] = []
    for metric in METRICS:
        labels = tuple(metric.values.get(label, ("x",))[0] for label in metric.labels)
        if metric.kind is Kind.HISTOGRAM:
            readings += histogram(metric, labels, (("0.1", 1.0), ("+Inf", 2.0)), 0.5)
        else:
            readings.append(Reading(metric, labels, 1.0))
    done = subprocess.run(["promtool", "check", "metrics"], input=render(readings), capture_output=True)
    assert done.returncode == 0, done.stderr.decode() + done.stdout.decode()


def test_a_metric_stays_itself_in_another_process() -> None:
    assert pickle.loads(pickle.dumps(gpu.GPU_POWER)) is gpu.GPU_POWER


def test_lookup_by_name_and_domain() -> None:
    assert by_name("aif_gpu_power_watts") is gpu.GPU_POWER
    assert domain_of(gpu.GPU_POWER) == "gpu"
    with pytest.raises(KeyError):
        by_name("aif_no_such_metric")


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (lambda: make("errors", Kind.COUNTER), "ends in _total"),
        (lambda: make("identity", Kind.INFO), "ends in _info"),
        (lambda: make("power", unit=Unit.WATTS), "must end in the unit"),
        (lambda: make("state", Kind.STATE_SET, labels=("state",)), "lists its values"),
        (lambda: make("x", labels=("a",), values={"b": ("1",)}), "not a label"),
    ],
)
def test_a_wrong_declaration_is_refused(wrong: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        wrong()  # type: ignore[operator] # a lambda of the table above


def test_metric_names_are_written_only_in_the_catalogue(checkout: Path) -> None:
    """Docstrings may show what a query looks like; code takes the name from the constant."""
    offenders = []
    for room in ("gigawatch", "exporters", "analytics", "dashboards", "alerts"):
        for path in sorted((checkout / room).rglob("*.py")):
            if "catalogue" in path.parts or "generated" in path.parts:
                continue
            for token in tokenize.generate_tokens(io.StringIO(path.read_text()).readline):
                literal = tokenize.tok_name[token.type] in ("STRING", "FSTRING_MIDDLE")
                docstring = token.string.lstrip("rbfuRBFU").startswith('"""')
                # A recorded name (level:aif_x:operation) is made where its rule stands.
                if literal and not docstring and re.search(r"(?<![:a-z_])aif_[a-z0-9_]+", token.string):
                    offenders.append(f"{path.relative_to(checkout)}:{token.start[0]}: {token.line.strip()}")
    assert offenders == []
