"""The node agent, put together: which sources and which collector process a set of settings asks for."""

from __future__ import annotations

from functools import partial

from exporters.fabric import InfinibandSource, MountSource
from exporters.gpu import GpuOptions, KernelLogSource, PciSource, Places, gpu_collector, hung_states
from exporters.gpu.pci import count_gpus
from exporters.host import HostSource, RaplSource
from exporters.runtime import ChildOptions, Exporter, Source, Supervisor
from exporters.settings import AgentSettings
from exporters.simulated import Simulated, make_producer


def agent_exporter(settings: AgentSettings) -> Exporter:
    """The agent of this host or, with `simulate`, of this host and of every node of a simulated site."""
    if settings.simulate:
        return _simulating(settings)
    interval, collectors = settings.seconds, settings.collectors
    sources = _host_sources(settings)
    with_gpus = collectors.gpu == "on" or (collectors.gpu == "auto" and count_gpus() > 0)
    child = None
    if with_gpus:
        options = GpuOptions(interval, settings.slow_seconds)
        child = Supervisor("gpu", ChildOptions(partial(gpu_collector, options), interval))
        places = Places(child)
        if collectors.kernel_log:
            sources.append(KernelLogSource(interval, places))
    if collectors.gpu != "off":
        sources.append(PciSource(settings.slow_seconds))
    return Exporter("agent", sources, interval, child, when_silent=hung_states)


def _simulating(settings: AgentSettings) -> Exporter:
    simulated = Simulated(settings.site(), "agent", settings.seconds)
    state = str(settings.state) if settings.state else ""
    make = partial(make_producer, simulated, state, settings.seed)
    child = Supervisor("plant", ChildOptions(make, settings.seconds))
    return Exporter(
        "agent", _host_sources(settings), settings.seconds, child,
        below="/nodes", fallback=simulated.dead_page,
    )  # fmt: skip


def _host_sources(settings: AgentSettings) -> list[Source]:
    sources: list[Source] = []
    if settings.collectors.host:
        sources.append(HostSource(settings.seconds))
    if settings.collectors.power:
        rapl = RaplSource(settings.seconds)
        if rapl.present:
            sources.append(rapl)
    if settings.collectors.fabric:
        ports = InfinibandSource(settings.seconds)
        if ports.present:
            sources.append(ports)
        sources.append(MountSource(settings.slow_seconds))
    return sources
