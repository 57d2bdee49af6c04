"""Which board shows what, and the links that lead from one to the next: site, rack, node, GPU, job."""

from __future__ import annotations

from collections.abc import Mapping

FLEET = "gw-fleet"
RACK = "gw-rack"
NODE = "gw-node"
JOB = "gw-job"
SERVING = "gw-serving"
TRAINING = "gw-training"
TOKENS = "gw-tokens"
FACILITY = "gw-facility"
PREDICT = "gw-predict"
ALARMS = "gw-alarms"
ELEVATION = "gw-elevation"
POWER = "gw-power"
COOLING = "gw-cooling"
ROOMS = "gw-rooms"
CAPACITY = "gw-capacity"
EFFICIENCY = "gw-efficiency"
PIPELINE = "gw-pipeline"

_ALONG = "${datasource:queryparam}&${__url_time_range}"
"""What every link takes along: the data source and the time range."""

_TARGETS: dict[str, tuple[str, tuple[str, ...]]] = {
    "site": (FLEET, ("site",)),
    "rack": (RACK, ("site", "rack")),
    "node": (NODE, ("site", "rack", "node")),
    "gpu": (NODE, ("site", "rack", "node", "gpu")),
    "job_id": (JOB, ("site", "job_id")),
    "model": (SERVING, ("site", "model")),
    "loop": (FACILITY, ("site", "loop")),
}
"""For a label: the board that shows the thing, and the variables that choose it there."""

_NAMES = {"site": "site", "rack": "rack", "node": "node", "gpu": "GPU", "job_id": "job", "model": "model",
          "loop": "loop"}  # fmt: skip


_AHEAD: dict[str, tuple[str, tuple[str, ...]]] = {TRAINING: ("Open its training", ("site", "job_id"))}
"""For a board that a figure may lead to: what its link says, and what it takes along."""


def lead(uid: str, fields: Mapping[str, str]) -> dict[str, object]:
    """The link behind a figure of a row, to the board that shows how it came about."""
    title, wanted = _AHEAD[uid]
    return {"title": title, "url": _url(uid, wanted, fields)}


def drill_down(label: str, fields: Mapping[str, str]) -> dict[str, object] | None:
    """The link behind a cell that names a place, or None where the label leads nowhere.

    `fields` gives the column title of every label of the row. A label that the row does not have is taken
    from the board's own variable of that name where it is the site, and left to the next board otherwise.
    """
    if label not in _TARGETS:
        return None
    uid, wanted = _TARGETS[label]
    return {"title": f"Open this {_NAMES[label]}", "url": _url(uid, wanted, fields)}


def _url(uid: str, wanted: tuple[str, ...], fields: Mapping[str, str]) -> str:
    parts = []
    for name in wanted:
        if name in fields:
            parts.append(f"var-{name}=${{__data.fields.{fields[name]}}}")
        elif name == "site":
            parts.append("${site:queryparam}")
    return f"/d/{uid}?{'&'.join(parts)}&{_ALONG}"


def board_links(titles: Mapping[str, str], here: str) -> list[dict[str, object]]:
    """The bar of links at the top of a board, which keep variables and time range."""
    return [
        {
            "type": "link",
            "title": title,
            "url": f"/d/{uid}",
            "icon": "dashboard",
            "tooltip": f"Open {title}",
            "tags": [],
            "asDropdown": False,
            "targetBlank": False,
            "keepTime": True,
            "includeVars": True,
        }
        for uid, title in titles.items()
        if uid != here
    ]
