"""File systems for data: their tier, and whether each shared one still answers."""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from exporters.runtime import SourceError
from exporters.sections import StorageSection
from exporters.storage.kinds import is_object_store, is_shared, tier
from exporters.storage.mountinfo import Mount, each_once, host_mounts
from exporters.storage.prober import Probe, Prober
from gigawatch.catalogue import storage
from gigawatch.readings import Reading

_NOT_FOR_US = frozenset((errno.ENOENT, errno.EACCES, errno.EPERM, errno.ENOTDIR))
"""The kernel's own word, not the server's: a user's FUSE mount, or a directory that we may not enter."""


class MountSource:
    """Probes each shared mount in a thread of its own: one whose server is gone holds up neither the others
    nor this source, and costs one waiting thread, however long it lasts.

    Sizes come from the probe, so they are absent while there is no answer. A mount that this process may not
    look at has its tier and nothing else. Raises OSError if the kernel's list of mounts cannot be read, and
    SourceError("hung") once so many unmounted file systems still hang that new ones are no longer probed.
    """

    name = "mounts"

    def __init__(
        self,
        interval: float,
        section: StorageSection | None = None,
        deadline: float = 5.0,
        root: Path = Path("/"),
        probe: Callable[[str], os.statvfs_result] = os.statvfs,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._section = section or StorageSection()
        self.interval, self.deadline = interval, deadline + self._section.probe_deadline
        self._root, self._probe = root, probe
        self._prober: Prober[os.statvfs_result] = Prober(monotonic)

    @property
    def present(self) -> bool:
        """Whether there is a list of mounts (Linux)."""
        return any((self._root / f"proc/{process}/mountinfo").exists() for process in ("1", "self"))

    def read(self) -> Iterator[Reading]:
        mounts = list(each_once(host_mounts(self._root)))
        for mount in mounts:
            name = tier(mount, self._section.tiers, self._root)
            if name:
                yield Reading(storage.MOUNT_INFO, (*mount.labels, mount.source, name), 1.0)
                yield Reading(storage.MOUNT_READ_ONLY, mount.labels, float(mount.read_only))
        shared = {(mount.path, mount.device): mount for mount in mounts if is_shared(mount.kind)}
        probes = self._prober.ask(
            {key: partial(self._probe, mount.path) for key, mount in shared.items()},
            self._section.probe_deadline,
        )
        for key, mount in shared.items():
            if key in probes:
                yield from _answered(mount, probes[key])
        left_out = [mount.point for key, mount in shared.items() if key not in probes]
        if left_out:
            raise SourceError(
                "hung", f"too many unmounted file systems still hang; not probed: {', '.join(left_out)}"
            )


def _answered(mount: Mount, probe: Probe[os.statvfs_result]) -> Iterator[Reading]:
    over = probe.over
    if over and isinstance(probe.error, OSError) and probe.error.errno in _NOT_FOR_US:
        return
    answered = over and probe.error is None
    yield Reading(storage.MOUNT_RESPONSIVE, mount.labels, float(answered))
    yield Reading(storage.MOUNT_PROBE_DURATION, mount.labels, probe.seconds())
    if answered and probe.answer is not None and probe.answer.f_blocks and not is_object_store(mount):
        unit = float(probe.answer.f_frsize)
        yield Reading(storage.MOUNT_SIZE, mount.labels, probe.answer.f_blocks * unit)
        yield Reading(storage.MOUNT_AVAILABLE, mount.labels, probe.answer.f_bavail * unit)
