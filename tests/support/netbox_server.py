"""A real NetBox with PostgreSQL and Redis of its own, on free ports of this machine.

`python tests/support/netbox_server.py HOME` prepares HOME (made by `scripts/setup-netbox`): it lets NetBox
make its database, which takes minutes, and keeps a dump. `NetBox(HOME)` starts from that dump within seconds.
"""

from __future__ import annotations

import json
import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

PASSWORD = "gigawatch-test"
_CONFIGURATION = """\
ALLOWED_HOSTS = ["*"]
DATABASES = {{"default": {{"NAME": "netbox", "USER": "netbox", "PASSWORD": "", "HOST": "127.0.0.1",
                          "PORT": {database}, "CONN_MAX_AGE": 300}}}}
_redis = {{"HOST": "127.0.0.1", "PORT": {redis}, "PASSWORD": "", "SSL": False}}
REDIS = {{"tasks": {{**_redis, "DATABASE": 0}}, "caching": {{**_redis, "DATABASE": 1}}}}
SECRET_KEY = "{filler}"
API_TOKEN_PEPPERS = {{1: "{filler}"}}
CENSUS_REPORTING_ENABLED = False
"""
_TOKENS = """
import json
from users.models import Token, User
user = User.objects.create_superuser("admin", "", "%s")
first = Token(user=user, version=1); first.save()
second = Token(user=user, version=2); second.save()
reader = User.objects.create_user("nobody", "", "%s")
powerless = Token(user=reader, version=1); powerless.save()
made = {"v1": first.token, "v2": f"nbt_{second.key}.{second.token}", "powerless": powerless.token}
print("TOKENS " + json.dumps(made))
"""


