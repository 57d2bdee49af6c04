"""Ports of what works on GPUs: real processes that listen, and trees of /proc as containers have them."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exporters.jobs.families import process_of
from exporters.jobs.identity import GpuIdentity, MigIdentity
from exporters.jobs.ports import GpuPortSource, listening
from gigawatch.catalogue import workload

GPUS = tuple(
    GpuIdentity(str(n), f"GPU-{n}", str(n), mig=(MigIdentity("1", "0", f"MIG-{n}"),) if n == 3 else ())
    for n in range(4)
)
_PROGRAM = """
import os, socket, subprocess, sys, time
def listen(family=socket.AF_INET, host="127.0.0.1"):
    one = socket.socket(family)
    one.bind((host, 0)); one.listen()
    return one
kind, *rest = sys.argv[1:]
held = [listen()] if "listen" in kind.split("+") else []
held += [listen(socket.AF_INET6, "::1")] if "listen6" in kind.split("+") else []
words = [os.getpid(), *(one.getsockname()[1] for one in held)]
os.write(1, (" ".join(map(str, words)) + "\\n").encode())  # in one piece: others write there as well
for child in rest:
    subprocess.Popen([sys.executable, "-c", os.environ["PROGRAM"], *child.split(">")],
                     start_new_session="session" in child.split(">")[0].split("+"))
