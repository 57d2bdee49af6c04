"""dcgm-exporter: which field stands for which metric of ours.

Its series repeat: once per pod where a GPU is shared, once per partition (MIG) where it is cut up, and then
there is no series of the whole GPU. Power, heat, clocks and errors are those of the whole GPU all the same;
memory and load are the partition's own, so `_whole` keeps those out of the GPU's figures.
"""

from __future__ import annotations

from gigawatch.catalogue import Metric, gpu, gpu_activity, gpu_links
from gigawatch.promql.dialects import dcgm_fields as f
from gigawatch.promql.dialects import dcgm_state as state
from gigawatch.promql.dialects.dcgm_labels import BY_GPU, TAKEN, per_gpu
from gigawatch.promql.dialects.model import Dialect, Foreign, Made, Pick, Row, Step, Taken
from gigawatch.promql.dialects.rules import scaled

_MEBI = 1048576.0
_MEGA = 1e6
_PERCENT = 0.01
_WHOLE = ('GPU_I_ID=""',)
_PART = ('GPU_I_ID!=""',)
_UNSHARED = (*_WHOLE, 'vgpu=""')
"""Exporters that tell virtual GPUs apart give each pod its own share of memory and load."""


def _row(metric: Metric, field: Foreign, factor: float = 1.0, low: float | None = None, **fixed: str) -> Row:
    return Row(metric, (Pick(field, factor, low=low),), fixed)


def _whole(metric: Metric, field: Foreign, factor: float = 1.0, **fixed: str) -> Row:
    return Row(metric, (Pick(field, factor, _WHOLE),), fixed)


def _sum(*picks: Pick, sign: str = "+") -> Made:
    text = f" {sign} ".join(per_gpu(pick) for pick in picks)
    return Made(scaled(f"({text})", _MEBI), tuple(pick.foreign for pick in picks))


def _parts(field: Foreign) -> Made:
    """The sum over a GPU's partitions."""
    text = f"sum {BY_GPU} ({per_gpu(Pick(field, where=_PART), 'GPU_I_ID')})"
    return Made(scaled(text, _MEBI), (field,))


