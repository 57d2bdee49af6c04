"""The health page of an NVMe disk: how it is asked for and what it says (NVM Express base specification,
SMART / Health Information log, and the admin command of linux/nvme_ioctl.h)."""

from __future__ import annotations

import fcntl
import os
import struct
from array import array
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from exporters.runtime import SourceError

SIZE = 512
WARNINGS = ("spare_low", "temperature", "reliability", "read_only", "backup_failed", "memory_read_only")
"""Bits of the critical warning, from the lowest."""

_ADMIN_COMMAND = 0xC0484E41
"""_IOWR('N', 0x41, 72 bytes)."""
_COMMAND = struct.Struct("=BBHIIIQQIIIIIIIIII")
_GET_LOG_PAGE = 0x02
_HEALTH = 0x02
_WHOLE_CONTROLLER = 0xFFFFFFFF
_USUAL_PATIENCE = 0
"""The kernel's own time-out: a shorter one would have it reset a controller that is merely busy."""
_HEAD = struct.Struct("<BHBBB")
_MEDIA_ERRORS = slice(160, 176)
_ZERO_CELSIUS = 273
"""The specification counts whole kelvins."""


@dataclass(frozen=True, slots=True)
class Health:
    """What the page says. `temperature` in degrees Celsius, None where the disk does not measure it."""

    warnings: frozenset[str]
    temperature: float | None
    spare: float
    wear: float
    media_errors: float


def parse(page: bytes) -> Health:
    """Raises SourceError("format") if the page is too short, and SourceError("refused") if it says nothing,
    as virtual disks do."""
    if len(page) < SIZE:
        raise SourceError("format", f"health page of {len(page)} bytes; allowed: {SIZE}")
    bits, kelvin, spare, _, used = _HEAD.unpack_from(page)
    if kelvin == 0 and spare == 0:
        raise SourceError("refused", "health page without temperature and spare blocks: a virtual disk")
    return Health(
        warnings=frozenset(name for bit, name in enumerate(WARNINGS) if bits >> bit & 1),
        temperature=float(kelvin - _ZERO_CELSIUS) if kelvin else None,
        spare=spare / 100,
        wear=used / 100,
        media_errors=float(int.from_bytes(page[_MEDIA_ERRORS], "little")),
    )


def command(address: int) -> bytearray:
    """The kernel's structure that asks for the page of the whole controller, to be written at `address`."""
    dwords = (SIZE // 4 - 1) << 16 | _HEALTH
    head = (_GET_LOG_PAGE, 0, 0, _WHOLE_CONTROLLER, 0, 0, 0, address, 0, SIZE)
    return bytearray(_COMMAND.pack(*head, dwords, 0, 0, 0, 0, 0, _USUAL_PATIENCE, 0))


def read_page(device: Path, ioctl: Callable[[int, int, bytearray, bool], int] = fcntl.ioctl) -> bytes:
    """Ask a controller (/dev/nvmeN). May block. Raises OSError, PermissionError without CAP_SYS_ADMIN, and
    SourceError("refused") if the controller answers with a status other than success."""
    page = array("B", bytes(SIZE))
    handle = os.open(device, os.O_RDONLY | os.O_CLOEXEC)
    try:
        status = ioctl(handle, _ADMIN_COMMAND, command(page.buffer_info()[0]), True)
    finally:
        os.close(handle)
    if status:
        raise SourceError("refused", f"{device}: no health page, status 0x{status:x}")
    return page.tobytes()
