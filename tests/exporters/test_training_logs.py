"""Training jobs by their logs: real files that are written, renamed and cut off, and any line at all.

Where the lines come from stands beside each; numbers were shortened, nothing else was changed.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from training_logs import (
    COMPOSER,
    JOB,
    NOW,
    Site,
    bar,
    counts,
    deepspeed,
    hugging,
    lightning,
    megatron,
    titan,
)

from exporters.runtime.gate import Gate
from exporters.sections import LogSection
from exporters.settings import AgentSettings
from exporters.training.log_lines import LONGEST, LogTail
from exporters.training.logs import LogSource
from exporters.training.patterns import FRAMEWORKS
from exporters.training.voices import Voices
from gigawatch.catalogue import training
from gigawatch.config import load_file
from gigawatch.errors import UserError


@pytest.fixture
def site(tmp_path: Path) -> Site:
    made = Site(tmp_path, tokens_per_step=1000.0)
    made.read()
    return made


def test_megatron(tmp_path: Path) -> None:
    site = Site(tmp_path, tokens_per_step=4e6, gpus=8)
    site.read()
    found = site.write(megatron(100))
    assert counts(found)["steps_total"] == 0, "counted from here on"
    site.now += 250
    found = site.write(megatron(200, loss=-1.25))
    assert counts(found) == {
        "steps_total": 100, "step_seconds_total": 250, "step_duration_seconds": 2.5, "tokens_total": 4e8,
        "samples_total": 102400, "flops_total": pytest.approx(40.4e12 * 8 * 250), "loss": -1.25,
        "restarts_total": 0, "lost_seconds_total": 0,
    }  # fmt: skip
    assert found[training.TRAINING_REPORT_TIMESTAMP, (*JOB, "log")] == site.now
    assert found[training.TRAINING_ELAPSED, JOB] == 250
    site.write("[after training is done] datetime: 2025-05-27 16:00:00")
    site.now += 200
    assert site.read()[training.TRAINING_ELAPSED, JOB] == 250, "it is over"
    site.now += 200
    assert site.read() == {}


def test_megatron_deepspeed_tells_of_tokens(tmp_path: Path) -> None:
    """Argonne's notes of 2024: both write into one log, DeepSpeed first."""
    site = Site(tmp_path)
    site.read()
    for step in (199, 200, 201):
        found = site.write(
            deepspeed(step, "61.35304005128382", step - 190),
            f" iteration {step:8d}/  317892 | consumed samples: {step * 768:12d} | consumed tokens: "
            f"{step * 3145728:12d} | elapsed time per iteration (ms): 14287.5 | learning rate: 2.407E-04 | "
            "global batch size:   768 | lm loss: 5.905366E+00 | loss scale: 8192.0 | actual seqlen:  4096 | "
            "number of skipped iterations:   0 | number of nan iterations:   0 | samples per second: 53.753",
        )
    told = counts(found)
    assert told["steps_total"] == 2
    assert told["tokens_total"] == 3145728
    assert told["restarts_total"] == 0


def test_torchtitan(tmp_path: Path) -> None:
    site = Site(tmp_path, gpus=8)
    site.read()
    site.write(titan(10, second=0))
    found = site.write(titan(20, second=20), titan(20, second=25, word="validate step"))
    told = counts(found)
    assert told["steps_total"] == 10
    assert told["tokens_total"] == 12345 * 8 * 20, "tps is of one device"
    assert told["flops_total"] == pytest.approx(100.5e12 * 8 * 20)
    assert told["loss"] == 8.1375
    assert told["restarts_total"] == 0


def test_torchtitan_with_the_size_of_a_step(tmp_path: Path) -> None:
    site = Site(tmp_path, gpus=8, tokens_per_step=12345.0 * 16, flops_per_token=6e9)
    site.read()
    site.write(titan(10))
    told = counts(site.write(titan(20)))
    assert told["tokens_total"] == 12345 * 160
    assert told["step_seconds_total"] == pytest.approx(20)
    assert told["flops_total"] == pytest.approx(12345 * 160 * 6e9)


