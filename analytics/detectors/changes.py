"""What has changed against its own past at equal load: clocks, fans, pumps, filters, the pace of jobs.

Every figure is first freed of what it rightly follows: a GPU's clock of what its job does (its peers), a fan
of temperature, flow of pump speed, a filter's pressure of flow. Then it is watched for change points, block
by block (`change_kernel`). What changes for all of one kind at once is the job's or the software's doing and
is one finding, or none. What a site does not measure is not watched.
"""

from __future__ import annotations

from analytics.detectors.base import Detector, Scores, Verdict
from analytics.detectors.change_gpus import GpuChanges
from analytics.detectors.change_kernel import BLOCK
from analytics.detectors.change_parts import Fans, Jobs, Loops
from analytics.fleet import Level, Tick
from analytics.fleet.columns import Columns
from analytics.signals import CLOCK
from analytics.signals.parts import FAN, PUMP

LONGEST_BLOCK = 1800.0
"""A block that has lasted longer had a gap in it: it is dropped."""


class ChangePoints(Detector):
    """Calls GPUs, fans, pumps and jobs that have changed, and says since when."""

    name = "changes"

    def __init__(self) -> None:
        super().__init__()
        self._gpus, self._fans, self._loops, self._jobs = GpuChanges(), Fans(), Loops(), Jobs()
        for name, level, columns in (
            ("clock", Level.GPU, self._gpus.clock.columns),
            ("thrift", Level.GPU, self._gpus.thrift.columns),
            ("gpus", Level.GPU, self._gpus.past),
            ("marks", Level.GPU, self._gpus.marks),
            ("nodes", Level.NODE, self._gpus.nodes.columns),
            *self._fans.tables(),
            *self._loops.tables(),
            *self._jobs.tables(),
        ):
            self.table(name, level, columns)
        self._clock = self.table("block", Level.GPU, Columns({"begun": ()}))

    def observe(self, tick: Tick) -> Verdict:
        begun = float(self._clock["begun"].max(initial=0.0))
        seconds = tick.now - begun
        if begun > 0 and seconds >= BLOCK:
            self._close(tick, seconds if seconds <= LONGEST_BLOCK else 0.0)
            begun = 0.0
        if begun <= 0:
            self._clock["begun"][...] = tick.now
        else:
            self._clock["begun"][...] = begun
        self._gpus.add(tick)
        slow = self._gpus.suspicions(tick)
        verdict = Verdict([Scores(CLOCK.key, Level.GPU, self._gpus.score())])
        if FAN.key in tick.values:
            verdict.scores.append(Scores(FAN.key, Level.NODE, self._fans.score()))
        if PUMP.key in tick.values:
            verdict.scores.append(Scores(PUMP.key, Level.LOOP, self._loops.score()))
        verdict.suspicions = [
            *slow,
            *self._fans.suspicions(tick),
            *self._loops.suspicions(tick),
            *self._jobs.suspicions(tick, slow, self._gpus.lowered(tick)),
        ]
        return verdict

    def _close(self, tick: Tick, seconds: float) -> None:
        if seconds <= 0:
            self._gpus.drop()
            return
        for part in (self._gpus, self._fans, self._loops, self._jobs):
            part.close(tick, seconds)
