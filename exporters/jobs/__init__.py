"""Who holds which GPU: Kubernetes pods and Slurm jobs."""

from exporters.jobs.identity import GpuIdentity, Gpus, MigIdentity

__all__ = ["GpuIdentity", "Gpus", "MigIdentity"]