class NetBox:
    """One NetBox. `url` is where it answers; `tokens` has `v1`, `v2`, and `powerless` without rights."""

    def __init__(self, home: Path, *, fresh: bool = False) -> None:
        self.home, self._venv = home.resolve(), home.resolve() / "venv"
        self._folder = Path(tempfile.mkdtemp(prefix="netbox-"))
        self._folder.chmod(0o755)
        self._stops: list[Callable[[], None]] = []
        self._owner = pwd.getpwnam("postgres").pw_uid if os.getuid() == 0 else os.getuid()
        self.tokens: dict[str, str] = {}
        self.url = ""
        self.ids: dict[str, int] = {}
        """Of what was made in it, by name."""
        self._web: subprocess.Popen[bytes] | None = None
        try:
            self._database = self._postgres()
            self._write_configuration(self._redis())
            if fresh:
                self.manage("migrate", "--no-input")
            else:
                self._pg("pg_restore", "--no-owner", "-d", "netbox", str(self.home / "netbox.dump"))
        except BaseException:
            self.stop()
            raise

    def dump(self, path: Path) -> None:
        """The database as it is now."""
        self._pg("pg_dump", "-Fc", "-f", str(path), "netbox")

    def serve(self) -> None:
        """Make the tokens and answer HTTP."""
        script = _TOKENS % (PASSWORD, PASSWORD)
        said = self.manage("shell", script=script)
        line = next(line for line in said.splitlines() if line.startswith("TOKENS "))
        self.tokens = json.loads(line.removeprefix("TOKENS "))
        port = _free_port()
        self._web = self._run(
            "gunicorn",
            [
                str(self._venv / "bin" / "gunicorn"),
                "--bind",
                f"127.0.0.1:{port}",
                "--workers",
                "2",
                "--threads",
                "3",
                "--timeout",
                "120",
                "netbox.wsgi",
            ],
            self._environment(),
        )
        self.url = f"http://127.0.0.1:{port}"
        _until(lambda: self.call("GET", "/api/status/") is not None, 120, self._folder / "gunicorn.log")

    def pause(self) -> None:
        """Let it hang: connections are taken, and nobody answers."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        self._signal(signal.SIGCONT)

    def _signal(self, number: signal.Signals) -> None:
        import psutil

        if self._web is not None:
            master = psutil.Process(self._web.pid)
            for process in (master, *master.children(recursive=True)):
                process.send_signal(number)

    def call(self, method: str, path: str, body: object = None) -> Any:
        """One request of the administrator; JSON both ways. Raises OSError."""
        request = urllib.request.Request(
            self.url + path,
            None if body is None else json.dumps(body).encode(),
            {"Authorization": f"Token {self.tokens['v1']}", "Content-Type": "application/json"},
            method=method,
        )
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                text = answer.read()
        except urllib.error.HTTPError as error:
            raise OSError(f"{method} {path}: {error.code} {error.read()[:500]!r}") from None
        return json.loads(text) if text else {}

    def manage(self, *arguments: str, script: str | None = None) -> str:
        """Run NetBox's own command line."""
        done = subprocess.run(
            [str(self._venv / "bin" / "netbox"), *arguments], env=self._environment(), input=script,
            capture_output=True, text=True, cwd=self._folder, timeout=3600,
        )  # fmt: skip
        if done.returncode:
            raise RuntimeError(f"netbox {arguments[0]}: {done.stderr[-2000:]}{done.stdout[-500:]}")
        return done.stdout

    def stop(self) -> None:
        """End everything that was started."""
        for stop in reversed(self._stops):
            stop()
        self._stops.clear()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _environment(self) -> dict[str, str]:
        return {**os.environ, "NETBOX_ROOT": str(self._folder), "PYTHONDONTWRITEBYTECODE": "1"}

    def _write_configuration(self, redis: int) -> None:
        folder = self._folder / "conf"
        folder.mkdir()
        (folder / "__init__.py").touch()
        text = _CONFIGURATION.format(database=self._database, redis=redis, filler="gigawatch-" * 6)
        (folder / "configuration.py").write_text(text)

    def _postgres(self) -> int:
        data, port = self._folder / "pg", _free_port()
        data.mkdir()
        os.chown(data, self._owner, -1)
        _quiet([*self._as_owner(), _program("initdb"), "-D", str(data), "-A", "trust", "--no-sync", "-E",
                "UTF8", "--locale=C.UTF-8", "-U", "postgres"])  # fmt: skip
        self._run(
            "postgres",
            [_program("postgres"), "-D", str(data), "-p", str(port), "-c", "listen_addresses=127.0.0.1",
             "-c", "unix_socket_directories=", "-c", "fsync=off", "-c", "full_page_writes=off"],
            dict(os.environ), self._owner, signal.SIGINT,
        )  # fmt: skip
        self._database = port
        _until(lambda: self._pg("psql", "-c", "select 1", "postgres"), 60, self._folder / "postgres.log")
        self._pg("psql", "-c", "create role netbox login superuser", "postgres")
        self._pg("psql", "-c", "create database netbox owner netbox", "postgres")
        return port

    def _redis(self) -> int:
        port = _free_port()
        self._run(
            "redis",
            [_program("redis-server"), "--port", str(port), "--bind", "127.0.0.1", "--save", ""],
            dict(os.environ),
        )
        _until(lambda: _connects(port), 30, self._folder / "redis.log")
        return port

    def _pg(self, program: str, *arguments: str) -> bool:
        user = "netbox" if program != "psql" else "postgres"
        _quiet([_program(program), "-h", "127.0.0.1", "-p", str(self._database), "-U", user, *arguments])
        return True

    def _as_owner(self) -> list[str]:
        return ["runuser", "-u", "postgres", "--"] if os.getuid() == 0 else []

    def _run(
        self, name: str, command: list[str], environment: dict[str, str], user: int | None = None,
        ends: signal.Signals = signal.SIGTERM,
    ) -> subprocess.Popen[bytes]:  # fmt: skip
        with (self._folder / f"{name}.log").open("wb") as log:
            other = user if os.getuid() == 0 else None
            process = subprocess.Popen(
                command, env=environment, cwd="/" if other else self._folder, user=other, stdout=log,
                stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL,
            )  # fmt: skip

        def stop() -> None:
            process.send_signal(ends)
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

        self._stops.append(stop)
        return process


def _program(name: str) -> str:
    folders = [os.environ.get("PATH", ""), *map(str, sorted(Path("/usr/lib/postgresql").glob("*/bin")))]
    found = shutil.which(name, path=os.pathsep.join(folders))
    if not found:
        raise RuntimeError(f"{name} is not installed")
    return found


def _quiet(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, cwd="/", timeout=600)
    if done.returncode:
        raise OSError(f"{' '.join(command)}: {done.stderr[-1000:]}")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _connects(port: int) -> bool:
    with socket.create_connection(("127.0.0.1", port), 1):
        return True


def _until(ready: Callable[[], bool], seconds: float, log: Path) -> None:
    end = time.monotonic() + seconds
    while True:
        try:
            if ready():
                return
        except OSError as error:
            last = error
        if time.monotonic() > end:
            raise RuntimeError(f"not ready within {seconds} s: {last}; {log.read_text()[-2000:]}")
        time.sleep(0.1)


if __name__ == "__main__":
    target = Path(sys.argv[1]).resolve()
    box = NetBox(target, fresh=True)
    try:
        box.dump(target / "netbox.dump")
    finally:
        box.stop()
