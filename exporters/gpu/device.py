"""One GPU: its fast and its slow source."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pynvml

from exporters.gpu.binding import Binding, Lane, Sample, Snapshot, Value
from exporters.gpu.bindings import BINDINGS
from exporters.gpu.nvml import FieldBatch, FieldKey, GpuGone, Handle, Missing, Nvml
from gigawatch.catalogue import gpu
from gigawatch.readings import Reading

_ARCHITECTURES = {
    value: name.removeprefix("NVML_DEVICE_ARCH_").lower()
    for name, value in vars(pynvml).items()
    if name.startswith("NVML_DEVICE_ARCH_")
}


class Gpu:
    """A GPU as enumerated: index, identity, condition. Shared by its two sources and the collector."""

    def __init__(self, nvml: Nvml, index: int, uuid: str, handle: Handle) -> None:
        self.nvml, self.index, self.uuid, self.handle = nvml, index, uuid, handle
        self.condition = "ok"
        """State to show, as the last read left it: ok, lost, reset_required or missing."""

    @property
    def labels(self) -> tuple[str, str]:
        """The two labels of every GPU series."""
        return str(self.index), self.uuid


class GpuSource:
    """One lane of one GPU."""

    def __init__(
        self,
        device: Gpu,
        lane: Lane,
        interval: float,
        deadline: float,
        bindings: Sequence[Binding] = BINDINGS,
    ) -> None:
        self.name = f"gpu{device.index}" if lane is Lane.FAST else f"gpu{device.index}_slow"
        self.interval, self.deadline = interval, deadline
        self._device, self._lane = device, lane
        self._bindings = [binding for binding in bindings if binding.lane is lane]
        self._missing: dict[object, Missing] = {}
        self._memo: dict[str, float] = {}
        self._batch: FieldBatch | Missing | None = None

    def read(self) -> Iterator[Reading]:
        """Everything the GPU answers; a value that fails for a moment is absent for that moment."""
        device = self._device
        snapshot = Snapshot(device.nvml, device.handle, self._missing, self._memo)
        try:
            snapshot.load(self._read_fields())
            yield from self._readings(snapshot)
            if self._lane is Lane.SLOW:
                yield from self._identity(snapshot)
        except GpuGone as gone:
            device.condition = gone.kind
            raise
        device.condition = "ok"
        if snapshot.troubles:
            raise snapshot.troubles[0]

    def _read_fields(self) -> dict[FieldKey, int | float | Missing | None]:
        if self._batch is None:
            wanted = dict.fromkeys(key for binding in self._bindings for key in binding.fields())
            keys = [key for key in wanted if key not in self._missing]
            self._batch = self._device.nvml.fields(keys)
            if isinstance(self._batch, Missing):
                for key in keys:
                    self._missing[key] = self._batch
        if isinstance(self._batch, Missing):
            return {}
        found = self._batch.read(self._device.handle)
        for key, value in found.items():
            if isinstance(value, Missing):
                self._missing[key] = value
                self._batch = None  # the next pass asks only for what this GPU has
        return found

    def _readings(self, snapshot: Snapshot) -> Iterator[Reading]:
        identity = self._device.labels
        for binding in self._bindings:
            for wanted in binding.samples:
                value = self._value(wanted, snapshot)
                if isinstance(value, Missing):
                    if not wanted.optional:
                        feature = "/".join((binding.metric.key, *wanted.labels))
                        labels = (*identity, feature, str(wanted.origins[0]), value.value)
                        yield Reading(gpu.GPU_CAPABILITY_INFO, labels, 1.0)
                elif value is not None and wanted.spread is None:
                    yield Reading(binding.metric, identity + wanted.labels, value)
                elif value is not None and wanted.spread is not None:
                    for more, part in wanted.spread(value, snapshot):
                        yield Reading(binding.metric, identity + more, part)

    @staticmethod
    def _value(wanted: Sample, snapshot: Snapshot) -> Value:
        """Of the first origin that has it; Missing, with the first origin's reason, if none has."""
        reason: Missing | None = None
        for origin in wanted.origins:
            value = origin.value(snapshot)
            if not isinstance(value, Missing):
                return value
            reason = reason or value
        return reason

    def _identity(self, snapshot: Snapshot) -> Iterator[Reading]:
        def text(function: str) -> str:
            answer = snapshot.call(function)
            return answer if isinstance(answer, str) else ""

        def number(function: str) -> str:
            answer = snapshot.call(function)
            return str(answer) if isinstance(answer, int) else ""

        pci = snapshot.call("nvmlDeviceGetPciInfo")
        bus = "" if pci is None or isinstance(pci, Missing) else _text(pci.busId) or _text(pci.busIdLegacy)
        architecture = snapshot.call("nvmlDeviceGetArchitecture")
        version = self._device.nvml.call("nvmlSystemGetDriverVersion")
        labels = (
            text("nvmlDeviceGetName"),
            text("nvmlDeviceGetSerial"),
            bus,
            text("nvmlDeviceGetVbiosVersion"),
            version if isinstance(version, str) else "",
            _ARCHITECTURES.get(architecture, "") if isinstance(architecture, int) else "",
            text("nvmlDeviceGetBoardPartNumber"),
            number("nvmlDeviceGetMinorNumber"),
            number("nvmlDeviceGetNumaNodeId"),
        )
        yield Reading(gpu.GPU_INFO, self._device.labels + labels, 1.0)


def _text(raw: object) -> str:
    return raw.decode("ascii", "replace") if isinstance(raw, bytes) else str(raw)
