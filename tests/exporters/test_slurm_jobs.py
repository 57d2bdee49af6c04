"""GPUs of Slurm jobs: a real Slurm, the answers of its newer versions, and what is left when it is silent."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import time
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from slurm_cluster import GPUS, SlurmCluster

from exporters.jobs.allocation import SlurmSource
from exporters.jobs.hostlist import HostlistError, expand
from exporters.jobs.identity import GpuIdentity, MigIdentity
from exporters.jobs.row_stream import RowsError, RowStream
from exporters.jobs.squeue import job_on
from exporters.runtime.source import SourceError
from exporters.sections import SlurmSection
from gigawatch.catalogue import workload
from gigawatch.readings import Reading

FIXTURES = Path(__file__).parent / "fixtures" / "squeue"
# Slurm's number of a GPU is that of its device file; NVML's index runs the other way round here.
UUIDS = [f"GPU-{n:08d}-1111-2222-3333-444444444444" for n in range(8)]
NODE = tuple(GpuIdentity(str(7 - n), UUIDS[n], str(n)) for n in range(8))
NAMES = workload.GPU_ALLOCATION_INFO.labels
NO_PROCESSES: dict[int, list[str]] = {}


def slurm(
    tmp_path: Path,
    *,
    processes: Mapping[int, Collection[str]] = NO_PROCESSES,
    gpus: tuple[GpuIdentity, ...] = NODE,
    deadline: float = 15.0,
    **section: Any,
) -> SlurmSource:
    """The source below a root of its own, so that nothing of this host is seen."""
    given = {"node": "gpu02", "squeue": str(tmp_path / "no-squeue"), **section}
    return SlurmSource(30.0, lambda: gpus, lambda: processes, SlurmSection(**given), tmp_path, deadline)


def rows(readings: Collection[Reading]) -> list[dict[str, str]]:
    found = [r for r in readings if r.metric is workload.GPU_ALLOCATION_INFO]
    assert all(r.value == 1 for r in found)
    return [dict(zip(NAMES, r.labels, strict=True)) for r in found]


def held(readings: Collection[Reading]) -> dict[str, list[int]]:
    """Device numbers by job."""
    found: dict[str, list[int]] = {}
    for row in rows(readings):
        found.setdefault(row["job_id"], []).append(UUIDS.index(row["uuid"]))
    return found


def unmatched(readings: Collection[Reading]) -> dict[str, float]:
    return {r.labels[1]: r.value for r in readings if r.metric is workload.ALLOCATION_UNMATCHED}


def until_error(source: SlurmSource) -> tuple[list[Reading], SourceError | None]:
    """What a read yields, and the error that ends it."""
    found = []
    try:
        for reading in source.read():
            found.append(reading)  # noqa: PERF402 - what came before an error counts
    except SourceError as error:
        return found, error
    return found, None


# A real Slurm


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
def real(cluster: SlurmCluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[SlurmSource]:
    monkeypatch.setenv("SLURM_CONF", cluster.environment["SLURM_CONF"])
    yield slurm(tmp_path, gpus=NODE[:GPUS], squeue="squeue", node="n1")
    cluster.cancel_all()


def test_a_job_holds_its_gpus_from_start_to_end(cluster: SlurmCluster, real: SlurmSource) -> None:
    assert rows(list(real.read())) == []
    first = cluster.submit("-w", "n1", "--gres=gpu:2", "--comment=lr=3 stage=training")
    cluster.submit("-w", "n1")  # no GPUs
    second = cluster.submit("-w", "n1", "--gres=gpu:h200:1")
    cluster.submit("-w", "n2", "--gres=gpu:1")  # on another node
    readings = list(real.read())
    assert held(readings) == {first: [0, 1], second: [2]}
    assert rows(readings)[0] == {
        "gpu": "7", "uuid": UUIDS[0], "scheduler": "slurm", "namespace": "", "pod": "", "container": "",
        "job_id": first, "user": "root", "partition": "train", "stage": "training", "mig_uuid": "",
    }  # fmt: skip
    assert not any(unmatched(readings).values())
    cluster.cancel(first)
    assert held(list(real.read())) == {second: [2]}


def test_each_node_of_a_job_has_its_own_numbers(
    cluster: SlurmCluster, tmp_path: Path, real: SlurmSource
) -> None:
    blocker = cluster.submit("-w", "n1", "--gres=gpu:3")
    wide = cluster.submit("-N2", "--gres=gpu:1")
    other = slurm(tmp_path, squeue="squeue", node="n2")
    assert held(list(real.read())) == {blocker: [0, 1, 2], wide: [3]}
    assert held(list(other.read())) == {wide: [0]}


def test_elements_of_an_array_and_components_of_a_heterogeneous_job(
    cluster: SlurmCluster, tmp_path: Path, real: SlurmSource
) -> None:
    """Each counts under its own number."""
    cluster.run("sbatch", "-w", "n1", "--array=7-8", "--gres=gpu:1", "--output=/dev/null", "--wrap=sleep 600")
    cluster.until(lambda: len(held(list(real.read()))) == 2, "two elements")
    array = {str(j["job_id"]): j["array_task_id"] for j in cluster.jobs() if j["array_task_id"] is not None}
    assert sorted(array.values()) == [7, 8]
    assert sorted(array) == sorted(held(list(real.read())))
    first, second = ("-w", "n1", "--gres=gpu:1"), ("-w", "n2", "--gres=gpu:1")
    cluster.run("sbatch", *first, "--output=/dev/null", "--wrap=sleep 600", ":", *second)
    cluster.until(lambda: len(held(list(real.read()))) == 3, "the first component")
    components = {str(j["job_id"]) for j in cluster.jobs() if j["het_job_id"]}
    other = slurm(tmp_path, squeue="squeue", node="n2")
    here, there = set(held(list(real.read()))), set(held(list(other.read())))
    assert len(components & here) == len(components & there) == 1
    assert components == components & (here | there)


def test_a_node_that_slurm_does_not_know(cluster: SlurmCluster, tmp_path: Path, real: SlurmSource) -> None:
    with pytest.raises(SourceError, match="Invalid node name gpu02") as caught:
        list(slurm(tmp_path, squeue="squeue").read())
    assert caught.value.kind == "exit_status"


def test_a_controller_that_is_silent(cluster: SlurmCluster, tmp_path: Path, real: SlurmSource) -> None:
    """The prolog's word stands in, and the silence is told."""
    jobs = tmp_path / "jobs"
    jobs.mkdir()
    (jobs / "3").write_text("77\n")
    source = slurm(tmp_path, squeue="squeue", node="n1", jobs=jobs, deadline=2.0)
    with cluster.silent_controller():
        started = time.monotonic()
        readings, error = until_error(source)
    assert time.monotonic() - started < 20
    assert error is not None
    assert error.kind == "timeout"
    assert held(readings) == {"77": [4]}  # index 3 is device 4


