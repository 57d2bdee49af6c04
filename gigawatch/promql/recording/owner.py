"""Whose a replica is: the job, user or namespace that alone holds its GPUs.

Where a GPU has several holders, or the GPUs of a replica have different ones, nobody can say whose its tokens
are: they are nobody's. Where the replica's pods are known, its holder is known even if its GPUs are shared.
"""

from __future__ import annotations

from gigawatch.catalogue import Unit, inference, workload
from gigawatch.promql.expr import Expr, count_by, many_to_one, matches, max_by, on, series, sum_by
from gigawatch.promql.joins import otherwise, sole
from gigawatch.promql.recording.common import PAIR
from gigawatch.promql.recording.held import GPU_SHARE
from gigawatch.promql.recording.replica import GPU_REPLICA_SHARE, HEAD, REPLICA_MODELS, headed
from gigawatch.promql.rule import Recorded, recorded

_DEVICE = ("site", "uuid")
_POD = ("site", "namespace", "pod")
_rows = max_by(recorded(GPU_REPLICA_SHARE), *_DEVICE, "engine", "head")
_HOLDER = ("namespace", "job_id", "user")
# Summed, because a GPU may stand under two indices for a while; nearly 1, because thirds add up so.
_whole = sum_by(recorded(GPU_SHARE), *_DEVICE, *_HOLDER) > 0.999
REPLICA_HOLDERS = Recorded(
    "replica:aif_gpus:holder",
    on(
        count_by(many_to_one(_rows, "*", _whole, _DEVICE, _HOLDER), *HEAD, *_HOLDER),
        "unless",
        on(_rows, "unless", _whole, *_DEVICE),
        *HEAD,
    ),
    "GPUs of a replica and its ranks by who holds them; only where each of them has one holder.",
    Unit.COUNT,
)


def _by_gpu(label: str) -> Expr:
    held = sole(max_by(recorded(REPLICA_HOLDERS), *HEAD, label), *HEAD)
    return on(held, "and", recorded(REPLICA_HOLDERS, **{label: matches(".+")}), *HEAD)


def _by_pod(label: str) -> Expr:
    pods = max_by(headed(series(inference.INFERENCE_POD_INFO, pod=matches(".+"))), *HEAD, *_POD[1:])
    rows = series(workload.GPU_ALLOCATION_INFO, pod=matches(".+"), **{label: matches(".+")})
    if label == "namespace":
        return sole(max_by(pods, *HEAD, label), *HEAD)
    holder = sole(max_by(rows, *_POD, label), *_POD)
    return sole(max_by(many_to_one(pods, "*", holder, _POD, (label,)), *HEAD, label), *HEAD)


def _owner(label: str, who: str) -> Recorded:
    found = otherwise(_by_pod(label), _by_gpu(label), *HEAD)
    return Recorded(
        f"replica:aif_{who}:info",
        max_by(many_to_one(recorded(REPLICA_MODELS), "*", found, HEAD, (label,)), *PAIR, label) * 0 + 1,
        f"The {who} that alone holds the GPUs of a replica, whose its tokens are. Always 1.",
        Unit.COUNT,
    )


REPLICA_JOB = _owner("job_id", "job")
REPLICA_USER = _owner("user", "user")
REPLICA_NAMESPACE = _owner("namespace", "namespace")
