"""`gigawatch doctor`: what is installed, what is missing, what would surprise."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import sys
from dataclasses import dataclass
from pathlib import Path

from gigawatch import package_version
from gigawatch.local import tools

ROOMS = ("gigawatch", "exporters", "analytics", "dashboards", "alerts")
_WITHOUT = {"mosquitto": "without it the simulated plant has no MQTT"}
"""Programs that may be missing, and what then is not there."""
_EXTRAS = {
    "simulator": "numpy",
    "exporters": "prometheus_client",
    "analytics": "sklearn",
    "dashboards": "grafanalib",
    "alerts": "grafanalib",
}


@dataclass(frozen=True, slots=True)
class Finding:
    what: str
    ok: bool
    detail: str


def examine() -> list[Finding]:
    """All findings, good and bad."""
    return [_python(), *_rooms(), *_extras(), *_programs(), _gpus(), _disk()]


def _python() -> Finding:
    version = ".".join(str(n) for n in sys.version_info[:3])
    return Finding("Python", sys.version_info >= (3, 11), f"{version} (3.11 or newer is needed)")


def _rooms() -> list[Finding]:
    """Other distributions also own names such as `analytics`: whoever installs last would win silently."""
    owners = importlib.metadata.packages_distributions()
    findings = []
    for room in ROOMS:
        others = sorted(set(owners.get(room, [])) - {"gigawatch"})
        spec = importlib.util.find_spec(room)
        if others:
            detail = f"also owned by {', '.join(others)}: use an environment of its own for gigawatch"
        elif spec is None:
            detail = "cannot be imported; reinstall gigawatch"
        else:
            detail = f"gigawatch {package_version()}"
        findings.append(Finding(f"package {room}", not others and spec is not None, detail))
    return findings


def _extras() -> list[Finding]:
    findings = []
    for extra, module in _EXTRAS.items():
        found = importlib.util.find_spec(module) is not None
        detail = f"{module} found" if found else f"{module} missing; pip install 'gigawatch[{extra}]'"
        findings.append(Finding(f"extra {extra}", found, detail))
    return findings


def _programs() -> list[Finding]:
    findings = []
    for name in tools.NAMES:
        path = tools.find(name)
        missing = f"not on PATH; {_WITHOUT.get(name, 'needed by `gigawatch up`')}"
        detail = (tools.version_of(path) or path) if path else missing
        findings.append(Finding(f"program {name}", path is not None or name in _WITHOUT, detail))
    return findings


def _gpus() -> Finding:
    machine = tools.look()
    if machine.has_gpus:
        return Finding("GPUs", True, f"{machine.gpus}, driver {machine.driver}")
    return Finding("GPUs", True, "no NVIDIA driver loaded: `up` simulates a plant")


def _disk(folder: Path = Path()) -> Finding:
    import shutil

    free = shutil.disk_usage(folder).free / 2**30
    return Finding("disk", free > 2, f"{free:.0f} GiB free here (2 GiB or more is needed)")
