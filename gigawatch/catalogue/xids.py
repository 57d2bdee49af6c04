"""What XID and SXID codes mean and what to do about them: one row per code, in our own words.

Facts: NVIDIA's XID catalogue (codes 1 to 172, Ampere and newer), its archive for older GPUs, and the fabric
manager's guide for SXIDs. Codes that NVIDIA marks as unused are left out.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import NamedTuple


class Rating(StrEnum):
    """How bad it is."""

    LOST = "lost"
    """The GPU is no longer there."""
    RESET = "reset"
    """The GPU works again only after a reset or a reboot: whatever ran on it is lost."""
    SERVICE = "service"
    """Hardware is suspected: drain, run the field diagnosis, exchange what fails it."""
    CONTAINED = "contained"
    """Handled by the hardware; a reset at the next drain is enough."""
    APPLICATION = "application"
    """Mostly a bug of the application that ran: context, never a page."""
    DRIVER = "driver"
    """Trouble inside the driver or firmware that did not stop the GPU."""
    INFO = "info"
    """A note that goes with another XID, or with nothing at all."""


class Action(StrEnum):
    """What an on-call engineer does first."""

    NONE = "none"
    SEE_OTHER_XID = "see_other_xid"
    RESTART_APP = "restart_app"
    RESTART_VM = "restart_vm"
    RESET_GPU = "reset_gpu"
    RESET_AT_DRAIN = "reset_at_next_drain"
    DIAGNOSE_GPU = "diagnose_gpu"
    REBOOT_NODE = "reboot_node"
    POWER_CYCLE = "power_cycle_node"
    CHECK_LINK = "check_link"
    CHECK_POWER = "check_power_cable"
    UPDATE_DRIVER = "update_driver"
    CONTACT_SUPPORT = "contact_support"


ACTION_TEXTS: Mapping[Action, str] = MappingProxyType(
    {
        Action.NONE: "Nothing.",
        Action.SEE_OTHER_XID: "Follow the XIDs of the same GPU at the same time; they say what to do.",
        Action.RESTART_APP: "Restart the application; if it happens on another GPU too, its owner debugs it.",
        Action.RESTART_VM: "Restart the virtual machine.",
        Action.RESET_GPU: "Drain the node and reset the GPU; where NVLink is involved, all GPUs of the node.",
        Action.RESET_AT_DRAIN: "Reset the GPU when the node is drained next; work may go on until then.",
        Action.DIAGNOSE_GPU: "Drain the node, reset the GPU, run the field diagnosis, exchange what fails.",
        Action.REBOOT_NODE: "Drain and reboot the node.",
        Action.POWER_CYCLE: "Drain the node and switch its power off and on; a reboot is often not enough.",
        Action.CHECK_LINK: "Drain the node, check the NVLink (cable, connector, far end), reset its GPUs.",
        Action.CHECK_POWER: "Check the power cable of the GPU and that it sits well in its slot.",
        Action.UPDATE_DRIVER: "Update driver and firmware.",
        Action.CONTACT_SUPPORT: "Nothing yet; if it returns, send the vendor a bug report.",
    }
)


class Xid(NamedTuple):
    """A code: what it means in a few words, how bad it is, what to do first."""

    meaning: str
    rating: Rating
    action: Action


def _same(codes: Iterable[int], row: Xid) -> dict[int, Xid]:
    return dict.fromkeys(codes, row)


def _engine(name: str) -> Xid:
    return Xid(f"an error of {name}", Rating.APPLICATION, Action.RESTART_APP)


_R, _A = Rating, Action
_TABLE: dict[int, Xid] = {
    **_same((6, 7, 11, 25, 32), Xid("an invalid or damaged command stream", _R.APPLICATION, _A.RESTART_APP)),
    8: Xid("a channel stopped processing", _R.APPLICATION, _A.RESTART_APP),
    9: Xid("the driver programmed the GPU wrongly", _R.DRIVER, _A.CONTACT_SUPPORT),
    12: Xid("the driver failed to handle an exception", _R.DRIVER, _A.CONTACT_SUPPORT),
    13: Xid("an exception in a kernel", _R.APPLICATION, _A.RESTART_APP),
    14: Xid("an error injected on purpose", _R.INFO, _A.NONE),
    16: Xid("the display engine hangs", _R.DRIVER, _A.REBOOT_NODE),
    18: Xid("bus mastering is switched off in PCI configuration", _R.DRIVER, _A.REBOOT_NODE),
    24: Xid("a semaphore timed out", _R.APPLICATION, _A.RESTART_APP),
    26: Xid("the frame buffer timed out", _R.DRIVER, _A.CONTACT_SUPPORT),
    **_same((27, 28, 29, 42, 60), _engine("the video processor")),
    31: Xid("access to memory that is not mapped", _R.APPLICATION, _A.RESTART_APP),
    **_same((37, 38), Xid("an error in driver firmware", _R.DRIVER, _A.CONTACT_SUPPORT)),
    **_same((39, 40, 41, 70, 71, 72, 75, 76, 77, 85, *range(126, 136)), _engine("a copy engine")),
    43: Xid("the application was stopped", _R.APPLICATION, _A.RESTART_APP),
    44: Xid("a fault during a context switch", _R.DRIVER, _A.CONTACT_SUPPORT),
    45: Xid("the application ended while work was queued", _R.APPLICATION, _A.SEE_OTHER_XID),
    46: Xid("the GPU stopped processing", _R.RESET, _A.RESET_GPU),
    **_same((47, 65, 73, 142), _engine("a video encoder")),
    48: Xid("a memory error of two bits", _R.SERVICE, _A.DIAGNOSE_GPU),
    54: Xid("the auxiliary power is not connected", _R.SERVICE, _A.CHECK_POWER),
    56: Xid("an error of the display engine", _R.DRIVER, _A.CONTACT_SUPPORT),
    57: Xid("the memory interface failed to train", _R.SERVICE, _A.DIAGNOSE_GPU),
    58: Xid("the memory interface is unstable", _R.SERVICE, _A.DIAGNOSE_GPU),
    **_same((59, 61), Xid("a warning of its power controller", _R.DRIVER, _A.CONTACT_SUPPORT)),
    62: Xid("its power controller halted", _R.RESET, _A.RESET_GPU),
    63: Xid("a bad memory row was replaced", _R.CONTAINED, _A.RESET_AT_DRAIN),
    64: Xid("a bad memory row could not be replaced", _R.SERVICE, _A.DIAGNOSE_GPU),
    **_same((66, 67), Xid("an illegal access by the driver", _R.DRIVER, _A.CONTACT_SUPPORT)),
    **_same((68, 83, 84, 88, 89, 96, 97, 98), _engine("a video decoder")),
    69: Xid("a wrong class in the command stream", _R.APPLICATION, _A.RESTART_APP),
    74: Xid("an NVLink error", _R.SERVICE, _A.CHECK_LINK),
    78: Xid("a virtual GPU failed to start", _R.DRIVER, _A.UPDATE_DRIVER),
    79: Xid("the GPU fell off the bus", _R.LOST, _A.POWER_CYCLE),
    80: Xid("damaged data arrived at the GPU", _R.APPLICATION, _A.RESTART_APP),
    **_same((82, *range(99, 106)), _engine("a JPEG engine")),
    **_same((86, 139), _engine("an optical-flow engine")),
    92: Xid("many corrected memory errors", _R.CONTAINED, _A.RESET_AT_DRAIN),
    93: Xid("the wear limit of its information memory is reached", _R.INFO, _A.CONTACT_SUPPORT),
    94: Xid(
        "a contained memory error: only the application that hit it was ended", _R.CONTAINED, _A.RESTART_APP
    ),
    95: Xid("an uncontained memory error", _R.RESET, _A.RESET_GPU),
    **_same((106, 107), Xid("a test message of the management bus", _R.INFO, _A.NONE)),
    109: Xid("a context switch timed out", _R.RESET, _A.RESET_GPU),
    110: Xid("a security fault", _R.RESET, _A.POWER_CYCLE),
    119: Xid("its system processor does not answer", _R.RESET, _A.RESET_GPU),
    120: Xid("its system processor reported an error", _R.RESET, _A.RESET_GPU),
    121: Xid("corrected errors on the link to the processor", _R.INFO, _A.RESET_AT_DRAIN),
    136: Xid("an NVLink failed to train", _R.RESET, _A.CHECK_LINK),
    137: Xid("an illegal access over NVLink", _R.APPLICATION, _A.RESTART_APP),
    140: Xid("an unrecovered memory error", _R.RESET, _A.RESET_GPU),
    141: Xid("an error of CUDA's fast path", _R.DRIVER, _A.CONTACT_SUPPORT),
    143: Xid("it failed to initialise", _R.RESET, _A.RESET_GPU),
    144: Xid("an NVLink fault (first class)", _R.RESET, _A.RESET_GPU),
    145: Xid("an NVLink fault (second class)", _R.RESET, _A.RESET_GPU),
    146: Xid("an NVLink fault (transport layer)", _R.RESET, _A.RESET_GPU),
    147: Xid("an NVLink fault (multicast engine)", _R.DRIVER, _A.CONTACT_SUPPORT),
    148: Xid("an NVLink fault (its controller)", _R.DRIVER, _A.CONTACT_SUPPORT),
    149: Xid("an NVLink fault (network layer)", _R.RESET, _A.CHECK_LINK),
    150: Xid("an NVLink fault (management engine)", _R.RESET, _A.RESET_GPU),
    151: Xid("the rotation of keys failed", _R.DRIVER, _A.RESTART_VM),
    **_same((152, 153), Xid("an error of the deep-learning accelerator", _R.DRIVER, _A.CONTACT_SUPPORT)),
    154: Xid("the recovery action changed", _R.INFO, _A.SEE_OTHER_XID),
    155: Xid("an NVLink was taken down on purpose", _R.DRIVER, _A.RESET_GPU),
    156: Xid("a faulty part was taken out of use", _R.CONTAINED, _A.RESET_AT_DRAIN),
    157: Xid("a faulty part could not be taken out of use", _R.SERVICE, _A.CONTACT_SUPPORT),
    158: Xid("a fatal timeout", _R.RESET, _A.RESET_GPU),
    159: Xid("an error on the link to the processor", _R.DRIVER, _A.SEE_OTHER_XID),
    160: Xid("a faulty memory channel was taken out of use", _R.CONTAINED, _A.RESET_AT_DRAIN),
    161: Xid("a faulty memory channel could not be taken out of use", _R.SERVICE, _A.CONTACT_SUPPORT),
    162: Xid("power smoothing works again", _R.INFO, _A.NONE),
    163: Xid("power smoothing was switched off", _R.INFO, _A.RESET_AT_DRAIN),
    164: Xid("the power-smoothing parts are nearly worn out", _R.INFO, _A.CONTACT_SUPPORT),
    165: Xid("the power-smoothing parts are worn out", _R.INFO, _A.CONTACT_SUPPORT),
    166: Xid("unencrypted traffic on an NVLink", _R.DRIVER, _A.CONTACT_SUPPORT),
    167: Xid("a fatal timeout on PCIe", _R.RESET, _A.RESET_GPU),
    168: Xid("errors in protected memory: less of it is usable", _R.DRIVER, _A.REBOOT_NODE),
    169: Xid("its security processor halted", _R.RESET, _A.RESET_GPU),
    170: Xid("an interrupt in confidential computing", _R.DRIVER, _A.CONTACT_SUPPORT),
    171: Xid("an uncorrected error in device memory", _R.SERVICE, _A.DIAGNOSE_GPU),
    172: Xid("an uncorrected error in on-chip memory", _R.SERVICE, _A.DIAGNOSE_GPU),
}
XIDS: Mapping[int, Xid] = MappingProxyType(dict(sorted(_TABLE.items())))
"""Every documented code, in order."""

_UNKNOWN = Xid("not in NVIDIA's catalogue", Rating.INFO, Action.CONTACT_SUPPORT)


def describe(code: int) -> Xid:
    """The row of a code; one that says so for codes that are not documented."""
    return XIDS.get(code, _UNKNOWN)


def rated(rating: Rating) -> Mapping[int, str]:
    """Codes of one rating, with their meanings."""
    return MappingProxyType({code: row.meaning for code, row in XIDS.items() if row.rating is rating})


class Sxid(NamedTuple):
    """An NVSwitch code that is fatal: to the whole fabric (`always`), or to the port that it names."""

    meaning: str
    always: bool


_PORT: dict[str, tuple[int, ...]] = {
    "ingress: an invalid command or channel": (11001, 11009),
    "ingress: an uncorrected memory error": (11013, 11018, 11019),
    "ingress: a parity error": (11020,),
    "egress: an overflow, a wrong route or a wrong type": (12001, 12002, 12025, 12032),
    "egress: an uncorrected memory error": (12022, 12024),
    "egress: a wrong destination": (12026, 12027),
    "egress: a parity error": (12030, 12031),
    "a transaction timed out": (14017, 24007),
    "routing: a buffer ran over or empty": (15001, 15006),
    "routing: a memory or parity error": (15009, 15010, 15012, 15013),
    "an uncorrected memory error of a port": (
        *(19047, 19048, 19054, 19056, 19058, 19060, 19061),
        *(19063, 19064, 19066, 19067, 19069, 19070),
    ),
    "an NVLink went down while in use": (20034,),
    "an NVLink is not available": (22012,),
    "source tracking: an uncorrected memory error": (24004, 24005, 24006),
}
_FABRIC: dict[str, tuple[int, ...]] = {
    "an interrupt that nobody handles": (10003,),
    "egress: a packet out of sequence": (12020,),
    "the link controller halted or failed": (22003, 22011),
    "a buffer or its credits ran over or empty": (*range(23001, 23005), *range(23010, 23014)),
    "ingress: damaged packets": (*range(23005, 23010), *range(23014, 23018)),
}


def _fatal() -> dict[int, Sxid]:
    found = {code: Sxid(meaning, False) for meaning, codes in _PORT.items() for code in codes}
    return found | {code: Sxid(meaning, True) for meaning, codes in _FABRIC.items() for code in codes}


SXIDS: Mapping[int, Sxid] = MappingProxyType(dict(sorted(_fatal().items())))
"""Codes that the fabric manager's guide lists as fatal; the switch corrects others, or they follow these."""

CLASSES: Mapping[str, tuple[int, ...]] = MappingProxyType(
    {
        "memory": (48, 57, 58, 95, 140, 171, 172),
        "contained": (63, 92, 94, 156, 160),
        "remap_failed": (64, 157, 161),
        "link": (74, 136, 144, 145, 146, 149, 150),
        "lost": (79, 167),
        "driver": (46, 62, 109, 110, 119, 120, 143, 158, 169),
    }
)
"""XIDs that foretell a failure, by what they say is failing."""
