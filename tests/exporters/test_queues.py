"""Who waits for GPUs, how long, in which stage: a real Slurm, its other versions, pods of an API server."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kube_server import PODS, WORKLOADS, KubeServer, fixture_pods, fixture_workloads
from slurm_cluster import SlurmCluster

from exporters.jobs.allocation import SlurmSource
from exporters.jobs.identity import GpuIdentity
from exporters.jobs.kueue import parse_workload, waited_before
from exporters.jobs.pods import GPU_RESOURCES, Pod
from exporters.jobs.queue_settings import KubernetesApiSection, KubernetesQueueSection, SlurmQueueSection
from exporters.jobs.queues import KubernetesQueue, SlurmQueue
from exporters.jobs.squeue_queue import row_of, work_of
from exporters.jobs.stages import stage
from exporters.jobs.waiting import Waiting, Work
from exporters.runtime.source import SourceError
from exporters.sections import SlurmSection
from gigawatch.catalogue import Metric, workload
from gigawatch.readings import Reading

NOON = 1795176000.0
"""2026-11-20T12:00:00Z, two hours after most of the pods came."""


def values(readings: Collection[Reading], metric: Metric) -> dict[tuple[str, ...], float]:
    """Values by labels, without the scheduler."""
    return {r.labels[1:]: r.value for r in readings if r.metric is metric}


def by_queue(readings: Collection[Reading]) -> dict[tuple[str, ...], tuple[float, float, float | None]]:
    """Jobs, GPUs, seconds of the oldest, by namespace, partition and stage."""
    jobs, gpus, oldest = (
        values(readings, metric)
        for metric in (workload.JOBS_PENDING, workload.GPUS_PENDING, workload.OLDEST_PENDING)
    )
    assert jobs.keys() == gpus.keys() >= oldest.keys()
    return {queue: (jobs[queue], gpus[queue], oldest.get(queue)) for queue in jobs}


# Slurm


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SlurmCluster]:
    if reason := SlurmCluster.lacks():
        pytest.skip(reason)
    running = SlurmCluster(tmp_path_factory.mktemp("slurm"))
    try:
        running.start()
        yield running
    finally:
        running.stop()


@pytest.fixture
def real(cluster: SlurmCluster, monkeypatch: pytest.MonkeyPatch) -> Iterator[SlurmCluster]:
    monkeypatch.setenv("SLURM_CONF", cluster.environment["SLURM_CONF"])
    yield cluster
    cluster.cancel_all()


def queue(command: str = "squeue", **partitions: Any) -> SlurmQueue:
    return SlurmQueue(20.0, SlurmQueueSection(command, partitions))


def without_json(tmp_path: Path) -> str:
    """The real squeue, as if it were built without JSON."""
    command = tmp_path / "squeue-without-json"
    refusal = "squeue: unrecognized option '--json'"
    command.write_text(
        f'#!/bin/sh\ncase "$*" in *--json*) echo "{refusal}" >&2; exit 1;; esac\nexec squeue "$@"\n'
    )
    command.chmod(0o755)
    return str(command)


def enqueue(cluster: SlurmCluster, *options: str) -> str:
    """Number of a job that need not start."""
    command = ("sbatch", "--parsable", "--chdir=/", "--output=/dev/null", "--export=PATH")
    job = cluster.run(*command, *options, "--wrap=sleep 600")
    assert job, f"sbatch {options} failed\n{cluster.log()}"
    return job


@pytest.mark.parametrize("columns", [False, True])
def test_the_queue_of_a_real_slurm(real: SlurmCluster, tmp_path: Path, columns: bool) -> None:
    """All ways of asking for GPUs that Slurm has; jobs that are to wait do not count as oldest."""
    source = queue(without_json(tmp_path) if columns else "squeue")
    assert by_queue(list(source.read())) == {("", "", ""): (0, 0, None)}
    holder = real.submit("-w", "n1", "--gres=gpu:4", "--comment=lr=3 stage=training | x")
    other = real.submit("-w", "n2", "--gres=gpu:h200:3")
    real.submit("-n2")  # no GPUs
    for options in (
        ("--gres=gpu:2", "-N2"), ("--gpus=4",), ("--gpus-per-node=3", "-N2"), ("--gpus-per-task=2", "-n3"),
        ("--gpus=h200:4",), ("--gpus-per-socket=2", "--sockets-per-node=1", "-N2"),
    ):  # fmt: skip
        enqueue(real, *options)
    enqueue(real, "--exclusive", "-N2")  # no GPUs either
    readings = list(source.read())
    found = by_queue(readings)
    assert found.keys() == {("", "train", ""), ("", "train", "training")}
    assert found["", "train", "training"] == (0, 0, None)
    jobs, gpus, oldest = found["", "train", ""]
    assert (jobs, gpus) == (6, 4 + 4 + 6 + 6 + 4 + 4)
    assert oldest is not None
    assert 0 <= oldest < 600
    waited = values(readings, workload.JOB_QUEUE_TIME)
    assert waited.keys() == {
        (holder, "", "root", "train", "training"), (other, "", "root", "train", ""),
    }  # fmt: skip
    assert all(0 <= seconds < 600 for seconds in waited.values())
    assert values(readings, workload.JOB_STAGE_INFO) == {(holder, "training"): 1.0}


@pytest.mark.parametrize("columns", [False, True])
def test_jobs_that_are_to_wait_and_arrays(real: SlurmCluster, tmp_path: Path, columns: bool) -> None:
    source = queue(without_json(tmp_path) if columns else "squeue", train="evaluation")
    for options in (
        ("--gres=gpu:2", "--hold"), ("--gres=gpu:1", "--begin=now+1hour"),
        ("--gres=gpu:1", "--dependency=afterok:1", "--kill-on-invalid-dep=no", "--hold"),
    ):  # fmt: skip
        enqueue(real, *options)
    before = enqueue(real, "--gres=gpu:1", "--hold")
    enqueue(real, "--gres=gpu:1", f"--dependency=afterok:{before}")
    real.until(lambda: "Dependency" in real.run("squeue", "-h", "-o", "%r"), "a job behind another")
    assert by_queue(list(source.read())) == {("", "train", "evaluation"): (5, 6, None)}
    enqueue(real, "--array=1-100", "--gres=gpu:4", "--hold", "--comment=stage=inference")
    assert by_queue(list(source.read()))["", "train", "inference"] == (100, 400, None)


def test_time_in_which_a_job_was_to_wait_does_not_count(real: SlurmCluster) -> None:
    job = enqueue(real, "--gres=gpu:1", "--hold")
    time.sleep(3)
    real.run("scontrol", "release", job)
    real.until(lambda: real.state(job) == "RUNNING", "the job to run")
    told = next(one for one in real.jobs() if str(one["job_id"]) == job)
    assert told["start_time"] - told["submit_time"] >= 2  # Slurm itself says when it was submitted
    waited = values(list(queue().read()), workload.JOB_QUEUE_TIME)
    assert waited[job, "", "root", "train", ""] == told["start_time"] - told["eligible_time"]


def test_a_partition_names_the_stage_on_the_node_too(real: SlurmCluster, tmp_path: Path) -> None:
    first = real.submit("-w", "n1", "--gres=gpu:1")
    second = real.submit("-w", "n1", "--gres=gpu:1", "--comment=stage=inference")
    gpus = [GpuIdentity(str(n), f"GPU-{n}", str(n)) for n in range(4)]
    section = SlurmSection(node="n1", partitions={"train": "training"})
    source = SlurmSource(30.0, lambda: gpus, dict, section, tmp_path)
    at = workload.GPU_ALLOCATION_INFO.labels.index
    rows = [r.labels for r in source.read() if r.metric is workload.GPU_ALLOCATION_INFO]
    assert {(row[at("job_id")], row[at("stage")]) for row in rows} == {
        (first, "training"), (second, "inference"),
    }  # fmt: skip


def test_a_silent_controller(real: SlurmCluster) -> None:
    source = SlurmQueue(20.0, SlurmQueueSection(), deadline=3.0)
    with real.silent_controller(), pytest.raises(SourceError) as caught:
        list(source.read())
    assert caught.value.kind == "timeout"


def job_of(**changes: Any) -> dict[str, Any]:
    """A waiting job as newer versions tell of it (data parser v0.0.40 and on)."""

    def number(value: int) -> dict[str, Any]:
        return {"set": True, "infinite": False, "number": value}

    return {
        "job_id": 7, "job_state": ["PENDING"], "state_reason": "Resources", "user_name": "ada",
        "partition": "h200", "submit_time": number(1000), "eligible_time": number(1060),
        "start_time": number(9000), "comment": "", "admin_comment": "",
        "node_count": number(2), "tasks": number(4), "array_task_string": "",
        "tres_req_str": "cpu=8,mem=64G,node=2,billing=8", "tres_per_job": "", "tres_per_node": "gres/gpu:2",
        "tres_per_socket": "", "tres_per_task": "", **changes,
    }  # fmt: skip


def started(**changes: Any) -> dict[str, Any]:
    return job_of(**{"job_state": ["RUNNING"], "start_time": {"set": True, "number": 1090}, **changes})


@pytest.mark.parametrize(
    ("tres", "gpus"),
    [
        ({}, 4),
        ({"tres_req_str": "cpu=8,node=2,gres/gpu=16,gres/gpu:h200=16"}, 16),
        ({"tres_req_str": "cpu=8,gres/gpu:h200=8,gres/gpu:a100=2"}, 10),
        ({"tres_per_node": "", "tres_per_task": "cpu=2,gres/gpu=2"}, 8),
        ({"tres_per_node": "", "tres_per_job": "gres/gpu:h200:6"}, 6),
        ({"tres_per_node": "gres:gpu"}, 2),
        ({"tres_per_node": "gres/gpu:a100"}, 2),
        ({"tres_per_node": "gres:gpu:a100:1,gres:gpu:v100:2,gres:nic:4"}, 6),
        ({"tres_per_node": "gres/shard:10"}, 0),
        ({"tres_per_node": "gres/nic:1"}, None),
        ({"tres_per_node": ""}, None),
    ],
)
def test_gpus_as_every_version_writes_them(tres: dict[str, str], gpus: int | None) -> None:
    found = work_of(job_of(**tres), {})
    assert (found.gpus if found else None) == gpus


def test_jobs_of_newer_versions() -> None:
    found = work_of(job_of(), {})
    assert found == Work("7", "", "ada", "h200", "", gpus=4, since=1060.0, start=None, held=False, jobs=1)
    found = work_of(started(admin_comment="stage=fine-tuning", comment="stage=training"), {})
    assert found is not None
    assert (found.since, found.start, found.stage) == (1060.0, 1090.0, "evaluation")
    assert work_of(job_of(job_state=["COMPLETING"]), {}) is None
    requeued = work_of(started(job_state=["PENDING", "REQUEUED"]), {})
    assert requeued is not None
    assert requeued.start is None


@pytest.mark.parametrize(
    ("reason", "held"),
    [
        ("Resources", False), ("Priority", False), ("QOSMaxGRESPerUser", False), ("PartitionDown", False),
        ("JobHeldUser", True), ("JobHeldAdmin", True), ("JobHoldMaxRequeue", True), ("Dependency", True),
        ("DependencyNeverSatisfied", True), ("BeginTime", True), ("JobArrayTaskLimit", True),
        ("launch failed requeued held", True), ("Reservation", True),
    ],
)  # fmt: skip
def test_reasons_to_wait(reason: str, held: bool) -> None:
    found = work_of(job_of(state_reason=reason), {})
    assert found is not None
    assert found.held is held


@pytest.mark.parametrize(
    ("tasks", "count"),
    [("1,3,5,7,9%2", 5), ("0-15:4,20%3", 5), ("[0-99]", 100), ("1-9:2", 5), ("", 1), ("...", 1), ("9-1", 1)],
)
def test_elements_of_an_array(tasks: str, count: int) -> None:
    found = work_of(job_of(array_task_string=tasks), {})
    assert found is not None
    assert (found.jobs, found.gpus) == (count, 4 * count)


def test_several_partitions_and_their_stages() -> None:
    """A waiting job may name several: it counts under the first, its stage is of the first that tells."""
    found = work_of(job_of(partition="any,h200"), {"h200": "training"})
    assert found is not None
    assert (found.partition, found.stage) == ("any", "training")


def test_local_times_in_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    """A squeue that knows no Unix seconds writes the host's time."""
    monkeypatch.setenv("TZ", "UTC-2")
    time.tzset()
    try:
        noon = "2026-11-20T12:00:00"
        line = f"7|PENDING|Resources|h200|ada|{noon}|{noon}|N/A|1|1|cpu=1|N/A|gres:gpu:1|N/A"
        found = work_of(row_of(line), {})
    finally:
        monkeypatch.undo()
        time.tzset()
    assert found is not None
    assert found.since == NOON - 7200


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
some_tres = st.from_regex(r"\A(gres[:/])?(gpu|shard|nic)([:=][a-z0-9]{1,8}){0,2}\Z")


