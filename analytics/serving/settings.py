"""Settings of the service: a YAML file, then GIGAWATCH_ANALYTICS_* variables, then the command line."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from gigawatch.config import Strict, load_file, parse_duration

PREFIX = "GIGAWATCH_ANALYTICS"
TOKEN_VARIABLE = "GIGAWATCH_PROMETHEUS_TOKEN"  # noqa: S105 - the name of a variable, not a token


def _seconds(value: object) -> object:
    return parse_duration(value) if isinstance(value, str) else value


Duration = Annotated[float, BeforeValidator(_seconds), Field(gt=0, le=86400)]


class PrometheusSettings(Strict):
    """Where the series come from; secrets stand in files."""

    url: str = "http://127.0.0.1:9090"
    timeout: Duration = 10.0
    """Longest wait for one answer."""
    compression: Literal["auto", "gzip", "none"] = "auto"
    """Of answers; it saves network and costs processor time on both sides. auto: none on this machine."""
    token_file: Path | None = None
    username: str = ""
    password_file: Path | None = None
    ca_file: Path | None = None

    @property
    def packed(self) -> bool | None:
        """Whether answers may come compressed; None leaves it to the client."""
        return {"auto": None, "gzip": True, "none": False}[self.compression]


class RiskSettings(Strict):
    """Two numbers of the failure risk, as `gigawatch analytics backtest --calibrate` prints them."""

    intercept: float = 0.5
    slope: Annotated[float, Field(gt=0)] = 1.5


class Settings(Strict):
    """Everything that can be set."""

    prometheus: PrometheusSettings = PrometheusSettings()
    state: Path = Path("analytics-state")
    """Directory of the saved state."""
    listen: str = ":9612"
    interval: Duration = 5.0
    """Time between runs; the scrape interval is a good choice."""
    save_every: Duration = 30.0
    warm_up: Duration = 900.0
    """How much history is read at the start, to know what is usual."""
    catch_up: Duration = 3600.0
    """How much missed time is read after an outage; what lies further back stays a gap."""
    shard: str = "0/1"
    inventory: Path | None = None
    """The site, for what is left of its capacity; without it no capacity is told."""
    model: Path | None = None
    """A model of nodes that `gigawatch analytics train` made; without it one is learned on the way."""
    risk: RiskSettings = RiskSettings()


def load_settings(path: Path | None, environment: Mapping[str, str]) -> Settings:
    """The settings of a file with the environment over it, or the defaults. FileError in one line."""
    if path is not None:
        return load_file(path, Settings, environment, PREFIX)
    return Settings()
