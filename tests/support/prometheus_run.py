"""A real Prometheus for a test: started on a free port, asked over its API, stopped."""

from __future__ import annotations

import json
import socket
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path
from types import TracebackType
from typing import Any, Self

Sample = tuple[dict[str, str], float]


def free_port() -> int:
    """A port that nobody listens at."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Prometheus:
    """Runs on `prometheus.yml` of a folder while the `with` block lasts."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._port = free_port()

    def __enter__(self) -> Self:
        self._log = (self._folder / "prometheus.log").open("w")
        self._process = subprocess.Popen(
            [
                "prometheus",
                f"--config.file={self._folder / 'prometheus.yml'}",
                f"--storage.tsdb.path={self._folder / 'data'}",
                f"--web.listen-address=127.0.0.1:{self._port}",
            ],
            stdout=self._log,
            stderr=self._log,
        )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.terminate()
        self._process.wait(20)
        self._log.close()

    @property
    def url(self) -> str:
        """Where its API is."""
        return f"http://127.0.0.1:{self._port}"

    def query(self, expression: str) -> list[Sample]:
        """Labels and value of each series of an instant vector."""
        text = urllib.parse.urlencode({"query": expression})
        address = f"{self.url}/api/v1/query?{text}"
        try:
            with urllib.request.urlopen(address, timeout=20) as answer:
                rows: list[Any] = json.load(answer)["data"]["result"]
        except urllib.error.HTTPError as refused:
            if refused.code == 503:  # it starts
                raise ConnectionError from None
            raise AssertionError(f"{expression}: {refused.read().decode()}") from None
        return [(dict(row["metric"]), float(row["value"][1])) for row in rows]

    def value(self, expression: str) -> float:
        """The value of an expression that gives exactly one series."""
        found = self.query(expression)
        assert len(found) == 1, f"{expression} gives {len(found)} series: {found[:5]}"
        return found[0][1]

    def until(self, expression: str, seconds: float) -> list[Sample]:
        """What the expression gives once it gives something."""
        deadline = time.monotonic() + seconds
        while True:
            try:
                found = self.query(expression)
            except OSError:  # not up yet
                found = []
            if found:
                return found
            if time.monotonic() > deadline:
                log = (self._folder / "prometheus.log").read_text()[-2000:]
                raise AssertionError(f"not within {seconds:g} s: {expression}\n{log}")
            time.sleep(0.3)

    def metric_names(self) -> set[str]:
        """Every name that has a series now."""
        return {labels["__name__"] for labels, _ in self.query('group by (__name__) ({__name__!=""})')}
