"""Bodies of OTLP over HTTP: what they say of the meters we know, and nothing else of them.

Imported only where the intake is switched on: OpenTelemetry's messages take memory.
"""

from __future__ import annotations

import hashlib
import json
import zlib
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from google.protobuf import json_format
from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.metrics.v1 import metrics_pb2

from exporters.training.meters import UNITS, Role, meter

LARGEST = 4 << 20
"""Bytes of a body, unpacked."""
_DELTA = metrics_pb2.AGGREGATION_TEMPORALITY_DELTA
_NOTHING = metrics_pb2.DATA_POINT_FLAGS_NO_RECORDED_VALUE_MASK
_ATTRIBUTES = 128
_POINTS = 2000


class BodyError(ValueError):
    """A body that is none. `status` is what HTTP calls it."""

    def __init__(self, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.status = status


class Point(NamedTuple):
    """One value. Times are Unix seconds; `start` is 0 where none was told. `records` is 0 but for histograms.
    `series` tells points of one meter apart."""

    role: Role
    series: str
    delta: bool
    start: float
    time: float
    value: float
    records: float


Attributes = Mapping[str, str]


def unpacked(body: bytes, encoding: str) -> bytes:
    """The body as it was before it was compressed. Raises BodyError."""
    if encoding in ("", "identity"):
        data = body
    elif encoding in ("gzip", "deflate"):
        try:
            engine = zlib.decompressobj(47)  # either of the two, whichever its first bytes say
            data = engine.decompress(body, LARGEST + 1)
        except zlib.error:
            raise BodyError(f"body is not {encoding}") from None
        if not engine.eof and len(data) <= LARGEST:
            raise BodyError(f"body is not {encoding}: it breaks off")
    else:
        raise BodyError("content encoding is not known; allowed: gzip, deflate or none", 415)
    if len(data) > LARGEST:
        raise BodyError(f"body is larger than {LARGEST} bytes", 413)
    return data


def points(data: bytes, is_json: bool) -> Iterator[tuple[Attributes, list[Point]]]:
    """For each resource its attributes and its points of known meters. Raises BodyError."""
    for resource in _request(data, is_json).resource_metrics:
        found = [
            point for scope in resource.scope_metrics for metric in scope.metrics for point in _points(metric)
        ]
        if found:
            yield _attributes(resource.resource.attributes), found[:_POINTS]


def mark(attributes: Attributes) -> str:
    """What tells these attributes from others, and takes little room."""
    return hashlib.blake2b(repr(sorted(attributes.items())).encode(), digest_size=16).hexdigest()


def _request(data: bytes, is_json: bool) -> Any:
    try:
        if is_json:
            return json_format.ParseDict(
                json.loads(data), ExportMetricsServiceRequest(), ignore_unknown_fields=True
            )
        return ExportMetricsServiceRequest.FromString(data)
    except (DecodeError, json_format.ParseError, ValueError, TypeError, AttributeError, RecursionError):
        raise BodyError("body is no ExportMetricsServiceRequest") from None


def _points(metric: Any) -> Iterator[Point]:
    known = meter(metric.name)
    if known is None:
        return
    kind = metric.WhichOneof("data")
    if kind is None:
        return
    wanted = {
        "duration": ("histogram", "exponential_histogram"),
        "tokens": ("sum",),
    }.get(known.role, ("gauge",))
    if kind not in wanted:
        return
    data = getattr(metric, kind)
    delta = kind != "gauge" and data.aggregation_temporality == _DELTA
    scale = UNITS.get(metric.unit, known.scale) if known.role == "duration" else known.scale
    for point in data.data_points:
        if point.flags & _NOTHING:
            continue
        if known.role == "duration":
            value, count = point.sum, float(point.count)
        else:
            value, count = float(point.as_int if point.HasField("as_int") else point.as_double), 0.0
        yield Point(
            known.role,
            mark(_attributes(point.attributes)),
            delta,
            point.start_time_unix_nano / 1e9,
            point.time_unix_nano / 1e9,
            value * scale,
            count,
        )


def _attributes(pairs: Any) -> Attributes:
    """Attributes whose values are plain, as text."""
    found = {}
    for pair in pairs[:_ATTRIBUTES]:
        kind = pair.value.WhichOneof("value")
        if kind in ("string_value", "int_value", "double_value", "bool_value"):
            found[pair.key] = str(getattr(pair.value, kind))
    return found
