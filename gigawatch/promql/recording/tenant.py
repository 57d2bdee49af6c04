"""User and namespace: what people and projects hold, draw and get done."""

from __future__ import annotations

from gigawatch.promql.recording.holder import NAMESPACE, USER
from gigawatch.promql.recording.job import JOB_TOKENS
from gigawatch.promql.recording.owner import REPLICA_NAMESPACE, REPLICA_USER

_TRAINED = "Tokens per second that the training jobs of {} work through."

USER_GPUS = USER.gpus()
USER_POWER = USER.power()
USER_ENERGY_RATE = USER.energy_rate()
USER_UTILIZATION = USER.utilization()
USER_TOKENS = USER.tokens(JOB_TOKENS, _TRAINED.format(USER.who))
USER_INFERENCE_TOKENS = USER.generated(REPLICA_USER)
USER_GPUS_IDLE = USER.gpus_idle()

NAMESPACE_GPUS = NAMESPACE.gpus()
NAMESPACE_POWER = NAMESPACE.power()
NAMESPACE_ENERGY_RATE = NAMESPACE.energy_rate()
NAMESPACE_UTILIZATION = NAMESPACE.utilization()
NAMESPACE_TOKENS = NAMESPACE.tokens(JOB_TOKENS, _TRAINED.format(NAMESPACE.who))
NAMESPACE_INFERENCE_TOKENS = NAMESPACE.generated(REPLICA_NAMESPACE)
NAMESPACE_GPUS_IDLE = NAMESPACE.gpus_idle()
