"""Power limits of GPUs, and GPUs that are held without doing work."""

from __future__ import annotations

from alerts.cases import Case, given
from alerts.model import Action, Alert, Domain, Scope, Severity
from alerts.places import (
    at_node,
    both,
    compare,
    gpu_max,
    gpu_min,
)
from gigawatch.catalogue import gpu, workload
from gigawatch.promql import (
    avg_over_time,
    max_by,
    series,
)

_limit = gpu_min(series(gpu.GPU_POWER_LIMIT, kind="enforced"))
_default = gpu_min(series(gpu.GPU_POWER_LIMIT, kind="default"))

ALERTS = (
    Alert(
        name="GpuPowerLimitLowered",
        expr=at_node(compare(_limit, "<", _default * 0.95, ("site", "rack", "node", "gpu", "uuid"))),
        severity=Severity.WARNING,
        domain=Domain.GPU,
        scope=Scope.GPU,
        summary="GPU {gpu} of {node} is capped at {value:.0f} W",
        description="The enforced power limit is {value:.0f} W, more than 5 % below what the GPU came with.",
        cause="An operator or a power manager lowered it, or the driver did because of a power fault.",
        consequence="The GPU computes slower than it was bought for. Jobs on the node: {jobs_on_node}.",
        action=Action.NONE,
        first_step="Ask who set it: `nvidia-smi -q -d POWER` shows requested and enforced limit.",
        board="gw-node",
        hold="2m",
        steps=(
            "If nobody did, look for a power brake and for power supplies that are gone.",
            "If it is meant, silence this alert on the node for as long as the cap lasts.",
        ),
        rehearse=("power-cap",),
        symptom_of=("node-down", "gpu-lost"),
        cases=(
            Case(
                "halved",
                (
                    given(gpu.GPU_POWER_LIMIT, 350, kind="enforced"),
                    given(gpu.GPU_POWER_LIMIT, 700, kind="default"),
                ),
                ("n1/gpu0",),
            ),
            Case(
                "as it came",
                (
                    given(gpu.GPU_POWER_LIMIT, 700, kind="enforced"),
                    given(gpu.GPU_POWER_LIMIT, 700, kind="default"),
                ),
            ),
        ),
    ),
    Alert(
        name="GpuPowerBrake",
        expr=at_node(gpu_max(series(gpu.GPU_CLOCK_EVENT_ACTIVE, reason="hw_power_brake_slowdown")).equals(1)),
        severity=Severity.WARNING,
        domain=Domain.GPU,
        scope=Scope.GPU,
        summary="The power brake slows GPU {gpu} of {node}",
        description="The server pulls the power-brake line: it asks its GPUs to draw less at once.",
        cause="A power supply is gone or overloaded, or the rack's power manager is shedding load.",
        consequence="Clocks fall to a fraction for as long as it lasts. Jobs on the node: {jobs_on_node}.",
        action=Action.NONE,
        first_step="Look at the node's power supplies and at the rack's PDUs.",
        board="gw-node",
        hold="1m",
        symptom_of=("node-down", "gpu-lost", "rack-power"),
        cases=(
            Case(
                "pulled",
                (given(gpu.GPU_CLOCK_EVENT_ACTIVE, 1, reason="hw_power_brake_slowdown"),),
                ("n1/gpu0",),
            ),
            Case("loose", (given(gpu.GPU_CLOCK_EVENT_ACTIVE, 0, reason="hw_power_brake_slowdown"),)),
        ),
    ),
    Alert(
        name="GpuBusyWithoutWork",
        expr=at_node(
            both(
                gpu_min(avg_over_time(series(gpu.GPU_UTILIZATION, engine="gpu"), "10m")) > 0.95,
                compare(
                    gpu_max(avg_over_time(series(gpu.GPU_POWER, scope="gpu"), "10m")),
                    "<",
                    _limit * 0.3,
                    ("site", "rack", "node", "gpu", "uuid"),
                ),
                "site",
                "node",
                "gpu",
                "uuid",
            )
        ),
        severity=Severity.WARNING,
        domain=Domain.GPU,
        scope=Scope.GPU,
        summary="GPU {gpu} of {node} says it is busy but draws little power",
        description="Busy {value:percent} of ten minutes, at less than 30 % of its power limit.",
        cause="A kernel that spins: a collective operation waits for a rank that is gone or stuck.",
        consequence="The job holds its GPUs and makes no progress: {jobs_on_node}.",
        action=Action.RESTART_APP,
        first_step="Look at the job's step counter; if it stands still, take stack traces and restart the "
        "job.",
        board="gw-job",
        hold="5m",
        symptom_of=("node-down", "gpu-lost", "node-storage"),
        cases=(
            Case(
                "spins",
                (
                    given(gpu.GPU_UTILIZATION, 1, engine="gpu"),
                    given(gpu.GPU_POWER, 140, scope="gpu"),
                    given(gpu.GPU_POWER_LIMIT, 700, kind="enforced"),
                ),
                ("n1/gpu0",),
                at="20m",
            ),
            Case(
                "works",
                (
                    given(gpu.GPU_UTILIZATION, 1, engine="gpu"),
                    given(gpu.GPU_POWER, 480, scope="gpu"),
                    given(gpu.GPU_POWER_LIMIT, 700, kind="enforced"),
                ),
                at="20m",
            ),
        ),
    ),
    Alert(
        name="GpuAllocatedIdle",
        expr=at_node(
            both(
                gpu_max(avg_over_time(series(gpu.GPU_UTILIZATION, engine="gpu"), "30m")) < 0.02,
                max_by(series(workload.GPU_ALLOCATION_INFO), "site", "uuid"),
                "site",
                "uuid",
            )
        ),
        severity=Severity.INFO,
        domain=Domain.TOKENS,
        scope=Scope.GPU,
        summary="GPU {gpu} of {node} is reserved and idle",
        description="Busy {value:percent} of the last half hour, and a job holds it: {jobs_on_node}.",
        cause="A job that has ended inside, a notebook left open, or a request for more GPUs than are used.",
        consequence="Money without work.",
        action=Action.NONE,
        first_step="Ask the job's owner.",
        board="gw-job",
        hold="30m",
        cases=(
            Case(
                "idle",
                (
                    given(gpu.GPU_UTILIZATION, 0, engine="gpu"),
                    given(
                        workload.GPU_ALLOCATION_INFO,
                        1,
                        scheduler="slurm",
                        namespace="",
                        pod="",
                        container="",
                        job_id="7",
                        user="ada",
                        partition="gpu",
                        mig_uuid="",
                        stage="training",
                    ),
                ),
                ("n1/gpu0",),
                at="1h10m",
                step="1m",
            ),
            Case("free", (given(gpu.GPU_UTILIZATION, 0, engine="gpu"),), at="1h10m", step="1m"),
        ),
    ),
)
