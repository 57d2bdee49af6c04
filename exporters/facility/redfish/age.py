"""How old a value is, by the clock of the service that told it: a wrong clock there does no harm."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime


def clock_of(headers: Mapping[str, str], now: float) -> float:
    """What time it is for the service; ours where it does not say."""
    try:
        return parsedate_to_datetime(headers.get("Date", "")).timestamp()
    except (ValueError, TypeError, OverflowError):
        return now


def age(stamp: str, clock: float) -> float:
    """Seconds; 0 where there is no time to read."""
    try:
        found = datetime.fromisoformat(stamp)
        return clock - (found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        return 0.0
