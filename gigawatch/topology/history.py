"""Where things stood, and from when to when: a file of JSON lines that only ever grows.

A line says that from a moment on a thing stands somewhere, or (`place` is null) that it is gone:
{"at": 1790000000.0, "kind": "node", "name": "r01-n01", "place": "site › hall › ...", "serial": "...",
"source": "site.yaml"}
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import IO

from gigawatch.errors import FileError
from gigawatch.topology.model import Inventory


@dataclass(frozen=True, slots=True)
class Mark:
    """From `at` on (Unix time), a thing stands at `place`; None: it is gone."""

    at: float
    kind: str
    """rack, node, device or loop."""
    name: str
    place: str | None
    serial: str
    source: str


@dataclass(frozen=True, slots=True)
class Stay:
    """A thing stood at a place for a while."""

    kind: str
    name: str
    place: str
    serial: str
    source: str
    since: float
    until: float | None
    """None: it still does."""


class History:
    """The file, and what it says of now. Belongs to one process."""

    def __init__(self, path: Path) -> None:
        """Read what is there; a last line that breaks off is set aside in FILE.torn. Raises FileError."""
        self._path = path
        self.torn = _mend(path)
        self._now = {(mark.kind, mark.name): mark for mark in read(path)}

    def note(self, inventory: Inventory, at: float) -> int:
        """Write down what appeared, moved or vanished since the last time; how many things that were.

        Raises FileError: what could not be written is noted the next time.
        """
        standing = {(mark.kind, mark.name): mark for mark in _marks(inventory, at)}
        fresh = [mark for key, mark in standing.items() if not _same(self._now.get(key), mark)]
        for key, known in self._now.items():
            if known.place is not None and key not in standing:
                fresh.append(Mark(at, known.kind, known.name, None, known.serial, inventory.source))
        if fresh:
            self._append(fresh)
        self._now.update({(mark.kind, mark.name): mark for mark in fresh})
        return len(fresh)

    def _append(self, marks: Iterable[Mark]) -> None:
        lines = "".join(
            json.dumps(asdict(m), ensure_ascii=False, separators=(",", ":")) + "\n" for m in marks
        )
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with self._path.open("ab") as file:
                size = file.tell()
                try:
                    file.write(lines.encode())
                    file.flush()
                    os.fsync(file.fileno())
                except OSError:
                    # Half a line would spoil the next one.
                    os.truncate(self._path, size)
                    raise
        except OSError as error:
            raise FileError(self._path, "", f"history cannot be written ({error.strerror})") from None


def read(path: Path) -> Iterator[Mark]:
    """All marks of a file, from old to new; lines that make no sense are passed over. Raises FileError."""
    try:
        with path.open("rb") as file:
            for line in file:
                mark = _parse(line)
                if mark is not None:
                    yield mark
    except FileNotFoundError:
        return
    except OSError as error:
        raise FileError(path, "", f"history cannot be read ({error.strerror})") from None


def stays(marks: Iterable[Mark]) -> list[Stay]:
    """Marks as stays with beginning and end, in the order of their beginning."""
    found: list[Stay] = []
    standing: dict[tuple[str, str], int] = {}
    for mark in marks:
        key = (mark.kind, mark.name)
        number = standing.pop(key, None)
        if number is not None:
            last = found[number]
            found[number] = replace(last, until=mark.at)
        if mark.place is not None:
            standing[key] = len(found)
            found.append(Stay(mark.kind, mark.name, mark.place, mark.serial, mark.source, mark.at, None))
    return found


def _marks(inventory: Inventory, at: float) -> Iterator[Mark]:
    source = inventory.source
    for rack in inventory.racks:
        place = f"{inventory.place_of(rack.name)} › {rack.position}" if rack.position else ""
        yield Mark(at, "rack", rack.name, place or inventory.place_of(rack.name), "", source)
    for node in inventory.nodes:
        yield Mark(at, "node", node.name, inventory.place_of(node.name), node.serial, source)
    for loop in inventory.loops:
        yield Mark(at, "loop", loop.name, inventory.place_of(loop.name), "", source)
    for device in inventory.devices:
        yield Mark(at, "device", device.name, inventory.place_of(device.name), device.serial, source)


def _same(known: Mark | None, mark: Mark) -> bool:
    return known is not None and (known.place, known.serial) == (mark.place, mark.serial)


def _parse(line: bytes) -> Mark | None:
    try:
        row = json.loads(line)
        at, place = float(row["at"]), row["place"]
        if place is not None and not isinstance(place, str):
            return None
        words = [row[name] for name in ("kind", "name", "serial", "source")]
        if not all(isinstance(word, str) for word in words) or not abs(at) < 1e12:
            return None
        return Mark(at, words[0], words[1], place, words[2], words[3])
    except (ValueError, KeyError, TypeError, RecursionError):
        return None


def _mend(path: Path) -> bool:
    """Set a last line aside that has no end: the process or the machine died while it was written."""
    try:
        with path.open("r+b") as file:
            size = file.seek(0, os.SEEK_END)
            keep = _end_of_last_line(file, size)
            if keep == size:
                return False
            file.seek(keep)
            with path.with_name(path.name + ".torn").open("ab") as aside:
                aside.write(file.read() + b"\n")
            file.truncate(keep)
            os.fsync(file.fileno())
            return True
    except FileNotFoundError:
        return False
    except OSError as error:
        raise FileError(path, "", f"history cannot be read ({error.strerror})") from None


def _end_of_last_line(stream: IO[bytes], size: int) -> int:
    step, end = 1 << 16, size
    while end > 0:
        begin = max(0, end - step)
        stream.seek(begin)
        found = stream.read(end - begin).rfind(b"\n")
        if found >= 0:
            return begin + found + 1
        end = begin
    return 0
