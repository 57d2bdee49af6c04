"""Kubernetes: which pod holds which GPU, from kubelet's pod-resources service."""

from __future__ import annotations

import re
from collections.abc import Iterator
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from exporters.jobs.grpc_call import LARGEST_ANSWER, unary_call
from exporters.jobs.holding import Holding, Unmatched, readings
from exporters.jobs.identity import Devices, Gpus, Place
from exporters.jobs.pod_messages import LIST, decode_list
from exporters.runtime.source import SourceError
from gigawatch.readings import Reading

SCHEDULER = "kubernetes"
_DRIVER = "gpu.nvidia.com"
"""Name of the resource driver; the GPUs of a claim are its own, or stand in CDI under the vendor's names."""
_VENDORS = ("nvidia.com/", "k8s.gpu.nvidia.com/")
_GPU = re.compile(r"^(gpu-|mig-|\d)", re.IGNORECASE)
_LONGEST_PAUSE = 8
"""Reads left out at the most after kubelet refused."""


class PodResourcesSource:
    """Pods and their GPUs, from device plugins and from resource claims (DRA).

    A GPU that a pod holds and leaves idle is here as well. The series' job is `namespace/pod`. A claim shared
    by containers, or a GPU time-sliced between pods, gives one row for each of them.
    """

    name = "kubernetes"

    def __init__(
        self,
        interval: float,
        gpus: Gpus,
        socket: Path,
        resources: tuple[str, ...],
        deadline: float = 5.0,
        largest: int = LARGEST_ANSWER,
    ) -> None:
        self.interval, self.deadline = interval, deadline
        self._gpus, self._socket, self._resources, self._largest = gpus, socket, resources, largest
        self._refusals = self._pause = 0

    @property
    def present(self) -> bool:
        """Whether this node has a kubelet that offers the service."""
        try:
            return self._socket.is_socket()
        except PermissionError:
            return True  # there is one, and reading it will say what is wrong

    def read(self) -> Iterator[Reading]:
        if self._pause:
            self._pause -= 1
            raise SourceError("resource_exhausted", f"{self._socket}: kubelet was asked too often; pausing")
        try:
            answer = unary_call(self._socket, LIST, b"", 0.9 * self.deadline, self._largest)
        except SourceError as error:
            if error.kind == "resource_exhausted":
                self._refusals += 1
                self._pause = min(2**self._refusals - 1, _LONGEST_PAUSE)
            raise
        self._refusals = 0
        unmatched = Unmatched(SCHEDULER)
        yield from readings(self._holdings(decode_list(answer), unmatched), unmatched)

    def _holdings(self, answer: Any, unmatched: Unmatched) -> list[Holding]:
        devices = Devices(self._gpus())
        found = []
        for pod in answer.pod_resources:
            for container in pod.containers:
                for names in self._named(container):
                    place = _first(devices, names)
                    if place is None:
                        unmatched.add("unknown_id" if devices else "no_gpu_list")
                        continue
                    found.append(
                        Holding(
                            place.gpu,
                            place.mig_uuid,
                            SCHEDULER,
                            f"{pod.namespace}/{pod.name}",
                            pod.namespace,
                            pod.name,
                            container.name,
                        )
                    )
        return found

    def _named(self, container: Any) -> Iterator[list[str]]:
        """For each GPU of a container, the names it goes by."""
        for group in container.devices:
            if any(fnmatchcase(group.resource_name, pattern) for pattern in self._resources):
                yield from ([name] for name in group.device_ids)
        for resource in container.dynamic_resources:
            for claim in resource.claim_resources:
                yield from _claimed(claim)


def _claimed(claim: Any) -> Iterator[list[str]]:
    """Newer kubelets give a claim's devices one by one, with their driver; older ones all CDI names of it."""
    cdi = [_bare(device.name) for device in claim.cdi_devices if device.name.startswith(_VENDORS)]
    if claim.driver_name == _DRIVER:
        yield [claim.device_name, *cdi]
    elif not claim.driver_name:
        yield from ([name] for name in cdi if _GPU.match(name))


def _first(devices: Devices, names: list[str]) -> Place | None:
    for name in names:
        place = devices.find(name)
        if place is not None:
            return place
    return None


def _bare(cdi: str) -> str:
    """vendor/class=device without vendor and class, and without the claim's UID that may lead it."""
    device = cdi.partition("=")[2]
    start = device.find("gpu-")
    return device[start:] if start > 0 else device
