"""Which alert explains which: a cause mutes its symptoms along the topology, so one event is one page."""

from __future__ import annotations

from dataclasses import dataclass

from alerts.headline import ENGINES_FROM_DEAD_TO_SILENT
from alerts.model import Alert, Scope, Severity
from alerts.rules import all_alerts
from alerts.rules.cooling_aftercare import LOOP_FAULTS, NODE_FAULTS, RACK_FAULTS


@dataclass(frozen=True, slots=True)
class Inhibition:
    """While one of `sources` fires, alerts whose `symptom_of` names this one are muted if `equal` agrees.

    Alertmanager takes a label that is missing on both sides as equal, so `sources` must carry the labels of
    `equal`; those named in `present` are demanded explicitly.
    """

    name: str
    why: str
    sources: tuple[str, ...]
    equal: tuple[str, ...]
    present: tuple[str, ...] = ()
    only: tuple[tuple[str, str], ...] = ()
    """Further labels that the source must have."""
    one_gpu: bool = False
    """Mutes every page about a single GPU; then no alert need name it."""

    @property
    def targets(self) -> tuple[str, ...]:
        """Alerts that it mutes."""
        if self.one_gpu:
            return tuple(alert.name for alert in all_alerts() if _pages_for_one_gpu(alert))
        return tuple(alert.name for alert in all_alerts() if self.name in alert.symptom_of)

    @property
    def source_matchers(self) -> list[str]:
        matchers = [_names(self.sources)]
        matchers += [f'{label}="{value}"' for label, value in self.only]
        return matchers + [f'{label}=~".+"' for label in self.present]

    @property
    def target_matchers(self) -> list[str]:
        return [_names(self.targets)]


def _pages_for_one_gpu(alert: Alert) -> bool:
    return alert.severity is Severity.CRITICAL and alert.scope is Scope.GPU and not alert.together


def _names(names: tuple[str, ...]) -> str:
    return f'alertname="{names[0]}"' if len(names) == 1 else f'alertname=~"{"|".join(names)}"'


