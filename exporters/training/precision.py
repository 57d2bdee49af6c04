"""Number formats as frameworks spell them, brought to the words of the catalogue."""

from __future__ import annotations

_FORMATS = {
    "fp32": ("fp32", "float32", "float", "32", "32-true", "single"),
    "tf32": ("tf32",),
    "fp16": ("fp16", "float16", "half", "16", "16-mixed", "16-true", "amp_fp16"),
    "bf16": ("bf16", "bfloat16", "bf16-mixed", "bf16-true", "amp_bf16"),
    "fp8": ("fp8", "float8", "e4m3", "e5m2", "hybrid", "mxfp8", "amp_fp8", "transformer-engine"),
    "fp4": ("fp4", "float4", "e2m1", "nvfp4", "mxfp4"),
}
_KNOWN = {name: known for known, names in _FORMATS.items() for name in names}


def precision(told: str) -> str:
    """The catalogue's word for a number format; what nobody knows stays as it is."""
    name = told.strip().lower().rpartition(".")[2]  # torch.bfloat16
    return _KNOWN.get(name, told)
