"""How dcgm-exporter says which GPU it speaks of."""

from __future__ import annotations

from gigawatch.catalogue import Unit
from gigawatch.promql.dialects.model import Pick, Taken
from gigawatch.promql.dialects.rules import PLACE, vector

TAKEN = (
    # A node that the scrape has set wins. The exporter's own label was renamed in May 2026 (its PR 655).
    Taken("node", ("node", "hostname", "Hostname")),
    # Series of links say gpu_uuid.
    Taken("uuid", ("uuid", "UUID", "gpu_uuid")),
)
GPU = (*PLACE, "gpu", "uuid")
BY_GPU = f"by ({', '.join(GPU)})"
ON_GPU = f"on ({', '.join(GPU)})"


def per_gpu(pick: Pick, *extra: str, unit: Unit = Unit.COUNT, combine: str = "max") -> str:
    """A field as one series per GPU (and per value of the `extra` labels)."""
    return vector(pick, (*GPU, *extra), TAKEN, unit, combine)


def over_gpu(text: str, *extra: str, taken: tuple[Taken, ...] = (), combine: str = "max") -> str:
    """An expression over raw series of dcgm-exporter as one series per GPU (and per value of `extra`)."""
    for one in (*taken, *TAKEN):
        text = one.over(text)
    return f"{combine} by ({', '.join((*GPU, *extra))}) ({text})"
