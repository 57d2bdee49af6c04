"""How busy a GPU really is: profiling ratios and cycle counters, its partitions (MIG) and its processes."""

from collections.abc import Mapping

from gigawatch.catalogue.model import Kind, Metric, Origin, Presence, Target, Unit


def _gpu(
    key: str,
    kind: Kind,
    unit: Unit,
    text: str,
    labels: tuple[str, ...] = (),
    values: Mapping[str, tuple[str, ...]] | None = None,
) -> Metric:
    own = ("gpu", "uuid", *labels)
    return Metric(key, kind, unit, text, Origin.AGENT, Target.NODE, own, values or {}, Presence.SUPPORTED)


GPU_GRAPHICS_ACTIVE = _gpu(
    "gpu_graphics_active_ratio",
    Kind.GAUGE,
    Unit.RATIO,
    "Share of the last interval in which the compute or graphics engine was active (Hopper and newer).",
)
GPU_SM_ACTIVE = _gpu(
    "gpu_sm_active_ratio",
    Kind.GAUGE,
    Unit.RATIO,
    "Share of multiprocessor time with at least one warp at work.",
)
GPU_SM_OCCUPANCY = _gpu(
    "gpu_sm_occupancy_ratio",
    Kind.GAUGE,
    Unit.RATIO,
    "Resident warps against the most that the multiprocessors can hold.",
)
GPU_PIPE_ACTIVE = _gpu(
    "gpu_pipe_active_ratio",
    Kind.GAUGE,
    Unit.RATIO,
    "Share of cycles in which a computing pipe was at work; tensor is any kind of tensor operation.",
    ("pipe",),
    {"pipe": ("tensor", "dfma", "hmma", "dmma", "imma", "fp64", "fp32", "fp16", "int")},
)
GPU_DRAM_ACTIVE = _gpu(
    "gpu_dram_active_ratio",
    Kind.GAUGE,
    Unit.RATIO,
    "Memory traffic against the memory's highest bandwidth.",
)
GPU_SM_CYCLES = _gpu(
    "gpu_sm_cycles_total",
    Kind.COUNTER,
    Unit.COUNT,
    "Multiprocessor cycles: elapsed, with a warp at work, with a tensor operation; rates give exact shares.",
    ("kind",),
    {"kind": ("elapsed", "active", "tensor")},
)
GPU_MIG_INFO = _gpu(
    "gpu_mig_info",
    Kind.INFO,
    Unit.COUNT,
    "A partition of a GPU (MIG): its GPU instance, compute instance and profile.",
    ("gi", "ci", "profile", "mig_uuid"),
)
GPU_MIG_MEMORY_USED = _gpu(
    "gpu_mig_memory_used_bytes",
    Kind.GAUGE,
    Unit.BYTES,
    "Memory in use in a partition of a GPU.",
    ("gi", "ci", "mig_uuid"),
)
GPU_MIG_SM_ACTIVE = _gpu(
    "gpu_mig_sm_active_ratio",
    Kind.GAUGE,
    Unit.RATIO,
    "Share of a GPU instance's multiprocessor time with at least one warp at work.",
    ("gi",),
)
GPU_PROCESSES = _gpu("gpu_processes", Kind.GAUGE, Unit.COUNT, "Processes that hold a context on the GPU.")
GPU_PROCESS_MEMORY_USED = _gpu(
    "gpu_process_memory_used_bytes",
    Kind.GAUGE,
    Unit.BYTES,
    "GPU memory that a process holds (only if the agent's settings ask for processes).",
    ("pid", "comm"),
)
GPU_PROCESS_UTILIZATION = _gpu(
    "gpu_process_utilization_ratio",
    Kind.GAUGE,
    Unit.RATIO,
    "Share of the last sample period in which a process kept the multiprocessors busy (as above).",
    ("pid", "comm"),
)
GPU_PEAK_FLOPS = _gpu(
    "gpu_peak_flops",
    Kind.GAUGE,
    Unit.COUNT,
    "Dense operations per second that the GPU's maker states for a number format; known products only.",
    ("precision",),
    {"precision": ("fp32", "tf32", "fp16", "bf16", "fp8", "fp4")},
)
