"""The fields of DCGM that we read, under the names that dcgm-exporter gives them.

Sources: DCGM's list of field identifiers and the counter files of dcgm-exporter (facts, not their texts).
Fields that newer DCGM versions have renamed carry both names. `checked=False`: only newer versions know the
field, and dcgm-exporter serves nothing at all when its counter file names a field it does not know.
"""

from __future__ import annotations

from gigawatch.promql.dialects.model import Foreign

_PREFIX = "DCGM_FI_"


def _gauge(meaning: str, *names: str, checked: bool = True) -> Foreign:
    return Foreign(tuple(_PREFIX + name for name in names), "gauge", meaning, checked)


def _counter(meaning: str, *names: str, checked: bool = True) -> Foreign:
    return Foreign(tuple(_PREFIX + name for name in names), "counter", meaning, checked)


def _label(meaning: str, name: str) -> Foreign:
    return Foreign((_PREFIX + name,), "label", meaning)


DRIVER_VERSION = _label("Version of the driver", "DRIVER_VERSION")
SERIAL = _label("Serial number of the board", "DEV_SERIAL")
VBIOS = _label("Version of the video BIOS", "DEV_VBIOS_VERSION")

POWER = _gauge("Power averaged over a second [W]", "DEV_POWER_USAGE", "DEV_BOARD_POWER_WATTS")
POWER_INSTANT = _gauge("Power now [W]", "DEV_POWER_USAGE_INSTANT", "DEV_BOARD_POWER_RAW_WATTS", checked=False)
ENERGY = _counter("Energy since the driver was loaded [mJ]", "DEV_TOTAL_ENERGY_CONSUMPTION")
LIMIT_ENFORCED = _gauge(
    "Power limit in force [W]", "DEV_ENFORCED_POWER_LIMIT", "DEV_BOARD_POWER_LIMIT_ENFORCED_WATTS"
)
LIMIT_REQUESTED = _gauge(
    "Power limit that was asked for [W]", "DEV_POWER_MGMT_LIMIT", "DEV_BOARD_POWER_LIMIT_REQUESTED_WATTS"
)
LIMIT_MIN = _gauge(
    "Lowest power limit that can be set [W]", "DEV_POWER_MGMT_LIMIT_MIN", "DEV_BOARD_POWER_LIMIT_MIN_WATTS"
)
LIMIT_MAX = _gauge(
    "Highest power limit that can be set [W]", "DEV_POWER_MGMT_LIMIT_MAX", "DEV_BOARD_POWER_LIMIT_MAX_WATTS"
)
LIMIT_DEFAULT = _gauge(
    "Power limit from the factory [W]", "DEV_POWER_MGMT_LIMIT_DEF", "DEV_BOARD_POWER_LIMIT_DEFAULT_WATTS"
)

TEMPERATURE = _gauge("Temperature of the die [C]", "DEV_GPU_TEMP", "DEV_GPU_TEMP_CELSIUS")
TEMPERATURE_MEMORY = _gauge(
    "Temperature of the memory [C]; 0 where there is no sensor", "DEV_MEMORY_TEMP", "DEV_MEMORY_TEMP_CELSIUS"
)
TEMPERATURE_MARGIN = _gauge(
    "Kelvin left until slowdown", "DEV_GPU_TEMP_LIMIT", "DEV_GPU_TEMP_MARGIN_CELSIUS", checked=False
)
TEMPERATURE_SLOWDOWN = _gauge(
    "Die temperature at which the GPU slows down [C]", "DEV_SLOWDOWN_TEMP", "DEV_GPU_TEMP_SLOWDOWN_CELSIUS"
)
TEMPERATURE_SHUTDOWN = _gauge(
    "Die temperature at which the GPU switches off [C]", "DEV_SHUTDOWN_TEMP", "DEV_GPU_TEMP_SHUTDOWN_CELSIUS"
)
TEMPERATURE_MAX = _gauge(
    "Highest die temperature for normal work [C]", "DEV_GPU_MAX_OP_TEMP", "DEV_GPU_MAX_OP_TEMP_CELSIUS"
)
TEMPERATURE_MEMORY_MAX = _gauge(
    "Highest memory temperature for normal work [C]",
    "DEV_MEM_MAX_OP_TEMP",
    "DEV_MEMORY_MAX_OP_TEMP_CELSIUS",
)
FAN = _gauge("Speed of the fan [%]", "DEV_FAN_SPEED")

