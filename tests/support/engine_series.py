"""What came out of an engine's answer, as numbers by series."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from exporters.inference.normal import Normaliser

RECORDINGS = Path(__file__).resolve().parent.parent / "exporters" / "fixtures" / "engines"
_LINE = re.compile(rb'(aif_[a-z_]+)\{((?:[a-z_]+="(?:[^"\\\n]|\\[\\n"])*",?)+)\} (\S+)')
_LABEL = re.compile(r'([a-z_]+)="((?:[^"\\]|\\.)*)"')
Series = tuple[str, frozenset[tuple[str, str]]]


def recording(name: str) -> bytes:
    return (RECORDINGS / name).read_bytes()


def series(blocks: Mapping[str, bytes]) -> dict[Series, float]:
    """Every series of canonical blocks; refuses a malformed line and one that stands twice."""
    found: dict[Series, float] = {}
    for name, block in blocks.items():
        assert block.endswith(b"\n")
        for line in block.splitlines():
            match = _LINE.fullmatch(line)
            assert match is not None, line
            assert re.fullmatch(f"{name}(_bucket|_sum|_count)?", match.group(1).decode()), (name, line)
            key = (match.group(1).decode(), frozenset(_LABEL.findall(match.group(2).decode())))
            assert key not in found, line
            found[key] = float(match.group(3))
    return found


def pick(normaliser: Normaliser, metric: str, **labels: str) -> float | None:
    """The value of the one series with (at least) these labels; None where there is none."""
    wanted = set(labels.items())
    values = [
        value
        for (name, those), value in series(normaliser.blocks()).items()
        if name == f"aif_inference_{metric}" and wanted <= those
    ]
    assert len(values) <= 1, f"{metric} {labels}: {len(values)} series"
    return values[0] if values else None
