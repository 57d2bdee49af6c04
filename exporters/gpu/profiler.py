"""What the engines inside a GPU really do, from GPM (Hopper and newer).

Ratios come from two samples, the older of which is overwritten by the next; counters of cycles and bytes come
along. Metric ids are NVML_GPM_METRIC_* of nvml.h.
"""

from __future__ import annotations

from exporters.gpu.gpm import TURN, Request, Samples, free_all
from exporters.gpu.nvml import Handle, Missing, Nvml, verdict
from exporters.runtime import SourceError
from gigawatch.catalogue import Metric, gpu, gpu_activity, gpu_links
from gigawatch.readings import Reading

Row = tuple[Metric, tuple[str, ...]]
_SM_ACTIVE_ID = 2
_RATIOS: dict[int, Row] = {
    1: (gpu_activity.GPU_GRAPHICS_ACTIVE, ()),
    _SM_ACTIVE_ID: (gpu_activity.GPU_SM_ACTIVE, ()),
    3: (gpu_activity.GPU_SM_OCCUPANCY, ()),
    4: (gpu_activity.GPU_PIPE_ACTIVE, ("int",)),
    5: (gpu_activity.GPU_PIPE_ACTIVE, ("tensor",)),
    6: (gpu_activity.GPU_PIPE_ACTIVE, ("dfma",)),
    7: (gpu_activity.GPU_PIPE_ACTIVE, ("hmma",)),
    8: (gpu_activity.GPU_PIPE_ACTIVE, ("dmma",)),
    9: (gpu_activity.GPU_PIPE_ACTIVE, ("imma",)),
    10: (gpu_activity.GPU_DRAM_ACTIVE, ()),
    11: (gpu_activity.GPU_PIPE_ACTIVE, ("fp64",)),
    12: (gpu_activity.GPU_PIPE_ACTIVE, ("fp32",)),
    13: (gpu_activity.GPU_PIPE_ACTIVE, ("fp16",)),
}
"""In percent."""
_CYCLES: dict[int, Row] = {
    248: (gpu_activity.GPU_SM_CYCLES, ("elapsed",)),
    249: (gpu_activity.GPU_SM_CYCLES, ("active",)),
    250: (gpu_activity.GPU_SM_CYCLES, ("tensor",)),
}
_BYTES: dict[int, Row] = {
    255: (gpu_links.GPU_PCIE_BYTES, ("transmit",)),
    256: (gpu_links.GPU_PCIE_BYTES, ("receive",)),
}
_ALL = _RATIOS | _CYCLES | _BYTES
_BYTE_UNITS = {"": 1.0, "b": 1.0, "byte": 1.0, "bytes": 1.0, "kib": 1024.0, "mib": 1048576.0}
_PERCENT = 1e-2
_OVERSHOOT = 1.02
"""A ratio of two counters that are not read at one instant can come out a little above 1."""
_PATIENCE = 3
"""Refusals of the whole request in a row after which it is not repeated."""


def _ratio(percent: float) -> float:
    value = percent * _PERCENT
    return 1.0 if 1.0 < value <= _OVERSHOOT else value


