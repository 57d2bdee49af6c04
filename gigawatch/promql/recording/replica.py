"""Replica and GPU: which GPUs work for which model of which replica of an engine.

Of the ways in which this can be known the most particular counts, for each replica by itself:

1. it is said outright (configuration, or the simulated plant);
2. the configuration names the job whose GPUs the replica has for itself;
3. its pods are known, and kubelet says which GPUs they hold;
4. a process that works on a GPU answers at its port. Where Slurm's job that holds this GPU spans nodes and
   has no other such replica, all GPUs of the job are the replica's.

What is said of two replicas at once (one port, one job) is not known of either. The ranks of data-parallel
serving (REPLICA/1, REPLICA/2, ...) share one process, pod or job: their GPUs are those of the head, REPLICA,
in equal parts, and likewise those of several models that one replica serves.

A GPU's energy is known for the whole only. Where n models, replicas or ranks work on one, each counts 1/n;
where more jobs than that hold it (time slicing, MIG), n is the number of jobs, so that what engines and
others have of a GPU never exceeds it.
"""

from __future__ import annotations

from gigawatch.catalogue import Unit, inference, workload
from gigawatch.promql.expr import Expr, above, count_by, many_to_one, matches, max_by, on, series, sum_by
from gigawatch.promql.joins import otherwise, relabel, sole
from gigawatch.promql.recording.common import PAIR, complete
from gigawatch.promql.recording.held import GPU_SHARE
from gigawatch.promql.rule import Recorded, recorded

_DEVICE = ("site", "uuid")
_REPLICA = ("site", "engine", "replica")
HEAD = ("site", "engine", "head")


def headed(expr: Expr) -> Expr:
    """The label `head`: the replica without the number of its rank."""
    return relabel(expr, "head", "$1", "replica", "(.*?)(/[0-9]+)?")


def _said(expr: Expr) -> Expr:
    """An info series once for each of its `PAIR`."""
    return above(max_by(expr, *PAIR), -1)


_generating = _said(series(inference.INFERENCE_TOKENS, kind="generation"))
_running = _said(series(inference.INFERENCE_REQUESTS_RUNNING))
_up = _said(series(inference.INFERENCE_ENGINE_UP))
REPLICA_MODELS = Recorded(
    "replica:aif_inference:info",
    headed(otherwise(otherwise(_generating, _running, *_REPLICA), _up, *_REPLICA)),
    "Each model that a replica of an engine serves; head is the replica without the number of its rank. "
    "Always 1.",
    Unit.COUNT,
)
_models = count_by(recorded(REPLICA_MODELS), *HEAD)

# 1. Said outright, model and rank included.
_ROW = (*_DEVICE, "engine", "model", "replica", "head")
_outright = max_by(headed(series(inference.INFERENCE_GPU_INFO)), *_ROW)

# 2. By job.
_held = max_by(recorded(GPU_SHARE), *_DEVICE, "job_id")
_job_named = sole(
    max_by(headed(series(inference.INFERENCE_JOB_INFO, job_id=matches(".+"))), *HEAD, "job_id"),
    "site",
    "job_id",
)
_by_job = many_to_one(_held, "*", _job_named, ("site", "job_id"), ("engine", "head"))

# 3. By pod.
_POD = ("site", "namespace", "pod")
_pod_of = sole(
    max_by(headed(series(inference.INFERENCE_POD_INFO, pod=matches(".+"))), *HEAD, *_POD[1:]), *_POD
)
_by_pod = many_to_one(
    max_by(series(workload.GPU_ALLOCATION_INFO, pod=matches(".+")), *_DEVICE, *_POD[1:]),
    "*",
    _pod_of,
    _POD,
    ("engine", "head"),
)

