"""Maintenance of a place, as it is written into a silence of Alertmanager and read back from it.

Alertmanager keeps the silences and ends them; nothing else has to remember them. What is under maintenance
stands in the comment, in a form that people read as well.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

SCOPES = ("site", "hall", "row", "rack", "node", "gpu", "device", "loop", "feed")
_COMMENT = re.compile(r"^maintenance of (?P<scope>[a-z]+) (?P<place>\S+): (?P<reason>.*)$", re.DOTALL)
LONGEST_REASON = 200


@dataclass(frozen=True, slots=True)
class Work:
    """What is worked on, and why."""

    scope: str
    place: str
    reason: str

    @property
    def comment(self) -> str:
        """The comment of its silences."""
        return f"maintenance of {self.scope} {self.place}: {self.reason}"


def parse_comment(text: object) -> Work | None:
    """The work that a silence's comment names; None for silences that were made in another way."""
    found = _COMMENT.match(text) if isinstance(text, str) else None
    if found is None or found["scope"] not in SCOPES:
        return None
    return Work(found["scope"], found["place"], found["reason"][:LONGEST_REASON])
