"""Reading a YAML file into a typed model."""

from __future__ import annotations

import dataclasses
import gc
import os
import re
from collections.abc import Hashable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic_core import ErrorDetails

from gigawatch.errors import FileError

_LARGEST_FILE = 32 * 1024 * 1024
_DURATION = re.compile(r"^(\d+(?:\.\d+)?)(ms|s|m|h|d|w)$")
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}


class Strict(BaseModel):
    """Base of every settings model: unknown fields are errors, and a loaded model never changes."""

    model_config = ConfigDict(extra="forbid", frozen=True)


Model = TypeVar("Model", bound=BaseModel)
Lines = dict[tuple[str | int, ...], int]


def load_file(
    path: Path, model: type[Model], environment: Mapping[str, str] | None = None, prefix: str = ""
) -> Model:
    """The file as a model. With `prefix`, variables PREFIX_FIELD or PREFIX_SECTION__FIELD override it.

    Raises FileError with one line: file and line, field, what is wrong, what is allowed.
    """
    data, lines = read_mapping(path)
    source = _override(data, environment or {}, prefix) if prefix else {}
    try:
        return model.model_validate(data)
    except ValidationError as error:
        problems = error.errors(include_url=False)
        raise _explain(path, problems, lines, source, model) from None


def read_mapping(path: Path) -> tuple[dict[str, Any], Lines]:
    """A YAML file whose top level is a mapping, and the line of every field in it."""
    try:
        if path.stat().st_size > _LARGEST_FILE:
            raise FileError(path, "", "larger than 32 MiB", "is this the right file?")
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise FileError(
            path, "", f"cannot be read ({error.strerror})", "check the path and its permissions"
        ) from None
    except UnicodeDecodeError as error:
        raise FileError(path, "", f"is not UTF-8 text (byte {error.start})", "save it as UTF-8") from None
    try:
        with _without_collection():
            data, lines = _parse(path, text)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        problem = error.problem or error.context or "cannot be understood"
        raise FileError(path, "", f"not valid YAML: {problem}", "", mark.line + 1 if mark else None) from None
    except yaml.YAMLError as error:
        raise FileError(path, "", f"not valid YAML: {error}") from None
    except (ValueError, RecursionError, OverflowError) as error:
        # PyYAML lets impossible dates and absurd nesting through as bare Python errors.
        raise FileError(path, "", f"not valid YAML: {str(error) or type(error).__name__}") from None
    if data is None:
        data = {}
    if not isinstance(data, dict):
        raise FileError(
            path, "", f"holds {_kind(data)} at the top", "expected fields with values ('name: value')"
        )
    return data, lines


@contextmanager
def _without_collection() -> Iterator[None]:
    """What a large file makes are tuples that stay: looking for garbage among them doubles the time."""
    collecting = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collecting:
            gc.enable()


def _parse(path: Path, text: str) -> tuple[Any, Lines]:
    loader = yaml.CSafeLoader(text) if hasattr(yaml, "CSafeLoader") else yaml.SafeLoader(text)
    node = loader.get_single_node()
    lines: Lines = {}
    if node is None:
        return None, lines
    _walk(path, node, (), lines, 0)
    return loader.construct_document(node), lines


def _walk(path: Path, node: yaml.Node, at: tuple[str | int, ...], lines: Lines, depth: int) -> None:
    if depth > 100:
        raise FileError(path, "", "nested more than 100 levels deep", line=node.start_mark.line + 1)
    lines.setdefault(at, node.start_mark.line + 1)
    if isinstance(node, yaml.MappingNode):
        seen: set[Hashable] = set()
        for key, value in node.value:
            name = str(getattr(key, "value", key))
            if name in seen and name != "<<":
                field = _dotted((*at, name))
                raise FileError(path, field, "stands twice", "keep one of the two", key.start_mark.line + 1)
            seen.add(name)
            lines[(*at, name)] = key.start_mark.line + 1
            _walk(path, value, (*at, name), lines, depth + 1)
    elif isinstance(node, yaml.SequenceNode):
        for index, item in enumerate(node.value):
            _walk(path, item, (*at, index), lines, depth + 1)


