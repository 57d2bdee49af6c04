"""NVIDIA GPUs: read through NVML in the collector process; kernel log, PCI and guard outside it.

Nothing here loads the driver's library: only `exporters.gpu.collector` and what it imports do.
"""
