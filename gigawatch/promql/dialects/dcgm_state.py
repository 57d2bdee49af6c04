"""dcgm-exporter: what is worked out rather than read: who is there, XIDs, bit masks, who holds a GPU."""

from __future__ import annotations

from gigawatch.catalogue import gpu, gpu_activity, own, workload
from gigawatch.promql.dialects import dcgm_fields as f
from gigawatch.promql.dialects.dcgm_labels import BY_GPU, ON_GPU, over_gpu, per_gpu
from gigawatch.promql.dialects.model import Foreign, Made, Pick, Row, Step, Taken
from gigawatch.promql.dialects.rules import PLACE

EXPORTER_JOBS = ".*dcgm.*"
"""Scrape jobs of dcgm-exporter, by the names that its chart, the GPU operator and our docs use."""
APPLICATION_XIDS = (13, 31, 43, 45)
"""XIDs of applications that alerts speak of, besides the serious ones."""
_NOTHING = '""'
_FROZEN = "10m"
_FORGET = "1h"
"""How long a GPU that is gone is remembered."""

_present = Foreign(
    (*f.TEMPERATURE.names, *f.POWER.names), "gauge", "Fields that every GPU has, in the usual counter file"
)
_here = (f.TEMPERATURE, f.POWER)

SEEN = Step(
    "gpu:dcgm_gpu:seen",
    over_gpu(_present.selector(), combine="group"),
    _here,
    "GPUs that dcgm-exporter reports now; always 1.",
)
XID_LAST = Step(
    "gpu:dcgm_xid:last", per_gpu(Pick(f.XID, high=1000)), (f.XID,), "Code of a GPU's last XID; 0 before one."
)
_energy = f.ENERGY.names[0]
_changes = over_gpu(f"changes({_energy}[{_FROZEN}])")
_samples = over_gpu(f"count_over_time({_energy}[{_FROZEN}])")
FROZEN = Step(
    "gpu:dcgm_gpu:frozen",
    f"({_changes} == 0) and ({_samples} > 4) and ({per_gpu(Pick(f.ENERGY, low=1))})",
    (f.ENERGY,),
    "GPUs whose energy counter has stood still for ten minutes: what is served of them is old.",
)
KNOWN = Step(
    "gpu:dcgm_gpu:known",
    f"{SEEN.name} or (({BY_GPU.replace('by', 'group by', 1)} (last_over_time({SEEN.name}[{_FORGET}])) "
    f"unless on (site, node, uuid) {SEEN.name}) and on (site, node) {SEEN.name})",
    _here,
    "GPUs seen within the last hour on a node that still reports others; always 1.",
)
LOST = Step(
    "gpu:dcgm_gpu:lost",
    f"({KNOWN.name} unless {SEEN.name}) and {ON_GPU} "
    f"(max {BY_GPU} (last_over_time({XID_LAST.name}[{_FORGET}])) == 79)",
    (*_here, f.XID),
    "GPUs that are gone and whose last XID was 79; always 1.",
)
_missing = f"(({KNOWN.name} unless {SEEN.name}) or ({SEEN.name} and {FROZEN.name})) unless {LOST.name}"


def _state(name: str, ones: str = "") -> Row:
    """1 for the series of `ones`, 0 for all others that are known. DCGM shows no GPU that hangs: those states
    stay 0, since a state set is told whole."""
    text = f"(({ones}) * 0 + 1) or ({KNOWN.name} * 0)" if ones else f"{KNOWN.name} * 0"
    return Row(gpu.GPU_STATE, (Made(text, (*_here, f.XID, f.ENERGY)),), {"state": name})


_IDENTITY = (
    Taken("model", ("modelName", "model_name")),
    Taken("serial", f.SERIAL.names),
    Taken("vbios", f.VBIOS.names),
    Taken("driver_version", f.DRIVER_VERSION.names),
)
_info = over_gpu(
    _present.selector(),
    *(one.label for one in _IDENTITY),
    "pci_bus_id",
    taken=_IDENTITY,
    combine="group",
)
INFO = Row(
    gpu.GPU_INFO,
    (Made(_info, (*_here, f.DRIVER_VERSION, f.SERIAL, f.VBIOS)),),
    absent=("architecture", "board_part", "minor", "numa"),
)
_PARTITION = (Taken("gi", ("GPU_I_ID",)), Taken("profile", ("GPU_I_PROFILE",)))
_in_parts = Foreign((*_present.names, *f.MEMORY_USED.names))
_mig = over_gpu(_in_parts.selector('GPU_I_ID!=""'), "gi", "profile", taken=_PARTITION, combine="group")
MIG_INFO = Row(gpu_activity.GPU_MIG_INFO, (Made(_mig, (*_here, f.MEMORY_USED)),), absent=("ci", "mig_uuid"))

