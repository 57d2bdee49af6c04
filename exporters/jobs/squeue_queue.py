"""What squeue says of the jobs of a cluster that ask for GPUs: who waits, since when, who has started.

Two forms: the rows of `--json` (see squeue.py for how they drifted), and, where this squeue was built without
JSON, columns of text.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from exporters.jobs.squeue import comments, number, text
from exporters.jobs.stages import stage_of_job
from exporters.jobs.waiting import Work

STATES = "pending,running,suspended,stopped,configuring,signaling,resizing,stage_out"
_STARTED = {"RUNNING", "SUSPENDED", "STOPPED", "CONFIGURING", "SIGNALING", "RESIZING", "STAGE_OUT"}
_HELD = re.compile(
    r"h[eo]ld|^dependency|^begin ?time$|^job ?array ?task ?limit$|^reservation$", re.IGNORECASE
)
"""Reasons for which a job stays where it is, however many GPUs are free: its owner or an administrator wants
it so. What a quota or a closed partition holds back is not among them: its owner waits."""
_TRES = re.compile(
    r"(?:^|,)(?:gres[:/])?(gpu|shard|mps)(?::(?!\d+(?:$|[,(]))[^:=,()]+)?(?:[:=](\d{1,6}))?(?=$|[,(])"
)
"""One kind of device: gres:gpu:2, gres/gpu:h200=4, gpu."""
_MOST_GPUS = 1 << 20
_MOST_ELEMENTS = 1 << 22
_SPAN = re.compile(r"^(\d{1,9})(?:-(\d{1,9})(?::(\d{1,9}))?)?$")

COLUMNS: Mapping[str, int] = {
    "JobID": 24, "State": 16, "Reason": 48, "Partition": 96, "UserName": 64, "SubmitTime": 24,
    "EligibleTime": 24, "StartTime": 24, "NumNodes": 12, "NumTasks": 12, "tres-alloc": 160,
    "tres-per-job": 96, "tres-per-node": 96, "tres-per-task": 96, "tres-per-socket": 96, "Comment": 256,
}  # fmt: skip
"""Columns of `squeue --Format` and their widths; what is longer is cut off by squeue."""
FORMAT = ",".join(f"{name}:{width}|" for name, width in COLUMNS.items())
_AS_JSON = {
    "JobID": "job_id", "State": "job_state", "Reason": "state_reason", "Partition": "partition",
    "UserName": "user_name", "SubmitTime": "submit_time", "EligibleTime": "eligible_time",
    "StartTime": "start_time", "NumNodes": "node_count", "NumTasks": "tasks", "tres-alloc": "tres_req_str",
    "tres-per-job": "tres_per_job", "tres-per-node": "tres_per_node", "tres-per-task": "tres_per_task",
    "tres-per-socket": "tres_per_socket", "Comment": "comment",
}  # fmt: skip
_NOTHING = {"", "N/A", "(null)", "None", "Unknown"}


def row_of(line: str) -> dict[str, Any]:
    """A line of columns in the shape of a row of JSON; squeue has put each element of an array on a line."""
    words = (word.strip() for word in line.split("|", len(COLUMNS) - 1))
    row = {_AS_JSON[name]: word for name, word in zip(COLUMNS, words, strict=False) if word not in _NOTHING}
    row["comment"] = row.get("comment", "").rstrip("| ")
    return {key: _seconds(word) if key.endswith("_time") else word for key, word in row.items()}


def _seconds(word: str) -> str:
    """Unix seconds; a squeue that knows no other form writes the host's local time."""
    if word.isdecimal():
        return word
    try:
        return str(int(datetime.fromisoformat(word).timestamp()))
    except (ValueError, OverflowError):
        return ""


def work_of(job: Mapping[str, Any], by_partition: Mapping[str, str]) -> Work | None:
    """A job that holds GPUs or waits for some; None for any other. Never raises.

    It waits from its submission. Time in which it was to wait, for a date, for other jobs or until someone
    released it, does not count: then it waits from when it was free to start.
    """
    job_id, asked = number(job.get("job_id")), gpus_asked(job)
    states = job.get("job_state")
    named = {str(state).upper() for state in (states if isinstance(states, list) else [states])}
    pending, started = "PENDING" in named, bool(_STARTED & named) and "PENDING" not in named
    if job_id is None or not (pending or started) or asked is None:
        return None
    partitions = text(job.get("partition"))
    submitted, eligible = number(job.get("submit_time")), number(job.get("eligible_time"))
    since = float(max(submitted, eligible or 0)) if submitted else None
    start = number(job.get("start_time")) if started else None
    if started and start is None:
        return None
    elements = _elements(text(job.get("array_task_string"))) if pending else 1
    return Work(
        str(job_id),
        namespace="",
        user=text(job.get("user_name")),
        partition=partitions.partition(",")[0],
        stage=stage_of_job(comments(job), partitions, by_partition),
        gpus=min(asked * elements, _MOST_GPUS),
        since=since,
        start=float(start) if start else None,
        # A job that may not start yet has no such time: 0, or one that lies ahead.
        held=bool(_HELD.search(text(job.get("state_reason")))) or not eligible,
        jobs=elements,
    )


def gpus_asked(job: Mapping[str, Any]) -> int | None:
    """GPUs of the whole job; 0 where it asks for shares of GPUs only, None where for neither.

    Where Slurm accounts for GPUs (AccountingStorageTRES) it has added them up itself. Per socket is taken as
    per node: how many sockets it will get is not known before it starts.
    """
    whole = [_devices(text(job.get(key))) for key in ("tres_req_str", "tres_alloc_str", "tres_per_job")]
    nodes, tasks = number(job.get("node_count")) or 1, number(job.get("tasks")) or 1
    told = next((found for found in whole if found), None)
    if told:
        return told
    per_node = _devices(text(job.get("tres_per_node")))
    per_socket = _devices(text(job.get("tres_per_socket")))
    per_task = _devices(text(job.get("tres_per_task")))
    for each, times in ((per_node, nodes), (per_task, tasks), (per_socket, nodes)):
        if each:
            return min(each * times, _MOST_GPUS)
    some = (*whole, per_node, per_socket, per_task)
    return None if all(found is None for found in some) else 0


def _devices(tres: str) -> int | None:
    """GPUs in a list of resources; 0 where it has shares of GPUs only, None where neither."""
    found = _TRES.findall(tres)
    if not found:
        return None
    # Totals of accounting name GPUs twice, with their kind and without.
    plain = re.findall(r"(?:^|,)gres/gpu=(\d{1,6})(?=$|,)", tres)
    if plain:
        return int(plain[0])
    return sum(int(count or 1) for kind, count in found if kind == "gpu")


def _elements(tasks: str) -> int:
    """Elements of an array that wait: `0-15:4,20%3` are five; 1 for a job that is none."""
    count = 0
    for word in tasks.partition("%")[0].strip("[]").split(","):
        span = _SPAN.match(word.strip())
        if span:
            first, last = int(span[1]), int(span[2] or span[1])
            count += max(last - first, 0) // max(int(span[3] or 1), 1) + 1
    return min(max(count, 1), _MOST_ELEMENTS)