@settings(max_examples=500)
@given(
    st.fixed_dictionaries(
        {"job_state": st.sampled_from([["PENDING"], "RUNNING"]) | anything},
        optional={
            **dict.fromkeys(("submit_time", "eligible_time", "start_time"), st.integers(1, 9999) | anything),
            **dict.fromkeys(
                ("tres_per_node", "tres_req_str", "tres_per_task", "tres_per_job"), some_tres | anything
            ),
            **dict.fromkeys(
                ("job_id", "node_count", "tasks", "partition", "comment", "state_reason"), anything
            ),
            "array_task_string": st.from_regex(r"\A[0-9,:%-]{0,30}\Z") | anything,
        },
    )
)
def test_whatever_a_job_is(changes: dict[str, Any]) -> None:
    sane(work_of(job_of(**changes), {"h200": "training"}))


@settings(max_examples=300)
@given(
    st.lists(
        st.sampled_from(["7", "PENDING", "gres:gpu:2", "N/A", "9" * 30, "2026-11-20T12:00:00"])
        | st.text(max_size=9)
    )
)
def test_whatever_a_line_is(words: list[str]) -> None:
    sane(work_of(row_of("|".join(words)), {}))


def sane(work: Work | None) -> None:
    if work is None:
        return
    assert 0 <= work.gpus <= 1 << 20
    assert 1 <= work.jobs <= 1 << 22
    assert work.start is None or work.start > 0
    readings = list(Waiting("slurm", lambda: NOON, lambda: 0.0).readings([work]))
    assert all(r.value >= 0 for r in readings)
    assert all(len(r.labels) == len(r.metric.labels) for r in readings)


