"""Panels that may show nothing on a healthy site, and why. Every other panel must have data."""

from __future__ import annotations

from dashboards.places import ALARMS, FACILITY, FLEET, JOB, NODE, PIPELINE, PREDICT, RACK

_NO_ALERT = "no alert fires while all is well"
_NO_INCIDENT = "no incident is open while all is well"
_NO_TRAINING = "the chosen job serves a model and takes no training steps"
_NO_TREND = "absent until a GPU shows a trend"

EMPTY_OK: dict[tuple[str, str], str] = {
    (FLEET, "Firing alerts"): _NO_ALERT,
    (FLEET, "Incidents by cause"): _NO_INCIDENT,
    (RACK, "Firing alerts"): _NO_ALERT,
    (NODE, "Firing alerts"): _NO_ALERT,
    (FACILITY, "Firing alerts"): _NO_ALERT,
    (ALARMS, "Firing alerts"): _NO_ALERT,
    (PIPELINE, "Firing alerts"): _NO_ALERT,
    (PREDICT, "Incidents by cause"): _NO_INCIDENT,
    (PREDICT, "Time to throttle"): _NO_TREND,
    (PREDICT, "Failure risk"): _NO_TREND,
    **{
        (JOB, title): _NO_TRAINING
        for title in (
            "Oldest checkpoint",
            "Step time",
            "Tokens per second",
            "Steps per minute",
            "Time ranks wait for others",
            "Stragglers",
        )
    },
    (NODE, "XIDs of the last 24 hours"): "lists only codes that occurred",
    (ALARMS, "Flapping"): "lists only alerts that came back",
    (ALARMS, "Standing longest"): _NO_ALERT,
    (ALARMS, "Loudest rules"): _NO_ALERT,
    (PIPELINE, "Targets that do not answer"): "lists only silent targets",
    (PIPELINE, "Collectors that fail"): "lists only collectors that fail",
    (PIPELINE, "Read errors of the last hour"): "lists only errors that occurred",
    (PIPELINE, "Lag of the simulated plant"): "a real site has no simulated plant",
    (PIPELINE, "Drills"): "lists only drills that run",
}
"""(board, panel title) -> reason."""
