"""Power, energy, temperature and fans. Factors lead to base units: mW and mJ are what NVML speaks."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from operator import attrgetter, itemgetter

from exporters.gpu.binding import (
    Binding,
    Call,
    Derived,
    Family,
    Field,
    Lane,
    Part,
    Pick,
    Quick,
    Sample,
    Snapshot,
    Value,
    sample,
)
from exporters.gpu.nvml import Missing
from exporters.gpu.structs import Margin, Temperature
from gigawatch.catalogue import gpu

_MILLI, _PERCENT = 1e-3, 1e-2
_SCOPES = ("gpu", "module", "memory")

_CORE = Quick("nvmlDeviceGetTemperatureV", answer=Temperature, pick=attrgetter("temperature"))
_CORE_OLD = Quick("nvmlDeviceGetTemperature", (0,))
_MARGIN = Quick("nvmlDeviceGetMarginTemperature", answer=Margin, pick=attrgetter("margin"))
_CORE_CALLS = (Call("nvmlDeviceGetTemperatureV", (0,)), Call("nvmlDeviceGetTemperature", (0,)))
_MARGIN_CALL = Call("nvmlDeviceGetMarginTemperature")

_SHUTDOWN, _SLOWDOWN, _MEMORY_MAX, _GPU_MAX = 0, 1, 2, 3
_OFFSETS = {_SHUTDOWN: 193, _SLOWDOWN: 194, _GPU_MAX: 196}
"""Threshold to the field with its signed distance from the T.Limit reference (Ada, Hopper and newer)."""


def _core(snapshot: Snapshot) -> Value:
    value: Value = None
    for origin in _CORE_CALLS:
        value = origin.value(snapshot)
        if not isinstance(value, Missing):
            return value
    return value


def _from_offset(threshold: int) -> Callable[[Snapshot], Value]:
    """Absolute threshold on GPUs that only tell distances: core + margin is the reference, less the offset.

    Core and margin are whole degrees read one after the other, so their sum may waver by one: a value is kept
    until it moves by more than that.
    """
    field = _OFFSETS[threshold]
    name = f"threshold {threshold}"

    def work_out(snapshot: Snapshot) -> Value:
        offset = snapshot.field((field, 0))
        core, margin = _core(snapshot), _MARGIN_CALL.value(snapshot)
        for part in (offset, core, margin):
            if part is None or isinstance(part, Missing):
                return part
        value = float(core) + float(margin) - float(offset)  # type: ignore[arg-type] # numbers by now
        if abs(value - snapshot.memo.get(name, value + 9)) > 1:
            snapshot.memo[name] = value
        return snapshot.memo[name]

    return work_out


def _margin_to_slowdown(snapshot: Snapshot) -> Value:
    limit = Call("nvmlDeviceGetTemperatureThreshold", (_SLOWDOWN,)).value(snapshot)
    core = _core(snapshot)
    for part in (limit, core):
        if part is None or isinstance(part, Missing):
            return part
    return float(limit) - float(core)  # type: ignore[arg-type] # numbers by now


def _threshold(name: str, number: int) -> Sample:
    absolute = Call("nvmlDeviceGetTemperatureThreshold", (number,))
    if number not in _OFFSETS:
        return sample(name, absolute, optional=True)
    derived = Derived(f"T.Limit {name}", _from_offset(number), ((_OFFSETS[number], 0),))
    return sample(name, absolute, derived)


def _limit(kind: str, field: int, function: str, pick: Pick = float) -> Sample:
    return sample(kind, Field(field, 0, _MILLI), Call(function, (), _MILLI, pick))


def _fan(number: int) -> Sample:
    speed = Call("nvmlDeviceGetFanSpeed_v2", (number,), _PERCENT)
    return sample(
        str(number), speed, *((Call("nvmlDeviceGetFanSpeed", (), _PERCENT),) if number == 0 else ())
    )


BINDINGS: tuple[Binding, ...] = (
    Binding(gpu.GPU_POWER, Lane.FAST, (
        sample("gpu", Field(186, 0, _MILLI), Quick("nvmlDeviceGetPowerUsage", (), _MILLI)),
        sample("module", Field(186, 1, _MILLI)),
        sample("memory", Field(186, 2, _MILLI)),
    )),
    Binding(gpu.GPU_POWER_AVERAGE, Lane.FAST, tuple(
        sample(scope, Field(185, number, _MILLI), optional=number > 0) for number, scope in enumerate(_SCOPES)
    )),
    Binding(gpu.GPU_POWER_LIMIT, Lane.SLOW, (
        _limit("enforced", 190, "nvmlDeviceGetEnforcedPowerLimit"),
        _limit("requested", 192, "nvmlDeviceGetPowerManagementLimit"),
        _limit("default", 189, "nvmlDeviceGetPowerManagementDefaultLimit"),
        _limit("min", 187, "nvmlDeviceGetPowerManagementLimitConstraints", itemgetter(0)),
        _limit("max", 188, "nvmlDeviceGetPowerManagementLimitConstraints", itemgetter(1)),
    )),
    Binding(gpu.GPU_ENERGY, Lane.FAST, (
        sample(
            Field(83, 0, _MILLI),
            Quick("nvmlDeviceGetTotalEnergyConsumption", (), _MILLI, ctypes.c_ulonglong),
        ),
    )),
    Binding(gpu.GPU_TEMPERATURE, Lane.FAST, (
        sample("core", _CORE, _CORE_OLD),
        sample("memory", Field(82)),
    )),
    Binding(gpu.GPU_TEMPERATURE_THRESHOLD, Lane.SLOW, (
        _threshold("slowdown", _SLOWDOWN),
        _threshold("shutdown", _SHUTDOWN),
        _threshold("memory_max", _MEMORY_MAX),
        _threshold("gpu_max", _GPU_MAX),
    )),
    Binding(gpu.GPU_TEMPERATURE_MARGIN, Lane.FAST, (
        sample(_MARGIN, Derived("slowdown threshold", _margin_to_slowdown)),
    )),
    Binding(gpu.GPU_FAN_SPEED, Lane.SLOW, (Family(Part.FAN, _fan),)),
)  # fmt: skip
