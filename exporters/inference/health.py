"""An engine's own word on its health."""

from __future__ import annotations

from exporters.inference.dialect import Dialect, HealthRoute
from exporters.inference.fetch import Fetcher, FetchError
from exporters.inference.targets import Target

OFF = "off"
_LARGEST_WORD = 1 << 16
_WORDS = {200: True, 503: False}


def route_of(target: Target, dialect: Dialect | None) -> tuple[str, HealthRoute] | None:
    """Address and manner of asking; None where there is nothing to ask (yet)."""
    if dialect is None or target.health == OFF:
        return None
    route = dialect.health or HealthRoute()
    if target.health.startswith("/"):
        return target.url(target.health), route
    if target.health:
        return target.health, route
    return (target.url(route.path, route.port), route) if dialect.health is not None else None


async def ask(fetcher: Fetcher, url: str, target: Target, deadline: float) -> bool | None:
    """What the engine says of itself; None where it says nothing that is a word on its health."""
    try:
        answer = await fetcher.get(url, target.access, deadline, "*/*", _LARGEST_WORD)
    except FetchError:
        return None
    return _WORDS.get(answer.status)
