"""PCI addresses of GPUs, however they are written."""

from __future__ import annotations

import re

PciAddress = tuple[int, int, int]
"""Domain, bus and device. The function says nothing: a GPU's is 0."""

_SPELLING = re.compile(
    r"(?:PCI:)?(?:([0-9a-f]{1,8}):)?([0-9a-f]{2}):([01][0-9a-f])(?:\.[0-7])?", re.IGNORECASE
)


def pci_address(text: str) -> PciAddress | None:
    """The address in "0000:1b:00", "00000000:1B:00.0", "PCI:0000:1b:00" or "1b:00.0"; None if it is none."""
    found = _SPELLING.fullmatch(text)
    if found is None:
        return None
    return int(found[1] or "0", 16), int(found[2], 16), int(found[3], 16)


def shown(address: PciAddress) -> str:
    """As sysfs writes it, without the function."""
    return "{:04x}:{:02x}:{:02x}".format(*address)


def nameless(address: PciAddress) -> str:
    """What stands in the label `uuid` of a GPU that has never told its UUID."""
    return f"pci-{shown(address)}"
