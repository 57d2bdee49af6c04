"""PCIe and NVLink: how much goes over the links, in which state they are, and their errors.

NVLink counters come link by link where the driver has them: fields with the link as their scope, in older
drivers one field for each link, and else the sum over all links.
"""

from __future__ import annotations

from collections.abc import Callable

import pynvml

from exporters.gpu.binding import (
    Binding,
    Call,
    Derived,
    Family,
    Field,
    Lane,
    Sample,
    Snapshot,
    Value,
    per_link,
    sample,
)
from exporters.gpu.nvml import Missing
from gigawatch.catalogue import gpu_links

_MEGA, _KILO, _KIBI = 1e6, 1e3, 1024.0
_ALL_LINKS = 0xFFFFFFFF
"""Scope of a throughput field that means the sum over the links."""
_ACTIVE, _SLEEP = 1, 2
_OLD_LINKS = 12
"""Links that had fields of their own before fields had scopes."""

_PCIE_ERRORS = {
    "l0_to_recovery": 169, "correctable": 173, "nak_received": 174, "receiver": 175, "bad_tlp": 176,
    "nak_sent": 177, "bad_dllp": 178, "nonfatal": 179, "fatal": 180, "unsupported_request": 181, "lcrc": 182,
    "lane": 183, "replay_rollover": 95,
}  # fmt: skip
_NVLINK5_ERRORS = {
    "malformed": 206, "overrun": 207, "receive": 208, "remote": 209, "general": 210, "integrity": 211,
    "transmit_discard": 212, "recovery_failed": 214, "effective": 219, "symbol": 221,
}  # fmt: skip


def _whole_counter(field: int) -> Derived:
    """A byte counter, if it is wider than 32 bits: a narrow one runs around in a fraction of a second."""
    key, name = (field, 0), f"field {field}"

    def work_out(snapshot: Snapshot) -> Value:
        raw = snapshot.field(key)
        if raw is None or isinstance(raw, Missing):
            return raw
        before = snapshot.memo.get(name, 0.0)
        snapshot.memo[name] = float(raw)
        if snapshot.narrow(key) or raw < before < 2**32:
            return Missing.WRAPS
        return float(raw)

    return Derived(name, work_out, (key,))


def _throughput(counter: int) -> Call:
    # Takes 20 ms: the driver watches the link for so long.
    return Call("nvmlDeviceGetPcieThroughput", (counter,), _KILO)


def _old_field(first: int, further: int, link: int, factor: float = 1.0) -> tuple[Field, ...]:
    """The field of one link in older drivers: the first six follow `first`, six more follow `further`."""
    if link >= _OLD_LINKS:
        return ()
    return (Field(first + link if link < 6 else further + link - 6, 0, factor),)


def _up(state: float) -> float:
    return float(state in (_ACTIVE, _SLEEP))  # a link that sleeps wakes by itself


def _link_up(link: int) -> Sample:
    return sample(str(link), Field(165, link, pick=_up), Call("nvmlDeviceGetNvLinkState", (link,)))


def _link_speed(link: int) -> Sample:
    return sample(str(link), Field(164, link, _MEGA), *_old_field(84, 132, link, _MEGA))


def _errors(kind: str, field: int, old: tuple[int, int], total: int, newer: int | None = None) -> Family:
    def each(link: int) -> Sample:
        further = () if newer is None else (Field(newer, link),)
        return sample(str(link), kind, Field(field, link), *further, *_old_field(*old, link))

    return per_link(each, sample("all", kind, Field(total)))


def _newer_errors(kind: str, field: int) -> Family:
    return per_link(lambda link: sample(str(link), kind, Field(field, link), optional=True))


def _bytes(direction: str, field: int, total: int) -> Family:
    return per_link(
        lambda link: sample(str(link), direction, Field(field, link)),
        sample("all", direction, Field(total, _ALL_LINKS, _KIBI)),
    )


def _bit_error_ratio(raw: float) -> float:
    """Mantissa in bits 8 to 11, negative decimal exponent in bits 0 to 7."""
    return float((int(raw) >> 8 & 0xF) * 10.0 ** -(int(raw) & 0xFF))


def _bit_errors(kind: str, field: int) -> Family:
    each: Callable[[int], Sample] = lambda link: sample(  # noqa: E731 - one more family, written as the others
        str(link), kind, Field(field, link, pick=_bit_error_ratio)
    )
    return per_link(each)


BINDINGS: tuple[Binding, ...] = (
    Binding(gpu_links.GPU_PCIE_BYTES, Lane.FAST, (
        sample("transmit", _whole_counter(197)),
        sample("receive", _whole_counter(198)),
    )),
    Binding(gpu_links.GPU_PCIE_THROUGHPUT, Lane.SLOW, (
        sample("transmit", _throughput(pynvml.NVML_PCIE_UTIL_TX_BYTES)),
        sample("receive", _throughput(pynvml.NVML_PCIE_UTIL_RX_BYTES)),
    ), instead_of=gpu_links.GPU_PCIE_BYTES),
    Binding(gpu_links.GPU_PCIE_REPLAYS, Lane.SLOW, (
        sample(Field(94), Call("nvmlDeviceGetPcieReplayCounter")),
    )),
    Binding(gpu_links.GPU_PCIE_ERRORS, Lane.SLOW, tuple(
        sample(kind, Field(number), optional=True) for kind, number in _PCIE_ERRORS.items()
    )),
    Binding(gpu_links.GPU_PCIE_LINK_GENERATION, Lane.SLOW, (
        sample("current", Call("nvmlDeviceGetCurrPcieLinkGeneration")),
        sample("max", Call("nvmlDeviceGetMaxPcieLinkGeneration")),
    )),
    Binding(gpu_links.GPU_PCIE_LINK_WIDTH, Lane.SLOW, (
        sample("current", Call("nvmlDeviceGetCurrPcieLinkWidth")),
        sample("max", Call("nvmlDeviceGetMaxPcieLinkWidth")),
    )),
    Binding(gpu_links.GPU_NVLINK_UP, Lane.SLOW, (per_link(_link_up),)),
    Binding(gpu_links.GPU_NVLINK_SPEED, Lane.SLOW, (per_link(_link_speed),)),
    Binding(gpu_links.GPU_NVLINK_BYTES, Lane.FAST, (
        _bytes("transmit", 202, 138),
        _bytes("receive", 204, 139),
    )),
    Binding(gpu_links.GPU_NVLINK_ERRORS, Lane.SLOW, (
        _errors("crc", 163, (32, 96), 38),
        _errors("replay", 161, (46, 108), 52),
        _errors("recovery", 162, (53, 114), 59, newer=215),
        *(_newer_errors(kind, number) for kind, number in _NVLINK5_ERRORS.items()),
    )),
    Binding(gpu_links.GPU_NVLINK_BIT_ERROR, Lane.SLOW, (
        _bit_errors("effective", 220),
        _bit_errors("symbol", 222),
    )),
)  # fmt: skip
