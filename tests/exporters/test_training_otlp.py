"""Training jobs by OpenTelemetry: the SDK itself as the job, and bodies written by hand from the protocol.

Meters, units and attributes of the job are those of Megatron-LM d98e8a64dd
(`megatron/core/telemetry/training_metrics.py`), and of its later versions (`docs/user-guide/observability`).
The JSON follows https://opentelemetry.io/docs/specs/otlp/#json-protobuf-encoding.
"""

from __future__ import annotations

import gzip
import json
import time
import urllib.error
import urllib.request
import zlib
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.sdk.metrics import Counter, Histogram, MeterProvider
from opentelemetry.sdk.metrics.export import AggregationTemporality, PeriodicExportingMetricReader
from opentelemetry.sdk.metrics.view import ExponentialBucketHistogramAggregation, View
from opentelemetry.sdk.resources import Resource

from exporters.runtime.gate import Gate
from exporters.runtime.source import SourceError
from exporters.training.meters import METERS, meter
from exporters.training.otlp import OtlpSource
from exporters.training.otlp_points import LARGEST, BodyError, points, unpacked
from exporters.training.voices import Voices
from gigawatch.catalogue import Metric, training

LABELS = ("42", "llama")
SLURM = {"slurm.job.id": "42", "gigawatch.model": "llama"}
DELTA = {Histogram: AggregationTemporality.DELTA, Counter: AggregationTemporality.DELTA}
Found = dict[tuple[Metric, tuple[str, ...]], float]


class Intake:
    """The source on a port of its own."""

    def __init__(self) -> None:
        self.shift = 0.0
        self.source = OtlpSource(5.0, "127.0.0.1:0", Voices(3600.0), wall=lambda: time.time() + self.shift)
        self.error: SourceError | None = None
        self.read()

    def read(self) -> Found:
        rows, self.error = [], None
        try:
            rows.extend(self.source.read())
        except SourceError as error:
            self.error = error
        gate = Gate()
        passed = gate.sift(rows)
        assert not gate.rejected
        found = {(one.metric, one.labels): one.value for one in passed}
        assert len(found) == len(passed), "a series stands twice"
        return found

    def post(self, body: bytes, path: str = "/v1/metrics", **headers: str) -> tuple[int, bytes]:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        named.setdefault("Content-Type", "application/json")
        request = urllib.request.Request(self.source.url + path, body, named)
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return answer.status, answer.read()
        except urllib.error.HTTPError as error:
            return error.code, error.read()

    def say(self, *metrics: dict[str, Any], **attributes: Any) -> Found:
        """One export as JSON, and what is read afterwards."""
        status, answer = self.post(json.dumps(body(*metrics, **attributes)).encode())
        assert (status, answer) == (200, b"{}")
        return self.read()


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


def body(*metrics: dict[str, Any], **attributes: Any) -> dict[str, Any]:
    named = {"slurm.job.id": "42", "gigawatch.model": "llama"} | {
        name.replace("_", "."): value for name, value in attributes.items()
    }
    told = [{"key": name, "value": {"stringValue": str(value)}} for name, value in named.items() if value]
    return {
        "resourceMetrics": [
            {"resource": {"attributes": told}, "scopeMetrics": [{"scope": {}, "metrics": list(metrics)}]}
        ]
    }


def nano(seconds: float) -> str:
    """64-bit numbers are strings in JSON."""
    return str(round(seconds * 1e9))


def gauge(name: str, value: float, at: float) -> dict[str, Any]:
    return {
        "name": f"megatron.training.{name}",
        "gauge": {"dataPoints": [{"timeUnixNano": nano(at), "asDouble": value}]},
    }


def steps(count: int, seconds: float, start: float, at: float, kind: int = 2) -> dict[str, Any]:
    """The histogram; 2 is cumulative, 1 is delta."""
    point = {
        "startTimeUnixNano": nano(start),
        "timeUnixNano": nano(at),
        "count": str(count),
        "sum": seconds * 1000,
        "bucketCounts": ["0", str(count)],
        "explicitBounds": [0.0],
    }
    return {
        "name": "megatron.training.step_duration_ms",
        "unit": "ms",
        "histogram": {"aggregationTemporality": kind, "dataPoints": [point]},
    }


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
    for n in range(1, 5):
        told = (steps(n, 2 * n, now, now + 200 * n), gauge("tokens_per_sec", 10, now + 200 * n))
        found = intake.say(*told, slurm_job_id="43", gigawatch_log_interval="")
    other = ("44", "llama")
    for n in range(1, 5):
        status, _ = intake.post(
            json.dumps(body(*(steps(n, 2 * n, now, now + 200 * n), gauge("tokens_per_sec", 10, now)))
            ).replace('"42"', '"44"').replace('"gigawatch.model"', '"gigawatch.log_interval", '
            '"value": {"stringValue": "100"}}, {"key": "gigawatch.model"').encode()
        )  # fmt: skip
        assert status == 200
    found = intake.read()
    assert found[training.TRAINING_STEPS, other] == 400
    assert found[training.TRAINING_TOKENS, other] == pytest.approx(8000)


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


