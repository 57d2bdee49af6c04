"""What is mounted, from /proc/PID/mountinfo: reading it never waits for a file system."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

_ESCAPE = re.compile(r"\\([0-3][0-7]{2})")
_FIXED = 6
"""Fields before the optional ones."""
_USER = re.compile(r"(?<=//)[^/@]*@")
_SECRET = re.compile(r"([a-z_]*(?:key|secret|pass|token|sas|sig)[a-z_]*=)[^,:&\s]*", re.IGNORECASE)
"""What some mount programs show in the name of what they mounted: URL with password, rclone's options."""
_IN_A_POD = re.compile(r"^/(var/lib/kubelet/pods|run/(containerd|docker|user)|var/lib/(docker|containers))/")


class Mount(NamedTuple):
    """A mounted file system, or a part of one."""

    point: str
    """Where, as the host sees it; text fit for a label."""
    path: str
    """Where, as this process reaches it; bytes that are no UTF-8 are kept."""
    kind: str
    source: str
    device: str
    """MAJOR:MINOR of the file system; shared by all its mounts."""
    top: str
    """Which part of the file system is mounted: / is all of it."""
    read_only: bool

    @property
    def labels(self) -> tuple[str, str]:
        """Mount point and file system type."""
        return self.point, self.kind


def parse(content: bytes, prefix: str = "") -> list[Mount]:
    """Mounts of a mountinfo file; what is mounted over is left out. `prefix` leads this process to the host's
    root directory."""
    found: dict[str, Mount] = {}
    for line in content.split(b"\n"):
        words = os.fsdecode(line).split(" ")
        try:
            dash = words.index("-", _FIXED)
            kind, source, more = words[dash + 1 : dash + 4]
        except ValueError:
            continue
        point = unescaped(words[4])
        if not point.startswith("/") or not kind:
            continue
        read_only = "ro" in words[5].split(",") or "ro" in more.split(",")
        path = prefix + point if point != "/" else prefix or "/"
        found[point] = Mount(
            label(point), path, label(kind), _public(label(unescaped(source))), words[2],
            unescaped(words[3]), read_only,
        )  # fmt: skip
    return list(found.values())


def host_mounts(root: Path) -> list[Mount]:
    """What the host has mounted and this process can reach. Raises OSError.

    The list is that of the host's first process: a service in a mount namespace of its own sees file systems
    read-only that are not. What this process itself has not mounted at that place (a container without the
    host's mounts) is left out, for asking there would be asking another file system.
    """
    prefix = str(root).rstrip("/")
    try:
        content = (root / "proc/1/mountinfo").read_bytes()
    except (FileNotFoundError, PermissionError):  # /proc with hidepid
        return parse((root / "proc/self/mountinfo").read_bytes(), prefix)
    mounts = parse(content, prefix)
    try:
        own = {mount.path: mount.device for mount in parse((root / "proc/self/mountinfo").read_bytes())}
    except OSError:
        return mounts
    return [mount for mount in mounts if own.get(mount.path) == mount.device]


def each_once(mounts: Iterable[Mount]) -> Iterator[Mount]:
    """One mount of every file system: the one that shows most of it at the place that lasts longest."""
    best: dict[tuple[str, str], Mount] = {}
    for mount in mounts:
        key = (mount.device, mount.source)
        if key not in best or _rank(mount) < _rank(best[key]):
            best[key] = mount
    return iter(best.values())


def _rank(mount: Mount) -> tuple[bool, int, bool, int, str]:
    in_a_pod = bool(_IN_A_POD.match(mount.point))
    return mount.point != "/", len(mount.top), in_a_pod, len(mount.point), mount.point


def label(text: str) -> str:
    """Text that may stand in a label: bytes that were no UTF-8 become question marks."""
    return text.encode("utf-8", "replace").decode()


def _public(source: str) -> str:
    return _SECRET.sub(r"\1***", _USER.sub("", source))


def unescaped(text: str) -> str:
    """The kernel writes blanks and the like as octal escapes."""
    return _ESCAPE.sub(lambda found: chr(int(found[1], 8)), text) if "\\" in text else text
