"""What the answers of engines say about tokens, in the four forms in use.

OpenAI's completions (`usage.prompt_tokens`) and responses (`usage.input_tokens`), Anthropic's messages (input
apart from what came from a cache), Ollama's own (`prompt_eval_count`, `eval_count`). They are told apart by
their fields, so that one reader serves all routes.
"""

from __future__ import annotations

from typing import Any

_MOST = 1 << 31
"""Tokens of one request; more is no count."""
_OUTCOMES = {
    "stop": "stop", "tool_calls": "stop", "function_call": "stop", "eos": "stop", "eos_token": "stop",
    "stop_sequence": "stop", "end_turn": "stop", "tool_use": "stop", "completed": "stop",
    "length": "length", "max_tokens": "length", "max_output_tokens": "length", "model_length": "length",
    "abort": "abort", "cancelled": "abort", "error": "error", "failed": "error",
}  # fmt: skip
_WORST_LAST = ("stop", "other", "length", "abort", "error")
_UNFINISHED = ("in_progress", "queued")


class ImpossibleError(Exception):
    """A field holds what no engine can mean. The message names the field, never the value."""


class Answer:
    """What is known of one answer so far."""

    def __init__(self) -> None:
        self.model = ""
        self.prompt: int | None = None
        self.cached: int | None = None
        """Of the prompt, from a cache; None where the engine does not say."""
        self.generated: int | None = None
        self.outcome = ""
        self.nothing_to_tell = False
        """The engine did no work on tokens (Ollama loaded or unloaded a model)."""

    @property
    def told(self) -> bool:
        """Whether the engine told its tokens. All zeros are what some send before they know."""
        return bool(self.prompt or self.generated)

    def take(self, document: dict[str, Any]) -> None:
        """Take in a body, or an event of a stream; later ones replace what earlier ones said."""
        inner = document.get("response")
        if isinstance(inner, dict):
            self.take(inner)
        elif document.get("type") == "message_start" and isinstance(document.get("message"), dict):
            self.take(document["message"])
        model = document.get("model")
        if isinstance(model, str) and model:
            self.model = model
        usage = document.get("usage")
        if isinstance(usage, dict):
            self._take_usage(usage)
        if document.get("done") is not False:
            self._take_counts(document)
        for reason in _reasons(document):
            self._end_with(reason)

    def _take_usage(self, usage: dict[str, Any]) -> None:
        generated = _count(usage, "completion_tokens", "output_tokens")
        if generated is not None:
            self.generated = generated
        prompt = _count(usage, "prompt_tokens", "input_tokens")
        if prompt is None:
            return
        details = usage.get("prompt_tokens_details") or usage.get("input_tokens_details")
        cached = _count(details, "cached_tokens") if isinstance(details, dict) else None
        read = _count(usage, "cache_read_input_tokens")
        written = _count(usage, "cache_creation_input_tokens")
        if read is not None or written is not None:
            # Anthropic's form: input_tokens are those that no cache was involved in.
            cached = read or 0
            prompt += cached + (written or 0)
        self.prompt = prompt
        self.cached = min(cached, prompt) if cached is not None else None

    def _take_counts(self, document: dict[str, Any]) -> None:
        prompt, generated = _count(document, "prompt_eval_count"), _count(document, "eval_count")
        self.prompt = self.prompt if prompt is None else prompt
        self.generated = self.generated if generated is None else generated
        if document.get("done_reason") in ("load", "unload"):
            self.nothing_to_tell = True

    def _end_with(self, reason: str) -> None:
        outcome = _OUTCOMES.get(reason, "other")
        if not self.outcome or _WORST_LAST.index(outcome) > _WORST_LAST.index(self.outcome):
            self.outcome = outcome


def bears_content(document: dict[str, Any]) -> bool:
    """Whether an event of a stream brings some of the answer itself: text, thoughts, a call of a tool."""
    choices = document.get("choices")
    if isinstance(choices, list):
        return any(_some(choice.get("delta")) or choice.get("text") for choice in choices if _is(choice))
    kind = document.get("type")
    if isinstance(kind, str) and kind:
        return kind.endswith("delta") and kind != "message_delta" and bool(document.get("delta"))
    return bool(document.get("response")) or bool(document.get("thinking")) or _some(document.get("message"))


def _some(part: object) -> bool:
    """Whether a delta or message holds more than the role of who speaks."""
    return isinstance(part, dict) and any(value for name, value in part.items() if name != "role")


def _is(thing: object) -> bool:
    return isinstance(thing, dict)


def _reasons(document: dict[str, Any]) -> list[str]:
    """Why the answer ended, as far as this part of it says."""
    if document.get("error") or document.get("type") == "error":
        return ["error"]
    found: list[object] = []
    choices = document.get("choices")
    if isinstance(choices, list):
        found += [choice.get("finish_reason") for choice in choices if isinstance(choice, dict)]
    found += [document.get("stop_reason"), document.get("done_reason") if document.get("done") else None]
    delta = document.get("delta")
    if isinstance(delta, dict):
        found.append(delta.get("stop_reason"))
    status = document.get("status")
    if status == "incomplete":
        details = document.get("incomplete_details")
        found.append(details.get("reason") if isinstance(details, dict) else "other")
    elif status not in _UNFINISHED and document.get("object") in ("response", None):
        found.append(status)
    return [reason for reason in found if isinstance(reason, str) and reason]


def _count(fields: dict[str, Any], *names: str) -> int | None:
    """The first of these fields that is there. Raises ImpossibleError for what cannot be a count."""
    for name in names:
        value = fields.get(name)
        if value is None:
            continue
        if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < _MOST:
            raise ImpossibleError(name)
        return value
    return None
