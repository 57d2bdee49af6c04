"""Finished work on disk: a manifest beside it tells what it was made from and its checksums."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path

from analytics.score import atomic_text
from gigawatch import package_version

NAME = "done.json"


def fingerprint(paths: Iterable[Path], *more: object) -> str:
    """A name for this input, these settings and this program: when one of them changes, work is done anew."""
    found = hashlib.sha256(package_version().encode())
    for source in sorted(Path(__file__).parents[1].rglob("*.py")):
        found.update(source.read_bytes())
    for path in paths:
        stat = path.stat()
        found.update(f"{path.resolve()}\0{stat.st_size}\0{stat.st_mtime_ns}\0".encode())
    found.update(json.dumps(more, default=str).encode())
    return found.hexdigest()


def finish(folder: Path, key: str, names: Iterable[str]) -> None:
    """Write the manifest of these files of a folder."""
    sums = {name: checksum(folder / name) for name in names}
    with atomic_text(folder / NAME) as file:
        json.dump({"key": key, "sha256": sums}, file, indent=1)


def finished(folder: Path, key: str) -> bool:
    """Whether the folder holds what `finish` wrote for this key, unharmed."""
    try:
        manifest = json.loads((folder / NAME).read_text())
        return bool(manifest["key"] == key) and all(
            checksum(folder / name) == known for name, known in manifest["sha256"].items()
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return False


def checksum(path: Path) -> str:
    """SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
