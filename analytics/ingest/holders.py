"""Where nodes stand and which job holds which GPU, kept in the rosters; only what changed is touched."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np

from analytics.fleet import Fleet, Level
from analytics.ingest.answers import Series


class Places:
    """Rack and loop of every node."""

    def __init__(self) -> None:
        self._loops: dict[str, str] = {}
        self._racks: dict[str, str] = {}
        self._series: Series | None = None

    def __bool__(self) -> bool:
        return bool(self._loops)

    @property
    def nodes(self) -> Iterable[str]:
        """All nodes that have a place."""
        return self._racks

    def placed(self, labels: Mapping[str, str]) -> dict[str, str]:
        """These labels with the loop, and the rack where it is missing."""
        node = labels.get("node", "")
        found = dict(labels)
        if node in self._loops:
            found["loop"] = self._loops[node]
        if node in self._racks and not found.get("rack"):
            found["rack"] = self._racks[node]
        return found

    def learn(self, series: Series, fleet: Fleet) -> None:
        """Take over an answer, and what changed in it into the rosters."""
        if series is self._series:
            return
        self._series = series
        known = [item for item in series.labels if "node" in item]
        before = self._loops
        self._loops = {item["node"]: item.get("loop", "") for item in known}
        self._racks = {item["node"]: item.get("rack", "") for item in known}
        changed = {node: loop for node, loop in self._loops.items() if before.get(node, "") != loop}
        if changed:
            self._apply(changed, fleet)

    @staticmethod
    def _apply(changed: Mapping[str, str], fleet: Fleet) -> None:
        for level in (Level.GPU, Level.NODE):
            roster = fleet[level]
            for row, node in enumerate(roster.labels["node"]):
                if node in changed:
                    roster.set(row, "loop", changed[node])


class Jobs:
    """The job of every GPU that is held."""

    def __init__(self) -> None:
        self._jobs: dict[str, str] = {}
        self._series: Series | None = None
        self._of: dict[int, tuple[str, str]] = {}

    def of(self, uuid: str) -> str:
        """The job that holds a GPU; empty if none does."""
        return self._jobs.get(uuid, "")

    def learn(self, series: Series, fleet: Fleet) -> None:
        """Take over an answer: GPUs whose series came or went are looked at, no others. AnswerError."""
        if series is self._series:
            return
        before = self._series.hashes if self._series is not None else np.zeros(0, np.uint64)
        came = np.flatnonzero(~np.isin(series.hashes, before))
        left = before[~np.isin(before, series.hashes)]
        gpus = fleet[Level.GPU]
        labels = series.labels_at(came)
        touched: set[str] = set()
        for number in left.tolist():
            uuid, job = self._of.pop(number, ("", ""))
            if self._jobs.get(uuid) == job:
                del self._jobs[uuid]
                touched.add(uuid)
        for number, item in zip(series.hashes[came].tolist(), labels, strict=True):
            uuid, job = item.get("uuid", ""), item.get("job_id", "")
            self._of[number] = (uuid, job)
            self._jobs[uuid] = job
            touched.add(uuid)
        for uuid in touched:
            row = gpus.find(uuid)
            if row is not None:
                gpus.set(row, "job", self.of(uuid))
        if self._series is None:  # what a saved roster says may be over
            for row, uuid in enumerate(gpus.keys):
                gpus.set(row, "job", self.of(uuid))
        self._series = series
        series.settle()
