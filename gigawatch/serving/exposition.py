"""The Prometheus text exposition format (version 0.0.4), written from readings."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from functools import lru_cache

from gigawatch.catalogue import PREFIX, Metric, by_name
from gigawatch.readings import Reading, sample

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
OPENMETRICS_TYPE = "application/openmetrics-text; version=1.0.0; charset=utf-8"

Blocks = dict[str, bytes]
"""Sample lines by metric name, without HELP and TYPE: what `assemble` makes an exposition from."""

_PREFIX = PREFIX.encode()
_HEADER = re.compile(rb"^# HELP (\S+) ([^\n]*)\n# TYPE \S+ (\w+)$", re.MULTILINE)


class Renderer:
    """Turns readings into exposition text, keeping the text before each value from one tick to the next.

    Not safe for several threads at once.
    """

    def __init__(self) -> None:
        self._prefix: dict[tuple[Metric, tuple[str, ...]], str] = {}

    def blocks(self, readings: Iterable[Reading]) -> Blocks:
        """Families in order of first appearance; a repeated series keeps the last."""
        families: dict[Metric, dict[str, float]] = {}
        prefixes = self._prefix
        last: Metric | None = None
        rows: dict[str, float] = {}
        for metric, labels, value, _ in readings:
            if metric is not last:
                last = metric
                rows = families.get(metric)  # type: ignore[assignment] # filled in on the next line
                if rows is None:
                    rows = families[metric] = {}
            try:
                rows[prefixes[metric, labels]] = value
            except KeyError:
                rows.setdefault(prefixes.setdefault((metric, labels), series_prefix(metric, labels)), value)
        if len(prefixes) > 4 * sum(map(len, families.values())) + 1000:
            prefixes.clear()  # series that are gone must not pile up
        return {metric.name: _lines(rows) for metric, rows in families.items()}

    def render(self, readings: Iterable[Reading]) -> bytes:
        """One exposition, with HELP and TYPE for each family."""
        return assemble((self.blocks(readings),))


def assemble(parts: Iterable[Mapping[str, bytes]]) -> bytes:
    """One exposition from parts that share no series: families in order of first appearance."""
    families: dict[str, list[bytes]] = {}
    for part in parts:
        for name, lines in part.items():
            try:
                families[name].append(lines)
            except KeyError:
                families[name] = [_header(name), lines]
    return b"".join([piece for pieces in families.values() for piece in pieces])


def render(readings: Iterable[Reading]) -> bytes:
    """One exposition, nothing kept."""
    return Renderer().render(readings)


def to_openmetrics(text: bytes) -> bytes:
    """The same exposition in OpenMetrics 1.0: only headers differ, so no sample is touched.

    `text` is in the text format with HELP before TYPE in every family, as the Renderer and prometheus_client
    write it.
    """
    return _HEADER.sub(_openmetrics_header, text) + b"# EOF\n"


@lru_cache(maxsize=4096)
def _header(name: str) -> bytes:
    metric = by_name(name)
    return f"# HELP {name} {_escape_help(metric.help)}\n# TYPE {name} {metric.kind.exposed_as}\n".encode()


def _openmetrics_header(match: re.Match[bytes]) -> bytes:
    name, text, kind = match.groups()
    if kind == b"counter":
        # Without that ending no counter can be told in OpenMetrics.
        base = name.removesuffix(b"_total")
        name, kind = (base, kind) if base not in (name, b"") else (name, b"unknown")
    elif kind == b"gauge" and name.endswith(b"_info") and name.startswith(_PREFIX):
        name, kind = name.removesuffix(b"_info"), b"info"
    elif kind == b"untyped":
        kind = b"unknown"
    text = text.replace(b'"', b'\\"')
    return b"# HELP %b %b\n# TYPE %b %b" % (name, text, name, kind)


def series_prefix(metric: Metric, labels: tuple[str, ...]) -> str:
    """What stands before the value of a series: name, labels, a blank."""
    name, named = sample(metric, labels)
    pairs = ",".join(f'{label}="{escape_label(value)}"' for label, value in named.items())
    return f"{name}{{{pairs}}} " if pairs else f"{name} "


def escape_label(value: str) -> str:
    """A label value as it stands between quotes."""
    return value.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')


def _escape_help(value: str) -> str:
    return value.replace("\\", "\\\\").replace("\n", "\\n")


def _lines(rows: Mapping[str, float]) -> bytes:
    text = "".join([f"{prefix}{value + 0.0!r}\n" for prefix, value in rows.items()])
    if (
        "inf" in text or "nan" in text
    ):  # not as the format spells them, or only a name that holds these letters
        text = "".join([f"{prefix}{_number(value)}\n" for prefix, value in rows.items()])
    return text.encode()


def _number(value: float) -> str:
    if math.isfinite(value):
        return repr(float(value))
    return "NaN" if value != value else "+Inf" if value > 0 else "-Inf"
