"""What is to be asked: one job for each endpoint of each device."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from exporters.facility.driver import PollError, Reason, Secret
from exporters.facility.secrets import Credential
from gigawatch.topology import Device, Endpoint

LONGEST_POLL = 10.0
SHARE_OF_INTERVAL = 0.8
Key = tuple[str, str]
"""Name of the device, value of the label `endpoint`."""


@dataclass(frozen=True)
class Job:
    """One endpoint and how to ask it. Two jobs that are equal need no restart."""

    device: Device
    endpoint: Endpoint
    label: str
    """Value of the label `endpoint`: the protocol, with a number from the second of a protocol on."""
    interval: float
    """Seconds from one poll to the next."""
    silent: float
    """Seconds for which it is left alone at most while it does not answer."""
    refusing: float
    """The same while it does not let us in."""
    credential: Credential | None = None
    stamp: tuple[object, ...] = ()
    """Of the credential's files."""

    @property
    def key(self) -> Key:
        return self.device.name, self.label

    @property
    def deadline(self) -> float:
        """Seconds that a whole poll may take."""
        return min(LONGEST_POLL, SHARE_OF_INTERVAL * self.interval)

    @property
    def patience(self) -> float:
        """Seconds after which a poll takes nobody's place any more."""
        return min(1.0, 0.1 * self.interval)

    @property
    def same_thing(self) -> tuple[object, ...]:
        """Where this differs another thing is asked, and nothing that was read before holds."""
        e, d = self.endpoint, self.device
        return e.protocol, e.address, e.profile, e.path, e.unit, e.context, e.object, d.role, d.side

    @cached_property
    def share(self) -> float:
        """A number from 0 to 1 that is always the same for a key, and evenly spread over many."""
        text = "\0".join(self.key).encode()
        return int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "big") / 2**64

    def secret(self) -> Secret:
        """The credentials as of now. Raises PollError(AUTH)."""
        if self.credential is not None:
            return self.credential.read()
        if self.endpoint.credentials:
            raise PollError(Reason.AUTH, f"the settings have no credentials '{self.endpoint.credentials}'")
        return Secret()


def labels_of(endpoints: tuple[Endpoint, ...]) -> list[str]:
    """Values of the label `endpoint` for the endpoints of one device."""
    count: Counter[str] = Counter()
    found = []
    for endpoint in endpoints:
        count[endpoint.protocol] += 1
        number = count[endpoint.protocol]
        found.append(endpoint.protocol if number == 1 else f"{endpoint.protocol}-{number}")
    return found


Jobs = Mapping[Key, Job]
