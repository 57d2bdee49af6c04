"""Where an engine's metrics may be, and what answers mean that hold none."""

from __future__ import annotations

from exporters.inference.dialect import Dialect
from exporters.inference.dialects import all_dialects
from exporters.inference.fetch import Answer, FetchError
from exporters.inference.targets import DEFAULT_PATH, Target

_METRICS_TYPES = ("", "text/plain", "application/openmetrics-text", "application/octet-stream")


def paths(target: Target, dialect: Dialect | None) -> tuple[str, ...]:
    """Where its metrics may be, the likeliest first."""
    if target.path:
        return (target.path,)
    if dialect is not None:
        return (dialect.path,)
    return tuple(dict.fromkeys((DEFAULT_PATH, *(one.path for one in all_dialects()))))


def check(answer: Answer, path: str, dialect: Dialect | None) -> None:
    """Raises FetchError for an answer that holds no metrics, with what may help."""
    status, where = answer.status, path.partition("?")[0]
    needs = f"; {dialect.title} must be {dialect.needs}" if dialect is not None and dialect.needs else ""
    if status in (401, 403):
        how = "set bearer_token_file or basic_auth" if status == 401 else "what was shown is not enough"
        raise FetchError("permission", f"answers {status} at {where}; {how}")
    if 300 <= status < 400:
        raise FetchError("redirect", f"redirects {where}, which is not followed; set the final address")
    if status != 200:
        hint = needs or ("; set `engine`, and this line tells what it needs" if dialect is None else "")
        raise FetchError("status", f"answers {status} at {where}{hint}")
    start = answer.body[:64].lstrip()[:1]
    if answer.content_type == "application/json" or (start and start in b"[{"):
        raise FetchError("content_type", f"answers JSON at {where}, no metrics{_json_hint(where)}{needs}")
    if answer.content_type == "text/html" or start == b"<":
        raise FetchError("content_type", f"answers a web page at {where}, no metrics; set `path`{needs}")
    if answer.content_type not in _METRICS_TYPES:
        raise FetchError("content_type", f"answers another type than text at {where}; set `path`{needs}")


def _json_hint(path: str) -> str:
    """Who answers JSON at the path of metrics, and where its metrics are."""
    others = [f"{one.title} has them at {one.path}" for one in all_dialects() if "/prometheus/" in one.path]
    return "; " + ", ".join(others) if others and "/prometheus/" not in path else ""
