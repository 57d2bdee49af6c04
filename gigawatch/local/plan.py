"""The plan of a local stack: which parts run, with which commands, ports and health checks."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from gigawatch.errors import FileError, UserError

PORTS = {
    "agent": 9610,
    "facility": 9611,
    "analytics": 9612,
    "sd": 9613,
    "viewer": 9614,
    "pager": 9615,
    "plant": 9616,
    "supervisor": 9617,
    "workload": 9618,
    "plant-devices": 9621,
    "snmp": 9622,
    "modbus": 9623,
    "broker": 9624,
    "prometheus": 9090,
    "alertmanager": 9093,
    "grafana": 3000,
}
STATE = Path(".gigawatch")


@dataclass(frozen=True, slots=True)
class Part:
    """One process of the stack."""

    name: str
    command: tuple[str, ...]
    health: str
    """URL that answers 200 while the part works; mqtt://HOST:PORT of a broker that lets us in."""
    url: str
    """Where a person or a program finds it."""
    environment: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Plan:
    """A stack as `up` wrote it down, for the supervisor, `status` and `down`."""

    mode: str
    """simulated, or real where this machine's own GPUs are read."""
    inventory: str
    seed: int
    site: str
    scrape_interval: float
    ports: dict[str, int]
    parts: tuple[Part, ...]

    def part(self, name: str) -> Part:
        """The part of that name; UserError if the stack has none."""
        for part in self.parts:
            if part.name == name:
                return part
        raise UserError(f"the stack has no part '{name}'; it has {', '.join(p.name for p in self.parts)}")


@dataclass(frozen=True, slots=True)
class Layout:
    """Where things lie below the state folder."""

    root: Path

    @property
    def plan(self) -> Path:
        return self.root / "stack.json"

    @property
    def etc(self) -> Path:
        return self.root / "etc"

    @property
    def logs(self) -> Path:
        return self.root / "logs"

    @property
    def run(self) -> Path:
        return self.root / "run"

    @property
    def plant(self) -> Path:
        return self.root / "plant"

    @property
    def supervisor_lock(self) -> Path:
        return self.run / "supervisor.lock"

    def record(self, name: str) -> Path:
        return self.run / f"{name}.json"

    def log(self, name: str) -> Path:
        return self.logs / f"{name}.log"


def save_plan(plan: Plan, layout: Layout) -> None:
    write_json(layout.plan, asdict(plan))


def load_plan(layout: Layout) -> Plan | None:
    """The plan that `up` wrote, or None where nothing was ever started."""
    data = read_json(layout.plan)
    if data is None:
        return None
    try:
        parts = tuple(
            Part(p["name"], tuple(p["command"]), p["health"], p["url"], p["environment"])
            for p in data["parts"]
        )
        return Plan(
            data["mode"],
            data["inventory"],
            data["seed"],
            data["site"],
            data["scrape_interval"],
            data["ports"],
            parts,
        )
    except (KeyError, TypeError) as error:
        raise FileError(
            layout.plan, "", f"is not the plan of a stack ({error})", "remove it and run: gigawatch up"
        ) from None


def write_json(path: Path, value: Any) -> None:
    """Whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f"{path.name}.{os.getpid()}.new")
    temporary.write_text(json.dumps(value, indent=1), encoding="utf-8")
    temporary.replace(path)


def read_json(path: Path) -> Any:
    """The file's value, or None where there is no file; FileError where it is not JSON."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise FileError(path, "", f"cannot be read ({error})", "remove it and run: gigawatch up") from None