time.sleep(600)
"""


class Started:
    """A tree of processes; for each, in the order of its words, number and ports."""

    def __init__(self, *words: str, count: int, command: Collection[str] = ()) -> None:
        self.process = subprocess.Popen(
            [*command, sys.executable, "-c", _PROGRAM, *words],
            env={**os.environ, "PROGRAM": _PROGRAM},
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        assert self.process.stdout is not None
        lines = [self.process.stdout.readline().split() for _ in range(count)]
        self.members = {int(line[0]): [int(word) for word in line[1:]] for line in lines}
        self.first = next(iter(self.members))
        self.last = list(self.members)[-1]

    def ports(self) -> set[int]:
        return {port for ports in self.members.values() for port in ports}

    def stop(self) -> None:
        """Ends them all, those too that have a session of their own."""
        if self.process.poll() is None:
            for pid in self.members:
                os.kill(pid, signal.SIGKILL)
            self.process.wait()
            assert self.process.stdout is not None
            self.process.stdout.close()


@pytest.fixture
def trees() -> Iterator[list[Started]]:
    started: list[Started] = []
    yield started
    for one in started:
        one.stop()


def source(processes: Mapping[int, Collection[str]], root: Path = Path("/")) -> GpuPortSource:
    return GpuPortSource(30.0, lambda: GPUS, lambda: processes, root)


def told(source: GpuPortSource) -> dict[str, set[int]]:
    """Ports by UUID."""
    found: dict[str, set[int]] = {}
    for reading in source.read():
        assert reading.metric is workload.GPU_PORT_INFO
        assert reading.value == 1
        gpu, uuid, port = reading.labels
        assert uuid == f"GPU-{gpu}"
        found.setdefault(uuid, set()).add(int(port))
    return found


# Real processes


def test_a_server_whose_child_works_on_the_gpus(trees: list[Started]) -> None:
    """As vLLM and SGLang do: the parent answers, grandchildren hold the GPUs."""
    trees.append(Started("listen", "quiet>quiet", count=3))
    engine = trees[0]
    assert told(source({engine.last: ["GPU-0", "GPU-1"]})) == {
        "GPU-0": engine.ports(),
        "GPU-1": engine.ports(),
    }
    assert len(engine.ports()) == 1


def test_a_launcher_with_a_router_beside_the_workers(trees: list[Started]) -> None:
    """Over both versions of IP."""
    trees.append(Started("quiet", "listen+listen6", "quiet", count=3))
    engine = trees[0]
    (ports,) = (
        told(source({pid: ["GPU-2"]}))
        for pid, own in engine.members.items()
        if not own and pid != engine.first
    )
    assert ports == {"GPU-2": engine.ports()}
    assert len(engine.ports()) == 2


def test_two_engines_started_from_one_shell_are_told_apart(trees: list[Started]) -> None:
    script = 'PYTHON="$1"; "$PYTHON" -c "$PROGRAM" listen quiet & "$PYTHON" -c "$PROGRAM" listen quiet & wait'
    trees.append(Started("listen", count=1))  # of no GPU
    shell = subprocess.Popen(
        ["sh", "-c", script, "sh", sys.executable],
        env={**os.environ, "PROGRAM": _PROGRAM}, stdout=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip
    try:
        assert shell.stdout is not None
        lines = [[int(word) for word in shell.stdout.readline().split()] for _ in range(4)]
        servers = {line[0]: line[1] for line in lines if len(line) == 2}
        workers = {line[0]: parent(line[0]) for line in lines if len(line) == 1}
        (a, under_a), (b, under_b) = workers.items()
        found = told(source({a: ["GPU-0"], b: ["GPU-1"]}))
        assert found == {"GPU-0": {servers[under_a]}, "GPU-1": {servers[under_b]}}
        shell.stdout.close()
    finally:
        os.killpg(shell.pid, signal.SIGKILL)
        shell.wait()


def parent(pid: int) -> int:
    found = process_of(Path(f"/proc/{pid}/stat").read_bytes())
    assert found is not None
    return found.parent


def test_a_session_of_its_own_is_a_service_of_its_own(trees: list[Started]) -> None:
    """As Jupyter's kernels: the server's port is no port of the GPU."""
    trees.append(Started("listen", "listen+session", count=2))
    server = trees[0]
    assert told(source({server.last: ["GPU-0"]})) == {"GPU-0": set(server.members[server.last])}


def test_a_part_of_a_gpu_counts_as_the_gpu_and_strangers_count_for_none(trees: list[Started]) -> None:
    trees.append(Started("listen", count=1))
    pid = trees[0].first
    assert told(source({pid: ["MIG-3", "GPU-unheard-of"], 2**22 + 1: ["GPU-0"]})) == {
        "GPU-3": trees[0].ports()
    }
    assert told(source({})) == {}


def test_ports_come_and_go(trees: list[Started]) -> None:
    """This process works on a GPU, and opens and closes its sockets from one reading to the next."""
    used = {os.getpid(): ["GPU-0"]}
    one = source(used)
    before = told(one).get("GPU-0", set())
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert port in told(one)["GPU-0"] - before
        assert port in told(one)["GPU-0"]  # from what was kept
    assert port not in told(one).get("GPU-0", set())
    trees.append(Started("listen", count=1))
    used.clear()
    used[trees[0].first] = ["GPU-1"]
    assert told(one) == {"GPU-1": trees[0].ports()}
    trees[0].stop()
    assert told(one) == {}


_UNSHARE_WORKS = subprocess.run(["unshare", "--net", "true"], capture_output=True).returncode == 0


@pytest.mark.skipif(not _UNSHARE_WORKS, reason="no right to make network namespaces here")
def test_a_process_in_a_network_of_its_own(trees: list[Started]) -> None:
    """A container with a network of its own, where ::1 need not be up; its socket is in no table of ours."""
    program = _PROGRAM.replace('"127.0.0.1"', '"0.0.0.0"')
    shell = ["unshare", "--net", "env", f"PROGRAM={program}"]
    started = subprocess.Popen(
        [*shell, sys.executable, "-c", program, "listen", "quiet"],
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,  # else it is of one family with whoever runs the tests
    )
    try:
        assert started.stdout is not None
        lines = [[int(word) for word in started.stdout.readline().split()] for _ in range(2)]
        (port,) = (line[1] for line in lines if len(line) == 2)
        (worker,) = (line[0] for line in lines if len(line) == 1)
        assert port not in listening(Path("/proc/self/net/tcp").read_bytes().splitlines()).values()
        assert told(source({worker: ["GPU-0"]})) == {"GPU-0": {port}}
        started.stdout.close()
    finally:
        for line in lines:
            os.kill(line[0], signal.SIGKILL)
        started.kill()
        started.wait()


_AS_NOBODY = """
import os, sys
from exporters.jobs.identity import GpuIdentity
from exporters.jobs.ports import GpuPortSource
from exporters.runtime.source import SourceError
def ask():
    one = GpuPortSource(30.0, lambda: [GpuIdentity("0", "GPU-0")], lambda: {int(sys.argv[1]): ["GPU-0"]})
    print(one.present)
    for _ in range(2):
        try:
            print(*(reading.labels[-1] for reading in one.read()))
        except SourceError as error:
            print(error.kind, error)
