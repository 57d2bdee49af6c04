"""What a protocol gives to the poller: a driver for each endpoint, which is asked for everything at once."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

from gigawatch.readings import Reading
from gigawatch.topology import Device, Endpoint, Inventory


class Reason(StrEnum):
    """Why a poll failed: the values of the label `reason`."""

    TIMEOUT = "timeout"
    """No answer within the deadline."""
    REFUSED = "refused"
    """Nothing listens there."""
    UNREACHABLE = "unreachable"
    """No way to the address, or its name does not resolve."""
    AUTH = "auth"
    """It does not let us in, or our secret cannot be read."""
    TLS = "tls"
    HTTP = "http"
    """A status that is no success."""
    PROTOCOL = "protocol"
    """It says itself that it cannot do this: an SNMP error status, a Modbus exception, an MQTT refusal."""
    MALFORMED = "malformed"
    """What it says is not in the protocol, or makes no sense in it."""
    TOO_LARGE = "too_large"
    STALE = "stale"
    """It answers, with values that are too old to be passed on."""
    EMPTY = "empty"
    """It answers, and nothing in the answer is known to us."""
    PROFILE = "profile"
    """What the device is cannot be told, or there is no profile for it."""
    INTERNAL = "internal"
    """A mistake of our own."""


class PollError(Exception):
    """A poll failed. The message is one line without device name or secret: the poller adds where."""

    def __init__(self, reason: Reason, message: str) -> None:
        super().__init__(message)
        self.reason = reason


@dataclass(slots=True)
class Polled:
    """What one poll brought."""

    readings: list[Reading] = field(default_factory=list)
    """Base units, labels in the metric's order. The range gate comes after: see `exporters.runtime.gate`."""
    dropped: dict[str, int] = field(default_factory=dict)
    """Values left out by this poll, by reason: sentinel, quality, no_number, unit, stale, error."""
    identity: tuple[str, str, str, str, str] = ("", "", "", "", "")
    """Profile, vendor, model, firmware, serial, as far as known."""

    def drop(self, reason: str, count: int = 1) -> None:
        """Count values that were left out."""
        self.dropped[reason] = self.dropped.get(reason, 0) + count


class Driver(Protocol):
    """Asks one endpoint. Runs in the poller's event loop and never blocks it.

    The poller sets the deadline (a poll is cancelled when it is over), keeps one poll in flight per endpoint,
    paces, backs off, and limits how many run at once per protocol. A driver keeps its connection between
    polls and opens it again when it is broken.
    """

    async def poll(self) -> Polled:
        """Everything the device says now. Raises PollError or OSError; what was found before is lost then."""

    async def close(self) -> None:
        """Leave: end sessions (a BMC has few), close connections. Raises nothing, takes at most 2 s."""


@dataclass(frozen=True, slots=True)
class Secret:
    """Credentials as the settings name them; every text is read from its file (again when that changes)."""

    username: str = ""
    password: str = ""
    """Password, community (SNMP v2c) or token, by protocol."""
    bearer: str = ""
    version: str = ""
    """snmp: 2c or 3."""
    auth_protocol: str = ""
    """snmp 3: md5, sha, sha224, sha256, sha384, sha512; empty: none."""
    privacy_protocol: str = ""
    """snmp 3: des, aes128, aes192, aes256; empty: none."""
    privacy_password: str = ""
    ca_file: str = ""
    cert_file: str = ""
    key_file: str = ""
    server_name: str = ""
    insecure: bool = False
    """Take any certificate."""

    def __repr__(self) -> str:
        return f"Secret({self.username or 'anonymous'})"


@dataclass(frozen=True, slots=True)
class Wiring:
    """What every driver is given beside its endpoint."""

    device: Device
    endpoint: Endpoint
    inventory: Inventory
    secret: Callable[[], Secret]
    """The credentials now. Raises PollError(AUTH) with file and reason if they cannot be read."""
    deadline: float
    """Seconds that a whole poll may take."""
    interval: float
    """Seconds from one poll to the next."""
    clock: Callable[[], float]
    """Unix time."""
    shared: dict[str, object]
    """Where a protocol keeps what its drivers share (an HTTP session, a broker's subscription), by its
    name."""
    options: Mapping[str, str] = field(default_factory=dict)
    """Folders with profiles of the site's own: `snmp_profiles`, `modbus_profiles`."""


Make = Callable[[Wiring], Driver]
"""What a protocol exports: `make` in `exporters.facility.{redfish,snmp,modbus,mqtt}`. Raises PollError
(PROFILE) or UserError if the endpoint cannot be used at all."""
