"""The open connections of a server: how many there may be, and how long each may keep us waiting."""

from __future__ import annotations

import contextlib
import socket
import threading
import time


class Connections:
    """Bounds and deadlines; safe for several threads.

    A deadline is for the whole of what a connection does now (shaking hands, asking, being answered), not for
    one packet: a client that sends a byte now and then gains nothing by it.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._lock = threading.Lock()
        self._open: dict[int, tuple[socket.socket, float, float, bool]] = {}
        """By id: the socket, when its present step began, its deadline, whether we wait for the client."""
        self._closing = False

    def admit(self, connection: socket.socket, seconds: float) -> bool:
        """Take in a new connection; when full, the one that has kept us waiting longest has to go."""
        with self._lock:
            if self._closing:
                return False
            if len(self._open) >= self._most:
                waiting = [(began, key) for key, (_, began, _, idle) in self._open.items() if idle]
                if not waiting:
                    return False
                _shut(self._open.pop(min(waiting)[1])[0])
        self._set(connection, seconds, waiting=True)
        return True

    def wait(self, connection: socket.socket, seconds: float) -> None:
        """From now the client has that long."""
        self._set(connection, seconds, waiting=True)

    def work(self, connection: socket.socket, seconds: float) -> None:
        """From now we have that long, the client's reading included."""
        self._set(connection, seconds, waiting=False)

    def replace(self, old: socket.socket, new: socket.socket) -> None:
        """A connection goes on under another socket object, as after a TLS handshake."""
        with self._lock:
            entry = self._open.pop(id(old), None)
            if entry is not None:
                self._open[id(new)] = (new, *entry[1:])

    def forget(self, connection: socket.socket) -> None:
        with self._lock:
            self._open.pop(id(connection), None)

    def drop_overdue(self) -> None:
        """Break off what is past its deadline; its thread then ends by itself."""
        now = time.monotonic()
        with self._lock:
            for key in [key for key, entry in self._open.items() if entry[2] < now]:
                _shut(self._open.pop(key)[0])

    def close(self) -> None:
        """Break off everything that only waits, and admit nothing more."""
        with self._lock:
            self._closing = True
            for key in [key for key, entry in self._open.items() if entry[3]]:
                _shut(self._open.pop(key)[0])

    def __len__(self) -> int:
        with self._lock:
            return len(self._open)

    def _set(self, connection: socket.socket, seconds: float, waiting: bool) -> None:
        now = time.monotonic()
        with self._lock:
            if self._closing and waiting:
                _shut(connection)
            self._open[id(connection)] = (connection, now, now + seconds, waiting)


def _shut(connection: socket.socket) -> None:
    # Not close(): the thread that uses the socket must see the end, not a stranger's descriptor.
    with contextlib.suppress(OSError):
        socket.socket.shutdown(connection, socket.SHUT_RDWR)
