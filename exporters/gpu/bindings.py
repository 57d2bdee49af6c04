"""Every GPU metric and its source in NVML: one row each, by subject in the tables joined here.

Field ids are NVML_FI_* of nvml.h.
"""

from __future__ import annotations

from exporters.gpu import bindings_activity, bindings_links, bindings_memory, bindings_power, fabric
from exporters.gpu.binding import Binding
from gigawatch.catalogue import Metric, gpu, gpu_activity

BINDINGS: tuple[Binding, ...] = (
    *bindings_power.BINDINGS,
    *bindings_activity.BINDINGS,
    *bindings_memory.BINDINGS,
    *bindings_links.BINDINGS,
    *fabric.BINDINGS,
)

MADE_ELSEWHERE: dict[Metric, str] = {
    gpu.GPU_INFO: "identity functions, exporters.gpu.device",
    gpu_activity.GPU_PEAK_FLOPS: "table of products, exporters.gpu.peaks",
    gpu.GPU_STATE: "outcome of all reads, exporters.gpu.collector",
    gpu.GPUS_VISIBLE: "enumeration, exporters.gpu.collector; PCI, exporters.gpu.pci",
    gpu.GPU_CAPABILITY_INFO: "what the other rows did not find, exporters.gpu.choice",
    gpu.GPU_XID_ERRORS: "events, exporters.gpu.events; kernel log, exporters.gpu.kernel_log",
    **dict.fromkeys(
        (
            gpu_activity.GPU_GRAPHICS_ACTIVE,
            gpu_activity.GPU_SM_ACTIVE,
            gpu_activity.GPU_SM_OCCUPANCY,
            gpu_activity.GPU_PIPE_ACTIVE,
            gpu_activity.GPU_DRAM_ACTIVE,
            gpu_activity.GPU_SM_CYCLES,
        ),
        "GPM, exporters.gpu.profiler",
    ),
    **dict.fromkeys(
        (gpu_activity.GPU_MIG_INFO, gpu_activity.GPU_MIG_MEMORY_USED, gpu_activity.GPU_MIG_SM_ACTIVE),
        "MIG functions, exporters.gpu.mig",
    ),
    **dict.fromkeys(
        (
            gpu_activity.GPU_PROCESSES,
            gpu_activity.GPU_PROCESS_MEMORY_USED,
            gpu_activity.GPU_PROCESS_UTILIZATION,
        ),
        "process lists, exporters.gpu.processes",
    ),
}
"""The GPU metrics that are no plain reading, and who makes them."""
