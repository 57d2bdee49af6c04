"""What goes wrong, when and how fast; and what only looks as if something went wrong."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gigawatch.simulator.months.fleet import DAY, Array, Mask, Months, draw

DRIFTS = ("thermal-interface", "thermal-interface", "thermal-interface", "thermal-interface",
"cold-plate-fouling",
          "thermal-step")  # fmt: skip
FAST = ("ramp", "ramp", "ramp", "flow-loss", "fan-failure")


@dataclass(slots=True)
class Trouble:
    """One fault or event on the GPUs `hit`; `failure` is when the first of them throttled, NaN before.

    `rate` is in its kind's own unit: share of resistance a day (drift), kelvin a minute (ramp), share of
    resistance (step, flow, fan) or kelvin (inlet).
    """

    kind: str
    entity: str
    hit: Mask
    start: float
    end: float
    rate: float
    exponential: bool = False
    failure: float = float("nan")
    rack: int = -1
    known: bool = True
    """Whether it stands in the truth; a healthy step of software does not."""


def plan(plant: Months) -> list[Trouble]:
    """Faults and events of a plant, at most one fault per node."""
    rng = np.random.default_rng([plant.seed, 3])
    mix, span = plant.mix, plant.span
    found: list[Trouble] = []
    count = int(rng.poisson(mix.faulty * plant.gpus * min(1.0, span / (40 * DAY)) if not mix.fast else
                            mix.faulty * plant.gpus))  # fmt: skip
    free = list(rng.permutation(plant.nodes))
    taken: set[int] = set()
    while count > 0 and free:
        count -= 1
        node = int(free.pop())
        rack = int(plant.node_rack[node])
        if rack in taken:
            continue
        here = np.flatnonzero((plant.node == node) & ~np.isfinite(plant.ends) & (plant.begins == 0))
        if here.size:
            kind = str(rng.choice(FAST if mix.fast else DRIFTS))
            trouble = _fault(plant, rng, kind, node, int(rng.choice(here)))
            if trouble.rack >= 0:
                taken.add(rack)
            found.append(trouble)
    months = span / (30 * DAY)
    for rack in range(plant.racks):
        found += [_rack_event(plant, rng, rack) for _ in range(rng.poisson(mix.rack_events * months))]
    for _ in range(rng.poisson(mix.node_events * plant.nodes * months)):
        node = int(rng.integers(plant.nodes))
        if not plant.rack_liquid[plant.node_rack[node]] and mix.faulty > 0:
            found.append(_fault(plant, rng, "fan-failure", node, -1))
    for _ in range(mix.updates):
        chosen = rng.random(plant.nodes) < rng.uniform(0.3, 1.0)
        at = float(rng.uniform(0.1, 0.9)) * span
        found.append(
            Trouble("update", "", chosen[plant.node], at, np.inf, float(rng.normal(0, 0.05)), known=False)
        )
    return found


def _fault(plant: Months, rng: np.random.Generator, kind: str, node: int, gpu: int) -> Trouble:
    mix, span = plant.mix, plant.span
    rack = int(plant.node_rack[node])
    one = np.arange(plant.gpus) == gpu
    whole = plant.node == node
    name = f"node:{plant.node_name(node)}"
    start = float(rng.uniform(0.3, 0.75) if mix.fast else rng.uniform(0.07, 0.7)) * span
    rate = float(draw(rng, mix.drift))
    if kind == "cold-plate-fouling" and not plant.rack_liquid[rack]:
        kind = "fan-clogging"
    if kind == "flow-loss" and not plant.rack_liquid[rack]:
        kind = "ramp"
    match kind:
        case "thermal-interface":
            return Trouble(kind, plant.uuid[gpu], one, start, span, rate, bool(rng.random() < 0.5))
        case "cold-plate-fouling" | "fan-clogging":
            return Trouble(kind, name, whole, start, span, rate, bool(rng.random() < 0.5))
        case "thermal-step":
            return Trouble(kind, plant.uuid[gpu], one, start, span, float(rng.uniform(0.1, 0.3)))
        case "ramp":
            return Trouble(kind, plant.uuid[gpu], one, start, span, float(rng.uniform(0.5, 5.0)))
        case "flow-loss":
            loop = f"loop:{plant.loop_name(rack)}"
            return Trouble(
                kind, loop, plant.rack == rack, start, span, float(rng.uniform(0.3, 2.0)), rack=rack
            )
        case _:
            return Trouble("fan-failure", name, whole, start, span, float(rng.uniform(0.25, 0.5)))


def _rack_event(plant: Months, rng: np.random.Generator, rack: int) -> Trouble:
    start = float(rng.uniform(0.05, 0.95)) * plant.span
    hit = plant.rack == rack
    liquid = bool(plant.rack_liquid[rack])
    entity = f"loop:{plant.loop_name(rack)}" if liquid else f"rack:{plant.rack_name(rack)}"
    kind = "supply-drift" if liquid else "inlet-temperature"
    lasts = float(rng.uniform(1, 12) if not liquid else rng.uniform(12, 96)) * 3600
    return Trouble(
        kind, entity, hit, start, min(start + lasts, plant.span), float(rng.uniform(3, 8)), rack=rack
    )


def factor(trouble: Trouble, now: float, rise: Array) -> Array:
    """By how much the resistance of the GPUs it hits is multiplied now; `rise` is theirs at full load
    in kelvin."""
    t = now - trouble.start
    if t < 0 or now >= trouble.end:
        return np.ones(rise.shape)
    match trouble.kind:
        case "thermal-interface" | "cold-plate-fouling" | "fan-clogging":
            grown = (1 + trouble.rate) ** (t / DAY) if trouble.exponential else 1 + trouble.rate * t / DAY
            return np.full(rise.shape, min(grown, 4.0))
        case "ramp":
            return np.minimum(1 + trouble.rate * t / 60 / rise, 4.0)
        case "flow-loss":  # flow falls by `rate` a minute; resistance follows its power of -0.8 in part
            flow = flow_left(trouble, now)
            return np.full(rise.shape, 0.4 + 0.6 * flow**-0.8)
        case "thermal-step" | "update":
            return np.full(rise.shape, 1 + trouble.rate)
        case "fan-failure":
            return np.full(rise.shape, 1 + trouble.rate * min(t / 120, 1.0))
        case _:
            return np.ones(rise.shape)


def flow_left(trouble: Trouble, now: float) -> float:
    """Share of a loop's flow that a loss of flow leaves."""
    t = max(now - trouble.start, 0.0) / 60
    return max(0.12, float(np.exp(-0.3 * trouble.rate * t)))


def warmer(trouble: Trouble, now: float) -> float:
    """Kelvin that air or coolant is warmer: an inlet event ramps within 10 minutes, a supply drifts."""
    if not trouble.start <= now < trouble.end:
        return 0.0
    t, lasts = now - trouble.start, trouble.end - trouble.start
    if trouble.kind == "inlet-temperature":
        return trouble.rate * min(1.0, t / 600)
    if trouble.kind == "supply-drift":
        return trouble.rate * min(1.0, t / (0.5 * lasts))
    return 0.0
