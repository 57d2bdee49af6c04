"""GPUs: heat, power, memory, and GPUs that are gone. Limits: see the notes; margins are those of NVML."""

from __future__ import annotations

from alerts.cases import Case, given, rising, turning
from alerts.model import Action, Alert, Domain, Scope, Severity
from alerts.places import at_node, both, compare, gpu_max, gpu_min
from gigawatch.catalogue import gpu, site, workload
from gigawatch.promql import avg_over_time, increase, many_to_one, matches, max_by, rate, series

_MUTED = ("loop-cooling", "node-cooling", "node-down", "gpu-lost")
_THERMAL = ("sw_thermal_slowdown", "hw_thermal_slowdown")


_throttling = gpu_max(series(gpu.GPU_CLOCK_EVENT_ACTIVE, reason=matches("|".join(_THERMAL)))).equals(1)
_limit = gpu_min(series(gpu.GPU_POWER_LIMIT, kind="enforced"))
_default = gpu_min(series(gpu.GPU_POWER_LIMIT, kind="default"))

HEAT = (
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

POWER = (
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
        symptom_of=("node-down", "gpu-lost", "storage"),
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
                        job_id="7",
                        user="ada",
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

_lost = gpu_max(series(gpu.GPU_STATE, state="lost")).equals(1)
_xid_79 = gpu_max(increase(series(gpu.GPU_XID_ERRORS, xid="79"), "10m")) > 0
_not_ok = gpu_max(series(gpu.GPU_STATE, state=matches("hung|reset_required"))).equals(1)
_visible = max_by(series(gpu.GPUS_VISIBLE, source="nvml"), "site", "rack", "node")
_expected = max_by(series(site.GPUS_EXPECTED), "site", "node")

GONE = (
    Alert(
        name="GpuFellOffBus",
        expr=at_node(_lost.or_(_xid_79)),
        severity=Severity.CRITICAL,
        domain=Domain.GPU,
        scope=Scope.GPU,
        summary="GPU {gpu} of {node} fell off the bus (XID 79)",
        description="The driver lost contact with GPU {gpu} ({uuid}); it answers no more.",
        cause="Power or PCIe trouble of the GPU, overheating, or a defect of the board.",
        consequence="Whatever ran on it is lost and its job hangs or fails: {jobs_on_node}. The other GPUs "
        "of the node often follow.",
        action=Action.RESTART_OS,
        first_step="Drain {node} now, then power-cycle it (a warm reboot often does not bring the GPU back).",
        board="gw-node",
        hold="0s",
        keep="2m",
        steps=(
            "If it is back: run the field diagnosis before you return the node to service.",
            "If it is gone again, or for the second time in 30 days: exchange it (service_required).",
        ),
        rehearse=("xid-79",),
        symptom_of=("node-down", "rack-power"),
        cases=(
            Case(
                "lost",
                (given(gpu.GPU_STATE, turning(0, 10, 1), state="lost", gpu="3"),),
                ("n1/gpu3",),
                carries={"loop": "loop-1", "row": "a", "rack": "r1", "node": "n1"},
            ),
            Case(
                "seen in the kernel log",
                (given(gpu.GPU_XID_ERRORS, turning(0, 10, 1), xid="79", source="kmsg"),),
                ("n1/gpu0",),
            ),
            Case(
                "counter at zero from the start",
                (
                    given(gpu.GPU_XID_ERRORS, 0, xid="79", source="nvml"),
                    given(gpu.GPU_STATE, 0, state="lost"),
                ),
            ),
            Case(
                "an old event, seen at the first scrape",
                (given(gpu.GPU_XID_ERRORS, 1, xid="79", source="kmsg"),),
            ),
        ),
    ),
    Alert(
        name="GpuHung",
        expr=at_node(_not_ok),
        severity=Severity.CRITICAL,
        domain=Domain.GPU,
        scope=Scope.GPU,
        summary="GPU {gpu} of {node} hangs or asks for a reset",
        description="The driver still sees the GPU, but it takes no work.",
        cause="A fault that the driver cannot clear by itself; the XIDs of the last minutes say which.",
        consequence="Its job stands still: {jobs_on_node}.",
        action=Action.RESET_GPU,
        first_step="Drain {node}, then reset the GPU: nvidia-smi --gpu-reset -i {gpu}",
        board="gw-node",
        hold="30s",
        symptom_of=("node-down", "gpu-lost"),
        cases=(
            Case("hangs", (given(gpu.GPU_STATE, 1, state="hung"),), ("n1/gpu0",)),
            Case("works", (given(gpu.GPU_STATE, 1, state="ok"), given(gpu.GPU_STATE, 0, state="hung"))),
        ),
    ),
    Alert(
        name="GpuMissing",
        expr=at_node(many_to_one(_visible, "<", _expected, ("site", "node"))),
        severity=Severity.CRITICAL,
        domain=Domain.GPU,
        scope=Scope.NODE,
        summary="{node} shows {value:.0f} GPUs, fewer than it has",
        description="The driver sees {value:.0f} GPUs; the inventory says that the node has more.",
        cause="A GPU that did not come up after a boot, or that fell off the bus.",
        consequence="Jobs that need the whole node cannot start or have failed: {jobs_on_node}.",
        action=Action.RESTART_OS,
        first_step="Compare `lspci` with `nvidia-smi -L`: missing on both means hardware, on one the driver.",
        board="gw-node",
        hold="2m",
        steps=("Drain and power-cycle the node.", "Still missing: reseat, then exchange the GPU."),
        note="If the inventory is wrong, mend the inventory: this alert and capacity planning both rest on "
        "it.",
        rehearse=("xid-79",),
        symptom_of=("node-down", "gpu-lost", "rack-power"),
        cases=(
            Case(
                "one short",
                (
                    given(gpu.GPUS_VISIBLE, 7, source="nvml"),
                    given(site.GPUS_EXPECTED, 8, node="n1", rack="r1"),
                ),
                ("n1",),
            ),
            Case(
                "all there",
                (
                    given(gpu.GPUS_VISIBLE, 8, source="nvml"),
                    given(site.GPUS_EXPECTED, 8, node="n1", rack="r1"),
                ),
            ),
            Case("the node is silent", (given(site.GPUS_EXPECTED, 8, node="n1", rack="r1"),)),
        ),
    ),
)


LINKS = (
    Alert(
        name="GpuNvlinkDown",
        expr=at_node(gpu_min(series(gpu.GPU_NVLINK_UP)).equals(0)),
        severity=Severity.CRITICAL,
        domain=Domain.GPU,
        scope=Scope.GPU,
        summary="An NVLink of GPU {gpu} of {node} is down",
        description="At least one NVLink of the GPU does not train.",
        cause="A bad link, cable or switch port, or the fabric manager is not running.",
        consequence="Collective operations over this GPU slow down or fail: {jobs_on_node}.",
        action=Action.DRAIN,
        first_step="Check the fabric manager, then drain {node} and reset its GPUs together.",
        board="gw-node",
        hold="1m",
        steps=("Still down after a reset: reboot. Still down: exchange (service_required).",),
        symptom_of=("node-down", "gpu-lost"),
        cases=(
            Case(
                "one down",
                (given(gpu.GPU_NVLINK_UP, 1, link="0"), given(gpu.GPU_NVLINK_UP, 0, link="1")),
                ("n1/gpu0",),
            ),
            Case("all up", (given(gpu.GPU_NVLINK_UP, 1, link="0"), given(gpu.GPU_NVLINK_UP, 1, link="1"))),
        ),
    ),
    Alert(
        name="GpuNvlinkErrors",
        expr=at_node(
            max_by(
                increase(series(gpu.GPU_NVLINK_ERRORS), "5m"), "site", "rack", "node", "gpu", "uuid", "kind"
            )
            > 10
        ),
        severity=Severity.WARNING,
        domain=Domain.GPU,
        scope=Scope.GPU,
        summary="NVLink errors on GPU {gpu} of {node}: {value:.0f} in 5 min",
        description="{value:.0f} errors of kind {kind} in five minutes; a healthy link shows none.",
        cause="A link that is about to fail: dirt, a bad cable or connector, a weak transceiver.",
        consequence="Every repeated packet slows the collective operations of the job: {jobs_on_node}.",
        action=Action.DRAIN,
        first_step="Watch whether the count keeps rising; if it does, drain {node} and reset the GPU.",
        board="gw-node",
        hold="1m",
        keep="5m",
        rehearse=("nvlink-errors",),
        symptom_of=("node-down", "gpu-lost"),
        cases=(
            Case("rising", (given(gpu.GPU_NVLINK_ERRORS, rising(20), kind="crc"),), ("n1/gpu0",)),
            Case("a few", (given(gpu.GPU_NVLINK_ERRORS, turning(0, 5, 3), kind="crc"),)),
        ),
    ),
    Alert(
        name="GpuPcieLinkDegraded",
        expr=at_node(
            compare(
                gpu_min(series(gpu.GPU_PCIE_LINK_WIDTH, kind="current")),
                "<",
                gpu_min(series(gpu.GPU_PCIE_LINK_WIDTH, kind="max")),
                ("site", "rack", "node", "gpu", "uuid"),
            )
        ),
        severity=Severity.WARNING,
        domain=Domain.GPU,
        scope=Scope.GPU,
        summary="GPU {gpu} of {node} runs on {value:.0f} PCIe lanes",
        description="The link came up with {value:.0f} lanes, fewer than the GPU has.",
        cause="A connector that is not fully seated, or a damaged lane.",
        consequence="Copies to and from the host are slower: loading, checkpoints.",
        action=Action.SERVICE_REQUIRED,
        first_step="Plan a drain; reseat the GPU or its riser.",
        board="gw-node",
        hold="10m",
        symptom_of=("node-down", "gpu-lost"),
        cases=(
            Case(
                "half",
                (
                    given(gpu.GPU_PCIE_LINK_WIDTH, 8, kind="current"),
                    given(gpu.GPU_PCIE_LINK_WIDTH, 16, kind="max"),
                ),
                ("n1/gpu0",),
                at="15m",
            ),
            Case(
                "full",
                (
                    given(gpu.GPU_PCIE_LINK_WIDTH, 16, kind="current"),
                    given(gpu.GPU_PCIE_LINK_WIDTH, 16, kind="max"),
                ),
                at="15m",
            ),
        ),
    ),
    Alert(
        name="GpuPcieReplays",
        expr=at_node(gpu_max(rate(series(gpu.GPU_PCIE_REPLAYS), "10m")) > 1),
        severity=Severity.INFO,
        domain=Domain.GPU,
        scope=Scope.GPU,
        summary="PCIe repeats packets for GPU {gpu} of {node}",
        description="{value:.1f} repeated packets per second over ten minutes.",
        cause="A marginal link.",
        consequence="Little by itself; together with XIDs it points at the slot or riser.",
        action=Action.NONE,
        first_step="Note it for the next service of {node}.",
        board="gw-node",
        hold="10m",
        symptom_of=("node-down", "gpu-lost"),
        cases=(
            Case("many", (given(gpu.GPU_PCIE_REPLAYS, rising(90)),), ("n1/gpu0",), at="25m"),
            Case("few", (given(gpu.GPU_PCIE_REPLAYS, rising(1)),), at="25m"),
        ),
    ),
)

ALERTS = (*GONE, *HEAT, *POWER, *LINKS)
