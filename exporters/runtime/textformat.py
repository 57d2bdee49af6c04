"""A strict reader of the Prometheus text format 0.0.4, for files that others write."""

from __future__ import annotations

import math
import re

from exporters.runtime.textfamily import BOUND, SUFFIXES, Draft, Family, TextError, finish

KINDS = ("counter", "gauge", "histogram", "summary", "untyped")
_NAME = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")
_PAIR = re.compile(
    r'[ \t]*(?:([a-zA-Z_][a-zA-Z0-9_]*)[ \t]*=[ \t]*"([^"\\]*(?:\\.[^"\\]*)*)"[ \t]*(,?)[ \t]*)?(\}?)'
)
_NUMBER = re.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
_WORDS = {"nan": math.nan, "inf": math.inf, "infinity": math.inf}
_BLANKS = re.compile(r"[ \t]+")
_ESCAPE = re.compile(r"\\(.)")


def parse(data: bytes) -> dict[str, Family]:
    """Families of a text by name, in its order. Raises TextError, whatever the bytes."""
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        number = data.count(b"\n", 0, error.start) + 1
        raise TextError(number, f"is not UTF-8 (byte {error.start} of the file)") from None
    lines = text.split("\n")
    if lines.pop():
        raise TextError(
            len(lines) + 1, "does not end in a newline; write the file under another name, then rename it"
        )
    drafts: dict[str, Draft] = {}
    for number, line in enumerate(lines, 1):
        try:
            _take(drafts, number, line)
        except ValueError as error:
            raise TextError(number, str(error)) from None
    return finish(drafts)


def _take(drafts: dict[str, Draft], number: int, line: str) -> None:
    line = line.strip(" \t")
    if line.endswith("\r"):
        raise ValueError("ends in CR LF; end lines in LF alone")
    if line.startswith("#"):
        _comment(drafts, number, line[1:])
    elif line:
        _sample(drafts, number, line)


def _comment(drafts: dict[str, Draft], number: int, text: str) -> None:
    keyword, _, rest = text.strip(" \t").replace("\t", " ", 2).partition(" ")
    if keyword not in ("HELP", "TYPE"):
        return
    name, _, rest = rest.strip(" \t").partition(" ")
    if not _NAME.fullmatch(name):
        raise ValueError(f"# {keyword} names no metric: {_show(name)}")
    draft = drafts.setdefault(name, Draft(name, number))
    if keyword == "HELP":
        if draft.help is not None:
            raise ValueError(f"a second HELP of {name}")
        draft.help = _unescape(rest.strip(" \t"), "\\n")
        return
    if draft.kind:
        raise ValueError(f"a second TYPE of {name}")
    if draft.groups:
        raise ValueError(f"TYPE of {name} comes after its samples; put it before the first")
    kind = rest.strip(" \t").lower()
    if kind not in KINDS:
        raise ValueError(f"type of {name} is {_show(rest)}; allowed: {', '.join(KINDS)}")
    draft.kind = kind


def _sample(drafts: dict[str, Draft], number: int, line: str) -> None:
    found = _NAME.match(line)
    if found is None:
        raise ValueError(f"begins with no metric name: {_show(line)}")
    name, rest = found.group(), line[found.end() :].lstrip(" \t")
    labels: dict[str, str] = {}
    if rest.startswith("{"):
        labels, rest = _labels(rest)
        rest = rest.lstrip(" \t")
    elif rest and rest == line[found.end() :]:
        raise ValueError(f"the name is followed by {_show(rest)}; expected a blank or '{{'")
    words = _BLANKS.split(rest) if rest else []
    if not words:
        raise ValueError(f"{name} has no value")
    if len(words) > 1:
        raise ValueError(
            f"{name} has a timestamp ({_show(words[1])}), which a text file must not have; leave it out"
            if len(words) == 2
            else f"{name} is followed by {_show(rest)}; expected one value"
        )
    draft, suffix = _family_of(drafts, number, name)
    bound = 0.0
    if (key := BOUND.get(draft.kind)) and suffix == ("_bucket" if draft.kind == "histogram" else ""):
        if key not in labels:
            raise ValueError(f"{name} lacks the label {key} of a {draft.kind}")
        bound = _number(labels.pop(key), key)
    elif draft.kind == "histogram" and not suffix:
        raise ValueError(f"a histogram has {name}_bucket, {name}_sum and {name}_count, but no {name}")
    group = draft.groups.setdefault(tuple(sorted(labels.items())), {})
    if (suffix, bound) in group:
        raise ValueError(f"{_show(line)} stands twice")
    group[suffix, bound] = _number(words[0], name)


def _labels(text: str) -> tuple[dict[str, str], str]:
    """Labels of "{...} rest", and the rest."""
    labels: dict[str, str] = {}
    at, more = 1, True
    while True:
        found = _PAIR.match(text, at)
        if found is None or (found.group(1) is None and not found.group(4)):
            raise ValueError(f'labels cannot be read at {_show(text[at:])}; expected NAME="VALUE"')
        at = found.end()
        name, value, comma, end = found.groups()
        if name is not None:
            if not more:
                raise ValueError(f"label {name} is not separated from the one before by a comma")
            if name in labels:
                raise ValueError(f"label {name} stands twice")
            if name == "__name__":
                raise ValueError("the label __name__ is reserved for the metric's name")
            labels[name] = _unescape(value, '\\n"')
            more = bool(comma)
        if end:
            return labels, text[at:]


def _family_of(drafts: dict[str, Draft], number: int, name: str) -> tuple[Draft, str]:
    for suffix in SUFFIXES["histogram"]:
        owner = drafts.get(name.removesuffix(suffix)) if name.endswith(suffix) else None
        if owner is not None and suffix in SUFFIXES.get(owner.kind, ()):
            return owner, suffix
    return drafts.setdefault(name, Draft(name, number)), ""


def _number(text: str, of: str) -> float:
    sign = -1.0 if text.startswith("-") else 1.0
    word = _WORDS.get(text.lstrip("+-").lower()) if text[:2] not in ("++", "+-", "-+", "--") else None
    if word is not None:
        if word != word and of in ("le", "quantile"):
            raise ValueError(f"{of} is not a number")
        return sign * word
    value = float(text) if _NUMBER.fullmatch(text) else math.nan
    if not math.isfinite(value):
        raise ValueError(f"{of} is {_show(text)}; expected a number, +Inf, -Inf or NaN")
    return value or 0.0  # not -0.0, which a bound could not be told from


def _unescape(text: str, allowed: str) -> str:
    if "\\" not in text:
        return text
    for found in _ESCAPE.finditer(text):
        if found.group(1) not in allowed:
            raise ValueError(f"unknown escape {_show(found.group())}")
    if text.replace("\\\\", "").endswith("\\"):
        raise ValueError("ends in a single backslash")
    return _ESCAPE.sub(lambda found: "\n" if found.group(1) == "n" else found.group(1), text)


def _show(text: str) -> str:
    return repr(text if len(text) <= 60 else text[:60] + "...")