def _override(
    data: dict[str, Any], environment: Mapping[str, str], prefix: str
) -> dict[tuple[str, ...], str]:
    """Write PREFIX_A__B=value into data["a"]["b"]; return which field came from which variable."""
    origin: dict[tuple[str, ...], str] = {}
    for variable in sorted(environment):
        if not variable.startswith(prefix + "_"):
            continue
        keys = tuple(part.lower() for part in variable[len(prefix) + 1 :].split("__") if part)
        place: dict[str, Any] = data
        for key in keys[:-1]:
            child = place.setdefault(key, {})
            if not isinstance(child, dict):
                break
            place = child
        else:
            if keys:
                place[keys[-1]] = yaml.safe_load(environment[variable])
                origin[keys] = variable
    return origin


def _explain(
    path: Path,
    problems: list[ErrorDetails],
    lines: Lines,
    origin: Mapping[tuple[str, ...], str],
    model: type[BaseModel],
) -> FileError:
    first = problems[0]
    at = tuple(first["loc"])
    problem, remedy = _words(first, model)
    more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
    variable = origin.get(tuple(str(part) for part in at))
    where: object = f"environment variable {variable}" if variable else path
    line = None
    for length in range(len(at), -1, -1):
        if at[:length] in lines and not variable:
            line = lines[at[:length]]
            break
    return FileError(where, _dotted(at), problem, remedy + more, line)


def _words(error: ErrorDetails, model: type[BaseModel]) -> tuple[str, str]:
    kind, context = error["type"], error.get("ctx", {})
    given = error.get("input")
    if kind == "missing":
        return "is missing", "add it"
    if kind in ("extra_forbidden", "unexpected_keyword_argument"):
        allowed = _fields_at(model, tuple(error["loc"])[:-1])
        return "is not a known field", f"known here: {', '.join(allowed)}" if allowed else "remove it"
    if kind in ("literal_error", "enum"):
        return f"is {given!r}", f"allowed: {context.get('expected', '')}"
    if kind == "value_error":
        return str(context.get("error", error["msg"])), ""
    message = error["msg"][0].lower() + error["msg"][1:]
    shown = repr(given) if isinstance(given, str | int | float | bool) or given is None else _kind(given)
    return f"is {shown[:80]}", message


def _fields_at(model: type[BaseModel], at: tuple[str | int, ...]) -> list[str]:
    current: Any = model
    for part in at:
        if isinstance(part, int):
            continue
        field = getattr(current, "model_fields", {}).get(part)
        if field is None:
            return []
        current = _model_in(field.annotation)
    if dataclasses.is_dataclass(current):
        return sorted(field.name for field in dataclasses.fields(current))
    return sorted(getattr(current, "model_fields", {}))


def _model_in(annotation: Any) -> Any:
    if isinstance(annotation, type) and (
        issubclass(annotation, BaseModel) or dataclasses.is_dataclass(annotation)
    ):
        return annotation
    for inner in getattr(annotation, "__args__", ()):
        found = _model_in(inner)
        if found is not None:
            return found
    return None


def _dotted(at: tuple[str | int, ...]) -> str:
    text = ""
    for part in at:
        text += f"[{part}]" if isinstance(part, int) else (f".{part}" if text else str(part))
    return text


def _kind(value: object) -> str:
    names = {
        dict: "a mapping",
        list: "a list",
        str: "text",
        int: "a number",
        float: "a number",
        bool: "true/false",
    }
    return names.get(type(value), f"a {type(value).__name__}")


def parse_duration(text: str) -> float:
    """Seconds of a duration such as 500ms, 30s, 5m, 2h, 7d, 1w. ValueError says what is allowed."""
    match = _DURATION.match(text.strip())
    if not match:
        raise ValueError(
            f"'{text}' is not a duration; write a number and ms, s, m, h, d or w, such as 30s or 5m"
        )
    return float(match.group(1)) * _SECONDS[match.group(2)]


def read_secret(path: Path) -> str:
    """A secret from a file, without its trailing newline. The error never shows the content."""
    try:
        return path.read_text(encoding="utf-8").rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "not UTF-8 text"
        raise FileError(
            path, "", f"secret cannot be read ({reason})", "check the path and its permissions"
        ) from None


def environment() -> Mapping[str, str]:
    """The process environment, for commands to pass on."""
    return os.environ
