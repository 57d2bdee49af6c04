"""What a GPU can compute at the most, by product and number format: what model FLOPs are measured against.

Operations per second as NVIDIA's datasheets state them, dense: where a datasheet gives the rate with
structured sparsity alone, it is halved. fp32 is the rate without tensor cores, the others are those of the
tensor cores with sums in fp32. A product that is not here, or goes by another name, has no peak: a wrong one
would make every utilisation wrong.
"""

from __future__ import annotations

import re
from functools import lru_cache

from gigawatch.catalogue.gpu_activity import GPU_PEAK_FLOPS
from gigawatch.readings import Reading

_FORMATS = ("fp32", "tf32", "fp16", "bf16", "fp8", "fp4")
_TERA = 1e12

_PRODUCTS: tuple[tuple[str, tuple[float, ...]], ...] = (
    # Name as the driver tells it, without the brand; TFLOPS in the order of the formats, 0 where it has none
    (r"V100-SXM[23]-(16|32)GB(-LS)?", (15.7, 0, 125, 0, 0, 0)),  # V100 datasheet, 2020
    (r"V100-PCIE-(16|32)GB", (14, 0, 112, 0, 0, 0)),  # the same
    (r"V100S-PCIE-32GB", (16.4, 0, 130, 0, 0, 0)),  # the same
    (r"T4", (8.1, 0, 65, 0, 0, 0)),  # T4 datasheet, 2019
    # Ampere
    (r"A[18]00(-SXM4|-PCIE)?[- ][48]0GB( PCIe)?", (19.5, 156, 312, 312, 0, 0)),  # A100 datasheet, 2021
    (r"A30", (10.3, 82, 165, 165, 0, 0)),  # A30 datasheet, 2021
    (r"A10", (31.2, 62.5, 125, 125, 0, 0)),  # A10 datasheet, 2021; not A10G, which is slower
    (r"A40", (37.4, 74.8, 149.7, 149.7, 0, 0)),  # A40 datasheet, 2021
    (r"RTX A6000", (38.7, 77.4, 154.8, 154.8, 0, 0)),  # GA102 whitepaper
    # Ada
    (r"L4", (30.3, 60, 121, 121, 242.5, 0)),  # L4 datasheet, 2023: halves of 120, 242, 485
    (r"L20", (59.8, 59.8, 119.5, 119.5, 239, 0)),  # L20 product brief
    (r"L40", (90.5, 90.5, 181.05, 181.05, 362, 0)),  # L40 datasheet, 2022
    (r"L40S", (91.6, 183, 362.05, 362.05, 733, 0)),  # L40S datasheet, 2023
    (r"RTX 6000 Ada Generation", (91.1, 182.1, 364.2, 364.2, 728.5, 0)),  # datasheet, Ada whitepaper
    # Hopper
    (r"H100 80GB HBM3|H800", (67, 494.7, 989.4, 989.4, 1978.9, 0)),  # H100 datasheet, SXM
    (r"H[18]00 PCIe", (51, 378, 756.5, 756.5, 1513, 0)),  # H100 datasheet of 2022: halves of 756, 1513, 3026
    (r"H100 NVL", (60, 417.5, 835.5, 835.5, 1670.5, 0)),  # H100 datasheet: halves of 835, 1671, 3341
    (r"H200", (67, 494.7, 989.4, 989.4, 1978.9, 0)),  # H200 datasheet, SXM
    (r"H200 NVL", (60, 417.5, 835.5, 835.5, 1670.5, 0)),  # H200 datasheet, NVL
    (r"H20(-3e)?", (44, 74, 148, 148, 296, 0)),  # H20 datasheet
    (r"GH200 (480GB|144G HBM3e)", (67, 494.7, 989.4, 989.4, 1978.9, 0)),  # GH200 datasheet
    # Blackwell: an eighth of an HGX board; half a superchip, or 1/72 of the rack
    (r"B200", (75, 1125, 2250, 2250, 4500, 9000)),  # Blackwell datasheet, HGX B200
    (r"GB200", (80, 1250, 2500, 2500, 5000, 10000)),  # Blackwell datasheet, GB200
    (r"B300( SXM6 AC)?", (75, 1125, 2250, 2250, 4500, 13500)),  # HGX B300: 108 PFLOPS of dense FP4
    (r"GB300", (80, 1250, 2500, 2500, 5000, 15000)),  # GB300 NVL72: 1080 PFLOPS of dense FP4
    (
        r"RTX PRO 6000 Blackwell Server Edition",
        (120, 250, 500, 500, 1000, 2000),
    ),  # datasheet: half of 4 PFLOPS
    (r"RTX PRO 6000 Blackwell Workstation Edition", (126, 251.9, 503.8, 503.8, 1007.6, 2015.2)),  # whitepaper
)
_KNOWN = tuple((re.compile(pattern), peaks) for pattern, peaks in _PRODUCTS)
_BRANDS = re.compile(r"^(NVIDIA\s+)?(Tesla\s+)?")


@lru_cache(maxsize=64)
def peaks(model: str) -> dict[str, float]:
    """Dense operations per second of a product, by number format; empty where it is not known."""
    name = _BRANDS.sub("", model.strip())
    for pattern, rates in _KNOWN:
        if pattern.fullmatch(name):
            return {kind: rate * _TERA for kind, rate in zip(_FORMATS, rates, strict=True) if rate}
    return {}


def peak_readings(identity: tuple[str, str], model: str) -> list[Reading]:
    """The same as readings of one GPU, whose labels are `identity`."""
    return [Reading(GPU_PEAK_FLOPS, (*identity, kind), rate) for kind, rate in peaks(model).items()]
