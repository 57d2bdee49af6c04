"""The OTLP intake of training jobs on a port of its own, and exports written by hand.

The JSON follows https://opentelemetry.io/docs/specs/otlp/#json-protobuf-encoding.
"""

from __future__ import annotations

import json
import time
import urllib.error
import urllib.request
from typing import Any

from exporters.runtime.gate import Gate
from exporters.runtime.source import SourceError
from exporters.training.otlp import OtlpSource
from exporters.training.voices import Voices
from gigawatch.catalogue import Metric

SLURM = {"slurm.job.id": "42", "gigawatch.model": "llama"}
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


def body(*metrics: dict[str, Any], **attributes: Any) -> dict[str, Any]:
    named = SLURM | {name.replace("_", "."): value for name, value in attributes.items()}
    told = [{"key": name, "value": {"stringValue": str(value)}} for name, value in named.items()]
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
