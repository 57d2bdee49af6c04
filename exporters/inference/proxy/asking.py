"""What a request asks for, and how it is made to ask for its usage as well."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from json.decoder import scanstring  # type: ignore[attr-defined] # the scanner itself; typeshed hides it
from typing import Any

_SPACE = re.compile(r"[ \t\r\n]*")
_DECODER = json.JSONDecoder()
_ASK = '"stream_options":{"include_usage":true}'


@dataclass(frozen=True, slots=True)
class Member:
    """A field of a JSON object: its value, and where name and value stand in the text."""

    value: Any
    name_at: int
    begin: int
    end: int


@dataclass(frozen=True, slots=True)
class Asked:
    """What matters of a request. `answers`: how many at once (`n`)."""

    model: str = ""
    stream: bool | None = None
    answers: int = 1


def members(text: str) -> dict[str, Member] | None:
    """The fields of a text that is one JSON object; None for any other, and where a name stands twice."""
    try:
        return _members(text)
    except (ValueError, RecursionError, IndexError):
        return None


def _members(text: str) -> dict[str, Member] | None:
    at = _skip(text, 0)
    if text[at] != "{":
        return None
    found: dict[str, Member] = {}
    at = _skip(text, at + 1)
    while text[at] != "}":
        name_at = at
        if text[at] != '"':
            return None
        name, at = scanstring(text, at + 1)
        at = _skip(text, at)
        if text[at] != ":" or name in found:
            return None
        begin = _skip(text, at + 1)
        value, end = _DECODER.raw_decode(text, begin)
        found[name] = Member(value, name_at, begin, end)
        at = _skip(text, end)
        if text[at] == ",":
            at = _skip(text, at + 1)
            if text[at] == "}":
                return None
        elif text[at] != "}":
            return None
    return found if _skip(text, at + 1) == len(text) else None


def _skip(text: str, at: int) -> int:
    match = _SPACE.match(text, at)
    return match.end() if match else at


def asked(values: Mapping[str, Any]) -> Asked:
    """What the fields of a request's body ask for."""
    model, stream = values.get("model"), values.get("stream")
    many = [value for value in (values.get("n"), values.get("best_of")) if isinstance(value, int)]
    return Asked(
        model if isinstance(model, str) else "", stream if isinstance(stream, bool) else None, max([1, *many])
    )


def with_usage(text: str, fields: dict[str, Member]) -> str | None:
    """The body, asking for usage at the end of its stream; None where it does so already, or cannot."""
    options = fields.get("stream_options")
    if options is None:
        at = text.index("{") + 1
        return f"{text[:at]}{_ASK},{text[at:]}"
    given = {} if options.value is None else options.value
    if not isinstance(given, dict) or given.get("include_usage") is True:
        return None
    written = json.dumps(given | {"include_usage": True})
    return text[: options.begin] + written + text[options.end :]


def without(text: str, fields: dict[str, Member], name: str) -> str:
    """The text without one field that it has, and without the comma that set it off."""
    order = sorted(fields.values(), key=lambda field: field.begin)
    index = order.index(fields[name])
    if index:
        return text[: order[index - 1].end] + text[order[index].end :]
    return text[: order[0].name_at] + (text[order[1].name_at :] if len(order) > 1 else text[order[0].end :])
