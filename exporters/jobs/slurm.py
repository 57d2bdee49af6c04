"""Slurm's own word: the jobs on this node and the numbers of their GPUs, from `squeue --json`."""

from __future__ import annotations

import os
import shutil
import socket
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from exporters.jobs.command import output
from exporters.jobs.row_stream import RowsError, RowStream
from exporters.jobs.squeue import Job, job_on
from exporters.runtime.source import SourceError

_STATES = "running,suspended,stopped,completing,configuring,signaling,resizing,stage_out"
_CONFIGURED = (
    "etc/slurm/slurm.conf", "etc/slurm-llnl/slurm.conf", "usr/local/etc/slurm.conf",
    "run/slurm/conf/slurm.conf",
    "var/spool/slurmd/conf-cache/slurm.conf", "var/spool/slurm/d/conf-cache/slurm.conf",
)  # fmt: skip
"""Where Slurm's packages and its configless mode keep the configuration."""


def can_ask(command: str, root: Path = Path("/")) -> bool:
    """Whether there is a cluster to ask: the command alone may lie about on any host."""
    configured = "SLURM_CONF" in os.environ or any((root / place).exists() for place in _CONFIGURED)
    return shutil.which(command) is not None and configured


class Squeue:
    """Asks squeue about one node.

    One call costs Slurm's controller one request, so it is asked once per slow interval, and never waited for
    longer than the deadline. `node` is the node's name in Slurm; the host's short name where it is empty.
    """

    def __init__(
        self,
        command: str = "squeue",
        node: str = "",
        timeout: float = 10.0,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._command = command
        self.node = node or socket.gethostname().partition(".")[0]
        self._timeout, self._monotonic = timeout, monotonic

    def jobs(self) -> list[Job]:
        """Jobs that hold this node or a part of it.

        Raises SourceError: not_found, permission, timeout, exit_status (squeue refused), parse.
        """
        arguments = [self._command, "--json", f"--states={_STATES}", f"--nodelist={self.node}"]
        rows = job_rows(arguments, output(arguments, self._timeout, {}, self._monotonic))
        return [job for row in rows if (job := job_on(row, self.node))]


def job_rows(arguments: Sequence[str], texts: Iterable[str]) -> Iterator[dict[str, Any]]:
    """The jobs in an answer of `squeue --json`; raises SourceError where it is none."""
    stream = RowStream("jobs")
    try:
        for text in texts:
            yield from stream.feed(text)
        yield from stream.close()
    except RowsError as error:
        raise SourceError("parse", f"{arguments[0]}: its answer {error}") from None
