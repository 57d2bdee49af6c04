"""Predictive maintenance on generated fleets: what is found, how early, how often in vain; prints JSON.

    python benchmarks/hard_mix.py --mix hard --gpus 128 --days 40 --seeds 1 2 3

Plants come from `gigawatch simulate --mix` and go to the detectors tick by tick, without a file in between.
Every seed is another plant with other constants; mix `other` draws them from wider ranges.
"""

from __future__ import annotations

import argparse
import json
import time
from collections import defaultdict
from dataclasses import dataclass, field

import numpy as np

from analytics.detectors import detector_classes
from analytics.engine import Engine
from analytics.fleet import Fleet, Level, Tick
from gigawatch.simulator.months.faults import Trouble
from gigawatch.simulator.months.fleet import Months, populate
from gigawatch.simulator.months.mix import MIXES, mix_named
from gigawatch.simulator.months.run import COLUMNS, Block, Run

YEAR = 365.25 * 86400.0
GRACE = 600.0
KEYS = ("power", "temperature", "margin", "utilization", "inlet", "coolant_supply", "coolant_flow")
SHARED = ("supply-drift", "inlet-temperature", "flow-loss")


@dataclass
class Told:
    """An incident as it was first told, and every forecast after: when it was made, seconds, bounds."""

    entity: str
    cause: str
    opened: float
    gpus: set[str]
    seen: float = 0.0
    etas: list[tuple[float, float, float, float]] = field(default_factory=list)


def enrol(plant: Months) -> Fleet:
    fleet = Fleet()
    names = [
        (plant.node_name(n), plant.rack_name(r), plant.loop_name(r)) for n, r in enumerate(plant.node_rack)
    ]
    gpus = [
        {
            "uuid": plant.uuid[i],
            "gpu": plant.slot[i],
            **dict(zip(("node", "rack", "loop"), names[n], strict=True)),
        }
        for i, n in enumerate(plant.node)
    ]
    fleet[Level.GPU].rows([g["uuid"] for g in gpus], gpus)
    nodes = [dict(zip(("node", "rack", "loop"), name, strict=True)) for name in names]
    fleet[Level.NODE].rows([n["node"] for n in nodes], nodes)
    racks = sorted({name[1] for name in names})
    fleet[Level.RACK].rows(racks, [{"rack": name} for name in racks])
    loops = sorted({name[2] for name in names} - {""})
    fleet[Level.LOOP].rows(loops, [{"loop": name} for name in loops])
    return fleet


class Feed:
    """Blocks of a plant as ticks."""

    def __init__(self, plant: Months, fleet: Fleet) -> None:
        self._fleet = fleet
        self._first_of_node = np.unique(plant.node, return_index=True)[1]
        racks = np.array([plant.loop_name(r) for r in range(plant.racks)])
        loops = fleet[Level.LOOP].keys
        self._first_of_loop = np.array([int(np.argmax(racks[plant.rack] == name)) for name in loops], np.intp)

    def ticks(self, block: Block):
        for i, now in enumerate(block.times):
            tick = Tick(float(now), self._fleet)
            for key, column in zip(KEYS, COLUMNS, strict=True):
                row = block.columns[column][i].astype(np.float64)
                if key == "inlet":
                    row = row[self._first_of_node]
                elif key.startswith("coolant"):
                    row = row[self._first_of_loop]
                if np.isfinite(row).any():
                    tick.values[key] = row
            yield tick


