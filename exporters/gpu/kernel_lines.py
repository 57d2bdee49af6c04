"""What the kernel log says of GPUs: records of /dev/kmsg, and the lines in them that mean something to us.

Format of a record: Documentation/ABI/testing/dev-kmsg of the Linux kernel. Spellings of the lines: see
tests/exporters/fixtures/kernel_log/README.md.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from exporters.gpu.address import PciAddress, pci_address, shown

FALLEN_OFF_THE_BUS = 79
_HIGHEST_SEQUENCE = 2**53


class Record(NamedTuple):
    """One record: its number since boot, seconds on the log's own clock, and the text without escapes."""

    sequence: int
    seconds: float
    text: str


class Xid(NamedTuple):
    """The driver reported an XID. `spelled` is False where a line says what 79 means without naming it."""

    address: PciAddress
    code: int
    spelled: bool = True


class Sxid(NamedTuple):
    """The driver of an NVSwitch reported an error; severity is non_fatal, fatal or unknown."""

    bus_id: str
    code: int
    severity: str


class HungTask(NamedTuple):
    """The kernel found a task that waits without an end."""


class Located(NamedTuple):
    """The driver says which GPU sits at an address."""

    address: PciAddress
    uuid: str


News = Xid | Sxid | HungTask | Located

_HEADER = re.compile(rb"(\d{1,10}),(\d{1,19}),(\d{1,19}),[^;\n]{0,80};")
_ESCAPE = re.compile(r"\\x([0-9a-fA-F]{2})")
_ADDRESS = r"((?:PCI:)?(?:[0-9a-fA-F]{1,8}:)?[0-9a-fA-F]{2}:[0-9a-fA-F]{2}(?:\.[0-7])?)"
_STAMP = r"^(?:\[[ \d.T@]{1,32}\] ?)?"
_XID = re.compile(
    _STAMP + r"NVRM: (?:GPU\S{0,20} )?Xid \(" + _ADDRESS + r"(?: [^()]{1,40})?\): (\d{1,5})(?!\d)"
)
_SXID = re.compile(
    _STAMP
    + r"nvidia-nvswitch\d{1,4}: SXid \("
    + _ADDRESS
    + r"\): (\d{1,5})(?!\d)(?:, ?(Non-fatal|Fatal)\b)?",
    re.IGNORECASE,
)
_FALLEN = re.compile(r"fallen off the bus", re.IGNORECASE)
_FALLEN_OF = re.compile(r"\b(?:GPU|nvidia)(?: at)?:? " + _ADDRESS, re.IGNORECASE)
_DRIVER = re.compile(_STAMP + r"(?:NVRM:|nvidia )")
_HUNG = re.compile(_STAMP + r"INFO: task .{1,64}:\d{1,10} blocked (?:in I/O wait )?for more than \d")
_LOCATED = re.compile(
    _STAMP + r"NVRM: GPU at " + _ADDRESS + r": (GPU-[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})\b",
    re.IGNORECASE,
)


def parse_record(line: bytes) -> Record | None:
    """The record that begins with this line; None if it is not the beginning of a record."""
    head = _HEADER.match(line)
    if head is None:
        return None
    sequence = int(head[2])
    if sequence > _HIGHEST_SEQUENCE:
        return None
    text = line[head.end() :].decode("utf-8", "replace")
    if "\\" in text:
        text = _ESCAPE.sub(lambda code: chr(int(code[1], 16)), text)
    return Record(sequence, int(head[3]) / 1e6, text)


class Interpreter:
    """Finds the news in records. Remembers what one event tells over several records."""

    def __init__(self) -> None:
        self._named: tuple[int, PciAddress] | None = None

    def news(self, record: Record) -> Iterator[News]:
        """What the record tells; most tell nothing."""
        text = record.text
        if "blocked" in text and _HUNG.match(text):
            yield HungTask()
            return
        if "NVRM" not in text and "nvidia" not in text:
            return
        spelled = False
        for line in text.split("\n"):
            found = _line(line)
            if found is not None:
                spelled = spelled or isinstance(found, Xid)
                yield found
        if not spelled:
            yield from self._fallen(record)

    def _fallen(self, record: Record) -> Iterator[Xid]:
        """A GPU that is gone without an XID. Its address may stand in an earlier line, or in an earlier
        record where a kernel splits what the driver printed at once."""
        text = record.text
        if not _DRIVER.match(text):
            return
        gone = _FALLEN.search(text)
        named = _FALLEN_OF.search(text)
        address = None if named is None else pci_address(named[1])
        if gone is None:
            if address is not None:
                self._named = (record.sequence, address)
            return
        if address is None and self._named is not None and 0 < record.sequence - self._named[0] <= _SPLIT:
            address = self._named[1]
        self._named = None
        if address is not None:
            yield Xid(address, FALLEN_OFF_THE_BUS, spelled=False)


_SPLIT = 3
"""Records over which the driver's three-line message can be spread."""


def _line(line: str) -> News | None:
    found = _XID.match(line)
    if found:
        address = pci_address(found[1])
        return None if address is None or not int(found[2]) else Xid(address, int(found[2]))
    found = _SXID.match(line)
    if found:
        address = pci_address(found[1])
        severity = (found[3] or "unknown").lower().replace("-", "_")
        return None if address is None else Sxid(f"{shown(address)}.0", int(found[2]), severity)
    found = _LOCATED.match(line)
    if found:
        address = pci_address(found[1])
        return None if address is None else Located(address, "GPU-" + found[2][4:].lower())
    return None
