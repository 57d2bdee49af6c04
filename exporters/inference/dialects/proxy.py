"""`gigawatch proxy`: engines without metrics, counted by their answers.

Traps that this table knows: usage is told at the end of an answer, so tokens move per request; of a client
that leaves nobody tells the tokens; an engine that answers in one piece says nothing for as long as it works.
"""

from __future__ import annotations

from dataclasses import replace

from exporters.inference.dialect import (
    Dialect,
    Figure,
    Granularity,
    HealthRoute,
    Sample,
    finished,
    generated,
    prompt,
)
from gigawatch.catalogue import inference

_PROMPT = "gigawatch_proxy_prompt_tokens_total"
_REQUESTS = "gigawatch_proxy_requests_total"

_FIGURES = (
    *(
        Figure(figure.to, figure.sample, figure.labels, expected=False)
        for figure in (
            generated(Sample("gigawatch_proxy_generated_tokens_total")),
            *(
                prompt(source, Sample(_PROMPT, where={"source": source}))
                for source in ("computed", "cached", "unknown")
            ),
            *(
                finished(outcome, Sample(_REQUESTS, where={"outcome": outcome}))
                for outcome in ("stop", "length", "abort", "error", "other")
            ),
            Figure(inference.INFERENCE_REQUESTS_RUNNING, Sample("gigawatch_proxy_requests_running")),
            Figure(inference.INFERENCE_TTFT, Sample("gigawatch_proxy_time_to_first_token_seconds")),
            Figure(inference.INFERENCE_TPOT, Sample("gigawatch_proxy_time_per_output_token_seconds")),
            Figure(inference.INFERENCE_REQUEST_DURATION, Sample("gigawatch_proxy_request_duration_seconds")),
        )
    ),
)
_IGNORED = (
    # What the proxy says of itself; docs/counting-proxy.md explains it.
    *(
        f"gigawatch_proxy_{name}"
        for name in (
            "unmeasured_requests_total", "passed_requests_total", "asked_for_usage_total",
            "asking_refused_total", "counting_errors_total", "refused_connections_total", "connections",
            "upstream_failures_total", "unread_connections_total", "info", "for_ollama_info",
        )
    ),
)  # fmt: skip

_PROXY = Dialect(
    engine="proxy",
    title="gigawatch proxy",
    version="0.1",
    origin="exporters/inference/proxy/page.py",
    recognised_by=("gigawatch_proxy_",),
    port=9620,
    # What the engine behind answers, not the proxy. Ollama answers well while a model of it is stuck.
    health=HealthRoute("/health", deadline=4.0),
    granularity=Granularity.REQUEST,
    # Silence that an engine at work may need: Ollama allows five minutes for loading a model, and an answer
    # in one piece of some thousand tokens takes minutes on slow hardware.
    patience=300.0,
    progress=(Sample("gigawatch_proxy_progress_total"),),
    model_labels=("model",),
    figures=_FIGURES,
    ignored=_IGNORED,
    version_sample=("gigawatch_proxy_info", "version"),
)
DIALECTS = (
    # By its own name where the proxy was told that it is Ollama that it stands before.
    replace(
        _PROXY,
        engine="ollama",
        title="Ollama, by gigawatch proxy",
        recognised_by=("gigawatch_proxy_for_ollama_info",),
        own=("gigawatch_proxy_",),
    ),
    _PROXY,
)
