"""One answer of an engine, taken apart: which of its lines hold the series that the dialect reads."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import compress, count
from operator import ne
from sys import intern

from exporters.inference.exposition import (
    MAX_SERIES,
    NAME,
    ExpositionError,
    alien,
    kind_in,
    lines_of,
    number,
    parse,
)
from exporters.inference.vocabulary import Series, Vocabulary

_KEPT = 2**20
"""Bytes of an answer that is kept to be compared with the next: an answer of 16 engines in one."""
_NOWHERE = -1


class Answer:
    """The newest answer of one engine.

    An engine gives the same lines each time and only the numbers change, so a line that stands as it stood is
    not read again, and of one that changed only what follows the text before its value.
    """

    def __init__(self, vocabulary: Vocabulary) -> None:
        self._vocabulary = vocabulary
        self._lines: list[str] = []
        self._plan: list[tuple[str, int] | None] = []
        """For each line the text before its value and the place of its value; None: not to change."""
        self.values: list[float] = []
        self.series: list[Series] = []
        """What each value is of."""
        self.names: set[str] = set()
        """Names of samples that the dialect does not read."""
        self.kinds: dict[str, str] = {}
        """Types of the families, as declared."""
        self.bad_lines = 0

    def take(self, body: bytes) -> set[int] | None:
        """Read an answer. The places whose values changed, or None: all is new, the series may be others."""
        old, self._lines = self._lines, []  # nothing to compare with, should this fail
        lines = lines_of(body)
        changed = self._changes(old, lines) if len(old) == len(lines) else None
        if changed is not None:
            lines = old
        else:
            self._read(lines)
            says_nothing = not self.series and not any(map(_is_sample, lines))
            if says_nothing and (body.strip() or not self._vocabulary.dialect.starts_empty):
                raise alien(body)
        if len(body) <= _KEPT:
            self._lines = lines
        else:
            self._plan = []
        return changed

    def forget_names(self) -> None:
        """Let go of what only a new layout needs."""
        self.names, self.kinds = set(), {}

    def compare_with_nothing(self) -> None:
        """Read the next answer whole, even if it has the same lines."""
        self._lines = []

    def _changes(self, old: list[str], lines: Sequence[str]) -> set[int] | None:
        """Take over what changed, and make `old` what `lines` is: most lines are kept as they were."""
        plan, values = self._plan, self.values
        changed = set()
        for at in compress(count(), map(ne, lines, old)):
            entry = plan[at]
            if entry is None:
                return None
            prefix, place = entry
            line = old[at] = lines[at]
            if not line.startswith(prefix):
                return None
            if place >= 0:
                text = line[len(prefix) :]
                try:
                    values[place] = float(text)
                except ValueError:
                    value = number(text)
                    if value is None:
                        return None
                    values[place] = value
                changed.add(place)
        return changed

    def _read(self, lines: list[str]) -> None:
        self.values, self.series, self.names, self.kinds, self.bad_lines = [], [], set(), {}, 0
        met, values, found = self._vocabulary.met, self.values, self.series
        plan: list[tuple[str, int] | None] = [None] * len(lines)
        self._plan = plan
        there: set[Series] = set()
        for at, line in enumerate(lines):
            if not line or line[0] == "#":
                if line[2:6] != "HELP" and (declared := kind_in(line)):
                    self.kinds[declared[0]] = declared[1]
                lines[at] = intern(line)  # the same in many engines
                continue
            key, _, text = line.rpartition(" ")
            series = met.get(key)
            if series is None:
                series, prefix = self._unmet(line)
                if series is None and prefix:
                    plan[at] = (prefix, _NOWHERE)
                    continue
                text = line[len(prefix) :]
            else:
                prefix = series.prefix
            value = number(text) if series is not None else None
            if series is None or value is None or at == len(lines) - 1:
                # The last line is whole only where a line break follows.
                self.bad_lines += not line.isspace()
            elif series in there:
                # For the second time: the first counts, as in Prometheus.
                self.bad_lines += 1
                plan[at] = (prefix, _NOWHERE)
            else:
                if len(found) >= MAX_SERIES:
                    raise ExpositionError("too_many_series", f"more than {MAX_SERIES} series in the answer")
                there.add(series)
                plan[at] = (prefix, len(values))
                values.append(value)
                found.append(series)

    def _unmet(self, line: str) -> tuple[Series | None, str]:
        """The series of a line that is seen for the first time, and the text before its value.

        No series but a text: one that the dialect does not read. Neither: malformed, or no series at all.
        """
        vocabulary = self._vocabulary
        named = NAME.match(line)
        if named is not None and named.group(1) not in vocabulary.wanted:
            self.names.add(named.group(1))
            return None, intern(line[: named.end() + 1])
        parsed = parse(line)
        if parsed is None:
            return None, ""
        series = vocabulary.met.get(parsed.key) or vocabulary.series(parsed)
        return series, parsed.prefix if series is not None else ""


def _is_sample(line: str) -> bool:
    parsed = parse(line) if line and line[0] != "#" else None
    return parsed is not None and number(line[len(parsed.prefix) :]) is not None
