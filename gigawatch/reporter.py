"""What a training job tells of itself: one line per step, and the node agent turns it into metrics.

    from gigawatch.reporter import Reporter

    reporter = Reporter(model="llama-70b", flops_per_token=6 * 70e9)   # first thing in the program
    for batch in batches:
        ...
        reporter.step(tokens=global_batch * sequence_length)

This file needs nothing but Python 3.8: it may be copied into a job's image by itself. Each rank rewrites one
small file of its own in a directory of the node; there is no thread, no socket and no fsync, and no method
ever raises. Without the directory everything here does nothing.

Per rank: the number of the step, time spent waiting. For the whole job, told by rank 0 and ignored elsewhere:
tokens, samples, FLOPs, loss, checkpoints, restarts. docs/training.md has recipes for frameworks.
"""

from __future__ import annotations

import atexit
import contextlib
import errno
import hashlib
import json
import logging
import math
import os
import socket
import stat
import sys
import threading
import time
import urllib.parse
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

DIRECTORY = "/run/gigawatch/training"
"""Where the agent looks; the environment variable GIGAWATCH_TRAINING_DIR says otherwise."""
FORMAT = 1

_SHARE = 1000
"""A write may take a thousandth of the time: a slow file system is written to less often."""
_PAUSE = 10.0
"""Seconds from one write to the next at the most, and after one that failed."""
_GONE = 3600.0
"""Seconds after which a job that had ended well is another job, though it has the same name."""
_LARGEST_FILE = 1 << 16
_LARGEST = 2.0**63
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0)
_OLD = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)

_TOTALS = {
    "steps": 0, "tokens": None, "samples": None, "flops": None, "step_seconds": 0.0, "wait_seconds": None,
    "highest": 0, "restarts": 0, "downtime": 0.0, "startup": 0.0, "rework": 0.0, "checkpoints": 0,
    "checkpoint_seconds": 0.0, "checkpoint_last": None, "checkpoint_at": None,
}  # fmt: skip
"""What goes on when a job begins again on the same node, and how it starts."""

_RANK = ("RANK", "SLURM_PROCID", "OMPI_COMM_WORLD_RANK", "PMI_RANK")
_LOCAL_RANK = ("LOCAL_RANK", "SLURM_LOCALID", "OMPI_COMM_WORLD_LOCAL_RANK", "MPI_LOCALRANKID")
_WORLD = ("WORLD_SIZE", "SLURM_NTASKS", "OMPI_COMM_WORLD_SIZE", "PMI_SIZE")

log = logging.getLogger("gigawatch.reporter")
_live: dict[str, Reporter] = {}
"""Reporters of this process by file: the newest one tells."""
_process = [object()]
"""Stands for this process, and for another one after a fork: cheaper than to ask the kernel at each step."""
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=lambda: _process.__setitem__(0, object()))


