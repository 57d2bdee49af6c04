"""What this node asked of its NFS servers, from the client's own counters (/proc/PID/mountstats)."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from exporters import sysfs
from exporters.storage.mountinfo import each_once, host_mounts, label, unescaped
from gigawatch.catalogue import storage
from gigawatch.readings import Reading

_READ, _WRITTEN = 4, 5
"""Bytes read from and written to the server, among the numbers of the `bytes:` line."""
_OPERATIONS, _TRANSMISSIONS, _TIMEOUTS, _EXECUTE = 0, 1, 2, 7
"""Numbers of an operation's line; the last is milliseconds from being queued to the answer."""
_KINDS = {"READ:": "read", "WRITE:": "write"}


@dataclass(slots=True)
class Client:
    """Counters of one mount."""

    point: str
    kind: str
    read: float | None = None
    written: float | None = None
    operations: dict[str, float] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    repeated: float | None = None
    """Requests sent again or timed out; None where the kernel shows no operations."""


class NfsSource:
    """Traffic, requests, their time, and requests sent again, of every NFS mount.

    A mount's counters start again with the mount. Requests count once they are over: those that a silent
    server holds show up in `mount_responsive` instead.
    """

    name = "nfs"

    def __init__(self, interval: float, deadline: float = 5.0, root: Path = Path("/")) -> None:
        self.interval, self.deadline, self._root = interval, deadline, root

    @property
    def present(self) -> bool:
        """Whether the kernel counts by mount (Linux); NFS mounts may come at any time."""
        return any((self._root / f"proc/{process}/mountstats").exists() for process in ("1", "self"))

    def read(self) -> Iterator[Reading]:
        wanted = {
            mount.labels for mount in each_once(host_mounts(self._root)) if mount.kind.startswith("nfs")
        }
        if not wanted:
            return
        for client in parse(self._content()):
            if (client.point, client.kind) in wanted:
                yield from _readings(client)

    def _content(self) -> bytes:
        try:
            return (self._root / "proc/1/mountstats").read_bytes()
        except (FileNotFoundError, PermissionError):  # for root only; our own shows the same mounts
            return (self._root / "proc/self/mountstats").read_bytes()


def parse(content: bytes) -> list[Client]:
    """Clients in the order of the file. Lines that make no sense are passed over."""
    clients: list[Client] = []
    for line in content.split(b"\n"):
        words = [os.fsdecode(word) for word in line.split()]
        if words[:1] == ["device"]:
            clients.append(_opened(words))
        elif not clients or len(words) < 2 or not words[0].endswith(":"):
            continue
        elif words[0] == "bytes:":
            numbers = [sysfs.digits(word) for word in words[1:]]
            if len(numbers) > _WRITTEN:
                clients[-1].read, clients[-1].written = numbers[_READ], numbers[_WRITTEN]
        elif words[0].isupper():
            _count(clients[-1], words)
    return [client for client in clients if client.kind.startswith("nfs")]


def _opened(words: list[str]) -> Client:
    """device SOURCE mounted on POINT with fstype KIND ..."""
    if len(words) < 8 or words[2:4] != ["mounted", "on"] or words[5:7] != ["with", "fstype"]:
        return Client("", "")
    return Client(label(unescaped(words[4])), label(words[7]))


def _count(client: Client, words: list[str]) -> None:
    numbers = [sysfs.digits(word) for word in words[1:]]
    known = [value for value in numbers if value is not None]
    if len(known) != len(numbers) or len(known) <= _EXECUTE:
        return
    kind = _KINDS.get(words[0], "other")
    client.operations[kind] = client.operations.get(kind, 0.0) + known[_OPERATIONS]
    client.seconds[kind] = client.seconds.get(kind, 0.0) + known[_EXECUTE] / 1e3
    # A time-out leads to a second transmission, unless the mount is soft: then only the time-out shows.
    again = max(known[_TRANSMISSIONS] - known[_OPERATIONS], known[_TIMEOUTS], 0.0)
    client.repeated = (client.repeated or 0.0) + again


def _readings(client: Client) -> Iterator[Reading]:
    labels = (client.point, client.kind)
    for metric, value in (
        (storage.STORAGE_READ, client.read),
        (storage.STORAGE_WRITTEN, client.written),
        (storage.STORAGE_RETRANSMISSIONS, client.repeated),
    ):
        if value is not None:
            yield Reading(metric, labels, value)
    for kind, count in client.operations.items():
        yield Reading(storage.STORAGE_OPERATIONS, (*labels, kind), count)
        yield Reading(storage.STORAGE_OPERATION_SECONDS, (*labels, kind), client.seconds[kind])
