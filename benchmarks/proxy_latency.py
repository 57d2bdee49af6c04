"""What `gigawatch proxy` adds to an answer: the same engine asked directly and through it, side by side.

Engine, proxy and clients are processes of their own. Requests go out in turns of a second, direct and through
the proxy, so that a noisy machine disturbs both alike. `paced`: the engine takes 20 ms for an answer in one
piece, or sends a token each 20 ms. `flat out`: it answers at once, and clients ask again at once; this shows
how many requests the proxy can pass on one core, and there its latency is that of a queue. Prints JSON.

python benchmarks/proxy_latency.py --seconds 20
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil

_TOKENS = 24
_ENGINE_SECONDS = 0.02
_WHOLE = {
    "id": "chatcmpl-1", "object": "chat.completion", "model": "m",
    "choices": [{"index": 0, "message": {"content": "word " * 200}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 400, "completion_tokens": 200, "total_tokens": 600},
}  # fmt: skip
_BODY = {"model": "m", "messages": [{"role": "user", "content": "word " * 400}]}


class _Engine(asyncio.Protocol):
    """Answers /SECONDS/v1/chat/completions; each event of a stream carries the time at which it was sent."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport: Any = transport
        self._buffer = b""

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head, blank, rest = self._buffer.partition(b"\r\n\r\n")
        size = re.search(rb"content-length: (\d+)", head.lower())
        if not blank or size is None or len(rest) < int(size[1]):
            return
        self._buffer = b""
        pause = float(head.split(b"/")[1])
        if b'"stream"' in rest:
            self._begin(pause)
        else:
            asyncio.get_running_loop().call_later(pause, self._whole) if pause else self._whole()

    def _whole(self) -> None:
        body = json.dumps(_WHOLE).encode()
        head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body)
        self._transport.write(head + body)

    def _begin(self, pause: float) -> None:
        self._transport.write(
            b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
        )
        self._token(pause, _TOKENS)

    def _token(self, pause: float, left: int) -> None:
        if left:
            choice = {"index": 0, "delta": {"content": " word"}, "finish_reason": None}
            self._event({"id": "1", "model": "m", "choices": [choice], "sent": time.monotonic()})
            asyncio.get_running_loop().call_later(pause, self._token, pause, left - 1)
            return
        usage = {"prompt_tokens": 400, "completion_tokens": _TOKENS}
        self._event({"id": "1", "model": "m", "choices": [], "usage": usage})
        self._transport.write(b"e\r\ndata: [DONE]\n\n\r\n0\r\n\r\n")

    def _event(self, document: dict[str, Any]) -> None:
        event = b"data: " + json.dumps(document).encode() + b"\n\n"
        self._transport.write(b"%x\r\n%b\r\n" % (len(event), event))


class _Client(asyncio.Protocol):
    """Asks again and again, and notes how long each answer, or each token on its way, took."""

    def __init__(self, stream: bool, pause: float, until: float, seconds: list[float]) -> None:
        body = json.dumps(_BODY | ({"stream": True} if stream else {})).encode()
        head = f"POST /{pause}/v1/chat/completions HTTP/1.1\r\nHost: e\r\nContent-Type: application/json\r\n"
        self._request = f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body
        self._stream, self._until, self._seconds = stream, until, seconds
        self.over = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport: Any = transport
        self._ask()

    def _ask(self) -> None:
        self._buffer = b""
        self._began = time.monotonic()
        self._transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        now = time.monotonic()
        if self._stream:
            self._seconds += [now - float(sent) for sent in re.findall(rb'"sent": ([\d.]+)', data)]
        self._buffer = self._buffer[-20:] + data
        if not self._buffer.endswith(b"0\r\n\r\n" if self._stream else b"}}"):
            return
        if not self._stream:
            self._seconds.append(now - self._began)
        if now < self._until:
            self._ask()
        else:
            self._transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.over.done():
            self.over.set_result(exc)


async def _load(port: int, connections: int, stream: bool, pause: float, seconds: float) -> list[float]:
    loop = asyncio.get_running_loop()
    found: list[float] = []
    until = time.monotonic() + seconds
    clients = []
    for _ in range(connections):
        _, client = await loop.create_connection(
            lambda: _Client(stream, pause, until, found), "127.0.0.1", port
        )
        clients.append(client)
        await asyncio.sleep(pause / connections)
    await asyncio.gather(*(client.over for client in clients))
    return found


