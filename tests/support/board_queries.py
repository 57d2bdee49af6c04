"""Queries of our boards, as a test asks them."""

from __future__ import annotations

import re

from dashboards.boards import all_boards
from gigawatch.promql.recording import all_rules

_WORD = re.compile(r"[a-z]*:?aif_[a-z0-9_:]+")


def inputs(text: str) -> set[str]:
    """Metrics that an expression rests on, through recording rules."""
    rules = {rule.name: rule.expr.text for rule in all_rules()}
    found: set[str] = set()
    waiting, seen = [text], set()
    while waiting:
        for word in set(_WORD.findall(waiting.pop())) - seen:
            seen.add(word)
            if word in rules:
                waiting.append(rules[word])
            else:
                found.add(word)
    return found


def filled(text: str) -> str:
    text = text.replace("$job_id", "default/gpu-workload-1")
    for name in ("site", "rack", "node", "gpu", "user", "namespace", "loop", "model"):
        text = re.sub(rf"\${name}\b", ".+", text)
    return text.replace("$__rate_interval", "30s").replace("$__range", "1m")


def queries(*uids: str) -> list[tuple[str, str]]:
    return [
        (f"{board.uid}: {panel.title}", query.expr.text)
        for board in all_boards()
        if board.uid in uids
        for section in board.sections
        for panel in section.panels
        for query in panel.queries
    ]
