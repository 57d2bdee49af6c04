"""Which TCP ports are answered by what works on a GPU: joins an engine to its GPUs without Kubernetes."""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from exporters.jobs.cgroups import Processes
from exporters.jobs.families import Families, Process
from exporters.jobs.identity import Devices, GpuIdentity, Gpus
from exporters.runtime.source import SourceError
from gigawatch.catalogue import workload
from gigawatch.readings import Reading

_LISTENS = b" 0A "
_ADDRESS = re.compile(rb"^[0-9A-F]{8,32}:([0-9A-F]{4})$")
_PTRACE, _SEARCH = 1 << 19, 1 << 2
"""Capabilities without which files that another user's process has open cannot be seen."""
_LARGEST_TABLE = 64 << 20
_MOST_FILES = 1 << 17
_MOST_PORTS = 16
"""Ports of one family; of more, those that the kernel did not choose by itself come first."""
_EPHEMERAL = (32768, 60999)


class Port(NamedTuple):
    """A port in a network namespace."""

    namespace: str
    number: int


class _Owned(NamedTuple):
    """What a process was found to own while these sockets listened in its namespace."""

    listening: frozenset[int]
    ports: frozenset[Port]


class GpuPortSource:
    """Ports on which the family of a GPU's process listens (see families.py), for each GPU of the family.

    A port number that means different things in several network namespaces (two containers with 8000 each) is
    told only for the host's own; for containers alone it is left out, since nothing outside could tell which
    is meant. Seeing what a process has open takes its user's rights, or the capabilities SYS_PTRACE and
    DAC_READ_SEARCH. The tables of sockets are read each time, the files of a process only when another socket
    listens in its namespace than before.
    """

    name = "gpu_ports"

    def __init__(
        self,
        interval: float,
        gpus: Gpus,
        processes: Processes,
        root: Path = Path("/"),
        deadline: float = 10.0,
    ) -> None:
        self.interval, self.deadline = interval, deadline
        self._gpus, self._processes, self._proc = gpus, processes, root / "proc"
        self._owned: dict[tuple[int, int], _Owned] = {}

    @property
    def present(self) -> bool:
        """Whether what processes on GPUs have open can be seen at all."""
        if _capabilities(self._proc) & _PTRACE and _capabilities(self._proc) & _SEARCH:
            return True
        return any(os.access(self._proc / str(pid) / "fd", os.R_OK | os.X_OK) for pid in self._processes())

    def read(self) -> Iterator[Reading]:
        devices, used = Devices(self._gpus()), self._processes()
        families = Families(self._proc) if used else None
        heads: dict[int, set[GpuIdentity]] = {}
        for pid, uuids in used.items():
            if families is not None and families.get(pid) is not None:
                found = {place.gpu for uuid in uuids if (place := devices.find(uuid)) is not None}
                heads.setdefault(families.head(pid), set()).update(found)
        look = _Look(self._proc, self._owned)
        answers: list[tuple[set[GpuIdentity], set[Port]]] = []
        for head, gpus in heads.items():
            if families is not None:
                ports = look.ports(families.below(head)) or look.ports(families.below(families.beyond(head)))
                answers.append((gpus, ports))
        self._owned = {key: one for key, one in look.owned.items() if key not in look.refused}
        rows = dict.fromkeys(_rows(answers, look.home()))
        yield from (Reading(workload.GPU_PORT_INFO, row, 1.0) for row in sorted(rows))
        if look.refused:
            (pid, _), *others = sorted(look.refused)
            more = f" (nor those of {len(others)} other processes)" if others else ""
            files, needs = self._proc / str(pid) / "fd", "needs CAP_SYS_PTRACE and CAP_DAC_READ_SEARCH"
            raise SourceError("permission", f"{files}: cannot be read{more}; {needs}")


def _rows(answers: list[tuple[set[GpuIdentity], set[Port]]], home: str) -> Iterator[tuple[str, str, str]]:
    """Labels, of ports that mean one thing only."""
    places: dict[int, set[str]] = {}
    for _, ports in answers:
        for port in ports:
            places.setdefault(port.number, set()).add(port.namespace)
    for gpus, ports in answers:
        for port in _first(ports):
            clear = len(places[port.number]) == 1 or port.namespace == home
            yield from ((gpu.gpu, gpu.uuid, str(port.number)) for gpu in gpus if clear)


