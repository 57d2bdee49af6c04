"""The host around the GPUs: room on its disks, memory, pressure, heat, clock, its own errors."""

from __future__ import annotations

from alerts.cases import Case, Given, given, rising, target, turning
from alerts.model import Action, Alert, Domain, Scope, Severity
from alerts.places import NODE, appeared, at_node, both
from gigawatch.catalogue import gpu, host
from gigawatch.promql import Expr, absolute, increase, lacks, many_to_one, max_by, rate, series, sum_by

_free = max_by(
    series(host.HOST_FILESYSTEM_AVAILABLE, fstype=lacks("squashfs|iso9660|tmpfs")), *NODE, "mountpoint"
)
_size = max_by(series(host.HOST_FILESYSTEM_SIZE), *NODE, "mountpoint")
_disk = (*NODE, "mountpoint")


def _share(part: Expr, whole: Expr, by: tuple[str, ...]) -> Expr:
    return many_to_one(part, "/", whole, by)


ROOM = (
    Alert(
        name="NodeDiskFull",
        expr=at_node(both(_share(_free, _size, _disk) < 0.05, _free < 5e9, *_disk)),
        severity=Severity.WARNING,
        domain=Domain.NODE,
        scope=Scope.NODE,
        summary="{mountpoint} of {node} is nearly full",
        description="{value:percent} left, and less than 5 GB.",
        cause="Logs, caches, or checkpoints on the wrong disk.",
        consequence="Jobs that write there fail.",
        action=Action.NONE,
        first_step="Find what grew: du -xh --max-depth=2 {mountpoint} | sort -h | tail",
        board="gw-node",
        hold="10m",
        symptom_of=("node-down",),
        cases=(
            Case(
                "nearly full",
                (
                    given(host.HOST_FILESYSTEM_AVAILABLE, 1e9, mountpoint="/", fstype="ext4"),
                    given(host.HOST_FILESYSTEM_SIZE, 1e12, mountpoint="/", fstype="ext4"),
                ),
                ("n1",),
                at="15m",
            ),
            Case(
                "little but small",
                (
                    given(host.HOST_FILESYSTEM_AVAILABLE, 1e9, mountpoint="/", fstype="ext4"),
                    given(host.HOST_FILESYSTEM_SIZE, 1.1e9, mountpoint="/", fstype="ext4"),
                ),
                at="15m",
            ),
        ),
    ),
    Alert(
        name="NodeMemoryLow",
        expr=at_node(
            _share(
                max_by(series(host.HOST_MEMORY_AVAILABLE), *NODE),
                max_by(series(host.HOST_MEMORY_SIZE), *NODE),
                NODE,
            )
            < 0.03
        ),
        severity=Severity.WARNING,
        domain=Domain.NODE,
        scope=Scope.NODE,
        summary="{node} has {value:percent} of its memory left",
        description="Less than 3 % of the host's memory can be taken.",
        cause="A data loader that leaks or is too greedy.",
        consequence="The kernel ends processes, often the job: {jobs_on_node}.",
        action=Action.RESTART_APP,
        first_step="See who holds it: ps aux --sort=-rss | head",
        board="gw-node",
        hold="5m",
        symptom_of=("node-down",),
        cases=(
            Case(
                "low", (given(host.HOST_MEMORY_AVAILABLE, 1e9), given(host.HOST_MEMORY_SIZE, 1e12)), ("n1",)
            ),
            Case("enough", (given(host.HOST_MEMORY_AVAILABLE, 5e11), given(host.HOST_MEMORY_SIZE, 1e12))),
        ),
    ),
)


def _errors(values: float | str, severity: str, dimm: str = "DIMM_A1") -> Given:
    return given(host.HOST_MEMORY_ERRORS, values, controller="mc0", dimm=dimm, severity=severity)


