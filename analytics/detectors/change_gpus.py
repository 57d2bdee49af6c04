"""Changes of a GPU's clock, and of its clock per power, against its own past and its peers."""

from __future__ import annotations

import zlib
from dataclasses import dataclass

import numpy as np

from analytics.detectors.base import Evidence, Rival, Suspicion
from analytics.detectors.change_kernel import WARM_UP, Changes, Watch
from analytics.fleet import Level, Tick
from analytics.fleet.columns import Bools, Columns, Floats, Ints
from analytics.fleet.groups import group_count, group_quantile, spread
from analytics.fleet.named import Named
from analytics.jit import compiled
from analytics.signals import CLOCK, MARGIN, POWER, RANK_WAIT, UTILIZATION
from analytics.signals.power import LIMIT
from gigawatch.catalogue import Unit

BUSY, LOADED = 0.5, 0.4
"""Utilisation, or where it is not told the share of its highest power, above which a GPU is judged."""
LEAST_PEERS = 4
SETTLE = 600.0
"""Seconds after the start of another job that are not judged."""
DAY = 86400.0
SLOPE = 0.4
"""Clock goes with power to this exponent (dynamic power goes with the clock to about 2.4)."""
CLOCK_WATCH = Watch(effect=0.025, floor=0.004)
EQUAL_POWER = 0.03
"""Relative change of power up to which it counts as unchanged."""
EQUAL_LOAD = 0.05
IN_STEP = 0.025
"""Scatter of a GPU's power around its peers' (relative) below which it works in step with them."""
KNOWN = 45
"""Blocks after which that scatter is known."""
PEGGED = 0.97
"""Share of its highest power above which a GPU that draws more than its peers has more to do."""
HELD = 0.08
"""Fall of the clock that is called of GPUs that do not work in step."""
HOT = 4.0
"""Kelvin of margin at which clocks fall by temperature."""
SITE_SHARE, SITE_NODES, SITE_JOBS = 0.6, 8, 3
"""Nodes that must change together, as a share and a number, and their jobs, to be a change of software."""


@compiled
def add_load(
    power: Floats, clock: Floats, busy: Floats, high: Floats, total: Floats, count: Floats, missed: Floats
) -> None:
    """Add clock (GHz), power (W) and utilisation of loaded GPUs to the block; `high` is the highest power."""
    for i in range(power.shape[0]):
        watts, hertz = power[i], clock[i]
        if np.isnan(watts) or np.isnan(hertz):
            missed[i] += 1
            continue
        high[i] = max(high[i] * 0.99999, watts)
        load = busy[i]
        known = not np.isnan(load)
        if watts <= 0 or hertz <= 0 or (load < BUSY if known else watts < LOADED * high[i]):
            missed[i] += 1
            continue
        total[0, i] += hertz * 1e-9
        total[1, i] += watts
        total[2, i] += load if known else 1.0
        count[i] += 1


@dataclass(frozen=True, slots=True)
class Peers:
    """Group of every GPU (-1: none), how many groups there are, and a number that tells each from others."""

    codes: Ints
    groups: int
    mark: Floats