def test_composer(tmp_path: Path) -> None:
    site = Site(tmp_path)
    site.read()
    for n in (10, 12):
        found = site.write(COMPOSER.format(n=n, samples=2 * n, tokens=2048 * n))
    assert counts(found) == {
        "steps_total": 2, "step_seconds_total": 4, "step_duration_seconds": 2, "tokens_total": 4096,
        "samples_total": 4, "loss": 0.0051, "restarts_total": 0, "lost_seconds_total": 0,
    }  # fmt: skip


def test_hugging_face(tmp_path: Path) -> None:
    site = Site(tmp_path)
    site.read()
    site.write("Loading checkpoint shards: 100%|██████████| 4/4 [00:05<00:00,  1.00s/it]")
    site.write(bar(10), hugging(1000), end="")
    found = site.write(bar(12), bar(1, total=8, rate="3.10it/s"), "\n" + hugging(5000), bar(13), "\r", end="")
    told = counts(found)
    assert told["steps_total"] == 3, "the bar of an evaluation is another"
    assert told["step_seconds_total"] == 6
    assert told["tokens_total"] == 4000
    assert told["loss"] == 2.6031
    assert told["restarts_total"] == 0
    site.write("\n{'train_runtime': 299.1983, 'train_samples_per_second': 8.021, 'epoch': 2.24}")
    site.now += 400
    assert site.read() == {}


def test_lightning(tmp_path: Path) -> None:
    site = Site(tmp_path, tokens_per_step=100.0)
    site.read()
    site.write(lightning(0, 850), "\r", end="")
    told = counts(site.write(lightning(0, 860), lightning(1, 4), "\r", end=""))
    assert told["steps_total"] == 14
    assert told["tokens_total"] == 1400
    assert told["step_seconds_total"] == 3.5
    assert told["loss"] == 1.46


def test_deepspeed(tmp_path: Path) -> None:
    site = Site(tmp_path)
    site.read()
    site.write(deepspeed(10, "-inf", 0), deepspeed(20, "200.5", 10))
    told = counts(site.write("[2022-08-29 06:58:56,176] [INFO] nothing", deepspeed(30, "100.0", 14)))
    assert told == {"steps_total": 20, "samples_total": 200.5 * 10 + 400, "restarts_total": 0}


def test_a_restart_from_an_older_step(site: Site) -> None:
    for step in (80, 90, 100):
        found = site.write(megatron(step))
    for step in (70, 80, 90):
        found = site.write(megatron(step))
    told = counts(found)
    assert told["restarts_total"] == 1
    assert told["steps_total"] == 20 + 30
    assert told["lost_seconds_total"] == 30 * 2.5, "steps done again"
    told = counts(site.write(megatron(110)))
    assert told["steps_total"] == 70
    assert told["lost_seconds_total"] == 40 * 2.5
    assert told["tokens_total"] == 70 * 1000


SAMPLES = [
    megatron(10), titan(10), *COMPOSER.format(n=1, samples=2, tokens=3).splitlines(), bar(10), hugging(10),
    lightning(1, 2), deepspeed(10, "5.0", 1),
]  # fmt: skip


@settings(max_examples=300)
@given(st.data())
def test_any_line(data: st.DataObject) -> None:
    source = LogSource(5.0, [], Voices(3600.0))
    from exporters.training.logs import _File

    given_ = LogSection("/x", "42", tokens_per_step=data.draw(st.sampled_from([0.0, 5.0])), gpus=8)
    file = _File(LogTail("/x"), given_, "42")
    for _ in range(data.draw(st.integers(1, 5))):
        line = data.draw(st.sampled_from(SAMPLES) | st.text(max_size=60))
        for _ in range(data.draw(st.integers(0, 3))):
            at = data.draw(st.integers(0, len(line)))
            line = line[:at] + data.draw(st.text("0123456789.eE+-/:| ,ÿ٣", max_size=20)) + line[at + 1 :]
        source._take(file, line.lstrip("\r"), NOW)
    rows = [row for key, job in source._jobs.items() for row in job.tally.readings(*key, "log", NOW)]
    gate = Gate()
    assert len(gate.sift(rows)) == len(rows)
    assert all(row.value < 1e25 for row in rows if row.metric is not training.TRAINING_LOSS)


