"""Settings of agent and facility exporter: file, environment, arguments, and how mistakes are told."""

from __future__ import annotations

from argparse import ArgumentParser
from pathlib import Path

import pytest

from exporters.settings import AgentSettings, add_arguments, settings_of
from gigawatch.errors import UserError


def settings(arguments: list[str], environment: dict[str, str] | None = None) -> AgentSettings:
    parser = ArgumentParser()
    add_arguments(parser, "agent", 9610)
    return settings_of(parser.parse_args(arguments), AgentSettings, "GIGAWATCH_AGENT", environment or {})


def test_arguments_win_over_environment_over_file(tmp_path: Path) -> None:
    path = tmp_path / "agent.yaml"
    path.write_text("listen: ':1'\ninterval: 10s\ncollectors: {gpu: 'off'}\n")
    assert settings([]).listen == ":9610"
    assert settings([]).seconds == 5.0
    found = settings(["--config", str(path)])
    assert (found.listen, found.seconds, found.collectors.gpu) == (":1", 10.0, "off")
    environment = {"GIGAWATCH_AGENT_LISTEN": "127.0.0.1:2", "GIGAWATCH_AGENT_COLLECTORS__HOST": "false"}
    found = settings(["--config", str(path)], environment)
    assert (found.listen, found.collectors.host) == ("127.0.0.1:2", False)
    assert settings(["--config", str(path), "--listen", ":3"], environment).listen == ":3"
    assert settings([], environment).listen == "127.0.0.1:2"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("interval: 5", "interval"),
        ("interval: 1h", "out of range; allowed: 500ms to 5m"),
        ("listen: nowhere", "listen address 'nowhere' is not understood"),
        ("collectors: {gpu: maybe}", "allowed: 'auto', 'on' or 'off'"),
        ("colectors: {}", "colectors: is not a known field"),
    ],
)
def test_a_mistake_in_the_file_is_one_line(tmp_path: Path, text: str, told: str) -> None:
    path = tmp_path / "agent.yaml"
    path.write_text(text + "\n")
    with pytest.raises(UserError) as caught:
        settings(["--config", str(path)])
    assert told in str(caught.value)
    assert f"{path}:1" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--interval", "soon"], "--interval: 'soon' is not a duration"),
        (["--listen", "x"], "--listen: listen address 'x'"),
        (["--inventory", "a", "--blueprint", "starter"], "give one of them"),
    ],
)
def test_a_mistake_in_the_arguments_is_one_line(arguments: list[str], told: str) -> None:
    with pytest.raises(UserError, match=told):
        settings(arguments)
