"""Logs of training jobs: lines as frameworks write them, and a directory that is followed.

Where the lines come from stands beside each; numbers were shortened, nothing else was changed.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from exporters.runtime.gate import Gate
from exporters.runtime.source import SourceError
from exporters.sections import LogSection
from exporters.training.logs import LogSource
from exporters.training.voices import Voices
from gigawatch.catalogue import Metric, training

NOW = 1_700_000_000.0
JOB = ("42", "llama")
Found = dict[tuple[Metric, tuple[str, ...]], float]


class Site:
    """A directory of logs, and the source that follows them."""

    def __init__(self, folder: Path, **given: Any) -> None:
        self.folder, self.now, self.error = folder, NOW, ""
        section = LogSection(
            **{"path": f"{folder}/*/train.log", "job": r"/job_(\d+)/", "model": "llama", **given}
        )
        self.source = LogSource(5.0, [section], Voices(3600.0), wall=lambda: self.now)
        self.log = self.file("job_42")

    def file(self, job: str) -> Path:
        path = self.folder / job / "train.log"
        path.parent.mkdir(exist_ok=True)
        path.touch()
        os.utime(path, (self.now, self.now))
        return path

    def write(self, *lines: str, end: str = "\n", path: Path | None = None) -> Found:
        with (path or self.log).open("a") as file:
            file.writelines(line + end for line in lines)
        os.utime(path or self.log, (self.now, self.now))
        return self.read()

    def read(self) -> Found:
        rows, self.error = [], ""
        try:
            rows.extend(self.source.read())
        except SourceError as error:
            self.error = str(error)
        gate = Gate()
        passed = gate.sift(rows)
        assert not gate.rejected
        found = {(one.metric, one.labels): one.value for one in passed}
        assert len(found) == len(passed), "a series stands twice"
        return found


def counts(found: Found, job: tuple[str, str] = JOB) -> dict[str, float]:
    """What was counted of a job, by the metric's key."""
    left_out = (training.TRAINING_REPORT_TIMESTAMP, training.TRAINING_ELAPSED)
    return {
        metric.key.removeprefix("training_"): value
        for (metric, labels), value in found.items()
        if labels[:2] == job and metric not in left_out
    }


def megatron(step: int, loss: float = 2.0, more: str = "") -> str:
    """As in a log of OpenSeek-Small (Megatron-LM with --log-throughput, 2025), published in its README."""
    return (
        f" [2025-05-27 15:23:07] iteration {step:8d}/   24000 | consumed samples: {step * 1024:12d} | "
        f"elapsed time per iteration (ms): 2500.0 | throughput per GPU (TFLOP/s/GPU): 40.4 | "
        f"learning rate: 1.500000E-06 | global batch size:  1024 | lm loss: {loss:.6E} | "
        f"load_balancing_loss: 1.041994E+00 | loss scale: 1.0 | grad norm: 5.960 | "
        f"number of skipped iterations:   0 | number of nan iterations:   0 |{more}"
    )


def titan(step: int, second: int = 0, word: str = "step") -> str:
    """As `MetricsProcessor.log` writes it (TorchTitan b5bcd76c6), behind the format of its logger."""
    return (
        f"[titan] 2025-06-01 10:00:{second:02d},123 - root - INFO - \x1b[31m{word}: {step:2}  "
        f"\x1b[32mloss:  8.13750  \x1b[38;2;180;60;0mgrad_norm:  1.0231  \x1b[36mmemory: 29.73GiB(31.24%)  "
        f"\x1b[34mtps: 12,345  \x1b[36mtflops: 100.50  \x1b[35mmfu: 10.16%\x1b[39m"
    )


COMPOSER = """[batch={n}/20]:
\t Train time/batch: {n}
\t Train time/sample: {samples}
\t Train time/token: {tokens}
\t Train loss/train/total: 0.0051
\t Train throughput/batches_per_sec: 0.5000
\t Train throughput/tokens_per_sec: 222.2194
\t Train throughput/device/tokens_per_sec: 222.2194
\t Eval loss/train/total: 9.0
"""
"""Console logger of Composer with SpeedMonitor, from a published training log (composer 0.2x, 2024)."""


def bar(step: int, total: int = 100, rate: str = "2.00s/it") -> str:
    """tqdm as transformers' ProgressCallback uses it."""
    return f"\r {step:2d}%|█▏        | {step}/{total} [00:25<03:46,  {rate}]"


def hugging(tokens: int) -> str:
    """A dictionary of transformers' Trainer (4.5x), with include_num_input_tokens_seen; a published log."""
    return (
        "{'loss': 2.6031, 'grad_norm': 1.8801486492156982, 'learning_rate': 5.000000000000001e-07, "
        f"'epoch': 2.24, 'num_input_tokens_seen': {tokens}, 'train_runtime': 252.007, "
        "'train_tokens_per_second': 78016.894}"
    )


def lightning(epoch: int, step: int) -> str:
    """tqdm of Lightning 2, from a published log."""
    return (
        f"\rEpoch {epoch}:  17%|█▋        | {step}/860 [00:05<00:00, 4.00it/s, v_num=1, "
        "train_loss_step=1.460, valid_loss_step=1.560]"
    )


def deepspeed(step: int, rate: str, second: int) -> str:
    """ThroughputTimer of DeepSpeed 0.10, from a published log."""
    return (
        f"[2023-08-02 00:41:{second:02d},936] [INFO] [timer.py:215:stop] epoch=0/micro_step={step}/"
        f"global_step={step}, RunningAvgSamplesPerSec=220.69530887096045, CurrSamplesPerSec={rate}, "
        "MemAllocated=0.07GB, MaxMemAllocated=1.36GB"
    )
