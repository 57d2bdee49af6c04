"""THE recording rules: from GPU and device to node, rack, loop, model, job, user and site, a file for each.

Every rule aggregates both sides of an operation to the same labels first, so that a missing input makes one
figure absent and never wrong.
"""

from __future__ import annotations

from functools import cache

from gigawatch.promql.recording import (
    charge,
    cost,
    gpu,
    held,
    job,
    loop,
    model,
    node,
    place,
    rack,
    site,
    tenant,
)
from gigawatch.promql.recording.charge import (
    JOB_COST,
    JOB_COST_IDLE,
    NAMESPACE_COST,
    NAMESPACE_COST_IDLE,
    USER_COST,
    USER_COST_IDLE,
)
from gigawatch.promql.recording.common import (
    WINDOW,
)
from gigawatch.promql.recording.cost import (
    MODEL_USD_PER_MTOKEN,
    SITE_COST,
    SITE_COST_CAPEX,
    SITE_COST_ENERGY,
    SITE_COST_FIXED,
    SITE_USD_PER_MTOKEN,
)
from gigawatch.promql.recording.gpu import (
    GPU_MARGIN,
    GPU_POWER,
)
from gigawatch.promql.recording.held import (
    GPU_BUSIEST,
    GPU_SHARE,
    GPU_SHARE_IDLE,
)
from gigawatch.promql.recording.job import (
    DATA_STALL,
    JOB_ENERGY_RATE,
    JOB_GPUS,
    JOB_GPUS_IDLE,
    JOB_INFERENCE_TOKENS,
    JOB_POWER,
    JOB_TOKENS,
    JOB_UTILIZATION,
)
from gigawatch.promql.recording.loop import (
    LOOP_CAPACITY_USED,
    LOOP_FLOW,
    LOOP_FLOW_RATIO,
    LOOP_GPU_POWER,
    LOOP_HEAT,
    LOOP_MARGIN,
    LOOP_RETURN,
    LOOP_SUPPLY,
)
from gigawatch.promql.recording.model import (
    MODEL_POWER,
    MODEL_REQUESTS_RUNNING,
    MODEL_REQUESTS_WAITING,
    MODEL_TOKENS,
    MODEL_TOKENS_PER_JOULE,
)
from gigawatch.promql.recording.node import (
    NODE_GPU_POWER,
    NODE_GPUS_OK,
    NODE_MARGIN,
    NODE_TEMPERATURE,
    NODE_TOKENS,
    NODE_UTILIZATION,
)
from gigawatch.promql.recording.place import (
    DEVICE_PLACE,
    LOOP_PLACE,
    NODE_PLACE,
)
from gigawatch.promql.recording.rack import (
    RACK_BUDGET_USED,
    RACK_GPU_POWER,
    RACK_INLET,
    RACK_MARGIN,
    RACK_POWER,
    RACK_SIDE_POWER,
    RACK_TOKENS,
    RACK_UTILIZATION,
)
from gigawatch.promql.recording.site import (
    SITE_FACILITY_POWER,
    SITE_GPU_POWER,
    SITE_GPUS_ALLOCATED,
    SITE_GPUS_OK,
    SITE_IT_POWER,
    SITE_MARGIN,
    SITE_PUE,
    SITE_TOKENS,
    SITE_TOKENS_PER_JOULE,
    SITE_TRAINING_TOKENS,
    SITE_UTILIZATION,
)
from gigawatch.promql.recording.tenant import (
    NAMESPACE_ENERGY_RATE,
    NAMESPACE_GPUS,
    NAMESPACE_GPUS_IDLE,
    NAMESPACE_INFERENCE_TOKENS,
    NAMESPACE_POWER,
    NAMESPACE_TOKENS,
    NAMESPACE_UTILIZATION,
    USER_ENERGY_RATE,
    USER_GPUS,
    USER_GPUS_IDLE,
    USER_INFERENCE_TOKENS,
    USER_POWER,
    USER_TOKENS,
    USER_UTILIZATION,
)
from gigawatch.promql.rule import Recorded

