"""Every GPU metric and its source in NVML: one row each.

Field ids are NVML_FI_* of nvml.h. Factors lead to base units: mW, mJ and MHz are what NVML speaks.
"""

from __future__ import annotations

from collections.abc import Callable
from operator import attrgetter, itemgetter
from typing import Any

from exporters.gpu.binding import (
    Binding,
    Call,
    Derived,
    Field,
    Lane,
    LinkSum,
    Rows,
    Sample,
    Snapshot,
    Value,
    sample,
    spread,
)
from exporters.gpu.nvml import Missing
from gigawatch.catalogue import Metric, gpu, gpu_links

_MILLI, _NANO, _MEGA, _PERCENT = 1e-3, 1e-9, 1e6, 1e-2
LINKS = 18
"""NVLinks that any model has up to now (Hopper and Blackwell)."""

_CORE = Call("nvmlDeviceGetTemperatureV", (0,))
_CORE_OLD = Call("nvmlDeviceGetTemperature", (0,))
_MARGIN = Call("nvmlDeviceGetMarginTemperature")
_SHUTDOWN, _SLOWDOWN, _MEMORY_MAX, _GPU_MAX = 0, 1, 2, 3
_OFFSETS = {_SHUTDOWN: 193, _SLOWDOWN: 194, _GPU_MAX: 196}
"""Threshold to the field with its signed distance from the T.Limit reference (Ada, Hopper and newer)."""
_CLOCKS = {"graphics": 0, "sm": 1, "memory": 2, "video": 3}
_UNKNOWN_PERFORMANCE_STATE = 32


def _first(snapshot: Snapshot, *origins: Call) -> Value:
    value: Value = None
    for origin in origins:
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
        core, margin = _first(snapshot, _CORE, _CORE_OLD), _MARGIN.value(snapshot)
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
    core = _first(snapshot, _CORE, _CORE_OLD)
    for part in (limit, core):
        if part is None or isinstance(part, Missing):
            return part
    return float(limit) - float(core)  # type: ignore[arg-type] # numbers by now


def _threshold(name: str, number: int) -> Sample:
    absolute = Call("nvmlDeviceGetTemperatureThreshold", (number,))
    if number not in _OFFSETS:
        return sample(name, absolute)
    derived = Derived("T.Limit", _from_offset(number), ((_OFFSETS[number], 0),))
    return sample(name, absolute, derived)


def _clock_reasons(mask: float, snapshot: Snapshot) -> Rows:
    """A series for each reason that this GPU supports; bit numbers are positions in the catalogue's list."""
    supported = _first(
        snapshot,
        Call("nvmlDeviceGetSupportedClocksEventReasons"),
        Call("nvmlDeviceGetSupportedClocksThrottleReasons"),
    )
    known = int(supported) if isinstance(supported, float) else -1
    for bit, reason in enumerate(gpu.CLOCK_EVENT_REASONS):
        if known >> bit & 1:
            yield (reason,), float(int(mask) >> bit & 1)


def _recovery(action: float, _: Snapshot) -> Rows:
    for number, name in enumerate(gpu.RECOVERY_ACTIONS):
        yield (name,), float(number == int(action))


def _performance_state(answer: Any) -> float | None:
    return None if answer == _UNKNOWN_PERFORMANCE_STATE else float(answer)


def _memory(part: str) -> Sample:
    return sample(Call("nvmlDeviceGetMemoryInfo", (), 1.0, attrgetter(part)))


def _engine(name: str, function: str) -> Sample:
    return sample(name, Call(function, (), _PERCENT, itemgetter(0)))


def _limit(kind: str, field: int, function: str, pick: Callable[[Any], float | None] = float) -> Sample:
    return sample(kind, Field(field, 0, _MILLI), Call(function, (), _MILLI, pick))