class Reporter:
    """Tells of one rank of a job. For any thread; copies and pickles stand for the rank of their process.

    `job_id` as the scheduler spells it, found in the environment where not given (GIGAWATCH_JOB_ID, Slurm,
    the pod, torchrun, PBS, LSF), and so are `rank`, `local_rank`, `world_size` and `gpu` (index or UUID).
    `tokens_per_step` and `flops_per_token` save saying them at each step; both are of the whole job.
    `precision` is the number format of the multiplications: fp32, tf32, fp16, bf16, fp8, fp4. `every` is the
    least time between two writes, in seconds.
    """

    def __init__(
        self, model: str = "", job_id: str | None = None, rank: int | None = None,
        world_size: int | None = None, directory: str | None = None, flops_per_token: float | None = None,
        tokens_per_step: float | None = None, precision: str = "bf16", local_rank: int | None = None,
        gpu: int | str | None = None, every: float = 0.2,
    ) -> None:  # fmt: skip
        self._given = {name: value for name, value in locals().items() if name != "self"}
        self.troubles = 0
        """What could not be told: values that make no sense, writes that failed."""
        self._on = self._warned = self._unfinished = False
        self._rank = -1
        self._renew()
        try:
            self._begin()
        except Exception as error:  # noqa: BLE001 - the job goes on, whatever is wrong here
            self._trouble("nothing is told of this job: %s", error)

    @property
    def enabled(self) -> bool:
        """Whether anything is told: the directory was there, and nobody closed the reporter."""
        return self._on

    def step(
        self, tokens: float | None = None, samples: float | None = None, flops: float | None = None,
        loss: float | None = None, wait: float | None = None, number: int | None = None,
    ) -> None:  # fmt: skip
        """A step is done. All are plain numbers of the whole job, except `wait`: seconds in which this rank
        waited for others. `number` is the step's number where the job counts itself; if it has grown by more
        than one since the last call, tokens, samples and FLOPs are those of all steps in between."""
        now = time.monotonic()
        self._tell(self._count, (now, tokens, samples, flops, loss, wait, number), now)

    @contextlib.contextmanager
    def waiting(self) -> Iterator[None]:
        """Around a barrier or collective: time in which this rank waits for the others."""
        began = time.monotonic()
        try:
            yield
        finally:
            self._tell(self._waited, (time.monotonic() - began,))

    @contextlib.contextmanager
    def pause(self, reason: str = "pause") -> Iterator[None]:
        """Around what is neither a step nor a checkpoint, such as an evaluation: it is no time of a step."""
        entered = self._tell(self._enter, (reason,))
        try:
            yield
        finally:
            self._tell(self._leave, (entered,))

    def paused(self, seconds: float) -> None:
        """The same, told afterwards: the last `seconds` were no time of a step."""
        self._tell(self._leave_out, (seconds,))

    @contextlib.contextmanager
    def checkpoint(self, step: int | None = None, complete: bool = True) -> Iterator[None]:
        """Around the writing of a checkpoint. With `complete=False` it is only begun (the steps stand still
        while it is copied), and `checkpoint_done` follows. In a thread of its own it holds up no steps."""
        entered = self._tell(self._enter, ("checkpoint",))
        try:
            yield
        except BaseException:
            self._tell(self._leave, (entered,))
            raise
        seconds = self._tell(self._leave, (entered,))
        self._tell(self._checkpointed, (step, seconds, complete), force=complete)

    def checkpoint_done(self, step: int | None = None, seconds: float | None = None) -> None:
        """A checkpoint is complete. `seconds` are those in which it kept the steps waiting, unless
        `checkpoint` has told them."""
        if seconds is not None:
            self._tell(self._leave_out, (seconds,))
        self._tell(self._checkpointed, (step, seconds, True), force=True)

    def resumed(self, step: int) -> None:
        """A checkpoint was loaded: the next step is `step` + 1. Steps that had been done already count as
        rework. Where this is not called (and steps have no `number`), numbers go on where they were."""
        self._tell(self._resume, (step, time.monotonic()), force=True)

    def close(self) -> None:
        """The job has ended well. Also done at the end of a program that no exception ended."""
        self._finish("ended")

    def __enter__(self) -> Reporter:  # noqa: PYI034 - Self came with Python 3.11
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        well = error is None or (isinstance(error, SystemExit) and not error.code)
        self._finish("ended" if well else "crashed")

    def __copy__(self) -> Reporter:
        return self

    def __deepcopy__(self, memo: object) -> Reporter:
        return self

    def __reduce__(self) -> tuple[Callable[..., Reporter], tuple[dict[str, Any]]]:
        return _again, (self._given,)

    def _renew(self) -> None:
        """What belongs to a process."""
        self._process = _process[0]
        self._lock, self._writing = threading.RLock(), threading.Lock()

    def _begin(self) -> None:
        env, given = os.environ, self._given
        asked = given["directory"] or env.get("GIGAWATCH_TRAINING_DIR")
        directory = Path(asked or DIRECTORY)
        if not directory.is_dir():
            if asked:
                self._trouble("%s is no directory: nothing is told of this job", directory)
            return
        job, model = _label(given["job_id"] or _job_id(env)), _label(given["model"] or "unnamed")
        self._rank = rank = _rank_of(env, given["rank"])
        gpu = given["gpu"]
        if gpu is None:
            gpu = _gpu(env, _first(env, given["local_rank"], _LOCAL_RANK, rank))
        name = urllib.parse.quote(f"{job}~{model}", safe="")
        if len(name) > 150:
            name = name[:100] + "~" + hashlib.sha256(name.encode()).hexdigest()[:32]
        self._file = directory / f"{name}.{rank}.json"
        self._temporary = directory / f".{name}.{rank}.{os.getpid()}.{os.urandom(4).hex()}"
        self._every = max(float(given["every"]), 0.01)
        now, wall = time.monotonic(), time.time()
        self._since, self._left_out, self._due = now, 0.0, now
        self._depth, self._thread, self._starting = 0, threading.get_ident(), True
        self._step: int | None = None
        self._failed_before = getattr(sys, "last_value", None)
        self._mine: tuple[int, int] | None = None
        self._say: dict[str, Any] = {
            "format": FORMAT, "job": job, "model": model, "rank": rank, "gpu": _label(gpu),
            "world": _first(env, given["world_size"], _WORLD, 1), "precision": _label(given["precision"]),
            "pid": os.getpid(), "doing": "starting", "ended": False, "began": wall, "started": wall,
            "told": wall, "step": None, "step_last": None, "loss": None, "checkpoint_step": None, **_TOTALS,
        }  # fmt: skip
        if given["tokens_per_step"] is not None and rank == 0:
            self._say["tokens"] = 0
        before = _live.get(str(self._file))
        if before is not None:
            before._finish(before._say["doing"])  # noqa: SLF001 - one of us
        try:
            self._continue(_read(self._file), wall, in_process=before is not None)
        except (TypeError, ValueError) as error:
            self._trouble("%s is damaged, totals begin at 0: %s", self._file, error)
            self._say.update(_TOTALS)
        self._on = True
        _live[str(self._file)] = self
        atexit.register(self._at_exit)
        self._write()

    def _continue(self, old: dict[str, Any], wall: float, in_process: bool) -> None:
        """Go on with what an earlier attempt at the same job left. Raises ValueError if that is damaged."""
        say = self._say
        requeued = int(os.environ.get("SLURM_RESTART_COUNT") or 0)
        say["restarts"] = requeued
        if any(old.get(key) != say[key] for key in ("format", "job", "model", "rank")):
            return
        told, began = _plain(old.get("told")), _plain(old.get("began"))
        if old.get("ended") and wall - told > _GONE and not requeued:
            return
        totals = {key: old.get(key) for key in _TOTALS}
        say.update(
            (key, None if value is _TOTALS[key] is None else _plain(value, 1e30))
            for key, value in totals.items()
        )
        say["began"] = min(began, wall)
        if not in_process:
            say["restarts"] = max(say["restarts"] + 1, requeued)
            say["downtime"] += max(0.0, wall - told)

    def _tell(
        self, act: Callable[..., Any], values: tuple[Any, ...], now: float = 0, force: bool = False
    ) -> Any:
        """Do it alone, and write if it is time to. Never raises."""
        if not self._on:
            return None
        try:
            if self._process is not _process[0]:
                self._forked()
            with self._lock:
                found = act(*values) if self.enabled else None  # a fork may have ended it
            if force or now >= self._due:
                self._write()
            return found
        except Exception as error:  # noqa: BLE001 - the job goes on, whatever is wrong here
            self._trouble("%s", error)
            return None

    def _count(
        self, now: float, tokens: Any, samples: Any, flops: Any, loss: Any, wait: Any, number: Any
    ) -> None:
        say, before = self._say, self._step
        step = (say["highest"] if before is None else before) + 1 if number is None else int(_plain(number))
        done = step - before if before is not None and step > before else 1
        spent = self._spent(now)
        self._step = say["step"] = step
        self._thread = threading.get_ident()
        again = step <= say["highest"]
        if not again:
            say["highest"] = step
        if self._starting:
            self._starting = False
            say["doing"] = "steps"
            say["startup"] += spent
            found = _torch_gpu() if self._given["gpu"] is None else None
            say["gpu"] = say["gpu"] if found is None else found
        else:
            say["step_seconds"] += spent
            say["step_last"] = spent / done
            if again:
                say["rework"] += spent
        if self._rank == 0:
            say["steps"] += done
            self._work(done, tokens, samples, flops)
            if loss is not None:
                value = float(_number(loss))
                say["loss"] = value if math.isfinite(value) else None
        if wait is not None:
            self._waited(wait)

    def _work(self, done: int, tokens: Any, samples: Any, flops: Any) -> None:
        say, given = self._say, self._given
        if tokens is None and given["tokens_per_step"] is not None:
            tokens = given["tokens_per_step"] * done
        if tokens is not None:
            tokens = _plain(tokens)
            say["tokens"] = (say["tokens"] or 0) + tokens
            if flops is None and given["flops_per_token"] is not None:
                flops = float(tokens) * given["flops_per_token"]
        if samples is not None:
            say["samples"] = (say["samples"] or 0) + _plain(samples)
        if flops is not None:
            say["flops"] = (say["flops"] or 0.0) + float(_plain(flops, 1e30))

    def _spent(self, now: float) -> float:
        """Time since the last step, less what was left out; begins anew."""
        spent = max(0.0, now - self._since - self._left_out)
        self._since, self._left_out = now, 0.0
        return spent

    def _waited(self, seconds: float) -> None:
        self._say["wait_seconds"] = (self._say["wait_seconds"] or 0.0) + _plain(seconds)

    def _leave_out(self, seconds: float) -> None:
        self._left_out += _plain(seconds)

    def _enter(self, doing: str) -> tuple[float, str] | None:
        """Steps stand still from here on, unless this is another thread than theirs."""
        if threading.get_ident() != self._thread:
            return None
        before, self._say["doing"] = self._say["doing"], str(doing)[:64]
        self._depth += 1
        return time.monotonic(), before

    def _leave(self, entered: tuple[float, str] | None) -> float:
        """Steps go on. Returns the seconds for which they stood still."""
        if entered is None:
            return 0.0
        began, self._say["doing"] = entered
        self._depth -= 1
        seconds = time.monotonic() - began
        if self._depth == 0:
            self._left_out += seconds
        return seconds

    def _checkpointed(self, step: int | None, seconds: float | None, complete: bool) -> None:
        say = self._say
        if seconds is not None:
            say["checkpoint_seconds"] += _plain(seconds)
            say["checkpoint_last"] = seconds
        if complete:
            say["checkpoints"] += 1
            say["checkpoint_at"] = time.time()
            say["checkpoint_step"] = say["step"] if step is None else int(_plain(step))

    def _resume(self, step: int, now: float) -> None:
        say, step = self._say, int(_plain(step))
        if not self._starting:  # within one process
            say["startup"] += self._spent(now)
        self._step = say["step"] = step
        say["highest"] = max(say["highest"], step)

    def _write(self, patiently: bool = False) -> bool:
        """Rewrite the file as a whole. Never waits for another thread that does so, unless `patiently`; False
        if it was left at that."""
        if not self._writing.acquire(timeout=1.0 if patiently else 0.0):
            return False
        began, taken = time.monotonic(), False
        try:
            with self._lock:
                self._say["told"] = time.time()
                data = json.dumps(self._say).encode()
            with contextlib.suppress(FileNotFoundError):  # somebody may have tidied up
                there = self._file.lstat()
                taken = self._mine not in (None, (there.st_ino, there.st_mtime_ns))
            if taken:
                self._on = False
                self._trouble(
                    "another process tells of the same job and rank: this one stops (%s)", self._file
                )
                return True
            self._replace(data)
            self._due = began + min(max(self._every, _SHARE * (time.monotonic() - began)), _PAUSE)
        except OSError as error:
            self._due = began + _PAUSE
            with contextlib.suppress(OSError):
                self._temporary.unlink()
            self._trouble("cannot write %s: %s", self._file, error.strerror)
        finally:
            self._writing.release()
        return True

    def _replace(self, data: bytes) -> None:
        file = os.open(str(self._temporary), _NEW, 0o644)
        try:
            os.fchmod(file, 0o644)  # the agent is another user, whatever the job's umask
            if os.write(file, data) != len(data):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            found = os.fstat(file)
        finally:
            os.close(file)
        self._temporary.replace(self._file)
        self._mine = found.st_ino, found.st_mtime_ns

    def _at_exit(self) -> None:
        failed = getattr(sys, "last_value", None)
        self._finish("ended" if failed is None or failed is self._failed_before else "crashed")

    def _finish(self, how: str) -> None:
        if self._process is not _process[0] or not (self._on or self._unfinished):
            return
        try:
            if self._on:
                self._on = False
                with self._lock:
                    self._say["doing"], self._say["ended"] = how, how == "ended"
            # A signal handler may have come in the midst of a write; then the end of the program tries again.
            self._unfinished = not self._write(patiently=True)
            if not self._unfinished:
                atexit.unregister(self._at_exit)
        except Exception as error:  # noqa: BLE001 - the job's end is the job's
            self._trouble("%s", error)

    def _forked(self) -> None:
        """In a child of the process that made this: begin there, if it has a rank of its own."""
        parent, self._on = self._rank, False
        self._renew()
        _live.clear()
        if _rank_of(os.environ, self._given["rank"]) == parent:
            raise RuntimeError("used in a forked child with its parent's rank: make a reporter there")
        self._begin()

    def _trouble(self, text: str, *values: object) -> None:
        """Counted each time, told once."""
        self.troubles += 1
        if not self._warned:
            self._warned = True
            with contextlib.suppress(Exception):
                log.warning("training figures: %s", text % values)


