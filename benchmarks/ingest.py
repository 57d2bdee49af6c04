"""What a run of analytics costs beside its detectors: asking, reading, sorting into rows; prints JSON.

    python benchmarks/ingest.py --gpus 100000 --signals 10 > benchmarks/results/ingest.json

A second process on another core plays Prometheus: it sends answers that were made before, so that its own
cost does not count. The reader is pinned to one core. Beside it, on the same answers: `json.loads` and
`orjson.loads` with the values looked up, and how much of the time is only receiving bytes. `processor` is the
reader's own time, `wall` what passed; both are medians.
"""

from __future__ import annotations

import argparse
import gzip
import json
import multiprocessing
import os
import resource
import statistics
import time
import urllib.parse
from collections.abc import Callable
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import numpy as np
import orjson

from analytics.engine import Engine
from analytics.fleet import Fleet, Level
from analytics.ingest.answers import Reader, Room
from analytics.ingest.prometheus import Prometheus
from analytics.ingest.source import Source
from analytics.serving.state import StateStore
from analytics.signals import ESSENTIAL, JOBS, PLACES, SIGNALS
from analytics.signals.model import Signal

USUAL = {"power": (600.0, 20.0, 3), "temperature": (58.0, 3.0, 0), "clock": (1.98e9, 1e7, 0)} | {
    signal.key: (0.0, 0.0, 0) for signal in SIGNALS if signal.sparse
}
"""Mean, scatter and digits of a signal's values; errors are counted, and there are none."""


def asked(count: int) -> list[Signal]:
    """So many signals of GPUs, those that every run asks for first."""
    own = [s for s in SIGNALS if s.level is Level.GPU and not s.sparse]
    own = [*ESSENTIAL, *(s for s in own if s not in ESSENTIAL)]
    more = [s for s in SIGNALS if s.level is Level.GPU and s not in own]
    return [replace(signal, every=0.0, sparse=False) for signal in (own + more)[:count]]


def labels_of(gpus: int) -> list[str]:
    return [
        f'{{"gpu":"{i % 8}","node":"dc1-r{i // 72:04d}-n{i // 8 % 9:02d}","rack":"dc1-r{i // 72:04d}",'
        f'"uuid":"GPU-{i * 2654435761 % 2**32:08x}-5a1c-4f0e-9d33-{i:012x}"}}'
        for i in range(gpus)
    ]


def answer(labels: list[str], key: str, seed: int, now: float) -> bytes:
    rng = np.random.default_rng(seed)
    middle, spread, digits = USUAL.get(key, (0.9, 0.03, 16))
    values = np.round(middle + spread * rng.standard_normal(len(labels)), digits).tolist()
    texts = [f"{v:.0f}" if digits == 0 else repr(v) for v in values]
    items = [f'{{"metric":{a},"value":[{now:.3f},"{b}"]}}' for a, b in zip(labels, texts, strict=True)]
    head = '{"status":"success","data":{"resultType":"vector","result":['
    return (head + ",".join(items) + "]}}").encode()


