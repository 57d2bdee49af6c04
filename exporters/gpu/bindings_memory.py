"""Memory, its errors and its repairs; what the driver asks for to bring a GPU back."""

from __future__ import annotations

from operator import attrgetter

import pynvml

from exporters.gpu.binding import Binding, Call, Field, Lane, Quick, Rows, Sample, Snapshot, sample, spread
from exporters.gpu.structs import Memory, Memory2, SramErrors
from gigawatch.catalogue import gpu

_ECC_FIELDS: tuple[tuple[str, str, str, int], ...] = (
    ("corrected", "volatile", "l1", 7), ("uncorrected", "volatile", "l1", 8),
    ("corrected", "volatile", "l2", 9), ("uncorrected", "volatile", "l2", 10),
    ("corrected", "volatile", "device_memory", 11), ("uncorrected", "volatile", "device_memory", 12),
    ("corrected", "volatile", "register_file", 13), ("uncorrected", "volatile", "register_file", 14),
    ("corrected", "volatile", "texture", 15), ("uncorrected", "volatile", "texture", 16),
    ("uncorrected", "volatile", "cbu", 17),
    ("corrected", "aggregate", "l1", 18), ("uncorrected", "aggregate", "l1", 19),
    ("corrected", "aggregate", "l2", 20), ("uncorrected", "aggregate", "l2", 21),
    ("corrected", "aggregate", "device_memory", 22), ("uncorrected", "aggregate", "device_memory", 23),
    ("corrected", "aggregate", "register_file", 24), ("uncorrected", "aggregate", "register_file", 25),
    ("corrected", "aggregate", "texture", 26), ("uncorrected", "aggregate", "texture", 27),
    ("uncorrected", "aggregate", "cbu", 28),
)  # fmt: skip
_SEVERITIES, _SCOPES = ("corrected", "uncorrected"), ("volatile", "aggregate")
_LOCATIONS = {
    "device_memory": pynvml.NVML_MEMORY_LOCATION_DEVICE_MEMORY,
    "sram": pynvml.NVML_MEMORY_LOCATION_SRAM,
}


def _memory(part: str) -> Sample:
    new = Quick("nvmlDeviceGetMemoryInfo_v2", answer=Memory2, pick=attrgetter(part))
    if part == "reserved":
        return sample(new)
    return sample(new, Quick("nvmlDeviceGetMemoryInfo", answer=Memory, pick=attrgetter(part)))


def _location(severity: str, scope: str, location: str, *first: Field) -> Sample:
    """By field, or by the function that knows the newer GPUs' two kinds of memory."""
    origins: tuple[Field | Call, ...] = first
    if location in _LOCATIONS:
        arguments = (_SEVERITIES.index(severity), _SCOPES.index(scope), _LOCATIONS[location])
        origins = (*first, Call("nvmlDeviceGetMemoryErrorCounter", arguments))
    return sample(severity, scope, location, *origins, optional=True)


def _recovery(action: float, _: Snapshot) -> Rows:
    for number, name in enumerate(gpu.RECOVERY_ACTIONS):
        yield (name,), float(number == int(action))


BINDINGS: tuple[Binding, ...] = (
    Binding(gpu.GPU_MEMORY_SIZE, Lane.SLOW, (_memory("total"),)),
    Binding(gpu.GPU_MEMORY_USED, Lane.FAST, (_memory("used"),)),
    Binding(gpu.GPU_MEMORY_FREE, Lane.FAST, (_memory("free"),)),
    Binding(gpu.GPU_MEMORY_RESERVED, Lane.SLOW, (_memory("reserved"),)),
    Binding(gpu.GPU_BAR1_USED, Lane.SLOW, (
        sample(Call("nvmlDeviceGetBAR1MemoryInfo", (), 1.0, attrgetter("bar1Used"))),
    )),
    Binding(gpu.GPU_ECC_ENABLED, Lane.SLOW, (sample("current", Field(1)), sample("pending", Field(2)))),
    Binding(gpu.GPU_ECC_ERRORS, Lane.SLOW, (
        sample("corrected", "volatile", Field(3)),
        sample("uncorrected", "volatile", Field(4)),
        sample("corrected", "aggregate", Field(5)),
        sample("uncorrected", "aggregate", Field(6)),
    )),
    Binding(gpu.GPU_ECC_LOCATION_ERRORS, Lane.SLOW, (
        *(
            _location(severity, scope, location, Field(number))
            for severity, scope, location, number in _ECC_FIELDS
        ),
        *(_location(severity, scope, "sram") for severity in _SEVERITIES for scope in _SCOPES),
    )),
    Binding(gpu.GPU_SRAM_ECC_THRESHOLD_EXCEEDED, Lane.SLOW, (
        sample(Quick("nvmlDeviceGetSramEccErrorStatus", answer=SramErrors, pick=attrgetter("exceeded"))),
    )),
    Binding(gpu.GPU_REMAPPED_ROWS, Lane.SLOW, (
        sample("corrected", Field(142)),
        sample("uncorrected", Field(143)),
    )),
    Binding(gpu.GPU_ROW_REMAP_PENDING, Lane.SLOW, (sample(Field(144)),)),
    Binding(gpu.GPU_ROW_REMAP_FAILED, Lane.SLOW, (sample(Field(145)),)),
    Binding(gpu.GPU_ROW_REMAP_BANKS, Lane.SLOW, tuple(
        sample(spare, Call("nvmlDeviceGetRowRemapperHistogram", (), 1.0, attrgetter(spare)))
        for spare in gpu.GPU_ROW_REMAP_BANKS.values["spare"]
    )),
    # Pages were retired before Ampere, rows are remapped since: no GPU has both.
    Binding(gpu.GPU_RETIRED_PAGES, Lane.SLOW, (
        sample("corrected", Field(29)),
        sample("uncorrected", Field(30)),
    ), quiet=True),
    Binding(gpu.GPU_RETIRED_PAGES_PENDING, Lane.SLOW, (sample(Field(31)),), quiet=True),
    Binding(gpu.GPU_RECOVERY_ACTION, Lane.SLOW, (spread(Field(230), _recovery),)),
)  # fmt: skip