_margin = f"{per_gpu(Pick(f.TEMPERATURE_SLOWDOWN, high=150))} - {per_gpu(Pick(f.TEMPERATURE, high=150))}"
POWER_AND_HEAT: tuple[Row | Step, ...] = (
    Row(gpu.GPU_POWER, (Pick(f.POWER_INSTANT), Pick(f.POWER)), {"scope": "gpu"}),
    _row(gpu.GPU_POWER_AVERAGE, f.POWER, scope="gpu"),
    _row(gpu.GPU_POWER_LIMIT, f.LIMIT_ENFORCED, kind="enforced"),
    _row(gpu.GPU_POWER_LIMIT, f.LIMIT_REQUESTED, kind="requested"),
    _row(gpu.GPU_POWER_LIMIT, f.LIMIT_DEFAULT, kind="default"),
    _row(gpu.GPU_POWER_LIMIT, f.LIMIT_MIN, kind="min"),
    _row(gpu.GPU_POWER_LIMIT, f.LIMIT_MAX, kind="max"),
    _row(gpu.GPU_ENERGY, f.ENERGY, 1e-3),
    _row(gpu.GPU_TEMPERATURE, f.TEMPERATURE, sensor="core"),
    _row(gpu.GPU_TEMPERATURE, f.TEMPERATURE_MEMORY, low=1, sensor="memory"),
    _row(gpu.GPU_TEMPERATURE_THRESHOLD, f.TEMPERATURE_SLOWDOWN, low=1, threshold="slowdown"),
    _row(gpu.GPU_TEMPERATURE_THRESHOLD, f.TEMPERATURE_SHUTDOWN, low=1, threshold="shutdown"),
    _row(gpu.GPU_TEMPERATURE_THRESHOLD, f.TEMPERATURE_MAX, low=1, threshold="gpu_max"),
    _row(gpu.GPU_TEMPERATURE_THRESHOLD, f.TEMPERATURE_MEMORY_MAX, low=1, threshold="memory_max"),
    Row(
        gpu.GPU_TEMPERATURE_MARGIN,
        (Pick(f.TEMPERATURE_MARGIN), Made(_margin, (f.TEMPERATURE_SLOWDOWN, f.TEMPERATURE))),
    ),
    _row(gpu.GPU_FAN_SPEED, f.FAN, _PERCENT, fan="0"),
    _row(gpu.GPU_CLOCK, f.CLOCK_SM, _MEGA, domain="sm"),
    _row(gpu.GPU_CLOCK, f.CLOCK_MEMORY, _MEGA, domain="memory"),
    _row(gpu.GPU_CLOCK, f.CLOCK_VIDEO, _MEGA, domain="video"),
    _row(gpu.GPU_CLOCK_MAX, f.CLOCK_SM_MAX, _MEGA, domain="sm"),
    _row(gpu.GPU_CLOCK_MAX, f.CLOCK_MEMORY_MAX, _MEGA, domain="memory"),
    _row(gpu.GPU_CLOCK_MAX, f.CLOCK_VIDEO_MAX, _MEGA, domain="video"),
    _row(gpu.GPU_PERFORMANCE_STATE, f.PERFORMANCE_STATE),
    *state.CLOCK_EVENTS,
    # The unit is nanoseconds, as the driver counts; counter files before 2025 call it microseconds.
    _row(gpu.GPU_CLOCK_EVENT_SECONDS, f.HELD_BY_POWER, 1e-9, reason="sw_power_cap"),
    # DCGM does not tell who throttled, driver or hardware.
    _row(gpu.GPU_CLOCK_EVENT_SECONDS, f.HELD_BY_HEAT, 1e-9, reason="sw_thermal_slowdown"),
    _row(gpu.GPU_CLOCK_EVENT_SECONDS, f.HELD_BY_SYNC_BOOST, 1e-9, reason="sync_boost"),
)
WORK = (
    _whole(gpu.GPU_UTILIZATION, f.UTILIZATION, _PERCENT, engine="gpu"),
    _whole(gpu.GPU_UTILIZATION, f.UTILIZATION_MEMORY, _PERCENT, engine="memory"),
    _whole(gpu.GPU_UTILIZATION, f.UTILIZATION_ENCODER, _PERCENT, engine="encoder"),
    _whole(gpu.GPU_UTILIZATION, f.UTILIZATION_DECODER, _PERCENT, engine="decoder"),
    _whole(gpu_activity.GPU_GRAPHICS_ACTIVE, f.GRAPHICS_ACTIVE),
    _whole(gpu_activity.GPU_SM_ACTIVE, f.SM_ACTIVE),
    _whole(gpu_activity.GPU_SM_OCCUPANCY, f.SM_OCCUPANCY),
    _whole(gpu_activity.GPU_DRAM_ACTIVE, f.DRAM_ACTIVE),
    *(_whole(gpu_activity.GPU_PIPE_ACTIVE, field, pipe=pipe) for pipe, field in f.PIPES.items()),
    Row(
        gpu.GPU_MEMORY_USED,
        (
            Pick(f.MEMORY_USED, _MEBI, _UNSHARED),
            _sum(
                Pick(f.MEMORY_TOTAL, where=_WHOLE),
                Pick(f.MEMORY_FREE, where=_WHOLE),
                Pick(f.MEMORY_RESERVED, where=_WHOLE),
                sign="-",
            ),
            Pick(f.MEMORY_USED, _MEBI, _WHOLE),
            _parts(f.MEMORY_USED),
        ),
    ),
    Row(
        gpu.GPU_MEMORY_SIZE,
        (
            Pick(f.MEMORY_TOTAL, _MEBI, _WHOLE),
            # The total is not in the usual counter file; its parts are.
            _sum(
                Pick(f.MEMORY_USED, where=_UNSHARED),
                Pick(f.MEMORY_FREE, where=_WHOLE),
                Pick(f.MEMORY_RESERVED, where=_WHOLE),
            ),
            _sum(Pick(f.MEMORY_USED, where=_UNSHARED), Pick(f.MEMORY_FREE, where=_WHOLE)),
            _parts(f.MEMORY_TOTAL),
        ),
    ),
    _whole(gpu.GPU_MEMORY_FREE, f.MEMORY_FREE, _MEBI),
    _whole(gpu.GPU_MEMORY_RESERVED, f.MEMORY_RESERVED, _MEBI),
    _whole(gpu.GPU_BAR1_USED, f.BAR1_USED, _MEBI),
    *(
        Row(
            metric,
            (Pick(field, factor, _PART),),
            taken=(Taken("gi", ("GPU_I_ID",)),),
            absent=tuple(label for label in ("ci", "mig_uuid") if label in metric.labels),
        )
        for metric, field, factor in (
            (gpu_activity.GPU_MIG_MEMORY_USED, f.MEMORY_USED, _MEBI),
            (gpu_activity.GPU_MIG_SM_ACTIVE, f.SM_ACTIVE, 1.0),
        )
    ),
)
ERRORS: tuple[Row | Step, ...] = (
    _row(gpu.GPU_ECC_ENABLED, f.ECC_ENABLED, when="current"),
    _row(gpu.GPU_ECC_ENABLED, f.ECC_PENDING, when="pending"),
    _row(gpu.GPU_ECC_ERRORS, f.ECC_SBE_VOL, severity="corrected", scope="volatile"),
    _row(gpu.GPU_ECC_ERRORS, f.ECC_DBE_VOL, severity="uncorrected", scope="volatile"),
    _row(gpu.GPU_ECC_ERRORS, f.ECC_SBE_AGG, severity="corrected", scope="aggregate"),
    _row(gpu.GPU_ECC_ERRORS, f.ECC_DBE_AGG, severity="uncorrected", scope="aggregate"),
    _row(gpu.GPU_REMAPPED_ROWS, f.ROWS_CORRECTED, cause="corrected"),
    _row(gpu.GPU_REMAPPED_ROWS, f.ROWS_UNCORRECTED, cause="uncorrected"),
    _row(gpu.GPU_ROW_REMAP_FAILED, f.ROW_REMAP_FAILED),
    _row(gpu.GPU_ROW_REMAP_PENDING, f.ROW_REMAP_PENDING),
    _row(gpu.GPU_RETIRED_PAGES, f.PAGES_CORRECTED, cause="corrected"),
    _row(gpu.GPU_RETIRED_PAGES, f.PAGES_UNCORRECTED, cause="uncorrected"),
    Row(
        gpu.GPU_RETIRED_PAGES_PENDING,
        (Made(per_gpu(Pick(f.PAGES_PENDING)) + " > bool 0", (f.PAGES_PENDING,)),),
    ),
    *state.RECOVERY,
)


