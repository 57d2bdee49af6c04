"""A stack that has just started, with the simulated plant behind it: nothing fires while all is well, and a
drill in its fifth minute does."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from alerts import prometheus
from exporters.inventory import Addresses, agent_targets, facility_targets, site_readings
from gigawatch.artifacts import BuildOptions
from gigawatch.catalogue import findings, own
from gigawatch.readings import Reading, sample
from gigawatch.simulator.faults import FAULTS, Fault, resolve
from gigawatch.simulator.plant import Plant
from gigawatch.simulator.view import Emitter
from gigawatch.topology import Inventory, blueprint

PROMTOOL = shutil.which("promtool") or "promtool"
STEP, DRILL, END = 5, 240, 300
PACE = 0.2
"""Of a rehearsal stack: holds are short, so that what is wrong at a start has less time to pass by."""
PARTS = ("plant", "agent", "facility", "sd", "pager", "alertmanager", "prometheus", "analytics", "viewer")


class Recorder:
    """Scrapes as Prometheus would store them, in promtool's notation."""

    def __init__(self) -> None:
        self._values: dict[tuple[str, tuple[tuple[str, str], ...]], dict[int, float]] = defaultdict(dict)

    def sample(self, at: int, name: str, value: float, /, **labels: str) -> None:
        kept = tuple(sorted((label, text) for label, text in labels.items() if text))
        self._values[name, kept][at] = value

    def scrape(self, at: int, target: dict[str, str], readings: Iterable[Reading]) -> None:
        for reading in readings:
            name, own_labels = sample(reading.metric, reading.labels)
            self.sample(at, name, reading.value, **{**target, **own_labels})

    def series(self) -> list[dict[str, str]]:
        return [
            {
                "series": name + "{" + ",".join(f'{label}="{text}"' for label, text in labels) + "}",
                "values": " ".join(f"{found[t]!r}" if t in found else "_" for t in range(0, END + 1, STEP)),
            }
            for (name, labels), found in self._values.items()
        ]


def _targets(groups: list[dict[str, Any]], job: str) -> list[dict[str, str]]:
    return [
        {"job": job, **{name: text for name, text in group["labels"].items() if not name.startswith("__")}}
        for group in groups
    ]


def _parts(recorder: Recorder, at: int, site: str) -> None:
    """What the parts say of themselves. Analytics takes 15 s to come up; the pager hears after 30 s."""
    late = at < 15
    for part in PARTS:
        supervisor = {"job": "gigawatch-supervisor", "site": site, "instance": "i1"}
        up = float(not (late and part == "analytics"))
        readings = [Reading(own.PROCESS_UP, (part,), up), Reading(own.PROCESS_RESTARTS, (part,), 0.0)]
        recorder.scrape(at, supervisor, readings)
        if part in ("agent", "facility", "viewer"):
            continue
        job = part if part in ("prometheus", "alertmanager") else f"gigawatch-{part}"
        target = {"job": job, "site": site, "instance": part}
        recorder.sample(at, "up", up, **target)
        if part == "analytics" and not late:
            recorder.scrape(at, target, [Reading(findings.ANALYTICS_LAST_SUCCESS, (), at - 2.0)])
        if part == "pager" and at >= 30:
            recorder.scrape(at, target, [Reading(own.PAGER_HEARTBEAT, (), at // 30 * 30.0)])
        if part == "plant":
            recorder.scrape(at, target, [Reading(own.PLANT_LAG, (), 0.1)])
        if part == "prometheus":
            # Alertmanager was a moment late for the first notification.
            recorder.sample(at, "prometheus_notifications_errors_total", float(at >= 10), **target)
            recorder.sample(at, "process_start_time_seconds", -3.0, **target)


def _record(inventory: Inventory, drill: str) -> Recorder:
    recorder, plant = Recorder(), Plant(inventory, seed=3, start=0.0)
    emitter = Emitter(plant.layout)
    addresses = Addresses("127.0.0.1:1", "127.0.0.1:2")
    agents = _targets(agent_targets(inventory, addresses), "gigawatch-agent")
    devices = _targets(facility_targets(inventory, addresses), "gigawatch-facility")
    kind = FAULTS[drill]
    fault = Fault(drill, resolve(kind, None, inventory), DRILL, END + 60, 0.0, 1.0)
    plant.set_faults([fault])
    for at in range(0, END + 1, STEP):
        if at:
            plant.advance(STEP)
        emitter.refresh(plant.state)
        for target in agents:
            recorder.sample(at, "up", 1.0, **target)
            recorder.scrape(at, target, emitter.node(target["node"]))
        for target in devices:
            recorder.sample(at, "up", 1.0, **target)
            recorder.scrape(at, target, emitter.device(target["device"]))
        discovery = {"job": "gigawatch-sd", "site": inventory.site, "instance": "sd"}
        recorder.scrape(at, discovery, site_readings(inventory, 1, 0))
        _parts(recorder, at, inventory.site)
    return recorder


def test_a_healthy_start_is_silent_and_a_moved_set_point_is_a_ticket_within_a_minute(tmp_path: Path) -> None:
    (tmp_path / "alerts.yml").write_text(prometheus.alert_rules(BuildOptions(pace=PACE)))
    (tmp_path / "recording.yml").write_text(prometheus.recording_rules())
    inventory = blueprint("starter")
    silent = 'ALERTS{alertstate="firing",severity!="none"}'
    moved = 'count by (severity, loop) (ALERTS{alertstate="firing",alertname="CoolantSetpointMoved"})'
    ticket = {"labels": f'{{severity="warning",loop="{inventory.loops[0].name}"}}', "value": 1}
    asked: list[dict[str, Any]] = [
        {"expr": silent, "eval_time": f"{at}s", "exp_samples": []} for at in (15, 30, 60, 90, 120, 180, DRILL)
    ]
    asked.append({"expr": moved, "eval_time": f"{END}s", "exp_samples": [ticket]})
    test = {
        "interval": f"{STEP}s",
        "input_series": _record(inventory, "cdu-setpoint").series(),
        "promql_expr_test": asked,
    }
    document = {
        "rule_files": ["alerts.yml", "recording.yml"],
        "evaluation_interval": f"{STEP}s",
        "tests": [test],
    }
    (tmp_path / "test.yml").write_text(json.dumps(document))
    done = subprocess.run(
        [PROMTOOL, "test", "rules", str(tmp_path / "test.yml")], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, (done.stdout + done.stderr)[-4000:]