def test_an_empty_queue_is_told_of_for_an_hour() -> None:
    now = [0.0]
    waiting = Waiting("slurm", lambda: NOON, lambda: now[0])
    work = Work("7", "", "ada", "h200", "training", 4, NOON - 60)
    assert by_queue(list(waiting.readings([work]))) == {("", "h200", "training"): (1, 4, 60)}
    now[0] = 3000.0
    assert by_queue(list(waiting.readings([]))) == {("", "h200", "training"): (0, 0, None)}
    now[0] = 4000.0
    assert by_queue(list(waiting.readings([]))) == {("", "", ""): (0, 0, None)}


def test_words_for_stages() -> None:
    assert [stage(word) for word in ("Training", "data-preparation", "fine_tuning", "gaming", "")] == [
        "training", "data_preparation", "evaluation", "", "",
    ]  # fmt: skip


# Kubernetes


@pytest.fixture(scope="module")
def listening(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KubeServer]:
    server = KubeServer(tmp_path_factory.mktemp("kube") / "pki")
    server.start()
    yield server
    server.stop()


@pytest.fixture
def server(listening: KubeServer, tmp_path: Path) -> KubeServer:
    listening.lists, listening.forbidden = {PODS: fixture_pods()}, set()
    listening.asked.clear()
    (tmp_path / "token").write_text(listening.token)
    return listening


