"""Capacity on a real Prometheus with weeks of history: what is left, how long it lasts, as metrics too."""

from __future__ import annotations

import json
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from prometheus_run import Prometheus as Running

from analytics.capacity.forecast import DAY, forecast
from analytics.capacity.watch import CapacityWatch
from analytics.ingest.prometheus import Prometheus
from gigawatch.catalogue import capacity
from gigawatch.cli import main

PROMTOOL = shutil.which("promtool") or "promtool"
STEP = 1800
HISTORY = 40
SITE = """
version: 1
site: {name: s}
racks:
  - {name: "r[1-3]", hall: h, row: a, units: 10, power_watts: 20000, cooling: air, ports: 20}
nodes:
  - {name: "r[1-3]-n[1-2]", rack: "r{1}", unit: 1, unit_step: 4, height: 4, gpus: 0, power_watts: 8000,
     ports: 5}
"""
GROWTH = 150.0
"""Watts a day in rack r1."""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path, float]]:
    """URL of Prometheus, the inventory, and the end of its history. Rack r1 grows, r2 does not, r3 is not
    measured."""
    folder = tmp_path_factory.mktemp("history")
    inventory = folder / "site.yaml"
    inventory.write_text(SITE)
    end = time.time() // DAY * DAY
    rng = np.random.default_rng(1)
    lines = ["# TYPE rack:aif_power_active_watts:sum gauge"]
    for rack, base, growth in (("r1", 10_000.0, GROWTH), ("r2", 9_000.0, 0.0)):
        for moment in np.arange(end - HISTORY * DAY, end, STEP):
            watts = base + growth * (moment - end) / DAY + rng.normal(0, 100)
            lines.append(
                f'rack:aif_power_active_watts:sum{{site="s",rack="{rack}"}} {watts:.1f} {moment:.0f}'
            )
    (folder / "history.om").write_text("\n".join([*lines, "# EOF\n"]))
    made = subprocess.run(
        [
            PROMTOOL,
            "tsdb",
            "create-blocks-from",
            "openmetrics",
            "--max-block-duration=720h",
            str(folder / "history.om"),
            str(folder / "data"),
        ],
        capture_output=True,
        text=True,
    )
    assert made.returncode == 0, made.stderr
    (folder / "prometheus.yml").write_text("{}\n")
    with Running(folder) as running:
        running.until("vector(1)", 30)
        yield f"http://127.0.0.1:{running._port}", inventory, end


def _told(capsys: pytest.CaptureFixture[str], *words: str) -> dict[str, object]:
    assert main(["capacity", *words, "--json"]) == 0
    return dict(json.loads(capsys.readouterr().out))


def test_what_is_left_comes_from_what_was_measured(
    site: tuple[str, Path, float], capsys: pytest.CaptureFixture[str]
) -> None:
    url, inventory, _ = site
    told = _told(capsys, "show", "--inventory", str(inventory), "--prometheus", url, "--over", "20d")
    rows = {(r["place"], r["resource"]): r for r in told["resources"]}  # type: ignore[attr-defined, union-attr] # JSON
    # The 99th percentile of the last 20 days, less than a day's growth below the top.
    assert rows["r1", "power"]["free"] == pytest.approx(10_000, abs=400)
    assert rows["r2", "power"]["free"] == pytest.approx(20_000 - 9_230, abs=100)
    assert rows["r3", "power"]["free"] == 4_000, "its design: two nodes of 8 kW"
    assert rows["r1", "space"]["free"] == 2
    assert rows["r1", "ports"]["free"] == 10
    assert told["power_from"] == "99th percentile over 20d of 2 racks, design of 1"


def test_the_limit_is_foretold(site: tuple[str, Path, float], capsys: pytest.CaptureFixture[str]) -> None:
    url, inventory, end = site
    told = _told(capsys, "forecast", "--inventory", str(inventory), "--prometheus", url)
    (soon,) = told["forecasts"]  # type: ignore[misc] # JSON
    assert (soon["scope"], soon["place"], soon["resource"]) == ("rack", "r1", "power")
    # 10 kW are left (a day's 99th percentile lies about 230 W above its middle) at 150 W a day.
    true = (20_000 - 10_000 - 230) / GROWTH * DAY - (time.time() - end)
    assert soon["early"] * 0.97 <= true <= soon["late"] * 1.03
    assert soon["expected"] == pytest.approx(true, rel=0.1)
    assert soon["per_day"] == pytest.approx(GROWTH, rel=0.1)


