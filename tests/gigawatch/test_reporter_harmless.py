"""The reporter never hurts its job: nonsense, forks, threads, signals, full disks, damaged files."""

from __future__ import annotations

import ast
import copy
import json
import multiprocessing
import os
import pickle
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from training_jobs import SOURCE, Jobs, ended, steps, told, told_by, until

from gigawatch import reporter as module
from gigawatch.reporter import Reporter

pytestmark = pytest.mark.usefixtures("nowhere")


def test_the_file_is_of_python_3_8_and_needs_the_standard_library_only() -> None:
    tree = ast.parse(SOURCE.read_text(), feature_version=(3, 8))
    imported = {
        name.partition(".")[0]
        for node in ast.walk(tree)
        for name in (
            [alias.name for alias in node.names]
            if isinstance(node, ast.Import)
            else [node.module or ""]
            if isinstance(node, ast.ImportFrom)
            else []
        )
    }
    assert imported <= sys.stdlib_module_names
    later = {"removeprefix", "removesuffix", "is_relative_to", "pairwise", "batched"}
    assert not later & {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}


def _use(one: Reporter, rank: str) -> None:
    os.environ["RANK"] = rank
    one.step(tokens=7)
    one.close()


def test_a_forked_child_tells_of_its_own_rank_or_of_none(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    one = Reporter("m", job_id="42", directory=str(tmp_path))
    one.step(tokens=1)
    context = multiprocessing.get_context("fork")
    for rank in ("0", "3"):
        child = context.Process(target=_use, args=(one, rank))
        child.start()
        child.join(60)
        assert child.exitcode == 0
    assert told(tmp_path, 3)["steps"] == 0
    assert told(tmp_path, 3)["step"] == 1
    assert told_by(one, tmp_path)["tokens"] == 1, "a child does not write into its parent's file"
    assert not told(tmp_path)["ended"]
    one.close()


def test_pickles_and_copies(tmp_path: Path) -> None:
    one = Reporter("m", job_id="42", directory=str(tmp_path))
    assert copy.deepcopy(one) is copy.copy(one) is pickle.loads(pickle.dumps(one)) is one
    context = multiprocessing.get_context("spawn")
    child = context.Process(target=_use, args=(one, "2"))
    os.environ["RANK"] = "2"
    try:
        child.start()
    finally:
        del os.environ["RANK"]
    child.join(60)
    assert child.exitcode == 0
    assert told(tmp_path, 2)["step"] == 1
    one.close()


def test_many_threads(tmp_path: Path) -> None:
    one = Reporter("m", job_id="42", directory=str(tmp_path), every=0.01)

    def work() -> None:
        for _ in range(500):
            one.step(tokens=1)
            with one.waiting(), one.pause():
                pass

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = told_by(one, tmp_path)
    assert (found["steps"], found["tokens"], one.troubles) == (4000, 4000, 0)
    one.close()


def test_a_signal_handler_may_save_and_close(jobs: Jobs) -> None:
    code = """
import signal
def save(*_):
    with reporter.checkpoint():
        pass
    reporter.close()
    sys.exit(0)
signal.signal(signal.SIGTERM, save)
print("ready", flush=True)
while True:
    reporter.step()
"""
    process = jobs.start(code)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    time.sleep(0.2)
    process.send_signal(signal.SIGTERM)
    assert ended(process) == ""
    found = told(jobs.reports)
    assert (found["ended"], found["checkpoints"]) == (True, 1)


def _all_of_it(one: Reporter) -> None:
    """Every method, with sense and without."""

    class Tensor:
        def __float__(self) -> float:
            raise AssertionError("waits for the GPU")

    nonsense: list[Any] = [None, -1, float("nan"), float("inf"), "x", [], Tensor(), 10**400, True]
    for value in nonsense:
        one.step(tokens=value, samples=value, flops=value, loss=value, wait=value, number=value)
        one.resumed(value)
        one.checkpoint_done(value, value)
        one.paused(value)
    with one.waiting(), one.pause("x" * 1000), one.checkpoint(step=-5):
        one.step()
    one.close()
    one.step(tokens=1)
    one.close()
    with one.checkpoint(), one.waiting(), one.pause():
        pass


def test_nonsense_is_counted_and_told_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    one = Reporter("m", job_id="42", directory=str(tmp_path))
    _all_of_it(one)
    assert one.troubles > 10
    assert len(caplog.records) == 1
    file = told(tmp_path)
    assert file["ended"]
    assert all(value is None or value >= 0 for value in file.values() if isinstance(value, int | float))


def test_without_a_directory_nothing_happens(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "DIRECTORY", str(tmp_path / "none"))
    one = Reporter("m")
    assert not one.enabled
    _all_of_it(one)
    assert not caplog.records, "a laptop is no place to complain"
    monkeypatch.setenv("GIGAWATCH_TRAINING_DIR", str(tmp_path / "none"))
    Reporter("m")
    assert "none is no directory" in caplog.text


def test_a_directory_that_cannot_be_written(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    directory = tmp_path / "42~m.0.json"
    directory.mkdir()  # where the file should stand: no rename gets past it, whoever one is
    one = Reporter("m", job_id="42", directory=str(tmp_path), every=0.01)
    for _ in range(100):
        one.step(tokens=1)
    _all_of_it(one)
    assert "cannot write" in caplog.text
    assert len(caplog.records) == 1
    assert [file.name for file in tmp_path.iterdir()] == [directory.name], "no temporary file stays"


def test_a_disk_that_is_full(tmp_path: Path) -> None:
    """A limit on the size of files, as a full disk has: the file before stays whole."""
    code = f"""
import resource, signal, sys
sys.path.insert(0, {str(SOURCE.parent.parent)!r})
from gigawatch.reporter import Reporter
one = Reporter("m", job_id="42", directory={str(tmp_path)!r})
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))
one.step(tokens=1)
one.checkpoint_done()
print(one.troubles)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) >= 1
    assert "cannot write" in done.stderr
    assert told(tmp_path)["steps"] == 0
    assert len(list(tmp_path.iterdir())) == 1


def test_a_directory_that_goes_away_and_comes_back(tmp_path: Path) -> None:
    directory = tmp_path / "run"
    directory.mkdir()
    one = Reporter("m", job_id="42", directory=str(directory))
    shutil.rmtree(directory)
    one.step(tokens=1)
    one.checkpoint_done()
    directory.mkdir()
    assert told_by(one, directory)["tokens"] == 1
    one.close()


def test_anybody_else_s_files_are_left_alone(tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.write_text('{"format": 1}')
    reports = tmp_path / "reports"
    reports.mkdir()
    (reports / "42~m.0.json").symlink_to(precious)
    one = Reporter("m", job_id="42", directory=str(reports))
    one.step()
    one.close()
    assert precious.read_text() == '{"format": 1}'


@pytest.mark.parametrize(
    "damage",
    [b"", b"[]", b"{", b"\xff", b'{"format": 1, "job": "42", "model": "m", "rank": 0, "told": "x"}',
     b'{"format": 1, "job": "42", "model": "m", "rank": 0, "told": 1, "began": 1, "tokens": -5}',
     b'{"format": 1, "job": "42", "model": "m", "rank": 0, "told": 1, "began": 1}'],
)  # fmt: skip
def test_what_an_earlier_attempt_left_may_be_damaged(damage: bytes, tmp_path: Path) -> None:
    (tmp_path / "42~m.0.json").write_bytes(damage)
    one = Reporter("m", job_id="42", directory=str(tmp_path))
    one.step(tokens=3)
    found = told_by(one, tmp_path)
    assert (found["steps"], found["tokens"]) == (1, 3)
    one.close()


def test_the_newest_process_of_a_rank_tells(jobs: Jobs) -> None:
    first = jobs.start("for _ in range(150): step(tokens=1)")
    until(lambda: steps(jobs.reports) >= 3)
    second = jobs.start("while True: step(tokens=1)")
    until(lambda: told(jobs.reports)["restarts"] == 1)
    said = ended(first)
    assert said.count("another process tells of the same job and rank") == 1
    owner = told(jobs.reports)["pid"]
    assert owner == second.pid


def test_the_file_is_readable_for_the_agent_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0o077)
    try:
        Reporter("m", job_id="42", directory=str(tmp_path)).close()
    finally:
        os.umask(before)
    (file,) = tmp_path.iterdir()
    assert file.stat().st_mode & 0o777 == 0o644


def test_names_of_any_length_and_kind(tmp_path: Path) -> None:
    for name in ("../../etc/passwd", "a/b", "x" * 5000, "ü\n\0", "."):
        one = Reporter(name, job_id=name, directory=str(tmp_path))
        one.step()
        one.close()
        assert one.troubles == 0, name
    assert len(list(tmp_path.iterdir())) == 5
    assert all(json.loads(file.read_text())["step"] == 1 for file in tmp_path.iterdir())