def until_error(source: KubernetesQueue) -> tuple[list[Reading], SourceError | None]:
    """What a read yields, and the error that ends it."""
    found = []
    try:
        for reading in source.read():
            found.append(reading)  # noqa: PERF402 - what came before an error counts
    except SourceError as error:
        return found, error
    return found, None


def pods_waiting(server: KubeServer, tmp_path: Path, **section: Any) -> KubernetesQueue:
    api = KubernetesApiSection(server.url, tmp_path / "token", server.ca)
    return KubernetesQueue(20.0, KubernetesQueueSection(api, **section), os.environ, wall=lambda: NOON)


def test_pods_that_wait_and_pods_that_have_waited(server: KubeServer, tmp_path: Path) -> None:
    readings = list(pods_waiting(server, tmp_path).read())
    assert by_queue(readings) == {
        ("ml", "", "training"): (1, 8, 7200.0),
        ("research", "", "evaluation"): (1, 4, None),  # Kueue has not admitted it
        ("serving", "", "inference"): (0, 0, None),
    }
    assert values(readings, workload.JOB_QUEUE_TIME) == {
        ("ml/train-0", "ml", "", "", "training"): 1200.0,  # its image took six minutes more
        ("serving/llama-0-1", "serving", "", "", "inference"): 1.0,
    }
    assert values(readings, workload.JOB_STAGE_INFO) == {
        ("ml/train-0", "training"): 1.0, ("serving/llama-0-1", "inference"): 1.0,
    }  # fmt: skip


def test_the_pods_of_a_gang_are_one_job(server: KubeServer, tmp_path: Path) -> None:
    waiting = fixture_pods()[2]
    for number in range(2, 6):
        pod = json.loads(json.dumps(waiting))
        pod["metadata"]["name"] = f"train-{number}"
        server.lists[PODS].append(pod)
    readings = list(pods_waiting(server, tmp_path, namespaces=("ml",)).read())
    assert by_queue(readings) == {("ml", "", "training"): (1, 40, 7200.0)}


