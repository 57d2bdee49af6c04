"""A whole stack of real parts, and how a test asks it things."""

from __future__ import annotations

import json
import subprocess
import sys
import time
import urllib.parse
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

CLI = (sys.executable, "-m", "gigawatch.cli")


@dataclass(frozen=True)
class Stack:
    """A running stack and how to ask it things."""

    state: Path
    urls: dict[str, str]

    def run(self, *words: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [*CLI, *words, "--state", str(self.state)], capture_output=True, text=True, timeout=180
        )
        assert not check or done.returncode == 0, done.stdout + done.stderr
        return done

    def status(self) -> dict[str, Any]:
        return dict(json.loads(self.run("status", "--json", check=False).stdout))

    def get(self, part: str, path: str) -> Any:
        with urllib.request.urlopen(self.urls[part] + path, timeout=20) as answer:
            return json.load(answer)

    def query(self, expression: str) -> list[dict[str, Any]]:
        text = urllib.parse.urlencode({"query": expression})
        return list(self.get("prometheus", f"/api/v1/query?{text}")["data"]["result"])

    def pages(self) -> list[dict[str, Any]]:
        return list(self.get("pager", "/api/pages"))

    def alerts(self) -> set[str]:
        return {row["metric"]["alertname"] for row in self.query('ALERTS{alertstate="firing"}')}


def until(
    condition: Callable[[], Any], seconds: float, what: str, instead: Callable[[], object] = str
) -> Any:
    """What the condition returns once it is true; a failure that says what did not come, and what there was
    instead."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            found = condition()
        except OSError:
            found = None
        if found:
            return found
        if time.monotonic() >= deadline:
            raise AssertionError(f"not within {seconds:.0f} s: {what}; instead: {instead()}")
        time.sleep(0.5)


def start(state: Path, *options: str) -> Stack:
    done = subprocess.run(
        [*CLI, "up", *options, "--state", str(state)], capture_output=True, text=True, timeout=240
    )
    assert done.returncode == 0, done.stdout + done.stderr
    found = subprocess.run(
        [*CLI, "status", "--json", "--state", str(state)], capture_output=True, text=True, timeout=60
    )
    return Stack(state, json.loads(found.stdout)["urls"])
