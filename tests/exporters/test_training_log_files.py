"""Logs that are followed: real files that grow, are renamed, cut off, and are no files at all."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
from training_logs import (
    JOB,
    NOW,
    Site,
    counts,
    megatron,
)

from exporters.training.log_lines import AT_ONCE, LONGEST, LogTail
from gigawatch.catalogue import training


@pytest.fixture
def site(tmp_path: Path) -> Site:
    made = Site(tmp_path, tokens_per_step=1000.0)
    made.read()
    return made


@pytest.mark.parametrize("how", ["rename", "truncate", "copy"])
def test_rotation(site: Site, how: str) -> None:
    site.write(megatron(10))
    site.write(megatron(20))
    if how == "rename":
        site.log.rename(site.log.with_suffix(".log.1"))
    else:
        if how == "copy":
            site.log.with_suffix(".log.1").write_bytes(site.log.read_bytes())
        os.truncate(site.log, 0)
        site.read()
    told = counts(site.write(megatron(30)))
    assert told["steps_total"] == 20
    assert told["restarts_total"] == 0


def test_a_writer_that_goes_on_behind_a_hole(site: Site) -> None:
    """copytruncate under a writer that does not append: zeros up to where it was."""
    site.write(megatron(10))
    size = site.log.stat().st_size
    os.truncate(site.log, 0)
    site.read()
    with site.log.open("r+") as file:
        file.seek(size)
        file.write(megatron(20) + "\n")
    assert counts(site.read())["steps_total"] == 10


def test_lines_that_come_in_parts(site: Site) -> None:
    site.write(megatron(10))
    line = megatron(20)
    for at in range(0, len(line), 50):
        found = site.write(line[at : at + 50], end="")
        assert counts(found)["steps_total"] == 0
    assert counts(site.write(""))["steps_total"] == 10


def test_what_is_there_at_first_is_passed_over(tmp_path: Path) -> None:
    site = Site(tmp_path, tokens_per_step=1.0)
    site.log.write_text(megatron(10) + "\n" + megatron(20)[:60])
    os.utime(site.log, (NOW, NOW))
    assert site.read() == {}
    assert site.write(megatron(20)[60:]) == {}
    assert counts(site.write(megatron(30)))["steps_total"] == 0


def test_huge_lines_and_garbage_are_passed_over(site: Site) -> None:
    site.write(megatron(10))
    with site.log.open("ab") as file:
        file.write(os.urandom(300_000).replace(b"\n", b"x").replace(b"\r", b"x"))
        file.write(megatron(15).encode() + b"\n")
        file.write(b"\xff\xfe\x00" * 100 + b"\n" + b"y" * (LONGEST + 1) + b"\n")
    assert counts(site.read())["steps_total"] == 0
    assert counts(site.write(megatron(20)))["steps_total"] == 10


def test_no_more_than_so_much_at_a_time(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_text("")
    tail = LogTail(str(path))
    assert list(tail.lines()) == []
    path.write_bytes(b"x" * 99 + b"\n" + b"y" * (40 << 20) + b"\nlast\n")
    seen: list[str] = []
    for _ in range(3):
        seen += tail.lines()
        assert tail.offset <= path.stat().st_size
    assert seen == ["last"], "what lies far behind is given up"
    path.write_bytes(b"z" * 63 + b"\n")
    path.write_bytes((b"z" * 63 + b"\n") * (3 * AT_ONCE // 64))
    tail = LogTail(str(path), (path.stat().st_dev, path.stat().st_ino), 0)
    assert [len(list(tail.lines())) for _ in range(4)] == [AT_ONCE // 64] * 3 + [0]


def test_links_pipes_and_folders_are_not_followed(site: Site) -> None:
    site.write(megatron(10))
    for job, make in (
        ("job_43", lambda path: path.symlink_to(site.log)),
        ("job_44", os.mkfifo),
        ("job_45", lambda path: path.mkdir()),
    ):
        (site.folder / job).mkdir()
        make(site.folder / job / "train.log")
    site.now += 60
    began = time.monotonic()
    found = site.write(megatron(20))
    assert time.monotonic() - began < 10
    assert {labels[0] for _, labels in found} == {"42"}


def test_ranks_that_write_the_same(tmp_path: Path) -> None:
    site = Site(tmp_path, path=f"{tmp_path}/*/*.log", tokens_per_step=1.0)
    other = site.log.with_name("rank1.log")
    other.touch()
    os.utime(other, (NOW, NOW))
    site.read()
    for step in (10, 20, 30):
        site.write(f"[default0]:{megatron(step)}", f"[default7]:{megatron(step - 5)}")
        found = site.write(megatron(step - 5), path=other)
    told = counts(found)
    assert told["steps_total"] == 20
    assert told["restarts_total"] == 0
    site.now += 120
    told = counts(site.write(megatron(20), path=other))
    assert told["restarts_total"] == 1, "a new attempt writes another file"


def test_a_file_that_cannot_be_read(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    if os.geteuid() == 0:
        pytest.skip("root may read everything")
    site.log.chmod(0)
    for _ in range(2):
        site.read()
        assert "cannot be read: Permission denied" in site.error
    assert len(caplog.messages) == 1


def test_a_path_without_a_job(site: Site) -> None:
    site.file("nothing")
    site.now += 60
    site.write(megatron(10))
    assert "`job` finds none in this path" in site.error


def test_many_files(tmp_path: Path) -> None:
    site = Site(tmp_path)
    for n in range(100, 400):
        site.file(f"job_{n}")
    site.read()
    assert "301 files; the 256 written to last are read" in site.error
    assert len(site.source._files) == 256


def test_a_silent_job_goes(site: Site) -> None:
    site.write(megatron(10))
    site.now += 3500
    assert site.read()[training.TRAINING_ELAPSED, JOB] == 3500, "the time of a job that is stuck goes on"
    site.now += 200
    assert site.read() == {}


def test_an_absurd_number_is_no_progress(site: Site) -> None:
    site.write(megatron(10))
    line = megatron(20).replace("iteration       20", "iteration 999999999999999")
    assert counts(site.write(line))["steps_total"] == 0
    assert counts(site.write(megatron(30)))["steps_total"] == 0
    told = counts(site.write(megatron(40).replace("2500.0", "1e999")))
    assert told["steps_total"] == 10
