"""Jobs that tell of themselves in several ways are counted once: the real sources side by side."""

from __future__ import annotations

import json
import os
import threading
import time
import urllib.request
from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from exporters.runtime.source import Source
from exporters.sections import LogSection
from exporters.training.directory import TrainingDirectory
from exporters.training.logs import LogSource
from exporters.training.otlp import OtlpSource
from exporters.training.voices import WAYS, Voices, Way
from gigawatch.catalogue import training
from gigawatch.reporter import Reporter


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


class Lanes:
    """Keeps what each source said last, as lanes do, and says whether anything stands twice."""

    def __init__(self) -> None:
        self.rows: dict[str, dict[Any, float]] = {}

    def read(self, source: Source) -> None:
        self.rows[source.name] = {(row.metric, row.labels): row.value for row in source.read()}

    def who(self, job: str = "42") -> list[str]:
        """The sources that count the job's steps."""
        found = (training.TRAINING_STEPS, (job, "llama"))
        return [name for name, rows in self.rows.items() if found in rows]


def _megatron(step: int) -> str:
    return f" iteration {step}/ 100 | elapsed time per iteration (ms): 2000.0 | lm loss: 2.0E+00 |\n"


def _post(url: str, count: int, start: float) -> None:
    point = {
        "startTimeUnixNano": str(int(start * 1e9)), "timeUnixNano": str(int((start + count) * 1e9)),
        "count": count, "sum": 1000.0 * count,
    }  # fmt: skip
    attributes = [
        {"key": key, "value": {"stringValue": value}}
        for key, value in (("slurm.job.id", "42"), ("gigawatch.model", "llama"))
    ]
    histogram = {"aggregationTemporality": 2, "dataPoints": [point]}
    metric = {"name": "megatron.training.step_duration_ms", "unit": "ms", "histogram": histogram}
    told = {
        "resourceMetrics": [{"resource": {"attributes": attributes}, "scopeMetrics": [{"metrics": [metric]}]}]
    }
    request = urllib.request.Request(
        url + "/v1/metrics", json.dumps(told).encode(), {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=30) as answer:
        assert answer.status == 200


def test_a_job_that_tells_in_three_ways_is_counted_once(tmp_path: Path) -> None:
    clock, lanes, began = Clock(), Lanes(), time.time()
    voices = Voices(3600.0, clock)
    log, reports = tmp_path / "42.log", tmp_path / "reports"
    log.touch()
    reports.mkdir()
    directory = TrainingDirectory(5.0, lambda: (), reports, voices=voices)
    logs = LogSource(5.0, [LogSection(str(log), "42", model="llama")], voices)
    otlp = OtlpSource(5.0, "127.0.0.1:0", voices)
    sources: tuple[Source, ...] = (logs, otlp, directory)
    for source in sources:
        lanes.read(source)
    assert lanes.who() == []
    with log.open("a") as file:
        file.write(_megatron(10))
    lanes.read(logs)
    assert lanes.who() == ["training_logs"], "nobody else tells of it"
    _post(otlp.url, 1, began)
    lanes.read(otlp)
    assert lanes.who() == ["training_logs"], "not before the other one is silent"
    lanes.read(logs)
    assert lanes.who() == []
    lanes.read(otlp)
    lanes.read(logs)
    assert lanes.who() == ["training_otlp"]
    reporter = Reporter("llama", job_id="42", rank=0, directory=str(reports))
    reporter.step()
    reporter.step()
    for _ in range(3):
        for source in sources:
            lanes.read(source)
            assert len(lanes.who()) <= 1
        _post(otlp.url, 2, began)
    assert lanes.who() == ["training"]
    reporter.close()
    for path in reports.iterdir():
        os.utime(path, (began - 9999, began - 9999))
    for source in sources:
        lanes.read(source)
    assert lanes.who() == [], "the counters of two ways differ: no going over in the middle"
    clock.now += 3700
    for _ in range(3):
        for source in sources:
            lanes.read(source)
    assert lanes.who() == ["training_otlp"]
    otlp.close()


def test_a_way_that_is_stuck_is_passed_over() -> None:
    clock = Clock()
    voices = Voices(3600.0, clock)
    assert voices.may("log", "a")
    assert not voices.may("reporter", "a")
    assert voices.may("reporter", "b"), "another job has nothing to do with it"
    clock.now += 16
    assert voices.may("reporter", "a"), "what the log said is no longer shown"
    assert not voices.may("log", "a")


def test_a_better_way_that_asked_and_went() -> None:
    clock = Clock()
    voices = Voices(3600.0, clock)
    assert voices.may("log", "a")
    assert not voices.may("otlp", "a")
    assert not voices.may("log", "a")
    clock.now += 16
    assert voices.may("log", "a"), "nobody else came"


def test_many_jobs_are_forgotten() -> None:
    clock = Clock()
    voices = Voices(10.0, clock)
    for n in range(10_000):
        clock.now += 1
        assert voices.may("log", f"j{n}")
    assert len(voices._speaking) < 5000


@given(st.lists(st.tuples(st.sampled_from(WAYS), st.floats(0.0, 6.0)), max_size=60))
def test_never_two_at_a_time(turns: list[tuple[Way, float]]) -> None:
    """A way speaks from one read to the next; what a stuck one said is dropped after 15 s."""
    clock = Clock()
    voices = Voices(60.0, clock)
    spoke: dict[Way, float] = {}
    for way, pause in turns:
        clock.now += pause
        spoke.pop(way, None)
        if voices.may(way, "a"):
            spoke[way] = clock.now
        assert len([one for one, at in spoke.items() if clock.now - at <= 15.0]) <= 1


def test_several_threads() -> None:
    voices = Voices(60.0)
    found: list[bool] = []

    def ask(way: Way) -> None:
        found.extend(voices.may(way, f"j{n % 7}") for n in range(2000))

    threads = [threading.Thread(target=ask, args=(way,)) for way in WAYS]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 6000
    for n in range(7):
        answers = [voices.may(way, f"j{n}") for way in WAYS for _ in range(2)]
        assert sum(answers) in (1, 2), "one way, asked twice"
