"""Settings of `gigawatch workload`: which engines there are, how they let us in, what is asked of them."""

from __future__ import annotations

import os
from argparse import ArgumentParser, Namespace
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from exporters.inference.health import OFF
from exporters.inference.targets import (
    check_engine,
    check_path,
    check_word,
    dialect_named,
    parse_address,
)
from exporters.jobs.queue_settings import KubernetesApiSection
from exporters.listening import Listen
from exporters.sections import Stage
from exporters.settings import Duration
from exporters.tls_settings import TlsSettings
from gigawatch.config import Strict, load_file, parse_duration
from gigawatch.errors import UserError

PREFIX = "GIGAWATCH_WORKLOAD"


def _switch(value: object) -> object:
    """YAML 1.1 reads a bare `on` or `off` as true or false."""
    return ("on" if value else "off") if isinstance(value, bool) else value


def _address(text: str) -> str:
    parse_address(text, default_port=1)  # whether it must name a port depends on the engine
    return text


def _url(text: str) -> str:
    if not text.startswith(("http://", "https://")):
        raise ValueError(f"'{text[:40]}' is no URL; it starts with http:// or https://")
    parse_address(text)
    return text


def _health(text: str) -> str:
    return text if text in ("", OFF) else _url(text) if "://" in text else check_path(text)


def _positive(text: str) -> str:
    if not 1 <= parse_duration(text) <= 86400:
        raise ValueError(f"'{text}' is out of range; allowed: 1s to 1d")
    return text


Word = Annotated[str, AfterValidator(check_word)]
EngineName = Annotated[str, AfterValidator(check_engine)]
PathText = Annotated[str, AfterValidator(lambda text: check_path(text) if text else "")]
Url = Annotated[str, AfterValidator(_url)]
Span = Annotated[str, AfterValidator(_positive)]
Health = Annotated[str, BeforeValidator(_switch), AfterValidator(_health)]
Switch = Annotated[Literal["auto", "on", "off"], BeforeValidator(_switch)]


class BasicAuth(Strict):
    """A user name, and a file with the password."""

    username: Annotated[str, Field(min_length=1, max_length=253, pattern=r"^[^:\x00-\x1f]+$")]
    password_file: Path


class AccessSettings(Strict):
    """What a server asks of its clients."""

    tls: TlsSettings | None = None
    bearer_token_file: Path | None = None
    basic_auth: BasicAuth | None = None

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if self.bearer_token_file is not None and self.basic_auth is not None:
            raise ValueError("bearer_token_file and basic_auth exclude each other; keep one of them")
        return self


class EngineSettings(AccessSettings):
    """One engine."""

    address: Annotated[str, AfterValidator(_address)]
    engine: EngineName = ""
    model: Word = ""
    replica: Word = ""
    node: Word = ""
    gpus: tuple[Word, ...] = ()
    job: Word = ""
    path: PathText = ""
    health: Health = ""
    patience: Span | None = None

    @model_validator(mode="after")
    def _whole(self) -> Self:
        dialect = dialect_named(self.engine)
        address = parse_address(self.address, dialect.port if dialect else 0)
        if address.path and self.path:
            raise ValueError("address has a path, and path is given too; keep one of them")
        if self.tls is not None and address.secure is False:
            raise ValueError("tls is given for an http:// address; write https:// or HOST:PORT")
        return self


class HttpSdSettings(AccessSettings):
    """A list of engines behind a URL. `engines` is what the engines in it ask of us."""

    url: Url
    every: Span = "30s"
    engines: AccessSettings = AccessSettings()


class PodRuleSettings(Strict):
    """Pods that a label selector picks."""

    selector: Annotated[str, Field(min_length=1, max_length=1000)]
    engine: EngineName = ""
    port: Word = ""
    path: PathText = ""
    model: Word = ""

    @model_validator(mode="before")
    @classmethod
    def _port_as_text(cls, given: Any) -> Any:
        if isinstance(given, dict) and type(given.get("port")) is int:
            return {**given, "port": str(given["port"])}
        return given


class PodSettings(Strict):
    """Engines in pods of the cluster. `access` is what they ask of us."""

    find: Switch = "auto"
    every: Span = "30s"
    namespaces: tuple[Word, ...] = ()
    annotated: bool = True
    rules: tuple[PodRuleSettings, ...] = ()
    group_label: Word = ""
    access: AccessSettings = AccessSettings()