CLOCK_SM = _gauge("Clock of the multiprocessors [MHz]", "DEV_SM_CLOCK")
CLOCK_MEMORY = _gauge("Clock of the memory [MHz]", "DEV_MEM_CLOCK")
CLOCK_VIDEO = _gauge("Clock of the video engines [MHz]", "DEV_VIDEO_CLOCK")
CLOCK_SM_MAX = _gauge("Highest clock of the multiprocessors [MHz]", "DEV_MAX_SM_CLOCK")
CLOCK_MEMORY_MAX = _gauge("Highest clock of the memory [MHz]", "DEV_MAX_MEM_CLOCK")
CLOCK_VIDEO_MAX = _gauge("Highest clock of the video engines [MHz]", "DEV_MAX_VIDEO_CLOCK")
CLOCK_EVENTS = _gauge(
    "What holds the clocks down (bit mask); CLOCK_THROTTLE_REASONS before DCGM 3.3",
    "DEV_CLOCKS_EVENT_REASONS",
    "DEV_CLOCK_THROTTLE_REASONS",
)
HELD_BY_POWER = _counter("Time held down by the power limit [ns]", "DEV_POWER_VIOLATION")
HELD_BY_HEAT = _counter("Time held down by heat [ns]", "DEV_THERMAL_VIOLATION")
HELD_BY_SYNC_BOOST = _counter("Time held down by sync boost [ns]", "DEV_SYNC_BOOST_VIOLATION")
PERFORMANCE_STATE = _gauge("Performance state from 0 (fastest) to 15", "DEV_PSTATE", "DEV_GPU_PSTATE")

UTILIZATION = _gauge("Share of time with a kernel at work [%]", "DEV_GPU_UTIL")
UTILIZATION_MEMORY = _gauge("Share of time with memory traffic [%]", "DEV_MEM_COPY_UTIL")
UTILIZATION_ENCODER = _gauge("Share of time with the video encoder at work [%]", "DEV_ENC_UTIL")
UTILIZATION_DECODER = _gauge("Share of time with the video decoder at work [%]", "DEV_DEC_UTIL")
GRAPHICS_ACTIVE = _gauge("Share of time with any engine at work", "PROF_GR_ENGINE_ACTIVE")
SM_ACTIVE = _gauge("Share of multiprocessor time with a warp at work", "PROF_SM_ACTIVE")
SM_OCCUPANCY = _gauge("Resident warps against the most there can be", "PROF_SM_OCCUPANCY")
DRAM_ACTIVE = _gauge("Memory traffic against the most there can be", "PROF_DRAM_ACTIVE")
PIPES = {
    "tensor": _gauge("Share of cycles with the tensor pipe at work", "PROF_PIPE_TENSOR_ACTIVE"),
    "fp64": _gauge("Share of cycles with the FP64 pipe at work", "PROF_PIPE_FP64_ACTIVE"),
    "fp32": _gauge("Share of cycles with the FP32 pipe at work", "PROF_PIPE_FP32_ACTIVE"),
    "fp16": _gauge("Share of cycles with the FP16 pipe at work", "PROF_PIPE_FP16_ACTIVE"),
    "imma": _gauge("Share of cycles with integer tensor work", "PROF_PIPE_TENSOR_IMMA_ACTIVE", checked=False),
    "hmma": _gauge(
        "Share of cycles with half precision tensor work", "PROF_PIPE_TENSOR_HMMA_ACTIVE", checked=False
    ),
    "dfma": _gauge(
        "Share of cycles with double precision tensor work", "PROF_PIPE_TENSOR_DFMA_ACTIVE", checked=False
    ),
    "int": _gauge("Share of cycles with the integer pipe at work", "PROF_PIPE_INT_ACTIVE", checked=False),
}

MEMORY_TOTAL = _gauge("Memory of the GPU [MiB]", "DEV_FB_TOTAL")
MEMORY_USED = _gauge("Memory in use [MiB]", "DEV_FB_USED")
MEMORY_FREE = _gauge("Memory free [MiB]", "DEV_FB_FREE")
MEMORY_RESERVED = _gauge("Memory that the driver keeps [MiB]", "DEV_FB_RESERVED")
BAR1_USED = _gauge("Part of the BAR1 window in use [MiB]", "DEV_BAR1_USED")

