"""Settings of the agent, and what they share with the facility exporter: file, environment, arguments."""

from __future__ import annotations

import dataclasses
import os
import re
from argparse import ArgumentParser, Namespace
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, BeforeValidator, Field

from exporters.listening import Listen, checked_listen
from exporters.sections import (
    AgentPlan,
    CollectorSection,
    GpuSection,
    KubernetesSection,
    LogSection,
    SlurmSection,
    StorageSection,
    TrainingSection,
)
from gigawatch.config import Strict, load_file, parse_duration
from gigawatch.errors import UserError
from gigawatch.topology import Inventory, blueprint, blueprint_names, load_inventory


def _duration(text: str) -> str:
    if not 0.5 <= parse_duration(text) <= 300:
        raise ValueError(f"'{text}' is out of range; allowed: 500ms to 5m")
    return text


def _training(section: TrainingSection) -> TrainingSection:
    if section.otlp_listen:
        try:
            checked_listen(section.otlp_listen)
        except ValueError as error:
            raise ValueError(f"otlp_listen: {error}") from None
    for number, log in enumerate(section.logs):
        wrong = _wrong(log)
        if wrong:
            raise ValueError(f"logs.{number}.{wrong}")
    return section


def _wrong(log: LogSection) -> str:
    if not log.path.startswith("/"):
        return f"path: '{log.path}' is no absolute path; allowed: a glob such as /var/log/jobs/*/train.log"
    try:
        groups = re.compile(log.job).groups
    except re.error as error:
        return f"job: '{log.job}' is no regular expression: {error}"
    if not log.job or groups > 1:
        return "job: allowed: the job's id, or a regular expression with one group that finds it in the path"
    if not log.model:
        return "model: is empty"
    for name in ("tokens_per_step", "flops_per_token", "gpus"):
        if not 0 <= getattr(log, name) <= 1e18:  # also where it is not a number
            return f"{name}: is out of range; allowed: 0 (not known) to 1e18"
    return ""


Duration = Annotated[str, AfterValidator(_duration)]


_WORDS = frozenset({"gpu", "kubernetes", "slurm"})


def _switches(section: object) -> object:
    """YAML 1.1 reads a bare `on` or `off` as true or false; where words are wanted both mean the same."""
    if not isinstance(section, Mapping):
        return section
    return {
        name: ("on" if value else "off") if name in _WORDS and isinstance(value, bool) else value
        for name, value in section.items()
    }


class Settings(Strict):
    """What agent and facility exporter have in common."""

    listen: Listen
    interval: Duration = "5s"
    web_config: Path | None = None
    simulate: bool = False
    inventory: Path | None = None
    blueprint: str = ""
    state: Path | None = None
    seed: Annotated[int, Field(ge=0)] = 1

    @property
    def seconds(self) -> float:
        """The interval in seconds."""
        return parse_duration(self.interval)

    def site(self) -> Inventory:
        """The inventory to simulate: the file, else the blueprint, else the smallest blueprint."""
        if self.inventory is not None:
            return load_inventory(self.inventory)
        return blueprint(self.blueprint or blueprint_names()[0])


class AgentSettings(Settings):
    """Settings of `gigawatch agent`. What the sections mean stands in `exporters.sections`."""

    listen: Listen = ":9610"
    slow_interval: Duration = "30s"
    collectors: Annotated[CollectorSection, BeforeValidator(_switches)] = CollectorSection()
    gpu: GpuSection = GpuSection()
    storage: StorageSection = StorageSection()
    kubernetes: KubernetesSection = KubernetesSection()
    slurm: SlurmSection = SlurmSection()
    training: Annotated[TrainingSection, AfterValidator(_training)] = TrainingSection()
    state_directory: Path | None = None
    textfile_directory: Path | None = None
    kernel_log: Path = Path("/dev/kmsg")
    root: Path = Path("/")

    @property
    def slow_seconds(self) -> float:
        """The slow lane's interval in seconds."""
        return parse_duration(self.slow_interval)

    def plan(self, environment: Mapping[str, str]) -> AgentPlan:
        """What the serving process has to know. systemd's STATE_DIRECTORY stands in for a state directory."""
        given = environment.get("STATE_DIRECTORY", "").partition(":")[0]
        state = self.state_directory or (Path(given) if given else None)
        fields = {field.name: getattr(self, field.name) for field in dataclasses.fields(AgentPlan)}
        fields |= {"interval": self.seconds, "slow_interval": self.slow_seconds, "state_directory": state}
        return AgentPlan(**fields)


Chosen = TypeVar("Chosen", bound=Settings)


def add_arguments(parser: ArgumentParser, program: str, port: int) -> None:
    """Arguments that agent and facility share."""
    thing = "node" if program == "agent" else "device"
    site = "site to simulate" if program == "agent" else "the site, whose devices are asked or simulated"
    default = "5s" if program == "agent" else "5s simulated, else by kind of device"
    parser.add_argument("--config", type=Path, metavar="FILE", help="settings in YAML")
    parser.add_argument("--listen", metavar="ADDR", help=f"HOST:PORT or :PORT (default :{port})")
    parser.add_argument(
        "--interval", metavar="TIME", help=f"from one reading to the next (default {default})"
    )
    parser.add_argument("--web-config", type=Path, metavar="FILE", help="TLS and basic auth of the server")
    parser.add_argument("--simulate", action="store_true", default=None, help="read a simulated plant")
    parser.add_argument("--inventory", type=Path, metavar="FILE", help=site)
    parser.add_argument("--blueprint", choices=blueprint_names(), help="site that comes along, to simulate")
    parser.add_argument("--state", type=Path, metavar="DIR", help="where `gigawatch plant` publishes")
    parser.add_argument("--seed", type=int, help="seed of a plant of our own, where no --state is given")
    parser.add_argument("--once", action="store_true", help="print one exposition and exit")
    which = "this simulated node" if program == "agent" else "this device"
    parser.add_argument(f"--{thing}", metavar="NAME", default="", help=f"with --once: {which}")


def settings_of(
    args: Namespace, model: type[Chosen], prefix: str, environment: Mapping[str, str] = os.environ
) -> Chosen:
    """Arguments over environment over file; raises UserError with one line."""
    # An empty file stands in where there is none, so that defaults and environment go the same way.
    settings = load_file(args.config or Path(os.devnull), model, environment, prefix)
    given: dict[str, Any] = {
        name: getattr(args, name) for name in model.model_fields if getattr(args, name, None) is not None
    }
    for name, check in (("listen", checked_listen), ("interval", _duration)):
        if name in given:
            try:
                check(given[name])
            except ValueError as error:
                raise UserError(f"--{name}: {error}") from None
    if "inventory" in given and "blueprint" in given:
        raise UserError("--inventory and --blueprint both name a site; give one of them")
    return settings.model_copy(update=given)
