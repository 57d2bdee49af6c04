"""The dialects, one file each. A new engine is a file here, its line below, and a recording."""

from __future__ import annotations

from functools import cache
from importlib import import_module

from exporters.inference.dialect import Dialect

MODULES = ("vllm",)


@cache
def all_dialects() -> tuple[Dialect, ...]:
    """Every dialect, in the order in which an unnamed engine is tried for."""
    return tuple(import_module(f"{__name__}.{name}").DIALECT for name in MODULES)