def _link_errors(kind: str, *fields: Foreign) -> Row:
    text = " + ".join(per_gpu(Pick(field)) for field in fields)
    return Row(gpu_links.GPU_NVLINK_ERRORS, (Made(text, fields),), {"link": "all", "kind": kind})


LINKS = (
    _row(gpu_links.GPU_PCIE_REPLAYS, f.PCIE_REPLAYS),
    _row(gpu_links.GPU_PCIE_LINK_GENERATION, f.PCIE_GENERATION, low=1, kind="current"),
    _row(gpu_links.GPU_PCIE_LINK_GENERATION, f.PCIE_GENERATION_MAX, low=1, kind="max"),
    _row(gpu_links.GPU_PCIE_LINK_WIDTH, f.PCIE_WIDTH, low=1, kind="current"),
    _row(gpu_links.GPU_PCIE_LINK_WIDTH, f.PCIE_WIDTH_MAX, low=1, kind="max"),
    _whole(gpu_links.GPU_PCIE_THROUGHPUT, f.PCIE_SENT, direction="transmit"),
    _whole(gpu_links.GPU_PCIE_THROUGHPUT, f.PCIE_RECEIVED, direction="receive"),
    _link_errors("crc", f.NVLINK_CRC_FLIT, f.NVLINK_CRC_DATA),
    _link_errors("replay", f.NVLINK_REPLAY),
    _link_errors("recovery", f.NVLINK_RECOVERY),
)
DCGM = Dialect(
    "dcgm",
    "dcgm",
    "dcgm-exporter",
    TAKEN,
    {
        "state": state.STATE,
        "power": POWER_AND_HEAT,
        "work": WORK,
        "errors": ERRORS,
        "links": LINKS,
    },
)
