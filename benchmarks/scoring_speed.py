"""How long one tick of all detectors takes, and its exposition; prints JSON.

    python benchmarks/scoring_speed.py --gpus 1280

Processor time of one core, on made-up values. Rendering is measured twice: with the renderer that the service
uses for findings, and with prometheus_client, which it uses for its self-metrics only, for this reason.
"""

from __future__ import annotations

import argparse
import json
import resource
import time

import numpy as np
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily

from analytics.engine import Engine, Exposition, Outcome
from analytics.fleet import Fleet, Level, Tick
from analytics.signals import SIGNALS
from gigawatch.serving.exposition import Renderer


def fleet_of(gpus: int) -> Fleet:
    fleet = Fleet()
    labels = [
        {
            "uuid": f"GPU-{i}",
            "gpu": str(i % 8),
            "node": f"n{i // 8}",
            "rack": f"r{i // 72}",
            "loop": f"l{i // 288}",
            "job": f"j{i // 256}",
        }
        for i in range(gpus)
    ]
    for level, own in ((Level.GPU, "uuid"), (Level.NODE, "node"), (Level.RACK, "rack"), (Level.LOOP, "loop")):
        things = {one[own]: one for one in labels}
        fleet[level].rows(list(things), list(things.values()))
    return fleet


def ticks_of(fleet: Fleet, count: int, now: float) -> list[Tick]:
    rng = np.random.default_rng(0)
    usual = {
        "power": 600.0,
        "temperature": 58.0,
        "memory_temperature": 66.0,
        "utilization": 0.95,
        "clock": 1.9e9,
        "margin": 29.0,
        "rank_wait": 0.1,
        "inlet": 24.0,
        "rack_power": 60e3,
        "coolant_supply": 30.0,
        "coolant_flow": 0.9,
    }
    ticks = []
    for i in range(count):
        values = {
            s.key: usual[s.key] * (1 + 0.02 * rng.standard_normal(len(fleet[s.level]))) for s in SIGNALS
        }
        ticks.append(Tick(now + 5 * i, fleet, values))
    return ticks


class _Scores:
    """The same findings through prometheus_client."""

    def __init__(self, exposition: Exposition, outcome: Outcome) -> None:
        self._exposition, self._outcome = exposition, outcome

    def collect(self):  # type: ignore[no-untyped-def] # prometheus_client's own protocol
        families: dict[str, GaugeMetricFamily] = {}
        for metric, labels, value, _ in self._exposition.readings(self._outcome):
            family = families.get(metric.name)
            if family is None:
                family = families[metric.name] = GaugeMetricFamily(
                    metric.name, metric.help, labels=metric.labels
                )
            family.add_metric(labels, value)
        yield from families.values()


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--gpus", type=int, default=1280)
    parser.add_argument("--ticks", type=int, default=40)
    arguments = parser.parse_args()
    engine = Engine(fleet=fleet_of(arguments.gpus))
    for tick in ticks_of(engine.fleet, 25, 1e9):
        outcome = engine.run(tick)
    measured = ticks_of(engine.fleet, arguments.ticks, 1e9 + 1000)
    points = sum(len(values) for values in measured[0].values.values())
    began = time.process_time()
    for tick in measured:
        outcome = engine.run(tick)
    tick_seconds = (time.process_time() - began) / arguments.ticks
    exposition, renderer = Exposition(), Renderer()
    page = renderer.render(exposition.readings(outcome))
    began = time.process_time()
    renderer.render(exposition.readings(outcome))
    own = time.process_time() - began
    registry = CollectorRegistry()
    registry.register(_Scores(exposition, outcome))
    began = time.process_time()
    generate_latest(registry)
    client = time.process_time() - began
    print(
        json.dumps(
            {
                "gpus": arguments.gpus,
                "points_per_tick": points,
                "tick_milliseconds": round(1000 * tick_seconds, 2),
                "points_per_second_per_core": round(points / tick_seconds),
                "exposed_series": page.count(b"\n"),
                "render_milliseconds": round(1000 * own, 1),
                "prometheus_client_render_milliseconds": round(1000 * client, 1),
                "state_megabytes": round(sum(d.nbytes for d in engine.detectors) / 1e6, 1),
                "peak_memory_megabytes": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1),
            },
            indent=2,
        )
    )


if __name__ == "__main__":
    main()
