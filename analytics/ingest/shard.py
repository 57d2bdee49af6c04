"""One process' part of a large fleet, and questions that ask for no more than it."""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterable
from dataclasses import dataclass

from gigawatch.errors import UserError

_SIMPLE = re.compile(
    r"(?P<head>\(?(?:max|min|sum) by \((?:\w+, )*node(?:, \w+)*\) \((?:rate\()?[a-zA-Z_:][\w:]*)"
    r"(?:\{(?P<given>[^{}]*)\})?(?P<rest>(?:\[\w+\]\))?\)[\s\d()<>=+.-]*)"
)
"""An aggregation over one metric that keeps the node: all that a matcher can safely be put into."""


@dataclass(frozen=True, slots=True)
class Shard:
    """This process' part of the fleet: nodes are spread by a hash of their name."""

    index: int = 0
    count: int = 1

    @classmethod
    def parse(cls, text: str) -> Shard:
        """`i/n`, such as 0/4. UserError says what is allowed."""
        left, _, right = text.partition("/")
        if not (left.isdigit() and right.isdigit() and int(left) < int(right)):
            raise UserError(f"--shard '{text}': write I/N with I from 0 to N-1, such as 0/4")
        return cls(int(left), int(right))

    def owns(self, name: str) -> bool:
        """Whether the node (or rack, or loop) of that name belongs to this shard."""
        return self.count == 1 or zlib.crc32(name.encode()) % self.count == self.index

    def pattern(self, nodes: Iterable[str]) -> str:
        """A regular expression for those of these nodes that are ours; empty if none is."""
        return "|".join(re.escape(node) for node in sorted(nodes) if self.owns(node))


def restricted(query: str, pattern: str) -> str:
    """A query that asks for these nodes only, or the query as it is where that cannot be put into it."""
    found = _SIMPLE.fullmatch(query)
    if found is None or not pattern:
        return query
    quoted = pattern.replace("\\", "\\\\").replace('"', '\\"')
    given = f"{found['given']}," if found["given"] else ""
    return f'{found["head"]}{{{given}node=~"{quoted}"}}{found["rest"]}'
