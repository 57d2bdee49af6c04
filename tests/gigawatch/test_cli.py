"""The command line: help with an example everywhere, one line and the right status if something is wrong."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path

import pytest

from gigawatch.cli import GROUP, main
from gigawatch.command import Command

COMMANDS = sorted(entry_points(group=GROUP), key=lambda point: point.name)


@pytest.mark.parametrize("point", COMMANDS, ids=lambda p: p.name)
def test_every_command_has_help_with_an_example(point: object, capsys: pytest.CaptureFixture[str]) -> None:
    command = point.load()  # type: ignore[attr-defined] # an entry point
    assert isinstance(command, Command)
    with pytest.raises(SystemExit) as ended:
        main([point.name, "--help"])  # type: ignore[attr-defined] # an entry point
    assert ended.value.code == 0
    out = capsys.readouterr().out
    assert f"gigawatch {point.name}" in out.split("example:")[1]  # type: ignore[attr-defined] # an entry point


def test_the_overview_lists_the_commands_and_hides_helpers(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    out = capsys.readouterr().out
    for name in ("up", "status", "down", "drill", "agent", "facility", "sd", "analytics", "build", "doctor"):
        assert f"\n  {name} " in out
    assert "supervise" not in out
    assert "not available" not in out


def test_wrong_usage_is_2(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["no-such"]) == 2
    assert "known commands: agent, " in capsys.readouterr().err
    assert main([]) == 2
    with pytest.raises(SystemExit) as ended:
        main(["up", "--blueprint", "huge"])
    assert ended.value.code == 2


def test_failures_are_one_line_and_1(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["drill", "leak", "--state", str(tmp_path)]) == 1
    assert capsys.readouterr().err == "gigawatch: no stack was started here; start one with: gigawatch up\n"
    assert main(["up", "--inventory", str(tmp_path / "none.yaml"), "--state", str(tmp_path)]) == 1
    captured = capsys.readouterr()
    assert captured.err.count("\n") == 1
    assert "none.yaml: cannot be read" in captured.err
    assert not (tmp_path / "stack.json").exists()


def test_status_of_nothing_is_down_and_1(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["status", "--state", str(tmp_path)]) == 1
    assert capsys.readouterr().out.startswith("down: ")


def test_a_reader_that_leaves_is_no_error() -> None:
    pipe = f"{sys.executable} -m gigawatch.cli drill --list --json | head -c 5"
    done = subprocess.run(["sh", "-c", pipe], capture_output=True, text=True)
    assert done.stderr == ""
