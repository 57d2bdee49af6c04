"""The agent on a node: what it could not read, had to restart, or does not believe."""

from __future__ import annotations

from alerts.cases import Case, given, rising, target, turning
from alerts.model import Action, Alert, Domain, Scope, Severity
from alerts.places import NODE, appeared, at_node, both, gpu_max, gpu_min
from gigawatch.catalogue import gpu, gpu_activity, own, workload
from gigawatch.promql import age, avg_over_time, increase, max_by, max_over_time, series

_agent = target("gigawatch-agent", 1, node="n1", rack="r1")

ALERTS = (
    Alert(
        name="CollectorProcessRestarting",
        expr=at_node(max_by(increase(series(own.COLLECTOR_PROCESS_STARTS), "15m"), *NODE, "process") > 3),
        severity=Severity.WARNING,
        domain=Domain.PIPELINE,
        scope=Scope.NODE,
        summary="Collector process {process} of {node} starts again and again",
        description="About {value:.0f} starts in fifteen minutes; each time it had crashed or hung.",
        cause="A driver library that crashes or hangs: often a GPU in trouble, or a driver being exchanged.",
        consequence="The GPUs of the node are observed with gaps.",
        action=Action.DRAIN,
        first_step="Look for XIDs and hanging GPUs on {node}; the agent's log names how the process ended.",
        board="gw-node",
        hold="1m",
        symptom_of=("node-down", "gpu-lost", "agents-gone"),
        cases=(
            Case(
                "again and again",
                (given(own.COLLECTOR_PROCESS_STARTS, rising(0.5), process="gpu"),),
                ("n1",),
                at="20m",
            ),
            Case("once", (given(own.COLLECTOR_PROCESS_STARTS, turning(1, 10, 2), process="gpu"),), at="20m"),
        ),
    ),
    Alert(
        name="KernelLogLost",
        expr=at_node(max_by(appeared(series(own.KERNEL_LOG_LOST), "10m"), *NODE)),
        severity=Severity.WARNING,
        domain=Domain.PIPELINE,
        scope=Scope.NODE,
        summary="Part of the kernel log of {node} was lost",
        description="Records were overwritten before the agent had read them, in the last ten minutes.",
        cause="A flood of kernel messages: a device that fails over and over, or a chatty driver.",
        consequence="An XID or another error may be missing in the counts.",
        action=Action.NONE,
        first_step="On {node}: journalctl -k --since -30m; look what floods it, and for XIDs in between.",
        board="gw-node",
        hold="0s",
        keep="5m",
        symptom_of=("node-down",),
        cases=(
            Case("first loss", (_agent, given(own.KERNEL_LOG_LOST, "_x24 7+0x60")), ("n1",), at="15m"),
            Case("long ago", (_agent, given(own.KERNEL_LOG_LOST, 7)), at="30m"),
        ),
    ),
    Alert(
        name="TextfileStale",
        expr=at_node(max_by(age(series(own.TEXTFILE_TIMESTAMP)), *NODE, "file") > 86400),
        severity=Severity.INFO,
        domain=Domain.PIPELINE,
        scope=Scope.NODE,
        summary="{file} on {node} was written {value:duration} ago",
        description="A file in the text file directory has not been renewed for more than a day.",
        cause="The script or timer that writes it has stopped.",
        consequence="Its figures are old and look fresh.",
        action=Action.NONE,
        first_step="Find what writes {file}; remove the file if nothing does any more.",
        board="gw-node",
        hold="10m",
        symptom_of=("node-down",),
        cases=(
            Case("old", (given(own.TEXTFILE_TIMESTAMP, -90000, file="backup.prom"),), ("n1",), at="20m"),
            Case("fresh", (given(own.TEXTFILE_TIMESTAMP, 0, file="backup.prom"),), at="20m"),
        ),
    ),
    Alert(
        name="AllocationUnmatched",
        expr=at_node(max_by(series(workload.ALLOCATION_UNMATCHED), *NODE, "scheduler", "reason") > 0),
        severity=Severity.WARNING,
        domain=Domain.PIPELINE,
        scope=Scope.NODE,
        summary="{scheduler} gives away devices on {node} that are no GPU of it",
        description="{value:.0f} devices could not be matched for ten minutes ({reason}).",
        cause="A GPU that was exchanged or lost, a device plugin or gres.conf with an old list.",
        consequence="Jobs that get such a device fail, and GPUs are shown without their job.",
        action=Action.NONE,
        first_step="Compare the scheduler's devices with `nvidia-smi -L` on {node}; restart the device "
        "plugin or slurmd.",
        board="gw-node",
        hold="10m",
        symptom_of=("node-down", "gpu-lost"),
        cases=(
            Case(
                "unknown",
                (given(workload.ALLOCATION_UNMATCHED, 2, scheduler="kubernetes", reason="unknown_id"),),
                ("n1",),
                at="15m",
            ),
            Case(
                "none",
                (given(workload.ALLOCATION_UNMATCHED, 0, scheduler="kubernetes", reason="unknown_id"),),
                at="15m",
            ),
        ),
    ),
    Alert(
        name="GpuUtilizationDoubtful",
        expr=at_node(
            both(
                gpu_min(avg_over_time(series(gpu.GPU_UTILIZATION, engine="gpu"), "5m")) > 0.9,
                gpu_max(max_over_time(series(gpu_activity.GPU_GRAPHICS_ACTIVE), "5m")) < 0.005,
                *NODE,
                "gpu",
                "uuid",
            )
        ),
        severity=Severity.INFO,
        domain=Domain.PIPELINE,
        scope=Scope.GPU,
        summary="GPU {gpu} of {node} claims to be busy and is not",
        description="Utilisation {value:percent}, and its engine was not active once in five minutes.",
        cause="A driver that reports a stuck figure, known after some resets and with persistence mode off.",
        consequence="Utilisation of this GPU, its job and its user is overstated.",
        action=Action.NONE,
        first_step="Trust SM activity and power; reset the GPU when {node} is drained next.",
        board="gw-node",
        hold="5m",
        symptom_of=("node-down", "gpu-lost"),
        cases=(
            Case(
                "stuck at 100 %",
                (given(gpu.GPU_UTILIZATION, 1, engine="gpu"), given(gpu_activity.GPU_GRAPHICS_ACTIVE, 0)),
                ("n1/gpu0",),
                at="15m",
            ),
            Case(
                "busy",
                (given(gpu.GPU_UTILIZATION, 1, engine="gpu"), given(gpu_activity.GPU_GRAPHICS_ACTIVE, 0.97)),
                at="15m",
            ),
            Case("no profiling on this GPU", (given(gpu.GPU_UTILIZATION, 1, engine="gpu"),), at="15m"),
        ),
    ),
)
