"""What a source is."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from gigawatch.readings import Reading

TICKS_TO_LIVE = 3
"""A reading that was not renewed for this many ticks of its source is dropped."""


class Source(Protocol):
    """Reads one kind of device or service. May block, fail or find nothing: only its own lane suffers."""

    @property
    def name(self) -> str:
        """Value of the label `collector`."""

    @property
    def interval(self) -> float:
        """Seconds from one read to the next: which lane it runs in."""

    @property
    def deadline(self) -> float:
        """Seconds after which a read counts as stuck."""

    def read(self) -> Iterable[Reading]:
        """Everything the device answers now; unsupported is absent. Raises SourceError or OSError."""


class SourceError(Exception):
    """A read failed. `kind` is a short word from a small set: it becomes a label value."""

    def __init__(self, kind: str, message: str = "") -> None:
        super().__init__(message or kind)
        self.kind = kind


def kind_of(error: BaseException) -> str:
    """The word under which an error is counted."""
    if isinstance(error, SourceError):
        return error.kind
    if isinstance(error, TimeoutError):
        return "timeout"
    if isinstance(error, PermissionError):
        return "permission"
    return "io" if isinstance(error, OSError) else type(error).__name__
