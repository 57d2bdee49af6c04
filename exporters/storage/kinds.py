"""Kinds of file systems: which are shared, which hold data, and how near to the GPUs their data lies."""

from __future__ import annotations

import re
from collections.abc import Mapping
from fnmatch import fnmatchcase
from pathlib import Path

from exporters import sysfs
from exporters.storage.mountinfo import Mount

REMOTE = frozenset(
    (
        "9p", "afs", "beegfs", "beegfs_nodev", "ceph", "cifs", "gfs2", "glusterfs", "gpfs", "lustre", "nfs",
        "nfs4", "ocfs2", "orangefs", "panfs", "smb3", "virtiofs", "wekafs",
    )
)  # fmt: skip
"""Shared file systems of the kernel. Any of them can block for ever once its server is gone."""
LOCAL = frozenset(("bcachefs", "btrfs", "ext2", "ext3", "ext4", "f2fs", "xfs", "zfs"))
_HELPERS = frozenset(
    (
        "fuse.fuse-overlayfs", "fuse.fuse-zip", "fuse.gvfsd-fuse", "fuse.lxcfs", "fuse.portal",
        "fuse.snapfuse", "fuse.squashfuse", "fuse.squashfuse_ll", "fuse.sysbox-fs", "fuse.vmware-vmblock",
    )
)  # fmt: skip
"""User-space file systems that make the host's own files look different."""
_OBJECTS = re.compile(r"s3|gcs|goofys|geesefs|rclone|blobfuse|ossfs|cosfs|ltfs|tape")
_SYSTEM = re.compile(r"^/($|boot(/|$)|efi$|usr$|var$|var/(log|tmp|cache)(/|$)|tmp$|sysroot$|ostree(/|$))")
_DEEPEST = 5
"""Layers of mapped devices (encryption on logical volume on RAID) that are looked through."""


def is_shared(kind: str) -> bool:
    """Whether a server, or a daemon, has to answer for this file system."""
    return kind in REMOTE or kind == "fuse" or (kind.startswith("fuse.") and kind not in _HELPERS)


def is_object_store(mount: Mount) -> bool:
    """Whether objects or tapes stand behind it: such a file system has no size."""
    if not mount.kind.startswith("fuse"):
        return False
    # The kind says it ("fuse.s3fs") or, where that is only "fuse", the program that mounted it.
    return bool(_OBJECTS.search(mount.kind if mount.kind != "fuse" else mount.source))


def tier(mount: Mount, chosen: Mapping[str, str], root: Path) -> str:
    """Tier of a file system for data; empty if it holds the system, or nothing of its own.

    `chosen` is the operator's word, by globs of mount points, first match first. Otherwise local NVMe is hot,
    what is shared is warm, object stores and tapes are cold, and other local disks are unknown.
    """
    known = mount.kind in LOCAL or is_shared(mount.kind)
    for pattern, name in chosen.items():
        if known and fnmatchcase(mount.point, pattern):
            return name
    if is_shared(mount.kind):
        return "cold" if is_object_store(mount) else "warm"
    if mount.kind not in LOCAL or mount.top != "/" or _SYSTEM.match(mount.point):
        return ""
    return "hot" if on_nvme(mount, root) else "unknown"


def on_nvme(mount: Mount, root: Path) -> bool:
    """Whether NVMe disks alone hold it, RAID and logical volumes looked through."""
    if mount.source.startswith("/dev/nvme"):
        return True
    return _only_nvme((root / "sys/dev/block" / mount.device).resolve(), _DEEPEST)


def _only_nvme(device: Path, depth: int) -> bool:
    if device.name.startswith("nvme"):
        return True
    for place in (device, device.parent):  # a partition's members are those of its whole disk
        members = sysfs.names(place / "slaves")
        if members:
            return depth > 0 and all(
                _only_nvme((place / "slaves" / name).resolve(), depth - 1) for name in members
            )
    return False
