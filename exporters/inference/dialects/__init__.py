"""The dialects, one file each. A new engine is a file here, its line below, and a recording."""

from __future__ import annotations

from functools import cache
from importlib import import_module

from exporters.inference.dialect import Dialect

MODULES = (
    # Engines by names of their own. Dynamo's workers, NIM 2.x and KServe pass these on beside others'.
    "vllm",
    "llamacpp",
    "sglang",
    "tensorrt_llm",
    "lmdeploy",
    "tgi",
    "triton",
    "ray_serve",
    # What stands before engines: its names come alone.
    "dynamo",
    "llm_d",
    "proxy",
    # Names without a prefix: last.
    "nim",
)


@cache
def all_dialects() -> tuple[Dialect, ...]:
    """Every dialect, in the order in which an unnamed engine is tried for."""
    found: list[Dialect] = []
    for name in MODULES:
        module = import_module(f"{__name__}.{name}")
        found += getattr(module, "DIALECTS", None) or (module.DIALECT,)
    return tuple(found)