def _again(given: dict[str, Any]) -> Reporter:
    """What a pickle becomes: the reporter of this process, where it has one for the same rank."""
    same = (one for one in list(_live.values()) if one.enabled and one._given == given)  # noqa: SLF001 - one of us
    return next(same, None) or Reporter(**given)


def _number(value: Any) -> float:
    """A plain number. A tensor is none: to look at its value would wait for the GPU."""
    kind = type(value)
    if kind is not float and kind is not int:
        if kind.__module__ != "numpy":
            raise TypeError(f"{kind.__name__} is no plain number")
        value = value.item()
    number: float = value
    return number


def _plain(value: Any, largest: float = _LARGEST) -> float:
    number = _number(value)
    if not 0 <= number <= largest:  # also where it is not a number
        raise ValueError(f"{number} is out of range")
    return number


def _label(value: object) -> str:
    """As text that the agent takes."""
    return "".join(c if c.isprintable() else "?" for c in str(value)[:256])


def _read(path: Path) -> dict[str, Any]:
    """What an earlier attempt left; nothing where it is not a file of this user."""
    try:
        with os.fdopen(os.open(str(path), _OLD), "rb") as file:
            found = os.fstat(file.fileno())
            if not stat.S_ISREG(found.st_mode) or found.st_uid != os.geteuid():
                return {}
            told = json.loads(file.read(_LARGEST_FILE))
    except (OSError, ValueError, RecursionError):
        return {}
    return told if isinstance(told, dict) else {}


