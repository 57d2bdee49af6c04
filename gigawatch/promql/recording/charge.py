"""What each job, user and namespace costs (an estimate; how it is shared out stands at `Holder.cost`)."""

from __future__ import annotations

from gigawatch.promql.recording.holder import JOB, NAMESPACE, USER
from gigawatch.promql.recording.job import JOB_GPUS, JOB_GPUS_IDLE, JOB_POWER
from gigawatch.promql.recording.tenant import (
    NAMESPACE_GPUS,
    NAMESPACE_GPUS_IDLE,
    NAMESPACE_POWER,
    USER_GPUS,
    USER_GPUS_IDLE,
    USER_POWER,
)

JOB_COST = JOB.cost(JOB_GPUS, JOB_POWER)
JOB_COST_IDLE = JOB.cost_idle(JOB_GPUS_IDLE)
USER_COST = USER.cost(USER_GPUS, USER_POWER)
USER_COST_IDLE = USER.cost_idle(USER_GPUS_IDLE)
NAMESPACE_COST = NAMESPACE.cost(NAMESPACE_GPUS, NAMESPACE_POWER)
NAMESPACE_COST_IDLE = NAMESPACE.cost_idle(NAMESPACE_GPUS_IDLE)
