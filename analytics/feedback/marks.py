"""What operators said of incidents, kept in a file that is only ever added to.

One JSON object a line, each with a checksum of its own: a line that was torn or changed is skipped and named
once in the log, the others stay good.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from math import isfinite
from pathlib import Path
from typing import Any

from gigawatch.catalogue.findings import VERDICTS
from gigawatch.errors import UserError

log = logging.getLogger(__name__)
FILE = "marks.jsonl"
LONGEST_NOTE = 500
LONGEST_NAME = 64
_LARGEST = 64 << 20
_SUM = "sum"


class MarkError(UserError):
    """A mark that is refused or cannot be kept; the message says what is allowed."""


@dataclass(frozen=True, slots=True)
class Mark:
    """One verdict about one incident, with what the incident was at that time. Times are Unix seconds."""

    time: float
    incident: str
    verdict: str
    cause: str
    scope: str
    place: str
    key: str
    score: float = 0.0
    gpus: int = 0
    confidence: float | None = None
    signals: tuple[str, ...] = ()
    """Signals that the incident rested on."""
    by: str = ""
    note: str = ""
    until: float | None = None
    """How long `known` or `wrong` keeps people from being called for it."""

    @property
    def id(self) -> tuple[str, str, str]:
        """Cause, scope and identity of the thing, as incidents have them."""
        return self.cause, self.scope, self.key

    def line(self) -> str:
        """The mark as it stands in the file."""
        body = asdict(self)
        return json.dumps({**body, _SUM: _checksum(body)}, ensure_ascii=False, sort_keys=True)

    @classmethod
    def parse(cls, line: str) -> Mark:
        """The mark of a line. ValueError if it is damaged or no mark."""
        data = json.loads(line)
        if not isinstance(data, dict):
            raise ValueError("no object")  # noqa: TRY004 - a file, not a caller
        if data.pop(_SUM, None) != _checksum(data):
            raise ValueError("its checksum does not fit")
        texts = ("incident", "verdict", "cause", "scope", "place", "key", "by", "note")
        numbers = ("time", "score", "gpus", "confidence", "until")
        signals = data.get("signals", ())
        good = (
            all(isinstance(data.get(name, ""), str) for name in texts)
            and all(_number(data.get(name)) for name in numbers)
            and isinstance(signals, list)
            and data.get("verdict") in VERDICTS
            and data.get("time") is not None
        )
        if not good:
            raise ValueError("it is no mark")
        known = {name: data[name] for name in (*texts, *numbers) if name in data}  # a newer version has more
        try:
            return cls(**known, signals=tuple(map(str, signals)))
        except TypeError as error:
            raise ValueError(str(error)) from None


def _number(value: object) -> bool:
    return value is None or (isinstance(value, int | float) and isfinite(value))


def _checksum(body: Mapping[str, Any]) -> str:
    text = json.dumps(body, ensure_ascii=False, sort_keys=True)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]


class Ledger:
    """All marks, oldest first, and the file that keeps them. Safe for several threads."""

    def __init__(self, directory: Path, complain: Callable[[str], None] = log.warning) -> None:
        self.path = directory / FILE
        self._complain = complain
        self._lock = threading.Lock()
        self._marks: list[Mark] = []

    @property
    def marks(self) -> tuple[Mark, ...]:
        with self._lock:
            return tuple(self._marks)

    def load(self) -> None:
        """Read the file; damaged lines are skipped, with one line in the log for all of them."""
        damaged: list[int] = []
        found: list[Mark] = []
        try:
            if self.path.stat().st_size > _LARGEST:
                self._complain(f"{self.path}: larger than {_LARGEST >> 20} MiB; marks are not read")
                return
            for number, line in _lines(self.path):
                try:
                    found.append(Mark.parse(line))
                except (ValueError, RecursionError):
                    damaged.append(number)
        except FileNotFoundError:
            pass
        except OSError as error:
            self._complain(f"{self.path}: marks cannot be read ({error.strerror}); none are known")
        if damaged:
            shown = ", ".join(map(str, damaged[:5])) + (" ..." if len(damaged) > 5 else "")
            self._complain(f"{self.path}: {len(damaged)} damaged marks skipped (line {shown})")
        with self._lock:
            self._marks = sorted(found, key=lambda mark: mark.time)

    def add(self, mark: Mark) -> None:
        """Keep a mark, on disk first. MarkError if it cannot be written."""
        with self._lock:
            try:
                self.path.parent.mkdir(parents=True, exist_ok=True)
                handle = os.open(self.path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o640)
                try:
                    size = os.fstat(handle).st_size
                    # A line that was torn by a crash must not swallow this one.
                    torn = size > 0 and os.pread(handle, 1, size - 1) != b"\n"
                    text = ("\n" if torn else "") + mark.line() + "\n"
                    os.write(handle, text.encode("utf-8", "replace"))
                    os.fsync(handle)
                finally:
                    os.close(handle)
            except OSError as error:
                raise MarkError(
                    f"{self.path}: the mark cannot be kept ({error.strerror}); check the directory"
                ) from None
            self._marks.append(mark)


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            if line.strip():
                yield number, line.decode("utf-8", "replace")
