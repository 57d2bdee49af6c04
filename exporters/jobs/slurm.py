"""Slurm's own word: the jobs on this node and the numbers of their GPUs, from `squeue --json`."""

from __future__ import annotations

import codecs
import contextlib
import os
import selectors
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator

from exporters.jobs.squeue import Job, JobStream, SqueueError, job_on
from exporters.runtime.source import SourceError

_STATES = "running,suspended,stopped,completing,configuring,signaling,resizing,stage_out"
_CHUNK = 1 << 16
_SAID = 2000


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
        stream, found = JobStream(), []
        try:
            for text in self._run():
                found += [job for row in stream.feed(text) if (job := job_on(row, self.node))]
            found += [job for row in stream.close() if (job := job_on(row, self.node))]
        except SqueueError as error:
            raise SourceError("parse", f"{self._command}: its answer {error}") from None
        return found

    def _run(self) -> Iterator[str]:
        """Its output, piece by piece."""
        arguments = [self._command, "--json", f"--states={_STATES}", f"--nodelist={self.node}"]
        try:
            process = subprocess.Popen(
                arguments,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env={**os.environ, "LC_ALL": "C"},
                start_new_session=True,
            )
        except FileNotFoundError:
            raise SourceError("not_found", f"{self._command}: no such command; is Slurm installed?") from None
        except OSError as error:
            raise SourceError("permission", f"{self._command}: cannot be run: {error.strerror}") from None
        try:
            yield from self._output(process)
        finally:
            _end(process)

    def _output(self, process: subprocess.Popen[bytes]) -> Iterator[str]:
        deadline = self._monotonic() + self._timeout
        decoder = codecs.getincrementaldecoder("utf-8")("replace")
        said = b""
        with selectors.DefaultSelector() as ready:
            for pipe in (process.stdout, process.stderr):
                if pipe is not None:
                    ready.register(pipe, selectors.EVENT_READ)
            while ready.get_map():
                left = deadline - self._monotonic()
                events = ready.select(left) if left > 0 else []
                if not events:
                    raise SourceError("timeout", f"{self._command}: no answer within {self._timeout:g} s")
                for key, _ in events:
                    data = os.read(key.fd, _CHUNK)
                    if not data:
                        ready.unregister(key.fileobj)
                    elif key.fileobj is process.stderr:
                        said = (said + data)[:_SAID]
                    else:
                        yield decoder.decode(data)
        try:
            status = process.wait(max(0.1, deadline - self._monotonic()))
        except subprocess.TimeoutExpired:
            raise SourceError("timeout", f"{self._command}: did not end within {self._timeout:g} s") from None
        if status:
            lines = said.decode("utf-8", "replace").split("\n")
            why = next((line.strip() for line in lines if line.strip()), "no reason given")
            raise SourceError("exit_status", f"{self._command}: ended with {status}: {why[:200]}")


def _end(process: subprocess.Popen[bytes]) -> None:
    """Nothing of it stays behind, whatever happened."""
    if process.poll() is None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    for pipe in (process.stdout, process.stderr):
        if pipe is not None:
            pipe.close()