_LOOP = ("site", "loop")
_NODE = ("site", "node")
INHIBITIONS = (
    Inhibition(
        "feed",
        "what hangs on a lost feed is silent or down because of it",
        ("FeedLost",),
        ("site", "feed"),
        ("feed",),
    ),
    Inhibition(
        "other-feed",
        "the other feed carries the load of both while one is lost",
        ("FeedLost",),
        ("site", "hall"),
        ("hall",),
    ),
    Inhibition(
        "rack-power",
        "a rack without power explains its nodes",
        ("RackPowerLost",),
        ("site", "rack"),
        ("rack",),
    ),
    Inhibition(
        "loop-leak",
        "a leak explains the level and the flow that fall",
        ("LeakAtCoolantUnit",),
        _LOOP,
        ("loop",),
    ),
    Inhibition(
        "tray-leak",
        "a leak at a rack explains the level and the flow that fall",
        ("LeakInTray",),
        _LOOP,
        ("loop",),
    ),
    Inhibition(
        "node-leak",
        "a leak in a node explains the wet tray below it",
        ("LeakInNode",),
        ("site", "rack"),
        ("rack",),
    ),
    Inhibition(
        "device-down",
        "a device that does not answer tells nothing",
        ("FacilityDeviceDown",),
        ("site", "device"),
        ("device",),
    ),
    Inhibition(
        "devices-lost",
        "one page instead of one per device",
        ("FacilityDevicesLost",),
        ("site",),
        ("site",),
    ),
    Inhibition(
        "site-feed",
        "meters and sensors without power are silent with their feed",
        ("FeedLost",),
        ("site",),
        ("site",),
    ),
    Inhibition(
        "loop-unit",
        "a coolant unit that stands explains flow and temperatures of its loop",
        ("CduFailed",),
        _LOOP,
        ("loop",),
    ),
    Inhibition(
        "loop-cooling",
        "a loop that does not cool, or has just begun to again, explains every hot GPU on it",
        (*LOOP_FAULTS, "LoopHeatExplained"),
        _LOOP,
        ("loop",),
    ),
    Inhibition(
        "rack-cooling",
        "hot air at a rack explains its warm nodes",
        (*RACK_FAULTS, "RackHeatExplained"),
        ("site", "rack"),
        ("rack",),
    ),
    Inhibition(
        "node-cooling",
        "a leak in a node or dead fans explain its hot GPUs",
        (*NODE_FAULTS, "NodeHeatExplained"),
        _NODE,
        ("node",),
    ),
    Inhibition(
        "node-down", "a node that is down explains its GPUs, ports and jobs", ("NodeDown",), _NODE, ("node",)
    ),
    Inhibition("node-down-mass", "one page instead of one per node", ("NodesLost",), ("site",), ("site",)),
    Inhibition(
        "gpu-lost",
        "a lost GPU explains what its node and job report next",
        ("GpuFellOffBus",),
        _NODE,
        ("node",),
    ),
    Inhibition(
        "gpu-hung",
        "a GPU that hangs is not counted among those that its node shows",
        ("GpuHung",),
        _NODE,
        ("node",),
    ),
    Inhibition(
        "gpus-together",
        "GPUs of one node that fail at once have a cause that they share",
        ("GpusFailTogether", "NvswitchFatal"),
        _NODE,
        ("node",),
        one_gpu=True,
    ),
    Inhibition(
        "nvswitch",
        "a switch that has failed explains the GPUs and links behind it",
        ("NvswitchFatal",),
        _NODE,
        ("node",),
    ),
    Inhibition(
        "clock",
        "a clock that is far off says more than one that nobody keeps",
        ("HostClockOff",),
        _NODE,
        ("node",),
    ),
    Inhibition(
        "nvme",
        "a disk that calls itself failing explains its errors and wear",
        ("NvmeFailing",),
        (*_NODE, "device"),
        ("device",),
    ),
    Inhibition(
        "data-stall",
        "GPUs that wait for data say more than the waiting itself",
        ("DataStall",),
        _NODE,
        ("node",),
    ),
    Inhibition(
        "storage",
        "storage that does not answer explains what is measured over a whole site or job",
        ("StorageStalled",),
        ("site",),
        ("site",),
    ),
    Inhibition(
        "node-storage",
        "storage that does not answer a node explains work that stands still there",
        ("NodeStorageStalled",),
        _NODE,
        ("node",),
    ),
    Inhibition(
        "engine-gone",
        "an engine that does nothing explains what the users of its model feel",
        ENGINES_FROM_DEAD_TO_SILENT,
        ("site", "model"),
        ("model",),
    ),
    Inhibition(
        "gpu-errors",
        "the driver's own word comes before what is foretold from it",
        (
            "GpuEccUncorrected",
            "GpuEccStorm",
            "GpuRowRemapFailed",
            "GpuRowRemapPending",
            "GpuRowsRemapped",
            "GpuSramWornOut",
            "GpuMemorySparesUsedUp",
            "GpuXidReset",
            "GpuXidHardware",
            "GpuXidContained",
            "GpuNvlinkDown",
            "GpuNvlinkErrors",
            "GpuPcieLinkDegraded",
        ),
        ("site", "node", "gpu"),
        ("gpu",),
    ),
    Inhibition(
        "port-errors",
        "a port that counts its errors comes before what is foretold from them",
        ("IbPortDown", "IbPortFlapping", "IbPortErrors"),
        _NODE,
        ("node",),
    ),
    Inhibition(
        "psu", "a supply that says it failed comes before what that means", ("PsuLost",), _NODE, ("node",)
    ),
    Inhibition(
        "pump-stopped", "a pump that stands comes before weak flow", ("PumpStopped",), _LOOP, ("loop",)
    ),
    Inhibition(
        "breaker-now",
        "a breaker at its limit comes before one that will be",
        ("BreakerNearLimit", "BreakerLoadHigh", "BreakerTripped", "RackOverBudget"),
        ("site", "rack"),
        ("rack",),
    ),
    Inhibition(
        "breaker-here",
        "a breaker at its limit comes before one that will be",
        ("BreakerNearLimit", "BreakerLoadHigh", "BreakerTripped"),
        ("site", "device"),
        ("device",),
    ),
    Inhibition(
        "incident-gpu",
        "a finding explains the trends it was made from",
        ("ThermalInterfaceWear",),
        ("site", "node", "gpu"),
        ("gpu",),
    ),
    Inhibition(
        "incident-node",
        "a finding explains the trends it was made from",
        ("ColdPlateFouling",),
        _NODE,
        ("node",),
    ),
    Inhibition(
        "agents-gone",
        "a dead agent process explains silent nodes",
        ("ProcessDown", "ProcessRestarting"),
        ("site",),
        ("site",),
        (("process", "agent"),),
    ),
    Inhibition(
        "facility-gone",
        "a dead poller explains silent devices",
        ("ProcessDown", "ProcessRestarting"),
        ("site",),
        ("site",),
        (("process", "facility"),),
    ),
    Inhibition(
        "plant-gone",
        "a simulated plant that stands explains readings that are missing",
        ("ProcessDown", "ProcessRestarting"),
        ("site",),
        ("site",),
        (("process", "plant"),),
    ),
    Inhibition(
        "sd-gone",
        "a dead service discovery explains failing queries",
        ("ProcessDown", "ServiceDown"),
        ("site",),
        ("site",),
        (("process", "sd"),),
    ),
    Inhibition(
        "workload-gone",
        "a dead list of engines explains failing queries",
        ("ProcessDown", "ServiceDown"),
        ("site",),
        ("site",),
        (("process", "workload"),),
    ),
    Inhibition(
        "process-analytics",
        "a dead process explains old results",
        ("ProcessDown", "ServiceDown"),
        ("site",),
        ("site",),
        (("process", "analytics"),),
    ),
    Inhibition(
        "process", "one report per process that is down", ("ProcessDown",), ("site", "process"), ("process",)
    ),
    Inhibition(
        "process-loop",
        "restarts without end explain each restart",
        ("ProcessRestarting",),
        ("site", "process"),
        ("process",),
    ),
)

SAME_OBJECT = ("site", "domain", "scope", "place")
"""A critical alert mutes warnings about the same object in the same domain; all carry these labels."""
LOUDER, QUIETER = Severity.CRITICAL, Severity.WARNING
