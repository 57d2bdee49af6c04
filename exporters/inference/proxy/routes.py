"""Requests whose answers tell tokens, by the end of their path: whatever stands before it may differ."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache


@dataclass(frozen=True, slots=True)
class Route:
    """`asks`: a stream tells its usage only if it is asked to. `streams`: it streams unless told not to.
    `reasons`: its answers say why they ended. `native`: errors are told as Ollama tells them."""

    path: bytes
    asks: bool = False
    streams: bool = False
    reasons: bool = True
    native: bool = False


_ROUTES = (
    Route(b"/chat/completions", asks=True),
    Route(b"/completions", asks=True),
    Route(b"/responses"),
    Route(b"/v1/messages"),
    Route(b"/embeddings", reasons=False),
    Route(b"/api/chat", streams=True, native=True),
    Route(b"/api/generate", streams=True, native=True),
    Route(b"/api/embed", reasons=False, native=True),
)


@lru_cache(maxsize=1024)
def route_of(method: bytes, target: bytes) -> Route | None:
    """The route of a request whose tokens are counted; None for all others."""
    if method != b"POST" or len(target) > 1024:
        return None
    path = target.partition(b"?")[0].rstrip(b"/")
    return next((route for route in _ROUTES if path.endswith(route.path)), None)
