"""The node agent, put together: which sources and which collector process a plan asks for."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from functools import partial

from exporters.fabric import fabric_sources
from exporters.gpu.address import PciAddress, pci_address, shown
from exporters.gpu.guard import GpuGuard
from exporters.gpu.kernel_log import KernelLogSource
from exporters.gpu.memory import LedgerMemory
from exporters.gpu.note import GpuNote
from exporters.gpu.pci import DEVICES, PciSource, count_gpus
from exporters.gpu.start import GpuOptions, gpu_collector
from exporters.gpu.xid_ledger import XidLedger, XidSource
from exporters.host import RaplSource, host_sources
from exporters.jobs.identity import GpuIdentity, MigIdentity
from exporters.jobs.ports import GpuPortSource
from exporters.runtime import ChildOptions, Exporter, Health, Later, Source, Supervisor
from exporters.runtime.notify import Notifier
from exporters.runtime.textfile import TextfileDirectory
from exporters.sections import AgentPlan
from exporters.storage import storage_sources
from exporters.training.directory import TrainingDirectory
from exporters.training.voices import Voices
from gigawatch.serving import WebConfig

_HOST_INTERVAL = 5.0
"""Seconds between reads of what counts by itself, at the least: a faster tick is for the GPUs."""

_LOG_INTERVAL = 2.0
"""Seconds between reports of what the kernel log told, at the least; it is read as it is written."""


def agent_exporter(
    plan: AgentPlan, notifier: Notifier | None = None, web: WebConfig | None = None
) -> Exporter:
    """The agent of this host."""
    sources, collectors, root = plain_sources(plan), plan.collectors, plan.root
    texts = None
    if plan.textfile_directory is not None:
        texts = TextfileDirectory(plan.textfile_directory, max(plan.interval, _HOST_INTERVAL))
        sources.append(texts)
    # The kernel log tells of GPUs, but also of hung tasks: it is read on any host.
    ledger = XidLedger(plan.state_directory, root)
    make = partial(
        Exporter, "agent", sources, plan.interval,
        verbatim=texts.page if texts is not None else bytes,
        alive=notifier.alive if notifier is not None else lambda: None,
        closing=ledger.close,
        others=partial(_web_health, web),
    )  # fmt: skip
    if collectors.kernel_log:
        every = max(plan.interval, _LOG_INTERVAL)
        sources.append(KernelLogSource(every, ledger, path=plan.kernel_log, root=root))
    pci = PciSource(plan.slow_interval, root=root)
    if collectors.gpu != "off":
        sources.append(pci)
    seen = _Seen()
    if collectors.gpu == "off" or (
        collectors.gpu == "auto" and count_gpus(root / DEVICES.relative_to("/")) == 0
    ):
        # Without our GPU collector (another exporter reads the GPUs) jobs are still joined, by UUID or index.
        sources += _job_sources(plan, seen)
        return make()
    if not collectors.kernel_log:
        sources.append(XidSource(plan.interval, ledger))
    guard = GpuGuard(
        plan.interval,
        plan.gpu.quarantine_after,
        lambda reason: child.restart(reason),  # noqa: PLW0108 - the two know each other; `child` comes next
        LedgerMemory(ledger),
        partial(_unseen, pci),
    )
    child = Supervisor("gpu", partial(_child_options, plan, guard.left_out), hear=guard.hear)
    seen.child = child
    sources.append(guard)
    sources += _job_sources(plan, seen)
    return make(child=child, conclude=guard.conclude)


def _web_health(web: WebConfig | None) -> Iterator[Health]:
    """A web configuration that was changed and is wrong: the one before stays in force, and this tells."""
    if web is not None:
        errors = {"reload": web.failures} if web.failures else {}
        yield Health("web_config", up=not web.problem, errors=errors)


def plain_sources(plan: AgentPlan) -> list[Source]:
    """What is read whether or not there are GPUs."""
    interval, collectors = max(plan.interval, _HOST_INTERVAL), plan.collectors
    sources: list[Source] = []
    if collectors.host:
        sources += host_sources(interval, plan.slow_interval, plan.root)
    rapl = RaplSource(interval, root=plan.root)
    if collectors.power and rapl.present:
        sources.append(rapl)
    if collectors.fabric:
        sources += fabric_sources(interval, plan.root)
    if collectors.storage:
        sources += storage_sources(plan.slow_interval, plan.storage, plan.root)
    return sources


class _Seen:
    """What the GPU collector last said, in the words of the job sources. A lost GPU stays in it."""

    child: Supervisor | None = None

    def gpus(self) -> list[GpuIdentity]:
        """Every GPU that has told its UUID."""
        return [
            GpuIdentity(
                str(one.gpu), one.uuid, one.minor, one.bus, tuple(MigIdentity(*part) for part in one.mig)
            )
            for one in self._note().gpus
            if one.uuid
        ]

    def processes(self) -> Mapping[int, Collection[str]]:
        """UUIDs of the GPUs on which a process holds a context, by process id."""
        found: dict[int, set[str]] = {}
        for one in self._note().gpus:
            for pid in one.pids:
                found.setdefault(pid, set()).add(one.uuid)
        return found

    def _note(self) -> GpuNote:
        frame = self.child.last if self.child is not None else None
        return frame.note if frame is not None and isinstance(frame.note, GpuNote) else GpuNote()


def _job_sources(plan: AgentPlan, seen: _Seen) -> Iterator[Source]:
    # Imported here: what speaks to a kubelet takes megabytes that most nodes have no use for.
    if plan.collectors.kubernetes != "off":
        kubelet = plan.kubernetes.socket
        if plan.collectors.kubernetes == "on" or kubelet.parent.exists():
            from exporters.jobs.pod_resources import PodResourcesSource

            pods = PodResourcesSource(plan.slow_interval, seen.gpus, kubelet, plan.kubernetes.resources)
            yield pods if plan.collectors.kubernetes == "on" else Later(pods)
    if plan.collectors.slurm != "off":
        from exporters.jobs.allocation import SlurmSource

        jobs = SlurmSource(plan.slow_interval, seen.gpus, seen.processes, plan.slurm, plan.root)
        yield jobs if plan.collectors.slurm == "on" else Later(jobs)
    yield Later(GpuPortSource(plan.slow_interval, seen.gpus, seen.processes, plan.root))
    yield from _training_sources(plan, seen)


def _training_sources(plan: AgentPlan, seen: _Seen) -> Iterator[Source]:
    told, every = plan.training, max(plan.interval, _HOST_INTERVAL)
    voices = Voices(told.max_age)
    if told.directory is not None:
        yield Later(TrainingDirectory(every, seen.gpus, told.directory, told.max_age, voices=voices))
    # Imported here: few nodes have them on.
    if told.otlp_listen:
        from exporters.training.otlp import OtlpSource

        yield OtlpSource(every, told.otlp_listen, voices, told.max_age)
    if told.logs:
        from exporters.training.logs import LogSource

        yield LogSource(every, told.logs, voices, told.max_age)


def _child_options(plan: AgentPlan, left_out: Callable[[], frozenset[int]]) -> ChildOptions:
    gpu = plan.gpu
    options = GpuOptions(
        plan.interval, plan.slow_interval, gpu.profiling, gpu.processes, left_out(), plan.root
    )
    return ChildOptions(partial(gpu_collector, options), plan.interval)


def _unseen(pci: PciSource, buses: Iterable[str]) -> Iterator[str]:
    """PCI addresses of GPUs that are not among these of the driver."""
    known: set[PciAddress] = set()
    for bus in buses:
        address = pci_address(bus) if bus else None
        if address is not None:
            known.add(address)
    return (shown(address) for address in pci.missing_from_nvml(known))
