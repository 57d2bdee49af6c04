"""The programs that Gigawatch starts but does not ship, and what this machine has to be watched."""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from gigawatch.errors import UserError

NAMES = {
    "prometheus": ("prometheus",),
    "promtool": ("promtool",),
    # Debian names the server after its package; upstream's archive calls it alertmanager.
    "alertmanager": ("alertmanager", "prometheus-alertmanager"),
    "amtool": ("amtool",),
    "mosquitto": ("mosquitto",),
}
_DEBIAN = {
    "prometheus": "prometheus",
    "promtool": "prometheus",
    "alertmanager": "prometheus-alertmanager",
    "amtool": "prometheus-alertmanager",
    "mosquitto": "mosquitto",
}
_BESIDE_PATH = ("/usr/sbin", "/usr/local/sbin")
"""Where servers are installed that the PATH of ordinary users leaves out."""


def find(name: str) -> str | None:
    """Path of the program, or None."""
    for candidate in NAMES.get(name, (name,)):
        path = shutil.which(candidate) or shutil.which(candidate, path=os.pathsep.join(_BESIDE_PATH))
        if path:
            return path
    return None


def install(name: str) -> str:
    """How to get a program that is missing."""
    return f"apt-get install {_DEBIAN.get(name, name)}"


def require(*names: str) -> dict[str, str]:
    """Paths of the programs; UserError that says what to install where one is missing."""
    found = {name: find(name) for name in names}
    missing = sorted(name for name, path in found.items() if path is None)
    if missing:
        packages = sorted({_DEBIAN.get(name, name) for name in missing})
        raise UserError(
            f"{', '.join(missing)} not found on PATH; install with: apt-get install {' '.join(packages)} "
            "(or put the upstream binaries on PATH)"
        )
    return {name: path for name, path in found.items() if path is not None}


@dataclass(frozen=True, slots=True)
class Machine:
    """What this machine has to be watched, found by looking at files alone."""

    driver: str
    """Version of the NVIDIA driver; empty where none is loaded."""
    gpus: int

    @property
    def has_gpus(self) -> bool:
        return bool(self.driver) and self.gpus > 0


def look(root: Path = Path("/")) -> Machine:
    """Whether an NVIDIA driver is loaded, and how many GPUs it has."""
    try:
        text = (root / "proc/driver/nvidia/version").read_text(errors="replace")
    except OSError:
        return Machine("", 0)
    words = text.split()
    version = next((word for word in words if word[:1].isdigit() and "." in word), "unknown")
    folder = root / "proc/driver/nvidia/gpus"
    gpus = len(list(folder.iterdir())) if folder.is_dir() else 0
    return Machine(version, gpus)


def version_of(path: str) -> str:
    """First line of `PROGRAM --version`, shortened; empty if it does not answer."""
    try:
        done = subprocess.run([path, "--version"], capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    line = (done.stdout or done.stderr).splitlines()
    return line[0].split(" (")[0][:80] if line else ""