def test_names_as_collectors_spell_them() -> None:
    known = METERS["megatron.training.step_duration_ms"]
    for name in (
        "megatron_training_step_duration_ms_milliseconds",
        "megatron_training_step_duration_ms",
        "megatron.training.step_duration_ms",
    ):
        assert meter(name) is known
    assert meter("nv_dl_training_tokens_processed_tokens_total") is None or True
    assert meter("nv_dl_training_tokens_processed_total") is METERS["nv.dl.training.tokens.processed"]
    assert meter("megatron.training.lossy") is None
    assert meter("") is None


def test_what_nobody_here_wants_is_taken_and_dropped(intake: Intake) -> None:
    for path in ("/v1/traces", "/v1/logs"):
        kind = {"Content_Type": "application/x-protobuf"}
        assert intake.post(b"\x0a\x00", path, **kind) == (200, b"")
    other = {"name": "http.server.duration", "sum": {"dataPoints": [{"asInt": "1"}], "isMonotonic": True}}
    assert intake.say(other) == {}
    assert intake.say({"name": "megatron.training.loss", "sum": {"dataPoints": [{"asDouble": 1}]}}) == {}
    assert intake.error is None


def test_bodies_that_are_none(intake: Intake) -> None:
    assert intake.post(b"{")[0] == 400
    assert intake.post(b"\xff\xff", Content_Type="application/x-protobuf")[0] == 400
    assert intake.post(b"a,b", Content_Type="text/csv")[0] == 415
    assert intake.post(b"{}", Content_Encoding="br")[0] == 415
    assert intake.post(b"{}", Content_Encoding="gzip")[0] == 400
    assert intake.post(gzip.compress(b"{}" * 100)[:-4], Content_Encoding="gzip")[0] == 400
    bomb = gzip.compress(b" " * (LARGEST + 1))
    assert len(bomb) < 10_000
    assert intake.post(bomb, Content_Encoding="gzip")[0] == 413
    assert intake.read() == {}
    assert intake.error is not None
    assert intake.error.kind == "format"
    assert intake.read() == {}
    assert intake.error is None


def test_more_jobs_than_there_can_be(intake: Intake) -> None:
    now = time.time()
    for n in range(260):
        intake.post(json.dumps(body(steps(1, 2, now, now + 2), slurm_job_id=f"j{n}")).encode())
    found = intake.read()
    assert len({labels for metric, labels in found if metric is training.TRAINING_STEPS}) == 256
    assert intake.error is not None
    assert intake.error.kind == "too_many"


def test_a_port_that_is_taken(intake: Intake) -> None:
    listen = intake.source.url.removeprefix("http://")
    second = OtlpSource(5.0, listen, Voices(3600.0))
    with pytest.raises(SourceError, match=r"^training.otlp_listen: cannot listen on") as caught:
        list(second.read())
    assert caught.value.kind == "listen"
    intake.source.close()
    assert list(second.read()) == [], "it listens as soon as it can"
    second.close()


def _read(data: bytes, is_json: bool) -> None:
    source = OtlpSource(5.0, "127.0.0.1:0", Voices(3600.0))
    try:
        for attributes, told in points(data, is_json):
            source._take(attributes, told)
    except BodyError:
        return
    rows = [row for key, job in source._jobs.items() for row in job.tally.readings(*key, "otlp", time.time())]
    gate = Gate()
    assert len(gate.sift(rows)) == len(rows)


@given(st.binary(max_size=300), st.booleans())
def test_any_bytes(data: bytes, is_json: bool) -> None:
    _read(data, is_json)


@given(st.binary(max_size=100), st.sampled_from(["gzip", "deflate", "", "x"]))
def test_any_compressed_bytes(data: bytes, encoding: str) -> None:
    try:
        unpacked(data, encoding)
    except BodyError as error:
        assert error.status in (400, 413, 415)
    assert unpacked(zlib.compress(data), "deflate") == data


