"""Small files of /proc and /sys, read cheaply. What cannot be read is absent, not an error."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Generic, TypeVar

Found = TypeVar("Found")
Place = str | Path

_PAGE = 4096
"""An attribute in sysfs is never longer."""
_FLAGS = os.O_RDONLY | getattr(os, "O_CLOEXEC", 0)
_MOST_DIGITS = 20
"""Digits of 2**64: what is longer is no count of the kernel's."""


def text(path: Place) -> str:
    """Content of an attribute, stripped; empty if it is not there, not for us, or the driver refuses it."""
    try:
        handle = os.open(path, _FLAGS)
    except (OSError, ValueError):
        return ""
    try:
        return os.read(handle, _PAGE).decode("utf-8", "replace").strip(" \t\r\n\0")
    except OSError:
        return ""
    finally:
        os.close(handle)


def whole(path: Place) -> str:
    """Content of a longer file, of whatever bytes. Raises OSError."""
    return Path(path).read_bytes().decode("utf-8", "replace")


def digits(word: str) -> float | None:
    """The number that a word of decimal digits stands for; None for anything else."""
    return float(word) if word.isascii() and word.isdigit() and len(word) <= _MOST_DIGITS else None


def number(path: Place) -> float | None:
    """A count; None where the file is absent, unreadable, or says something else ("N/A (no PMA)")."""
    return digits(text(path))


def integer(path: Place) -> int | None:
    """A count, exactly."""
    word = text(path)
    return int(word) if digits(word) is not None else None


def signed(path: Place) -> float | None:
    """A number that may be negative."""
    word = text(path)
    value = digits(word.removeprefix("-"))
    return -value if value is not None and word.startswith("-") else value


def names(path: Place) -> list[str]:
    """Entries of a directory in order; none where there is no such directory."""
    try:
        with os.scandir(path) as entries:
            return sorted(entry.name for entry in entries)
    except OSError:
        return []


class Remembered(Generic[Found]):
    """What `find` found, looked for again once a minute: hardware comes and goes seldom, listing it costs."""

    def __init__(
        self,
        find: Callable[[], Found],
        seconds: float = 60.0,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._find, self._seconds, self._monotonic = find, seconds, monotonic
        self._found: tuple[Found, float] | None = None

    def __call__(self) -> Found:
        now = self._monotonic()
        if self._found is None or now - self._found[1] >= self._seconds:
            self._found = self._find(), now
        return self._found[0]