BINDINGS: tuple[Binding, ...] = (
    Binding(gpu.GPU_POWER, Lane.FAST, (
        sample("gpu", Field(186, 0, _MILLI), Call("nvmlDeviceGetPowerUsage", (), _MILLI)),
        sample("module", Field(186, 1, _MILLI)),
        sample("memory", Field(186, 2, _MILLI)),
    )),
    Binding(gpu.GPU_POWER_AVERAGE, Lane.FAST, tuple(
        sample(scope, Field(185, number, _MILLI)) for number, scope in enumerate(("gpu", "module", "memory"))
    )),
    Binding(gpu.GPU_POWER_LIMIT, Lane.FAST, (
        _limit("enforced", 190, "nvmlDeviceGetEnforcedPowerLimit"),
        _limit("requested", 192, "nvmlDeviceGetPowerManagementLimit"),
        _limit("default", 189, "nvmlDeviceGetPowerManagementDefaultLimit"),
        _limit("min", 187, "nvmlDeviceGetPowerManagementLimitConstraints", itemgetter(0)),
        _limit("max", 188, "nvmlDeviceGetPowerManagementLimitConstraints", itemgetter(1)),
    )),
    Binding(gpu.GPU_ENERGY, Lane.FAST, (
        sample(Field(83, 0, _MILLI), Call("nvmlDeviceGetTotalEnergyConsumption", (), _MILLI)),
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
    Binding(gpu.GPU_CLOCK, Lane.FAST, tuple(
        sample(domain, Call("nvmlDeviceGetClockInfo", (number,), _MEGA))
        for domain, number in _CLOCKS.items()
    )),
    Binding(gpu.GPU_CLOCK_MAX, Lane.SLOW, tuple(
        sample(domain, Call("nvmlDeviceGetMaxClockInfo", (number,), _MEGA))
        for domain, number in _CLOCKS.items()
    )),
    Binding(gpu.GPU_CLOCK_EVENT_ACTIVE, Lane.FAST, (
        spread(
            Call("nvmlDeviceGetCurrentClocksEventReasons"), _clock_reasons,
            Call("nvmlDeviceGetCurrentClocksThrottleReasons"),
        ),
    )),
    Binding(gpu.GPU_CLOCK_EVENT_SECONDS, Lane.FAST, (
        sample("sw_power_cap", Field(74, 0, _NANO)),
        sample("sync_boost", Field(76, 0, _NANO)),
        sample("sw_thermal_slowdown", Field(269, 0, _NANO)),
        sample("hw_thermal_slowdown", Field(270, 0, _NANO)),
        sample("hw_power_brake_slowdown", Field(271, 0, _NANO)),
    )),
    Binding(gpu.GPU_PERFORMANCE_STATE, Lane.FAST, (
        sample(Call("nvmlDeviceGetPerformanceState", (), 1.0, _performance_state)),
    )),
    Binding(gpu.GPU_UTILIZATION, Lane.FAST, (
        sample("gpu", Call("nvmlDeviceGetUtilizationRates", (), _PERCENT, attrgetter("gpu"))),
        sample("memory", Call("nvmlDeviceGetUtilizationRates", (), _PERCENT, attrgetter("memory"))),
        _engine("encoder", "nvmlDeviceGetEncoderUtilization"),
        _engine("decoder", "nvmlDeviceGetDecoderUtilization"),
        _engine("jpeg", "nvmlDeviceGetJpgUtilization"),
        _engine("ofa", "nvmlDeviceGetOfaUtilization"),
    )),
    Binding(gpu.GPU_MEMORY_SIZE, Lane.FAST, (_memory("total"),)),
    Binding(gpu.GPU_MEMORY_USED, Lane.FAST, (_memory("used"),)),
    Binding(gpu.GPU_MEMORY_FREE, Lane.FAST, (_memory("free"),)),
    Binding(gpu.GPU_ECC_ERRORS, Lane.SLOW, (
        sample("corrected", "volatile", Field(3)),
        sample("uncorrected", "volatile", Field(4)),
        sample("corrected", "aggregate", Field(5)),
        sample("uncorrected", "aggregate", Field(6)),
    )),
    Binding(gpu.GPU_REMAPPED_ROWS, Lane.SLOW, (
        sample("corrected", Field(142)),
        sample("uncorrected", Field(143)),
    )),
    Binding(gpu.GPU_ROW_REMAP_PENDING, Lane.SLOW, (sample(Field(144)),)),
    Binding(gpu.GPU_ROW_REMAP_FAILED, Lane.SLOW, (sample(Field(145)),)),
    Binding(gpu.GPU_RECOVERY_ACTION, Lane.SLOW, (spread(Field(230), _recovery),)),
    Binding(gpu_links.GPU_PCIE_REPLAYS, Lane.SLOW, (
        sample(Field(94), Call("nvmlDeviceGetPcieReplayCounter")),
    )),
    Binding(gpu_links.GPU_PCIE_LINK_GENERATION, Lane.SLOW, (
        sample("current", Call("nvmlDeviceGetCurrPcieLinkGeneration")),
        sample("max", Call("nvmlDeviceGetMaxPcieLinkGeneration")),
    )),
    Binding(gpu_links.GPU_PCIE_LINK_WIDTH, Lane.SLOW, (
        sample("current", Call("nvmlDeviceGetCurrPcieLinkWidth")),
        sample("max", Call("nvmlDeviceGetMaxPcieLinkWidth")),
    )),
    Binding(gpu_links.GPU_NVLINK_UP, Lane.SLOW, tuple(
        sample(str(link), Field(165, link), optional=link > 0) for link in range(LINKS)
    )),
    Binding(gpu_links.GPU_NVLINK_ERRORS, Lane.SLOW, (
        sample("all", "crc", LinkSum(163, LINKS), Field(38)),
        sample("all", "replay", LinkSum(161, LINKS), Field(52)),
        sample("all", "recovery", LinkSum(162, LINKS), Field(59)),
    )),
)  # fmt: skip

MADE_ELSEWHERE: dict[Metric, str] = {
    gpu.GPU_INFO: "identity functions, exporters.gpu.device",
    gpu.GPU_STATE: "outcome of all reads, exporters.gpu.collector",
    gpu.GPUS_VISIBLE: "enumeration, exporters.gpu.collector; PCI, exporters.gpu.pci",
    gpu.GPU_CAPABILITY_INFO: "what the other rows did not find, exporters.gpu.device",
    gpu.GPU_XID_ERRORS: "events, exporters.gpu.events; kernel log, exporters.gpu.kernel_log",
}
"""The GPU metrics that are no plain reading, and who makes them."""