class Profiler:
    """GPM of one GPU. For one thread; the turns keep it apart from the others."""

    def __init__(self, nvml: Nvml, wait: float) -> None:
        self._nvml, self._wait = nvml, wait
        self._samples = Samples(nvml)
        self._request: Request | None = None
        self._rows: list[tuple[int, Metric, tuple[str, ...]]] = []
        self._asked_for: object = None
        self._missing: dict[int, Missing] = {}
        self._refused: Missing | None = None
        self._waited = False
        self._failures = self._found = 0
        self.metrics: frozenset[Metric] = frozenset()
        """What it has given readings of."""
        self.absent: tuple[Reading, ...] = ()
        """What this GPU does not offer, as readings of the capability info."""

    def read(self, handle: Handle, identity: tuple[str, str], count_bytes: bool) -> list[Reading]:
        """Readings since the last pass; none in the first. `count_bytes` asks for PCIe traffic as well.

        Raises SourceError once when another GPU does not let go, and then gives nothing until it does.
        """
        if self._refused is not None:
            return []
        with TURN.take(self._wait) as mine:
            if not mine:
                if self._waited:
                    return []
                self._waited = True
                raise SourceError(
                    "gpm_busy", "GPM: another GPU has been at it for too long; left out for now"
                )
            self._waited = False
            wanted = (identity, count_bytes)
            if self._request is None or wanted != self._asked_for:
                self._asked_for = wanted
                self._begin(handle, identity, count_bytes)
            if self._request is None:
                return []
            ready = self._samples.take(handle)
            told = self._request.ask(self._nvml, self._samples) if ready is True else ready
            if told is True:
                self._failures = 0
                return self._readings(self._request, identity)
            if isinstance(told, Missing):
                self._fail(told, identity)
            return []

    def forget(self) -> None:
        """What was refused may be asked for again."""
        self._missing.clear()
        self._request = self._refused = self._asked_for = None

    def close(self) -> None:
        """Give the samples back; begin anew with the next pass."""
        free_all((self._samples,), self._wait)
        self._samples, self._request = Samples(self._nvml), None

    def _begin(self, handle: Handle, identity: tuple[str, str], count_bytes: bool) -> None:
        support = self._nvml.call("nvmlGpmQueryDeviceSupport", handle)
        if support is None:
            return
        if isinstance(support, Missing) or not support.isSupportedDevice:
            self._refuse(support if isinstance(support, Missing) else Missing.UNSUPPORTED, identity)
            return
        self._ask_for(_RATIOS | _CYCLES | (_BYTES if count_bytes else {}), identity)

    def _ask_for(self, wanted: dict[int, Row], identity: tuple[str, str]) -> None:
        rows = {number: row for number, row in wanted.items() if number not in self._missing}
        self._rows = [(number, metric, identity + labels) for number, (metric, labels) in rows.items()]
        self._request = Request(tuple(rows))
        self.absent = tuple(
            _absent(identity, "/".join((metric.key, *labels)), f"GPM {number}", self._missing[number])
            for number, (metric, labels) in wanted.items()
            if number in self._missing
        )

    def _fail(self, reason: Missing, identity: tuple[str, str]) -> None:
        """The driver refuses the request as a whole: ask first without what is newest in it, then no more."""
        newest = [row[0] for row in self._rows if row[0] not in _RATIOS]
        if newest:
            self._missing |= dict.fromkeys(newest, reason)
            self._ask_for(_RATIOS | {number: _ALL[number] for number in newest}, identity)
            return
        self._failures += 1
        if self._failures >= _PATIENCE:
            self._refuse(reason, identity)

    def _refuse(self, reason: Missing, identity: tuple[str, str]) -> None:
        self._refused, self._request = reason, None
        self.absent = (_absent(identity, gpu_activity.GPU_SM_ACTIVE.key, "GPM", reason),)
        self._samples.free()

    def _readings(self, request: Request, identity: tuple[str, str]) -> list[Reading]:
        found = []
        gone = len(self._missing)
        for (number, metric, labels), (code, value) in zip(self._rows, request.answers(), strict=True):
            if code:
                self._miss(number, _verdict(code, number))
            elif number in _RATIOS:
                found.append(Reading(metric, labels, _ratio(value)))
            elif number in _BYTES:
                factor = _BYTE_UNITS.get(request.unit(number).lower())
                if factor is None:
                    self._miss(number, Missing.UNSUPPORTED)
                else:
                    found.append(Reading(metric, labels, value * factor))
            else:
                found.append(Reading(metric, labels, value))
        if len(found) != self._found:
            self._found = len(found)
            self.metrics = frozenset(reading.metric for reading in found)
        if len(self._missing) != gone:
            self._ask_for({number: _ALL[number] for number, _, _ in self._rows}, identity)
        return found

    def _miss(self, number: int, reason: Missing | None) -> None:
        if reason is not None:
            self._missing[number] = reason


def _absent(identity: tuple[str, str], feature: str, source: str, reason: Missing) -> Reading:
    return Reading(gpu.GPU_CAPABILITY_INFO, (*identity, feature, source, reason.value), 1.0)


def _verdict(code: int, number: int) -> Missing | None:
    try:
        return verdict(code, f"GPM {number}")
    except SourceError:
        return None  # one metric's trouble; the others are good


class InstanceProfiler:
    """How busy the multiprocessors of each GPU instance (MIG) are."""

    def __init__(self, nvml: Nvml, wait: float) -> None:
        self._nvml, self._wait = nvml, wait
        self._samples: dict[tuple[int, str], Samples] = {}
        self._request: Request | None = None
        self._refused = False

    def read(self, handle: Handle, identity: tuple[str, str], instances: dict[int, str]) -> list[Reading]:
        """One reading for each instance (its id, and the UUIDs in it) that has been there for two passes."""
        if self._refused or not (instances or self._samples):
            return []
        with TURN.take(self._wait) as mine:
            if not mine:
                return []
            for gone in self._samples.keys() - instances.items():
                self._samples.pop(gone).free()
            found = []
            for instance, name in instances.items():
                value = self._measure(handle, instance, name)
                if value is not None:
                    found.append(Reading(gpu_activity.GPU_MIG_SM_ACTIVE, (*identity, str(instance)), value))
            return found

    def close(self) -> None:
        """Give the samples back."""
        free_all(tuple(self._samples.values()), self._wait)
        self._samples.clear()

    def _measure(self, handle: Handle, instance: int, name: str) -> float | None:
        samples = self._samples.get((instance, name))
        if samples is None:
            samples = self._samples[instance, name] = Samples(self._nvml, instance)
        if self._request is None:
            self._request = Request((_SM_ACTIVE_ID,))
        ready = samples.take(handle)
        if ready is Missing.OLD_DRIVER:
            self._refused = True
        if ready is not True or self._request.ask(self._nvml, samples) is not True:
            return None
        return next((_ratio(value) for code, value in self._request.answers() if code == 0), None)
