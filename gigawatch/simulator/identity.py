"""Names that stay the same for one seed: GPU UUIDs, serials, bus addresses."""

from __future__ import annotations

from functools import cache
from hashlib import sha256
from uuid import UUID

from gigawatch.topology import Inventory


def digest(seed: int, *parts: object) -> bytes:
    """32 bytes that depend on the seed and the parts and on nothing else."""
    return sha256("/".join(map(str, (seed, *parts))).encode()).digest()


@cache
def gpu_uuid(seed: int, node: str, index: int) -> str:
    """UUID of a GPU as NVML writes it; stable for (seed, node, index)."""
    return f"GPU-{UUID(bytes=digest(seed, node, index)[:16])}"


def gpu_serial(seed: int, node: str, index: int) -> str:
    """A board serial of 13 digits."""
    return str(1_650_000_000_000 + int.from_bytes(digest(seed, "serial", node, index)[:5]) % 10**11)


def pci_bus_id(index: int) -> str:
    """Bus address of GPU `index` in a node, in NVML's long form."""
    return (
        f"00000000:{0x1B + 0x14 * index:02X}:00.0"
        if index < 8
        else f"{index // 8:08X}:{0x1B + index % 8:02X}:00.0"
    )


def fingerprint(inventory: Inventory) -> str:
    """The same for inventories that make the same plant."""
    parts = (
        inventory.site,
        inventory.racks,
        inventory.nodes,
        inventory.devices,
        inventory.loops,
        inventory.workloads,
    )
    return sha256(repr(parts).encode()).hexdigest()[:16]
