"""Compiled loops over series: numba, set up in one place.

A compiled function is kept on disk (in NUMBA_CACHE_DIR, else beside the sources), so that only the first
start pays for compiling; where nothing can be written, it is compiled anew at every start. Nothing is
compiled before the first call.
"""

from __future__ import annotations

import hashlib
import shutil
import time
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import ParamSpec, TypeVar, cast

import numba
from numba.core import config

P = ParamSpec("P")
R = TypeVar("R")
_ROOM = Path(__file__).parent
_PREFIX = "sources-"
_KEPT = 7 * 86400.0
"""Seconds after which what older sources were compiled to is thrown away."""


def compiled(function: Callable[P, R]) -> Callable[P, R]:
    """Compile a function of arrays and numbers on its first call; it releases the interpreter's lock.

    NaN keeps its meaning (no "fast" arithmetic), since NaN is how an absent value looks.
    """
    config.CACHE_DIR = _folder(config.CACHE_DIR)  # type: ignore[attr-defined] # set as it is loaded
    try:
        made = numba.njit(cache=True, nogil=True, error_model="numpy")(function)
    except (RuntimeError, OSError):  # no folder for the cache can be written
        made = numba.njit(nogil=True, error_model="numpy")(function)
    return cast("Callable[P, R]", made)


@cache
def _folder(given: str) -> str:
    """Where compiled code of exactly these sources is kept.

    numba looks at the file of a function alone, not at the files of those that it calls: code of a caller
    would go on holding what it called before an upgrade.
    """
    if Path(given).name.startswith(_PREFIX):
        return given
    base = Path(given) if given else _ROOM / "__pycache__"
    stamp = hashlib.blake2b(digest_size=8)
    for path in sorted(_ROOM.rglob("*.py")):
        about = path.stat()
        stamp.update(f"{path.relative_to(_ROOM)} {about.st_size} {about.st_mtime_ns}\n".encode())
    folder = base / f"{_PREFIX}{stamp.hexdigest()}"
    _tidy(base, folder)
    return str(folder)


def _tidy(base: Path, folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for other in base.glob(f"{_PREFIX}*"):
            if other != folder and time.time() - other.stat().st_mtime > _KEPT:
                shutil.rmtree(other, ignore_errors=True)
    except OSError:
        return
