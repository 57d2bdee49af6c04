"""Local file systems of the host: size, space and inodes left."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from exporters.runtime import SourceError
from exporters.storage.kinds import LOCAL, is_shared
from exporters.storage.mountinfo import Mount, each_once, host_mounts
from exporters.storage.prober import Prober
from gigawatch.catalogue import host
from gigawatch.readings import Reading

_NO_DATA = re.compile(r"^/dev/(loop|ram|zram|fd|sr)\d")
_PATIENCE = 2.0


class FilesystemSource:
    """Every local file system once, at the place that shows most of it. Shared ones are the mounts' to probe.

    Each is asked in a thread of its own: one on a dead disk hides no other. The root of a container, which
    lies on no device, is among them: it fills up too. Raises SourceError("timeout") for file systems that do
    not answer, after all the others.
    """

    name = "filesystems"

    def __init__(
        self,
        interval: float,
        deadline: float = 5.0,
        root: Path = Path("/"),
        ask: Callable[[str], os.statvfs_result] = os.statvfs,
        patience: float = _PATIENCE,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.interval, self.deadline = interval, deadline
        self._root, self._ask, self._patience = root, ask, patience
        self._prober: Prober[os.statvfs_result] = Prober(monotonic)

    @property
    def present(self) -> bool:
        """Whether there is a list of mounts (Linux)."""
        return any((self._root / f"proc/{process}/mountinfo").exists() for process in ("1", "self"))

    def read(self) -> Iterator[Reading]:
        mounts = {(mount.path, mount.device): mount for mount in chosen(host_mounts(self._root))}
        probes = self._prober.ask(
            {key: partial(self._ask, mount.path) for key, mount in mounts.items()}, self._patience
        )
        silent = []
        for key, mount in mounts.items():
            probe = probes.get(key)
            if probe is None or not probe.over:
                silent.append(mount.point)
            elif probe.answer is not None:  # an error: unmounted meanwhile, or not for our eyes
                yield from _usage(mount.labels, probe.answer)
        if silent:
            raise SourceError("timeout", f"no answer from {', '.join(silent)}")


def chosen(mounts: list[Mount]) -> list[Mount]:
    """Local file systems with data, each once, and the root directory whatever it lies on."""
    found = [mount for mount in each_once(mounts) if _is_local(mount)]
    if all(mount.point != "/" for mount in found):
        found.extend(mount for mount in mounts if mount.point == "/")
    return found


def _is_local(mount: Mount) -> bool:
    if is_shared(mount.kind) or mount.kind.startswith("fuse.") or _NO_DATA.match(mount.source):
        return False
    if mount.top != "/" and mount.point != "/" and mount.kind != "btrfs":
        return False  # a part of it, mounted elsewhere; btrfs' subvolumes are meant to be
    return mount.kind in LOCAL or mount.source.startswith("/dev/")


def _usage(labels: tuple[str, str], answer: os.statvfs_result) -> Iterator[Reading]:
    if answer.f_blocks:
        yield Reading(host.HOST_FILESYSTEM_SIZE, labels, float(answer.f_blocks) * answer.f_frsize)
        yield Reading(host.HOST_FILESYSTEM_AVAILABLE, labels, float(answer.f_bavail) * answer.f_frsize)
    if answer.f_files:  # 0 where inodes are made as they are needed (btrfs)
        yield Reading(host.HOST_FILESYSTEM_FILES_FREE, labels, answer.f_ffree / answer.f_files)
