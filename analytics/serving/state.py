"""What analytics remembers, on disk: one file, written whole or not at all.

The file is a zip of arrays (NumPy's npz, not compressed: that would take longer than writing). The zip holds
a checksum of every array; `header` is JSON with the version and all that is no array.
"""

from __future__ import annotations

import io
import os
import threading
import time
import zipfile
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

import numpy as np
import orjson

from analytics.fleet.columns import Floats
from gigawatch.errors import UserError

VERSION = 2
FILE = "analytics-state.npz"
KEPT_ASIDE = 3
"""Damaged or foreign files that stay beside the state for whoever wants to look."""
_HEADER = "header"
_NAMES = "arrays"
"""Of the header: which arrays belong to it. A flaw in the directory of a zip may hide some, unnoticed."""
Header = dict[str, Any]
Arrays = dict[str, Floats]
Migration = Callable[[Header, Arrays], tuple[Header, Arrays]]


class StateError(UserError):
    """The saved state cannot be used; the message says why and what happens instead."""


def _slots(header: Header, arrays: Arrays) -> tuple[Header, Arrays]:
    """Version 2 notes which GPUs are gone from their slot and since when the others are in theirs."""
    fleet = header["fleet"]
    for roster in fleet.values():
        roster["gone"], roster["slot_since"] = [], [0.0] * len(roster["seen"])
    return header, arrays


MIGRATIONS: dict[int, Migration] = {1: _slots}
"""From a version to the next one."""


class StateStore:
    """The state file in a directory. `clock` gives Unix time."""

    def __init__(self, directory: Path, clock: Callable[[], float] = time.time) -> None:
        self.path = directory / FILE
        self._clock = clock

    def save(self, header: Mapping[str, object], arrays: Mapping[str, Floats]) -> None:
        """Write the state to a new file and put it in the place of the old one. StateError if that fails."""
        text = orjson.dumps(
            {"version": VERSION, **header, _NAMES: sorted(arrays)}, option=orjson.OPT_SERIALIZE_NUMPY
        )
        temporary = self.path.with_name(f"{self.path.name}.{os.getpid()}-{threading.get_ident()}.tmp")
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with temporary.open("wb") as file:
                with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED, allowZip64=True) as zipped:
                    _put(zipped, _HEADER, np.frombuffer(text, np.uint8))
                    for name, array in arrays.items():
                        _put(zipped, name.replace("/", "|"), array)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(self.path)
            _sync(self.path.parent)
        except OSError as error:
            with suppress(OSError):
                temporary.unlink(missing_ok=True)
            raise StateError(
                f"{self.path}: state cannot be written ({error.strerror}); check the directory and its space"
            ) from None

    def load(self) -> tuple[Header, Arrays] | None:
        """The saved state, brought to the present version, or None if there is none.

        StateError if there is one that cannot be used; the file has then been set aside.
        """
        for unfinished in self.path.parent.glob(f"{self.path.name}.*.tmp"):
            with suppress(OSError):
                unfinished.unlink()
        try:
            file = self.path.open("rb")
        except FileNotFoundError:
            return None
        except OSError as error:
            raise StateError(
                f"{self.path}: saved state cannot be read ({error.strerror}); starting afresh"
            ) from None
        try:
            with file:
                header, arrays = _read(file)
        except Exception as error:  # noqa: BLE001 - bytes of any kind: zipfile and NumPy fail in many ways
            reason = " ".join(str(error).split())[:200] or type(error).__name__
            raise self.refuse(f"saved state is damaged ({reason})") from None
        version = header.get("version")
        if not isinstance(version, int) or not 1 <= version <= VERSION:
            raise self.refuse(f"saved state has version {version}, expected {VERSION} or older")
        try:
            for step in range(version, VERSION):
                header, arrays = MIGRATIONS[step](header, arrays)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise self.refuse(
                f"saved state of version {version} cannot be brought to version {VERSION} ({error!r})"
            ) from None
        return header, arrays

    def refuse(self, reason: str) -> StateError:
        """Set the file aside; the error to raise or tell, in one line."""
        aside = self.path.with_name(f"{self.path.name}.bad-{int(self._clock())}")
        try:
            self.path.replace(aside)
            where = f"kept as {aside.name}, "
            old = sorted(self.path.parent.glob(f"{self.path.name}.bad-*"), key=_age)
            for path in old[:-KEPT_ASIDE]:
                path.unlink()
        except OSError:
            where = ""
        return StateError(f"{self.path}: {reason}; {where}starting afresh")


def _put(zipped: zipfile.ZipFile, name: str, array: Floats) -> None:
    # Not numpy.savez: it names arrays by keyword arguments, and theirs are not identifiers.
    with zipped.open(zipfile.ZipInfo(f"{name}.npy"), "w", force_zip64=True) as member:
        np.lib.format.write_array(member, np.asanyarray(array), allow_pickle=False)


def _read(file: IO[bytes]) -> tuple[Header, Arrays]:
    arrays: Arrays = {}
    with zipfile.ZipFile(file) as zipped:
        for info in zipped.infolist():
            if info.compress_type != zipfile.ZIP_STORED:
                raise ValueError(f"'{info.filename}' is compressed")
            # Read whole before it is looked at: only then is its checksum known to be right.
            member = io.BytesIO(zipped.read(info))
            name = info.filename.removesuffix(".npy").replace("|", "/")
            arrays[name] = np.lib.format.read_array(member, allow_pickle=False)
    header = orjson.loads(arrays.pop(_HEADER).tobytes())
    if not isinstance(header, dict):
        raise ValueError("its header is not a table")  # noqa: TRY004 - a file, not a caller
    names = header.pop(_NAMES, None)  # older files have none
    if names is not None and names != sorted(arrays):
        raise ValueError("some of its arrays are missing")
    return header, arrays


def _sync(directory: Path) -> None:
    handle = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _age(path: Path) -> int:
    number = path.name.rpartition("-")[2]
    return int(number) if number.isdigit() else 0
