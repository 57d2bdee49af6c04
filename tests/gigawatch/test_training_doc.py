"""The recipes of docs/training.md, run against objects that have what they use of each framework.

Names and the order of calls are those of Transformers 5 (`Trainer._maybe_log_save_evaluate`), Lightning 2.6,
Megatron-LM (`megatron/training/training.py`) and TorchTitan; none of them is installed here.
"""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from training_jobs import told

pytestmark = pytest.mark.usefixtures("nowhere")


@pytest.fixture
def recipe(checkout: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., dict[str, Any]]:
    """Run the block that contains a text, with these modules to import from; gives its names."""
    monkeypatch.setenv("GIGAWATCH_TRAINING_DIR", str(tmp_path))
    monkeypatch.setenv("SLURM_JOB_ID", "42")
    text = (checkout / "docs" / "training.md").read_text()
    blocks = re.findall(r"```python\n(.*?)```", text, re.DOTALL)

    def run(marker: str, **modules: ModuleType) -> dict[str, Any]:
        for name, module in modules.items():
            monkeypatch.setitem(sys.modules, name.replace("__", "."), module)
        (block,) = [block for block in blocks if marker in block]
        names: dict[str, Any] = {}
        exec(compile(block, marker, "exec"), names)  # noqa: S102 - the page's own text
        return names

    return run


def module(name: str, **names: Any) -> ModuleType:
    found = ModuleType(name)
    vars(found).update(names)
    return found


def test_all_of_it_is_python(checkout: Path) -> None:
    for block in re.findall(
        r"```python\n(.*?)```", (checkout / "docs" / "training.md").read_text(), re.DOTALL
    ):
        compile(block, "docs/training.md", "exec")


def test_hugging_face(recipe: Callable[..., dict[str, Any]], tmp_path: Path) -> None:
    names = recipe("TrainerCallback", transformers=module("transformers", TrainerCallback=object))
    callback = names["GigawatchCallback"]("llama", sequence_length=128)
    args = SimpleNamespace(train_batch_size=2, gradient_accumulation_steps=4, world_size=8)
    state = SimpleNamespace(global_step=100)
    callback.on_train_begin(args, state, None, model=None)
    for _ in range(3):
        state.global_step += 1
        callback.on_step_end(args, state, None)
        callback.on_log(args, state, None, logs={"loss": 2.5})
    time.sleep(0.1)
    callback.on_evaluate(args, state, None, metrics={})
    time.sleep(0.1)
    callback.on_save(args, state, None)
    state.global_step += 1
    callback.on_step_end(args, state, None)
    callback.on_train_end(args, state, None)
    found = told(tmp_path)
    assert (found["steps"], found["step"], found["tokens"], found["samples"]) == (4, 104, 4 * 64 * 128, 256)
    assert (found["loss"], found["checkpoints"], found["ended"]) == (2.5, 1, True)
    assert 0.1 <= found["checkpoint_seconds"] < 0.2
    assert found["step_seconds"] < 0.1


def test_lightning(recipe: Callable[..., dict[str, Any]], tmp_path: Path) -> None:
    names = recipe("lightning.pytorch", lightning=module("lightning"), lightning__pytorch=module("pytorch"),
                   lightning__pytorch__callbacks=module("callbacks", Callback=object))  # fmt: skip
    callback = names["GigawatchCallback"]("llama", tokens_per_step=1000)
    saved = []
    trainer = SimpleNamespace(global_rank=0, local_rank=0, global_step=0, save_checkpoint=saved.append)
    callback.setup(trainer, None, "fit")
    callback.on_validation_start(trainer, None)  # the check before the start
    callback.on_validation_end(trainer, None)
    callback.on_train_start(trainer, None)
    for batch in range(8):
        trainer.global_step = (batch + 1) // 2
        callback.on_train_batch_end(trainer, None, None, None, batch)
    callback.on_validation_start(trainer, None)
    time.sleep(0.1)
    callback.on_validation_end(trainer, None)
    trainer.save_checkpoint("last.ckpt")
    trainer.global_step += 1
    callback.on_train_batch_end(trainer, None, None, None, 9)
    callback.on_train_end(trainer, None)
    found = told(tmp_path)
    assert saved == ["last.ckpt"]
    assert (found["steps"], found["tokens"], found["checkpoints"]) == (5, 5000, 1)
    assert found["step_seconds"] < 0.1


def test_megatron(recipe: Callable[..., dict[str, Any]], tmp_path: Path) -> None:
    args = SimpleNamespace(micro_batch_size=1, data_parallel_size=4, seq_length=4096, curr_iteration=20)
    training = module(
        "training",
        train_step=lambda *_: ("loss", 0),
        save_checkpoint_and_time=lambda *_, **__: time.sleep(0.1),
        evaluate_and_print_results=lambda *_, **__: time.sleep(0.1),
        get_num_microbatches=lambda: 8,
        num_floating_point_operations=lambda _, batch: batch * 10**15,
    )
    parent = module("megatron.training", training=training, get_args=lambda: args)
    names = recipe("megatron.training", megatron=module("megatron"), megatron__training=parent)
    for _ in range(3):
        assert training.train_step(None) == ("loss", 0)
        args.curr_iteration += 1
    training.save_checkpoint_and_time(23)
    training.evaluate_and_print_results("iteration 23")
    training.train_step(None)
    names["reporter"].close()
    found = told(tmp_path)
    assert (found["steps"], found["step"], found["tokens"]) == (4, 24, 4 * 32 * 4096)
    assert found["flops"] == 4 * 32 * 1e15
    assert found["checkpoints"] == 1
    assert found["step_seconds"] < 0.1


def test_torchtitan(recipe: Callable[..., dict[str, Any]], tmp_path: Path) -> None:
    trainer = SimpleNamespace(
        step=0,
        metrics_processor=SimpleNamespace(num_flops_per_token=6e9),
        checkpointer=SimpleNamespace(save=lambda step, **_: time.sleep(1.1 if step == 3 else 0)),
        train_step=lambda _: None,
    )
    recipe("metrics_processor")["tell"](trainer, "llama", 1000)
    for _ in range(4):
        trainer.step += 1
        trainer.train_step(None)
        trainer.checkpointer.save(trainer.step, last_step=False)
    found = told(tmp_path)
    assert (found["step"], found["checkpoints"], found["checkpoint_step"]) == (3, 1, 3), (
        "told at the checkpoint"
    )
    assert found["flops"] == found["tokens"] * 6e9
