"""Clocks, what holds them down, and how busy the engines are."""

from __future__ import annotations

import ctypes
from operator import attrgetter

from exporters.gpu.binding import Binding, Call, Field, Lane, Quick, Rows, Sample, Snapshot, sample, spread
from exporters.gpu.structs import Busy, Utilization
from gigawatch.catalogue import gpu

_NANO, _MEGA, _PERCENT = 1e-9, 1e6, 1e-2
_CLOCKS = {"graphics": 0, "sm": 1, "memory": 2, "video": 3}
_UNKNOWN_PERFORMANCE_STATE = 32
_SUPPORTED_REASONS = (
    Call("nvmlDeviceGetSupportedClocksEventReasons"),
    Call("nvmlDeviceGetSupportedClocksThrottleReasons"),
)


def _clock_reasons(mask: float, snapshot: Snapshot) -> Rows:
    """A series for each reason that this GPU supports; bit numbers are positions in the catalogue's list."""
    known = -1
    for origin in _SUPPORTED_REASONS:
        supported = origin.value(snapshot)
        if isinstance(supported, float):
            known = int(supported)
            break
    for bit, reason in enumerate(gpu.CLOCK_EVENT_REASONS):
        if known >> bit & 1:
            yield (reason,), float(int(mask) >> bit & 1)


def _performance_state(answer: ctypes.c_uint) -> float | None:
    return None if answer.value == _UNKNOWN_PERFORMANCE_STATE else float(answer.value)


def _utilization(engine: str) -> Sample:
    rates = Quick("nvmlDeviceGetUtilizationRates", (), _PERCENT, Utilization, attrgetter(engine))
    return sample(engine, rates)


def _engine(name: str, symbol: str) -> Sample:
    return sample(name, Quick(symbol, (), _PERCENT, Busy, attrgetter("percent"), (0, 4)))


BINDINGS: tuple[Binding, ...] = (
    Binding(gpu.GPU_CLOCK, Lane.FAST, tuple(
        sample(domain, Quick("nvmlDeviceGetClockInfo", (number,), _MEGA))
        for domain, number in _CLOCKS.items()
    )),
    Binding(gpu.GPU_CLOCK_MAX, Lane.SLOW, tuple(
        sample(domain, Call("nvmlDeviceGetMaxClockInfo", (number,), _MEGA))
        for domain, number in _CLOCKS.items()
    )),
    Binding(gpu.GPU_CLOCK_EVENT_ACTIVE, Lane.FAST, (
        spread(
            Quick("nvmlDeviceGetCurrentClocksEventReasons", answer=ctypes.c_ulonglong), _clock_reasons,
            Quick("nvmlDeviceGetCurrentClocksThrottleReasons", answer=ctypes.c_ulonglong),
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
        sample(Quick("nvmlDeviceGetPerformanceState", pick=_performance_state)),
    )),
    Binding(gpu.GPU_UTILIZATION, Lane.FAST, (
        _utilization("gpu"),
        _utilization("memory"),
        _engine("encoder", "nvmlDeviceGetEncoderUtilization"),
        _engine("decoder", "nvmlDeviceGetDecoderUtilization"),
        _engine("jpeg", "nvmlDeviceGetJpgUtilization"),
        _engine("ofa", "nvmlDeviceGetOfaUtilization"),
    )),
)  # fmt: skip
