"""Settings of `gigawatch facility`: where the devices are written down, how often and as whom to ask them."""

from __future__ import annotations

import os
from argparse import ArgumentParser, Namespace
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from exporters.facility.secrets import Credential
from exporters.listening import Listen
from exporters.settings import Settings, add_arguments, settings_of
from exporters.tls_settings import TlsSettings
from gigawatch.config import Strict, parse_duration
from gigawatch.errors import UserError
from gigawatch.topology import Endpoint, Inventory, Role, blueprint, load_inventory
from gigawatch.topology.checks.endpoints import LONGEST, SHORTEST

PREFIX = "GIGAWATCH_FACILITY"
DEFAULT_INTERVAL = 10.0
INTERVALS = {Role.LEAK_DETECTOR: 5.0, Role.DOOR: 5.0, Role.BMC: 30.0, Role.SWITCH: 30.0, Role.SENSOR: 30.0}
"""Seconds between two polls of a kind of device; `DEFAULT_INTERVAL` for those that are not here."""
_PATHS = ("inventory", "endpoints", "web_config", "snmp_profiles", "modbus_profiles", "state")


def _interval(text: str) -> str:
    if not SHORTEST <= parse_duration(text) <= LONGEST:
        raise ValueError(f"'{text}' is out of range; allowed: 500ms to 1h")
    return text


def _version(value: object) -> object:
    """YAML reads a bare 3 as a number."""
    return str(value) if type(value) is int else value


Interval = Annotated[str, AfterValidator(_interval)]
Protocol = Literal["redfish", "snmp", "modbus", "mqtt"]
Limit = Annotated[int, Field(ge=1, le=4096)]
Word = Annotated[str, Field(max_length=253)]


class CredentialSettings(Strict):
    """One entry of `credentials`."""

    username: Word = ""
    password_file: Path | None = None
    community_file: Path | None = None
    bearer_token_file: Path | None = None
    version: Annotated[Literal["2c", "3", ""], BeforeValidator(_version)] = ""
    auth_protocol: Literal["md5", "sha", "sha224", "sha256", "sha384", "sha512", ""] = ""
    privacy_protocol: Literal["des", "aes128", "aes192", "aes256", ""] = ""
    privacy_password_file: Path | None = None
    tls: TlsSettings = TlsSettings()

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        ways = [
            name
            for name in ("password_file", "community_file", "bearer_token_file")
            if getattr(self, name) is not None
        ]
        if len(ways) > 1:
            raise ValueError(f"{' and '.join(ways)} exclude each other; keep one of them")
        if self.password_file is not None and not self.username:
            raise ValueError("password_file is given without username; add it")
        if self.community_file is not None and (self.version == "3" or self.auth_protocol):
            raise ValueError("community_file is of SNMP version 2c; version 3 has username and password_file")
        if self.auth_protocol and self.password_file is None:
            raise ValueError("auth_protocol is given without password_file; add it")
        if bool(self.privacy_protocol) != (self.privacy_password_file is not None):
            raise ValueError("privacy_protocol and privacy_password_file go together; give both or none")
        if self.privacy_protocol and not self.auth_protocol:
            raise ValueError("privacy_protocol is given without auth_protocol; SNMP encrypts only with both")
        if self.version == "3" and not self.username:
            raise ValueError("version 3 is given without username; add it")
        return self

    def credential(self, name: str, folder: Path) -> Credential:
        """The same with whole paths; those in the settings begin in `folder`."""

        def whole(path: Path | None) -> str:
            return str(folder / path) if path is not None else ""

        snmp3 = self.auth_protocol or self.privacy_protocol
        return Credential(
            name,
            self.username,
            whole(self.password_file or self.community_file),
            whole(self.bearer_token_file),
            self.version or ("3" if snmp3 else "2c" if self.community_file is not None else ""),
            self.auth_protocol,
            self.privacy_protocol,
            whole(self.privacy_password_file),
            whole(self.tls.ca_file),
            whole(self.tls.cert_file),
            whole(self.tls.key_file),
            self.tls.server_name,
            self.tls.insecure_skip_verify,
        )