def play(plant: Months, names: list[str] | None) -> tuple[list[Told], list[Trouble], float, float, int]:
    run, fleet = Run(plant), enrol(plant)
    detectors = [new() for new in detector_classes() if new.suspects and (not names or new.name in names)]
    engine, feed = Engine(detectors, fleet), Feed(plant, fleet)
    told: dict[str, Told] = {}
    spent, points, watched = 0.0, 0, 0.0
    for block in run.blocks(240):
        points += sum(int(np.isfinite(values).sum()) for values in block.columns.values())
        watched += float(np.isfinite(block.columns[COLUMNS[0]]).sum()) * plant.step
        ticks = list(feed.ticks(block))
        began = time.process_time()
        for tick in ticks:
            outcome = engine.run(tick)
            if outcome.failed:
                raise RuntimeError(outcome.failed)
            for incident in outcome.incidents:
                name = incident.name
                if name not in told:
                    told[name] = Told(incident.entity, incident.cause, tick.now, set())
                told[name].seen = tick.now
                told[name].gpus.update(incident.gpus)
                if incident.eta is not None:
                    low, high = (v if v is not None else np.nan for v in (incident.earliest, incident.latest))
                    told[name].etas.append((tick.now, incident.eta, low, high))
        spent += time.process_time() - began
    for trouble in run.troubles:
        trouble.start += plant.start
        trouble.end += plant.start
        trouble.failure += plant.start
    return list(told.values()), run.troubles, watched / YEAR, spent, points


def matches(told: Told, trouble: Trouble, gpus: set[str]) -> bool:
    last = max(trouble.end, trouble.failure if trouble.failure == trouble.failure else 0.0) + GRACE
    if not trouble.start <= told.opened <= last:
        return False
    # An incident about much more than a fault has not found it: it would send people to a whole rack.
    both = len(told.gpus & gpus)
    return told.entity == trouble.entity or (both > 0 and 2 * both >= len(told.gpus))


def standing(told: list[Told], at: float) -> tuple[float, float, float, float] | None:
    """The forecast that stood at a moment; None if there was none."""
    return max((eta for t in told for eta in t.etas if at - 12 * 3600 <= eta[0] <= at), default=None)


def eta_error(told: list[Told], at: float, failure: float) -> float | None:
    """Signed relative error of the forecast that stood at a moment; None if there was none."""
    found = standing(told, at)
    return None if found is None else (found[0] + found[1] - failure) / (failure - at)


def holds(eta: tuple[float, float, float, float] | None, failure: float) -> bool | None:
    """Whether a forecast's 90 % interval held the truth; None without a forecast."""
    return None if eta is None else bool(eta[0] + eta[2] <= failure <= eta[0] + eta[3])


def judge(told: list[Told], troubles: list[Trouble], plant: Months) -> dict:
    classes: dict[str, list[dict]] = defaultdict(list)
    explained: set[int] = set()
    for trouble in troubles:
        if not trouble.known:
            continue
        gpus = {plant.uuid[i] for i in np.flatnonzero(trouble.hit)}
        mine = [t for t in told if matches(t, trouble, gpus)]
        explained |= {id(t) for t in mine}
        fails = trouble.failure == trouble.failure
        first = min((t.opened for t in mine), default=None)
        row = {
            "found": first is not None, "fails": fails, "incidents": len(mine), "entity": trouble.entity,
            "before": fails and first is not None and first < trouble.failure, "rate": trouble.rate,
            "lead": trouble.failure - first if fails and first is not None else None,
            "span": trouble.failure - trouble.start if fails else None, "half_call": None, "half_fault": None,
            "half_call_held": None, "held": None,
        }  # fmt: skip
        if row["before"]:
            middle = 0.5 * (first + trouble.failure)
            row["half_call"] = eta_error(mine, middle, trouble.failure)
            row["half_call_held"] = holds(standing(mine, middle), trouble.failure)
            every = [holds(eta, trouble.failure) for t in mine for eta in t.etas if eta[0] < trouble.failure]
            row["held"] = sum(every) / len(every) if every else None
            row["half_fault"] = eta_error(mine, 0.5 * (trouble.start + trouble.failure), trouble.failure)
        classes[trouble.kind].append(row)
    false = [t for t in told if id(t) not in explained]
    return {"classes": dict(classes), "false": false}