# Other versions


def squeue_saying(tmp_path: Path, text: str, end: str = "exit 0") -> str:
    """A command that answers with `text`, and notes each call."""
    (tmp_path / "answer").write_text(text)
    command = tmp_path / "squeue"
    command.write_text(f'#!/bin/sh\necho "$@" >> "{tmp_path}/calls"\ncat "{tmp_path}/answer"\n{end}\n')
    command.chmod(0o755)
    return str(command)


def calls(tmp_path: Path) -> list[str]:
    return (tmp_path / "calls").read_text().splitlines()


@pytest.mark.parametrize(
    ("version", "expected", "untold"),
    [
        ("23.02", {"100": [0, 1, 2, 5]}, 0),
        ("23.11", {"200": [3, 6], "201": [0], "202": [1]}, 0),
        ("24.05", {"300": [0, 2, 4], "301": [6], "302": [1]}, 1),
        ("26.05", {"400": [0, 1, 2, 3]}, 3),
    ],
)
def test_answers_of_every_generation(
    tmp_path: Path, version: str, expected: dict[str, list[int]], untold: int
) -> None:
    text = (FIXTURES / f"{version}.json").read_text()
    readings = list(slurm(tmp_path, squeue=squeue_saying(tmp_path, text)).read())
    assert held(readings) == expected
    assert unmatched(readings) == {"unknown_id": 0, "unknown_index": untold, "no_gpu_list": 0}
    states = "running,suspended,stopped,completing,configuring,signaling,resizing,stage_out"
    assert calls(tmp_path) == [f"--json --states={states} --nodelist=gpu02"]


