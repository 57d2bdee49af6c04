"""What analytics remembers, on disk: one file, written whole or not at all."""

from __future__ import annotations

import io
import json
import os
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from analytics.columns import Floats
from gigawatch.errors import UserError

VERSION = 1
FILE = "analytics-state.npz"
_HEADER = "header"


class StateError(UserError):
    """The saved state cannot be used; the message says why and what happens instead."""


class StateStore:
    """The state file in a directory."""

    def __init__(self, directory: Path) -> None:
        self.path = directory / FILE

    def save(self, header: Mapping[str, object], arrays: Mapping[str, Floats]) -> None:
        """Write the state to a new file and put it in the place of the old one. StateError if that fails."""
        text = json.dumps({"version": VERSION, **header}, separators=(",", ":")).encode()
        buffer = io.BytesIO()
        named: dict[str, Any] = {name.replace("/", "|"): array for name, array in arrays.items()}
        named[_HEADER] = np.frombuffer(text, np.uint8)
        np.savez(buffer, allow_pickle=False, **named)
        temporary = self.path.with_name(f"{self.path.name}.{os.getpid()}.tmp")
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with temporary.open("wb") as file:
                file.write(buffer.getbuffer())
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(self.path)
        except OSError as error:
            temporary.unlink(missing_ok=True)
            raise StateError(
                f"{self.path}: state cannot be written ({error.strerror}); check the directory and its space"
            ) from None

    def load(self) -> tuple[dict[str, object], dict[str, Floats]] | None:
        """The saved state, or None if there is none. StateError if there is one that cannot be used."""
        try:
            with np.load(self.path, allow_pickle=False) as file:
                arrays = {name.replace("|", "/"): file[name] for name in file.files}
            header = json.loads(arrays.pop(_HEADER).tobytes())
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, NotImplementedError) as error:
            reason = " ".join(str(error).split()) or type(error).__name__
            raise StateError(f"{self.path}: saved state is damaged ({reason}); starting afresh") from None
        if not isinstance(header, dict) or header.get("version") != VERSION:
            found = header.get("version") if isinstance(header, dict) else None
            raise StateError(
                f"{self.path}: saved state has version {found}, expected {VERSION}; starting afresh"
            )
        return header, arrays
