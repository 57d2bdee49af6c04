"""The systemd unit and its drop-ins: read by systemd itself, and held against what the agent really does."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from helm_tools import ROOT

from exporters.settings import AgentSettings
from gigawatch.config import load_file

HOME = ROOT / "deploy" / "systemd"
UNIT = HOME / "gigawatch-agent.service"
EXAMPLES = sorted((HOME / "gigawatch-agent.service.d").glob("*.conf.example"))
MODEST = 3.5
"""systemd's own measure of exposure, from 0 to 10; 9.6 is a unit that says nothing."""

needs_systemd = pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="needs systemd-analyze")


def _analyze(*arguments: str | Path, path: Path | None = None) -> str:
    # A colon at the end keeps systemd's own directories on the path.
    environment = os.environ | ({"SYSTEMD_UNIT_PATH": f"{path}:"} if path else {})
    done = subprocess.run(
        ["systemd-analyze", *map(str, arguments)], capture_output=True, text=True, timeout=60, env=environment
    )
    return done.stdout + done.stderr


@needs_systemd
@pytest.mark.parametrize("example", [None, *EXAMPLES], ids=lambda e: e.name if e else "alone")
def test_systemd_understands_every_line_and_finds_little_exposed(
    example: Path | None, tmp_path: Path
) -> None:
    text = UNIT.read_text().replace("/opt/gigawatch/bin/gigawatch", sys.executable)
    (tmp_path / UNIT.name).write_text(text)
    if example is not None:
        folder = tmp_path / f"{UNIT.name}.d"
        folder.mkdir()
        shutil.copy(example, folder / example.name.removesuffix(".example"))
    told = _analyze("verify", tmp_path / UNIT.name, path=tmp_path)
    assert UNIT.name not in told, told
    measured = re.search(
        r"exposure level for \S+: ([\d.]+)",
        _analyze("security", "--offline=yes", tmp_path / UNIT.name, path=tmp_path),
    )
    assert measured is not None
    assert float(measured[1]) <= MODEST


def _values(file: Path) -> dict[str, list[str]]:
    """Values of section Service by key; systemd lets a key stand more than once."""
    found: dict[str, list[str]] = {}
    for line in file.read_text().splitlines():
        key, equals, value = line.partition("=")
        if equals and not line.startswith("#"):
            found.setdefault(key, []).append(value)
    return found


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda e: e.name)
def test_settings_in_drop_ins_are_the_agents(example: Path, tmp_path: Path) -> None:
    given = dict(pair.split("=", 1) for pair in _values(example).get("Environment", []))
    empty = tmp_path / "agent.yaml"
    empty.write_text("")
    plain = load_file(empty, AgentSettings)
    changed = load_file(empty, AgentSettings, given, "GIGAWATCH_AGENT")
    assert (plain != changed) is bool(given)


def test_the_unit_waits_for_the_agents_word_and_keeps_its_state() -> None:
    unit = _values(UNIT)
    assert unit["Type"] == ["notify"]
    assert int(unit["WatchdogSec"][0]) >= 30, "a crowded machine must not look like a dead agent"
    assert unit["StateDirectory"] == ["gigawatch-agent"]
    settings = AgentSettings().plan({"STATE_DIRECTORY": "/var/lib/gigawatch-agent"})
    assert str(settings.state_directory) == "/var/lib/gigawatch-agent"
    # A list of devices made at the start would shut out a driver that is loaded later.
    assert not {"DeviceAllow", "DevicePolicy", "PrivateDevices", "ProtectClock"} & unit.keys()


def _allowed() -> set[str]:
    """System calls that the unit permits, by the groups that this systemd knows."""
    groups: dict[str, set[str]] = {}
    group: set[str] = set()
    for line in _analyze("syscall-filter").splitlines():
        if line.startswith("@"):
            group = groups.setdefault(line.strip(), set())
        elif line.strip() and not line.strip().startswith("#"):
            group.add(line.strip())

    def members(name: str) -> set[str]:
        if not name.startswith("@"):
            return {name}
        return set().union(*(members(member) for member in groups[name]))

    allowed = members("@default")
    for value in _values(UNIT)["SystemCallFilter"]:
        named = set().union(*(members(name) for name in value.removeprefix("~").split()))
        allowed = allowed - named if value.startswith("~") else allowed | named
    return allowed


@needs_systemd
@pytest.mark.skipif(shutil.which("strace") is None, reason="needs strace")
def test_the_agent_makes_no_system_call_that_the_unit_forbids(tmp_path: Path) -> None:
    config = tmp_path / "agent.yaml"
    config.write_text("listen: 127.0.0.1:0\ninterval: 1s\nslow_interval: 1s\n")
    trace, log = tmp_path / "trace", tmp_path / "log"
    agent = [sys.executable, "-m", "gigawatch.cli", "agent", "--config", str(config)]
    with log.open("w") as out:
        process = subprocess.Popen(
            ["strace", "-f", "-qq", "-o", str(trace), *agent], stdout=out, stderr=out, start_new_session=True
        )
    try:
        deadline = time.monotonic() + 60
        while "listening on" not in log.read_text():
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.1)
        time.sleep(3)
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
    used = set(re.findall(r"^\d+ +([a-z_0-9]+)\(", trace.read_text(), re.MULTILINE))
    assert len(used) > 30
    assert used <= _allowed()