def _first(ports: Collection[Port]) -> list[Port]:
    """The most likely to be a service's own: the kernel gives the ephemeral ones to whoever names none."""
    low, high = _EPHEMERAL
    return sorted(ports, key=lambda port: (low <= port.number <= high, port.number))[:_MOST_PORTS]


class _Look:
    """One look at sockets and at who has them open."""

    def __init__(self, proc: Path, before: dict[tuple[int, int], _Owned]) -> None:
        self._proc, self._before = proc, before
        self.owned: dict[tuple[int, int], _Owned] = {}
        self.refused: set[tuple[int, int]] = set()
        self._listening: dict[str, dict[int, int]] = {}

    def home(self) -> str:
        """The host's network namespace."""
        return self._namespace(1)

    def ports(self, members: Iterable[Process]) -> set[Port]:
        """All that they listen on."""
        return {port for member in members for port in self._of(member)}

    def _of(self, member: Process) -> frozenset[Port]:
        key = (member.pid, member.started)
        if key not in self.owned:
            namespace = self._namespace(member.pid)
            sockets = self._sockets(member.pid, namespace)
            before = self._before.get(key)
            if before is None or before.listening != sockets.keys():
                inodes = self._open(member) if sockets else set()
                ports = frozenset(Port(namespace, sockets[one]) for one in inodes & sockets.keys())
                before = _Owned(frozenset(sockets), ports)
            self.owned[key] = before
        return self.owned[key].ports

    def _namespace(self, pid: int) -> str:
        try:
            return str((self._proc / str(pid) / "ns" / "net").readlink())
        except OSError:
            return ""

    def _sockets(self, pid: int, namespace: str) -> dict[int, int]:
        """Inodes of the sockets that listen in the namespace of a process, with their ports."""
        key = namespace or str(pid)
        if key not in self._listening:
            found: dict[int, int] = {}
            for name in ("tcp", "tcp6"):
                try:
                    with (self._proc / str(pid) / "net" / name).open("rb") as file:
                        found |= listening(file)
                except OSError:
                    continue  # no such protocol, or the process has ended
            self._listening[key] = found
        return self._listening[key]

    def _open(self, member: Process) -> set[int]:
        """Inodes of the sockets that a process has open."""
        place, found = self._proc / str(member.pid) / "fd", set[int]()
        try:
            with os.scandir(place) as entries:
                for entry, _ in zip(entries, range(_MOST_FILES), strict=False):
                    try:
                        target = str(Path(entry.path).readlink())
                    except FileNotFoundError:
                        continue
                    if target.startswith("socket:[") and target[8:-1].isdecimal():
                        found.add(int(target[8:-1]))
        except PermissionError:
            self.refused.add((member.pid, member.started))
        except OSError:
            pass  # it has ended
        return found


def listening(lines: Iterable[bytes]) -> dict[int, int]:
    """Inode to port of the sockets that listen, from the lines of /proc/net/tcp or tcp6."""
    found: dict[int, int] = {}
    size = 0
    for line in lines:
        size += len(line)
        if size > _LARGEST_TABLE:
            break
        if _LISTENS in line:
            words = line.split()
            match = _ADDRESS.match(words[1]) if len(words) > 9 and words[3] == b"0A" else None
            if match and words[9].isdigit() and len(words[9]) < 20 and int(match[1], 16):
                found[int(words[9])] = int(match[1], 16)
    return found


def _capabilities(proc: Path) -> int:
    """Capabilities of this very process."""
    try:
        lines = (proc / "self" / "status").read_text(encoding="ascii", errors="replace").splitlines()
    except OSError:
        return 0
    for line in lines:
        key, _, value = line.partition(":")
        if key == "CapEff" and re.fullmatch(r"[0-9a-f]{1,16}", value.strip()):
            return int(value, 16)
    return 0