def figure(values: list, quantile: float = 0.5) -> float | None:
    known = [v for v in values if v is not None]
    return round(float(np.quantile(known, quantile)), 4) if known else None


def summary(rows: list[dict]) -> dict:
    failing = [row for row in rows if row["fails"]]
    leads = [row["lead"] if row["before"] else 0.0 for row in failing]
    calls = [row["half_call"] for row in failing]
    held, always = (
        [float(row[name]) for row in failing if row[name] is not None] for name in ("half_call_held", "held")
    )
    return {
        "events": len(rows),
        "found": sum(row["found"] for row in rows),
        "throttled": len(failing),
        "called_before": sum(row["before"] for row in failing),
        "recall_before_throttle": round(sum(r["before"] for r in failing) / len(failing), 4)
        if failing
        else None,
        "lead_hours_median": figure([v / 3600 for v in leads]),
        "lead_hours_p10": figure([v / 3600 for v in leads], 0.1),
        "possible_hours_median": figure([row["span"] / 3600 for row in failing]),
        "forecasts_at_half_life": sum(v is not None for v in calls),
        "eta_error_half_of_call": figure([None if v is None else abs(v) for v in calls]),
        "eta_bias_half_of_call": figure(calls),
        "eta_error_half_of_fault": figure(
            [None if row["half_fault"] is None else abs(row["half_fault"]) for row in failing]
        ),
        "interval_held_half_of_call": round(float(np.mean(held)), 4) if held else None,
        "interval_held_always": round(float(np.mean(always)), 4) if always else None,
        "incidents_per_event": round(
            sum(r["incidents"] for r in rows) / max(1, sum(r["found"] for r in rows)), 2
        ),
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--mix", choices=sorted(MIXES), default="hard")
    parser.add_argument("--gpus", type=int, default=128)
    parser.add_argument("--days", type=float, default=40.0)
    parser.add_argument("--step", type=float, default=60.0, help="seconds between samples")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1])
    parser.add_argument("--detectors", nargs="*", help="these only (default: all that suspect)")
    parser.add_argument("--rows", action="store_true", help="print every fault and false alarm to look at")
    arguments = parser.parse_args()
    classes: dict[str, list[dict]] = defaultdict(list)
    years, spent, points, false = 0.0, 0.0, 0, []
    for seed in arguments.seeds:
        plant = populate(mix_named(arguments.mix), arguments.gpus, arguments.days, arguments.step, seed)
        told, troubles, watched, seconds, seen = play(plant, arguments.detectors)
        judged = judge(told, troubles, plant)
        for kind, rows in judged["classes"].items():
            classes[kind] += rows
        false += [
            (seed, t.entity, t.cause, round((t.opened - plant.start) / 86400, 2)) for t in judged["false"]
        ]
        years, spent, points = years + watched, spent + seconds, points + seen
        if arguments.rows:
            for kind, rows in judged["classes"].items():
                for row in rows:
                    if row["fails"] or not row["found"]:
                        print(seed, kind, row)
            print(seed, "false", [f for f in false if f[0] == seed], flush=True)
    slow = [row for kind, rows in classes.items() if kind not in SHARED for row in rows]
    causes: dict[str, int] = defaultdict(int)
    for _, _, cause, _ in false:
        causes[cause] += 1
    print(json.dumps({
        "mix": arguments.mix, "gpus": arguments.gpus, "days": arguments.days, "step_seconds": arguments.step,
        "seeds": arguments.seeds, "gpu_years_watched": round(years, 2),
        "all_faults_but_shared": summary(slow),
        "per_class": {kind: summary(rows) for kind, rows in sorted(classes.items())},
        "false_alarms": len(false), "false_alarms_per_gpu_year": round(len(false) / max(years, 1e-9), 4),
        "false_by_cause": dict(causes), "points_per_second": round(points / max(spent, 1e-9)),
    }, indent=1))  # fmt: skip


if __name__ == "__main__":
    main()
