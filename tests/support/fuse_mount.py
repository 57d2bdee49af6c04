"""A file system in user space that can fall silent, mounted for real."""

from __future__ import annotations

import contextlib
import ctypes
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

_DETACH = 2


@contextlib.contextmanager
def silent_mount(point: Path, kind: str = "fuse.sshfs") -> Iterator[int]:
    """A mount whose daemon never answers: asking it blocks, until the yielded descriptor is closed.

    From then on the kernel says that the daemon is gone. Skips the test where we may not mount.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    try:
        daemon = os.open("/dev/fuse", os.O_RDWR)
    except OSError:
        pytest.skip("needs /dev/fuse and root")
    options = f"fd={daemon},rootmode=40000,user_id=0,group_id=0".encode()
    if libc.mount(b"server:/export", os.fsencode(point), kind.encode(), 0, options) != 0:
        os.close(daemon)
        pytest.skip(f"may not mount here: {os.strerror(ctypes.get_errno())}")
    try:
        yield daemon
    finally:
        with contextlib.suppress(OSError):
            os.close(daemon)
        libc.umount2(os.fsencode(point), _DETACH)
