"""How GPUs are connected: PCIe, NVLink, NVSwitch and the fabric manager's view of them."""

from collections.abc import Mapping

from gigawatch.catalogue.model import Kind, Metric, Origin, Presence, Target, Unit

_ID = ("gpu", "uuid")


def _gpu(
    key: str,
    kind: Kind,
    unit: Unit,
    text: str,
    labels: tuple[str, ...] = (),
    values: Mapping[str, tuple[str, ...]] | None = None,
    presence: Presence = Presence.ALWAYS,
) -> Metric:
    return Metric(key, kind, unit, text, Origin.AGENT, Target.NODE, _ID + labels, values or {}, presence)


GPU_PCIE_BYTES = _gpu(
    "gpu_pcie_bytes_total",
    Kind.COUNTER,
    Unit.BYTES,
    "Bytes over PCIe, as the GPU sends (transmit) and receives them.",
    ("direction",),
    {"direction": ("receive", "transmit")},
    Presence.SUPPORTED,
)
GPU_PCIE_THROUGHPUT = _gpu(
    "gpu_pcie_throughput_bytes_per_second",
    Kind.GAUGE,
    Unit.BYTES_PER_SECOND,
    "PCIe traffic over the last sample, where there is no true counter of bytes.",
    ("direction",),
    {"direction": ("receive", "transmit")},
    Presence.SUPPORTED,
)
PCIE_ERROR_KINDS = (
    "l0_to_recovery", "correctable", "nonfatal", "fatal", "unsupported_request", "receiver", "bad_dllp",
    "bad_tlp", "lane", "lcrc", "nak_received", "nak_sent", "replay_rollover",
)  # fmt: skip
GPU_PCIE_ERRORS = _gpu(
    "gpu_pcie_errors_total",
    Kind.COUNTER,
    Unit.COUNT,
    "PCIe errors that the GPU's end of the link has counted.",
    ("kind",),
    {"kind": PCIE_ERROR_KINDS},
    Presence.SUPPORTED,
)
GPU_PCIE_REPLAYS = _gpu("gpu_pcie_replays_total", Kind.COUNTER, Unit.COUNT, "PCIe packets sent again.")
GPU_PCIE_LINK_GENERATION = _gpu(
    "gpu_pcie_link_generation",
    Kind.GAUGE,
    Unit.COUNT,
    "PCIe generation of the link.",
    ("kind",),
    {"kind": ("current", "max")},
)
GPU_PCIE_LINK_WIDTH = _gpu(
    "gpu_pcie_link_width",
    Kind.GAUGE,
    Unit.COUNT,
    "PCIe lanes of the link.",
    ("kind",),
    {"kind": ("current", "max")},
)
GPU_NVLINK_UP = _gpu(
    "gpu_nvlink_up",
    Kind.GAUGE,
    Unit.FLAG,
    "1 while the NVLink is up.",
    ("link",),
    presence=Presence.SUPPORTED,
)
GPU_NVLINK_ERRORS = _gpu(
    "gpu_nvlink_errors_total",
    Kind.COUNTER,
    Unit.COUNT,
    "NVLink errors, by link; link is all where the driver tells only the sum over the links.",
    ("link", "kind"),
    {
        "kind": (
            "crc", "replay", "recovery", "recovery_failed", "malformed", "overrun", "receive", "remote",
            "general", "integrity", "transmit_discard", "effective", "symbol",
        )
    },
    Presence.SUPPORTED,
)  # fmt: skip
GPU_NVLINK_SPEED = _gpu(
    "gpu_nvlink_speed_bytes_per_second",
    Kind.GAUGE,
    Unit.BYTES_PER_SECOND,
    "Speed at which the NVLink runs, one way.",
    ("link",),
    presence=Presence.SUPPORTED,
)
GPU_NVLINK_BYTES = _gpu(
    "gpu_nvlink_bytes_total",
    Kind.COUNTER,
    Unit.BYTES,
    "Payload over NVLink; link is all where the driver tells only the sum over the links.",
    ("link", "direction"),
    {"direction": ("receive", "transmit")},
    Presence.SUPPORTED,
)
GPU_NVLINK_BIT_ERROR = _gpu(
    "gpu_nvlink_bit_error_ratio",
    Kind.GAUGE,
    Unit.RATIO,
    "Share of bits that arrive wrong: before (symbol) and after (effective) forward error correction.",
    ("link", "kind"),
    {"kind": ("effective", "symbol")},
    Presence.SUPPORTED,
)
GPU_FABRIC_STATE = _gpu(
    "gpu_fabric_state",
    Kind.STATE_SET,
    Unit.FLAG,
    "How far the GPU is registered with the NVSwitch fabric; anything but completed cannot use NVLink.",
    ("state",),
    {"state": ("not_started", "in_progress", "completed")},
    Presence.SUPPORTED,
)
GPU_FABRIC_UNHEALTHY = _gpu(
    "gpu_fabric_unhealthy",
    Kind.STATE_SET,
    Unit.FLAG,
    "Checks of the NVSwitch fabric that fail for this GPU; any number can be 1.",
    ("check",),
    {
        "check": (
            "registration_failed", "degraded_bandwidth", "route_recovery", "route_unhealthy",
            "access_timeout_recovery", "partition_unassigned", "manager_disconnected", "wrong_system_guid",
            "wrong_chassis_serial", "no_partition", "insufficient_nvlinks", "incompatible_firmware",
            "invalid_location", "invalid_gpu_state",
        )
    },
    Presence.SUPPORTED,
)  # fmt: skip


def _pci(
    key: str,
    kind: Kind,
    unit: Unit,
    text: str,
    labels: tuple[str, ...],
    values: Mapping[str, tuple[str, ...]],
) -> Metric:
    labels = ("pci_bus_id", *labels)
    return Metric(key, kind, unit, text, Origin.AGENT, Target.NODE, labels, values, Presence.SUPPORTED)


PCI_LINK_SPEED = _pci(
    "pci_link_speed_transfers_per_second",
    Kind.GAUGE,
    Unit.TRANSFERS_PER_SECOND,
    "PCIe transfers per second and lane as the bus tells of GPUs, adapters and NVMe disks, driver or not.",
    ("kind",),
    {"kind": ("current", "max")},
)
PCI_LINK_WIDTH = _pci(
    "pci_link_width",
    Kind.GAUGE,
    Unit.COUNT,
    "PCIe lanes as the bus tells of GPUs, adapters and NVMe disks, driver or not.",
    ("kind",),
    {"kind": ("current", "max")},
)
PCI_AER_ERRORS = _pci(
    "pci_aer_errors_total",
    Kind.COUNTER,
    Unit.COUNT,
    "Errors that PCIe advanced error reporting has counted, of GPUs, adapters and NVMe disks.",
    ("severity",),
    {"severity": ("correctable", "nonfatal", "fatal")},
)
PCI_DEVICE_INFO = _pci(
    "pci_device_info",
    Kind.INFO,
    Unit.COUNT,
    "What sits at a PCI address.",
    ("type", "driver", "vendor", "product", "numa"),
    {"type": ("gpu", "nvswitch", "network", "nvme")},
)
NVSWITCH_SXID_ERRORS = _pci(
    "nvswitch_sxid_errors_total",
    Kind.COUNTER,
    Unit.COUNT,
    "NVSwitch errors (SXID) in the kernel log since the node was started.",
    ("sxid", "severity"),
    {"severity": ("non_fatal", "fatal", "unknown")},
)