__all__ = [
    "DATA_STALL",
    "DEVICE_PLACE",
    "GPU_BUSIEST",
    "GPU_MARGIN",
    "GPU_POWER",
    "GPU_SHARE",
    "GPU_SHARE_IDLE",
    "JOB_COST",
    "JOB_COST_IDLE",
    "JOB_ENERGY_RATE",
    "JOB_GPUS",
    "JOB_GPUS_IDLE",
    "JOB_INFERENCE_TOKENS",
    "JOB_POWER",
    "JOB_TOKENS",
    "JOB_UTILIZATION",
    "LOOP_CAPACITY_USED",
    "LOOP_FLOW",
    "LOOP_FLOW_RATIO",
    "LOOP_GPU_POWER",
    "LOOP_HEAT",
    "LOOP_MARGIN",
    "LOOP_PLACE",
    "LOOP_RETURN",
    "LOOP_SUPPLY",
    "MODEL_POWER",
    "MODEL_REQUESTS_RUNNING",
    "MODEL_REQUESTS_WAITING",
    "MODEL_TOKENS",
    "MODEL_TOKENS_PER_JOULE",
    "MODEL_USD_PER_MTOKEN",
    "NAMESPACE_COST",
    "NAMESPACE_COST_IDLE",
    "NAMESPACE_ENERGY_RATE",
    "NAMESPACE_GPUS",
    "NAMESPACE_GPUS_IDLE",
    "NAMESPACE_INFERENCE_TOKENS",
    "NAMESPACE_POWER",
    "NAMESPACE_TOKENS",
    "NAMESPACE_UTILIZATION",
    "NODE_GPUS_OK",
    "NODE_GPU_POWER",
    "NODE_MARGIN",
    "NODE_PLACE",
    "NODE_TEMPERATURE",
    "NODE_TOKENS",
    "NODE_UTILIZATION",
    "RACK_BUDGET_USED",
    "RACK_GPU_POWER",
    "RACK_INLET",
    "RACK_MARGIN",
    "RACK_POWER",
    "RACK_SIDE_POWER",
    "RACK_TOKENS",
    "RACK_UTILIZATION",
    "SITE_COST",
    "SITE_COST_CAPEX",
    "SITE_COST_ENERGY",
    "SITE_COST_FIXED",
    "SITE_FACILITY_POWER",
    "SITE_GPUS_ALLOCATED",
    "SITE_GPUS_OK",
    "SITE_GPU_POWER",
    "SITE_IT_POWER",
    "SITE_MARGIN",
    "SITE_PUE",
    "SITE_TOKENS",
    "SITE_TOKENS_PER_JOULE",
    "SITE_TRAINING_TOKENS",
    "SITE_USD_PER_MTOKEN",
    "SITE_UTILIZATION",
    "USER_COST",
    "USER_COST_IDLE",
    "USER_ENERGY_RATE",
    "USER_GPUS",
    "USER_GPUS_IDLE",
    "USER_INFERENCE_TOKENS",
    "USER_POWER",
    "USER_TOKENS",
    "USER_UTILIZATION",
    "WINDOW",
    "all_rules",
    "groups",
]

_LEVELS = (place, gpu, held, node, rack, loop, model, job, site, cost, tenant, charge)


@cache
def groups() -> dict[str, tuple[Recorded, ...]]:
    """All rules by evaluation group, each group in an order in which inputs come before their users."""
    by_level: dict[str, list[Recorded]] = {}
    for rule in all_rules():
        by_level.setdefault(rule.name.split(":", 1)[0], []).append(rule)
    # Models and sites feed on each other: they share one group, in the order of the rules.
    by_level["site"] = by_level.pop("model") + by_level["site"]
    by_level["site"].sort(key=all_rules().index)
    return {f"gigawatch-{level}": tuple(rules) for level, rules in by_level.items()}


@cache
def all_rules() -> tuple[Recorded, ...]:
    """All recording rules, level after level, each in the order of its file."""
    found: dict[Recorded, None] = {}
    for level in _LEVELS:
        found.update((value, None) for value in vars(level).values() if isinstance(value, Recorded))
    return tuple(found)
