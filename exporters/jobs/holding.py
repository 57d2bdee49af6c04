"""Who holds what, as readings."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from exporters.jobs.identity import GpuIdentity
from gigawatch.catalogue import workload
from gigawatch.readings import Reading

_STAGES = workload.GPU_ALLOCATION_INFO.values["stage"]
_REASONS = workload.ALLOCATION_UNMATCHED.values["reason"]
_LONGEST = 256
"""Characters of a label: longer than any name that a scheduler allows."""


class Holding(NamedTuple):
    """One holder of one GPU, or of one part of it."""

    gpu: GpuIdentity
    mig_uuid: str
    scheduler: str
    job_id: str
    namespace: str = ""
    pod: str = ""
    container: str = ""
    user: str = ""
    partition: str = ""
    stage: str = ""

    def reading(self) -> Reading:
        """As a series, always 1."""
        stage = self.stage if self.stage in _STAGES else ""
        labels = (
            self.gpu.gpu, self.gpu.uuid, self.scheduler, self.namespace, self.pod, self.container,
            self.job_id, self.user, self.partition, stage, self.mig_uuid,
        )  # fmt: skip
        return Reading(workload.GPU_ALLOCATION_INFO, tuple(clean(label) for label in labels), 1.0)


class Unmatched:
    """Devices that a scheduler gave away and that could not be told."""

    def __init__(self, scheduler: str) -> None:
        self._scheduler = scheduler
        self._found: Counter[str] = Counter()

    def add(self, reason: str, devices: int = 1) -> None:
        """`devices` more of them, for one of the reasons in the catalogue."""
        if reason not in _REASONS:
            raise ValueError(f"{reason} is no reason; allowed: {', '.join(_REASONS)}")
        self._found[reason] += devices

    def readings(self) -> Iterator[Reading]:
        """One for each reason: 0 says that every device was matched."""
        for reason in _REASONS:
            yield Reading(
                workload.ALLOCATION_UNMATCHED, (self._scheduler, reason), float(self._found[reason])
            )


def readings(holdings: Iterable[Holding], unmatched: Unmatched) -> Iterator[Reading]:
    """Every holding once, and what could not be matched."""
    yield from dict.fromkeys(holding.reading() for holding in holdings)
    yield from unmatched.readings()


def clean(text: str) -> str:
    """A label value on one line, free of control characters."""
    return "".join(c if c.isprintable() else "?" for c in text[:_LONGEST])
