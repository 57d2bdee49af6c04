"""Ray Serve LLM: the figures of vLLM and SGLang by way of Ray.

Traps that this table knows: they stand in the exposition of each node's agent, not in that of the replica,
next to Ray's own; `:` is written as `_`, and `ray_` put before; counters whose name in the engine's source
has no `_total` stand twice, once as a gauge without it; buckets with an edge of zero are dropped; an agent
tells of all replicas on its node, one by label `ReplicaId`. `rayllm_*` is in milliseconds and the same
again. Nothing at that port speaks of the health of a replica. The tables are those of the engines, renamed
here.
"""

from __future__ import annotations

from dataclasses import replace

from exporters.inference.dialect import Dialect, Figure, FirstOf, Sample
from exporters.inference.dialects import sglang, vllm


def renamed(name: str) -> str:
    """What Ray makes of an engine's name (or the beginning of one)."""
    return "ray_" + name.replace(":", "_")


def _sample(sample: Sample) -> Sample:
    minus = sample.minus and _sample(sample.minus)
    return replace(sample, name=renamed(sample.name), minus=minus)


def _figure(figure: Figure | FirstOf) -> Figure | FirstOf:
    if isinstance(figure, Figure):
        return replace(figure, sample=_sample(figure.sample))
    sets = tuple(
        tuple(replace(one, sample=_sample(one.sample)) for one in figures) for figures in figure.sets
    )
    return replace(figure, sets=sets)


def _by_ray(own: Dialect) -> Dialect:
    twins = {renamed(name.removesuffix("_total")) for name in own.names() if name.endswith("_total")} - {
        renamed(name) for name in own.names()
    }
    return replace(
        own,
        engine=f"ray_{own.engine}",
        title=f"{own.title} on Ray Serve",
        version=f"Ray 2.60.0, {own.title} {own.version}",
        origin=f"python/ray/_private/metrics_agent.py of ray-project/ray and the wrappers of {own.title} for "
        f"it (ray_wrappers); names of {own.title}: {own.origin}; not recorded",
        recognised_by=tuple(renamed(name) for name in own.recognised_by),
        port=8080,
        needs="read at the metrics port of each node's Ray agent (--metrics-export-port), with "
        f"log_engine_metrics; {own.title} {own.needs}",
        health=None,
        progress=tuple(_sample(sample) for sample in own.progress),
        rank_label="ReplicaId",
        figures=tuple(_figure(figure) for figure in own.figures),
        ignored=(
            *(renamed(name) for name in own.ignored if name.startswith(own.recognised_by)),
            *sorted(twins),
        ),
    )


DIALECTS = (_by_ray(vllm.DIALECT), _by_ray(sglang.DIALECT))
