"""A real vLLM on the processor, and clients that remember what they were told."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import threading
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil

MODEL = "tiny"
_START = 240.0


class Vllm:
    """The server, its core, and what its clients were told of their usage."""

    def __init__(self, home: Path, folder: Path, port: int) -> None:
        self._folder, self.port = folder, port
        self._log = (folder / "vllm.log").open("wb")
        environment = {
            **os.environ, "HF_HUB_OFFLINE": "1", "VLLM_NO_USAGE_STATS": "1",
            "VLLM_CPU_KVCACHE_SPACE": "1", "OMP_NUM_THREADS": "1",
        }  # fmt: skip
        command = [
            str(home / "venv/bin/python"), "-m", "vllm.entrypoints.openai.api_server",
            "--model", str(home / "tiny"), "--served-model-name", MODEL, "--max-model-len", "1024",
            "--max-num-seqs", "8", "--enforce-eager", "--dtype", "bfloat16",
            "--enable-prompt-tokens-details",
            "--host", "127.0.0.1", "--port", str(port),
        ]  # fmt: skip
        self._process = subprocess.Popen(
            command, stdout=self._log, stderr=self._log, env=environment, start_new_session=True
        )
        self.told: Counter[str] = Counter()
        self._lock = threading.Lock()

    def wait_ready(self) -> None:
        """Until it answers; loading takes one to two minutes on two cores."""
        deadline = time.monotonic() + _START
        while True:
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/health", timeout=5):
                    return
            except OSError:
                tail = (self._folder / "vllm.log").read_text(errors="replace")[-3000:]
                assert self._process.poll() is None, f"vLLM ended:\n{tail}"
                assert time.monotonic() < deadline, f"vLLM is not ready:\n{tail}"
                time.sleep(1)

    @property
    def core(self) -> psutil.Process:
        """The process that does the work."""
        children = psutil.Process(self._process.pid).children(recursive=True)
        return next(
            child for child in children if "EngineCore" in " ".join(child.cmdline() or [child.name()])
        )

    def complete(self, prompt: str, tokens: int, stream: bool = False, **more: Any) -> None:
        """One completion of exactly so many tokens; what the answer says of its usage is remembered."""
        body: dict[str, Any] = {
            "model": MODEL, "prompt": prompt, "max_tokens": tokens, "ignore_eos": True, "temperature": 0.7,
            "stream": stream, **more,
        }  # fmt: skip
        if stream:
            body["stream_options"] = {"include_usage": True}
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}/v1/completions",
            json.dumps(body).encode(),
            {"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=600) as answer:
            if stream:
                usage = next(
                    found["usage"] for found in _events(answer) if found.get("usage") and not found["choices"]
                )
            else:
                usage = json.load(answer)["usage"]
        with self._lock:
            self.told["requests"] += 1
            for name in ("prompt_tokens", "completion_tokens"):
                self.told[name] += usage[name]
            details = usage.get("prompt_tokens_details") or {}
            self.told["cached_tokens"] += details.get("cached_tokens") or 0

    @contextmanager
    def load(self, clients: int = 12, tokens: int = 900) -> Iterator[None]:
        """Clients that ask again and again while the block lasts; what becomes of them is not looked at."""
        over = threading.Event()

        def ask() -> None:
            while not over.is_set():
                try:
                    self.complete("watt " * 20, tokens)
                except OSError:
                    time.sleep(0.5)

        threads = [threading.Thread(target=ask, daemon=True) for _ in range(clients)]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            over.set()

    def stop(self) -> None:
        """End it, whatever state it is in."""
        for process in [*psutil.Process(self._process.pid).children(recursive=True)]:
            process.kill()
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait(30)
        self._log.close()


def _events(answer: Any) -> Iterator[dict[str, Any]]:
    for line in answer:
        if line.startswith(b"data: ") and not line.startswith(b"data: [DONE]"):
            yield json.loads(line[6:])
