"""Bodies of OTLP that are none of ours, or broken: whatever comes, no counter falls.

Meters, units and attributes of the job are those of Megatron-LM d98e8a64dd
(`megatron/core/telemetry/training_metrics.py`), and of its later versions (`docs/user-guide/observability`).
The JSON follows https://opentelemetry.io/docs/specs/otlp/#json-protobuf-encoding.
"""

from __future__ import annotations

import contextlib
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
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from otlp_intake import Intake, body, gauge, steps

from exporters.runtime.gate import Gate
from exporters.runtime.source import SourceError
from exporters.training.meters import METERS, meter
from exporters.training.otlp import OtlpSource
from exporters.training.otlp_points import LARGEST, BodyError, points, unpacked
from exporters.training.voices import Voices
from gigawatch.catalogue import training


@pytest.fixture
def intake() -> Iterator[Intake]:
    made = Intake()
    yield made
    made.source.close()


def test_names_as_collectors_spell_them() -> None:
    known = METERS["megatron.training.step_duration_ms"]
    for name in (
        "megatron_training_step_duration_ms_milliseconds",
        "megatron_training_step_duration_ms",
        "megatron.training.step_duration_ms",
    ):
        assert meter(name) is known
    for name in ("nv_dl_training_tokens_processed_tokens_total", "nv_dl_training_tokens_processed_total"):
        assert meter(name) is METERS["nv.dl.training.tokens.processed"]
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
    status, answer = intake.post(b" " * (2 << 20) + b"{}")
    assert (status, answer[:15]) == (413, b"body too large ")
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
    with contextlib.suppress(BodyError):
        assert len(unpacked(data, encoding)) <= LARGEST
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
