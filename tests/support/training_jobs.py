"""Training jobs as real processes, whose image has nothing of ours but a copy of the reporter's one file."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from gigawatch import reporter
from gigawatch.reporter import Reporter

SOURCE = Path(reporter.__file__)
PLACES = (
    "SLURM_", "RANK", "LOCAL_", "NODE_RANK", "WORLD_SIZE", "OMPI_", "PMI_", "TORCHELASTIC_", "CUDA_",
    "NVIDIA_", "KUBERNETES_", "POD_", "PBS_", "LSB_", "GIGAWATCH_",
)  # fmt: skip
"""How variables begin by which a job knows where it is."""
_PROGRAM = """
import os, sys, time
sys.path.insert(0, {folder!r})
from reporter import Reporter
reporter = Reporter(model="llama", directory={directory!r}, every=0.01)
def step(**told):
    time.sleep(0.02)
    reporter.step(**told)
"""


class Jobs:
    """Starts programs; `reports` is the directory that they write to."""

    def __init__(self, folder: Path) -> None:
        self._image, self.reports = folder / "image", folder / "reports"
        self._image.mkdir()
        self.reports.mkdir()
        shutil.copy(SOURCE, self._image / "reporter.py")
        self._started: list[subprocess.Popen[str]] = []

    def start(self, code: str, **env: str) -> subprocess.Popen[str]:
        """Run it behind the making of a reporter; `env` is all of its environment."""
        program = _PROGRAM.format(folder=str(self._image), directory=str(self.reports)) + code
        process = subprocess.Popen(
            [sys.executable, "-I", "-c", program],
            env={"PATH": os.environ["PATH"], "SLURM_JOB_ID": "42", **env},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self._started.append(process)
        return process

    def run(self, code: str, status: int = 0, **env: str) -> str:
        """What it wrote to standard error, once it has ended as expected."""
        return ended(self.start(code, **env), status)

    def close(self) -> None:
        """Leave none behind."""
        for process in self._started:
            process.kill()
            process.communicate()


def ended(process: subprocess.Popen[str], status: int = 0) -> str:
    """What it wrote to standard error, once it has ended as expected."""
    _, said = process.communicate(timeout=60)
    assert process.returncode == status, said
    return said


def told(directory: Path, rank: int = 0, job_id: str = "42") -> dict[str, Any]:
    """The file of a rank."""
    (file,) = directory.glob(f"{job_id}*.{rank}.json")
    found = json.loads(file.read_text())
    assert isinstance(found, dict)
    return found


def told_by(one: Reporter, directory: Path) -> dict[str, Any]:
    """What a reporter of rank 0 knows by now."""
    one._write()
    return told(directory)


def steps(directory: Path) -> int:
    """Steps that rank 0 has told; 0 before there is a file."""
    return int(told(directory)["step"] or 0) if any(directory.glob("*.json")) else 0


def until(met: Callable[[], bool]) -> None:
    """Wait for it; the time limit is for crowded machines."""
    deadline = time.monotonic() + 30
    while not met():
        assert time.monotonic() < deadline, "never happened"
        time.sleep(0.02)
