"""Metrics that other programs leave as files: the textfile collector of node_exporter, kept strict."""

from __future__ import annotations

import logging
import os
import stat
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from exporters.runtime.source import TICKS_TO_LIVE, SourceError, kind_of
from exporters.runtime.textfamily import Family, TextError
from exporters.runtime.textformat import parse
from gigawatch.catalogue import PREFIX, own
from gigawatch.readings import Reading

log = logging.getLogger(__name__)

RESERVED = (PREFIX, "process_")
"""Beginnings of the names under which the agent itself exports."""

Key = tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class _Problem:
    kind: str
    text: str


@dataclass(slots=True)
class _File:
    """A file as it was when it was last read."""

    key: Key
    families: Mapping[str, Family] = field(default_factory=dict)
    problem: _Problem | None = None


class TextfileDirectory:
    """Serves NAME.prom files of a directory; a file in which anything is wrong contributes nothing.

    Several files may share a family if they agree on its type and have no series in common. `reserved` are
    beginnings of names that files must not use. Files are read again when they change; those of more than
    `largest` bytes, or beyond `most_files` or `most_bytes` in all, are refused. For one reading thread;
    `blocks` and `page` may be called from any.
    """

    name = "textfile"

    def __init__(
        self,
        path: Path,
        interval: float = 5.0,
        reserved: tuple[str, ...] = RESERVED,
        most_files: int = 256,
        most_bytes: int = 4 << 20,
        largest: int = 1 << 20,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.interval, self.deadline = interval, max(2.0, interval)
        self._path, self._reserved, self._monotonic = path, reserved, monotonic
        self._most_files, self._most_bytes, self._largest = most_files, most_bytes, largest
        self._files: dict[str, _File] = {}
        self._told: dict[str, _Problem] = {}
        self._merged: tuple[list[tuple[str, Key]], dict[str, _Problem]] = [], {}
        self._blocks: dict[str, bytes] = {}
        self._page = b""
        self._read_at = float("-inf")

    def read(self) -> Iterator[Reading]:
        """When each file was written. Raises SourceError if one is refused, OSError without directory."""
        try:
            names = sorted(filter(_is_ours, os.listdir(self._path)))  # noqa: PTH208 - names are enough
            problems = self._look(names)
            self._merge(problems)
        except BaseException:
            self._blocks, self._page = {}, b""
            raise
        self._read_at = self._monotonic()
        self._tell(problems)
        for name, file in self._files.items():
            yield Reading(own.TEXTFILE_TIMESTAMP, (_legible(name),), file.key[0] / 1e9)
        if problems:
            first = next(iter(problems.values()))
            raise SourceError(first.kind, f"{len(problems)} of {len(names)} files in {self._path} not served")

    def blocks(self) -> dict[str, bytes]:
        """Whole families (HELP, TYPE, samples) by name; none where the directory has not answered of late."""
        return self._blocks if self._fresh() else {}

    def page(self) -> bytes:
        """All blocks, one after the other."""
        return self._page if self._fresh() else b""

    def _fresh(self) -> bool:
        return self._monotonic() - self._read_at <= TICKS_TO_LIVE * self.interval

    def _look(self, names: list[str]) -> dict[str, _Problem]:
        """Bring what we know of each file up to date; return what is wrong with files by themselves."""
        problems: dict[str, _Problem] = {}
        if len(names) > self._most_files:
            told = f"{len(names)} files; only the first {self._most_files} by name are served"
            problems["*.prom"] = _Problem("too_many", told)
        files: dict[str, _File] = {}
        room = self._most_bytes
        for name in names[: self._most_files]:
            try:
                file = self._current(name)
            except FileNotFoundError:
                continue  # went away, or its link leads nowhere
            except OSError as error:
                problems[name] = _Problem(kind_of(error), error.strerror or str(error))
                continue
            files[name] = file
            if file.problem is not None:
                problems[name] = file.problem
                continue
            room -= file.key[1]
            if room < 0:
                told = f"with this file they are more than {self._most_bytes} bytes in all"
                problems[name] = _Problem("too_large", told)
        self._files = files
        return problems

    def _current(self, name: str) -> _File:
        path = self._path / name
        found = path.stat()
        known = self._files.get(name)
        if known is not None and known.key == _key(found):
            return known
        if not stat.S_ISREG(found.st_mode):
            return _File(_key(found), problem=_Problem("io", "is not a regular file"))
        # Without waiting: it may have become a pipe since, which waits for a writer.
        with os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK), "rb") as opened:
            key = _key(os.fstat(opened.fileno()))
            data = opened.read(self._largest + 1)
        if len(data) > self._largest:
            return _File(key, problem=_Problem("too_large", f"is larger than {self._largest} bytes"))
        try:
            return _File(key, parse(data))
        except TextError as error:
            return _File(key, problem=_Problem("format", str(error)))

    def _merge(self, problems: dict[str, _Problem]) -> None:
        """Put the families of all good files together; adds files that do not go with the others."""
        state = [(name, file.key) for name, file in self._files.items() if name not in problems]
        if state == self._merged[0]:
            problems.update(self._merged[1])
            return
        refused: dict[str, _Problem] = {}
        accepted: dict[str, list[tuple[str, Family]]] = {}
        owners: dict[str, str] = {}
        for name, _ in state:
            families = self._files[name].families
            wrong = next(filter(None, (self._clash(f, accepted, owners) for f in families.values())), "")
            if wrong:
                refused[name] = _Problem("conflict", wrong)
                continue
            for family in families.values():
                accepted.setdefault(family.name, []).append((name, family))
                owners.update(dict.fromkeys(family.names(), family.name))
        self._blocks = {family: _block(shares) for family, shares in accepted.items()}
        self._page = b"".join(self._blocks.values())
        self._merged = state, refused
        problems.update(refused)

    def _clash(
        self, family: Family, accepted: dict[str, list[tuple[str, Family]]], owners: dict[str, str]
    ) -> str:
        if family.name.startswith(self._reserved):
            return f"{family.name} begins like a name of the agent's own; choose another"
        for other, share in accepted.get(family.name, ()):
            if share.kind != family.kind:
                return f"{family.name} is a {family.kind} here and a {share.kind} in {_legible(other)}"
            if share.groups & family.groups:
                return f"{family.name} has a series that {_legible(other)} has, too"
        for taken in sorted(family.names()):
            owner = owners.get(taken, family.name)
            if owner != family.name:
                other = _legible(accepted[owner][0][0])
                return f"{family.name} and {owner} of {other} get the same name ({taken}) in OpenMetrics"
        return ""

    def _tell(self, problems: dict[str, _Problem]) -> None:
        for name, problem in problems.items():
            if self._told.get(name) != problem:
                log.warning("textfile: %s/%s: %s", self._path, _legible(name), problem.text)
        self._told = problems


def _is_ours(name: str) -> bool:
    return name.endswith(".prom") and not name.startswith(".")


def _key(found: os.stat_result) -> Key:
    return found.st_mtime_ns, found.st_size, found.st_ino


def _block(shares: list[tuple[str, Family]]) -> bytes:
    """One family of one or more files, under the first HELP that one of them has."""
    files = ", ".join(_legible(name) for name, _ in shares)
    family = next((share for _, share in shares if share.help), shares[0][1])
    return family.header(f"Read from {files}.") + b"".join(share.lines for _, share in shares)


def _legible(name: str) -> str:
    """A file name as text that fits a label and one line of a log."""
    text = os.fsencode(name).decode("utf-8", "replace")
    return text if text.isprintable() else ascii(text)[1:-1]
