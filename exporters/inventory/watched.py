"""A file whose newest good content is in force: a bad one changes nothing."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Generic, TypeVar

from exporters.runtime.health import Health
from gigawatch.errors import UserError

log = logging.getLogger(__name__)

Content = TypeVar("Content")


def stamp_of(path: Path | None) -> object:
    """Changes with the file, also where a link to it is turned; None for no file."""
    if path is None:
        return None
    try:
        found = path.stat()
    except OSError as error:
        return error.errno
    return found.st_mtime_ns, found.st_size, found.st_ino


class Watched(Generic[Content]):
    """`path` is None for what cannot change. `absent` is the content while there has been no file yet;
    without it a missing file is an error."""

    def __init__(
        self, name: str, path: Path | None, load: Callable[[], Content], absent: Content | None = None
    ) -> None:
        """Raises UserError where the file cannot be used."""
        self.name, self.path, self._load = name, path, load
        self._stamp = stamp_of(path)
        self._errors = 0
        self._problem = ""
        self.waiting = absent is not None and path is not None and not path.exists()
        self.value: Content = absent if self.waiting and absent is not None else load()
        if self.waiting:
            log.info("%s is not there yet; it is taken in as soon as it is", path)

    def refresh(self, anyway: bool = False) -> bool:
        """Look at the file; True if another content came into force."""
        stamp = stamp_of(self.path)
        if self.path is None or (stamp == self._stamp and not anyway):
            return False
        self._stamp = stamp
        if self.waiting and not self.path.exists():
            return False
        try:
            self.value = self._load()
        except UserError as error:
            self._errors, self._problem = self._errors + 1, str(error)
            log.warning("%s; what was in force stays in force", error)
            return False
        self.waiting, self._problem = False, ""
        log.info("%s: read again", self.path)
        return True

    @property
    def errors(self) -> int:
        """How often what it said could not be used."""
        return self._errors

    def health(self) -> Health:
        """Whether what the file says is in force."""
        return Health(self.name, not self._problem, errors={"reload": self._errors} if self._errors else {})
