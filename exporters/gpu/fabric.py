"""Where a GPU stands with the NVSwitch fabric, and which of the fabric's checks fail for it.

Facts about the health mask: NVML_GPU_FABRIC_HEALTH_MASK_* of nvml.h. A check that is 0 in the mask is not
supported.
"""

from __future__ import annotations

from exporters.gpu.binding import Binding, Lane, Quick, Rows, Snapshot, spread
from exporters.gpu.nvml import Missing
from exporters.gpu.structs import Fabric, Fabric2
from gigawatch.catalogue import gpu_links

_STATES = ("not_started", "in_progress", "completed")
"""From 1; 0 is a GPU without such a fabric."""
_COMPLETED = 3
_YES, _NO = 1, 2
_FLAGS = {
    "degraded_bandwidth": (0, _YES), "route_recovery": (2, _YES), "route_unhealthy": (4, _YES),
    "access_timeout_recovery": (6, _YES), "partition_unassigned": (12, _NO),
    "manager_disconnected": (14, _NO),
}  # fmt: skip
"""Check to the place of its two bits and their value when it fails."""
_CONFIGURATION = 8
_WRONG = (
    "wrong_system_guid", "wrong_chassis_serial", "no_partition", "insufficient_nvlinks",
    "incompatible_firmware", "invalid_location", "invalid_gpu_state",
)  # fmt: skip
"""What can be wrong with the configuration, from 2; 1 is nothing."""
_FAILED = 32
"""A bit of our own above the mask: the registration ended with an error."""


def _state(answer: Fabric | Fabric2) -> float | Missing | None:
    if not answer.state:
        return Missing.UNSUPPORTED
    return float(answer.state) if answer.state <= len(_STATES) else None


def _states(state: float, _: Snapshot) -> Rows:
    for number, name in enumerate(_STATES, 1):
        yield (name,), float(number == state)


def _health(answer: Fabric2) -> float | Missing | None:
    if not answer.state:
        return Missing.UNSUPPORTED
    if answer.state != _COMPLETED:
        return None  # before that the mask means nothing
    return float(answer.health | bool(answer.status) << _FAILED)


def _checks(value: float, _: Snapshot) -> Rows:
    mask = int(value)
    yield ("registration_failed",), float(mask >> _FAILED & 1)
    for check, (shift, failing) in _FLAGS.items():
        found = mask >> shift & 3
        if found in (_YES, _NO):
            yield (check,), float(found == failing)
    found = mask >> _CONFIGURATION & 0xF
    if found:
        for number, check in enumerate(_WRONG, 2):
            yield (check,), float(found == number)


_INFO = "nvmlDeviceGetGpuFabricInfoV"

BINDINGS: tuple[Binding, ...] = (
    Binding(gpu_links.GPU_FABRIC_STATE, Lane.SLOW, (
        spread(
            Quick(_INFO, answer=Fabric2, pick=_state), _states,
            Quick("nvmlDeviceGetGpuFabricInfo", answer=Fabric, pick=_state),
        ),
    )),
    Binding(gpu_links.GPU_FABRIC_UNHEALTHY, Lane.SLOW, (
        spread(Quick(_INFO, answer=Fabric2, pick=_health), _checks),
    ), quiet=True),
)  # fmt: skip