def test_what_else_it_tells(tmp_path: Path) -> None:
    text = (FIXTURES / "24.05.json").read_text()
    found = {r["job_id"]: r for r in rows(list(slurm(tmp_path, squeue=squeue_saying(tmp_path, text)).read()))}
    assert (found["302"]["user"], found["302"]["partition"], found["302"]["stage"]) == (
        "cyd", "debug", "evaluation",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("text", "end", "kind", "message"),
    [
        ("", "exit 0", "parse", "has no list of jobs"),
        ("{}", "exit 0", "parse", "has no list of jobs"),
        ('{"jobs": [{"job_id": 1}, {"job_', "exit 0", "parse", "cut off"),
        (
            "",
            "echo 'squeue: error: no contact' >&2; exit 3",
            "exit_status",
            "ended with 3: squeue: error: no",
        ),
        ("", "sleep 60", "timeout", "no answer within"),
        ("", "exec >&- 2>&-; sleep 60", "timeout", "did not end"),
    ],
)
def test_answers_that_are_none(tmp_path: Path, text: str, end: str, kind: str, message: str) -> None:
    source = slurm(tmp_path, squeue=squeue_saying(tmp_path, text, end), deadline=2.0)
    with pytest.raises(SourceError, match=message) as caught:
        list(source.read())
    assert caught.value.kind == kind


def test_nothing_of_slurm_here(tmp_path: Path) -> None:
    source = slurm(tmp_path)
    assert not source.present
    with pytest.raises(SourceError, match=r"no-squeue: no such command; is Slurm installed\?") as caught:
        list(source.read())
    assert caught.value.kind == "not_found"


def test_while_nobody_knows_the_gpus_it_says_so(tmp_path: Path) -> None:
    command = squeue_saying(tmp_path, (FIXTURES / "23.02.json").read_text())
    readings = list(slurm(tmp_path, gpus=(), squeue=command).read())
    assert rows(readings) == []
    assert unmatched(readings)["no_gpu_list"] == 4


def test_a_lost_gpu_does_not_shift_the_others(tmp_path: Path) -> None:
    command = squeue_saying(tmp_path, (FIXTURES / "23.02.json").read_text())
    left = tuple(one for one in NODE if one.minor != "1")
    readings = list(slurm(tmp_path, gpus=left, squeue=command).read())
    assert held(readings) == {"100": [0, 2, 5]}
    assert unmatched(readings)["unknown_index"] == 1


def test_a_cluster_of_jobs_is_read_without_keeping_it(tmp_path: Path) -> None:
    """20,000 jobs, of which one is ours; cut into pieces at any place."""
    one = json.dumps({"job_id": 1, "job_state": "RUNNING", "nodes": "other", "pad": ']}{[ \\" é' * 20})
    ours = json.dumps(
        {"job_id": 2, "job_state": "RUNNING", "nodes": "gpu02", "gres_detail": ["gpu:1(IDX:0)"]}
    )
    text = '{"meta": {}, "jobs": [' + ",\n".join([*([one] * 20_000), ours]) + '], "errors": []}'
    readings = list(slurm(tmp_path, squeue=squeue_saying(tmp_path, text)).read())
    assert held(readings) == {"2": [0]}


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 400), st.sampled_from(sorted(FIXTURES.glob("*.json"))))
def test_pieces_of_any_size_give_the_same_jobs(size: int, file: Path) -> None:
    text = file.read_text()
    stream = RowStream("jobs")
    found = [job for at in range(0, len(text), size) for job in stream.feed(text[at : at + size])]
    assert [*found, *stream.close()] == json.loads(text)["jobs"]