class GpuChanges:
    """Clock (with power and utilisation along) and clock per power of every GPU; clock of every node."""

    def __init__(self) -> None:
        self.clock, self.thrift = Changes(CLOCK_WATCH, 2), Changes(CLOCK_WATCH, 2)
        self.nodes = Changes(Watch(effect=0.03, floor=0.004), 2)
        self.past = Columns(
            {"high": (), "settle": (), "shown": (3,), "peers": (3,), "limit": ()},
            {"limit": np.nan},
            dtype=np.float32,
        )
        self.marks = Columns({"mark": ()})
        self._named = Named()
        self._grouped: tuple[object, object, Peers] | None = None

    def add(self, tick: Tick) -> None:
        """Take in a tick."""
        power, clock = tick.value(POWER.key, Level.GPU), tick.value(CLOCK.key, Level.GPU)
        c = self.clock.columns
        busy = tick.value(UTILIZATION.key, Level.GPU)
        add_load(power, clock, busy, self.past["high"], c["total"], c["count"], c["missed"])

    def drop(self) -> None:
        """Throw the block away: there was a gap in it."""
        self.clock.means()

    def close(self, tick: Tick, seconds: float) -> None:
        """A block has ended: judge it."""
        if not (self.clock.columns["count"].any() or self.clock.columns["blocks"].any()):
            self.clock.means()  # no clock was ever told
            return
        idle = self.clock.columns["count"] == 0
        means, use = self.clock.means()
        past = self.past
        # After idling, the first minute is still a ramp.
        past["settle"] = np.maximum(past["settle"] - seconds, np.where(idle, seconds, 0.0))
        peers = self._peers(tick)
        moved = peers.mark != self.marks["mark"]
        if moved.any():
            self.clock.restart(moved, WARM_UP // 2)
            self.thrift.restart(moved, WARM_UP // 2)
            # A GPU that is seen for the first time has nothing to settle from.
            past["settle"][moved & (self.marks["mark"] != 0)] = SETTLE
            self.marks["mark"] = peers.mark
        use &= past["settle"] <= 0
        logs = means.copy()
        logs[:2] = np.log(np.maximum(means[:2], 1e-6))
        self._judge_nodes(tick, logs, use, seconds)
        past["shown"] = np.where(use, means, past["shown"])
        grouped = peers.codes >= 0
        enough = spread(group_count(use, peers.codes, peers.groups).astype(np.float64), peers.codes, 0.0)
        use &= ~grouped | (enough >= LEAST_PEERS)
        apart = np.empty_like(logs)
        for k in range(3):
            shared = group_quantile(np.where(use, logs[k], np.nan), peers.codes, peers.groups)
            common = spread(shared, peers.codes, 0.0)
            apart[k] = logs[k] - np.where(np.isfinite(common), common, 0.0)
            shown = np.exp(common) if k < 2 else common
            past["peers"][k] = np.where(grouped & np.isfinite(common), shown, np.nan)
        self.clock.judge(apart, use, seconds)
        apart[0] -= SLOPE * apart[1]
        self.thrift.judge(apart, use, seconds)
        limit = tick.value(LIMIT.key, Level.GPU)
        # A limit that was lowered a day ago is how it is now.
        usual = past["limit"] + (1 - np.exp(-seconds / DAY)) * (limit - past["limit"])
        usual = np.where(self.clock.columns["blocks"] < WARM_UP, limit, np.maximum(usual, limit))
        past["limit"] = np.where(np.isfinite(limit), usual, past["limit"])

    def _judge_nodes(self, tick: Tick, logs: Floats, use: Bools, seconds: float) -> None:
        codes, names = tick.fleet[Level.GPU].codes("node")
        roster = tick.fleet[Level.NODE]
        if not len(names) or not len(roster):
            return
        rows = self._named.rows(names, roster)
        per_node = np.full((3, len(roster)), np.nan)
        known = rows >= 0
        for k in range(3):
            found = group_quantile(np.where(use, logs[k], np.nan), codes, len(names))
            per_node[k, rows[known]] = found[known]
        there = np.isfinite(per_node[0])
        self.nodes.judge(np.nan_to_num(per_node), there, seconds)

    def _peers(self, tick: Tick) -> Peers:
        """The job of a GPU where it has enough members, else the node where that has, else nobody."""
        gpus = tick.fleet[Level.GPU]
        (job, jobs), (node, nodes) = gpus.codes("job"), gpus.codes("node")
        # Codes are new objects after a change, and the same without.
        if self._grouped is not None and self._grouped[0] is job and self._grouped[1] is node:
            return self._grouped[2]
        in_job = spread(np.bincount(job[job >= 0], minlength=len(jobs)).astype(np.float64), job, 0.0)
        in_node = spread(np.bincount(node[node >= 0], minlength=len(nodes)).astype(np.float64), node, 0.0)
        by_job, by_node = in_job >= LEAST_PEERS, in_node >= LEAST_PEERS
        codes = np.where(by_job, job, np.where(by_node, node + len(jobs), -1))
        crc = np.array([1.0 + zlib.crc32(name.encode()) for name in jobs] or [1.0])
        owner = np.where(job >= 0, crc[np.maximum(job, 0)], 1.0)
        mark = np.where(by_job, owner, np.where(by_node, owner + 0.25, owner + 0.5))
        found = Peers(codes, len(jobs) + len(nodes), mark)
        self._grouped = (job, node, found)
        return found

    def score(self) -> Floats:
        """How surely each GPU's clock fell, 0 to 1; NaN while it is not known yet."""
        c = self.clock.columns
        score = c["down"] / (c["down"] + 20.0)
        return np.where(c["blocks"] >= WARM_UP // 2, score, np.nan)

    def suspicions(self, tick: Tick) -> list[Suspicion]:
        """GPUs whose clock fell at equal load; or the software, where it did everywhere at once."""
        together = self._together(tick)
        if together is not None:
            return [together]
        slower = self.clock.columns["alarm"] < 0
        wasteful = self.thrift.columns["alarm"] < 0
        found = [self._slow(tick, row, bool(wasteful[row])) for row in map(int, np.flatnonzero(slower))]
        found += [self._wasteful(tick, row) for row in map(int, np.flatnonzero(wasteful & ~slower))]
        return [suspicion for suspicion in found if suspicion is not None]

    def _together(self, tick: Tick) -> Suspicion | None:
        c = self.nodes.columns
        fell = c["alarm"] < 0
        ready = c["blocks"] >= WARM_UP
        if fell.sum() < SITE_NODES or fell.sum() < SITE_SHARE * ready.sum():
            return None
        gpus, nodes = tick.fleet[Level.GPU], tick.fleet[Level.NODE]
        ages = c["age"][0][fell]
        same = fell & (np.abs(c["age"][0] - np.median(ages)) <= 300.0)
        if same.sum() < SITE_NODES or same.sum() < SITE_SHARE * ready.sum():
            return None
        names = {nodes.keys[row] for row in np.flatnonzero(same)}
        rows = [i for i, node in enumerate(gpus.labels["node"]) if node in names]
        jobs = {gpus.labels["job"][i] for i in rows} - {""}
        if jobs and len(jobs) < SITE_JOBS:
            return None
        first = int(np.flatnonzero(same)[0])
        moved, age, deviations = self.nodes.shift(first)
        evidence = Evidence(
            CLOCK.key, float(np.expm1(moved[0])), Unit.RATIO, 0.0, deviations=deviations,
            text=f"change of the clock on {len(names)} nodes of {len(jobs)} jobs within five minutes",
        )  # fmt: skip
        rival = Rival("power_path", 0.2, "feeds and racks do not share one moment over the whole site")
        return Suspicion(
            "software", "site", "site", "site", tuple(rows), 0.8, since=tick.now - age, confidence=0.7,
            evidence=(evidence,), rivals=(rival,),
        )  # fmt: skip

    def _slow(self, tick: Tick, row: int, wasteful: bool) -> Suspicion | None:
        (clock, power, busy), age, deviations = self.clock.shift(row)
        c = self.clock.columns
        in_step = float(c["sway"][row]) <= IN_STEP**2 and c["blocks"][row] >= KNOWN
        alone = not np.isfinite(self.past["peers"][0, row])
        if abs(busy) > EQUAL_LOAD or power > EQUAL_POWER or (alone and abs(power) > 2 * EQUAL_POWER):
            return None
        # At the power limit, a heavier load takes clock away: only peers in step would feel it as well.
        watts, others = float(self.past["shown"][1, row]), float(self.past["peers"][1, row])
        if watts >= PEGGED * float(self.past["high"][row]) and watts > 1.08 * others:
            return None
        if not in_step and (power > 0.01 or clock > -HELD):
            return None
        if tick.value(MARGIN.key, Level.GPU)[row] <= HOT:
            return None  # heat slows it down, and heat has findings of its own
        held = power < -EQUAL_POWER
        evidence = self._evidence(row, (clock, power, busy), deviations)
        limit, before = float(tick.value(LIMIT.key, Level.GPU)[row]), float(self.past["limit"][row])
        lowered = held and bool(self.lowered(tick)[row])
        if lowered:
            usual = before if np.isfinite(before) else None
            evidence += (Evidence(LIMIT.key, limit, Unit.WATTS, usual, text="its power limit was lowered"),)
        rivals = [
            Rival("thermal_interface", 0.2, "it would have to be at its slowdown temperature"),
            Rival("power_path", 0.2 if held else 0.1, "a brake or a cap would touch all GPUs of its node"),
        ]
        if lowered:
            rivals.append(Rival("straggler", 0.2, "the limit explains it"))
        elif held:
            rivals.append(Rival("software", 0.3, "no power limit is known to have been lowered"))
        return self._suspicion(
            tick, row, "software" if lowered else "straggler", age, evidence, rivals, 0.8 if wasteful else 0.6
        )

    def lowered(self, tick: Tick) -> Bools:
        """GPUs whose power limit is below what it was; one that had none told was at its default."""
        limit, known = tick.value(LIMIT.key, Level.GPU), self.clock.columns["blocks"] >= WARM_UP
        with np.errstate(invalid="ignore"):
            return known & np.isfinite(limit) & ~(limit >= 0.97 * self.past["limit"])

    def _wasteful(self, tick: Tick, row: int) -> Suspicion | None:
        (thrift, power, busy), age, deviations = self.thrift.shift(row)
        synchronous = np.isfinite(tick.value(RANK_WAIT.key, Level.GPU)[row])
        if not synchronous or abs(busy) > EQUAL_LOAD or power < EQUAL_POWER:
            return None
        evidence = self._evidence(row, (thrift + SLOPE * power, power, busy), deviations)
        rivals = [
            Rival("thermal_interface", 0.4, "leakage grows with temperature, which has its own finding")
        ]
        return self._suspicion(tick, row, "unknown", age, evidence, rivals, 0.4)

    def _evidence(
        self, row: int, moved: tuple[float, float, float], deviations: float
    ) -> tuple[Evidence, ...]:
        shown, peers = self.past["shown"][:, row], self.past["peers"][:, row]
        peers_known = bool(np.isfinite(peers[0]))
        hertz, watts, busy = float(shown[0]) * 1e9, float(shown[1]), float(shown[2])
        clock, power, load = moved
        others = float(peers[0]) * 1e9 if peers_known else None
        return (
            Evidence(
                CLOCK.key, hertz, Unit.HERTZ, hertz / float(np.exp(clock)), others, deviations,
                f"{np.expm1(clock):+.1%} since then, beside its peers",
            ),
            Evidence(
                POWER.key, watts, Unit.WATTS, watts / float(np.exp(power)),
                float(peers[1]) if peers_known else None,
                text="as before" if abs(power) <= EQUAL_POWER else f"{np.expm1(power):+.1%} since then",
            ),
            Evidence(UTILIZATION.key, busy, Unit.RATIO, busy - load, text="as before"),
        )  # fmt: skip

    def _suspicion(
        self, tick: Tick, row: int, cause: str, age: float, evidence: tuple[Evidence, ...],
        rivals: list[Rival], confidence: float,
    ) -> Suspicion:  # fmt: skip
        gpus = tick.fleet[Level.GPU]
        place = f"{gpus.labels['node'][row]}/gpu{gpus.labels['gpu'][row]}"
        total = float(max(self.clock.columns["down"][row], self.thrift.columns["down"][row]))
        return Suspicion(
            cause, "gpu", place, gpus.labels["uuid"][row], (row,), total / (total + 20.0),
            since=tick.now - age, confidence=confidence, evidence=evidence, rivals=tuple(rivals),
        )  # fmt: skip
