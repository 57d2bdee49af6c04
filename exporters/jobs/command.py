"""The output of a command, piece by piece, never waited for longer than a deadline."""

from __future__ import annotations

import codecs
import contextlib
import os
import selectors
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence

from exporters.runtime.source import SourceError

_CHUNK = 1 << 16
_SAID = 2000


def output(
    arguments: Sequence[str],
    timeout: float,
    environment: Mapping[str, str],
    monotonic: Callable[[], float] = time.monotonic,
) -> Iterator[str]:
    """What it writes, with these variables beside our own. Nothing of it stays behind, whatever happens.

    Raises SourceError: not_found, permission, timeout, exit_status (with what it said last).
    """
    command = arguments[0]
    try:
        process = subprocess.Popen(
            arguments,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={**os.environ, "LC_ALL": "C", **environment},
            start_new_session=True,
        )
    except FileNotFoundError:
        raise SourceError("not_found", f"{command}: no such command; is Slurm installed?") from None
    except OSError as error:
        raise SourceError("permission", f"{command}: cannot be run: {error.strerror}") from None
    try:
        yield from _output(process, command, timeout, monotonic)
    finally:
        _end(process)


def _output(
    process: subprocess.Popen[bytes], command: str, timeout: float, monotonic: Callable[[], float]
) -> Iterator[str]:
    deadline = monotonic() + timeout
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    said = b""
    with selectors.DefaultSelector() as ready:
        for pipe in (process.stdout, process.stderr):
            if pipe is not None:
                ready.register(pipe, selectors.EVENT_READ)
        while ready.get_map():
            left = deadline - monotonic()
            events = ready.select(left) if left > 0 else []
            if not events:
                raise SourceError("timeout", f"{command}: no answer within {timeout:g} s")
            for key, _ in events:
                data = os.read(key.fd, _CHUNK)
                if not data:
                    ready.unregister(key.fileobj)
                elif key.fileobj is process.stderr:
                    said = (said + data)[:_SAID]
                else:
                    yield decoder.decode(data)
    try:
        status = process.wait(max(0.1, deadline - monotonic()))
    except subprocess.TimeoutExpired:
        raise SourceError("timeout", f"{command}: did not end within {timeout:g} s") from None
    if status:
        lines = said.decode("utf-8", "replace").split("\n")
        why = next((line.strip() for line in lines if line.strip()), "no reason given")
        raise SourceError("exit_status", f"{command}: ended with {status}: {why[:200]}")


def _end(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    for pipe in (process.stdout, process.stderr):
        if pipe is not None:
            pipe.close()
