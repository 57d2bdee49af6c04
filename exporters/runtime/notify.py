"""Tells systemd how we are: sd_notify(3) for units of Type=notify, with WatchdogSec= where it is set."""

from __future__ import annotations

import contextlib
import os
import socket
import time
from collections.abc import Callable, Mapping


class Notifier:
    """Speaks to the service manager that started us; says nothing where there is none. Never raises.

    systemd's datagrams carry the sender's process id: with NotifyAccess=main they must come from the process
    that systemd started (an exec in between changes nothing).
    """

    def __init__(
        self, environment: Mapping[str, str] = os.environ, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._address = _address(environment.get("NOTIFY_SOCKET", ""))
        self._monotonic = monotonic
        self._every = _watchdog_seconds(environment) / 3 if self._address else 0.0
        self._due = 0.0

    def ready(self, status: str = "") -> None:
        """We answer requests now; `status` is what `systemctl status` shows."""
        self._send("READY=1", *([f"STATUS={status}"] if status else []))

    def stopping(self) -> None:
        """We were asked to end, and are about to."""
        self._send("STOPPING=1")

    def alive(self) -> None:
        """To be called with each piece of work: what is left undone for WatchdogSec gets us restarted."""
        if self._every and self._monotonic() >= self._due:
            self._due = self._monotonic() + self._every
            self._send("WATCHDOG=1")

    def _send(self, *lines: str) -> None:
        if not self._address:
            return
        # A manager that does not listen must not disturb the work.
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as out:
            out.setblocking(False)
            out.sendto("\n".join(lines).encode(), self._address)


def _address(text: str) -> str:
    """A path, or an abstract address with its leading NUL; empty for what is neither."""
    if text.startswith("@"):
        return f"\0{text[1:]}"
    return text if text.startswith("/") else ""


def _watchdog_seconds(environment: Mapping[str, str]) -> float:
    """How long systemd waits for a sign of life; 0 where it does not."""
    wanted, pid = environment.get("WATCHDOG_USEC", ""), environment.get("WATCHDOG_PID", "")
    if not wanted.isdecimal() or (pid and pid != str(os.getpid())):
        return 0.0
    return int(wanted) / 1e6