def _first(env: Mapping[str, str], given: int | None, names: tuple[str, ...], otherwise: int) -> int:
    if given is not None:
        return int(given)
    return next((int(env[name]) for name in names if env.get(name, "").isdecimal()), otherwise)


def _rank_of(env: Mapping[str, str], given: int | None) -> int:
    # Some launchers tell the rank on the node only.
    alone = _first(env, None, _LOCAL_RANK[:1], 0) if env.get("NODE_RANK", "0") == "0" else 0
    return _first(env, given, _RANK, alone)


def _job_id(env: Mapping[str, str]) -> str:
    """The job as its scheduler, and therefore the agent, spells it."""
    slurm = env.get("SLURM_JOB_ID", "")
    if slurm and "SLURM_HET_SIZE" in env:
        # Each component has a number of its own, under which its GPUs are held; the cgroup knows.
        parts = _text("/proc/self/cgroup").replace("\n", "/").split("/")
        slurm = next((part[4:] for part in parts if part.startswith("job_")), slurm)
    pod = ""
    if "KUBERNETES_SERVICE_HOST" in env:
        space = env.get("POD_NAMESPACE") or _text("/var/run/secrets/kubernetes.io/serviceaccount/namespace")
        name = env.get("POD_NAME") or env.get("HOSTNAME", "")
        pod = f"{space.strip()}/{name}" if space.strip() and name else ""
    run = env.get("TORCHELASTIC_RUN_ID", "")
    other = env.get("PBS_JOBID") or env.get("LSB_JOBID") or f"{socket.gethostname()}-{os.getppid()}"
    return env.get("GIGAWATCH_JOB_ID") or slurm or pod or (run if run != "none" else "") or other


