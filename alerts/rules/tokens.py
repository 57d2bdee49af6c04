"""Tokens for their energy."""

from __future__ import annotations

from alerts.cases import Case, Given, given, rising
from alerts.model import Action, Alert, Domain, Scope, Severity
from alerts.places import both, existed
from gigawatch.catalogue import gpu, inference
from gigawatch.promql import (
    many_to_one,
    on,
    quantile_over_time,
    recorded,
    recording,
)

_WHO = {"engine": "vllm", "model": "llama", "replica": "0"}

_tpj = recorded(recording.MODEL_TOKENS_PER_JOULE)
_power = recorded(recording.MODEL_POWER)
_usual_tpj = quantile_over_time(0.5, _tpj, "6h")
_usual_power = quantile_over_time(0.5, _power, "6h")
_hour_ago = existed(_tpj, "1h")


def _energy() -> Given:
    return given(gpu.GPU_ENERGY, rising(15000))


def _serves() -> Given:
    return given(inference.INFERENCE_GPU_INFO, 1, **_WHO)


ALERTS = (
    Alert(
        name="TokensPerJouleDropped",
        expr=both(
            many_to_one(_tpj, "<", _usual_tpj * 0.6, ("site", "model")),
            both(on(_power, ">", _usual_power * 0.9, "site", "model"), _hour_ago, "site", "model"),
            "site",
            "model",
        ),
        severity=Severity.WARNING,
        domain=Domain.TOKENS,
        scope=Scope.SITE,
        place="{model}",
        summary="{model} makes {value:.3f} tokens per joule, much less than usual",
        description="Below 60 % of its median of six hours, while its GPUs draw as much power as ever.",
        cause="Throttled or spinning GPUs, a bad roll-out of the engine, or requests of another kind.",
        consequence="The same tokens cost much more energy and capacity.",
        action=Action.NONE,
        first_step="Compare the replicas of {model}; look at clocks, then at what was changed last.",
        board="gw-tokens",
        hold="15m",
        note="Judged only while power is at its usual level, because efficiency falls at night by itself, "
        "and only after an hour of history.",
        symptom_of=("storage", "engine-gone"),
        cases=(
            Case(
                "half",
                (
                    given(
                        inference.INFERENCE_TOKENS,
                        "0+60000x120 7200000+20000x200",
                        kind="generation",
                        source="computed",
                        **_WHO,
                    ),
                    _energy(),
                    _serves(),
                ),
                ("llama",),
                at="1h25m",
            ),
            Case(
                "as ever",
                (
                    given(
                        inference.INFERENCE_TOKENS,
                        rising(60000),
                        kind="generation",
                        source="computed",
                        **_WHO,
                    ),
                    _energy(),
                    _serves(),
                ),
                at="1h25m",
            ),
        ),
    ),
)
