"""The Prometheus text exposition format (version 0.0.4), written from readings."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable

from gigawatch.catalogue import Metric
from gigawatch.readings import Reading

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
OPENMETRICS_TYPE = "application/openmetrics-text; version=1.0.0; charset=utf-8"

_HEADER = re.compile(rb"^# HELP (\S+) ([^\n]*)\n# TYPE \S+ (\w+)$", re.MULTILINE)


class Renderer:
    """Turns readings into exposition text, keeping the text before each value from one tick to the next.

    Not safe for several threads at once.
    """

    def __init__(self) -> None:
        self._prefix: dict[tuple[Metric, tuple[str, ...]], str] = {}

    def render(self, readings: Iterable[Reading]) -> bytes:
        """Families in order of first appearance, with HELP and TYPE; a repeated series keeps the last."""
        families: dict[Metric, dict[tuple[str, ...], float]] = {}
        for metric, labels, value, _ in readings:
            family = families.get(metric)
            if family is None:
                family = families[metric] = {}
            family[labels] = value
        lines: list[str] = []
        append, prefixes = lines.append, self._prefix
        for metric, rows in families.items():
            append(f"# HELP {metric.name} {_escape_help(metric.help)}")
            append(f"# TYPE {metric.name} {metric.kind.exposed_as}")
            for labels, value in rows.items():
                key = (metric, labels)
                prefix = prefixes.get(key)
                if prefix is None:
                    prefix = prefixes[key] = _prefix(metric, labels)
                append(f"{prefix}{_number(value)}")
        if len(prefixes) > 4 * sum(map(len, families.values())) + 1000:
            prefixes.clear()  # series that are gone must not pile up
        lines.append("")
        return "\n".join(lines).encode()


def render(readings: Iterable[Reading]) -> bytes:
    """One exposition, nothing kept."""
    return Renderer().render(readings)


def to_openmetrics(text: bytes) -> bytes:
    """The same exposition in OpenMetrics 1.0: only headers differ, so no sample is touched.

    `text` is in the text format with HELP before TYPE in every family, as the Renderer and prometheus_client
    write it.
    """
    return _HEADER.sub(_openmetrics_header, text) + b"# EOF\n"


def _openmetrics_header(match: re.Match[bytes]) -> bytes:
    name, text, kind = match.groups()
    if kind == b"counter":
        name = name.removesuffix(b"_total")
    elif kind == b"gauge" and name.endswith(b"_info"):
        name, kind = name.removesuffix(b"_info"), b"info"
    elif kind == b"untyped":
        kind = b"unknown"
    text = text.replace(b'"', b'\\"')
    return b"# HELP %b %b\n# TYPE %b %b" % (name, text, name, kind)


def _prefix(metric: Metric, labels: tuple[str, ...]) -> str:
    if len(labels) != len(metric.labels):
        raise ValueError(f"{metric.name} has labels {metric.labels}, got {len(labels)} values")
    pairs = ",".join(f'{k}="{_escape(v)}"' for k, v in zip(metric.labels, labels, strict=True))
    return f"{metric.name}{{{pairs}}} " if pairs else f"{metric.name} "


def _escape(value: str) -> str:
    return value.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')


def _escape_help(value: str) -> str:
    return value.replace("\\", "\\\\").replace("\n", "\\n")


def _number(value: float) -> str:
    if math.isinf(value):
        return "+Inf" if value > 0 else "-Inf"
    return repr(float(value)) if value == value else "NaN"
