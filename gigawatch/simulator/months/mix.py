"""What a fleet of the generator is like: ranges that every plant draws its own constants from.

No two seeds give the same plant: thermal resistance, lag, inlet, noise, slowdown temperature,
quantisation and the share of every trouble are drawn anew per plant, most of them per GPU as well. A detector
that does well here has not learned one set of constants.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from gigawatch.errors import UserError

Range = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Mix:
    """Ranges (low, high) that are drawn from uniformly, once per plant unless said otherwise."""

    gpus_per_node: tuple[int, ...] = (4, 8)
    nodes_per_rack: tuple[int, ...] = (2, 4, 8)
    liquid: float = 0.5
    """Share of racks on a liquid loop."""
    blind: float = 1 / 3
    """Share of racks without inlet or supply sensor."""
    constant: float = 1 / 3
    """Share of nodes whose load never changes but for noise of 1 to 2 % and, at times, a new mix."""
    limit_watts: Range = (300.0, 1000.0)
    slowdown: Range = (82.0, 95.0)
    headroom: Range = (12.0, 32.0)
    """Kelvin between the hottest ordinary state and slowdown, per GPU."""
    tau: Range = (20.0, 150.0)
    offset: Range = (-3.0, 3.0)
    """Kelvin that a die's sensor is off, per GPU."""
    spread: Range = (0.03, 0.10)
    """Log-normal spread of thermal resistance within a model."""
    leakage: Range = (0.0, 0.004)
    """Relative power per kelvin over 50 °C."""
    air_inlet: Range = (18.0, 30.0)
    supply: Range = (22.0, 44.0)
    day: Range = (0.0, 3.0)
    """Amplitude of the daily swing of air, K; a third of it on loops."""
    season: Range = (-4.0, 4.0)
    """Kelvin over 40 days."""
    sensor_noise: Range = (0.05, 0.5)
    power_noise: Range = (0.01, 0.02)
    quanta: tuple[float, ...] = (1.0,)
    """Steps of the temperature reading, K."""
    gaps: Range = (0.05, 0.30)
    swaps: float = 0.02
    """Share of GPUs replaced within 30 days."""
    rack_events: float = 0.5
    """Rack-wide events per rack within 30 days."""
    node_events: float = 0.02
    updates: int = 2
    """Healthy steps of software: one version, many nodes, at one moment."""
    faulty: float = 0.12
    """Faults per GPU within 40 days."""
    drift: Range = (0.01, 0.08)
    """Relative rise of resistance a day."""
    fast: bool = False
    """Faults within minutes instead of days."""
    margin: float = 0.6
    """Chance that a plant reports the margin to slowdown."""
    pace: float = 1.0
    """How much faster jobs come and go than in real clusters."""


HARD = Mix()
MIXES: dict[str, Mix] = {
    "hard": HARD,
    "healthy": replace(HARD, faulty=0.0),
    "fast": replace(
        HARD, fast=True, gaps=(0.0, 0.10), swaps=0.0, rack_events=0.0, updates=0, node_events=0.0,
        faulty=0.15,
        pace=6.0,
    ),
    "other": replace(
        HARD, gpus_per_node=(2, 6, 16), nodes_per_rack=(3, 5), limit_watts=(250.0, 1400.0), slowdown=(78.0,
        105.0),
        headroom=(10.0, 45.0), tau=(8.0, 240.0), offset=(-6.0, 6.0), spread=(0.02, 0.15), leakage=(0.0,
        0.006),
        air_inlet=(14.0, 36.0), supply=(16.0, 48.0), day=(0.0, 5.0), sensor_noise=(0.0, 1.0),
        power_noise=(0.005, 0.04), quanta=(0.1, 0.5, 1.0, 2.0),
    ),
}  # fmt: skip
"""`other` has constants that no detector was tuned on."""


def mix_named(name: str) -> Mix:
    """The mix of that name. UserError if there is none."""
    if name not in MIXES:
        raise UserError(f"--mix {name}: not known; allowed: {', '.join(MIXES)}")
    return MIXES[name]