@settings(max_examples=200)
@given(st.lists(st.text(alphabet='{}[]",:jobs 1e9\\', max_size=40), max_size=8))
def test_whatever_squeue_writes(pieces: list[str]) -> None:
    stream = RowStream("jobs")
    try:
        for piece in ['{"jobs": [', *pieces]:
            for job in stream.feed(piece):
                job_on(job, "gpu02")
        list(stream.close())
    except RowsError:
        pass


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
some_gres = st.from_regex(r"\A(gpu|mps|shard)(:[a-z0-9]{1,5})?:\d{1,7}(\(IDX:[0-9,-]{0,12}\))?\Z")
some_job = st.fixed_dictionaries(
    {
        "job_id": st.integers(1, 99) | anything,
        "job_state": st.sampled_from(["RUNNING", ["RUNNING"]]) | anything,
    },
    optional={
        "nodes": st.sampled_from(["gpu02", "gpu[01-02]", "gpu[02-01]", "gpu[01"]) | anything,
        "job_resources": anything
        | st.fixed_dictionaries({"nodes": anything, "allocated_nodes": st.lists(anything, max_size=3)}),
        "gres_detail": st.lists(some_gres, max_size=3) | anything,
        **dict.fromkeys(("user_name", "partition", "comment", "sluid", "tres_alloc_str"), anything),
    },
)


@settings(max_examples=500)
@given(some_job)
def test_whatever_a_job_is(job: dict[str, Any]) -> None:
    found = job_on(job, "gpu02")
    if found is not None:
        assert found.job_id.isdecimal()
        assert all(0 <= index < 1024 for index in found.indices)
        assert 0 <= found.untold < 10_000_000
        assert isinstance(found.user + found.partition + found.stage + found.sluid, str)


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("gpu01", ["gpu01"]),
        ("gpu[01-03,07],login1", ["gpu01", "gpu02", "gpu03", "gpu07", "login1"]),
        ("r[1-2]n[08-10]", ["r1n08", "r1n09", "r1n10", "r2n08", "r2n09", "r2n10"]),
        ("a[99-101]b", ["a99b", "a100b", "a101b"]),
        ("", []),
    ],
)
def test_lists_of_nodes(text: str, names: list[str]) -> None:
    assert expand(text) == names


@settings(max_examples=300)
@given(st.text(alphabet="gpu0129[],-", max_size=30))
def test_whatever_a_list_of_nodes_is(text: str) -> None:
    with contextlib.suppress(HostlistError):
        assert all("[" not in name and name for name in expand(text))


@pytest.mark.parametrize(
    "text", ["a[1-999999999]", "[1-60000][1-60000]", "a[[1]]", "a[1", "a]1[", "a[2-1]", "a[x]"]
)
def test_lists_of_nodes_that_are_damaged(text: str) -> None:
    with pytest.raises(HostlistError):
        expand(text)


# Prolog files


def prolog(tmp_path: Path, **files: str) -> SlurmSource:
    """A source whose prolog left these files (double underscore for a dot), on a host up for an hour."""
    jobs = tmp_path / "jobs"
    jobs.mkdir(exist_ok=True)
    (tmp_path / "proc").mkdir(exist_ok=True)
    (tmp_path / "proc" / "stat").write_text(f"cpu 1 2 3\nbtime {int(time.time()) - 3600}\n")
    for name, text in files.items():
        (jobs / name.replace("__", ".")).write_text(text)
    return slurm(tmp_path, jobs=jobs)


