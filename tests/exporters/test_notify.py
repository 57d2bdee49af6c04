"""What a service manager hears, over the real kind of socket."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from exporters.runtime.notify import Notifier


@pytest.fixture(params=["path", "abstract"])
def manager(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[socket.socket, str]]:
    """A socket as systemd holds it, and its name in NOTIFY_SOCKET."""
    name = str(tmp_path / "notify") if request.param == "path" else f"@gigawatch-test-{os.getpid()}"
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    listening.bind(name.replace("@", "\0"))
    listening.settimeout(30)
    yield listening, name
    listening.close()


def test_ready_alive_and_stopping(manager: tuple[socket.socket, str]) -> None:
    listening, name = manager
    now = [100.0]
    told = Notifier({"NOTIFY_SOCKET": name, "WATCHDOG_USEC": "30000000"}, lambda: now[0])
    told.ready("listening on :9610")
    assert listening.recv(100) == b"READY=1\nSTATUS=listening on :9610"
    for _ in range(31):
        told.alive()
        now[0] += 1
    told.stopping()
    heard = []
    while not heard or heard[-1] != b"STOPPING=1":
        heard.append(listening.recv(100))
    assert heard == [b"WATCHDOG=1"] * 4 + [b"STOPPING=1"], "three times in each period, and not each second"


def test_no_watchdog_where_none_was_asked_for_or_another_is_meant(manager: tuple[socket.socket, str]) -> None:
    listening, name = manager
    for more in ({}, {"WATCHDOG_USEC": "x"}, {"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "1"}):
        told = Notifier({"NOTIFY_SOCKET": name, **more})
        told.alive()
        told.stopping()
        assert listening.recv(100) == b"STOPPING=1"
    told = Notifier({"NOTIFY_SOCKET": name, "WATCHDOG_USEC": "30000000", "WATCHDOG_PID": str(os.getpid())})
    told.alive()
    assert listening.recv(100) == b"WATCHDOG=1"


@pytest.mark.parametrize("name", ["", "/nowhere/at/all", "@nobody-listens-here", "relative", "vsock:2:1"])
def test_nobody_to_tell_is_no_error(name: str) -> None:
    told = Notifier({"NOTIFY_SOCKET": name, "WATCHDOG_USEC": "1000000"})
    told.ready()
    told.alive()
    told.stopping()
