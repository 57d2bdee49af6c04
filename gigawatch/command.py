"""What a command of the `gigawatch` program is. Each room offers its own through an entry point."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace


@dataclass(frozen=True, slots=True)
class Command:
    """One verb of the command line.

    `summary` is one line for `gigawatch --help`; `example` a command the reader can paste;
    `configure` adds the arguments; `run` does the work and returns the exit status
    (0 success; failures raise `gigawatch.errors.UserError`). `hidden` keeps helpers of the
    local stack out of the overview.
    """

    summary: str
    example: str
    configure: Callable[[ArgumentParser], None]
    run: Callable[[Namespace], int]
    hidden: bool = False
