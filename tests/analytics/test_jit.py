"""Compiled code belongs to exactly the sources that it was made from, and never stops a start."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

CALLER = """
from pathlib import Path
import sys
sys.path.insert(0, sys.argv[1])
import analytics.jit as jit
jit._ROOM = Path(sys.argv[1])
from caller import answer
print(answer(1.0))
"""


def ask(room: Path, cache: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", CALLER, str(room)],
        env={**os.environ, "NUMBA_CACHE_DIR": cache},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.strip()


@pytest.fixture
def room(tmp_path):
    (tmp_path / "caller.py").write_text(
        "from analytics.jit import compiled\nfrom callee import part\n\n\n"
        "@compiled\ndef answer(x):\n    return part(x) + 1.0\n"
    )
    write(tmp_path, 2.0)
    return tmp_path


def write(room: Path, factor: float) -> None:
    (room / "callee.py").write_text(
        f"from analytics.jit import compiled\n\n\n@compiled\ndef part(x):\n    return {factor} * x\n"
    )


def test_a_caller_is_compiled_anew_when_what_it_calls_has_changed(room, tmp_path_factory):
    cache = str(tmp_path_factory.mktemp("cache"))
    assert ask(room, cache) == "3.0"
    assert any(Path(cache).rglob("*.nbi"))
    write(room, 30.0)
    assert ask(room, cache) == "31.0"


def test_without_a_place_for_the_cache_it_works_all_the_same(room):
    assert ask(room, "/proc/nowhere") == "3.0"