def test_the_service_tells_it_as_metrics(site: tuple[str, Path, float]) -> None:
    url, inventory, _ = site
    watch = CapacityWatch(Prometheus(url, 30.0), inventory)
    assert watch.readings() == []
    watch.step()
    found = {(r.metric, r.labels): r.value for r in watch.readings()}
    assert found[capacity.CAPACITY_USED, ("rack", "r1", "space")] == 0.8
    assert 9_000 < found[capacity.CAPACITY_FREE_POWER, ("rack", "r1", "power")] < 10_500
    expected = found[capacity.CAPACITY_EXHAUSTION, ("rack", "r1", "power", "expected")]
    assert 55 * DAY < expected < 75 * DAY


def test_what_it_said_is_not_repeated_for_ever(site: tuple[str, Path, float]) -> None:
    url, inventory, _ = site
    now = [time.time()]
    watch = CapacityWatch(Prometheus(url, 30.0), inventory, every=300, clock=lambda: now[0])
    watch.step()
    assert watch.readings()
    told: list[str] = []
    watch.complain = lambda _, error: told.append(str(error))
    watch._client = Prometheus("http://127.0.0.1:9", 1.0)
    watch.step()
    assert watch.readings(), "one failure changes nothing yet"
    assert "127.0.0.1:9" in told[0]
    now[0] += 1000
    assert watch.readings() == []


def test_a_forecast_needs_growth_and_history() -> None:
    days = np.arange(40.0)
    flat = np.full(40, 1000.0)
    assert forecast(days, flat, 2000.0, 40.0) is None
    assert forecast(days[:9], flat[:9] + 10 * days[:9], 2000.0, 9.0) is None
    assert forecast(days, flat - 10 * days, 2000.0, 40.0) is None
    reached = forecast(days, flat + 10 * days, 1200.0, 40.0)
    assert reached is not None
    assert reached.expected == 0.0


def test_one_step_up_is_no_trend() -> None:
    days = np.arange(60.0)
    values = np.where(days < 40, 1000.0, 1500.0) + np.random.default_rng(2).normal(0, 5, 60)
    assert forecast(days, values, 2000.0, 60.0) is None


def test_the_interval_holds_as_often_as_it_says() -> None:
    """Of 60 made-up histories with weekly ups and downs, the truth lies within 9 of 10 intervals, give or
    take."""
    days = np.arange(60.0)
    hits = 0
    for seed in range(60):
        rng = np.random.default_rng(seed)
        noise = 20 * np.sin(days / 7 * 2 * np.pi + rng.uniform(0, 6)) + rng.normal(0, 15, 60)
        found = forecast(days, 1000 + 4 * days + noise, 1600.0, 60.0, seed)
        assert found is not None
        hits += found.early <= (600 / 4 - 60) * DAY <= found.late
    assert hits >= 45


def test_where_a_loss_leads_is_told_in_words(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["capacity", "lose", "utility-a", "--blueprint", "full-scale"]) == 0
    said = capsys.readouterr().out
    assert "ups-a until empty" in said
    assert "20 racks go on, with one feed less" in said


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (
            ("lose", "nothing-here", "--blueprint", "starter"),
            "no device, loop, rack, row or hall 'nothing-here'",
        ),
        (("place", "no-such", "--blueprint", "starter"), "no kind 'no-such'"),
        (("place", "12kW", "--blueprint", "starter"), "--units 1 to 100"),
        (("show", "--over", "5y", "--blueprint", "starter"), "--over"),
        (("forecast", "--blueprint", "starter"), "needs measurements"),
    ],
)
def test_mistakes_are_told_in_one_line(
    words: tuple[str, ...], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["capacity", *words]) == 1
    told = capsys.readouterr().err.strip()
    assert said in told
    assert len(told.splitlines()) == 1