ask()
os.setgroups([]), os.setgid(65534), os.setuid(65534)
ask()
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to become somebody else")
def test_without_the_rights_it_says_which(trees: list[Started]) -> None:
    """Asked of a process of root, by root and then by somebody without capabilities."""
    trees.append(Started("listen", count=1))
    pid = trees[0].first
    command = [sys.executable, "-c", _AS_NOBODY, str(pid)]
    asked = subprocess.run(command, cwd=Path(__file__).parents[2], capture_output=True, text=True)
    refusal = f"permission /proc/{pid}/fd: cannot be read; needs CAP_SYS_PTRACE and CAP_DAC_READ_SEARCH"
    (port,) = trees[0].ports()
    assert asked.stdout.splitlines() == [
        "True", str(port), str(port), "False", refusal, refusal,
    ], asked.stderr  # fmt: skip


# Trees of /proc


class Tree:
    """A /proc with processes of our own making."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.add(1, 0, 1, "systemd", "/init.scope")

    def add(
        self,
        pid: int,
        parent: int,
        session: int,
        name: str,
        cgroup: str,
        ports: Collection[int] = (),
        net: int = 1,
    ) -> None:
        """Sockets of a process have numbers made of its own and the port."""
        home = self.root / "proc" / str(pid)
        (home / "fd").mkdir(parents=True)
        (home / "ns").mkdir()
        (home / "stat").write_text(
            f"{pid} ({name}) S {parent} {pid} {session} 0 -1 " + "0 " * 15 + f"{pid * 7} 0\n"
        )
        (home / "cgroup").write_text(f"0::{cgroup}\n")
        (home / "ns" / "net").symlink_to(f"net:[{net}]")
        networks = self.root / "networks" / str(net)
        networks.mkdir(parents=True, exist_ok=True)
        (home / "net").symlink_to(networks)
        for number, port in enumerate(ports):
            inode = pid * 100_000 + port
            (home / "fd" / str(number)).symlink_to(f"socket:[{inode}]")
            with (networks / "tcp").open("a") as file:
                address = f"00000000:{port:04X} 00000000:0000 0A 00000000:00000000 00:00000000 00000000"
                file.write(f"   {number}: {address}  1000        0 {inode} 1 0000000000000000 100 0 0 10 0\n")

    def told(self, processes: Mapping[int, Collection[str]]) -> dict[str, set[int]]:
        return told(source(processes, self.root))


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    return Tree(tmp_path)


def test_a_container_ends_where_its_shim_begins(tree: Tree) -> None:
    pod = "/kubepods.slice/pod1/cri-containerd-aa.scope"
    tree.add(10, 1, 10, "containerd-shim", "/system.slice/containerd.service", [9000])
    tree.add(11, 10, 11, "python3", pod, [8000], net=5)
    tree.add(12, 11, 11, "VLLM::EngineCor", pod, net=5)
    tree.add(20, 10, 20, "sidecar", "/kubepods.slice/pod1/cri-containerd-bb.scope", [9901], net=5)
    assert tree.told({12: ["GPU-0"]}) == {"GPU-0": {8000}}


def test_a_service_whose_frontend_is_a_sister_started_by_a_shell(tree: Tree) -> None:
    """Only where the cgroup is a service of its own; what is listened to in the tree itself counts first."""
    unit = "/system.slice/engine.service"
    tree.add(10, 1, 10, "bash", unit)
    tree.add(11, 10, 10, "frontend", unit, [8000])
    tree.add(12, 10, 10, "worker", unit)
    assert tree.told({12: ["GPU-0"]}) == {"GPU-0": {8000}}
    session = "/user.slice/user-1000.slice/session-4.scope"
    tree.add(20, 1, 20, "bash", session)
    tree.add(21, 20, 20, "webserver", session, [8080])
    tree.add(22, 20, 20, "train.py", session)
    tree.add(31, 1, 31, "worker) S (x", session, [7000])
    assert tree.told({22: ["GPU-1"], 31: ["GPU-2"]}) == {"GPU-2": {7000}}


def test_a_number_that_means_two_things(tree: Tree) -> None:
    """Two containers with 8000 each: nobody outside can tell which is meant, unless the host has it too."""
    for number, net in ((2, 5), (3, 6)):
        tree.add(number * 10, 1, number * 10, "python3", f"/docker/{number}", [8000, 8000 + number], net=net)
    assert tree.told({20: ["GPU-0"], 30: ["GPU-1"]}) == {"GPU-0": {8002}, "GPU-1": {8003}}
    tree.add(40, 1, 40, "python3", "/system.slice/e.service", [8000])
    assert tree.told({20: ["GPU-0"], 30: ["GPU-1"], 40: ["GPU-2"]}) == {
        "GPU-0": {8002}, "GPU-1": {8003}, "GPU-2": {8000},
    }  # fmt: skip


def test_of_many_ports_those_that_were_chosen_come_first(tree: Tree) -> None:
    tree.add(10, 1, 10, "python3", "/docker/a", [*range(40000, 40040), 8000, 61000])
    assert tree.told({10: ["GPU-0"]}) == {"GPU-0": {8000, 61000, *range(40000, 40014)}}


def test_a_ring_of_parents_ends(tree: Tree) -> None:
    """A number may be used anew while the table is read."""
    tree.add(10, 11, 10, "a", "/docker/a", [8000])
    tree.add(11, 10, 10, "b", "/docker/a")
    assert tree.told({10: ["GPU-0"]}) == {"GPU-0": {8000}}


@settings(max_examples=200)
@given(st.binary(max_size=300))
def test_whatever_a_line_of_the_process_table_is(line: bytes) -> None:
    found = process_of(line)
    assert found is None or isinstance(found.parent, int)


_ROW = st.from_regex(
    rb"\A *[0-9]{1,3}: [0-9A-F]{8}(:[0-9A-F]{4}){1,2} [0-9A-F:]{13} 0A( [0-9A-Fa-f:-]{0,30}){0,12}\Z"
)


@settings(max_examples=300)
@given(st.lists(st.binary(max_size=100) | _ROW, max_size=6))
def test_whatever_a_table_of_sockets_is(lines: list[bytes]) -> None:
    for inode, port in listening(lines).items():
        assert inode >= 0
        assert 0 < port < 65536


def test_no_process_is_asked_again_while_the_same_sockets_listen(tree: Tree) -> None:
    """Asked anew as soon as another one does."""
    tree.add(10, 1, 10, "python3", "/docker/a", [8000], net=5)
    one = source({10: ["GPU-0"]}, tree.root)
    assert told(one) == {"GPU-0": {8000}}
    files = tree.root / "proc" / "10" / "fd"
    (files / "0").unlink()
    assert told(one) == {"GPU-0": {8000}}
    tree.add(11, 10, 10, "python3", "/docker/a", [8001], net=5)
    assert told(one) == {"GPU-0": {8001}}
