"""Training jobs by OpenTelemetry: the SDK itself as the job, and bodies written by hand from the protocol.

Meters, units and attributes of the job are those of Megatron-LM d98e8a64dd
(`megatron/core/telemetry/training_metrics.py`), and of its later versions (`docs/user-guide/observability`).
The JSON follows https://opentelemetry.io/docs/specs/otlp/#json-protobuf-encoding.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

import pytest
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.sdk.metrics import Counter, Histogram, MeterProvider
from opentelemetry.sdk.metrics.export import AggregationTemporality, PeriodicExportingMetricReader
from opentelemetry.sdk.metrics.view import ExponentialBucketHistogramAggregation, View
from opentelemetry.sdk.resources import Resource
from otlp_intake import SLURM, Intake, body, gauge, steps

from gigawatch.catalogue import training

LABELS = ("42", "llama")
DELTA = {Histogram: AggregationTemporality.DELTA, Counter: AggregationTemporality.DELTA}


@pytest.fixture
def intake() -> Iterator[Intake]:
    made = Intake()
    yield made
    made.source.close()


class Job:
    """A training program with the SDK in it."""

    def __init__(self, intake: Intake, attributes: dict[str, Any] = SLURM, **options: Any) -> None:
        exporter = OTLPMetricExporter(
            endpoint=intake.source.url + "/v1/metrics",
            preferred_temporality=options.pop("temporality", None),
            compression=options.pop("compression", None),
        )
        self._reader = PeriodicExportingMetricReader(exporter, export_interval_millis=3_600_000)
        self._provider = MeterProvider([self._reader], Resource(attributes), **options)
        meters = self._provider.get_meter("megatron")
        self.duration = meters.create_histogram("megatron.training.step_duration_ms", unit="ms")
        self.gauges = {
            name: meters.create_gauge(f"megatron.training.{name}")
            for name in ("loss", "throughput_tflops", "tokens_per_sec", "grad_norm", "memory_allocated_gb")
        }
        self.skipped = meters.create_counter("megatron.training.skipped_iters")
        self.tokens = meters.create_counter("nv.dl.training.tokens.processed", unit="{token}")

    def step(self, milliseconds: float = 2000.0, tokens: float = 4e6) -> None:
        self.duration.record(milliseconds)
        self.gauges["tokens_per_sec"].set(tokens / milliseconds * 1000)
        self.gauges["throughput_tflops"].set(400.0)
        self.gauges["loss"].set(1.5)
        self.gauges["grad_norm"].set(0.3)
        self.skipped.add(1)

    def export(self) -> None:
        assert self._provider.force_flush()

    def end(self) -> None:
        self._provider.shutdown()


@pytest.mark.parametrize("temporality", [None, DELTA], ids=["cumulative", "delta"])
@pytest.mark.parametrize("compression", [Compression.NoCompression, Compression.Gzip, Compression.Deflate])
def test_the_sdk_tells_of_a_job(intake: Intake, temporality: Any, compression: Compression) -> None:
    job = Job(
        intake,
        SLURM | {"nv.dl.world_size": 8, "nemo.precision": "torch.bfloat16"},
        temporality=temporality,
        compression=compression,
    )
    for _ in range(3):
        job.step()
    job.export()
    found = intake.read()
    assert intake.error is None
    now = time.time()
    assert found.pop((training.TRAINING_REPORT_TIMESTAMP, (*LABELS, "otlp"))) == pytest.approx(now, abs=30)
    assert found.pop((training.TRAINING_ELAPSED, LABELS)) < 30
    assert found == {
        (training.TRAINING_STEPS, LABELS): 3,
        (training.TRAINING_STEP_SECONDS, LABELS): pytest.approx(6),
        (training.TRAINING_STEP_DURATION, LABELS): pytest.approx(2),
        (training.TRAINING_TOKENS, LABELS): pytest.approx(12e6),
        (training.TRAINING_FLOPS, LABELS): pytest.approx(400e12 * 8 * 6),
        (training.TRAINING_LOSS, LABELS): 1.5,
        (training.TRAINING_RESTARTS, LABELS): 0,
        (training.TRAINING_PRECISION_INFO, (*LABELS, "bf16")): 1,
    }
    job.export()
    assert intake.read()[training.TRAINING_STEPS, LABELS] == 3, "nothing new"
    job.step(4000.0)
    job.export()
    found = intake.read()
    assert found[training.TRAINING_STEPS, LABELS] == 4
    assert found[training.TRAINING_TOKENS, LABELS] == pytest.approx(16e6)
    assert found[training.TRAINING_STEP_DURATION, LABELS] == pytest.approx(4)
    job.end()


@pytest.mark.parametrize("temporality", [None, DELTA], ids=["cumulative", "delta"])
def test_the_counter_of_later_versions(intake: Intake, temporality: Any) -> None:
    job = Job(intake, temporality=temporality)
    for _ in range(2):
        job.tokens.add(4_000_000)
        job.export()
    found = intake.read()
    assert found[training.TRAINING_TOKENS, LABELS] == 8e6
    assert (training.TRAINING_STEPS, LABELS) not in found, "nobody told of steps"
    job.end()


def test_exponential_histograms(intake: Intake) -> None:
    view = View(instrument_name="*duration*", aggregation=ExponentialBucketHistogramAggregation())
    job = Job(intake, views=[view])
    job.step()
    job.export()
    assert intake.read()[training.TRAINING_STEP_SECONDS, LABELS] == pytest.approx(2)
    job.end()


def test_a_job_that_begins_again_with_the_sdk(intake: Intake) -> None:
    first = Job(intake, SLURM | {"service.instance.id": "a"})
    first.step()
    first.end()
    second = Job(intake, SLURM | {"service.instance.id": "b"})
    second.step()
    second.step()
    second.end()
    found = intake.read()
    assert found[training.TRAINING_STEPS, LABELS] == 3
    assert found[training.TRAINING_TOKENS, LABELS] == pytest.approx(12e6)
    assert found[training.TRAINING_RESTARTS, LABELS] == 1


def test_two_ranks_tell_of_the_same_job(intake: Intake) -> None:
    ranks = [Job(intake, SLURM | {"nv.dl.rank": rank}) for rank in (0, 7)]
    for _ in range(3):
        for rank in ranks:
            rank.step()
        for rank in ranks:
            rank.export()
    found = intake.read()
    assert found[training.TRAINING_STEPS, LABELS] == 3
    assert found[training.TRAINING_TOKENS, LABELS] == pytest.approx(12e6)
    assert found[training.TRAINING_RESTARTS, LABELS] == 0
    for rank in ranks:
        rank.end()


def test_another_rank_goes_on_where_the_first_fell_silent(intake: Intake) -> None:
    now = time.time()
    intake.say(steps(2, 4, now, now + 1), gauge("tokens_per_sec", 10, now), nv_dl_rank="0")
    intake.say(steps(2, 4, now, now + 1), gauge("tokens_per_sec", 10, now), nv_dl_rank="7")
    intake.shift = 400
    found = intake.say(steps(5, 10, now, now + 400), gauge("tokens_per_sec", 10, now), nv_dl_rank="7")
    assert found[training.TRAINING_STEPS, LABELS] == 2, "what it has done meanwhile was told by nobody"
    found = intake.say(steps(6, 12, now, now + 402), gauge("tokens_per_sec", 10, now), nv_dl_rank="7")
    assert found[training.TRAINING_STEPS, LABELS] == 3
    assert found[training.TRAINING_RESTARTS, LABELS] == 0


def test_late_and_repeated_exports_count_once(intake: Intake) -> None:
    now = time.time()
    told = [steps(n, 2 * n, now, now + 2 * n) for n in range(5)]
    for n in (1, 2, 2, 4, 3, 1, 4):
        found = intake.say(told[n])
    assert found[training.TRAINING_STEPS, LABELS] == 4
    assert found[training.TRAINING_STEP_SECONDS, LABELS] == pytest.approx(8)


def test_late_and_repeated_deltas_count_once(intake: Intake) -> None:
    now = time.time()
    told = [steps(1, 2, now + 2 * n, now + 2 * n + 2, kind=1) for n in range(5)]
    for n in (0, 1, 1, 3, 2, 3, 4):
        found = intake.say(told[n])
    assert found[training.TRAINING_STEPS, LABELS] == 4, "the one that came late is lost, none counts twice"
    found = intake.say(steps(2, 4, now + 8, now + 12, kind=1))
    assert found[training.TRAINING_STEPS, LABELS] == 4, "it reaches into what was counted"


def test_what_was_before_the_agent_is_not_of_now(intake: Intake) -> None:
    now = time.time()
    found = intake.say(steps(1000, 2000, now - 2000, now), gauge("tokens_per_sec", 10, now))
    assert (training.TRAINING_STEPS, LABELS) not in found
    found = intake.say(steps(1001, 2002, now - 2000, now + 2), gauge("tokens_per_sec", 10, now))
    assert found[training.TRAINING_STEPS, LABELS] == 1
    assert found[training.TRAINING_TOKENS, LABELS] == pytest.approx(20)


def test_a_process_without_name_begins_again(intake: Intake) -> None:
    now = time.time()
    intake.say(steps(5, 10, now, now + 10))
    found = intake.say(steps(2, 4, now + 60, now + 64))
    assert found[training.TRAINING_STEPS, LABELS] == 7
    assert found[training.TRAINING_RESTARTS, LABELS] == 1
    found = intake.say(steps(6, 12, now, now + 12))
    assert found[training.TRAINING_STEPS, LABELS] == 7, "a late one of the first attempt"


def test_rates_that_come_in_an_export_of_their_own(intake: Intake) -> None:
    now = time.time()
    assert (training.TRAINING_TOKENS, LABELS) not in intake.say(steps(1, 2, now, now + 2))
    found = intake.say(gauge("tokens_per_sec", 10, now + 2))
    assert found[training.TRAINING_TOKENS, LABELS] == pytest.approx(20)


def test_records_that_stand_for_many_steps(intake: Intake, caplog: pytest.LogCaptureFixture) -> None:
    now = time.time()
    for n in range(1, 5):
        told = (steps(n, 2 * n, now, now + 200 * n), gauge("tokens_per_sec", 10, now + 200 * n))
        intake.shift = 200 * n
        found = intake.say(*told)
    assert (training.TRAINING_STEPS, LABELS) not in found
    assert (training.TRAINING_TOKENS, LABELS) not in found, "rather nothing than a hundredth"
    assert (training.TRAINING_REPORT_TIMESTAMP, (*LABELS, "otlp")) in found
    (line,) = caplog.messages
    assert "gigawatch.log_interval=N" in line
    attributes = body()["resourceMetrics"][0]["resource"]["attributes"]
    attributes[0]["value"]["stringValue"] = "43"
    attributes.append({"key": "gigawatch.log_interval", "value": {"intValue": "100"}})
    for n in range(1, 5):
        whole = body(steps(n, 2 * n, now, now + 200 * n), gauge("tokens_per_sec", 10, now + 200 * n))
        whole["resourceMetrics"][0]["resource"]["attributes"] = attributes
        assert intake.post(json.dumps(whole).encode())[0] == 200
    found = intake.read()
    assert found[training.TRAINING_STEPS, ("43", "llama")] == 400
    assert found[training.TRAINING_TOKENS, ("43", "llama")] == pytest.approx(8000)


@pytest.mark.parametrize(
    ("attributes", "job"),
    [
        ({"slurm.job.id.raw": "17", "slurm.job.id": "12_5"}, "17"),
        ({"k8s.namespace.name": "ml", "k8s.pod.name": "train-0", "service.instance.id": "x"}, "ml/train-0"),
        ({"k8s.pod.name": "train-0", "service.instance.id": "x"}, "x"),
        ({"service.name": "megatron-lm", "nemo.run.id": "r"}, "r"),
        ({"service.name": "megatron-lm"}, "megatron-lm"),
        ({"gigawatch.job_id": "mine", "slurm.job.id": "1"}, "mine"),
        ({"slurm.job.id": 7}, "7"),
        ({"slurm.job.id": "a\nb", "service.name": "s"}, "s"),
    ],
)
def test_the_name_of_the_job(intake: Intake, attributes: dict[str, Any], job: str) -> None:
    one = Job(intake, attributes)
    one.step()
    one.end()
    assert {labels[0] for _, labels in intake.read()} == {job}


def test_a_silent_job_goes(intake: Intake) -> None:
    now = time.time()
    found = intake.say(steps(1, 2, now, now + 1))
    assert found
    intake.shift = 3000
    assert intake.read()[training.TRAINING_ELAPSED, LABELS] > 2900, "the time of a job that is stuck goes on"
    intake.shift = 3700
    assert intake.read() == {}
