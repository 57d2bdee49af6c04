"""`gigawatch proxy` as users start it, and its figures as `gigawatch workload` reads them."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from proxy_under_test import before
from token_engine import CACHED, PROMPT, Engine

from exporters.inference.dialects import all_dialects
from exporters.inference.normal import Normaliser, recognise
from exporters.inference.proxy.page import page
from exporters.inference.proxy.tally import Tally
from gigawatch.cli import main
from gigawatch.serving import App, Response, load_web_config, serve
from gigawatch.serving.http import Running


class Started:
    def __init__(self, log: Path, *arguments: str, environment: dict[str, str] | None = None) -> None:
        self.log = log
        command = [sys.executable, "-m", "gigawatch.cli", "proxy", *arguments]
        with log.open("w") as out:
            self.process = subprocess.Popen(
                command, stdout=out, stderr=out, env=os.environ | (environment or {})
            )
        deadline = time.monotonic() + 60
        while (
            told := re.search(r"on (http://[\w.]+:\d+), metrics on (http://[\w.:]+)/metrics", log.read_text())
        ) is None:
            assert self.process.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.05)
        self.url, self.metrics = told[1], told[2]

    def figures(self) -> str:
        with urllib.request.urlopen(self.metrics + "/metrics", timeout=20) as answer:
            return str(answer.read().decode())


@pytest.fixture
def started(tmp_path: Path) -> Iterator[Callable[..., Started]]:
    all_started: list[Started] = []

    def start(*arguments: str, **more: dict[str, str]) -> Started:
        arguments = (*arguments, "--listen", "127.0.0.1:0", "--metrics", "127.0.0.1:0")
        all_started.append(Started(tmp_path / f"log-{len(all_started)}", *arguments, **more))
        return all_started[-1]

    yield start
    for one in all_started:
        one.process.kill()
        one.process.wait()


@pytest.fixture
def engine() -> Iterator[Running]:
    answer = {
        "model": "llama3.2", "created_at": "2023-08-04T19:22:45.499127Z", "response": "The sky.",
        "done": True, "total_duration": 5043500667, "prompt_eval_count": 26, "eval_count": 290,
    }  # fmt: skip

    app = App()
    app.route("POST", "/api/generate", lambda _: (time.sleep(0.4), Response.json(answer))[1])
    app.route("GET", "/", lambda _: Response.text("Ollama is running"))
    running = serve(app, "127.0.0.1:0")
    yield running
    running.close()


def test_tokens_of_a_request_show_and_nothing_of_what_it_holds(
    started: Callable[..., Started], engine: Running
) -> None:
    proxy = started("--upstream", engine.url)
    body = {"model": "llama3.2", "prompt": "a private matter", "stream": False}
    request = urllib.request.Request(
        proxy.url + "/api/generate?key=private",
        json.dumps(body).encode(),
        {"Authorization": "Bearer private"},
    )
    with urllib.request.urlopen(request, timeout=20) as answer:
        assert json.load(answer)["eval_count"] == 290
    figures = proxy.figures()
    assert 'gigawatch_proxy_generated_tokens_total{model="llama3.2"} 290' in figures
    assert 'gigawatch_proxy_prompt_tokens_total{model="llama3.2",source="unknown"} 26' in figures
    assert "private" not in figures + proxy.log.read_text()


def test_health_is_the_engines(started: Callable[..., Started], engine: Running) -> None:
    proxy = started("--upstream", engine.url)
    with urllib.request.urlopen(proxy.metrics + "/health", timeout=20) as answer:
        assert answer.status == 200
    engine.close()
    with pytest.raises(urllib.error.HTTPError, match="503"):
        urllib.request.urlopen(proxy.metrics + "/health", timeout=20)
    with urllib.request.urlopen(proxy.metrics + "/-/healthy", timeout=20) as answer:
        assert answer.status == 200


def test_told_to_end_it_lets_answers_come_to_their_end(
    started: Callable[..., Started], engine: Running
) -> None:
    proxy = started("--upstream", engine.url)
    host, port = proxy.url.removeprefix("http://").split(":")

    async def ask() -> bytes:
        idle = await asyncio.open_connection(host, int(port))
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(
            b'POST /api/generate HTTP/1.1\r\nHost: h\r\nContent-Length: 20\r\n\r\n{"model":"llama3.2"}'
        )
        await asyncio.sleep(0.2)
        proxy.process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(30):
            answer = await reader.read()
        idle[1].close()
        return answer

    assert b'"eval_count": 290' in asyncio.run(ask())
    assert proxy.process.wait(30) == 0


def test_settings_come_from_file_environment_and_arguments(
    started: Callable[..., Started], tmp_path: Path, engine: Running
) -> None:
    file = tmp_path / "proxy.yaml"
    file.write_text("engine: exo\nupstream: http://192.0.2.1:1\n")
    environment = {"GIGAWATCH_PROXY_UPSTREAM": engine.url}
    proxy = started("--config", str(file), environment=environment)
    assert 'upstream="exo"' in proxy.figures()
    with urllib.request.urlopen(proxy.url + "/", timeout=20) as answer:
        assert answer.read() == b"Ollama is running"


@pytest.mark.parametrize(
    ("arguments", "settings", "told"),
    [
        ([], None, "no engine named; add --upstream http://HOST:PORT"),
        (["--upstream", "11434"], None, "--upstream: '11434' is no URL of a server"),
        (["--upstream", "http://h:1/v1"], None, "has a path"),
        (["--upstream", "http://u:hunter2@h:1"], None, "holds a user or password"),
        (["--upstream", "http://h:99999"], None, "is no URL"),
        (["--upstream", "http://h:1", "--listen", "here"], None, "--listen: listen address 'here'"),
        ([], "upstream: http://h:1\nhost: mine\n", "proxy.yaml:2: host: is 'mine'; allowed: 'auto'"),
        ([], "upstream: http://h:1\nmodel: 3\n", "proxy.yaml:2: model: is not a known field"),
        ([], "upstream: https://h\nca_file: /nowhere/ca.pem\n", "ca_file: cannot be used"),
        ([], "upstream: http://h:1\nlisten: 192.0.2.1:80\n", "cannot listen on 192.0.2.1:80"),
    ],
)  # fmt: skip
def test_a_mistake_is_one_line(
    arguments: list[str], settings: str | None, told: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if settings is not None:
        (tmp_path / "proxy.yaml").write_text(settings)
        arguments = ["--config", str(tmp_path / "proxy.yaml")]
    assert main(["proxy", *arguments]) == 1
    error = capsys.readouterr().err
    assert told in error
    assert error.count("\n") == 1
    assert "hunter2" not in error


def test_a_workload_scrape_reads_it_as_the_engine_behind() -> None:
    async def figures() -> bytes:
        engine = Engine()
        async with before(engine) as found:
            reader, writer = await asyncio.open_connection("127.0.0.1", found.port)
            body = b'{"model":"caching","stream":true,"max_tokens":40,"messages":[]}'
            head = b"POST /v1/chat/completions HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n" % len(body)
            writer.write(head + body)
            await reader.readuntil(b"[DONE]")
            writer.close()
            await found.until(lambda: not found.relay.links)
            return page(found.relay.tally, "ollama", "1.2.3")

    text = asyncio.run(figures())
    dialect = recognise(text)
    assert dialect is not None
    assert dialect.engine == "ollama"
    normal = Normaliser(dialect, "gpu-01:9620")
    normal.take(text, 0.0)
    blocks = b"".join(normal.blocks().values()).decode()
    assert (normal.unmapped, normal.missing, normal.version) == ((), (), "1.2.3")
    own = '{engine="ollama",model="caching",replica="gpu-01:9620"'
    assert f'aif_inference_tokens_total{own},kind="generation",source="computed"}} 40.0' in blocks
    assert f'aif_inference_tokens_total{own},kind="prompt",source="cached"}} {float(CACHED)}' in blocks
    assert (
        f'aif_inference_tokens_total{own},kind="prompt",source="computed"}} {float(PROMPT - CACHED)}'
        in blocks
    )
    assert f'aif_inference_requests_total{own},outcome="stop"}} 1.0' in blocks
    assert f"aif_inference_time_to_first_token_seconds_count{own}}} 1.0" in blocks


def test_the_dialects_name_all_that_the_proxy_shows_and_nothing_else() -> None:
    tally = Tally(10)
    model = tally.confirmed("m", "m")
    model.progress = 1
    model.add_prompt(2, 1)
    model.add_prompt(2, None)
    model.unmeasured["absent"] = 1
    tally.unread["upgrade"] = 1
    text = page(tally, "ollama", "1").decode()
    shown = {line.split(" ")[2] for line in text.splitlines() if line.startswith("# TYPE")}
    for dialect in all_dialects():
        if "gigawatch_proxy_" in str(dialect.recognised_by):
            assert dialect.names() | set(dialect.ignored) == shown
    other = recognise(page(Tally(10), "exo", "1"))
    assert other is not None
    assert other.engine == "proxy"


def test_an_engine_behind_tls_is_verified(started: Callable[..., Started], tmp_path: Path) -> None:
    certificate, key = tmp_path / "engine.crt", tmp_path / "engine.key"
    subprocess.run(
        [
            "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
            "-keyout", str(key), "-out", str(certificate), "-days", "2", "-subj", "/CN=engine",
            "-addext", "subjectAltName=IP:127.0.0.1",
        ],
        check=True, capture_output=True, timeout=60,
    )  # fmt: skip
    web = tmp_path / "web.yaml"
    web.write_text(f"tls_server_config: {{cert_file: {certificate}, key_file: {key}}}\n")
    hosts: list[str] = []
    app = App()
    app.route("GET", "/", lambda request: (hosts.append(request.headers["Host"]), Response.text("well"))[1])
    engine = serve(app, "127.0.0.1:0", load_web_config(web))
    try:
        config = tmp_path / "proxy.yaml"
        config.write_text(f"upstream: {engine.url}\nca_file: {certificate}\n")
        with urllib.request.urlopen(started("--config", str(config)).url + "/", timeout=20) as answer:
            assert answer.read() == b"well"
        assert hosts == [engine.url.removeprefix("https://")]
        stranger = started("--upstream", engine.url)
        with pytest.raises(urllib.error.HTTPError, match="502") as refused:
            urllib.request.urlopen(stranger.url + "/", timeout=20)
        assert "SSLCertVerificationError" in refused.value.read().decode()
        with pytest.raises(urllib.error.HTTPError, match="503"):
            urllib.request.urlopen(stranger.metrics + "/health", timeout=20)
        assert len(hosts) == 1
    finally:
        engine.close()
