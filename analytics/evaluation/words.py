"""Words and lengths of time, for people."""

from __future__ import annotations

NOTES = (
    "GPU-years count the time of rows that were there: gaps and GPUs that were taken out do not count.",
    """A fault is found when an incident names its place, or when the incidents raised inside it cover half of
    its GPUs. An incident that is wider than the fault does not count, unless a wider fault was there too.""",
    """The lead runs from the moment at which the fault was found to the failure; faults that were missed have
    none. The delay runs from the start of the fault.""",
    """A false alarm is an incident that points at no fault that was there at that time. Incidents that nobody
    is called for (maintenance, known) are left out.""",
    "Midway is half the time from the first call to the failure; the error is a share of the time left.",
    "The interval of the rate is exact for a Poisson count.",
)


def span(seconds: float | None) -> str:
    """A length of time for people: 40 s, 12 min, 5.1 h, 7.3 d; '-' for none."""
    if seconds is None:
        return "-"
    size = abs(seconds)
    for unit, length, limit in (("s", 1.0, 120.0), ("min", 60.0, 7200.0), ("h", 3600.0, 172800.0)):
        if size < limit:
            return f"{seconds / length:.3g} {unit}"
    return f"{seconds / 86400.0:.3g} d"
