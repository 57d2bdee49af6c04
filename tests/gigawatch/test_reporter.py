"""What the reporter tells of a training job: real processes that step, are killed, and begin again."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from training_jobs import Jobs, steps, told, told_by, until

from gigawatch import reporter as module
from gigawatch.reporter import Reporter

pytestmark = pytest.mark.usefixtures("nowhere")
UUID = "GPU-0a1b2c3d-0000-1111-2222-333344445555"


def test_a_job_from_its_first_step_to_its_end(jobs: Jobs) -> None:
    code = """
reporter.step(tokens=1000, samples=4, flops=6e12)
for loss in (3.0, 2.5, float("nan"), 2.25):
    step(tokens=1000, samples=4, flops=6e12, loss=loss)
with reporter.checkpoint(step=5):
    time.sleep(0.3)
with reporter.pause("evaluation"):
    time.sleep(0.3)
with reporter.waiting():
    time.sleep(0.1)
step(tokens=500, wait=0.05)
"""
    began = time.time()
    assert jobs.run(code) == ""
    found = told(jobs.reports)
    assert (found["job"], found["model"], found["rank"], found["precision"]) == ("42", "llama", 0, "bf16")
    assert (found["steps"], found["step"], found["tokens"], found["samples"]) == (6, 6, 5500, 20)
    assert found["flops"] == 3e13
    assert found["loss"] == 2.25
    assert found["wait_seconds"] == pytest.approx(0.15, abs=0.04)
    assert 0.3 <= found["checkpoint_seconds"] < 0.6
    assert (found["checkpoints"], found["checkpoint_step"]) == (1, 5)
    assert began < found["checkpoint_at"] <= found["told"]
    # Five steps after the first one, which is the start-up's; neither checkpoint nor evaluation is in them.
    assert 0.2 <= found["step_seconds"] < found["told"] - found["began"] - 0.55
    assert found["startup"] < 2
    assert (found["ended"], found["doing"], found["restarts"]) == (True, "ended", 0)
    assert [file.name for file in (jobs.reports).iterdir()] == ["42~llama.0.json"], "nothing left over"


def test_a_job_that_is_killed_begins_again_from_its_checkpoint(jobs: Jobs) -> None:
    first = jobs.start("while True: step(tokens=10)")
    until(lambda: steps(jobs.reports) >= 20)
    first.send_signal(signal.SIGKILL)
    first.wait()
    before = told(jobs.reports)
    assert not before["ended"]
    time.sleep(0.5)
    again = before["step"] - 5
    code = f"""
reporter.resumed({again})
for _ in range(10):
    step(tokens=10)