async def _serve() -> None:
    server = await asyncio.get_running_loop().create_server(_Engine, "127.0.0.1", 0)
    print(f"on http://127.0.0.1:{server.sockets[0].getsockname()[1]}", flush=True)
    await server.serve_forever()


def _side_by_side(
    direct: int,
    proxied: int,
    proxy: psutil.Process,
    seconds: float,
    load: Callable[[int, float], list[float]],
) -> dict[str, Any]:
    found: dict[int, list[float]] = {direct: [], proxied: []}
    for port in (direct, proxied):
        load(port, 0.3)
    spent = 0.0
    for turn in range(max(1, round(seconds / 2))):
        for port in (direct, proxied) if turn % 2 else (proxied, direct):
            before = _processor(proxy)
            found[port] += load(port, 1.0)
            spent += _processor(proxy) - before
    ways = {name: _quantiles(found[port]) for name, port in (("direct", direct), ("proxied", proxied))}
    return {
        **{f"{way}_ms": values for way, values in ways.items()},
        **{
            f"added_{name}_ms": round(ways["proxied"][name] - ways["direct"][name], 3)
            for name in ("p50", "p99")
        },
        "proxy_processor_us_each": round(spent / len(found[proxied]) * 1e6),
    }


def _processor(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


def _quantiles(seconds: list[float]) -> dict[str, float]:
    ordered = sorted(seconds)
    return {
        "p50": round(statistics.median(ordered) * 1e3, 3),
        "p99": round(ordered[int(len(ordered) * 0.99)] * 1e3, 3),
        "n": len(ordered),
    }


def _port(process: subprocess.Popen[str], log: Path) -> int:
    until = time.monotonic() + 30
    while time.monotonic() < until and process.poll() is None:
        told = re.search(r"on http://127\.0\.0\.1:(\d+)", log.read_text())
        if told:
            return int(told[1])
        time.sleep(0.05)
    raise SystemExit(f"did not start: {log.read_text()[-2000:]}")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=20.0, help="for each case")
    parser.add_argument("--role", choices=("engine", "client"), help=argparse.SUPPRESS)
    parser.add_argument("--case", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.role == "engine":
        asyncio.run(_serve())
        return
    if args.role == "client":
        print(json.dumps(asyncio.run(_load(*json.loads(args.case)))))
        return
    with tempfile.TemporaryDirectory() as folder:
        print(json.dumps(_measure(Path(folder), args.seconds), indent=2))


def _measure(folder: Path, seconds: float) -> dict[str, Any]:
    processes: list[subprocess.Popen[str]] = []

    def start(name: str, *command: str) -> int:
        log = folder / name
        with log.open("w") as out:
            process = subprocess.Popen([sys.executable, *command], stdout=out, stderr=out, text=True)
        processes.append(process)
        return _port(process, log)

    def load(port: int, length: float, *case: Any) -> list[float]:
        command = [sys.executable, __file__, "--role", "client", "--case", json.dumps([port, *case, length])]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        found: list[float] = json.loads(done.stdout)
        return found

    try:
        engine = start("engine", __file__, "--role", "engine")
        proxy = start(
            "proxy", "-m", "gigawatch.cli", "proxy", "--upstream", f"http://127.0.0.1:{engine}",
            "--listen", "127.0.0.1:0", "--metrics", "127.0.0.1:0",
        )  # fmt: skip
        own = psutil.Process(processes[1].pid)
        result: dict[str, Any] = {"cores": os.cpu_count(), "python": sys.version.split()[0]}
        for pace, pause in (("paced", _ENGINE_SECONDS), ("flat out", 0.0)):
            for stream in (False, True):
                for connections in (1, 16):
                    if stream and not pause:
                        continue
                    what = "each token of a stream" if stream else "whole answer"
                    name = f"{pace}, {what}, {connections} connection{'s' * (connections > 1)}"
                    case = (connections, stream, pause)
                    result[name] = _side_by_side(
                        engine, proxy, own, seconds, lambda port, length, case=case: load(port, length, *case)
                    )
        result["proxy_rss_mib"] = round(own.memory_info().rss / 2**20, 1)
        return result
    finally:
        for process in processes:
            process.terminate()
            process.wait(40)


if __name__ == "__main__":
    main()
