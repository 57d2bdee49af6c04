"""A real mosquitto, and a building management that publishes to it."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import paho.mqtt.client as paho
import pytest

GOOD = 1


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


class Mosquitto:
    """A broker of its own; with `users` (name to password) nobody else gets in."""

    def __init__(self, home: Path, users: dict[str, str] | None = None, extra: str = "") -> None:
        if shutil.which("mosquitto") is None:
            pytest.skip("mosquitto is not installed")
        home.mkdir(parents=True, exist_ok=True)
        self.port = free_port()
        self.log = home / "log"
        self._config = home / "mosquitto.conf"
        lines = [f"listener {self.port} 127.0.0.1", "log_dest stderr", "log_type all", extra]
        if users:
            known = home / "users"
            known.write_text("".join(f"{name}:{password}\n" for name, password in users.items()))
            known.chmod(0o600)
            subprocess.run(["mosquitto_passwd", "-U", known], check=True, capture_output=True)
            lines += ["allow_anonymous false", f"password_file {known}", "user root"]
        else:
            lines.append("allow_anonymous true")
        self._config.write_text("\n".join(lines) + "\n")
        self._process: subprocess.Popen[bytes] | None = None
        self.start()

    @property
    def address(self) -> str:
        return f"mqtt://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Returns once it listens."""
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(["mosquitto", "-c", self._config], stdout=log, stderr=log)
        until = time.monotonic() + 15
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                return
            except OSError:
                assert time.monotonic() < until, self.log.read_text()
                assert self._process.poll() is None, self.log.read_text()
                time.sleep(0.01)

    def kill(self) -> None:
        """At once, without a good bye."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(15)
            self._process = None

    def publishers(self) -> set[str]:
        """Names of all clients that ever published something, by the broker's own account."""
        lines = self.log.read_text().splitlines()
        return {
            line.split("Received PUBLISH from ", 1)[1].split(" ", 1)[0]
            for line in lines
            if "Received PUBLISH" in line
        }

    def clients(self) -> list[str]:
        """Names of all clients that ever connected, with what they are."""
        lines = self.log.read_text().splitlines()
        return [line.split(" as ", 1)[1].split(" ", 1)[0] for line in lines if "New client connected" in line]


class Bms:
    """Publishes points as a building management does."""

    def __init__(self, broker: Mosquitto, user: str = "", password: str = "") -> None:
        self._client = paho.Client(paho.CallbackAPIVersion.VERSION2, client_id="bms")
        if user:
            self._client.username_pw_set(user, password)
        self._client.connect("127.0.0.1", broker.port)
        self._client.loop_start()

    def send(self, topic: str, payload: bytes | str, retain: bool = False) -> None:
        """Returns once the broker has it."""
        self._client.publish(topic, payload, qos=1, retain=retain).wait_for_publish(15)

    def describe(self, point: str, **meta: Any) -> None:
        """Metadata of `{objectType}/{pointType}/{tagPath}`."""
        object_type, point_type, _ = point.split("/", 2)
        told = {"objectType": object_type, "pointType": point_type, **meta}
        self.send(f"BMS/v1/PUB/Metadata/{point}", json.dumps(told), retain=True)

    def describe_many(self, points: Iterable[str]) -> None:
        """Flows in LPM, all at once."""
        for point in points:
            self._client.publish(f"BMS/v1/PUB/Metadata/{point}", b'{"engUnit": "LPM"}', retain=True)
        self.send("done", b"")

    def forget_many(self, points: Iterable[str]) -> None:
        """They are no more."""
        for point in points:
            self._client.publish(f"BMS/v1/PUB/Metadata/{point}", b"", retain=True)
        self.send("done", b"")

    def forget(self, point: str) -> None:
        """The point is no more."""
        self.send(f"BMS/v1/PUB/Metadata/{point}", b"", retain=True)

    def say(
        self,
        point: str,
        value: float | None,
        *,
        quality: Any = GOOD,
        age: float = 0.0,
        publisher: str = "PUB",
    ) -> None:
        """A value of a point."""
        told = {"value": value, "timestamp": int((time.time() - age) * 1000), "quality": quality}
        self.send(f"BMS/v1/{publisher}/Value/{point}", json.dumps(told))

    def stop(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()
