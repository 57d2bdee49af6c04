"""Engines that the settings name, and how what the settings say becomes plain data."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING

from exporters.inference.access import Access
from exporters.inference.discovery import Found
from exporters.inference.fetch import Fetcher
from exporters.inference.objectives import Objective
from exporters.inference.targets import Target, dialect_named, parse_address
from gigawatch.catalogue.inference import OBJECTIVES
from gigawatch.config import parse_duration

if TYPE_CHECKING:
    from exporters.workload_settings import AccessSettings, EngineSettings, ModelObjectives

_NEVER = 86_400.0


@dataclass(frozen=True, slots=True)
class StaticDiscovery:
    """The list of the settings: found at once, and there for good."""

    targets: tuple[Target, ...]
    name: str = "engines_listed"
    every: float = _NEVER

    async def find(self, fetcher: Fetcher) -> Found:  # noqa: ARG002 - nobody has to be asked
        return Found(list(self.targets))


def target_of(one: EngineSettings, folder: Path) -> Target:
    """An engine of the settings; relative names of files are taken from `folder`."""
    dialect = dialect_named(one.engine)
    address = parse_address(one.address, dialect.port if dialect else 0)
    access = access_of(one, folder)
    return Target(
        address.host,
        address.port,
        "config",
        secure=access.tls if address.secure is None else address.secure,
        path=one.path or address.path,
        engine=one.engine,
        model=one.model,
        name=one.replica,
        node=one.node,
        gpus=one.gpus,
        job=one.job,
        patience=parse_duration(one.patience) if one.patience else None,
        health=one.health,
        access=access,
    )


def access_of(given: AccessSettings, folder: Path) -> Access:
    """What a server asks of us; relative names of files are taken from `folder`."""

    def file(path: Path | None) -> str:
        return str(folder / path) if path is not None else ""

    tls, basic = given.tls, given.basic_auth
    access = Access(bearer_token_file=file(given.bearer_token_file))
    if tls is not None:
        access = dataclasses.replace(
            access,
            ca_file=file(tls.ca_file),
            cert_file=file(tls.cert_file),
            key_file=file(tls.key_file),
            server_name=tls.server_name,
            insecure=tls.insecure_skip_verify,
            tls=True,
        )
    if basic is not None:
        access = dataclasses.replace(access, username=basic.username, password_file=file(basic.password_file))
    return access


def objectives_of(rules: tuple[ModelObjectives, ...]) -> Callable[[str], Mapping[str, Objective]]:
    """The latency objectives of a model: for each kind, the first rule that matches and names it."""

    def find(model: str) -> Mapping[str, Objective]:
        found: dict[str, Objective] = {}
        for rule in rules:
            if fnmatchcase(model, rule.model):
                for name in OBJECTIVES:
                    one = getattr(rule, name)
                    if one is not None:
                        found.setdefault(name, Objective(one.seconds, one.share))
        return found

    return find