def test_a_pod_that_is_taken_away_waits_no_longer(server: KubeServer, tmp_path: Path) -> None:
    server.lists[PODS][2]["metadata"]["deletionTimestamp"] = "2026-11-20T11:59:00Z"
    readings = list(pods_waiting(server, tmp_path).read())
    assert by_queue(readings)["ml", "", "training"] == (0, 0, None)


def test_a_cluster_that_may_not_be_asked(server: KubeServer, tmp_path: Path) -> None:
    server.forbidden = {PODS}
    with pytest.raises(SourceError, match="needs a ClusterRole with verb list on resource pods"):
        list(pods_waiting(server, tmp_path).read())


def test_what_kueue_has_not_admitted_waits_without_pods(server: KubeServer, tmp_path: Path) -> None:
    """And what it has admitted had waited for that before there were pods; parked jobs wait for nothing."""
    server.lists[WORKLOADS] = fixture_workloads()
    readings = list(pods_waiting(server, tmp_path).read())
    assert by_queue(readings) == {
        ("ml", "", "training"): (1, 8, 7200.0 + 10_800),
        ("research", "", "evaluation"): (2, 36, None),  # tune-7 has a pod: it counts once
        ("serving", "", "inference"): (0, 0, None),
    }
    waited = values(readings, workload.JOB_QUEUE_TIME)
    assert waited["ml/train-0", "ml", "", "", "training"] == 10_800 + 1200
    assert waited["serving/llama-0-1", "serving", "", "", "inference"] == 1


def test_a_pod_that_was_made_anew_waited_for_itself_only() -> None:
    """Days after its job was admitted: the time in which the job ran is no waiting."""
    found = parse_workload(fixture_workloads()[0], GPU_RESOURCES)
    assert found is not None
    pod = Pod("ml", "train-0-b", owner_uid="0a8f6a3e-00aa-4000-8000-000000000001", created=NOON + 3 * 86_400)
    assert waited_before([found], [pod]) == {("ml", "train-0-b"): 10_800}
    assert waited_before([found._replace(begun=True)], [pod]) == {}
    gated = Pod("ml", "train-0", group="train", created=NOON - 86_400)  # it waited there, not before
    assert waited_before([found], [gated]) == {}


def test_kueue_that_may_not_be_asked(server: KubeServer, tmp_path: Path) -> None:
    """The pods count all the same. Without pods of Kueue's a refusal means nothing: it comes for what is not
    installed as well."""
    server.forbidden = {WORKLOADS, WORKLOADS.replace("v1beta1", "v1beta2")}
    found, error = until_error(pods_waiting(server, tmp_path))
    assert by_queue(found)["ml", "", "training"] == (1, 8, 7200.0)
    right = "needs a ClusterRole with verb list on resource workloads of API group 'kueue.x-k8s.io'"
    assert right in str(error)
    del server.lists[PODS][3]
    assert by_queue(list(pods_waiting(server, tmp_path).read()))["ml", "", "training"] == (1, 8, 7200.0)


def test_a_cluster_without_kueue_is_not_asked_each_time(server: KubeServer, tmp_path: Path) -> None:
    source = pods_waiting(server, tmp_path)
    server.asked.clear()
    list(source.read())
    assert len(server.asked) == 3  # pods, and workloads in two versions
    list(source.read())
    assert len(server.asked) == 4


@settings(max_examples=300)
@given(
    st.fixed_dictionaries(
        {
            "metadata": st.fixed_dictionaries(
                {"namespace": st.just("a"), "name": st.just("b")},
                optional={"ownerReferences": anything, "creationTimestamp": anything, "labels": anything},
            )
        },
        optional={
            "spec": st.fixed_dictionaries(
                {},
                optional={
                    "podSets": st.lists(
                        st.dictionaries(st.sampled_from(["count", "template"]), anything), max_size=3
                    )
                    | anything,
                    "active": anything,
                },
            ),
            "status": st.fixed_dictionaries(
                {},
                optional={
                    "conditions": st.lists(
                        st.dictionaries(st.sampled_from(["type", "status"]), anything), max_size=3
                    )
                    | anything
                },
            ),
        },
    )
    | anything
)
def test_whatever_a_workload_is(item: object) -> None:
    found = parse_workload(item, GPU_RESOURCES)
    assert found is None or (found.gpus >= 0 and found.namespace == "a")
