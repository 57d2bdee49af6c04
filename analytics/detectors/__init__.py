"""The detectors, one file each; a class in a file of this folder is found by itself."""

from __future__ import annotations

import importlib
import pkgutil
from functools import cache

from analytics.detectors.base import Detector, Estimate, Scores, Suspicion, Verdict

__all__ = ["Detector", "Estimate", "Scores", "Suspicion", "Verdict", "detector_classes"]


@cache
def detector_classes() -> tuple[type[Detector], ...]:
    """Every detector class defined in this package, by name."""
    found: dict[str, type[Detector]] = {}
    for module in pkgutil.iter_modules(__path__):
        for value in vars(importlib.import_module(f"{__name__}.{module.name}")).values():
            if isinstance(value, type) and issubclass(value, Detector) and value is not Detector:
                found[value.name] = value
    return tuple(found[name] for name in sorted(found))