HARDWARE = (
    Alert(
        name="HostMemoryUncorrected",
        expr=at_node(
            max_by(
                increase(series(host.HOST_MEMORY_ERRORS, severity="uncorrected"), "10m"),
                *NODE,
                "controller",
                "dimm",
            )
            > 0
        ),
        severity=Severity.WARNING,
        domain=Domain.NODE,
        scope=Scope.NODE,
        summary="Host memory of {node} returned wrong data",
        description="An error that could not be corrected, at controller {controller}, module {dimm}, "
        "within ten "
        "minutes.",
        cause="A memory module that fails.",
        consequence="The process that read it was ended, or the node goes down next: {jobs_on_node}.",
        action=Action.SERVICE_REQUIRED,
        first_step="Drain {node} and exchange module {dimm}; if it is not named, the kernel log of the "
        "time is "
        "nearer.",
        board="gw-node",
        hold="0s",
        keep="10m",
        symptom_of=("node-down",),
        cases=(
            Case("one", (_errors(turning(0, 10, 1), "uncorrected"),), ("n1",), carries={"dimm": "DIMM_A1"}),
            Case("old", (_errors(3, "uncorrected"),)),
        ),
    ),
    Alert(
        name="HostMemoryErrors",
        expr=at_node(
            max_by(
                increase(series(host.HOST_MEMORY_ERRORS, severity="corrected"), "1h"),
                *NODE,
                "controller",
                "dimm",
            )
            > 100
        ),
        severity=Severity.WARNING,
        domain=Domain.NODE,
        scope=Scope.NODE,
        summary="Host memory of {node} corrects many errors",
        description="{value:.0f} errors corrected within an hour at controller {controller}, module {dimm}.",
        cause="A memory module that wears out, or sits badly.",
        consequence="Corrections cost time, and an error that cannot be corrected becomes likely.",
        action=Action.SERVICE_REQUIRED,
        first_step="Order the module; exchange it when {node} is drained next.",
        board="gw-node",
        hold="5m",
        symptom_of=("node-down",),
        cases=(
            Case("many", (_errors(rising(2), "corrected"),), ("n1",), at="1h10m", step="1m"),
            Case("a few", (_errors(rising(0.05), "corrected"),), at="1h10m", step="1m"),
        ),
    ),
    Alert(
        name="HostThrottled",
        expr=at_node(sum_by(increase(series(host.HOST_CPU_THROTTLES), "10m"), *NODE) > 10),
        severity=Severity.WARNING,
        domain=Domain.COOLING,
        scope=Scope.NODE,
        summary="Processors of {node} are slowed down by heat",
        description="{value:.0f} times in ten minutes.",
        cause="Hot inlet air, a fan or heat sink that is blocked.",
        consequence="What the processors prepare comes late: the GPUs wait for data: {jobs_on_node}.",
        action=Action.DRAIN,
        first_step="Compare inlet air and fans of {node} with its neighbours.",
        board="gw-node",
        hold="5m",
        symptom_of=("node-down", "node-cooling", "rack-cooling"),
        cases=(
            Case(
                "again and again",
                (given(host.HOST_CPU_THROTTLES, rising(3), scope="package"),),
                ("n1",),
                at="20m",
            ),
            Case("a moment", (given(host.HOST_CPU_THROTTLES, turning(0, 10, 4), scope="package"),), at="20m"),
        ),
    ),
    Alert(
        name="HostNetworkFlapping",
        expr=at_node(max_by(increase(series(host.HOST_NETWORK_FLAPS), "10m"), *NODE, "device") > 2),
        severity=Severity.WARNING,
        domain=Domain.NODE,
        scope=Scope.NODE,
        summary="Interface {device} of {node} goes down and up",
        description="About {value:.0f} losses of the link in ten minutes.",
        cause="A cable or transceiver that fails, or the switch port.",
        consequence="Storage and control traffic stall each time; the node may drop out of its cluster.",
        action=Action.DRAIN,
        first_step="Look at the switch end for errors; exchange cable or transceiver.",
        board="gw-node",
        hold="0s",
        keep="5m",
        symptom_of=("node-down", "rack-power"),
        cases=(
            Case("flaps", (given(host.HOST_NETWORK_FLAPS, rising(1), device="eth0"),), ("n1",)),
            Case("once", (given(host.HOST_NETWORK_FLAPS, turning(0, 10, 1), device="eth0"),)),
        ),
    ),
)

