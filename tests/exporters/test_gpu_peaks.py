"""Peak rates by product: names as drivers tell them, figures of datasheets."""

from __future__ import annotations

import pytest

from exporters.gpu.peaks import peak_readings, peaks
from gigawatch.catalogue.gpu_activity import GPU_PEAK_FLOPS


@pytest.mark.parametrize(
    ("model", "bf16"),
    [
        ("NVIDIA A100-SXM4-80GB", 312), ("A100-SXM4-40GB", 312), ("NVIDIA A100 80GB PCIe", 312),
        ("NVIDIA A100-PCIE-40GB", 312), ("NVIDIA A800-SXM4-80GB", 312), ("NVIDIA A10", 125),
        ("NVIDIA A30", 165), ("NVIDIA A40", 149.7), ("NVIDIA L4", 121), ("NVIDIA L40", 181.05),
        ("NVIDIA L40S", 362.05), ("NVIDIA RTX 6000 Ada Generation", 364.2), ("NVIDIA H100 80GB HBM3", 989.4),
        ("NVIDIA H100 PCIe", 756.5), ("NVIDIA H100 NVL", 835.5), ("NVIDIA H200", 989.4),
        ("NVIDIA H200 NVL", 835.5), ("NVIDIA H20", 148), ("NVIDIA H20-3e", 148),
        ("NVIDIA GH200 480GB", 989.4), ("NVIDIA B200", 2250), ("NVIDIA GB200", 2500),
        ("NVIDIA B300 SXM6 AC", 2250), ("NVIDIA GB300", 2500),
        ("NVIDIA RTX PRO 6000 Blackwell Server Edition", 500),
    ],
)  # fmt: skip
def test_a_known_product(model: str, bf16: float) -> None:
    found = peaks(model)
    assert found["bf16"] == bf16 * 1e12
    assert found["fp16"] == found["bf16"]
    # Half the width, twice the rate; datasheets round.
    assert found["tf32"] == pytest.approx(found["bf16"] / 2, rel=0.02)
    if "fp8" in found:
        assert found["fp8"] == pytest.approx(found["bf16"] * 2, rel=0.02)
    assert ("fp4" in found) == ("B200" in model or "B300" in model or "Blackwell" in model)
    assert ("fp8" in found) == (not model.removeprefix("NVIDIA ").startswith("A"))
    assert found["fp32"] <= found["tf32"]


def test_products_without_the_newer_formats() -> None:
    assert peaks("Tesla V100-SXM2-32GB") == {"fp32": 15.7e12, "fp16": 125e12}
    assert peaks("Tesla V100-PCIE-16GB")["fp16"] == 112e12
    assert peaks("Tesla T4") == {"fp32": 8.1e12, "fp16": 65e12}


@pytest.mark.parametrize(
    "model",
    ["", "NVIDIA A10G", "NVIDIA A100-SXM-64GB", "NVIDIA H100", "NVIDIA H100 80GB HBM3 MIG 1g.10gb",
     "GRID A100-40C", "NVIDIA GeForce RTX 4090", "NVIDIA R200", "Fake H100"],
)  # fmt: skip
def test_what_is_not_known_has_no_peak(model: str) -> None:
    assert peaks(model) == {}


def test_readings() -> None:
    found = peak_readings(("3", "GPU-x"), "NVIDIA GB200")
    assert {reading.metric for reading in found} == {GPU_PEAK_FLOPS}
    assert {reading.labels for reading in found} == {
        ("3", "GPU-x", kind) for kind in GPU_PEAK_FLOPS.values["precision"]
    }