class ObjectiveSettings(Strict):
    """No more than `seconds`, for this share of requests (or gaps between tokens)."""

    seconds: Annotated[float, Field(gt=0, le=86400, allow_inf_nan=False)]
    share: Annotated[float, Field(gt=0, lt=1, allow_inf_nan=False)] = 0.99


class ModelObjectives(Strict):
    """Latency objectives of the models whose names match a glob."""

    model: Annotated[str, Field(min_length=1, max_length=253)] = "*"
    time_to_first_token: ObjectiveSettings | None = None
    inter_token_latency: ObjectiveSettings | None = None
    request_duration: ObjectiveSettings | None = None


class EnginesSettings(Strict):
    """Section engines."""

    interval: Duration = "10s"
    deadline: Duration = "5s"
    targets: tuple[EngineSettings, ...] = ()
    http_sd: tuple[HttpSdSettings, ...] = ()
    kubernetes: PodSettings = PodSettings()
    objectives: tuple[ModelObjectives, ...] = ()

    @property
    def seconds(self) -> float:
        """From one scrape of an engine to the next."""
        return parse_duration(self.interval)

    @property
    def deadline_seconds(self) -> float:
        """For a whole answer."""
        return parse_duration(self.deadline)

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.deadline_seconds > self.seconds:
            raise ValueError(
                f"deadline {self.deadline} is longer than interval {self.interval}; make it shorter"
            )
        names: dict[str, int] = {}
        for number, one in enumerate(self.targets):
            name = one.replica or f"{one.address}{one.path}"
            if name in names:
                raise ValueError(
                    f"targets[{number}] and targets[{names[name]}] are both '{name}'; "
                    "give each another replica or address"
                )
            names[name] = number
        return self


class QueueSettings(Strict):
    """Section queues: who waits for GPUs."""

    interval: Duration = "30s"
    kubernetes: Switch = "auto"
    slurm: Switch = "auto"
    namespaces: tuple[Word, ...] = ()
    selector: str = ""
    resources: tuple[Word, ...] = ("nvidia.com/gpu*", "nvidia.com/mig-*")
    squeue: str = "squeue"
    partitions: dict[str, Stage] = Field(default_factory=dict)


class WorkloadSettings(Strict):
    """Settings of `gigawatch workload`."""

    listen: Listen = ":9618"
    interval: Duration = "5s"
    web_config: Path | None = None
    inventory: Path | None = None
    advertise: Annotated[str, AfterValidator(lambda text: _address(text) if text else "")] = ""
    engines: EnginesSettings = EnginesSettings()
    kubernetes: KubernetesApiSection = KubernetesApiSection()
    queues: QueueSettings = QueueSettings()

    @property
    def seconds(self) -> float:
        """From one rendering of /metrics to the next."""
        return parse_duration(self.interval)


def add_arguments(parser: ArgumentParser) -> None:
    """Arguments of the command."""
    parser.add_argument(
        "--config", type=Path, metavar="FILE", help="settings in YAML; read again when changed"
    )
    parser.add_argument("--listen", metavar="ADDR", help="HOST:PORT or :PORT (default :9618)")
    parser.add_argument("--web-config", type=Path, metavar="FILE", help="TLS and basic auth of the server")
    parser.add_argument("--inventory", type=Path, metavar="FILE", help="the site: place labels of the nodes")
    parser.add_argument("--check", action="store_true", help="check the settings and exit")
    parser.add_argument("--once", action="store_true", help="scrape every engine once, print all and exit")


def settings_of(args: Namespace, environment: Mapping[str, str] = os.environ) -> WorkloadSettings:
    """Arguments over environment over file; raises UserError with one line."""
    from gigawatch.serving import parse_listen

    settings = load_file(args.config or Path(os.devnull), WorkloadSettings, environment, PREFIX)
    names = ("listen", "web_config", "inventory")
    given = {name: getattr(args, name) for name in names if getattr(args, name, None) is not None}
    if "listen" in given:
        try:
            parse_listen(given["listen"])
        except UserError as error:
            raise UserError(f"--listen: {error}") from None
    return settings.model_copy(update=given)