# 4. By port, and from there to the other nodes of a Slurm job.
_PORT = ("site", "node", "port")
_port_of = sole(
    max_by(headed(series(inference.INFERENCE_PORT_INFO, node=matches(".+"))), *HEAD, *_PORT[1:]), *_PORT
)
_at_port = max_by(
    many_to_one(
        max_by(series(workload.GPU_PORT_INFO), *_DEVICE, *_PORT[1:]), "*", _port_of, _PORT, ("engine", "head")
    ),
    *_DEVICE,
    "engine",
    "head",
)
_slurm = series(workload.GPU_ALLOCATION_INFO, scheduler="slurm", job_id=matches(".+"))
_slurm_gpus = max_by(_slurm, *_DEVICE, "job_id")
_over_nodes = count_by(max_by(_slurm, "site", "node", "job_id"), "site", "job_id") > 1
_head_job = sole(
    max_by(many_to_one(_at_port, "*", sole(_slurm_gpus, *_DEVICE), _DEVICE, ("job_id",)), *HEAD, "job_id"),
    "site",
    "job_id",
)
_whole_job = many_to_one(
    on(_slurm_gpus, "and", _over_nodes, "site", "job_id"),
    "*",
    _head_job,
    ("site", "job_id"),
    ("engine", "head"),
)


def _rows(expr: Expr) -> Expr:
    return max_by(expr, *_DEVICE, "engine", "head")


_found = otherwise(
    otherwise(_rows(_by_job), _rows(_by_pod), *HEAD),
    otherwise(_rows(_whole_job), _at_port, *HEAD),
    *HEAD,
)
GPU_HEAD = Recorded(
    "gpu:aif_inference_head:info",
    on(_found, "unless", _outright, *HEAD),
    "GPUs that a replica has together with its ranks, found by job, pod or port. Always 1.",
    Unit.COUNT,
)
_one = on(recorded(REPLICA_MODELS), "and", _models.equals(1), *HEAD)
_alone = max_by(many_to_one(recorded(GPU_HEAD), "*", _one, HEAD, ("model", "replica")), *_ROW)
_together = max_by(
    relabel(many_to_one(recorded(GPU_HEAD), "*", _models > 1, HEAD), "replica", "$1", "head"),
    *_DEVICE,
    "engine",
    "replica",
    "head",
)
GPU_REPLICAS = Recorded(
    "gpu:aif_inference_replicas:count",
    _outright.or_(_alone).or_(_together).in_unit(Unit.COUNT),
    "Models, replicas or ranks for which a GPU works: 1, or more in a row without a model, where they have "
    "it together.",
    Unit.COUNT,
)
_working = sum_by(recorded(GPU_REPLICAS), *_DEVICE)
_holding = count_by(_held, *_DEVICE)
_parts = (_working > _holding).or_(_holding).or_(_working)
GPU_REPLICA_SHARE = Recorded(
    "gpu:aif_gpu_share:replica",
    many_to_one(recorded(GPU_REPLICAS), "/", _parts, _DEVICE).in_unit(Unit.RATIO),
    "Share of a GPU that works for a model on a replica. Without a model: for all models and ranks that a "
    "replica serves together.",
    Unit.RATIO,
)
_at = {"model": matches(".+")}
_of_head = {"model": ""}


def per_replica(values: Expr | None = None) -> Expr:
    """A figure of each GPU (labels `site`, `uuid`), by the share that a model on a replica has in it, summed.

    Absent for those of whose GPUs one does not tell. Without `values`: the number of GPUs.
    """

    def known(rows: Expr, *by: str) -> Expr:
        return sum_by(rows, *by) if values is None else complete(rows, values, *by)

    direct = known(recorded(GPU_REPLICA_SHARE, **_at), *PAIR)
    together = known(recorded(GPU_REPLICA_SHARE, **_of_head), *HEAD)
    each = max_by(many_to_one(recorded(REPLICA_MODELS), "*", together / _models, HEAD), *PAIR)
    return direct.or_(each).in_unit(values.unit if values else Unit.COUNT)


REPLICA_GPUS = Recorded(
    "replica:aif_gpus:count",
    per_replica(),
    "GPUs that work for a model on a replica of an engine; a shared GPU counts in part.",
    Unit.COUNT,
)
