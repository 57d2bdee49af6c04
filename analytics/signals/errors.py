"""Signals of errors that foretell a failure: counters as they stand, and flags. All are sparse: a healthy GPU
has none. Classes of XIDs follow NVIDIA's catalogue (`gigawatch.catalogue.xids`).
"""

from __future__ import annotations

from collections.abc import Iterable

from analytics.fleet import Level
from analytics.signals.model import PER_GPU, PER_NODE, Signal
from gigawatch.catalogue import Metric, Unit, fabric, gpu, gpu_links
from gigawatch.promql import Expr, Match, matches, max_by, min_by, series, sum_by

ASKED = 60.0
"""Seconds between two questions about errors: they are remembered by the GPU, so nothing is missed."""
XID_MEMORY = (48, 57, 58, 95, 140, 171, 172)
XID_CONTAINED = (63, 92, 94, 156, 160)
XID_REMAP_FAILED = (64, 157, 161)
XID_LINK = (74, 136, 144, 145, 146, 149, 150)
XID_LOST = (79, 167)
XID_DRIVER = (46, 62, 109, 110, 119, 120, 143, 158, 169)


def _signal(key: str, query: Expr, column: str, unit: Unit = Unit.COUNT, level: Level = Level.GPU) -> Signal:
    return Signal(key, level, unit, query, 0.5, column, novel=False, peers=False, every=ASKED, sparse=True)


def _total(metric: Metric, *by: str, **labels: str | Match) -> Expr:
    return sum_by(series(metric, **labels), *(by or PER_GPU)) > 0


def _flag(metric: Metric, **labels: str | Match) -> Expr:
    return max_by(series(metric, **labels), *PER_GPU) > 0


def _xids(key: str, codes: Iterable[int]) -> Signal:
    among = matches("|".join(map(str, codes)))
    return _signal(f"xid_{key}", _total(gpu.GPU_XID_ERRORS, xid=among), f"gpu_xid_{key}_errors_total")


REMAP_PENDING = _signal("remap_pending", _flag(gpu.GPU_ROW_REMAP_PENDING), "gpu_row_remap_pending")
REMAP_FAILED = _signal("remap_failed", _flag(gpu.GPU_ROW_REMAP_FAILED), "gpu_row_remap_failed")
ROWS_REMAPPED = _signal(
    "rows_remapped", _total(gpu.GPU_REMAPPED_ROWS, cause="uncorrected"), "gpu_remapped_rows_total"
)
BANKS_WITHOUT_SPARE = _signal(
    "banks_without_spare", _flag(gpu.GPU_ROW_REMAP_BANKS, spare="none"), "gpu_row_remap_banks_without_spare"
)
PAGES_PENDING = _signal("pages_pending", _flag(gpu.GPU_RETIRED_PAGES_PENDING), "gpu_retired_pages_pending")
SRAM_WORN = _signal(
    "sram_worn", _flag(gpu.GPU_SRAM_ECC_THRESHOLD_EXCEEDED), "gpu_sram_ecc_threshold_exceeded"
)
ECC = _signal(
    "ecc_errors",
    _total(gpu.GPU_ECC_ERRORS, severity="uncorrected", scope="volatile"),
    "gpu_ecc_errors_total",  # a file adds corrected ones: hence it names a cause, and is no risk by itself
)
XIDS_MEMORY = _xids("memory", XID_MEMORY)
XIDS_CONTAINED = _xids("contained", XID_CONTAINED)
XIDS_REMAP_FAILED = _xids("remap_failed", XID_REMAP_FAILED)
XIDS_LINK = _xids("link", XID_LINK)
XIDS_LOST = _xids("lost", XID_LOST)
XIDS_DRIVER = _xids("driver", XID_DRIVER)
_ALL = (*XID_MEMORY, *XID_CONTAINED, *XID_REMAP_FAILED, *XID_LINK, *XID_LOST, *XID_DRIVER)
XIDS = _signal(
    "xids", _total(gpu.GPU_XID_ERRORS, xid=matches("|".join(map(str, sorted(_ALL))))), "gpu_xid_errors_total"
)
"""All serious codes together: what a file has that does not tell them apart."""
PCIE_REPLAYS = _signal("pcie_replays", _total(gpu_links.GPU_PCIE_REPLAYS), "gpu_pcie_replays_total")
NVLINK_ERRORS = _signal(
    "nvlink_errors",
    _total(gpu_links.GPU_NVLINK_ERRORS, kind=matches("crc|replay|recovery|recovery_failed|integrity")),
    "gpu_nvlink_errors_total",
)
NVLINK_DOWN = _signal(
    "nvlink_down",
    min_by(series(gpu_links.GPU_NVLINK_UP), *PER_GPU).equals(0) + 1,
    "gpu_nvlink_down",
    Unit.FLAG,
)
BRAKE = _signal(
    "power_brake",
    _total(gpu.GPU_CLOCK_EVENT_SECONDS, reason="hw_power_brake_slowdown"),
    "gpu_power_brake_seconds_total",
    Unit.SECONDS,
)
PORT_ERRORS = _signal(
    "port_errors",
    _total(fabric.IB_PORT_ERRORS, *PER_NODE, kind=matches("symbol|link_recovery|link_integrity|receive")),
    "ib_port_errors_total",
    level=Level.NODE,
)
PORT_FLAPS = _signal(
    "port_flaps", _total(fabric.IB_PORT_FLAPS, *PER_NODE), "ib_port_flaps_total", level=Level.NODE
)

ERRORS = (
    REMAP_PENDING,
    REMAP_FAILED,
    ROWS_REMAPPED,
    BANKS_WITHOUT_SPARE,
    PAGES_PENDING,
    SRAM_WORN,
    ECC,
    XIDS_MEMORY,
    XIDS_CONTAINED,
    XIDS_REMAP_FAILED,
    XIDS_LINK,
    XIDS_LOST,
    XIDS_DRIVER,
    XIDS,
    PCIE_REPLAYS,
    NVLINK_ERRORS,
    NVLINK_DOWN,
    BRAKE,
    PORT_ERRORS,
    PORT_FLAPS,
)
