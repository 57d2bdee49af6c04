"""The GPU that holds its job back: it never waits while the others do, or its clock hangs behind theirs.

In collectives all ranks go at the speed of the slowest, so the others wait for it and it waits for nobody. A
GPU that a job holds without using it is no straggler, nor is one in the first minutes of a job.
"""

from __future__ import annotations

import math

import numpy as np

from analytics.detectors.base import Evidence, Rival, Suspicion
from analytics.detectors.peer_groups import PeerGroups
from analytics.detectors.peers_kernel import HALF_SCORE
from analytics.fleet import Level, Tick
from analytics.fleet.columns import Columns
from analytics.fleet.groups import Rows, Single
from analytics.jit import compiled
from analytics.signals import CLOCK, MARGIN, POWER, RANK_WAIT, TEMPERATURE, UTILIZATION
from gigawatch.catalogue import Unit

HOLD = 30.0
"""Seconds that a straggler must lag before it is called."""
HOLD_ALONE = 900.0
"""The same where only the waiting speaks for it: who writes a checkpoint does not wait either."""
SETTLE = 120.0
"""Seconds of a job in which nobody is called."""
WAITING = 0.05
"""Share of the time that the ranks of a job must wait, or nobody is held up."""
BEHIND, SLOWER = 0.08, 0.12
"""Share by which the clock is behind: where that is new and the waiting a witness, and with one of the two.
Under a power cap the clocks of healthy GPUs lie within 6 % of each other: that is their silicon."""
ODD_SCORE = 0.12
"""Score against peers (3 robust deviations) from which a lag is not just this GPU's silicon."""
_LEARN = 600.0
_CLOCK, _ALONE = 1, 2


class Straggler:
    """What is remembered per GPU, and who is called."""

    def __init__(self) -> None:
        shapes: dict[str, tuple[int, ...]] = dict.fromkeys(
            ("seconds", "alone", "job", "settled", "usual"), ()
        )
        self.columns = Columns(shapes, fill={"usual": np.nan}, dtype=np.float32)
        """Seconds behind (or only not waiting), job (a hash), seconds with it, usual share of its wait."""
        self.times = Columns({"since": ()})
        """When it began (Unix time)."""

    def observe(
        self,
        tick: Tick,
        groups: PeerGroups,
        values: dict[str, Single],
        usual: dict[str, Single],
        score: dict[str, Single],
        ahead: Single,
        dt: Single,
    ) -> list[Suspicion]:
        """Who is called now. `usual` are medians by job, `score` those of the peer comparison.

        `ahead` is how far the clock of each GPU usually is from its job's, in Hz.
        """
        c, code = self.columns, groups.code[3]
        called = np.zeros(len(dt), np.int32)
        busy = values[UTILIZATION.key], usual[UTILIZATION.key], values[POWER.key], usual[POWER.key]
        wait = values[RANK_WAIT.key], usual[RANK_WAIT.key]
        clock = values[CLOCK.key], usual[CLOCK.key], score[CLOCK.key]
        _watch(
            code, groups.signature[3], dt, busy, wait, clock, c["seconds"], c["alone"], c["job"],
            c["settled"], c["usual"], self.times["since"], tick.now, called,
        )  # fmt: skip
        return [
            self._suspicion(
                tick, row, int(called[row]), int(code[row]), values, usual, score, float(ahead[row])
            )
            for row in map(int, np.flatnonzero(called))
        ]

    def _suspicion(
        self,
        tick: Tick,
        row: int,
        kind: int,
        job: int,
        values: dict[str, Single],
        usual: dict[str, Single],
        score: dict[str, Single],
        ahead: float,
    ) -> Suspicion:
        gpus = tick.fleet[Level.GPU].labels
        now = {key: float(column[row]) for key, column in values.items()}
        peers = {key: float(column[job]) for key, column in usual.items()}
        since, own = float(self.times["since"][row]), float(self.columns["usual"][row])
        witness = peers[RANK_WAIT.key] > WAITING and now[RANK_WAIT.key] < 0.25 * peers[RANK_WAIT.key]
        evidence = []
        if np.isfinite(now[RANK_WAIT.key]):
            before = own * peers[RANK_WAIT.key] if np.isfinite(own) else None
            told = "it never waits while the others of its job do" if witness else ""
            evidence.append(
                Evidence(
                    RANK_WAIT.key, now[RANK_WAIT.key], Unit.RATIO, before, peers[RANK_WAIT.key], text=told
                )
            )
        if np.isfinite(now[CLOCK.key]):
            far = _deviations(float(score[CLOCK.key][row]))
            before = peers[CLOCK.key] + ahead if math.isfinite(ahead) else None
            text = (
                f"{1 - now[CLOCK.key] / peers[CLOCK.key]:.0%} behind its job"
                if kind == _CLOCK
                else "as its peers"
            )
            evidence.append(
                Evidence(CLOCK.key, now[CLOCK.key], Unit.HERTZ, before, peers[CLOCK.key], far, text)
            )
        rivals, other = _rivals(kind, now, peers, score, row)
        confidence = (0.9 if witness else 0.7) if kind == _CLOCK else 0.5
        lasted = float(self.columns["seconds" if kind == _CLOCK else "alone"][row])
        return Suspicion(
            "straggler", "gpu", f"{gpus['node'][row]}/gpu{gpus['gpu'][row]}", gpus["uuid"][row], (row,),
            lasted / (lasted + HOLD), since=since, confidence=confidence,
            evidence=(*evidence, *other), rivals=rivals,
        )  # fmt: skip