def test_files_named_after_gpus_and_json_lines(tmp_path: Path) -> None:
    source = prolog(
        tmp_path,
        **{
            "7": "41\n",
            UUIDS[1]: "42\n43\n",
            "5": "",
            "job44__json": f'{{"job_id": 44, "user": "ada", "partition": "h200", "uuid": "{UUIDS[3]}"}}\n'
            '{"job_id": "44", "index": 3, "stage": "training"}\n',
            "2": '{"job_id": 45}',
            "6__tmp": "half",
            "__hidden": "no",
        },
    )
    assert source.present
    readings = list(source.read())
    assert held(readings) == {"45": [5], "41": [0], "42": [1], "43": [1], "44": [3, 4]}
    found = {r["uuid"]: r for r in rows(readings)}
    assert (found[UUIDS[3]]["user"], found[UUIDS[3]]["partition"]) == ("ada", "h200")
    assert found[UUIDS[4]]["stage"] == "training"
    assert not any(unmatched(readings).values())


def test_the_prolog_and_epilog_of_the_documentation(tmp_path: Path) -> None:
    source = prolog(tmp_path)
    page = (Path(__file__).parents[2] / "docs" / "jobs.md").read_text()
    first, last = (
        text.partition("```")[0].replace("/run/gigawatch/jobs", str(tmp_path / "jobs"))
        for text in page.split("```sh\n")[1:]
    )
    job = {
        "SLURM_JOB_ID": "42",
        "SLURM_JOB_USER": "ada",
        "SLURM_JOB_PARTITION": "h200",
        "SLURM_JOB_GPUS": "0,3",
    }
    subprocess.run(["sh", "-c", first], env={**os.environ, **job}, check=True)
    readings = list(source.read())
    assert held(readings) == {"42": [0, 3]}
    assert {(r["user"], r["partition"]) for r in rows(readings)} == {("ada", "h200")}
    subprocess.run(["sh", "-c", last], env={**os.environ, **job}, check=True)
    assert rows(list(source.read())) == []


def test_files_of_unknown_gpus_are_counted(tmp_path: Path) -> None:
    readings = list(prolog(tmp_path, **{"9": "1", "tpu": "2", "0": "3"}).read())
    assert held(readings) == {"3": [7]}
    assert unmatched(readings) == {"unknown_id": 1, "unknown_index": 1, "no_gpu_list": 0}


def test_files_that_make_no_sense_are_named_and_the_others_count(tmp_path: Path) -> None:
    source = prolog(tmp_path, **{"0": "3\n", "1": "4\n{not json}\n", "2": "\x00\x01"})
    readings, error = until_error(source)
    assert held(readings) == {"3": [7]}
    assert error is not None
    assert error.kind == "parse"
    assert str(error) == f"{tmp_path}/jobs/1: line 2: is no JSON object (and 1 more)"


def test_files_from_before_the_last_boot_are_stale(tmp_path: Path) -> None:
    source = prolog(tmp_path, **{"0": "3\n", "1": "4\n"})
    before = time.time() - 7200
    os.utime(tmp_path / "jobs" / "1", (before, before))
    readings, error = until_error(source)
    assert held(readings) == {"3": [7]}
    assert f"{tmp_path}/jobs/1: stale" in str(error)


def test_files_of_jobs_that_have_ended_are_stale(tmp_path: Path) -> None:
    source = prolog(tmp_path, **{"0": "3\n", "1": "4\n", "2": "5\n"})
    for name in ("0", "1"):
        os.utime(tmp_path / "jobs" / name, (time.time() - 300,) * 2)
    (tmp_path / "sys/fs/cgroup/system.slice/slurmstepd.scope/job_3").mkdir(parents=True)
    readings, error = until_error(source)
    assert held(readings) == {"3": [7], "5": [5]}  # job 5's prolog has only just run
    assert f"{tmp_path}/jobs/1: stale: job 4 has ended" in str(error)