@pytest.mark.parametrize("marked", sorted({line.marker for one in FRAMEWORKS for line in one.lines}))
def test_no_line_takes_long(marked: str) -> None:
    """Lines made to send a regular expression back and forth: time grows with their length, not faster."""
    source = LogSource(5.0, [], Voices(3600.0))
    pieces = (
        " ", "1", "1,", "step: ", "loss: ", "iteration 1", "Epoch 1: 1%|", "|", "1/1 [1", ", 1", "1e1", "[",
        " 1%|1", "Train time/batch: ", "\x1b[", "\x1b[1;", "2025-01-01", "\0",
    )  # fmt: skip
    from exporters.training.logs import _File

    began = time.process_time()
    for piece in pieces:
        for start in ("", "Epoch 1: 1%|", " 1%|"):
            line = start + piece * ((LONGEST - 100) // len(piece)) + marked
            source._take(_File(LogTail("/x"), LogSection("/x", "42"), "42"), line, NOW)
    assert time.process_time() - began < 20, "54 lines of 64 KiB"


@given(st.lists(st.binary(max_size=40), max_size=8))
def test_lines_are_the_same_however_they_come(parts: list[bytes]) -> None:
    def split(pieces: list[bytes]) -> list[str]:
        tail = LogTail("/x")
        return [line for piece in pieces for line in tail._split(piece)]

    assert split(parts) == split([b"".join(parts)])


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("{path: train.log, job: x}", "logs.0.path: 'train.log' is no absolute path"),
        ("{path: /x, job: '('}", "logs.0.job: '(' is no regular expression"),
        ("{path: /x, job: (a)(b)}", "logs.0.job: allowed: the job's id, or a regular expression"),
        ("{path: /x, job: ''}", "logs.0.job: allowed"),
        ("{path: /x}", "job"),
        ("{path: /x, job: a, framework: jax}", "'megatron'"),
        ("{path: /x, job: a, tokens_per_step: .nan}", "logs.0.tokens_per_step: is out of range"),
        ("{path: /x, job: a, gpus: -1}", "logs.0.gpus: is out of range"),
        ("{path: /x, job: a, gpu: 1}", "gpu"),
    ],
)
def test_a_mistake_in_the_settings_is_one_line(tmp_path: Path, text: str, told: str) -> None:
    path = tmp_path / "agent.yaml"
    path.write_text(f"training: {{logs: [{text}]}}\n")
    with pytest.raises(UserError) as caught:
        load_file(path, AgentSettings)
    assert told in str(caught.value)
    assert "\n" not in str(caught.value)
    path.write_text("training: {otlp_listen: nowhere}\n")
    with pytest.raises(UserError, match="otlp_listen: listen address 'nowhere'"):
        load_file(path, AgentSettings)


def test_the_agent_follows_what_it_is_told_to(tmp_path: Path, run_served: Callable[..., Any]) -> None:
    log = tmp_path / "job_42" / "train.log"
    log.parent.mkdir()
    log.write_text("begins\n")
    config = tmp_path / "agent.yaml"
    config.write_text(
        "interval: 500ms\n"
        "collectors: {gpu: 'off', kernel_log: false, power: false, storage: false, host: false, "
        "fabric: false}\n"
        "training:\n  directory: null\n  logs:\n"
        f"    - {{path: '{tmp_path}/*/train.log', job: 'job_(\\d+)', model: llama, tokens_per_step: 1000}}\n"
    )
    agent = run_served("agent", "--config", str(config))
    key = (training.TRAINING_TOKENS.name, frozenset({("job_id", "42"), ("model", "llama")}))
    up = ("aif_collector_up", frozenset({("collector", "training_logs")}))
    agent.wait_for(lambda samples: samples.get(up) == 1)
    with log.open("a") as file:
        file.write(megatron(10) + "\n" + megatron(30) + "\n")
    assert agent.wait_for(lambda samples: key in samples)[key] == 20_000
