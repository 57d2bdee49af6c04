"""An engine made up for tests: its dialect, and answers in it."""

from __future__ import annotations

from exporters.inference.dialect import Dialect, Figure, FirstOf, Sample, generated, prompt
from exporters.inference.normal import Normaliser
from gigawatch.catalogue import inference

TOY = Dialect(
    engine="toy",
    title="Toy",
    version="1",
    origin="made up for these tests",
    recognised_by=("toy_",),
    port=1,
    needs="told to count",
    rank_label="rank",
    only={"stage": ("", "0")},
    progress=(Sample("toy_generated_total"), Sample("toy_steps_total")),
    version_sample=("toy_build_info", "version"),
    figures=(
        generated(Sample("toy_generated_total")),
        FirstOf(
            (
                (
                    prompt("computed", Sample("toy_prompt_total", minus=Sample("toy_cached_total"))),
                    prompt("cached", Sample("toy_cached_total")),
                ),
                (prompt("unknown", Sample("toy_prompt_total")),),
            )
        ),
        Figure(inference.INFERENCE_REQUESTS_RUNNING, Sample("toy_running")),
        Figure(inference.INFERENCE_REQUESTS_WAITING, Sample("toy_waiting"), expected=False),
        Figure(
            inference.INFERENCE_KV_CACHE_USAGE, Sample("toy_cache", fold="max", scale=0.01), expected=False
        ),
        Figure(inference.INFERENCE_TTFT, Sample("toy_first_ms", scale=0.001), expected=False),
        Figure(inference.INFERENCE_QUEUE_TIME, Sample("toy_queue", fold="max"), expected=False),
    ),
    ignored=("toy_setting", "python_*"),
)


def toy(text: str = "", dialect: Dialect = TOY, **options: object) -> Normaliser:
    normaliser = Normaliser(dialect, "n:1", **options)  # type: ignore[arg-type] # as the tests give them
    if text:
        tell(normaliser, text)
    return normaliser


def tell(normaliser: Normaliser, text: str, now: float = 0.0) -> None:
    normaliser.take(f"{text}\n".encode(), now)


def counts(generated: float, prompt: float = 0, cached: float = 0, running: float = 0) -> str:
    return (
        f"toy_generated_total {generated}\ntoy_prompt_total {prompt}\n"
        f"toy_cached_total {cached}\ntoy_running {running}"
    )
