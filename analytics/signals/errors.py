"""Signals of errors that foretell a failure: counters as they stand, and flags. All are sparse: a healthy GPU
has none. Classes of XIDs follow NVIDIA's catalogue (`gigawatch.catalogue.xids`).
"""

from __future__ import annotations

from analytics.fleet import Level
from analytics.signals.model import PER_GPU, PER_NODE, Signal
from gigawatch.catalogue import Metric, Unit, fabric, gpu, gpu_links
from gigawatch.catalogue.xids import CLASSES
from gigawatch.promql import Expr, Match, matches, max_by, min_by, series, sum_by

ASKED = 60.0
"""Seconds between two questions about errors: they are remembered by the GPU, so nothing is missed."""


def _signal(key: str, query: Expr, column: str, unit: Unit = Unit.COUNT, level: Level = Level.GPU) -> Signal:
    return Signal(key, level, unit, query, 0.5, column, novel=False, peers=False, every=ASKED, sparse=True)


def _total(metric: Metric, *by: str, **labels: str | Match) -> Expr:
    return sum_by(series(metric, **labels), *(by or PER_GPU)) > 0


def _flag(metric: Metric, **labels: str | Match) -> Expr:
    return max_by(series(metric, **labels), *PER_GPU) > 0


def _xids(key: str) -> Signal:
    among = matches("|".join(map(str, CLASSES[key])))
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
XIDS_MEMORY = _xids("memory")
XIDS_CONTAINED = _xids("contained")
XIDS_REMAP_FAILED = _xids("remap_failed")
XIDS_LINK = _xids("link")
XIDS_LOST = _xids("lost")
XIDS_DRIVER = _xids("driver")
_ALL = [code for codes in CLASSES.values() for code in codes]
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
