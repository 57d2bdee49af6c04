"""The systemd units and drop-ins: read by systemd itself, and held against what the programs really do."""

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
OTHERS = {"workload": 1.5, "proxy": 1.5, "facility": 1.5}
"""Units of programs that need no right, and what systemd finds exposed at the most."""
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


@needs_systemd
@pytest.mark.parametrize("program", OTHERS)
def test_units_of_programs_without_rights_are_shut(program: str, tmp_path: Path) -> None:
    name = f"gigawatch-{program}.service"
    text = (HOME / name).read_text().replace("/opt/gigawatch/bin/gigawatch", sys.executable)
    (tmp_path / name).write_text(text)
    told = _analyze("verify", tmp_path / name, path=tmp_path)
    assert name not in told, told
    security = _analyze("security", "--offline=yes", tmp_path / name, path=tmp_path)
    measured = re.search(r"exposure level for \S+: ([\d.]+)", security)
    assert measured is not None
    assert float(measured[1]) <= OTHERS[program]
    row = next(line for line in (HOME / "README.md").read_text().splitlines() if f"`{name}`" in line)
    assert row.split("|")[-2].strip() == measured[1] or "252" not in _analyze("--version")


def test_the_directory_for_training_jobs_is_the_one_that_everybody_means() -> None:
    from exporters.sections import TrainingSection

    lines = (HOME / "gigawatch.tmpfiles.conf").read_text().splitlines()
    (line,) = [line.split() for line in lines if line.startswith("d") and "training" in line]
    assert line[1] == str(TrainingSection().directory)
    assert line[2:4] == ["1733", "gigawatch"]
    assert " ".join(line) in " ".join((ROOT / "docs" / "training.md").read_text().split())


@pytest.mark.skipif(shutil.which("systemd-tmpfiles") is None, reason="needs systemd-tmpfiles")
@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a directory away")
def test_systemd_makes_that_directory(tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc" / "passwd").write_text("root:x:0:0::/:/bin/sh\ngigawatch:x:4711:4711::/:/bin/false\n")
    (tmp_path / "etc" / "group").write_text("root:x:0:\ngigawatch:x:4711:\n")
    file = HOME / "gigawatch.tmpfiles.conf"
    command = ["systemd-tmpfiles", "--create", f"--root={tmp_path}", str(file)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    made = tmp_path / "run" / "gigawatch" / "training"
    assert made.is_dir(), done.stderr
    assert (made.stat().st_uid, made.stat().st_mode & 0o7777) == (4711, 0o1733)


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


def _allowed(unit: Path = UNIT) -> set[str]:
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
    for value in _values(unit)["SystemCallFilter"]:
        named = set().union(*(members(name) for name in value.removeprefix("~").split()))
        allowed = allowed - named if value.startswith("~") else allowed | named
    return allowed


PROGRAMS = {
    "agent": "listen: 127.0.0.1:0\ninterval: 1s\nslow_interval: 1s\n",
    "workload": "listen: 127.0.0.1:0\ninterval: 1s\n"
    "engines: {interval: 1s, deadline: 1s, targets: [{address: 'localhost:9', engine: vllm}]}\n",
    "proxy": "upstream: http://127.0.0.1:9\nlisten: 127.0.0.1:0\nmetrics: 127.0.0.1:0\n",
    "facility": "listen: 127.0.0.1:0\ninterval: 1s\nblueprint: starter\nendpoints: endpoints.yaml\n",
}
ENDPOINTS = """
pdu-r01-a: [{protocol: snmp, address: 'localhost:9'}]
cdu-1: [{protocol: modbus, address: 'localhost:9', profile: liebert-dcd}]
bmc-r01-n01: [{protocol: redfish, address: 'https://localhost:9'}, {protocol: mqtt, address: 'mqtt://localhost:9'}]
"""


@needs_systemd
@pytest.mark.skipif(shutil.which("strace") is None, reason="needs strace")
@pytest.mark.parametrize("program", PROGRAMS)
def test_programs_make_no_system_call_that_their_units_forbid(program: str, tmp_path: Path) -> None:
    config = tmp_path / f"{program}.yaml"
    config.write_text(PROGRAMS[program])
    (tmp_path / "endpoints.yaml").write_text(ENDPOINTS)
    trace, log = tmp_path / "trace", tmp_path / "log"
    command = [sys.executable, "-m", "gigawatch.cli", program, "--config", str(config)]
    with log.open("w") as out:
        process = subprocess.Popen(
            ["strace", "-f", "-qq", "-o", str(trace), *command],
            stdout=out,
            stderr=out,
            start_new_session=True,
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
    assert used <= _allowed(HOME / f"gigawatch-{program}.service")