ECC_ENABLED = _gauge("1 while memory errors are corrected", "DEV_ECC_CURRENT", "DEV_ECC_MODE")
ECC_PENDING = _gauge("1 if memory errors will be corrected after a restart", "DEV_ECC_PENDING")
ECC_SBE_VOL = _counter("Corrected memory errors since the driver was loaded", "DEV_ECC_SBE_VOL_TOTAL")
ECC_DBE_VOL = _counter("Uncorrected memory errors since the driver was loaded", "DEV_ECC_DBE_VOL_TOTAL")
ECC_SBE_AGG = _counter("Corrected memory errors over the life of the GPU", "DEV_ECC_SBE_AGG_TOTAL")
ECC_DBE_AGG = _counter("Uncorrected memory errors over the life of the GPU", "DEV_ECC_DBE_AGG_TOTAL")
ROWS_UNCORRECTED = _counter(
    "Memory rows replaced after uncorrected errors",
    "DEV_UNCORRECTABLE_REMAPPED_ROWS",
    "DEV_ROW_REMAP_UNCORRECTABLE_TOTAL",
)
ROWS_CORRECTED = _counter(
    "Memory rows replaced after corrected errors",
    "DEV_CORRECTABLE_REMAPPED_ROWS",
    "DEV_ROW_REMAP_CORRECTABLE_TOTAL",
)
ROW_REMAP_FAILED = _gauge(
    "1 once a row could not be replaced", "DEV_ROW_REMAP_FAILURE", "DEV_ROW_REMAP_FAILED"
)
ROW_REMAP_PENDING = _gauge("1 while a row remap waits for a reset", "DEV_ROW_REMAP_PENDING")
PAGES_CORRECTED = _counter(
    "Memory pages retired after corrected errors", "DEV_RETIRED_SBE", "DEV_PAGE_RETIRED_SBE_TOTAL"
)
PAGES_UNCORRECTED = _counter(
    "Memory pages retired after uncorrected errors", "DEV_RETIRED_DBE", "DEV_PAGE_RETIRED_DBE_TOTAL"
)
PAGES_PENDING = _gauge(
    "Memory pages that wait for a restart to be retired", "DEV_RETIRED_PENDING", "DEV_PAGE_RETIRED_PENDING"
)
XID = _gauge("Code of the last XID error; 0 before the first", "DEV_XID_ERRORS", "DEV_XID_ERROR")
RECOVERY_ACTION = _gauge(
    "What the driver asks for to bring the GPU back", "DEV_GET_GPU_RECOVERY_ACTION", checked=False
)

PCIE_REPLAYS = _counter("PCIe packets sent again", "DEV_PCIE_REPLAY_COUNTER", "DEV_PCIE_REPLAY_TOTAL")
PCIE_GENERATION = _gauge("PCIe generation of the link now", "DEV_PCIE_LINK_GEN")
PCIE_GENERATION_MAX = _gauge("PCIe generation that GPU and system can reach", "DEV_PCIE_MAX_LINK_GEN")
PCIE_WIDTH = _gauge("PCIe lanes of the link now", "DEV_PCIE_LINK_WIDTH")
PCIE_WIDTH_MAX = _gauge("PCIe lanes that GPU and system can reach", "DEV_PCIE_MAX_LINK_WIDTH")
PCIE_SENT = _gauge("PCIe traffic that the GPU sends [B/s]", "PROF_PCIE_TX_BYTES")
PCIE_RECEIVED = _gauge("PCIe traffic that the GPU receives [B/s]", "PROF_PCIE_RX_BYTES")
NVLINK_CRC_FLIT = _counter("NVLink checksum errors in flow control", "DEV_NVLINK_CRC_FLIT_ERROR_COUNT_TOTAL")
NVLINK_CRC_DATA = _counter("NVLink checksum errors in data", "DEV_NVLINK_CRC_DATA_ERROR_COUNT_TOTAL")
NVLINK_REPLAY = _counter("NVLink packets sent again", "DEV_NVLINK_REPLAY_ERROR_COUNT_TOTAL")
NVLINK_RECOVERY = _counter("NVLink recoveries", "DEV_NVLINK_RECOVERY_ERROR_COUNT_TOTAL")

IN_THE_COUNTERS_FILE: tuple[Foreign, ...] = tuple(
    one
    for value in list(vars().values())
    for one in (value.values() if isinstance(value, dict) else (value,))
    if isinstance(one, Foreign)
)
"""All fields, in the order of this file."""