@settings(max_examples=150, deadline=None)
@given(st.one_of(st.binary(max_size=200), st.text(alphabet='{}"job_id:,1 \n', max_size=60).map(str.encode)))
def test_whatever_a_prolog_leaves(tmp_path_factory: pytest.TempPathFactory, text: bytes) -> None:
    source = prolog(tmp_path_factory.mktemp("prolog"))
    assert source._prolog is not None
    (source._prolog._directory / "0").write_bytes(text)
    readings, error = until_error(source)
    assert error is None or error.kind == "parse"
    assert all(
        r["uuid"] == UUIDS[7] for r in rows(readings) if "index" not in text.decode("utf-8", "replace")
    )


def test_squeue_is_believed_before_the_prolog(tmp_path: Path) -> None:
    """And where squeue does not say which GPU it is, the prolog is."""
    prolog(tmp_path, **{"7": "999\n", "1": "402\n", "2": "401\n"})
    command = squeue_saying(tmp_path, (FIXTURES / "26.05.json").read_text())
    readings, error = until_error(slurm(tmp_path, squeue=command, jobs=tmp_path / "jobs"))
    assert error is None
    assert held(readings) == {"400": [0, 1, 2, 3], "401": [5], "402": [6]}
    assert {r["user"] for r in rows(readings) if r["job_id"] == "402"} == {"eve"}
    assert unmatched(readings)["unknown_index"] == 1  # the second of 401


# Cgroups


def process(tmp_path: Path, number: int, cgroup: str, environment: str = "") -> None:
    home = tmp_path / "proc" / str(number)
    home.mkdir(parents=True)
    (home / "cgroup").write_text(cgroup)
    (home / "environ").write_bytes(environment.replace(" ", "\0").encode())


def job_directory(tmp_path: Path, path: str) -> Path:
    home = tmp_path / "sys/fs/cgroup" / path
    home.mkdir(parents=True)
    return home


def test_jobs_by_the_cgroups_of_the_processes_on_the_gpus(tmp_path: Path) -> None:
    """Paths as both versions have them, from the host and from a container; environments are asked last."""
    job_directory(tmp_path, "system.slice/slurmstepd.scope/job_41")
    process(tmp_path, 11, "0::/system.slice/slurmstepd.scope/job_41/step_0/user/task_0\n", "SLURM_JOB_ID=99")
    process(tmp_path, 12, "9:devices:/slurm/uid_1000/job_42/step_0\n0::/user.slice\n")
    process(tmp_path, 13, "0::/../../custom.slice/n1_slurmstepd.scope/job_43/step_batch\n")
    process(tmp_path, 14, "0::/user.slice/user-0.slice\n", "A=1 SLURM_JOB_ID=44 CUDA_VISIBLE_DEVICES=7")
    process(tmp_path, 15, "0::/user.slice/job_45\n")
    process(tmp_path, 16, "0::/system.slice/slurmstepd.scope/sEKNKTV3WPV500/step_0\n", "SLURM_JOB_ID=46")
    used = {11: [UUIDS[0], UUIDS[1]], 12: [UUIDS[2]], 13: [UUIDS[3]], 14: [UUIDS[4]], 15: [UUIDS[5]],
            16: [UUIDS[6], "GPU-unheard-of"], 17: [UUIDS[7]]}  # fmt: skip
    source = slurm(tmp_path, processes=used)
    assert source.present
    readings = list(source.read())
    assert held(readings) == {"41": [0, 1], "42": [2], "43": [3], "44": [4], "46": [6]}
    assert unmatched(readings)["unknown_id"] == 1
    assert {r["user"] for r in rows(readings)} == {str(os.getuid())}


