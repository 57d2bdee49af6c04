"""Rows put aside in a scratch folder: raw arrays, one stretch after another."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np

from analytics.fleet.columns import Floats
from analytics.recording.rows import Block, Layout
from gigawatch.errors import UserError


@dataclass(slots=True)
class Held:
    """A block in memory; a `Unit`."""

    path: Path
    block: Block
    begin: int = 0
    """Rows of the file before it."""

    @property
    def rows(self) -> int:
        return len(self.block)

    @property
    def first(self) -> float:
        return float(self.block.seconds.min())

    @property
    def last(self) -> float:
        return float(self.block.seconds.max())

    @property
    def ordered(self) -> bool:
        return _ordered(self.block.seconds)

    def blocks(self, layout: Layout) -> Iterator[Block]:  # noqa: ARG002 - as every unit
        """See `Unit`."""
        yield self.block

    def place(self, row: int) -> str:
        """See `Unit`."""
        return f"line {self.begin + row + 2}"


@dataclass(slots=True)
class Stretch:
    """A block in a scratch file; a `Unit`. `path` is the file that its rows came from."""

    path: Path
    stored: Path
    offset: int
    rows: int
    columns: int
    first: float
    last: float
    ordered: bool
    begin: int = 0

    def blocks(self, layout: Layout) -> Iterator[Block]:  # noqa: ARG002 - as every unit
        """See `Unit`."""
        yield self.load()

    def load(self) -> Block:
        """The block, read back."""
        with self.stored.open("rb") as file:
            file.seek(self.offset)
            seconds = np.fromfile(file, np.float64, self.rows)
            who = np.fromfile(file, np.int32, self.rows)
            values = np.fromfile(file, np.float64, self.rows * self.columns)
        return Block(seconds, who, values.reshape(self.columns, self.rows))

    def place(self, row: int) -> str:
        """See `Unit`."""
        return f"line {self.begin + row + 2}"


class SpillFile:
    """A scratch file that blocks are appended to."""

    def __init__(self, path: Path, origin: Path) -> None:
        self._path, self._origin = path, origin
        self._file: IO[bytes] | None = None
        self._offset = 0

    def add(self, block: Block, begin: int = 0) -> Stretch:
        """Append a block. UserError if the disk is full."""
        try:
            if self._file is None:
                self._file = self._path.open("wb")
            for array in (block.seconds, block.who, block.values):
                self._file.write(np.ascontiguousarray(array).data)
        except OSError as error:
            raise UserError(
                f"{self._path.parent}: scratch file cannot be written ({error.strerror}); "
                "name a folder with more space with --scratch"
            ) from None
        stretch = Stretch(
            self._origin, self._path, self._offset, len(block), len(block.values),
            float(block.seconds.min()), float(block.seconds.max()), _ordered(block.seconds), begin,
        )  # fmt: skip
        self._offset += block.seconds.nbytes + block.who.nbytes + block.values.nbytes
        return stretch

    def close(self) -> None:
        """Write what is still held back."""
        if self._file is not None:
            self._file.close()


class Scratch:
    """A folder that is made when it is first asked for and is gone when this object is.

    It lies in `parent`, or where the system keeps such files.
    """

    def __init__(self, parent: Path | None = None) -> None:
        self._parent = parent
        self._folder: tempfile.TemporaryDirectory[str] | None = None

    def __call__(self) -> Path:
        if self._folder is None:
            try:
                self._folder = tempfile.TemporaryDirectory(prefix="gigawatch-", dir=self._parent)
            except OSError as error:
                raise UserError(
                    f"{self._parent or tempfile.gettempdir()}: no scratch folder can be made there "
                    f"({error.strerror}); name another with --scratch"
                ) from None
        return Path(self._folder.name)


def _ordered(seconds: Floats) -> bool:
    return bool((seconds[1:] >= seconds[:-1]).all())
