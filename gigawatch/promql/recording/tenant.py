"""User and namespace: what people and projects hold, draw and get done."""

from __future__ import annotations

from gigawatch.promql.recording.holder import NAMESPACE, USER
from gigawatch.promql.recording.job import JOB_INFERENCE_TOKENS, JOB_TOKENS

_TRAINED = "Tokens per second that the training jobs of {} work through."
_GENERATED = "Tokens generated per second by the engines on the GPUs of {}."

USER_GPUS = USER.gpus()
USER_POWER = USER.power()
USER_ENERGY_RATE = USER.energy_rate()
USER_UTILIZATION = USER.utilization()
USER_TOKENS = USER.tokens(JOB_TOKENS, _TRAINED.format(USER.who))
USER_INFERENCE_TOKENS = USER.tokens(JOB_INFERENCE_TOKENS, _GENERATED.format(USER.who))
USER_GPUS_IDLE = USER.gpus_idle()

NAMESPACE_GPUS = NAMESPACE.gpus()
NAMESPACE_POWER = NAMESPACE.power()
NAMESPACE_ENERGY_RATE = NAMESPACE.energy_rate()
NAMESPACE_UTILIZATION = NAMESPACE.utilization()
NAMESPACE_TOKENS = NAMESPACE.tokens(JOB_TOKENS, _TRAINED.format(NAMESPACE.who))
NAMESPACE_INFERENCE_TOKENS = NAMESPACE.tokens(JOB_INFERENCE_TOKENS, _GENERATED.format(NAMESPACE.who))
NAMESPACE_GPUS_IDLE = NAMESPACE.gpus_idle()