def pretend(pipe: Any, gpus: int, signals: int, core: int) -> None:
    """A server with two answers to each question; they alternate."""
    os.sched_setaffinity(0, {core})
    labels = labels_of(gpus)
    bodies: dict[str, list[bytes]] = {}
    for i, signal in enumerate(asked(signals)):
        bodies[signal.query.text] = [answer(labels, signal.key, 2 * i + k, 1.7e9 + k) for k in range(2)]
    nodes = [f'{{"node":"dc1-r{i // 9:04d}-n{i % 9:02d}","rack":"dc1-r{i // 9:04d}","loop":"l{i // 36}"}}'
             for i in range(-(-gpus // 8))]  # fmt: skip
    uuids = [json.loads(text)["uuid"] for text in labels]
    jobs = [f'{{"job_id":"job-{i // 256}","uuid":"{uuid}"}}' for i, uuid in enumerate(uuids)]
    bodies[PLACES.text] = 2 * [answer(nodes, "", 0, 1.7e9)]
    bodies[JOBS.text] = 2 * [answer(jobs, "", 0, 1.7e9)]
    turn: dict[str, int] = {}

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            form = self.rfile.read(int(self.headers["Content-Length"])).decode()
            query = urllib.parse.parse_qs(form)["query"][0]
            turn[query] = turn.get(query, 0) + 1
            empty = b'{"status":"success","data":{"resultType":"vector","result":[]}}'
            body = bodies[query][turn[query] % 2] if query in bodies else empty
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    pipe.send(server.server_address[1])
    server.serve_forever()


def timed(work: Callable[[], Any], count: int) -> dict[str, float]:
    """Median milliseconds of so many runs."""
    wall, processor = [], []
    for _ in range(count):
        begun, spent = time.perf_counter(), time.process_time()
        work()
        wall.append(time.perf_counter() - begun)
        processor.append(time.process_time() - spent)
    return {
        "wall_milliseconds": round(1000 * statistics.median(wall), 1),
        "processor_milliseconds": round(1000 * statistics.median(processor), 1),
    }


def peak() -> int:
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)


def parsers(gpus: int, count: int) -> dict[str, Any]:
    """One answer in memory, read in three ways."""
    labels = labels_of(gpus)
    body = answer(labels, "power", 0, 1.7e9)
    reader, room = Reader(), Room()
    room.put(body)
    room.close()
    reader.vector(room, "x")

    def with_orjson() -> None:
        found = orjson.loads(body)["data"]["result"]
        rows = {item["metric"]["uuid"]: float(item["value"][1]) for item in found}
        assert len(rows) == gpus

    packed = gzip.compress(body, 1)
    return {
        "megabytes": round(len(body) / 1e6, 1),
        "json.loads": timed(lambda: json.loads(body), count),
        "orjson.loads": timed(lambda: orjson.loads(body), count),
        "orjson.loads and an index by GPU": timed(with_orjson, count),
        "ours, series known": timed(lambda: reader.vector(room, "x"), 3 * count),
        "gzip, unpacked": timed(lambda: gzip.decompress(packed), count),
        "gzip_megabytes": round(len(packed) / 1e6, 1),
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--gpus", type=int, default=100_000)
    parser.add_argument("--signals", type=int, default=10)
    parser.add_argument("--ticks", type=int, default=5)
    parser.add_argument("--detectors", action="store_true", help="score and save as well")
    arguments = parser.parse_args()
    cores = sorted(os.sched_getaffinity(0))
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    server = context.Process(
        target=pretend, args=(there, arguments.gpus, arguments.signals, cores[-1]), daemon=True
    )
    server.start()
    port = here.recv()
    os.sched_setaffinity(0, {cores[0]})
    try:
        result = measure(f"http://127.0.0.1:{port}", arguments)
    finally:
        server.terminate()
    print(json.dumps(result, indent=2))


def measure(url: str, arguments: argparse.Namespace) -> dict[str, Any]:
    signals = asked(arguments.signals)
    fleet = Fleet()
    client = Prometheus(url, 120.0)
    source = Source(client, fleet, signals=signals)
    now = [1.7e9]

    def tick() -> Any:
        now[0] += 5
        return source.read(now[0])

    result: dict[str, Any] = {
        "gpus": arguments.gpus,
        "signals": len(signals),
        "series": arguments.gpus * len(signals),
        "first_run": timed(tick, 1),
        "peak_memory_mebibytes_after_first_run": peak(),
        "run": timed(tick, arguments.ticks),
    }
    held: list[Any] = [tick()]
    result["of_that_receiving"] = timed(lambda: [_receive(client, s, now[0]) for s in signals], 3)
    found = {s.key: (held[0].values[s.key], np.arange(arguments.gpus)) for s in signals}
    result["of_that_rows"] = timed(lambda: source._tick(now[0], found), 5)  # noqa: SLF001 - its share of a run
    result["points"] = sum(int(np.isfinite(v).sum()) for v in held[0].values.values())
    result["peak_memory_mebibytes"] = peak()
    result["one_answer"] = parsers(arguments.gpus, 3)
    if arguments.detectors:
        engine = Engine(fleet=fleet)
        for _ in range(3):
            engine.run(tick())
        ticks = iter([tick() for _ in range(3)])
        result["detectors"] = timed(lambda: engine.run(next(ticks)), 3)
        result["run_and_detectors"] = timed(lambda: engine.run(tick()), 5)
        result["incidents_open"] = len(engine.incidents.open)
        result["state"] = saving(engine)
        result["peak_memory_mebibytes_with_detectors"] = peak()
    one, other = result["one_answer"], result["one_answer"]["ours, series known"]["processor_milliseconds"]
    result["times_faster_than"] = {
        name: round(one[name]["processor_milliseconds"] / other, 1)
        for name in ("json.loads", "orjson.loads", "orjson.loads and an index by GPU")
    }
    return result


def _receive(client: Prometheus, signal: Signal, now: float) -> None:
    form = {"query": signal.query.text, "time": f"{now:.3f}"}
    with client._room() as room:  # noqa: SLF001 - a query without its reading
        client._post(room, "/api/v1/query", form)  # noqa: SLF001 - same


def saving(engine: Engine) -> dict[str, Any]:
    """A copy of the state, its writing, its reading."""
    import tempfile
    from pathlib import Path

    with tempfile.TemporaryDirectory() as folder:
        store = StateStore(Path(folder))
        copy = timed(engine.dump, 3)
        header, arrays = engine.dump()
        write = timed(lambda: store.save(header, arrays), 2)
        read = timed(store.load, 2)
        size = store.path.stat().st_size
    return {"megabytes": round(size / 1e6, 1), "copy": copy, "write": write, "read": read}


if __name__ == "__main__":
    main()