_POD = tuple(Taken(name, (f"exported_{name}",)) for name in ("pod", "namespace", "container"))
_HOLDER = ("namespace", "pod", "container", "job_id")
# A pod is a job: its name with the namespace, since pods of two namespaces may share one.
_AS_JOB = ('label_join({}, "job_id", "/", "namespace", "pod")').format
# Where exported_pod exists, plain pod is the exporter's own, and so it is on GPUs that no pod holds.
_exported = _present.selector('exported_pod!=""')
for _one in _POD:
    _exported = _one.over(_exported)
_plain = (
    f"({_present.selector('exported_pod=' + _NOTHING, 'pod!=' + _NOTHING)} "
    f"unless on (job, instance, pod) up{{pod!={_NOTHING}}})"
)
ALLOCATION = (
    Row(
        workload.GPU_ALLOCATION_INFO,
        tuple(
            Made(over_gpu(_AS_JOB(rows), *_HOLDER, combine="group"), _here) for rows in (_exported, _plain)
        ),
        {"scheduler": "kubernetes"},
        absent=("user", "partition", "stage", "mig_uuid"),
    ),
    Row(
        workload.GPU_ALLOCATION_INFO,
        (
            Made(
                over_gpu(
                    # Empty, or 0 between two jobs.
                    _present.selector('hpc_job!~"|0"'),
                    "job_id",
                    taken=(Taken("job_id", ("hpc_job",)),),
                    combine="group",
                ),
                _here,
            ),
        ),
        {"scheduler": "slurm"},
        absent=("namespace", "pod", "container", "user", "partition", "stage", "mig_uuid"),
    ),
)
_up = f'up{{job=~"{EXPORTER_JOBS}"}}'
_collector = ", ".join((*PLACE, "job", "instance"))
COLLECTOR = Row(
    own.COLLECTOR_UP,
    (
        Made(
            f"max by ({_collector}) (({_up} and on (job, instance) {_present.selector()}) or {_up} * 0)",
            _here,
        ),
    ),
    {"collector": "gpu"},
    extra=("job", "instance"),
)


def _xid(code: int) -> Row:
    """Rises by one when this code becomes the last; falls back when another does, which a counter may."""
    made = Made(f"{XID_LAST.name} == bool {code}", (f.XID,))
    return Row(gpu.GPU_XID_ERRORS, (made,), {"xid": str(code), "source": "dcgm"})


STATE: tuple[Row | Step, ...] = (
    SEEN,
    XID_LAST,
    FROZEN,
    KNOWN,
    LOST,
    _state("ok", f"{SEEN.name} unless {FROZEN.name}"),
    _state("lost", LOST.name),
    _state("missing", _missing),
    _state("hung"),
    _state("reset_required"),
    Row(
        gpu.GPUS_VISIBLE,
        (Made(f"count by ({', '.join(PLACE)}) ({SEEN.name})", _here),),
        {"source": "nvml"},
    ),
    INFO,
    MIG_INFO,
    *ALLOCATION,
    COLLECTOR,
    *(_xid(code) for code in sorted({*gpu.XID_SERIOUS, *APPLICATION_XIDS})),
)

CLOCK_MASK = Step(
    "gpu:dcgm_clock_events:mask",
    per_gpu(Pick(f.CLOCK_EVENTS)),
    (f.CLOCK_EVENTS,),
    "What holds a GPU's clocks down, one bit for each reason.",
)
CLOCK_EVENTS: tuple[Row | Step, ...] = (
    CLOCK_MASK,
    *(
        Row(
            gpu.GPU_CLOCK_EVENT_ACTIVE,
            (Made(f"floor({CLOCK_MASK.name} / {2**bit}) % 2", (f.CLOCK_EVENTS,)),),
            {"reason": reason},
        )
        for bit, reason in enumerate(gpu.CLOCK_EVENT_REASONS)
    ),
)
RECOVERY_STEP = Step(
    "gpu:dcgm_recovery_action:code",
    per_gpu(Pick(f.RECOVERY_ACTION, high=100)),
    (f.RECOVERY_ACTION,),
    "What the driver asks for, as its number.",
)
RECOVERY: tuple[Row | Step, ...] = (
    RECOVERY_STEP,
    *(
        Row(
            gpu.GPU_RECOVERY_ACTION,
            (Made(f"{RECOVERY_STEP.name} == bool {code}", (f.RECOVERY_ACTION,)),),
            {"action": action},
        )
        for code, action in enumerate(gpu.RECOVERY_ACTIONS)
    ),
)
