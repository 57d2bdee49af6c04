"""A real Slurm: a controller and two nodes on this host, each with four GPUs that are plain files.

Everything lies in one directory and listens on 127.0.0.1 at ports of its own, without systemd or cgroups.
Needs root, as slurmd does.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

NODES = ("n1", "n2")
GPUS = 4
_CONFIGURATION = """
ClusterName=gwtest
SlurmctldHost={host}(127.0.0.1)
SlurmUser=root
SlurmdUser=root
AuthType=auth/none
CredType=cred/none
SlurmctldPort={ctld}
StateSaveLocation={home}/state
SlurmdSpoolDir={home}/spool-%n
SlurmctldPidFile={home}/slurmctld.pid
SlurmdPidFile={home}/slurmd-%n.pid
SlurmctldLogFile={home}/slurmctld.log
SlurmdLogFile={home}/slurmd-%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SwitchType=switch/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SchedulerType=sched/backfill
SchedulerParameters=sched_interval=1,bf_interval=1
GresTypes=gpu
SlurmdParameters=config_overrides
ReturnToService=2
MinJobAge=2
KillWait=1
CompleteWait=0
MailProg=/bin/true
PartitionName=train Nodes=ALL Default=YES State=UP MaxTime=INFINITE
"""
_NODE = (
    "NodeName={node} NodeHostname={host} NodeAddr=127.0.0.1 Port={port} CPUs=8 RealMemory=2000 "
    "Gres=gpu:h200:{gpus}\n"
)


class SlurmCluster:
    """Starts and stops it, and runs its commands."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self._daemons: list[subprocess.Popen[bytes]] = []

    @staticmethod
    def lacks() -> str:
        """Why it cannot run here; empty where it can."""
        missing = [name for name in ("slurmctld", "slurmd", "squeue", "sbatch") if shutil.which(name) is None]
        if missing:
            return f"{', '.join(missing)} not installed (apt-get install slurm-wlm)"
        return "" if os.geteuid() == 0 else "slurmd runs as root only"

    @property
    def environment(self) -> dict[str, str]:
        """What its commands need to find it."""
        return {**os.environ, "SLURM_CONF": str(self.home / "slurm.conf")}

    def start(self) -> None:
        """Returns once the nodes take jobs."""
        for name in ("state", "gpu", *(f"spool-{node}" for node in NODES)):
            (self.home / name).mkdir()
        for number in range(GPUS):
            (self.home / "gpu" / f"nvidia{number}").touch()
        (self.home / "gres.conf").write_text(
            f"Name=gpu Type=h200 File={self.home}/gpu/nvidia[0-{GPUS - 1}]\n"
        )
        host = socket.gethostname().partition(".")[0]
        controller, *ports = _free_ports(1 + len(NODES))
        text = _CONFIGURATION.format(host=host, home=self.home, ctld=controller)
        for node, port in zip(NODES, ports, strict=True):
            text += _NODE.format(node=node, host=host, port=port, gpus=GPUS)
        (self.home / "slurm.conf").write_text(text)
        self._run_daemon("slurmctld")
        for node in NODES:
            self._run_daemon("slurmd", "-N", node)
        self.until(lambda: self.run("sinfo", "-h", "-o", "%D %T") == f"{len(NODES)} idle", "idle nodes")

    def _run_daemon(self, program: str, *options: str) -> None:
        with (self.home / f"{'-'.join((program, *options))}.out").open("wb") as log:
            daemon = subprocess.Popen(
                [program, "-D", *options, "-f", self.home / "slurm.conf"],
                env=self.environment,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self._daemons.append(daemon)

    @contextmanager
    def silent_controller(self) -> Iterator[None]:
        """Meanwhile the controller takes questions and answers none."""
        self._daemons[0].send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self._daemons[0].send_signal(signal.SIGCONT)

    def stop(self) -> None:
        """Ends jobs and daemons."""
        with suppress(AssertionError):
            self.cancel_all()
        while self._daemons:
            self._end(self._daemons.pop())

    @staticmethod
    def _end(daemon: subprocess.Popen[bytes]) -> None:
        daemon.send_signal(signal.SIGTERM)
        try:
            daemon.wait(15)
        except subprocess.TimeoutExpired:
            os.killpg(daemon.pid, signal.SIGKILL)
            daemon.wait()

    def run(self, *command: str) -> str:
        """Output of one of its commands; empty where it failed."""
        done = subprocess.run(command, env=self.environment, capture_output=True, text=True, timeout=30)
        return done.stdout.strip() if done.returncode == 0 else ""

    def submit(self, *options: str, script: str = "sleep 600") -> str:
        """Number of a new job, once it runs."""
        command = ("sbatch", "--parsable", "--chdir=/", "--output=/dev/null", "--export=PATH")
        answer = self.run(*command, *options, f"--wrap={script}")
        job = answer.partition(";")[0]
        assert job, f"sbatch {options} failed\n{self.log()}"
        self.until(lambda: self.state(job) == "RUNNING", f"job {job} to run")
        return job

    def cancel(self, job: str) -> None:
        """Ends a job, and returns once it has let go of its GPUs."""
        self.run("scancel", job)
        self.until(lambda: self.state(job) in ("", "CANCELLED"), f"job {job} to end")

    def cancel_all(self) -> None:
        """Ends every job."""
        self.run("scancel", "--user=root")
        self.until(lambda: not self.run("squeue", "-h"), "end of all jobs")

    def state(self, job: str) -> str:
        """State of a job; empty once Slurm has forgotten it."""
        return self.run("squeue", "-h", "-t", "all", "-o", "%T", "-j", job)

    def jobs(self) -> list[dict[str, Any]]:
        """All jobs, as squeue's JSON tells of them."""
        found: list[dict[str, Any]] = json.loads(self.run("squeue", "--json"))["jobs"]
        return found

    def until(self, true: Callable[[], bool], what: str) -> None:
        """Wait for something, for a minute at most."""
        deadline = time.monotonic() + 60
        while not true():
            assert time.monotonic() < deadline, f"no {what}\n{self.log()}"
            time.sleep(0.2)

    def log(self) -> str:
        """What its daemons said last."""
        files = [*sorted(self.home.glob("*.log")), *sorted(self.home.glob("*.out"))]
        tails = ((file.name, file.read_text(errors="replace").splitlines()[-15:]) for file in files)
        return "\n".join("\n".join((f"--- {name}", *lines)) for name, lines in tails)


def _free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports
