"""One table of causes: what each is called, what is feared, what to do, and how to tell it from its likes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class CauseText:
    """What to say about one cause, in words for 3 a.m."""

    title: str
    """What is the matter, as the middle of a sentence."""
    feared: str
    """What happens at the end of the trend, after "in about 3 days it ..."; may be empty."""
    action: str
    """What to do first."""
    check: tuple[str, ...]
    """What confirms it, or rules it out."""
    runbook: str
    """The runbook that tells more (docs/runbooks)."""
    alike: Mapping[str, str]
    """Causes that look alike, and what tells them apart."""


CAUSES: dict[str, CauseText] = {
    "thermal_interface": CauseText(
        "its thermal paste or pad wears out",
        "throttles",
        "Plan a drain before it throttles and renew the paste; a lower power limit buys time.",
        (
            "At equal power this GPU is hotter than the others of its node, and it was not before.",
            "After the paste is renewed its thermal resistance is back at its old value.",
        ),
        "ThermalInterfaceWear",
        {
            "cold_plate": "then the other GPUs of the node have risen as well",
            "sensor": "then its clocks and its memory temperature have not changed with it",
            "fan": "then the air-cooled parts of the node are warmer too",
        },
    ),
    "cold_plate": CauseText(
        "its cold plates clog or a coupling is half closed",
        "throttles",
        "Check that both couplings of the node are seated; plan to flush its cold plates.",
        (
            "All GPUs of the node have become harder to cool together; its neighbours on the loop have not.",
            "A coolant sample shows particles, or conductivity or pH out of range.",
        ),
        "ColdPlateFouling",
        {
            "coolant_loop": "then the other nodes of the loop have risen as well",
            "thermal_interface": "then one GPU of the node has risen and the others have not",
        },
    ),
    "coolant_loop": CauseText(
        "the coolant loop cools worse than it did",
        "throttles",
        "Compare flow, supply temperature and pressure of the loop with last week's; call facility.",
        (
            "The GPUs of the loop grow warmer together at the same load.",
            "Flow has fallen, supply has risen, or the pressure across the filter has.",
        ),
        "LoopDegrading",
        {
            "pump": "then one pump's speed or power has changed and the pressure fell with it",
            "cold_plate": "then one node has risen and the others have not",
            "inlet_air": "then parts that are cooled by air have warmed up too",
        },
    ),
    "inlet_air": CauseText(
        "it gets warmer air than before",
        "throttles",
        "Compare with the racks beside it: a missing blanking panel, an open door, a failed air handler.",
        (
            "Inlet temperatures, or the air-cooled parts, have risen together.",
            "The racks under the same air handler show the same.",
        ),
        "InletAirTrend",
        {
            "fan": "then one node is warm and its inlet is not",
            "coolant_loop": "then only what hangs on the loop has risen",
            "sensor": "then nothing but that one sensor has moved",
        },
    ),
    "fan": CauseText(
        "its fans move less air than they should",
        "overheats",
        "Look at the fan speeds; plan the exchange of the fan, and clean filters and grilles.",
        (
            "A fan turns slower than the others, or faster at the same load than it used to.",
            "Memory and network adapters are warmer than speed and load explain.",
        ),
        "FanWeak",
        {
            "inlet_air": "then the neighbours' inlets are warmer as well",
            "cold_plate": "then the GPUs have risen and the air-cooled parts have not",
        },
    ),
    "pump": CauseText(
        "its pump delivers less than it did",
        "stops",
        "Have facility switch to the other pump and inspect this one.",
        (
            "Flow or pressure is lower at the same speed, or the pump takes more power for the same flow.",
            "The other pump of the unit has taken over load.",
        ),
        "PumpStopped",
        {
            "coolant_loop": "then a filter or a valve has changed the pressure and the pump has not",
            "sensor": "then flow and temperatures downstream have not changed",
        },
    ),
    "sensor": CauseText(
        "its sensor gives a wrong or frozen value",
        "",
        "Compare it with its neighbours; exchange the sensor or correct its mapping. No hardware is at risk.",
        ("The value stands still or jumps while everything around it moves on.",),
        "SensorDead",
        {"unknown": "then other signals of the same thing have changed with it"},
    ),
    "power_path": CauseText(
        "its power path is not what it was",
        "loses power or is braked",
        "Look at feed, breaker and power supplies of the place before moving load onto it.",
        (
            "Voltage, current or the split between the two sides has changed.",
            "Everything on the same feed or rack shows it at the same time.",
        ),
        "FeedWithoutRedundancy",
        {
            "power_supply": "then one node's supply has changed and the rack has not",
            "power_swing": "then the load itself swings and follows the job",
        },
    ),
    "power_supply": CauseText(
        "a power supply has failed or carries too little",
        "loses power with the next supply",
        "Exchange the supply while the others carry the node.",
        ("One supply gives less than its share; the others of the node give more.",),
        "PsuLost",
        {"power_path": "then the other nodes on that feed show it as well"},
    ),
    "breaker": CauseText(
        "its load nears what the breaker holds",
        "trips",
        "Lower power limits or move load off before the forecast time; nobody adds load meanwhile.",
        (
            "Current against the rating, and its forecast, on the power board.",
            "A job that is starting up explains the rise, and how far it goes.",
        ),
        "BreakerNearLimit",
        {"power_swing": "then peaks come near the limit and the mean does not"},
    ),
    "power_swing": CauseText(
        "its power swings in step, more than supply and cooling like",
        "trips or wears supplies out",
        "Ask the job's owner to spread checkpoints or turn on power smoothing; cap the ramp if need be.",
        ("All GPUs of one job rise and fall together, with the period of its steps or checkpoints.",),
        "RackOverBudget",
        {"power_path": "then the swing does not follow the job's steps"},
    ),
    "straggler": CauseText(
        "it is slower than the others of its job",
        "",
        "Compare its clocks, power and temperature with its neighbours'; swap it out at the next checkpoint.",
        (
            "The other ranks of the job wait for it again and again.",
            "Heat, a power cap, a slow link or a held clock on it explains why.",
        ),
        "StragglerFound",
        {
            "thermal_interface": "then it is at its slowdown temperature",
            "link": "then its links count errors or run at a lower rate",
            "power_path": "then its power limit or a brake holds its clock",
        },
    ),
    "job": CauseText(
        "its job behaves in another way than before",
        "",
        "Ask the job's owner whether phase, data or code changed; the hardware shows no fault.",
        ("All GPUs of the job changed at the same time, wherever they stand.",),
        "AnomalyUnexplained",
        {"software": "then GPUs of other jobs with the same version changed as well"},
    ),
    "software": CauseText(
        "all with one software version changed in one step",
        "",
        "Compare the roll-out of driver, firmware or image with the time of the step; roll one node back.",
        ("What runs the old version did not change.",),
        "AnomalyUnexplained",
        {"job": "then only the GPUs of one job have changed"},
    ),
    "memory": CauseText(
        "its memory shows the errors that come before a failure",
        "needs a reset or exchange",
        "Reset it at the next drain so that bad rows are replaced; exchange it if none are left.",
        ("Rows waiting to be replaced, replaced or failed, and XID 48, 63, 64, 94, 95 in the kernel log.",),
        "GpuRowsRemapped",
        {"driver": "then there are XIDs and the counters of the memory stand still"},
    ),
    "link": CauseText(
        "its link repeats or loses data",
        "goes down",
        "Reseat or exchange cable or module at the next drain; watch whether the far end counts as well.",
        ("Errors rise on this port and not on the others of the same device.",),
        "GpuNvlinkErrors",
        {
            "switch": "then several links of the same switch count errors",
            "driver": "then it came with a driver XID and ended with a reset",
        },
    ),
    "switch": CauseText(
        "the switch that its links share has a fault",
        "goes down",
        "Look at the switch's own log and temperature; plan its exchange with all jobs behind it.",
        ("Links of several nodes count errors, and all of them end at this switch.",),
        "NvswitchFatal",
        {"link": "then one link counts errors and its neighbours do not"},
    ),
    "driver": CauseText(
        "its driver or firmware is not well",
        "hangs",
        "Drain the node and reset the GPU; restart the node if that does not help.",
        ("XIDs of the driver's kind in the kernel log, or a recovery action that the driver asks for.",),
        "GpuRecoveryRequested",
        {
            "memory": "then the memory's own counters rise as well",
            "link": "then a link's own counters rise as well",
        },
    ),
    "unknown": CauseText(
        "it behaves in a way that it never has",
        "",
        "Look at its signals beside its neighbours'; mark the finding right or wrong afterwards.",
        ("Whether a job, an update or somebody at the rack explains the time at which it began.",),
        "AnomalyUnexplained",
        {},
    ),
}