class IntervalSettings(Strict):
    """How often to ask, where the endpoint does not say: by what the device is, else by protocol."""

    roles: dict[Role, Interval] = Field(default_factory=dict)
    protocols: dict[Protocol, Interval] = Field(default_factory=dict)


class LimitSettings(Strict):
    """How many polls of a protocol may begin side by side. Devices that fail or are slow have half as many
    places of their own."""

    snmp: Limit = 64
    redfish: Limit = 64
    modbus: Limit = 128
    mqtt: Limit = 64


class RetrySettings(Strict):
    """How long a device is left alone at most that does not answer (none: 1.75 of its intervals, so that it
    is back on its page within two), and one that does not let us in: accounts get locked."""

    silent: Interval | None = None
    refusing: Interval = "300s"


class FacilitySettings(Settings):
    """Settings of `gigawatch facility`."""

    listen: Listen = ":9611"
    interval: Annotated[str, AfterValidator(lambda text: _interval(text) if text else "")] = ""
    """For all devices alike, in a rehearsal; empty: by what they are."""
    endpoints: Path | None = None
    intervals: IntervalSettings = IntervalSettings()
    limits: LimitSettings = LimitSettings()
    retry: RetrySettings = RetrySettings()
    credentials: dict[str, CredentialSettings] = Field(default_factory=dict)
    snmp_profiles: Path | None = None
    modbus_profiles: Path | None = None
    redfish_events: bool = True
    """Whether to listen to the event streams of Redfish services that have one."""

    @property
    def seconds(self) -> float:
        """From one rendering of /metrics to the next."""
        return parse_duration(self.interval or "5s")

    def real_site(self) -> Inventory:
        """The inventory whose devices are asked. Raises UserError."""
        if self.inventory is None and not self.blueprint:
            raise UserError("no site is named; give its inventory with --inventory FILE (or --simulate one)")
        return load_inventory(self.inventory) if self.inventory is not None else blueprint(self.blueprint)

    def interval_of(self, role: Role, endpoint: Endpoint) -> float:
        """Seconds from one poll to the next."""
        given = (
            endpoint.interval
            or self.interval
            or self.intervals.roles.get(role)
            or {str(name): text for name, text in self.intervals.protocols.items()}.get(endpoint.protocol)
        )
        return parse_duration(given) if given else INTERVALS.get(role, DEFAULT_INTERVAL)

    def options(self) -> dict[str, str]:
        """What drivers get as `Wiring.options`."""
        return self.folders() | ({} if self.redfish_events else {"redfish_events": "off"})

    def folders(self) -> dict[str, str]:
        """Profiles of the site's own."""
        named = {"snmp_profiles": self.snmp_profiles, "modbus_profiles": self.modbus_profiles}
        return {name: str(path) for name, path in named.items() if path is not None}


def add_facility_arguments(parser: ArgumentParser) -> None:
    """Arguments of the command."""
    add_arguments(parser, "facility", 9611)
    parser.add_argument(
        "--endpoints", type=Path, metavar="FILE", help="addresses of devices, beside those of the inventory"
    )
    parser.add_argument("--check", action="store_true", help="check settings, files and endpoints, and exit")


def facility_settings(args: Namespace, environment: Mapping[str, str] = os.environ) -> FacilitySettings:
    """Arguments over environment over file; names of files begin in the directory of the file of settings
    where that is where they stand. Raises UserError with one line."""
    settings = settings_of(args, FacilitySettings, PREFIX, environment)
    folder = folder_of(args)
    paths = {name: getattr(settings, name) for name in _PATHS if getattr(args, name, None) is None}
    moved = {name: folder / path for name, path in paths.items() if path is not None}
    return settings.model_copy(update=moved)


def folder_of(args: Namespace) -> Path:
    """Where names of files in the settings begin."""
    return args.config.parent if args.config is not None else Path()
