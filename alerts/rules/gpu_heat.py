"""GPUs that run hot. Margins are those of NVML; where a limit comes from stands in the notes."""

from __future__ import annotations

from alerts.cases import Case, given
from alerts.model import Action, Alert, Domain, Scope, Severity
from alerts.places import (
    at_node,
    gpu_max,
    gpu_min,
)
from gigawatch.catalogue import gpu
from gigawatch.promql import (
    matches,
    series,
)

_MUTED = ("loop-cooling", "node-cooling", "node-down", "gpu-lost")
_THERMAL = ("sw_thermal_slowdown", "hw_thermal_slowdown")


_throttling = gpu_max(series(gpu.GPU_CLOCK_EVENT_ACTIVE, reason=matches("|".join(_THERMAL)))).equals(1)

ALERTS = (
    Alert(
        name="GpuThermalSlowdown",
        expr=at_node(_throttling.or_(gpu_min(series(gpu.GPU_TEMPERATURE_MARGIN)) <= 3)),
        severity=Severity.CRITICAL,
        domain=Domain.GPU,
        scope=Scope.GPU,
        summary="GPU {gpu} of {node} is throttling from heat",
        description="The GPU holds its clocks down because of heat, or has 3 K or less left until it does.",
        cause="Too little coolant or air reaches it: look at loop {loop} and at the fans first; if only "
        "this GPU is "
        "hot, its thermal interface.",
        consequence="It computes slower and every job that waits for it as well: {jobs_on_node}. If the "
        "heat rises "
        "further the GPU switches itself off.",
        action=Action.DRAIN,
        first_step="Open the node's board: are all its GPUs hot (coolant, air) or this one alone (the GPU)?",
        board="gw-node",
        hold="1m",
        keep="2m",
        steps=(
            "All GPUs of the loop are hot: treat it as a fault of the coolant loop, see CoolantFlowLow.",
            "All GPUs of the node are hot: check its fans, inlet air and quick couplings.",
            "This GPU alone: lower its power limit to keep the job alive, then drain the node.",
        ),
        note="Slowdown begins at 87 °C on H100 and 90 °C on B200; the margin that NVML reports accounts "
        "for that.",
        symptom_of=_MUTED,
        together=True,
        cases=(
            Case(
                "throttling",
                (given(gpu.GPU_CLOCK_EVENT_ACTIVE, 1, reason="hw_thermal_slowdown"),),
                ("n1/gpu0",),
                carries={"loop": "loop-1", "hall": "h1", "uuid": "GPU-n1-0"},
            ),
            Case("margin gone", (given(gpu.GPU_TEMPERATURE_MARGIN, 2, gpu="3", uuid="U3"),), ("n1/gpu3",)),
            Case(
                "held down by power, not heat",
                (
                    given(gpu.GPU_CLOCK_EVENT_ACTIVE, 1, reason="sw_power_cap"),
                    given(gpu.GPU_CLOCK_EVENT_ACTIVE, 0, reason="hw_thermal_slowdown"),
                    given(gpu.GPU_TEMPERATURE_MARGIN, 25),
                ),
            ),
        ),
    ),
    Alert(
        name="GpuTemperatureMarginLow",
        expr=at_node(gpu_min(series(gpu.GPU_TEMPERATURE_MARGIN)) < 10),
        severity=Severity.WARNING,
        domain=Domain.GPU,
        scope=Scope.GPU,
        summary="GPU {gpu} of {node} is {value:.0f} K from throttling",
        description="Temperature margin {value:.1f} K; below 10 K there is no reserve for a warmer loop.",
        cause="A warmer or slower coolant loop, tired fans, or a thermal interface that ages.",
        consequence="The next disturbance of the cooling makes it throttle. Jobs on the node: "
        "{jobs_on_node}.",
        action=Action.DRAIN,
        first_step="Compare with its neighbours on the rack board, then with its own last weeks.",
        board="gw-node",
        hold="3m",
        keep="2m",
        note="10 K below slowdown is the usual warning line (77 °C on H100).",
        rehearse=("thermal-interface", "cold-plate-fouling"),
        symptom_of=_MUTED,
        cases=(
            Case(
                "little left",
                (given(gpu.GPU_TEMPERATURE_MARGIN, 8),),
                ("n1/gpu0",),
                carries={"loop": "loop-1"},
            ),
            Case("short peak", (given(gpu.GPU_TEMPERATURE_MARGIN, "20+0x9 8+0x3 20+0x60"),), at="7m"),
            Case("described by nobody", (given(gpu.GPU_TEMPERATURE_MARGIN, 8, node="n9"),), ()),
        ),
    ),
    Alert(
        name="GpuMemoryHot",
        expr=at_node(gpu_max(series(gpu.GPU_TEMPERATURE, sensor="memory")) >= 95),
        severity=Severity.WARNING,
        domain=Domain.GPU,
        scope=Scope.GPU,
        summary="Memory of GPU {gpu} of {node} is at {value:.0f} °C",
        description="Memory temperature {value:.1f} °C; the stacks begin to slow down at about 95 °C.",
        cause="Contact between memory and cold plate, or too little coolant or air.",
        consequence="Memory bandwidth falls, and its errors rise with temperature.",
        action=Action.DRAIN,
        first_step="Look at the core temperature: if that is ordinary, the contact to the memory is bad.",
        board="gw-node",
        hold="5m",
        symptom_of=_MUTED,
        cases=(
            Case("hot", (given(gpu.GPU_TEMPERATURE, 97, sensor="memory"),), ("n1/gpu0",)),
            Case(
                "warm",
                (
                    given(gpu.GPU_TEMPERATURE, 88, sensor="memory"),
                    given(gpu.GPU_TEMPERATURE, 96, sensor="core"),
                ),
            ),
        ),
    ),
)
