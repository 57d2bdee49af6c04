"""Trees of /proc and /sys, written down in one file each and laid out for a test."""

from __future__ import annotations

from pathlib import Path


def lay_out(root: Path, tree: Path) -> Path:
    """Make the files and links of `tree` below `root`.

    A line is `PATH = CONTENT`, with \\n and \\t written so, or `PATH -> TARGET` for a symbolic link. Empty
    lines and those that begin with # are for the reader.
    """
    for line in tree.read_text().splitlines():
        if not line.strip() or line.startswith("#"):
            continue
        link, arrow, target = line.partition(" -> ")
        path, _, content = line.partition(" = ")
        if arrow:
            put_link(root / link, target)
        else:
            put(root / path, content.replace("\\n", "\n").replace("\\t", "\t") + "\n")
    return root


def put(path: Path, content: str | bytes) -> None:
    """Write a file, its directories included."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())


def put_link(path: Path, target: str) -> None:
    """Make a symbolic link, its directories included."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.symlink_to(target)