def _text(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8")
    except (OSError, ValueError):
        return ""


def _gpu(env: Mapping[str, str], local: int) -> str:
    """The GPU of this rank by a name that holds outside the job; empty where that cannot be told.

    Inside a job the indexes of CUDA count from 0, whichever GPUs it has.
    """
    visible = env.get("CUDA_VISIBLE_DEVICES")
    names = [name.strip() for name in (visible or "").split(",")]
    at = 0 if len(names) == 1 else local
    mine = "" if visible is None or at >= len(names) else names[at]
    if mine.upper().startswith(("GPU-", "MIG-")):
        return mine
    container = env.get("NVIDIA_VISIBLE_DEVICES", "")
    if container.upper().startswith(("GPU-", "MIG-")) and "," not in container:
        return container
    given = env.get("SLURM_STEP_GPUS") or env.get("SLURM_JOB_GPUS")
    if given:  # the numbers of the device files, in the order of CUDA's
        numbers = given.split(",")
        fits = len(numbers) == len(names) if visible is not None else local < len(numbers)
        return f"nvidia{numbers[at if visible is not None else local]}" if fits and at < len(numbers) else ""
    if "KUBERNETES_SERVICE_HOST" in env or container not in ("", "all", "none", "void"):
        return ""
    return str(local) if visible is None else (mine if mine.isdecimal() else "")


def _torch_gpu() -> str | None:
    """UUID of the GPU that PyTorch uses in this process, empty where it uses none; None if unknown."""
    torch = sys.modules.get("torch")
    try:
        if torch is None or not torch.cuda.is_initialized():
            return None if torch is None else ""
        return str(torch.cuda.get_device_properties(torch.cuda.current_device()).uuid)
    except Exception:  # noqa: BLE001 - older than 2.5, or another torch
        return None
