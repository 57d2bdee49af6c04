"""Settings: file, then environment; errors that say where the wrong value came from."""

from __future__ import annotations

from pathlib import Path

import pytest

from gigawatch.config import Strict, load_file, parse_duration, read_secret
from gigawatch.errors import FileError


class Web(Strict):
    listen: str = ":9610"
    threads: int = 4


class Settings(Strict):
    web: Web = Web()
    interval: float


def write(folder: Path, text: str) -> Path:
    path = folder / "agent.yaml"
    path.write_text(text)
    return path


def test_the_environment_overrides_the_file(tmp_path: Path) -> None:
    path = write(tmp_path, "interval: 5\nweb: {threads: 2}\n")
    found = load_file(path, Settings, {"GW_WEB__THREADS": "8", "OTHER_INTERVAL": "9"}, "GW")
    assert found.web.threads == 8
    assert found.interval == 5


def test_a_wrong_variable_is_named_and_not_the_file(tmp_path: Path) -> None:
    path = write(tmp_path, "interval: 5\n")
    with pytest.raises(FileError, match=r"^environment variable GW_INTERVAL: interval: is 'soon'"):
        load_file(path, Settings, {"GW_INTERVAL": "soon"}, "GW")


def test_line_numbers_point_into_nested_fields(tmp_path: Path) -> None:
    path = write(tmp_path, "interval: 5\nweb:\n  listen: x\n  threads: many\n")
    with pytest.raises(FileError, match=rf"^{path}:4: web\.threads: is 'many'"):
        load_file(path, Settings)


def test_unknown_fields_name_the_known_ones(tmp_path: Path) -> None:
    path = write(tmp_path, "interval: 5\nweb: {port: 3}\n")
    with pytest.raises(FileError, match=r"web\.port: is not a known field; known here: listen, threads"):
        load_file(path, Settings)


@pytest.mark.parametrize(
    ("text", "seconds"), [("500ms", 0.5), ("30s", 30), ("1.5m", 90), ("2h", 7200), ("1w", 604800)]
)
def test_durations(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "5", "s", "-5s", "5 s", "1e3s", "5y"])
def test_durations_that_are_none(text: str) -> None:
    with pytest.raises(ValueError, match="such as 30s or 5m"):
        parse_duration(text)


def test_a_secret_comes_without_its_newline_and_never_in_an_error(tmp_path: Path) -> None:
    path = tmp_path / "token"
    path.write_bytes(b"s3cret\n")
    assert read_secret(path) == "s3cret"
    path.write_bytes(b"s3cret\xff")
    with pytest.raises(FileError) as caught:
        read_secret(path)
    assert "s3cret" not in str(caught.value)
