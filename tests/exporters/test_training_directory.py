"""What the agent makes of the files of training jobs: real files, links and pipes, and any bytes at all."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporters.jobs.identity import GpuIdentity, MigIdentity
from exporters.runtime.gate import Gate
from exporters.runtime.source import SourceError
from exporters.training.directory import TrainingDirectory
from exporters.training.precision import precision
from exporters.training.report import LARGEST, ReportError, parse
from gigawatch.catalogue import Metric, training
from gigawatch.catalogue.gpu_activity import GPU_PEAK_FLOPS
from gigawatch.reporter import Reporter

GPUS = tuple(
    GpuIdentity(str(n), f"GPU-0000000{n}-aaaa-bbbb-cccc-dddddddddddd", str(7 - n), f"00000000:0{n}:00.0")
    for n in range(8)
)
NOW = 1_700_000_000.0
JOB = ("42", "llama")


def report(**changed: Any) -> dict[str, Any]:
    """A file of rank 0, in the middle of a run."""
    return {
        "format": 1, "job": "42", "model": "llama", "rank": 0, "world": 8, "gpu": "3", "precision": "bf16",
        "pid": 7, "doing": "steps", "ended": False, "began": NOW - 1000, "started": NOW - 400,
        "told": NOW - 2, "step": 90, "highest": 95, "steps": 100, "tokens": 4e8, "samples": None,
        "flops": 6e25, "step_seconds": 700.0, "step_last": 7.0, "loss": -1.5, "wait_seconds": 30.0,
        "checkpoints": 2, "checkpoint_seconds": 60.0, "checkpoint_last": 31.0, "checkpoint_at": NOW - 90,
        "checkpoint_step": 88, "restarts": 1, "downtime": 100.0, "startup": 80.0, "rework": 35.0,
    } | changed  # fmt: skip


class Site:
    """A directory with files, and the source that reads it."""

    def __init__(self, directory: Path, gpus: tuple[GpuIdentity, ...] = GPUS) -> None:
        self.directory, self.now = directory, NOW
        self.source = TrainingDirectory(5.0, lambda: gpus, directory, wall=lambda: self.now)
        self.error = ""
        self.kind = ""

    def write(self, name: str, data: bytes | None = None, age: float = 2.0, **changed: Any) -> Path:
        path = self.directory / name
        path.write_bytes(json.dumps(report(**changed)).encode() if data is None else data)
        os.utime(path, (NOW - age, NOW - age))
        return path

    def read(self) -> dict[tuple[Metric, tuple[str, ...]], float]:
        """What comes out, behind the range gate."""
        readings, self.error, self.kind = [], "", ""
        try:
            readings.extend(self.source.read())
        except SourceError as error:
            self.error, self.kind = str(error), error.kind
        gate = Gate()
        passed = gate.sift(readings)
        assert not gate.rejected
        found = {(one.metric, one.labels): one.value for one in passed}
        assert len(found) == len(passed), "a series stands twice"
        for metric, labels in found:
            for label, value in zip(metric.labels, labels, strict=True):
                assert value in metric.values.get(label, (value,))
        return found

    def jobs(self) -> set[str]:
        return {labels[0] for metric, labels in self.read() if metric is training.TRAINING_RANKS}


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


def test_a_job_in_the_middle_of_its_run(site: Site) -> None:
    site.write("a.json")
    found = site.read()
    assert site.error == ""
    uuid = GPUS[3].uuid
    assert found == {
        (training.TRAINING_TOKENS, JOB): 4e8,
        (training.TRAINING_STEPS, JOB): 100,
        (training.TRAINING_FLOPS, JOB): 6e25,
        (training.TRAINING_STEP_DURATION, JOB): 7,
        (training.TRAINING_STEP_SECONDS, JOB): 700,
        (training.TRAINING_LOSS, JOB): -1.5,
        (training.TRAINING_CHECKPOINT_TIMESTAMP, JOB): NOW - 90,
        (training.TRAINING_CHECKPOINT_DURATION, JOB): 31,
        (training.TRAINING_CHECKPOINTS, JOB): 2,
        (training.TRAINING_CHECKPOINT_SECONDS, JOB): 60,
        (training.TRAINING_START_TIMESTAMP, JOB): NOW - 1000,
        (training.TRAINING_ELAPSED, JOB): 1000,
        (training.TRAINING_RESTARTS, JOB): 1,
        (training.TRAINING_LOST, (*JOB, "downtime")): 100,
        (training.TRAINING_LOST, (*JOB, "startup")): 80,
        (training.TRAINING_LOST, (*JOB, "rework")): 35,
        (training.TRAINING_REPORT_TIMESTAMP, (*JOB, "reporter")): NOW - 2,
        (training.TRAINING_RANKS, JOB): 1,
        (training.TRAINING_PRECISION_INFO, (*JOB, "bf16")): 1,
        (training.TRAINING_RANK_STEP, ("42", "0", "3", uuid)): 90,
        (training.TRAINING_RANK_WAIT, ("42", "0", "3", uuid)): 30,
    }


def test_every_training_metric_comes_from_a_reporter_that_tells_all(tmp_path: Path) -> None:
    """The two ends against each other: what the real reporter writes is what the agent reads."""
    one = Reporter("llama", job_id="42", rank=0, gpu=3, directory=str(tmp_path))
    one.step()
    one.step(tokens=1, samples=1, flops=1.0, loss=1.0, wait=0.1)
    with one.checkpoint():
        pass
    source = TrainingDirectory(5.0, lambda: GPUS, tmp_path)
    declared = {metric for metric in vars(training).values() if isinstance(metric, Metric)}
    assert {reading.metric for reading in source.read()} == declared
    one.close()


def test_a_node_without_the_first_rank(site: Site) -> None:
    for rank in (8, 9):
        site.write(f"{rank}.json", rank=rank, gpu=str(rank - 8), tokens=None, steps=0, step=90 + rank)
    found = site.read()
    assert {metric for metric, _ in found} == {
        training.TRAINING_RANKS, training.TRAINING_REPORT_TIMESTAMP, training.TRAINING_RANK_STEP,
        training.TRAINING_RANK_WAIT,
    }  # fmt: skip
    assert found[training.TRAINING_RANKS, JOB] == 2
    assert found[training.TRAINING_RANK_STEP, ("42", "9", "1", GPUS[1].uuid)] == 99


def test_a_silent_job_stalls_and_goes_an_ended_one_takes_its_leave(site: Site) -> None:
    site.write("silent.json")
    site.write("ended.json", job="43", ended=True)
    site.now = NOW + 200
    found = site.read()
    assert found[training.TRAINING_ELAPSED, JOB] == 1200, "the time of a job that is stuck goes on"
    assert found[training.TRAINING_ELAPSED, ("43", "llama")] == 998, "that of one that is over does not"
    site.now = NOW + 400
    assert site.jobs() == {"42"}
    site.now = NOW + 3500
    assert site.jobs() == {"42"}
    site.now = NOW + 3700
    assert site.jobs() == set()
    assert site.error == ""


def test_old_files_are_counted_in_the_log(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    site.write("a.json", age=4000, told=NOW - 4000)
    site.write("b.json", age=4000, told=NOW - 4000)
    for _ in range(3):
        assert site.read() == {}
    assert [record.message for record in caplog.records] == [
        f"training: {site.directory}: 2 files of jobs that are over; tidy them up"
    ]


@pytest.mark.parametrize(
    ("told", "gpu"),
    [
        ("3", "3"),
        ("nvidia2", "5"),  # by the number of its device file
        (GPUS[4].uuid, "4"),
        (GPUS[4].uuid.removeprefix("GPU-").upper(), "4"),
        (GPUS[4].uuid[:12], "4"),
        ("GPU-0000", ""),  # could be any
        ("99", ""),
        ("nvidia99", ""),
        ("MIG-00000001-0000-0000-0000-000000000000", ""),
        ("", ""),
    ],
)
def test_the_gpu_of_a_rank(told: str, gpu: str, site: Site) -> None:
    site.write("a.json", gpu=told)
    uuid = GPUS[int(gpu)].uuid if gpu else ""
    assert (training.TRAINING_RANK_STEP, ("42", "0", gpu, uuid)) in site.read()


def test_a_rank_on_a_part_of_a_gpu(tmp_path: Path) -> None:
    part = MigIdentity("1", "0", "MIG-00000001-1111-2222-3333-444444444444")
    site = Site(tmp_path, (GPUS[0], GPUS[1]._replace(mig=(part,))))
    site.write("a.json", gpu=part.uuid.removeprefix("MIG-"))
    site.write("b.json", rank=1, gpu="nvidia7")
    found = site.read()
    assert (training.TRAINING_RANK_STEP, ("42", "0", "1", GPUS[1].uuid)) in found
    assert (training.TRAINING_RANK_STEP, ("42", "1", "", "")) in found, "Slurm's number counts parts there"


def test_where_another_exporter_reads_the_gpus(tmp_path: Path) -> None:
    site = Site(tmp_path, ())
    bare = "00000001-1111-2222-3333-444444444444"
    site.write("a.json", gpu=bare)
    site.write("b.json", rank=1, gpu="1")
    found = site.read()
    assert (training.TRAINING_RANK_STEP, ("42", "0", "", f"GPU-{bare}")) in found
    assert (training.TRAINING_RANK_STEP, ("42", "1", "", "")) in found


BAD: list[tuple[dict[str, Any] | bytes, str]] = [
    (b"", "is no JSON object"),
    (b"[1]", "is no JSON object"),
    (b"\xff\xfe", "is no JSON object"),
    (b"[" * 16000, "is no JSON object"),
    (b" " * (LARGEST + 1), f"is larger than {LARGEST} bytes"),
    ({"format": 2}, "format: is not 1"),
    ({"job": ""}, "job: is empty"),
    ({"job": 42}, "job: is no text"),
    ({"job": "x" * 257}, "job: is no text"),
    ({"model": "a\nevil_metric{} 1"}, "model: is no text"),
    ({"rank": -1}, "rank: is out of range"),
    ({"rank": 1.5}, "rank: is no whole number"),
    ({"rank": None}, "rank: is no number"),
    ({"tokens": float("nan")}, "tokens: is out of range"),
    ({"tokens": -1}, "tokens: is out of range"),
    ({"flops": float("inf")}, "flops: is out of range"),
    ({"steps": True}, "steps: is no number"),
    ({"steps": None}, "steps: is no number"),
    ({"ended": 1}, "ended: is neither"),
    ({"told": NOW + 100}, "told: lies in the future"),
    ({"began": NOW + 59, "told": NOW - 50}, "began: is later than told"),
]


@pytest.mark.parametrize(("bad", "says"), BAD)
def test_what_is_wrong_in_one_file_costs_that_file(
    bad: dict[str, Any] | bytes, says: str, site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    site.write("good.json", job="good")
    if isinstance(bad, bytes):
        site.write("bad.json", bad)
    else:
        site.write("bad.json", **bad)
    for _ in range(2):
        assert site.jobs() == {"good"}
        assert site.kind == "format"
        assert f"{site.directory}/bad.json: {says}" in site.error
    (line,) = caplog.messages
    assert says in line
    assert "bad.json" in line
    assert "evil" not in line


def test_links_pipes_and_folders_are_not_files(site: Site, tmp_path_factory: pytest.TempPathFactory) -> None:
    elsewhere = Site(tmp_path_factory.mktemp("elsewhere"))
    secret = elsewhere.write("secret", b'{"job": "root:$6$hash"}')
    good = elsewhere.write("good.json")
    (site.directory / "symbolic.json").symlink_to(good)
    (site.directory / "dangling.json").symlink_to("/nonexistent")
    os.link(secret, site.directory / "hard.json")
    os.mkfifo(site.directory / "pipe.json")
    (site.directory / "folder.json").mkdir()
    for name in ("symbolic.json", "dangling.json", "pipe.json", "folder.json"):
        os.utime(site.directory / name, (NOW, NOW), follow_symlinks=False)
    (site.directory / ".hidden.json").write_text("{")
    (site.directory / "notes.txt").write_text("{")
    began = time.monotonic()
    assert site.read() == {}
    assert time.monotonic() - began < 10, "nobody waits for the other end of a pipe"
    assert "(and 4 more)" in site.error
    assert "hash" not in site.error


def test_a_job_that_two_users_claim(site: Site) -> None:
    if os.geteuid() != 0:
        pytest.skip("files of two users need root")
    theirs = site.write("theirs.json", tokens=5)
    os.chown(theirs, 1000, 1000)
    mine = site.write("mine.json", rank=1)
    os.chown(mine, 1001, 1001)
    assert site.jobs() == set(), "nobody knows who was first"
    assert site.kind == "conflict"
    assert "mine.json: belongs to uid 1001, but uid 1000 tells of the same job" in site.error
    mine.unlink()
    assert site.jobs() == {"42"}
    assert site.error == ""
    os.chown(site.write("mine.json", rank=0, told=NOW, tokens=1e9), 1001, 1001)
    assert site.read()[training.TRAINING_TOKENS, JOB] == 5, "whoever came first speaks for the job"
    assert site.kind == "conflict"


def test_two_models_in_one_job_and_a_rank_twice(site: Site) -> None:
    site.write("first.json", model="base", told=NOW - 100)
    site.write("then.json", model="tuned", told=NOW - 5, step=7)
    site.write("copy.json", model="tuned", told=NOW - 50, step=6, tokens=1)
    found = site.read()
    assert found[training.TRAINING_TOKENS, ("42", "base")] == 4e8
    assert found[training.TRAINING_TOKENS, ("42", "tuned")] == 4e8
    assert [v for (metric, _), v in found.items() if metric is training.TRAINING_RANK_STEP] == [7]


def test_nobody_crowds_the_others_out(site: Site) -> None:
    for n in range(600):
        site.write(f"{n}.json", job=f"j{n}")
    assert len(site.jobs()) == 512
    assert site.kind == "too_many"


def test_a_directory_that_is_not_there(tmp_path: Path) -> None:
    source = TrainingDirectory(5.0, lambda: (), tmp_path / "none")
    assert not source.present
    with pytest.raises(FileNotFoundError):
        list(source.read())


@given(st.binary(max_size=400))
def test_any_bytes(data: bytes) -> None:
    with pytest.raises(ReportError):
        parse(data, NOW)


_values = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=300),
    st.lists(st.none(), max_size=1),
)


@given(st.dictionaries(st.sampled_from(sorted(report())), _values, max_size=4))
def test_any_values(changed: dict[str, Any]) -> None:
    data = json.dumps(report(**changed)).encode()
    found, wrong = None, ""
    try:
        found = parse(data, NOW)
    except ReportError as error:
        wrong = str(error)
    if found is None:
        assert wrong.partition(":")[0] in {*changed, "began"}
        return
    numbers = [value for value in found if isinstance(value, int | float) and value is not found.loss]
    assert all(0 <= value <= 1e33 for value in numbers)
    assert found.job.isprintable()
    assert found.model.isprintable()


@pytest.mark.parametrize(
    ("told", "name"),
    [("torch.bfloat16", "bf16"), ("16-mixed", "fp16"), ("FP8", "fp8"), ("nvfp4", "fp4"), ("int8", "int8")],
)
def test_number_formats(told: str, name: str) -> None:
    assert precision(told) == name
    assert name == "int8" or name in GPU_PEAK_FLOPS.values["precision"]


def test_the_agent_serves_what_a_job_tells(
    tmp_path: Path, run_served: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    one = Reporter("llama", job_id="42", rank=0, directory=str(tmp_path))
    one.step(tokens=1000)
    one.step(tokens=1000)
    with one.checkpoint():
        pass
    config = tmp_path / "agent.yaml"
    off = {
        "gpu": "off",
        "kernel_log": False,
        "power": False,
        "storage": False,
        "host": False,
        "fabric": False,
    }
    config.write_text(
        json.dumps({"interval": "500ms", "collectors": off, "training": {"directory": str(tmp_path)}})
    )
    agent = run_served("agent", "--config", str(config))
    key = (training.TRAINING_TOKENS.name, frozenset({("job_id", "42"), ("model", "llama")}))
    assert agent.wait_for(lambda samples: key in samples)[key] == 2000
    one.step(tokens=500)
    one.close()
    agent.wait_for(lambda samples: samples.get(key) == 2500)
