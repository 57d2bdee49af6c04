"""Progress of long work: one line on a terminal, nothing in a pipe."""

from __future__ import annotations

import sys
import time
from typing import TextIO

_EVERY = 0.2
_WIDTH = 60


class Line:
    """Call it with what is done and how far it is (0 to 1); it tells how long the rest may take."""

    def __init__(self, out: TextIO | None = None) -> None:
        self._out = out or sys.stderr
        self._shown = self._out.isatty()
        self._stage, self._began, self._last = "", 0.0, 0.0
        self._dirty = False

    def __call__(self, stage: str, share: float) -> None:
        if not self._shown:
            return
        now = time.monotonic()
        if stage != self._stage:
            self._stage, self._began = stage, now
        elif now - self._last < _EVERY and share < 1:
            return
        self._last = now
        text = f"{stage} {100 * min(share, 1.0):3.0f} %"
        if 0.02 < share < 1 and now - self._began > 2:
            left = (now - self._began) * (1 - share) / share
            text += f", {left / 60:.0f} min left" if left > 90 else f", {left:.0f} s left"
        self._out.write(f"\r{text:<{_WIDTH}}")
        self._out.flush()
        self._dirty = True

    def clear(self) -> None:
        """Take the line away."""
        if self._dirty:
            self._out.write(f"\r{'':<{_WIDTH}}\r")
            self._out.flush()
            self._dirty = False
