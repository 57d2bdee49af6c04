"""Settings of a NetBox as a source: where it is, how it lets us in, and what its words mean to us."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field

from exporters.inference.access import Access
from gigawatch.config import Strict, load_file, parse_duration
from gigawatch.topology import Role

NODE = "node"
ROLES: dict[str, str] = {
    "node": NODE, "server": NODE, "gpu-server": NODE, "gpu-node": NODE, "compute": NODE, "compute-node": NODE,
    "storage": NODE, "storage-server": NODE,
    "ups": "ups", "pdu": "rack_pdu", "rack-pdu": "rack_pdu", "floor-pdu": "floor_pdu", "busway": "busway",
    "ats": "transfer_switch", "sts": "transfer_switch", "transfer-switch": "transfer_switch",
    "power-shelf": "power_shelf", "power-meter": "meter", "meter": "meter",
    "cdu": "cdu", "coolant-distribution-unit": "cdu", "crah": "crah", "crac": "crah", "chiller": "chiller",
    "dry-cooler": "dry_cooler", "cooling-tower": "cooling_tower", "manifold": "manifold",
    "rear-door": "rear_door", "rdhx": "rear_door", "leak-detector": "leak_detector", "sensor": "sensor",
    "door": "door", "switch": "switch", "network-switch": "switch", "leaf": "switch", "spine": "switch",
}  # fmt: skip
"""What the slugs of device roles mean, where the settings do not say."""
SHORTEST, LONGEST = 5.0, 86400.0


def _duration(text: str) -> str:
    if not SHORTEST <= parse_duration(text) <= LONGEST:
        raise ValueError(f"'{text}' is out of range; allowed: 5s to 1d")
    return text


def _url(text: str) -> str:
    parts = urlsplit(text)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.username or parts.query:
        raise ValueError("is no address of a NetBox; allowed: https://HOST or https://HOST/PATH")
    return text.rstrip("/").removesuffix("/api")


def _roles(roles: dict[str, str]) -> dict[str, str]:
    allowed = [NODE, "ignore", *(role.value for role in Role)]
    for slug, role in roles.items():
        if role not in allowed:
            raise ValueError(f"{slug}: is '{role}'; allowed: {', '.join(allowed)}")
    return roles


Duration = Annotated[str, AfterValidator(_duration)]


class TlsSection(Strict):
    ca_file: str = ""
    cert_file: str = ""
    key_file: str = ""
    server_name: str = ""
    insecure: bool = False


class FieldsSection(Strict):
    """Names of custom fields. Empty: it is not read."""

    gpu_model: str = "gpu_model"
    gpus: str = "gpus"
    power_watts: str = "power_watts"
    cooling_watts: str = "cooling_watts"
    capacity_watts: str = "capacity_watts"
    ports: str = "ports"
    kind: str = "kind"
    loop: str = "cooling_loop"
    side: str = "side"
    group: str = "redundancy_group"
    spare: str = "redundancy_spare"
    position: str = "row_position"
    positions: str = "row_positions"


class EndpointSection(Strict):
    """How devices of a role are asked; the address is their primary IP address in NetBox."""

    protocol: Literal["redfish", "snmp", "modbus", "mqtt"]
    credentials: str = ""
    profile: str = ""
    path: str = ""
    unit: Annotated[int, Field(ge=0, le=255)] = 1
    interval: str = ""
    port: Annotated[int, Field(ge=0, le=65535)] = 0


class NetBoxSettings(Strict):
    """A file for `gigawatch sd --netbox FILE` and `gigawatch inventory ... --netbox FILE`."""

    url: Annotated[str, AfterValidator(_url)]
    token_file: str = ""
    site: Annotated[str, Field(pattern=r"^[-a-zA-Z0-9_]+$")]
    """Slug of the site in NetBox; also its name here."""
    tls: TlsSection = TlsSection()
    every: Duration = "5m"
    full_every: Duration = "1h"
    """How often all is read, whatever the change log says."""
    timeout: Duration = "30s"
    cache: Path | None = None
    overlay: Path | None = None
    """What NetBox does not know, in the form of an inventory file."""
    roles: Annotated[dict[str, str], AfterValidator(_roles)] = Field(default_factory=dict)
    statuses: list[str] = Field(default_factory=lambda: ["active", "staged", "failed", "decommissioning"])
    """Of devices that stand there."""
    gpu_item_roles: list[str] = Field(default_factory=lambda: ["gpu", "accelerator"])
    """Slugs of roles of inventory items that are GPUs."""
    fields: FieldsSection = FieldsSection()
    sides: dict[str, Literal["A", "B", ""]] = Field({"primary": "A", "redundant": "B"})
    """Side of a power feed by its type."""
    endpoints: dict[str, EndpointSection] = Field(default_factory=dict)
    """By our role (rack_pdu, cdu, ...; bmc: by the out-of-band address of the node)."""
    supply_celsius: Annotated[float, Field(ge=5, le=60)] = 30.0
    """Set point of loops, which NetBox does not know."""
    agent_port: Annotated[int, Field(ge=1, le=65535)] = 9610

    @property
    def access(self) -> Access:
        return Access(**self.tls.model_dump(), bearer_token_file=self.token_file)

    def role_of(self, slug: str) -> str:
        """node, one of our roles, or empty for what does not concern us."""
        role = self.roles.get(slug, ROLES.get(slug, ""))
        return "" if role == "ignore" else role


def load_settings(path: Path) -> NetBoxSettings:
    """The settings in a file; names of files in it begin at its folder. Raises FileError."""
    settings = load_file(path, NetBoxSettings)
    folder = path.parent

    def beside(name: str) -> str:
        return str(folder / name) if name else ""

    tls = settings.tls
    return settings.model_copy(
        update={
            "token_file": beside(settings.token_file),
            "cache": folder / settings.cache if settings.cache else None,
            "overlay": folder / settings.overlay if settings.overlay else None,
            "tls": tls.model_copy(
                update={name: beside(getattr(tls, name)) for name in ("ca_file", "cert_file", "key_file")}
            ),
        }
    )
