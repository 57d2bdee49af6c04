"""Who is compared with whom: GPUs of one node, slot, rack or job that do the same work at the same moment."""

from __future__ import annotations

import operator
import zlib
from functools import lru_cache

import numpy as np

from analytics.detectors.peers_kernel import LEAST_PEERS, Peering
from analytics.fleet import Roster
from analytics.fleet.columns import Ints
from analytics.fleet.group_kernels import Plan, Rows, Single, at
from analytics.fleet.groups import Groups, by_label

KINDS = ("node", "slot", "rack", "job")
"""The peers of a GPU: in its node, at its place in the other nodes of its rack, in its rack, in its job."""
NODE, SLOT, RACK, JOB = range(len(KINDS))
_SAMPLE, _JOB_SAMPLE = 16, 32
"""Members whose residuals stand for the scatter of a rack, of a job (within 30 % and 20 %)."""
_MODULUS = 1 << 24
"""Whole numbers below it are exact in float32."""


class Identities:
    """A number per GPU that stays its own, reckoned once."""

    def __init__(self) -> None:
        self._gpus: Roster | None = None
        self._arranged = 0
        self._known: Ints = np.zeros(0, np.int64)

    def of(self, gpus: Roster) -> Ints:
        """By row."""
        if gpus is not self._gpus or gpus.arranged != self._arranged:
            self._gpus, self._arranged, self._known = gpus, gpus.arranged, np.zeros(0, np.int64)
        new = gpus.keys[len(self._known) :]
        if new:
            self._known = np.append(self._known, np.fromiter(map(_hash, new), np.int64, len(new)))
        return self._known


class PeerGroups:
    """The groups of one moment: members of different jobs, or of different models, never share one.

    Node and slot have medians of their own; that of a rack and of a job is the median of their nodes'
    medians. How far residuals lie apart is told by a sample of the rack (for the job, of the job).
    """

    def __init__(self, gpus: Roster, identities: Ints) -> None:
        """`identities` has a number per GPU, the same from one start to the next."""
        self._gpus, self._stamp = gpus, _stamp(gpus)
        (node, nodes), (rack, racks), (slot, slots), (job, jobs) = map(
            gpus.codes, ("node", "rack", "gpu", "job")
        )
        work = job + 1
        if "model" in gpus.labels:
            work = work + (len(jobs) + 1) * (gpus.codes("model")[0] + 1)
        place = np.where((rack >= 0) & (slot >= 0), rack * len(slots) + slot, -1)
        pool = np.where(rack >= 0, rack, np.where(node >= 0, node + len(racks), -1))
        rows = by_label(work)
        pools = Groups.of(pool, len(racks) + len(nodes), work, rows)
        teams = Groups.of(np.where(job >= 0, work, -1), int(work.max(initial=0)) + 1)
        cells = Groups.of(node, len(nodes), work, rows)
        # Whoever is too alone to have any peers is left out of everything: that is most small jobs.
        wider = np.maximum(
            at(pools.sizes, cells.upwards(pools.code), 0), at(teams.sizes, cells.upwards(teams.code), 0)
        )
        self.cells = cells.keep(np.maximum(wider, cells.sizes) >= LEAST_PEERS)
        pools, teams = pools.keep(pools.sizes >= LEAST_PEERS), teams.keep(teams.sizes >= LEAST_PEERS)
        slots_of = Groups.of(place, len(racks) * len(slots), work, rows)
        self.slots = slots_of.keep(slots_of.sizes >= LEAST_PEERS)
        self.racks = Groups.of(self.cells.upwards(np.where(rack >= 0, pools.code, -1)), len(pools))
        self.jobs = Groups.of(self.cells.upwards(teams.code), len(teams))
        self.pools, self.teams = pools.sample(_SAMPLE), teams.sample(_JOB_SAMPLE)
        over_cells = (at(wide.code, self.cells.code, -1) for wide in (self.racks, self.jobs))
        self.code: Rows = np.stack((self.cells.code, self.slots.code, *over_cells)).astype(np.int32)
        """Group of every GPU by kind of peers; -1: none."""
        self.scatter = np.stack((pools.code, teams.code))
        """Whose scatter is the measure: that of its pool, and for the job that of its team."""
        self.peering = Peering(
            self.cells.plan, self.slots.plan, self.racks.plan, self.jobs.plan, _by_place(self.pools),
            self.pools.order, _by_place(self.teams), self.teams.order, self.code, self.scatter,
        )  # fmt: skip
        self.names = [jobs[job[row]] for row in teams.order[teams.starts[:-1]]] if len(teams) else []
        """Name of the job of every team."""
        self.signature = self._signatures(pools, identities)
        """By kind of peers and GPU, a number that changes when the peers become others; 0 without peers."""

    def fits(self, gpus: Roster) -> bool:
        """Whether these are still the groups."""
        return gpus is self._gpus and all(map(operator.is_, self._stamp, _stamp(gpus)))

    def _signatures(self, pools: Groups, identities: Ints) -> Single:
        out = np.zeros(self.code.shape, np.float32)
        for kind, groups in ((NODE, self.cells), (SLOT, self.slots), (RACK, pools)):
            out[kind] = at(_small(groups.total(identities)), groups.code, 0)
        out[RACK][self.code[RACK] < 0] = 0.0
        numbers = np.array([_name_hash(name) for name in self.names], np.int64)
        out[JOB] = at(_small(numbers), self.scatter[1], 0)
        return out


def _stamp(gpus: Roster) -> list[object]:
    return [gpus.codes(label)[0] for label in ("node", "rack", "gpu", "job", "model") if label in gpus.labels]


def _by_place(groups: Groups) -> Plan:
    """Groups of places in the list of their members."""
    return groups.plan._replace(order=np.arange(len(groups.order), dtype=np.int32))


def _small(numbers: Ints) -> Ints:
    return 1 + numbers % (_MODULUS - 1)


@lru_cache(maxsize=1 << 16)
def _name_hash(name: str) -> int:
    return _hash(name)


def _hash(name: str) -> int:
    return zlib.crc32(name.encode())