def test_parts_of_a_gpu_by_their_processes(tmp_path: Path) -> None:
    parts = (MigIdentity("1", "0", "MIG-a"), MigIdentity("2", "0", "MIG-b"))
    gpus = (GpuIdentity("0", UUIDS[0], "0", mig=parts), *NODE[1:])
    process(tmp_path, 11, "0::/slurmstepd.scope/job_400/x\n")
    text = (FIXTURES / "26.05.json").read_text()
    source = slurm(tmp_path, processes={11: ["MIG-b"]}, gpus=gpus, squeue=squeue_saying(tmp_path, text))
    readings = list(source.read())
    # Slurm's numbers count parts here, so they tell nothing: one of four devices is known by its process.
    assert [(r["job_id"], r["uuid"], r["mig_uuid"], r["user"]) for r in rows(readings)] == [
        ("400", UUIDS[0], "MIG-b", "ada")
    ]
    assert unmatched(readings)["unknown_index"] == 6


def test_with_the_first_cgroups_idle_gpus_are_seen_too(tmp_path: Path) -> None:
    home = job_directory(tmp_path, "devices/slurm/uid_4242/job_51")
    job_directory(tmp_path, "freezer/slurm/uid_4242/job_51")
    (home / "devices.list").write_text("c 1:3 rwm\nc 195:2 rw\nc 195:5 rw\nc 195:255 rw\nc 195:254 rw\n")
    unbound = job_directory(tmp_path, "devices/slurm/uid_4242/job_52")
    (unbound / "devices.list").write_text("a *:* rwm\n")
    readings = list(slurm(tmp_path).read())
    assert held(readings) == {"51": [2, 5]}
    assert {r["user"] for r in rows(readings)} == {"4242"}


def test_slurms_own_ids_are_turned_into_numbers(tmp_path: Path) -> None:
    """squeue told them once; when it is silent later, they are still known."""
    job_directory(tmp_path, "system.slice/slurmstepd.scope/sEKNKTV3WPV500")
    process(tmp_path, 11, "0::/system.slice/slurmstepd.scope/sEKNKTV3WPV500/step_0\n")
    text = (FIXTURES / "26.05.json").read_text()
    command = Path(squeue_saying(tmp_path, text))
    source = slurm(tmp_path, processes={11: [UUIDS[2]]}, squeue=str(command))
    list(source.read())
    command.unlink()
    assert held(list(source.read())) == {"400": [2]}


def test_squeue_is_asked_again_when_jobs_come_or_go(tmp_path: Path) -> None:
    """As long as the cgroups are those of the jobs that it named, its answer stands."""
    job = '{"job_id": %d, "job_state": "RUNNING", "nodes": "gpu02", "gres_detail": ["gpu:1(IDX:%d)"]}'
    command = squeue_saying(tmp_path, '{"jobs": [' + job % (61, 1) + "]}")
    first = job_directory(tmp_path, "system.slice/slurmstepd.scope/job_61")
    job_directory(tmp_path, "system.slice/slurmstepd.scope/system")
    source = slurm(tmp_path, squeue=command)
    for _ in range(5):
        assert held(list(source.read())) == {"61": [1]}
    assert len(calls(tmp_path)) == 1
    job_directory(tmp_path, "system.slice/slurmstepd.scope/job_62")
    (tmp_path / "answer").write_text('{"jobs": [' + job % (61, 1) + "," + job % (62, 4) + "]}")
    assert held(list(source.read())) == {"61": [1], "62": [4]}
    assert len(calls(tmp_path)) == 2
    first.rmdir()
    (tmp_path / "answer").write_text('{"jobs": [' + job % (62, 4) + "]}")
    assert held(list(source.read())) == {"62": [4]}
    # A job without a cgroup (allocated, nothing started yet): not in step, so ask each time.
    (tmp_path / "answer").write_text('{"jobs": [' + job % (62, 4) + "," + job % (63, 5) + "]}")
    for _ in range(12):
        readings = list(source.read())
    assert held(readings) == {"62": [4], "63": [5]}
    asked = len(calls(tmp_path))
    list(source.read())
    list(source.read())
    assert len(calls(tmp_path)) == asked + 2