def _rivals(
    kind: int, now: dict[str, float], peers: dict[str, float], score: dict[str, Single], row: int
) -> tuple[tuple[Rival, ...], tuple[Evidence, ...]]:
    """What else would slow a GPU down, and the figures that speak for it, the likeliest first."""
    evidence = []
    margin, core = now[MARGIN.key], now[TEMPERATURE.key]
    heat, why = 0.05, "it is no hotter than its peers"
    if margin <= 3.0:
        heat, why = 0.8, f"only {max(margin, 0.0):.0f} K are left to its slowdown limit"
    elif score[TEMPERATURE.key][row] > 0.2 and core > peers[TEMPERATURE.key]:
        heat, why = 0.3, "it is hotter than its peers"
    if heat > 0.05 and np.isfinite(core):
        far = _deviations(float(score[TEMPERATURE.key][row]))
        told = Evidence(TEMPERATURE.key, core, Unit.CELSIUS, None, peers[TEMPERATURE.key], far)
        evidence.append(_for(told, "thermal_interface"))
    rivals = [Rival("thermal_interface", heat, why)]
    watts, usual = now[POWER.key], peers[POWER.key]
    if kind == _CLOCK and np.isfinite(watts) and usual > 0:
        full = watts > 0.97 * usual
        rivals.append(
            Rival("power_path", 0.3, "as much power as its peers at a lower clock: capped, or poor silicon")
            if full
            else Rival(
                "power_path", 0.15, f"it draws {1 - watts / usual:.0%} less than its peers, as a cap would"
            )
        )
        evidence.append(_for(Evidence(POWER.key, watts, Unit.WATTS, None, usual), "power_path"))
    if kind == _ALONE:
        rivals.append(
            Rival("link", 0.3, "its clock is as it should be: a slow link holds it up the same way")
        )
        rivals.append(Rival("job", 0.3, "uneven work or late input data look alike"))
    else:
        rivals.append(Rival("link", 0.05, "a slow link leaves the clock as it is"))
        rivals.append(Rival("job", 0.05, "late input data would leave the GPU idle"))
    return tuple(sorted(rivals, key=lambda rival: -rival.likelihood)), tuple(evidence)


def _for(evidence: Evidence, cause: str) -> Evidence:
    return Evidence(
        evidence.signal, evidence.value, evidence.unit, evidence.usual, evidence.peers, evidence.deviations,
        evidence.text, cause,
    )  # fmt: skip


def _deviations(score: float) -> float | None:
    """The robust deviations behind a score of the peer comparison."""
    return float(HALF_SCORE) * math.sqrt(score / max(1 - score, 1e-9)) if math.isfinite(score) else None


@compiled
def _watch(
    code: Rows,
    jobs: Single,
    dt: Single,
    busy: tuple[Single, Single, Single, Single],
    waits: tuple[Single, Single],
    clocks: tuple[Single, Single, Single],
    seconds: Single,
    alone: Single,
    job: Single,
    settled: Single,
    usual: Single,
    since: np.ndarray,
    now: float,
    called: Rows,
) -> None:
    """Who lags, for how long; `called` becomes 1 where the clock says so, 2 where only the waiting does."""
    use, job_use, watts, job_watts = busy
    wait, job_wait = waits
    clock, job_clock, odd = clocks
    for i in range(len(code)):
        at = code[i]
        if at < 0 or job[i] != jobs[i]:
            job[i], settled[i], seconds[i], alone[i], usual[i] = jobs[i], 0.0, 0.0, 0.0, np.nan
            continue
        settled[i] += dt[i]
        if settled[i] < SETTLE:
            continue
        held_up = job_wait[at] > WAITING and wait[i] == wait[i]
        never = held_up and wait[i] < 0.25 * job_wait[at]
        if use[i] == use[i] and job_use[at] == job_use[at]:
            works = use[i] > 0.8 * job_use[at] and job_use[at] > 0.3
        else:
            works = watts[i] > 0.5 * job_watts[at]
        behind = 1 - clock[i] / job_clock[at]
        by_clock = never and ((behind > BEHIND and odd[i] > ODD_SCORE) or behind > SLOWER)
        if not held_up or wait[i] < 0.5 * job_wait[at]:
            by_clock = by_clock or (behind > SLOWER and odd[i] > 0.5)
        by_clock = by_clock and works
        by_waiting = never and works and not by_clock and usual[i] > 0.5
        if held_up and not (by_clock or by_waiting):
            share = min(wait[i] / job_wait[at], np.float32(4.0))
            if usual[i] != usual[i]:
                usual[i] = share
            usual[i] += dt[i] / (dt[i] + min(max(settled[i], 60.0), _LEARN)) * (share - usual[i])
        if (by_clock or by_waiting) and seconds[i] == 0 and alone[i] == 0:
            since[i] = now
        step = min(dt[i], np.float32(60.0))
        seconds[i] = min(seconds[i] + step, 2 * HOLD) if by_clock else max(seconds[i] - 2 * step, 0.0)
        alone[i] = min(alone[i] + step, 2 * HOLD_ALONE) if by_waiting else max(alone[i] - 2 * step, 0.0)
        if seconds[i] >= HOLD:
            called[i] = 1
        elif alone[i] >= HOLD_ALONE:
            called[i] = 2
