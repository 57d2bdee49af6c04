"""What `squeue --json` says of the jobs on one node, in every form that Slurm has given it since 22.05.

Numbers stand plain, or as `{"set": ..., "infinite": ..., "number": ...}` (from 23.11); a state is a text, or
a list of them (from 23.11); the nodes of a job stand in up to five places. The names of the fields that are
read here never changed.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from exporters.jobs.hostlist import HostlistError, expand
from exporters.jobs.stages import stage_of_job

_HOLDING = {
    "RUNNING", "SUSPENDED", "STOPPED", "COMPLETING", "CONFIGURING", "SIGNALING", "RESIZING", "STAGE_OUT",
}  # fmt: skip
"""States in which a job has its GPUs."""
_GRES = re.compile(
    r"(?:^|,)(?:gres[:/])?(gpu|mps|shard)(?::([^:(,]+))?:(\d{1,6})(?:\(IDX:([^)]*)\)|\([^)]*\))?"
)
"""One kind of device in gres_detail: gpu:h200:4(IDX:0-2,5); mps and shard are shares of GPUs."""
_SPAN = re.compile(r"^(\d{1,4})(?:-(\d{1,4}))?$")
_MOST = 1024
"""GPUs on a node; more is damage."""


class Job(NamedTuple):
    """A job that holds this node, or a part of it."""

    job_id: str
    user: str
    partition: str
    stage: str
    indices: tuple[int, ...]
    """GPUs of this node by Slurm's number."""
    untold: int
    """Further GPUs of the job that may be on this node, but which ones cannot be told."""
    sluid: str = ""


def job_on(job: dict[str, Any], node: str) -> Job | None:
    """The job's part in `node`; None where it has none, or has no GPUs there. Never raises."""
    job_id = number(job.get("job_id"))
    states = job.get("job_state")
    named = {str(state).upper() for state in (states if isinstance(states, list) else [states])}
    if job_id is None or not _HOLDING & named:
        return None
    nodes = _nodes(job)
    if node not in nodes:
        return None
    indices, untold = _on_node(job.get("gres_detail"), nodes, node)
    if not indices and not untold and not _has_detail(job) and "COMPLETING" not in named:
        untold = _gpus_asked(job)  # a job that ends may have lost the detail with its GPUs
    return Job(
        str(job_id), text(job.get("user_name")), text(job.get("partition")), stage_of_job(comments(job)),
        indices, untold, text(job.get("sluid")),
    )  # fmt: skip


def _on_node(detail: object, nodes: list[str], node: str) -> tuple[tuple[int, ...], int]:
    """Indices of the GPUs on this node, and how many stay untold."""
    entries = [entry for entry in detail if isinstance(entry, str)] if isinstance(detail, list) else []
    if len(entries) == len(nodes):
        return _indices(entries[nodes.index(node)])
    if not entries:
        return (), 0
    # Entries and nodes do not match up: any choice could be the wrong GPU.
    given = sum(len(told) + untold for told, untold in map(_indices, entries))
    return (), -(-given // len(nodes))


def _indices(entry: str) -> tuple[tuple[int, ...], int]:
    found: dict[int, None] = {}
    untold = 0
    for name, _, count, spans in _GRES.findall(entry):
        told = _spans(spans)
        found.update(dict.fromkeys(told))
        if name == "gpu":
            untold += max(int(count) - len(told), 0) if int(count) <= _MOST else 0
        elif not told and int(count):
            untold += 1  # a share of some GPU
    return tuple(sorted(found)), untold


def _spans(text: str) -> list[int]:
    found: list[int] = []
    for span in text.split(","):
        match = _SPAN.match(span.strip())
        if match and int(match[2] or match[1]) < _MOST:
            found.extend(range(int(match[1]), int(match[2] or match[1]) + 1))
    return found


def _nodes(job: dict[str, Any]) -> list[str]:
    """Nodes of a job in Slurm's order, from wherever this version tells them."""
    resources = job.get("job_resources")
    resources = resources if isinstance(resources, dict) else {}
    inner = resources.get("nodes")
    if isinstance(inner, dict):
        names = _names(inner.get("allocation"), "name") or _expanded(inner.get("list"))
    else:
        names = _names(resources.get("allocated_nodes"), "nodename") or _expanded(inner)
    return names or _expanded(job.get("nodes"))


def _names(rows: object, key: str) -> list[str]:
    if not isinstance(rows, list):
        return []
    return [row[key] for row in rows if isinstance(row, dict) and isinstance(row.get(key), str)]


def _expanded(text: object) -> list[str]:
    try:
        return expand(text) if isinstance(text, str) else []
    except HostlistError:
        return []


def _has_detail(job: dict[str, Any]) -> bool:
    return isinstance(job.get("gres_detail"), list) and bool(job["gres_detail"])


def _gpus_asked(job: dict[str, Any]) -> int:
    """GPUs per node that the job was given in all, where nothing says which."""
    given = re.search(r"gres/gpu(?::[^=,]+)?=(\d{1,6})", text(job.get("tres_alloc_str")))
    return -(-int(given[1]) // max(len(_nodes(job)), 1)) if given else 0


def comments(job: Mapping[str, Any]) -> str:
    """What its owner, or the administrator, wrote beside a job; the administrator's word comes first."""
    return " ".join(text(job.get(key)) for key in ("admin_comment", "comment"))


def number(value: object) -> int | None:
    """A positive number in any of Slurm's forms; None for anything else."""
    if isinstance(value, dict):
        if value.get("set") is False or value.get("infinite") is True:
            return None
        value = value.get("number")
    if isinstance(value, str) and value.isdecimal() and len(value) < 20:
        return int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else None


def text(value: object) -> str:
    """A text in any of Slurm's forms; empty for anything else."""
    if isinstance(value, dict):  # a text in newer schemas may be {"set": ..., "string": ...}
        value = value.get("string")
    return value if isinstance(value, str) else ""
