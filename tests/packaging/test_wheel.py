"""What people install: the wheel, in a clean environment, without the sources around it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest
from helm_tools import ROOT

ROOMS = ("gigawatch", "exporters", "analytics", "dashboards", "alerts")


def _run(*command: str | Path, cwd: Path) -> str:
    """Output of a command in an environment that knows nothing of this checkout."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "VIRTUAL_ENV"))}
    result = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=300)
    assert result.returncode == 0, f"{command}\n{result.stdout}{result.stderr}"
    return result.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    _run(sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--wheel-dir", folder, ROOT, cwd=folder)
    (made,) = folder.glob("gigawatch-*.whl")
    return made


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a fresh environment with the node agent's extra alone, as the image's recipe installs it."""
    folder = tmp_path_factory.mktemp("clean") / "venv"
    venv.create(folder, with_pip=False)
    pip = (sys.executable, "-m", "pip", "--python", folder / "bin/python")
    _run(*pip, "install", "-q", "--no-compile", f"gigawatch[exporters] @ file://{wheel}", cwd=folder)
    return folder


def test_wheel_holds_packages_and_data_and_nothing_else(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    tops = {name.split("/")[0] for name in names}
    assert {top for top in tops if not top.endswith(".dist-info")} == set(ROOMS)
    assert {f"{room}/py.typed" for room in ROOMS} <= names
    assert {
        f"gigawatch/topology/blueprints/{b}.yaml" for b in ("starter", "mid-scale", "full-scale")
    } <= names
    for board in (ROOT / "helm/gigawatch/files/dashboards").glob("*.json"):
        assert f"dashboards/generated/{board.name}" in names
    assert not [name for name in names if name.endswith(".pyc")]


def test_every_file_of_the_packages_is_in_the_wheel(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    for room in ROOMS:
        for path in (ROOT / room).rglob("*"):
            if path.is_file() and "__pycache__" not in path.parts and path.suffix not in (".new", ".pyc"):
                assert str(path.relative_to(ROOT)) in names


def test_rooms_import_alone_and_light(installed: Path) -> None:
    program = """
import importlib.metadata as m, importlib.util as u, json, sys
import gigawatch, gigawatch.catalogue, gigawatch.topology, exporters, exporters.cli
owners = m.packages_distributions()
print(json.dumps({
    "owners": {room: owners.get(room) for room in sys.argv[1:]},
    "heavy": [n for n in ("pandas", "sklearn", "grafanalib", "plotly") if u.find_spec(n)],
    "where": gigawatch.__file__,
}))
"""
    found = json.loads(_run(installed / "bin/python", "-I", "-c", program, *ROOMS, cwd=installed))
    assert found["owners"] == {room: ["gigawatch"] for room in ROOMS}
    assert found["heavy"] == []
    assert found["where"].startswith(str(installed))


def test_the_command_works(installed: Path) -> None:
    gigawatch = installed / "bin/gigawatch"
    assert "example:" in _run(gigawatch, "agent", "--help", cwd=installed)
    (site,) = installed.rglob("blueprints/starter.yaml")
    assert "16 gpus" in _run(gigawatch, "inventory", "check", site, cwd=installed)
    assert "sd" in _run(gigawatch, "--help", cwd=installed)


def test_an_agent_without_gpu_still_tells_of_its_host(installed: Path) -> None:
    from gigawatch.catalogue import own

    text = _run(installed / "bin/gigawatch", "agent", "--once", cwd=installed)
    assert f"\n{own.COLLECTOR_UP.name}" in text


def test_what_is_not_installed_is_named(installed: Path) -> None:
    result = subprocess.run(
        [installed / "bin/gigawatch", "analytics", "serve", "--prometheus", "http://127.0.0.1:9"],
        cwd=installed, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert result.returncode == 1
    assert "pip install 'gigawatch[analytics]'" in result.stderr
    assert "Traceback" not in result.stderr
