"""Lines that training frameworks write into their logs, and what stands in them. Data only.

Every regular expression begins with fixed text or is bounded in each of its repetitions, and none nests one
in another: a line costs time in proportion to its length, whatever is in it. Colours are taken out before.
"""

from __future__ import annotations

import re
from typing import Literal, NamedTuple

Role = Literal[
    "step", "total", "epoch", "per_epoch", "duration", "duration_ms", "step_rate", "loss",
    "tokens_seen", "samples_seen", "batch", "tokens_rate", "device_tokens_rate", "samples_rate",
    "device_tflops",
]  # fmt: skip
"""What a named group is.

- step: number of the step that is over. total: of how many; a bar with fewer is not of the training.
- epoch, per_epoch: with them `step` is counted within the epoch.
- duration, duration_ms: time of one step. step_rate: steps per second.
- tokens_seen, samples_seen: of the whole job since it began. batch: samples of one step.
- tokens_rate, samples_rate: per second, of the whole job. device_tokens_rate: of one GPU.
- device_tflops: TFLOP/s of one GPU.
"""


class Line(NamedTuple):
    """Lines that have `marker` in them. Of `fields` each is looked for by itself; those that a version does
    not write are absent. Without the first one the line is another."""

    marker: str
    fields: tuple[re.Pattern[str], ...]


class Framework(NamedTuple):
    """`ended`: text of the line that says that the training is over."""

    name: str
    origin: str
    lines: tuple[Line, ...]
    ended: tuple[str, ...] = ()


_NUMBER = r"[-+]?\d{1,20}(?:\.\d{0,20})?(?:[eE][-+]?\d{1,3})?"
_WHOLE = r"\d{1,15}"
_GROUPED = r"[\d,]{1,24}(?:\.\d{1,9})?"
"""With commas between thousands."""


def _line(marker: str, *fields: str) -> Line:
    named = (
        one.replace("NUMBER", _NUMBER).replace("WHOLE", _WHOLE).replace("GROUPED", _GROUPED) for one in fields
    )
    return Line(marker, tuple(re.compile(one, re.ASCII) for one in named))


_BAR = r"^ {0,4}\d{1,3}%\|[^|]{0,400}\| {0,8}(?P<step>WHOLE)/(?P<total>WHOLE) \[\d[^\]]{0,400}"
"""Of tqdm without a description, up to the rate: percent, bar, done, of how many, time gone and left."""

FRAMEWORKS = (
    Framework(
        "megatron",
        "Megatron-LM d98e8a64dd, megatron/training/training.py, training_log(); throughput with "
        "--log-throughput. Consumed tokens: Megatron-DeepSpeed",
        (
            _line(
                "elapsed time per iteration (ms):",
                r"iteration {1,16}(?P<step>WHOLE)/",
                r"elapsed time per iteration \(ms\): {1,16}(?P<duration_ms>NUMBER)",
                r"global batch size: {1,16}(?P<batch>WHOLE)",
                r"consumed samples: {1,16}(?P<samples_seen>WHOLE)",
                r"consumed tokens: {1,16}(?P<tokens_seen>WHOLE)",
                r"\| (?:lm )?loss: {1,16}(?P<loss>NUMBER)",
                r"throughput per GPU \(TFLOP/s/GPU\): {1,16}(?P<device_tflops>NUMBER)",
            ),
        ),
        ("[after training is done]",),
    ),
    Framework(
        "torchtitan",
        "TorchTitan b5bcd76c6, torchtitan/components/metrics.py, MetricsProcessor.log()",
        (
            _line(
                " tps: ",
                r"(?<!validate )(?<!evaluation:  )step: {1,16}(?P<step>WHOLE)",
                r"loss: {1,16}(?P<loss>NUMBER)",
                r" tps: {1,16}(?P<device_tokens_rate>GROUPED)",
                r" tflops: {1,16}(?P<device_tflops>GROUPED)",
                r"elapsed_time_per_step: {1,16}(?P<duration>NUMBER)s",
            ),
        ),
        ("Training completed",),
    ),
    Framework(
        "composer",
        "Composer 640518880, composer/loggers/console_logger.py with SpeedMonitor",
        (
            _line(" time/batch: ", r"Train time/batch: (?P<step>WHOLE)"),
            _line(" time/token: ", r"Train time/token: (?P<tokens_seen>WHOLE)"),
            _line(" time/sample: ", r"Train time/sample: (?P<samples_seen>WHOLE)"),
            _line(" loss/train/total: ", r"Train loss/train/total: (?P<loss>NUMBER)"),
            _line(
                " throughput/batches_per_sec: ", r"Train throughput/batches_per_sec: (?P<step_rate>NUMBER)"
            ),
        ),
    ),
    Framework(
        "huggingface",
        "transformers 5.19, trainer_callback.py (ProgressCallback): a bar of tqdm, and dictionaries. Steps "
        "stand in the bar alone; num_input_tokens_seen needs include_num_input_tokens_seen",
        (
            _line("{'loss': ", r"'loss': '?(?P<loss>NUMBER)"),
            _line("'num_input_tokens_seen': ", r"'num_input_tokens_seen': (?P<tokens_seen>WHOLE)"),
            _line("it/s]", _BAR + r", {1,2}(?P<step_rate>NUMBER)it/s\]"),
            _line("s/it]", _BAR + r", {1,2}(?P<duration>NUMBER)s/it\]"),
        ),
        ("{'train_runtime': ",),
    ),
    Framework(
        "lightning",
        "Lightning 2.6.6, callbacks/progress/tqdm_progress.py; a step is a batch, also where gradients are "
        "accumulated",
        (
            _line(
                "Epoch ",
                r"^Epoch (?P<epoch>\d{1,9}): {1,4}\d{1,3}%\|[^|]{0,400}\| {0,8}"
                r"(?P<step>WHOLE)/(?P<per_epoch>WHOLE) \[",
                r"[ ,](?P<step_rate>NUMBER)it/s",
                r"[ ,](?P<duration>NUMBER)s/it",
                r"[ ,](?:train[_/])?loss(?:_step)?=(?P<loss>NUMBER)",
            ),
        ),
        ("`Trainer.fit` stopped:",),
    ),
    Framework(
        "deepspeed",
        "DeepSpeed, deepspeed/utils/timer.py, ThroughputTimer.stop(); rates are -inf before start_step",
        (
            _line(
                "RunningAvgSamplesPerSec=",
                r"(?:global_step=|\] \d{1,6}/)(?P<step>WHOLE), RunningAvg",
                r"CurrSamplesPerSec=(?P<samples_rate>NUMBER)",
            ),
        ),
    ),
)
"""Where a framework is to be found out, the one that comes first here wins: DeepSpeed writes lines of its own
below others."""

BY_NAME = {one.name: one for one in FRAMEWORKS}
COLOURS = re.compile(r"\x1b\[[0-9;]{0,16}[A-Za-z]")
RANK = re.compile(r"^\[(?:default|rank)?\d{1,7}\]:? {0,4}")
"""What torchrun and launchers like it put before the lines of each rank."""
STAMP = re.compile(r"(\d{4})-(\d\d)-(\d\d)[ T](\d\d):(\d\d):(\d\d)(?:[.,](\d{1,6}))?")
"""The time that many frameworks write at the beginning of a line."""
