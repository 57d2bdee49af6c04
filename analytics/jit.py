"""Compiled loops over series: numba, set up in one place.

A compiled function is kept on disk beside its source (or in NUMBA_CACHE_DIR), so that only the first start
pays for compiling; where nothing can be written, it is compiled anew at every start. Nothing is compiled
before the first call.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import ParamSpec, TypeVar, cast

import numba

P = ParamSpec("P")
R = TypeVar("R")


def compiled(function: Callable[P, R]) -> Callable[P, R]:
    """Compile a function of arrays and numbers on its first call; it releases the interpreter's lock.

    NaN keeps its meaning (no "fast" arithmetic), since NaN is how an absent value looks.
    """
    try:
        made = numba.njit(cache=True, nogil=True, error_model="numpy")(function)
    except RuntimeError:  # no folder for the cache can be written
        made = numba.njit(nogil=True, error_model="numpy")(function)
    return cast("Callable[P, R]", made)
