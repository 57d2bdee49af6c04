"""The dashboards of one folder, read anew when their files change."""

from __future__ import annotations

import json
import logging
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

log = logging.getLogger(__name__)

_FIRST = ("gw-fleet", "gw-rack", "gw-node", "gw-job", "gw-serving", "gw-training", "gw-tokens", "gw-facility",
          "gw-elevation", "gw-power", "gw-cooling", "gw-rooms", "gw-capacity", "gw-efficiency",
          "gw-predict", "gw-alarms")  # fmt: skip
"""The way in, from the site down to the GPU; other boards follow by title."""


@dataclass(frozen=True, slots=True)
class Board:
    """One dashboard: its JSON as it stands in the file, and what a card shows of it."""

    uid: str
    title: str
    description: str
    tags: tuple[str, ...]
    panels: int
    body: bytes

    def summary(self) -> dict[str, object]:
        return {
            "uid": self.uid,
            "title": self.title,
            "description": self.description,
            "tags": list(self.tags),
            "panels": self.panels,
        }


class Shelf:
    """All boards of a folder, in reading order. A file that is none is named in `problems` and skipped."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._lock = threading.Lock()
        self._seen: tuple[tuple[str, int, int], ...] | None = None
        self._boards: dict[str, Board] = {}
        self._problems: list[str] = []

    def boards(self) -> list[Board]:
        with self._lock:
            self._refresh()
            return list(self._boards.values())

    def get(self, uid: str) -> Board | None:
        with self._lock:
            self._refresh()
            return self._boards.get(uid)

    def problems(self) -> list[str]:
        """One line for each file that could not be used, or for a folder without any."""
        with self._lock:
            self._refresh()
            return list(self._problems)

    def _refresh(self) -> None:
        files = sorted(self.folder.glob("*.json")) if self.folder.is_dir() else []
        stamps = []
        for file in files:
            try:
                stat = file.stat()
            except OSError:
                continue  # removed between the listing and here
            stamps.append((file.name, stat.st_mtime_ns, stat.st_size))
        if tuple(stamps) == self._seen:
            return
        self._seen = tuple(stamps)
        boards: list[Board] = []
        self._problems = []
        for name, _, _ in stamps:
            try:
                board = _read(self.folder / name)
            except (OSError, ValueError) as error:
                self._problems.append(f"{name}: {error}")
                log.warning("dashboard file skipped: %s: %s", name, error)
                continue
            if any(other.uid == board.uid for other in boards):
                self._problems.append(f"{name}: uid '{board.uid}' is taken by another file")
                continue
            boards.append(board)
        if not stamps:
            self._problems.append(
                f"no dashboards in {self.folder.name}/; generate them with: gigawatch build"
            )
        self._boards = {board.uid: board for board in sorted(boards, key=_order)}


def _order(board: Board) -> tuple[int, str]:
    return (_FIRST.index(board.uid) if board.uid in _FIRST else len(_FIRST), board.title)


def _read(file: Path) -> Board:
    body = file.read_bytes()
    document = json.loads(body)
    if not isinstance(document, dict) or not isinstance(document.get("panels"), list):
        raise ValueError("not a Grafana dashboard: 'panels' is missing")  # noqa: TRY004 - same kind as bad JSON
    uid, title = document.get("uid"), document.get("title")
    if not isinstance(uid, str) or not uid or not isinstance(title, str):
        raise ValueError("not a Grafana dashboard: 'uid' or 'title' is missing")
    tags = document.get("tags")
    return Board(
        uid=uid,
        title=title,
        description=str(document.get("description") or ""),
        tags=tuple(str(tag) for tag in tags) if isinstance(tags, list) else (),
        panels=_count(document["panels"]),
        body=body,
    )


def _count(panels: list[Any]) -> int:
    total = 0
    for panel in panels:
        if isinstance(panel, dict):
            nested = panel.get("panels")
            total += _count(nested) if isinstance(nested, list) else 0
            total += panel.get("type") != "row"
    return total
