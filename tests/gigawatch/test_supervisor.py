"""The supervisor with real processes: what is killed comes back, and `down` leaves nothing."""

from __future__ import annotations

import os
import signal
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from gigawatch.errors import UserError
from gigawatch.local import procfs
from gigawatch.local.plan import Layout, Part, Plan, load_plan, read_json, save_plan
from gigawatch.local.start import down
from gigawatch.local.supervisor import answers, start_supervisor
from gigawatch.serving import free_port

SERVER = """
import sys, time, subprocess
from gigawatch.serving import App, serve
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
serve(App(), "127.0.0.1:" + sys.argv[1])
time.sleep(600)
"""


def until(condition: Callable[[], object], seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "did not come true in time"
        time.sleep(0.1)


@pytest.fixture
def layout(tmp_path: Path) -> Iterator[Layout]:
    layout = Layout(tmp_path / "state")
    ports = {"supervisor": free_port(21000)}
    ports["one"] = free_port(ports["supervisor"] + 1)
    ports["two"] = free_port(ports["one"] + 1)
    parts = tuple(
        Part(n, (sys.executable, "-c", SERVER, str(ports[n])), f"http://127.0.0.1:{ports[n]}/-/healthy", "")
        for n in ("one", "two")
    )
    save_plan(Plan("simulated", "x", 1, "s", 5.0, ports, parts), layout)
    start_supervisor(layout)
    yield layout
    down(layout, lambda _: None)


def pid_of(layout: Layout, name: str) -> int:
    record = read_json(layout.record(name))
    return int(record["pid"]) if record else 0


def healthy(layout: Layout, name: str) -> bool:
    plan = load_plan(layout)
    assert plan is not None
    return answers(plan.part(name).health)


def metrics(layout: Layout) -> str:
    plan = load_plan(layout)
    assert plan is not None
    try:
        with urllib.request.urlopen(
            f"http://127.0.0.1:{plan.ports['supervisor']}/metrics", timeout=5
        ) as answer:
            return str(answer.read().decode())
    except OSError:
        return ""


def test_parts_and_supervisor_come_back_and_down_leaves_nothing(layout: Layout) -> None:
    until(lambda: healthy(layout, "one") and healthy(layout, "two"))
    until(lambda: 'aif_process_up{process="two"} 1.0' in metrics(layout))

    first, other = pid_of(layout, "one"), pid_of(layout, "two")
    os.kill(first, signal.SIGKILL)
    until(lambda: pid_of(layout, "one") not in (0, first) and healthy(layout, "one"))
    until(lambda: 'aif_process_restarts_total{process="one"} 1.0' in metrics(layout))
    assert pid_of(layout, "two") == other, "a part that was well was touched"
    until(lambda: not procfs.in_sessions([first]))

    supervisor = pid_of(layout, "supervisor")
    until(lambda: pid_of(layout, "keeper") > 0)
    os.kill(supervisor, signal.SIGKILL)
    until(lambda: pid_of(layout, "supervisor") not in (0, supervisor))
    until(lambda: 'aif_process_up{process="two"} 1.0' in metrics(layout))
    assert pid_of(layout, "two") == other, "the new supervisor did not adopt what ran"
    assert 'aif_process_restarts_total{process="one"} 1.0' in metrics(layout)

    os.kill(other, signal.SIGSTOP)
    until(lambda: 'aif_process_up{process="two"} 0.0' in metrics(layout))
    sessions = [pid_of(layout, name) for name in ("one", "two", "keeper", "supervisor")]
    assert down(layout, lambda _: None) == 0
    assert procfs.in_sessions(sessions) == []
    assert not list(layout.run.glob("*.json"))


def test_down_where_nothing_ran(tmp_path: Path) -> None:
    said: list[str] = []
    assert down(Layout(tmp_path), said.append) == 0
    assert said == ["down"]


def test_a_broken_plan_is_one_line(tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    layout.plan.write_text("{}")
    with pytest.raises(UserError, match="is not the plan of a stack"):
        load_plan(layout)
    layout.plan.write_text("{")
    with pytest.raises(UserError, match="cannot be read"):
        load_plan(layout)


def test_a_pid_that_was_used_again_is_somebody_else() -> None:
    me = procfs.stat(os.getpid())
    assert me is not None
    assert procfs.alive(me.pid, me.started)
    assert not procfs.alive(me.pid, me.started + 1)
    assert procfs.stat(2**22 + 1) is None
