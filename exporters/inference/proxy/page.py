"""What the proxy says of itself, in the Prometheus text format: an engine's own exposition, as it were.

`exporters.inference.dialects.proxy` reads it; a test holds the two together.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from exporters.inference.proxy.tally import Histogram, ModelTally, Tally

PREFIX = "gigawatch_proxy_"
KNOWN = "ollama"
"""The engine that has a dialect of its own."""
_OUTCOMES = ("stop", "length", "abort", "error", "other")

Rows = Iterable[tuple[Mapping[str, str], float]]


def page(tally: Tally, engine: str, version: str) -> bytes:
    """The exposition as it is now."""
    models = [model for _, model in sorted(tally.models.items()) if model.used]

    def each(number: Callable[[ModelTally], float]) -> Rows:
        return [({"model": model.name}, number(model)) for model in models]

    def by(label: str, counts: Callable[[ModelTally], Mapping[str, int]]) -> Rows:
        return [
            ({"model": model.name, label: key}, value)
            for model in models
            for key, value in sorted(counts(model).items())
        ]

    write = _Writer()
    if engine == KNOWN:
        # By this name a scraper that was told nothing knows the engine.
        write.family(f"for_{KNOWN}_info", "gauge", "The engine behind.", [({"version": version}, 1)])
    write.family(
        "info", "gauge", "What the engine behind is called.", [({"upstream": engine, "version": version}, 1)]
    )
    text = "Requests that wait for the end of their answer."
    write.family("requests_running", "gauge", text, each(lambda model: model.running))
    text = "Requests that ended, by outcome."
    write.family(
        "requests_total", "counter", text, by("outcome", lambda m: dict.fromkeys(_OUTCOMES, 0) | m.outcomes)
    )
    text = "Tokens of prompts, as the engine told them."
    write.family("prompt_tokens_total", "counter", text, by("source", lambda model: model.prompt))
    text = "Tokens generated, as the engine told them."
    write.family("generated_tokens_total", "counter", text, each(lambda model: model.generated))
    text = "Requests that may have cost tokens which nobody told."
    write.family("unmeasured_requests_total", "counter", text, by("reason", lambda model: model.unmeasured))
    text = "Rises with everything that the engine sends of an answer."
    write.family("progress_total", "counter", text, each(lambda model: model.progress))
    for name, text, histogram in _HISTOGRAMS:
        write.histogram(name, text, [(model.name, histogram(model)) for model in models])
    for name, text, number in _COUNTERS:
        write.family(name, "counter", text, [({}, number(tally))])
    text = "Requests that the engine left without a whole answer."
    failures = [({"reason": reason}, tally.failures[reason]) for reason in ("connect", "closed")]
    write.family("upstream_failures_total", "counter", text, failures)
    text = "Connections passed on without being understood."
    unread = [({"reason": reason}, count) for reason, count in sorted(tally.unread.items())]
    write.family("unread_connections_total", "counter", text, unread)
    write.family("connections", "gauge", "Client connections open.", [({}, tally.connections)])
    return "".join(write.lines).encode()


_HISTOGRAMS: tuple[tuple[str, str, Callable[[ModelTally], Histogram]], ...] = (
    (
        "time_to_first_token_seconds",
        "Streams: from the request to the first of the answer itself.",
        lambda model: model.first_token,
    ),
    (
        "time_per_output_token_seconds",
        "Streams: mean time per token after the first, one per request.",
        lambda model: model.per_token,
    ),
    (
        "request_duration_seconds",
        "From the request to the end of a good answer.",
        lambda model: model.duration,
    ),
)
_COUNTERS: tuple[tuple[str, str, Callable[[Tally], int]], ...] = (
    ("passed_requests_total", "Requests that tell no tokens, passed on.", lambda t: t.passed),
    ("asked_for_usage_total", "Streams that were made to tell their usage.", lambda t: t.asked),
    (
        "asking_refused_total",
        "Of these, refused by the engine and sent again as they were.",
        lambda t: t.asking_refused,
    ),
    (
        "counting_errors_total",
        "Answers that passed and could not be counted.",
        lambda t: t.counting_errors,
    ),
    ("refused_connections_total", "Connections beyond the limit.", lambda t: t.refused),
)


class _Writer:
    def __init__(self) -> None:
        self.lines: list[str] = []

    def family(self, name: str, kind: str, text: str, rows: Rows) -> None:
        self._head(name, kind, text)
        for labels, value in rows:
            self._line(name, labels, value)

    def histogram(self, name: str, text: str, rows: Iterable[tuple[str, Histogram]]) -> None:
        self._head(name, "histogram", text)
        for model, histogram in rows:
            total = 0
            for edge, count in zip((*histogram.edges, None), histogram.counts, strict=True):
                total += count
                le = "+Inf" if edge is None else repr(edge)
                self._line(f"{name}_bucket", {"model": model, "le": le}, total)
            self._line(f"{name}_sum", {"model": model}, histogram.sum)
            self._line(f"{name}_count", {"model": model}, total)

    def _head(self, name: str, kind: str, text: str) -> None:
        self.lines.append(f"# HELP {PREFIX}{name} {text}\n# TYPE {PREFIX}{name} {kind}\n")

    def _line(self, name: str, labels: Mapping[str, str], value: float) -> None:
        pairs = ",".join(f'{key}="{_escape(text)}"' for key, text in labels.items())
        self.lines.append(
            f"{PREFIX}{name}{{{pairs}}} {value!r}\n" if pairs else f"{PREFIX}{name} {value!r}\n"
        )


def _escape(text: str) -> str:
    return text.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')
