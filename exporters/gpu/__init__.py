"""NVIDIA GPUs: read through NVML in the collector process; kernel log and PCI outside it."""

from exporters.gpu.collector import GpuOptions, gpu_collector, hung_states
from exporters.gpu.kernel_log import KernelLogSource, Places
from exporters.gpu.pci import PciSource

__all__ = ["GpuOptions", "KernelLogSource", "PciSource", "Places", "gpu_collector", "hung_states"]