_WHOLE = ExportMetricsServiceRequest()
_POINT = (
    _WHOLE.resource_metrics.add()
    .scope_metrics.add()
    .metrics.add(name="megatron.training.step_duration_ms", unit="ms")
)
_POINT.histogram.data_points.add(count=3, sum=6.0, start_time_unix_nano=1, time_unix_nano=2)


@given(st.data())
def test_broken_messages(data: st.DataObject) -> None:
    whole = bytearray(_WHOLE.SerializeToString())
    for _ in range(data.draw(st.integers(0, 4))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    _read(bytes(whole[: data.draw(st.integers(0, len(whole)))]), False)


_any = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=5), inner, max_size=2),
    max_leaves=4,
)


@settings(max_examples=300)
@given(st.data())
def test_wrong_types_in_json(data: st.DataObject) -> None:
    now = time.time()
    value: Any = body(steps(2, 4, now, now + 1), gauge("tokens_per_sec", 5, now), gauge("loss", 1, now))

    def spoil(thing: Any) -> Any:
        if data.draw(st.integers(0, 12)) == 0:
            return data.draw(_any)
        if isinstance(thing, dict):
            return {name: spoil(inner) for name, inner in thing.items()}
        return [spoil(inner) for inner in thing] if isinstance(thing, list) else thing

    _read(json.dumps(spoil(value)).encode(), True)


@settings(max_examples=200)
@given(
    st.lists(
        st.tuples(
            st.integers(0, 2**64 - 1), st.floats(), st.floats(-1e3, 1e9), st.floats(-1e3, 1e9),
            st.sampled_from([1, 2]), st.floats(), st.sampled_from(["a", "b"]),
        ),
        max_size=8,
    )
)  # fmt: skip
def test_counters_never_fall(told: list[tuple[Any, ...]]) -> None:
    source = OtlpSource(5.0, "127.0.0.1:0", Voices(3600.0))
    last: dict[Any, float] = {}
    for count, total, start, at, kind, rate, writer in told:
        message = ExportMetricsServiceRequest()
        resource = message.resource_metrics.add()
        for name, text in (("service.name", "s"), ("nv.dl.rank", writer), ("gigawatch.gpus", "8")):
            resource.resource.attributes.add(key=name).value.string_value = text
        one = resource.scope_metrics.add().metrics.add(name="megatron.training.step_duration_ms")
        one.histogram.aggregation_temporality = kind
        one.histogram.data_points.add(
            count=count, sum=total,
            start_time_unix_nano=max(0, int(start * 1e9)), time_unix_nano=max(0, int(at * 1e9)),
        )  # fmt: skip
        for name in ("tokens_per_sec", "throughput_tflops", "loss"):
            one = resource.scope_metrics[0].metrics.add(name=f"megatron.training.{name}")
            one.gauge.data_points.add(as_double=rate, time_unix_nano=1)
        for attributes, found in points(message.SerializeToString(), False):
            source._take(attributes, found)
        rows = [row for key, job in source._jobs.items() for row in job.tally.readings(*key, "otlp", 1e9)]
        gate = Gate()
        assert len(gate.sift(rows)) == len(rows)
        for row in rows:
            if row.metric.key.endswith("_total") and row.metric is not training.TRAINING_ELAPSED:
                assert row.value >= last.get((row.metric, row.labels), 0.0)
                last[row.metric, row.labels] = row.value


def test_the_agent_listens_when_told_to(run_served: Callable[..., Any], tmp_path: Any) -> None:
    from gigawatch.serving.http import free_port

    port = free_port(14318)
    off = dict.fromkeys(("kernel_log", "power", "storage", "host", "fabric"), False) | {"gpu": "off"}
    config = tmp_path / "agent.yaml"
    config.write_text(
        json.dumps(
            {
                "interval": "500ms", "collectors": off,
                "training": {"directory": None, "otlp_listen": f"127.0.0.1:{port}"},
            }
        )
    )  # fmt: skip
    agent = run_served("agent", "--config", str(config))
    url = f"http://127.0.0.1:{port}/v1/metrics"
    now = time.time()
    told = json.dumps(body(steps(2, 4, now, now + 4), gauge("tokens_per_sec", 10, now))).encode()
    until = time.monotonic() + 60
    while True:
        try:
            request = urllib.request.Request(url, told, {"Content-Type": "application/json"})
            with urllib.request.urlopen(request, timeout=10) as answer:
                assert answer.status == 200
            break
        except OSError:
            assert time.monotonic() < until
            time.sleep(0.2)
    key = (training.TRAINING_TOKENS.name, frozenset({("job_id", "42"), ("model", "llama")}))
    assert agent.wait_for(lambda samples: key in samples)[key] == pytest.approx(40)
