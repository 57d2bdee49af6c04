"""A Grafana server beside the viewer, where one is on PATH or Docker can run one."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import yaml

from gigawatch.errors import UserError
from gigawatch.local.plan import Layout, Part

IMAGE = "grafana/grafana:12.2.1"
_HOMES = (Path("/usr/share/grafana"), Path("/opt/grafana"))


def provisioning(prometheus_port: int, dashboards: str) -> dict[str, str]:
    """Provisioning files below etc/: the data source, and a provider that shows the generated boards.

    `dashboards` is the folder of the boards as the server sees it.
    """
    source = {
        "apiVersion": 1,
        "datasources": [
            {
                "name": "Prometheus",
                "type": "prometheus",
                "uid": "prometheus",
                "access": "proxy",
                "url": f"http://127.0.0.1:{prometheus_port}",
                "isDefault": True,
                "jsonData": {"httpMethod": "POST"},
            }
        ],
    }
    provider = {
        "apiVersion": 1,
        "providers": [
            {
                "name": "gigawatch",
                "folder": "Gigawatch",
                "type": "file",
                "allowUiUpdates": False,
                "options": {"path": dashboards},
            }
        ],
    }
    return {
        "grafana/datasources/prometheus.yaml": yaml.safe_dump(source, sort_keys=False),
        "grafana/dashboards/gigawatch.yaml": yaml.safe_dump(provider, sort_keys=False),
    }


def part(layout: Layout, port: int) -> tuple[Part, str]:
    """The server as a part of the stack, and the folder in which it will see the boards.

    UserError where there is neither a Grafana on PATH nor a Docker engine that answers.
    """
    settings = {
        "GF_SERVER_HTTP_ADDR": "127.0.0.1",
        "GF_SERVER_HTTP_PORT": str(port),
        "GF_AUTH_ANONYMOUS_ENABLED": "true",
        "GF_AUTH_ANONYMOUS_ORG_ROLE": "Viewer",
        "GF_ANALYTICS_REPORTING_ENABLED": "false",
        "GF_ANALYTICS_CHECK_FOR_UPDATES": "false",
    }
    base = f"http://127.0.0.1:{port}"
    boards = str(layout.etc / "dashboards")
    server = _on_path()
    if server:
        settings["GF_PATHS_DATA"] = str(layout.root / "grafana")
        settings["GF_PATHS_PROVISIONING"] = str(layout.etc / "grafana")
        return Part("grafana", server, f"{base}/api/health", base, settings), boards
    if not _docker_answers():
        raise UserError(
            "--grafana: no grafana-server on PATH and no Docker engine answers; install Grafana, or leave "
            "--grafana out and use the built-in viewer"
        )
    inside = "/var/lib/gigawatch/dashboards"
    command = ["docker", "run", "--rm", "--network", "host", "--name", f"gigawatch-grafana-{port}"]
    command += ["--volume", f"{layout.etc / 'grafana'}:/etc/grafana/provisioning:ro"]
    command += ["--volume", f"{boards}:{inside}:ro"]
    for name in sorted(settings):
        command += ["--env", name]
    return Part("grafana", (*command, IMAGE), f"{base}/api/health", base, settings), inside


def _on_path() -> tuple[str, ...] | None:
    home = next((str(folder) for folder in _HOMES if folder.is_dir()), None)
    options = ("--homepath", home) if home else ()
    for name, verb in (("grafana-server", ()), ("grafana", ("server",))):
        path = shutil.which(name)
        if path:
            return (path, *verb, *options)
    return None


def _docker_answers() -> bool:
    if not shutil.which("docker"):
        return False
    try:
        done = subprocess.run(
            ["docker", "info"],
            capture_output=True,
            timeout=10,
            check=False,
            env={**os.environ, "LC_ALL": "C"},
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0
