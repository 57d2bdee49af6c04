"""Parts on the workers of a Dask cluster: a given one, or one on this machine for the time of the work."""

from __future__ import annotations

import importlib
import logging
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any, TypeVar

from analytics.recording.ordering import Progress
from gigawatch.errors import UserError

J = TypeVar("J")
_CONNECT = "10s"


def spread(work: Callable[[J], str], jobs: Sequence[J], address: str, parts: int, progress: Progress) -> None:
    """Do `work` for every job, each on some worker. The first failure ends it, as one line.

    The workers must see the files under the same paths as this process.
    """
    if not jobs:
        return
    with _client(address, len(jobs)) as client:
        futures = client.map(work, jobs, pure=False, retries=1)
        done = parts - len(jobs)
        progress(f"scoring {parts} parts", done / parts)
        for future, outcome in _distributed().as_completed(futures, with_results=True, raise_errors=False):
            if future.status != "finished":
                client.cancel(futures)
                raise _failure(outcome)
            done += 1
            progress(f"scoring {parts} parts", done / parts)


def threads_of(address: str) -> int:
    """How many parts a cluster works on at once."""
    with _client(address, 1) as client:
        return max(sum(map(int, client.nthreads().values())), 1)


@contextmanager
def _client(address: str, jobs: int) -> Iterator[Any]:
    distributed = _distributed()
    logging.getLogger("distributed").setLevel(logging.ERROR)
    with ExitStack() as stack:
        try:
            if address:
                client = stack.enter_context(distributed.Client(address, timeout=_CONNECT))
            else:
                cluster = stack.enter_context(
                    distributed.LocalCluster(
                        n_workers=min(jobs, os.cpu_count() or 1), threads_per_worker=1, processes=True,
                        memory_limit=0, dashboard_address="127.0.0.1:0", host="127.0.0.1",
                        silence_logs=logging.CRITICAL,
                    )
                )  # fmt: skip
                client = stack.enter_context(distributed.Client(cluster, timeout=_CONNECT))
        except (OSError, ValueError, TimeoutError, TypeError) as error:
            raise UserError(
                f"--dask '{address or 'local'}': no cluster there ({_line(error)}); "
                "start `dask scheduler` and workers, and give its address as tcp://HOST:8786"
            ) from None
        if not client.nthreads():
            raise UserError(f"--dask '{address}': the cluster has no workers; start some with `dask worker`")
        yield client


def _distributed() -> Any:
    """The module, which has annotations for some of its functions only."""
    try:
        return importlib.import_module("distributed")
    except ImportError:
        raise UserError(
            "several parts need Dask (pip install 'gigawatch[training]'); or use --parts 1"
        ) from None


def _failure(outcome: Any) -> UserError:
    error = outcome[1] if isinstance(outcome, tuple) else outcome
    if isinstance(error, UserError):
        return UserError(str(error))
    return UserError(f"a part failed on its worker: {type(error).__name__}: {_line(error)}")


def _line(error: object) -> str:
    return " ".join(str(error).split())[:200]