_with_gpus = max_by(series(gpu.GPUS_VISIBLE), *NODE) > 0


def _gpus(count: int) -> Given:
    return given(gpu.GPUS_VISIBLE, count, source="pci")


CLOCK = (
    Alert(
        name="HostClockOff",
        expr=at_node(max_by(absolute(series(host.HOST_CLOCK_OFFSET)), *NODE) > 0.05),
        severity=Severity.WARNING,
        domain=Domain.NODE,
        scope=Scope.NODE,
        summary="The clock of {node} is {value:.3f} s off",
        description="More than 50 ms between the node's clock and what its time service holds for true.",
        cause="The time service lost its servers, or a virtual machine was moved or paused.",
        consequence="Logs and events of different nodes no longer sort, timeouts of collectives and leases "
        "misfire, tokens and certificates may be refused.",
        action=Action.NONE,
        first_step="On {node}: chronyc tracking (or timedatectl timesync-status); then mend what it names.",
        board="gw-node",
        hold="2m",
        rehearse=("clock-drift",),
        symptom_of=("node-down",),
        cases=(
            Case("behind", (given(host.HOST_CLOCK_OFFSET, -0.2),), ("n1",)),
            Case("a little", (given(host.HOST_CLOCK_OFFSET, 0.004),)),
        ),
    ),
    Alert(
        name="HostClockUnsynchronized",
        expr=at_node(both(max_by(series(host.HOST_CLOCK_SYNCHRONIZED), *NODE).equals(0), _with_gpus, *NODE)),
        severity=Severity.WARNING,
        domain=Domain.NODE,
        scope=Scope.NODE,
        summary="Nothing keeps the clock of {node} in step",
        description="The kernel has called its clock unsynchronised for ten minutes.",
        cause="No time service runs, or it reaches none of its servers.",
        consequence="The clock drifts away by seconds per day; what that breaks shows only then.",
        action=Action.NONE,
        first_step="On {node}: systemctl status chronyd (or systemd-timesyncd).",
        board="gw-node",
        hold="10m",
        note="Asked of nodes with GPUs only: a virtual machine often takes its time from its host, and the "
        "kernel does not know.",
        symptom_of=("node-down", "clock"),
        rehearse=("clock-drift",),
        cases=(
            Case("alone", (given(host.HOST_CLOCK_SYNCHRONIZED, 0), _gpus(8)), ("n1",), at="15m"),
            Case("kept", (given(host.HOST_CLOCK_SYNCHRONIZED, 1), _gpus(8)), at="15m"),
            Case("no GPUs", (given(host.HOST_CLOCK_SYNCHRONIZED, 0), _gpus(0)), at="15m"),
        ),
    ),
)


def _pressure(resource: str, share: str, per_step: float) -> Given:
    return given(host.HOST_PRESSURE, rising(per_step), resource=resource, share=share)


