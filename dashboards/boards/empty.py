"""Panels that may show nothing on a healthy site, and why. Every other panel must have data."""

from __future__ import annotations

from dashboards.places import (
    ALARMS,
    CAPACITY,
    COOLING,
    EFFICIENCY,
    ELEVATION,
    FACILITY,
    FLEET,
    JOB,
    NODE,
    PIPELINE,
    POWER,
    PREDICT,
    RACK,
    ROOMS,
    SERVING,
    TRAINING,
)

_NO_ALERT = "no alert fires while all is well"
_NO_INCIDENT = "no incident is open while all is well"
_NO_TRAINING = "the chosen job serves a model and takes no training steps"
_NO_TREND = "absent until a GPU shows a trend"

_NO_WORK = "only while somebody works on something"
_NO_DEVICE = "only where a device of this kind tells it"
_NO_FORECAST = "absent until the analysis has seen enough for a forecast"
_HOUR = "absent until every meter has counted for an hour"

EMPTY_OK: dict[tuple[str, str], str] = {
    (FLEET, "Firing alerts"): _NO_ALERT,
    (FLEET, "Incidents by cause"): _NO_INCIDENT,
    (RACK, "Firing alerts"): _NO_ALERT,
    (RACK, "Nodes"): "a score is said only where something is unusual",
    (NODE, "Firing alerts"): _NO_ALERT,
    (FACILITY, "Firing alerts"): _NO_ALERT,
    (ALARMS, "Firing alerts"): _NO_ALERT,
    (PIPELINE, "Firing alerts"): _NO_ALERT,
    **{(board, "Firing alerts"): _NO_ALERT for board in (ELEVATION, POWER, COOLING, ROOMS)},
    **{(board, "Under maintenance"): _NO_WORK for board in (FLEET, RACK, ELEVATION)},
    (POWER, "Residual currents"): _NO_DEVICE,
    (POWER, "Transfer switches"): _NO_DEVICE,
    (POWER, "UPS and batteries"): "not every UPS measures the temperature of its battery",
    (COOLING, "Loops one by one"): "spare only of loops with two units, time to throttle only with a trend",
    (COOLING, "Pumps one by one"): "not every coolant unit counts how long its pumps have run",
    (EFFICIENCY, "Energy of the last hour"): _HOUR,
    (EFFICIENCY, "PUE over time"): _HOUR,
    (POWER, "Stranded"): "reckoned once a minute, from the second minute on",
    (COOLING, "Throttling in"): _NO_TREND,
    (COOLING, "Heat without the largest unit"): "only loops with two units and more can lose one",
    **{
        (COOLING, title): _NO_DEVICE
        for title in (
            "Filters",
            "Coolant quality",
            "Heat given away",
            "Water used",
            "Water of the last hour and day",
        )
    },
    **{(ROOMS, title): _NO_DEVICE for title in ("Smoke detectors", "Air pressure", "Return heat index")},
    **{
        (CAPACITY, title): _NO_FORECAST
        for title in (
            "Nodes that fit",
            "First limit",
            "Nodes that still fit",
            "How long it lasts",
            "Used of each resource",
        )
    },
    (CAPACITY, "Stranded power over time"): "reckoned once a minute, from the second minute on",
    **{
        (EFFICIENCY, title): _HOUR
        for title in (
            "PUE",
            "CUE",
            "WUE",
            "Energy reused",
            "Parts of the PUE",
            "CUE over time",
            "WUE over time",
            "Reused energy",
        )
    },
    (EFFICIENCY, "Carbon of the grid"): _NO_DEVICE,
    (PIPELINE, "Readings that contradict each other"): "lists only contradictions",
    (PIPELINE, "Readings that stand still"): "lists only readings that stand still",
    (PIPELINE, "Readings left out"): "lists only values that were left out",
    (PIPELINE, "Poll errors by reason"): "lists only polls that failed",
    (PIPELINE, "Poll errors"): "lists only polls that failed",
    (PREDICT, "Findings by cause"): _NO_INCIDENT,
    (PREDICT, "What marks have taught"): "nothing has been marked yet",
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
    (JOB, "GPUs that wait for data"): "lists only jobs that wait",
    (SERVING, "Failed scrapes of engines in 1 h"): "lists only scrapes that failed",
    (TRAINING, "Lost within an hour"): "lists only time that restarts cost",
    (TRAINING, "Ranks behind"): "lists only ranks of jobs that stand still",
    (NODE, "XIDs of the last 24 hours"): "lists only codes that occurred",
    (NODE, "GPUs to exchange"): "lists only GPUs that are condemned",
    (NODE, "Memory errors by location"): "only where the driver tells where they happened",
    (NODE, "Fabric checks that fail"): "lists only checks that fail",
    (NODE, "NVLinks one by one"): "speed and wrong bits are there only where the driver tells them by link",
    (NODE, "NVSwitch errors of the last 24 hours"): "lists only errors that occurred",
    (NODE, "RoCE transport"): "InfiniBand ports have no RoCE counters",
    **{
        (NODE, title): "only GPUs that are cut up"
        for title in ("Partitions (MIG)", "SM activity of partitions")
    },
    (NODE, "Processes"): "only where the agent's settings ask for processes",
    (NODE, "Collector processes"): "a simulated agent has no process that talks to a driver",
    (NODE, "Read errors of this node in 1 h"): "lists only errors that occurred",
    (NODE, "Readings rejected in 1 h"): "lists only readings that were rejected",
    (NODE, "Questions to hanging GPUs"): "only GPUs that hang are asked this way",
    (NODE, "Devices that do not match"): "lists only devices that do not match",
    (NODE, "Text files"): "only where scripts write files for the agent",
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