"""
    jobs.run(code)
    after = told(jobs.reports)
    assert after["began"] == before["began"], "still the same job"
    assert after["restarts"] == 1
    assert 0.5 <= after["downtime"] < 20
    assert after["startup"] > before["startup"]
    assert after["tokens"] == before["tokens"] + 100
    assert after["steps"] == before["steps"] + 10
    assert after["step"] == after["highest"] == again + 10
    # Five steps were done again, the first of them within the start-up.
    assert 4 * 0.02 <= after["rework"] < after["step_seconds"] - before["step_seconds"]


def test_steps_that_count_themselves_show_what_is_done_again(tmp_path: Path) -> None:
    one = Reporter("m", job_id="42", directory=str(tmp_path), tokens_per_step=100, flops_per_token=6.0)
    one.step(number=50_001)
    one.step(number=50_011)
    found = told_by(one, tmp_path)
    assert (found["steps"], found["tokens"], found["flops"], found["step"]) == (11, 1100, 6600.0, 50_011)
    one.step(number=50_006)
    assert told_by(one, tmp_path)["rework"] > 0
    assert told_by(one, tmp_path)["steps"] == 12


def test_without_word_of_a_checkpoint_numbers_go_on_and_nothing_is_rework(jobs: Jobs) -> None:
    jobs.run("for _ in range(5): step()")
    jobs.run("for _ in range(5): step()")
    found = told(jobs.reports)
    assert (found["step"], found["rework"], found["restarts"]) == (10, 0, 1)


def test_a_job_that_an_exception_ended_has_not_ended_well(jobs: Jobs) -> None:
    assert "out of memory" in jobs.run("step()\nraise RuntimeError('out of memory')", status=1)
    found = told(jobs.reports)
    assert (found["ended"], found["doing"], found["step"]) == (False, "crashed", 1)
    jobs.run("with reporter: step(); sys.exit(3)", SLURM_JOB_ID="43", status=3)
    assert told(jobs.reports, job_id="43")["ended"] is False


def test_a_requeued_job_counts_its_restarts_on_a_new_node(jobs: Jobs) -> None:
    jobs.run("step()", SLURM_RESTART_COUNT="2")
    assert told(jobs.reports)["restarts"] == 2


def test_a_job_of_an_old_name_is_a_new_job(tmp_path: Path) -> None:
    one = Reporter("m", job_id="42", directory=str(tmp_path))
    one.step(tokens=5)
    one.close()
    (file,) = tmp_path.iterdir()
    old = json.loads(file.read_text())
    file.write_text(json.dumps(old | {"told": old["told"] - 4000, "began": old["began"] - 5000}))
    module._live.clear()
    two = Reporter("m", job_id="42", directory=str(tmp_path))
    found = told_by(two, tmp_path)
    assert (found["steps"], found["restarts"], found["downtime"]) == (0, 0, 0)
    two.close()


def _rank(rank: int, directory: str, barrier: Any) -> None:
    os.environ.update(
        RANK=str(rank), LOCAL_RANK=str(rank), WORLD_SIZE="8", CUDA_VISIBLE_DEVICES="0,1,2,3,4,5,6,7"
    )
    one = Reporter("llama", job_id="42", directory=directory, every=0.01)
    barrier.wait()  # they do not start together
    for _ in range(8):
        if rank == 5:
            time.sleep(0.15)  # the straggler
        with one.waiting():
            barrier.wait()
        one.step(tokens=100)
    one.close()


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_many_ranks(method: str, tmp_path: Path) -> None:
    context = multiprocessing.get_context(method)
    barrier = context.Barrier(8)
    ranks = [context.Process(target=_rank, args=(n, str(tmp_path), barrier)) for n in range(8)]
    for one in ranks:
        one.start()
    for one in ranks:
        one.join(60)
        assert one.exitcode == 0
    files = [told(tmp_path, n) for n in range(8)]
    assert [one["step"] for one in files] == [8] * 8
    assert [one["gpu"] for one in files] == [str(n) for n in range(8)]
    assert [one["tokens"] for one in files] == [800] + [None] * 7, "the whole job's, told once"
    waits = [one["wait_seconds"] for one in files]
    assert min(waits) == waits[5]


def test_a_checkpoint_in_a_thread_holds_up_no_steps(tmp_path: Path) -> None:
    one = Reporter("m", job_id="42", directory=str(tmp_path))
    one.step()
    with one.checkpoint(step=1, complete=False):
        time.sleep(0.05)
    found = told_by(one, tmp_path)
    assert (found["checkpoints"], found["checkpoint_at"]) == (0, None)

    def save() -> None:
        with one.checkpoint(step=1):
            time.sleep(0.3)

    saving = threading.Thread(target=save)
    saving.start()
    for _ in range(10):
        time.sleep(0.01)
        one.step()
    saving.join()
    found = told_by(one, tmp_path)
    assert found["checkpoints"] == 1
    assert 0.05 <= found["checkpoint_seconds"] < 0.25
    assert found["step_seconds"] >= 0.1
    one.close()


def test_a_checkpoint_that_fails_is_none_and_its_error_goes_on(tmp_path: Path) -> None:
    one = Reporter("m", job_id="42", directory=str(tmp_path))
    with pytest.raises(OSError, match="disk full"), one.checkpoint():
        raise OSError("disk full")
    assert told_by(one, tmp_path)["checkpoints"] == 0
    one.close()


@pytest.mark.parametrize(
    ("env", "job_id", "rank", "gpu"),
    [
        ({"SLURM_JOB_ID": "17", "SLURM_ARRAY_JOB_ID": "12", "SLURM_ARRAY_TASK_ID": "5", "SLURM_PROCID": "9",
          "SLURM_LOCALID": "1", "SLURM_STEP_GPUS": "4,5", "CUDA_VISIBLE_DEVICES": "0,1"}, "17", 9, "nvidia5"),
        ({"SLURM_JOB_ID": "17", "RANK": "3", "LOCAL_RANK": "3", "SLURM_PROCID": "0",
          "SLURM_JOB_GPUS": "0,1,2,3"}, "17", 3, "nvidia3"),
        # Bound to one GPU of the job: CUDA calls it 0, and which it is nothing here tells.
        ({"SLURM_JOB_ID": "17", "SLURM_PROCID": "1", "SLURM_LOCALID": "1", "SLURM_STEP_GPUS": "4,5",
          "CUDA_VISIBLE_DEVICES": "0"}, "17", 1, ""),
        ({"KUBERNETES_SERVICE_HOST": "10.0.0.1", "POD_NAMESPACE": "research", "HOSTNAME": "llama-worker-0",
          "RANK": "8", "LOCAL_RANK": "0", "NVIDIA_VISIBLE_DEVICES": UUID},
         "research/llama-worker-0", 8, UUID),
        ({"KUBERNETES_SERVICE_HOST": "10.0.0.1", "POD_NAMESPACE": "a", "POD_NAME": "b", "HOSTNAME": "c",
          "CUDA_VISIBLE_DEVICES": "1"}, "a/b", 0, ""),
        ({"TORCHELASTIC_RUN_ID": "run-7", "RANK": "2", "LOCAL_RANK": "2",
          "CUDA_VISIBLE_DEVICES": f"MIG-x,1,{UUID}"}, "run-7", 2, UUID),
        ({"OMPI_COMM_WORLD_RANK": "4", "OMPI_COMM_WORLD_LOCAL_RANK": "1", "PBS_JOBID": "9.srv",
          "CUDA_VISIBLE_DEVICES": "6,7"}, "9.srv", 4, "7"),
        ({"GIGAWATCH_JOB_ID": "mine", "SLURM_JOB_ID": "17", "RANK": "1", "LOCAL_RANK": "1"}, "mine", 1, "1"),
        ({"PBS_JOBID": "1", "LOCAL_RANK": "2", "NODE_RANK": "0"}, "1", 2, "2"),
        ({"PBS_JOBID": "1", "CUDA_VISIBLE_DEVICES": ""}, "1", 0, ""),
    ],
)  # fmt: skip
def test_who_and_where_it_is(
    env: dict[str, str], job_id: str, rank: int, gpu: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("HOSTNAME", raising=False)
    for name, value in env.items():
        monkeypatch.setenv(name, value)
    one = Reporter("m", directory=str(tmp_path))
    one.close()
    (file,) = tmp_path.iterdir()
    found = json.loads(file.read_text())
    assert (found["job"], found["rank"], found["gpu"]) == (job_id, rank, gpu)


def test_without_any_scheduler_a_job_is_its_launcher_s(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "none")  # what torchrun says where nobody named the run
    Reporter("m", directory=str(tmp_path)).close()
    (file,) = tmp_path.iterdir()
    assert json.loads(file.read_text())["job"].endswith(f"-{os.getppid()}")


def test_pytorch_knows_the_gpu_best(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The attributes that the reporter asks, as PyTorch 2.5 has them; none is installed here."""
    cuda = SimpleNamespace(
        is_initialized=lambda: True,
        current_device=lambda: 0,
        get_device_properties=lambda _: SimpleNamespace(uuid=UUID.removeprefix("GPU-")),
    )
    monkeypatch.setitem(sys.modules, "torch", SimpleNamespace(cuda=cuda))
    one = Reporter("m", job_id="42", directory=str(tmp_path))
    one.step()
    assert told_by(one, tmp_path)["gpu"] == UUID.removeprefix("GPU-")
    cuda.is_initialized = lambda: False
    two = Reporter("m", job_id="43", directory=str(tmp_path))
    two.step()
    two.close()
    assert told(tmp_path, job_id="43")["gpu"] == "", "a job that computes on processors has none"
    one.close()