PRESSURE = (
    Alert(
        name="HostIoPressure",
        expr=at_node(
            max_by(rate(series(host.HOST_PRESSURE, resource="io", share="full"), "5m"), *NODE) > 0.4
        ),
        severity=Severity.INFO,
        domain=Domain.NODE,
        scope=Scope.NODE,
        summary="Work on {node} waits for its disks or mounts",
        description="{value:percent} of the time nothing on the host could run because of I/O, over five "
        "minutes.",
        cause="Storage that is slow or stalled, or loaders that ask for more than it can give.",
        consequence="Data comes late; DataStall says when GPUs stand still for it.",
        action=Action.NONE,
        first_step="Compare latency of the node's disks with that of its shared storage on the board.",
        board="gw-node",
        hold="5m",
        rehearse=("storage-stall",),
        symptom_of=("node-down", "node-storage", "data-stall"),
        cases=(
            Case("waits", (_pressure("io", "full", 24),), ("n1",), at="15m"),
            Case("some tasks wait", (_pressure("io", "full", 3), _pressure("io", "some", 28)), at="15m"),
        ),
    ),
    Alert(
        name="HostMemoryPressure",
        expr=at_node(
            max_by(rate(series(host.HOST_PRESSURE, resource="memory", share="full"), "5m"), *NODE) > 0.1
        ),
        severity=Severity.WARNING,
        domain=Domain.NODE,
        scope=Scope.NODE,
        summary="{node} loses {value:percent} of its time to a lack of memory",
        description="All tasks waited for memory that long, over five minutes.",
        cause="Loaders or caches that take more memory than there is; swapping.",
        consequence="Everything on the node crawls, and the kernel ends a process next: {jobs_on_node}.",
        action=Action.RESTART_APP,
        first_step="See who holds it: ps aux --sort=-rss | head",
        board="gw-node",
        hold="5m",
        symptom_of=("node-down",),
        cases=(
            Case("thrashes", (_pressure("memory", "full", 9),), ("n1",), at="15m"),
            Case("a little", (_pressure("memory", "full", 0.5),), at="15m"),
        ),
    ),
    Alert(
        name="HostTasksHung",
        expr=at_node(max_by(appeared(series(host.HOST_HUNG_TASKS), "10m"), *NODE)),
        severity=Severity.WARNING,
        domain=Domain.NODE,
        scope=Scope.NODE,
        summary="The kernel of {node} found tasks that hang",
        description="Tasks that waited for minutes without a break, in the last ten minutes.",
        cause="Storage that does not answer, or a driver call that does not return, often of a GPU in "
        "trouble.",
        consequence="These processes cannot even be killed; the node will need a restart: {jobs_on_node}.",
        action=Action.RESTART_OS,
        first_step="The kernel log names tasks and what they wait in: NFS or Lustre means storage, nvidia "
        "a GPU.",
        board="gw-node",
        hold="0s",
        keep="5m",
        rehearse=("storage-stall",),
        symptom_of=("node-down", "gpu-lost", "node-storage"),
        cases=(
            Case("some", (given(host.HOST_HUNG_TASKS, turning(0, 10, 4)),), ("n1",)),
            Case("none", (given(host.HOST_HUNG_TASKS, 0),)),
            Case(
                "old, seen at the first scrape",
                (given(host.HOST_HUNG_TASKS, 4), target("gigawatch-agent", 1, node="n1", rack="r1")),
                at="30m",
            ),
        ),
    ),
    Alert(
        name="HostOutOfMemory",
        expr=at_node(max_by(increase(series(host.HOST_OOM_KILLS), "10m"), *NODE) > 0),
        severity=Severity.INFO,
        domain=Domain.TOKENS,
        scope=Scope.NODE,
        summary="The kernel of {node} ended processes for want of memory",
        description="Within the last ten minutes.",
        cause="A loader or cache that grew beyond its limit or the host's memory.",
        consequence="If it was a job's process, that job is gone or hangs: {jobs_on_node}.",
        action=Action.NONE,
        first_step="The kernel log names the process and its control group; tell its owner.",
        board="gw-node",
        hold="0s",
        symptom_of=("node-down",),
        cases=(
            Case("one", (given(host.HOST_OOM_KILLS, turning(0, 10, 1)),), ("n1",)),
            Case("none", (given(host.HOST_OOM_KILLS, 0),)),
        ),
    ),
)

ALERTS = (*ROOM, *HARDWARE, *CLOCK, *PRESSURE)
