"""Lines of the kernel log, in every spelling that is known, and anything else that may stand there."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporters.gpu.address import PciAddress, nameless, pci_address, shown
from exporters.gpu.kernel_lines import HungTask, Interpreter, Located, News, Sxid, Xid, parse_record

LINES = Path(__file__).parent / "fixtures" / "kernel_log" / "lines.tsv"


def understood(news: News) -> str:
    match news:
        case Xid(address, code, True):
            return f"xid {shown(address)} {code}"
        case Xid(address):
            return f"fallen {shown(address)}"
        case Sxid(bus_id, code, severity):
            return f"sxid {bus_id} {code} {severity}"
        case Located(address, uuid):
            return f"located {shown(address)} {uuid}"
        case HungTask():
            return "hung"


@pytest.mark.parametrize("line", LINES.read_text().splitlines())
def test_every_known_spelling_is_understood(line: str) -> None:
    expected, text = line.split("\t")
    record = parse_record(b"3,17,1843308145,-;" + text.encode())
    assert record is not None
    found = [understood(news) for news in Interpreter().news(record)]
    assert found == ([] if expected == "nothing" else [expected])


def test_a_record_has_number_time_and_text() -> None:
    record = parse_record(b"6,339,5140900,-,caller=T1;NVRM: a\\x0ab \\x5c \xff")
    assert record is not None
    assert record == (339, 5.1409, "NVRM: a\nb \\ �")


@pytest.mark.parametrize(
    "line", [b"", b" SUBSYSTEM=pci", b" DEVICE=+pci:0000:1b:00.0", b"no record", b"3,x,1,-;y", b"3,1,1,-"]
)
def test_what_begins_no_record_is_passed_over(line: bytes) -> None:
    assert parse_record(line) is None


def test_a_message_of_three_records_names_its_gpu_in_the_first() -> None:
    lines = (
        b"3,7,1,-;NVRM: The NVIDIA GPU 0000:b3:00.0",
        b"3,8,1,-;NVRM: (PCI ID: 10de:26b5) installed in this system has",
        b"3,9,1,-;NVRM: fallen off the bus and is not responding to commands.",
        b"3,10,1,-;NVRM: fallen off the bus and is not responding to commands.",
    )
    interpreter, found = Interpreter(), []
    for line in lines:
        record = parse_record(line)
        assert record is not None
        found += interpreter.news(record)
    assert found == [Xid((0, 0xB3, 0), 79, spelled=False)]


@given(st.binary(max_size=400))
def test_any_bytes_are_a_record_or_none(line: bytes) -> None:
    record = parse_record(line)
    if record is not None:
        list(Interpreter().news(record))


_WORDS = st.sampled_from(
    ["NVRM: ", "Xid (PCI:", "0000:1b:00", "): ", "79", ", ", "GPU ", "nvidia-nvswitch0: ", "SXid (PCI:",
     "Fatal", "fallen off the bus", "INFO: task ", ":12", " blocked for more than ", "99999999999999999999",
     "\n", "\x00", "\\x0a", "ff:ff:ff", "-1", "GPU-I:05", "é"]
)  # fmt: skip


@given(st.lists(_WORDS, max_size=20).map("".join))
def test_what_nearly_is_an_xid_gives_no_absurd_one(text: str) -> None:
    record = parse_record(b"3,1,1,-;" + text.encode())
    assert record is not None
    for news in Interpreter().news(record):
        if isinstance(news, Xid | Sxid):
            assert 0 < news.code < 100_000


@given(st.tuples(st.integers(0, 0xFFFFF), st.integers(0, 0xFF), st.integers(0, 0x1F)))
def test_an_address_survives_every_spelling(address: PciAddress) -> None:
    domain, bus, device = address
    for text in (shown(address), f"{domain:08X}:{bus:02X}:{device:02X}.0", f"PCI:{shown(address)}.7"):
        assert pci_address(text) == address
    assert nameless(address) == f"pci-{shown(address)}"


@pytest.mark.parametrize(
    "text", ["", "not an address", "0000:1b", "0000:1b:40", "1b:00:00:00", "0000:1b:00.8"]
)
def test_what_is_no_address(text: str) -> None:
    assert pci_address(text) is None
