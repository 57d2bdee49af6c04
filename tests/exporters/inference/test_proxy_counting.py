"""What the counting proxy counts equals what the engine told, and clients see what they would have seen."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import aiohttp
import pytest
from proxy_under_test import SECONDS, Proxied, Scripted, before, talk
from token_engine import CACHED, PROMPT, Engine

CHAT = {"model": "m", "messages": [{"role": "user", "content": "hi"}], "max_tokens": 21}


async def ask(
    url: str, path: str, body: dict[str, Any], headers: dict[str, str] | None = None
) -> tuple[int, bytes]:
    async with (
        aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(SECONDS)) as session,
        session.post(url + path, json=body, headers=headers) as answer,
    ):
        return answer.status, await answer.read()


async def settled(found: Proxied) -> dict[tuple[str, ...], float]:
    """Figures once all clients have gone."""
    await found.until(lambda: not found.relay.links)
    return found.figures()


FORMS: dict[str, tuple[str, dict[str, Any], dict[str, float], int, str]] = {
    # path, body, prompt tokens by source, generated, outcome
    "chat": ("/v1/chat/completions", CHAT, {"unknown": PROMPT}, 21, "stop"),
    "chat, streamed": ("/v1/chat/completions", CHAT | {"stream": True}, {"unknown": PROMPT}, 21, "stop"),
    "chat, streamed, three answers": (
        "/v1/chat/completions",
        CHAT | {"stream": True, "n": 3},
        {"unknown": PROMPT},
        21,
        "stop",
    ),
    "chat, streamed, usage asked for": (
        "/openai/v1/chat/completions?api-version=1".removeprefix("/openai"),
        CHAT | {"stream": True, "stream_options": {"include_usage": True}},
        {"unknown": PROMPT},
        21,
        "stop",
    ),
    "chat, streamed, usage not wanted": (
        "/v1/chat/completions",
        CHAT | {"stream": True, "stream_options": {"include_usage": False, "x": 1}},
        {"unknown": PROMPT},
        21,
        "stop",
    ),
    "chat, from a cache": (
        "/v1/chat/completions",
        CHAT | {"model": "caching"},
        {"computed": PROMPT - CACHED, "cached": CACHED},
        21,
        "stop",
    ),
    "chat, tools": ("/v1/chat/completions", CHAT | {"tools": []}, {"unknown": PROMPT}, 21, "stop"),
    "chat, cut short": ("/v1/chat/completions", CHAT | {"max_tokens": 50}, {"unknown": PROMPT}, 50, "length"),
    "completion": (
        "/v1/completions",
        {"model": "m", "prompt": "hi", "max_tokens": 9},
        {"unknown": PROMPT},
        9,
        "stop",
    ),
    "completion, streamed": (
        "/v1/completions",
        {"model": "m", "prompt": "hi", "max_tokens": 9, "stream": True},
        {"unknown": PROMPT},
        9,
        "stop",
    ),
    "responses": (
        "/v1/responses",
        {"model": "m", "input": "hi", "max_tokens": 9},
        {"computed": PROMPT - CACHED, "cached": CACHED},
        9,
        "stop",
    ),
    "responses, streamed and cut short": (
        "/v1/responses",
        {"model": "m", "input": "hi", "max_tokens": 60, "stream": True},
        {"computed": PROMPT - CACHED, "cached": CACHED},
        60,
        "length",
    ),
    "messages, streamed": (
        "/v1/messages",
        {"model": "m", "max_tokens": 12, "stream": True},
        {"computed": PROMPT - CACHED, "cached": CACHED},
        12,
        "stop",
    ),
    "embeddings": ("/v1/embeddings", {"model": "m", "input": "hi"}, {"unknown": PROMPT}, 0, "stop"),
    "embeddings of a megabyte": (
        "/v1/embeddings",
        {"model": "m", "input": "hi", "size": 200_000},
        {"unknown": PROMPT},
        0,
        "stop",
    ),
    "Ollama's chat": (
        "/api/chat",
        {"model": "m", "messages": [], "options": {"num_predict": 33}},
        {"unknown": PROMPT},
        33,
        "stop",
    ),
    "Ollama's chat in one piece": (
        "/api/chat",
        {"model": "m", "messages": [], "stream": False, "options": {"num_predict": 33}},
        {"unknown": PROMPT},
        33,
        "stop",
    ),
    "Ollama's generate, cut short": (
        "/api/generate",
        {"model": "m", "prompt": "hi", "options": {"num_predict": 77}},
        {"unknown": PROMPT},
        77,
        "length",
    ),
    "Ollama's embed of a megabyte": (
        "/api/embed",
        {"model": "m", "input": "hi", "size": 200_000},
        {"unknown": PROMPT},
        0,
        "stop",
    ),
}


@pytest.mark.parametrize("form", FORMS)
def test_tokens_are_those_that_the_engine_told(form: str) -> None:
    path, body, prompt, generated, outcome = FORMS[form]
    model = body["model"]

    async def check() -> None:
        engine = Engine()
        async with before(engine) as found:
            direct = await ask(f"http://127.0.0.1:{found.direct}", path, body)
            passed = await ask(found.url, path, body)
            assert passed == direct
            assert passed[0] == 200
            figures = await settled(found)
            told = {key[2]: value for key, value in figures.items() if key[0] == "prompt_tokens_total"}
            assert told == prompt
            assert figures["generated_tokens_total", model] == generated
            ended = {key[2]: value for key, value in figures.items() if key[0] == "requests_total"}
            assert {name: value for name, value in ended.items() if value} == {outcome: 1}
            assert figures["request_duration_seconds_count", model] == 1
            assert figures["requests_running", model] == 0
            assert figures["progress_total", model] > 0
            assert not any(
                key[0] in ("unmeasured_requests_total", "unread_connections_total") for key in figures
            )
            streamed = b"data: " in passed[1] or b'"done": false' in passed[1]
            assert figures["time_to_first_token_seconds_count", model] == streamed
            assert figures["time_per_output_token_seconds_count", model] == (
                streamed and body.get("n", 1) == 1
            )

    asyncio.run(check())


def test_the_engine_is_asked_for_usage_and_nothing_else_of_the_request_changes() -> None:
    async def check() -> None:
        engine = Engine()
        async with before(engine) as found:
            body = CHAT | {"stream": True, "temperature": 0.7, "stream_options": None}
            headers = {"Authorization": "Bearer sk-secret", "Accept-Encoding": "gzip, br"}
            await ask(found.url, "/v1/chat/completions", body, headers)
            assert engine.bodies[-1] == body | {"stream_options": {"include_usage": True}}
            assert engine.headers[-1]["Authorization"] == "Bearer sk-secret"
            assert engine.headers[-1]["Accept-Encoding"] == "identity"
            assert engine.headers[-1]["Host"] == f"127.0.0.1:{found.port}"
            figures = await settled(found)
            assert figures[("asked_for_usage_total",)] == 1
            assert "secret" not in str(figures)

    asyncio.run(check())


def test_an_engine_may_be_left_unasked_and_then_its_streams_are_unmeasured() -> None:
    async def check() -> None:
        engine = Engine()
        async with before(engine, ask=False) as found:
            body = CHAT | {"stream": True}
            await ask(found.url, "/v1/chat/completions", body)
            assert engine.bodies == [body]
            figures = await settled(found)
            assert figures["unmeasured_requests_total", "m", "absent"] == 1
            assert figures["requests_total", "m", "stop"] == 1
            assert figures["time_to_first_token_seconds_count", "m"] == 1

    asyncio.run(check())


def test_an_engine_that_refuses_the_question_gets_the_request_as_it_was() -> None:
    async def check() -> None:
        engine = Engine(strict=True)
        async with before(engine) as found:
            body = CHAT | {"stream": True}
            direct = await ask(f"http://127.0.0.1:{found.direct}", "/v1/chat/completions", body)
            for _ in range(3):
                assert await ask(found.url, "/v1/chat/completions", body) == direct
            # Asked once, refused, sent again as it was; from then on unasked.
            assert ["stream_options" in one for one in engine.bodies[1:]] == [True, False, False, False]
            figures = await settled(found)
            assert figures[("asking_refused_total",)] == 1
            assert figures["requests_total", "m", "stop"] == 3
            assert figures["unmeasured_requests_total", "m", "absent"] == 3
            # A client's own mistake is told to the client.
            status, _ = await ask(found.url, "/v1/chat/completions", body | {"stream_options": {"x": 1}})
            assert status == 422

    asyncio.run(check())


def test_compressed_answers_pass_compressed_and_are_counted() -> None:
    async def check() -> None:
        engine = Engine()
        async with before(engine) as found:
            async with aiohttp.ClientSession(auto_decompress=False) as session:
                headers = {"Accept-Encoding": "gzip"}
                async with session.post(
                    found.url + "/v1/chat/completions", json=CHAT, headers=headers
                ) as answer:
                    assert answer.headers["Content-Encoding"] == "gzip"
                    assert (await answer.read()).startswith(b"\x1f\x8b")
            figures = await settled(found)
            assert figures["generated_tokens_total", "m"] == 21
            assert figures["prompt_tokens_total", "m", "unknown"] == PROMPT

    asyncio.run(check())


def test_what_cannot_be_told_is_counted_as_unmeasured() -> None:
    def whole(body: bytes, *fields: bytes) -> bytes:
        return b"\r\n".join([b"HTTP/1.1 200 OK", b"Content-Length: %d" % len(body), *fields, b"", body])

    brotli = whole(b"xyz", b"Content-Encoding: br")
    broken = whole(b"[1]")
    absurd = whole(b'{"usage":{"prompt_tokens":1e99,"completion_tokens":-4}}')
    body = json.dumps(CHAT).encode()
    head = b"POST /v1/chat/completions HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n"
    request = head % len(body) + body

    async def check(answer: bytes, reason: str, errors: int) -> None:
        async with Scripted([(len(request), answer)]).serving() as found:
            assert await talk(found.port, [request], len(answer)) == answer
            figures = await settled(found)
            assert figures["unmeasured_requests_total", "m", reason] == 1
            assert figures["generated_tokens_total", "m"] == 0
            assert figures[("counting_errors_total",)] == errors
            assert figures["requests_running", "m"] == 0

    asyncio.run(check(brotli, "encoding", 0))
    asyncio.run(check(broken, "unreadable", 0))
    asyncio.run(check(absurd, "unreadable", 1))


def test_a_client_that_leaves_ends_the_work_and_counts_as_abort() -> None:
    async def check(path: str, body: dict[str, Any], model: str) -> None:
        engine = Engine(pause=0.02)
        async with before(engine) as found:
            reader, writer = await asyncio.open_connection("127.0.0.1", found.port)
            text = json.dumps(body).encode()
            writer.write(
                b"POST %b HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n" % (path.encode(), len(text))
                + text
            )
            if body["model"] == "held":
                await found.until(lambda: bool(engine.bodies))
            else:
                await reader.readuntil(b"tok")
            figures = found.figures()
            assert figures["requests_running", model] == 1
            writer.close()
            await found.until(lambda: engine.left == 1)
            figures = await settled(found)
            assert figures["requests_total", model, "abort"] == 1
            assert figures["unmeasured_requests_total", model, "abort"] == 1
            assert figures["requests_running", model] == 0
            assert figures["request_duration_seconds_count", model] == 0

    long = {"max_tokens": 4000, "options": {"num_predict": 4000}, "prompt": "hi", "stream": True}
    asyncio.run(check("/v1/chat/completions", CHAT | long, "m"))
    asyncio.run(check("/api/generate", {"model": "m"} | long, "m"))
    asyncio.run(check("/api/generate", {"model": "held"} | long, "unknown"))


def test_refusals_and_errors_within_a_stream_are_errors() -> None:
    async def check() -> None:
        engine = Engine()
        async with before(engine) as found:
            assert (await ask(found.url, "/v1/chat/completions", CHAT | {"model": "missing"}))[0] == 404
            assert (await ask(found.url, "/api/chat", {"model": "missing"}))[0] == 404
            await ask(found.url, "/api/generate", {"model": "breaking", "prompt": "hi"})
            figures = await settled(found)
            assert figures["requests_total", "unknown", "error"] == 2
            assert figures["requests_total", "breaking", "error"] == 1
            assert figures["unmeasured_requests_total", "breaking", "error"] == 1
            assert not any("missing" in key for key in figures)

    asyncio.run(check())


def test_loading_a_model_is_no_work_on_tokens() -> None:
    async def check() -> None:
        async with before(Engine()) as found:
            await ask(found.url, "/api/generate", {"model": "m", "stream": False})
            figures = await settled(found)
            assert figures["requests_total", "m", "other"] == 1
            assert not any(key[0] == "unmeasured_requests_total" for key in figures)

    asyncio.run(check())


def test_models_beyond_the_limit_share_one_series_and_made_up_names_get_none() -> None:
    async def check() -> None:
        async with before(Engine(), models=3) as found:
            for name in ("a", "b", 'c"\n\\', "d", "e", "x" * 5000):
                await ask(found.url, "/api/chat", {"model": name, "messages": []})
            figures = await settled(found)
            tokens = {key[1]: value for key, value in figures.items() if key[0] == "generated_tokens_total"}
            assert len(tokens) == 4
            assert tokens["a"] == tokens["b"] == 5
            assert tokens["other"] == 15

    asyncio.run(check())


def test_a_request_for_a_known_model_runs_under_its_name() -> None:
    async def check() -> None:
        engine = Engine()
        engine.release.set()
        async with before(engine) as found:
            await ask(found.url, "/api/chat", {"model": "held", "messages": []})
            engine.release.clear()
            asking = asyncio.create_task(ask(found.url, "/api/chat", {"model": "held", "messages": []}))
            await found.until(lambda: len(engine.bodies) == 2)
            assert found.figures()["requests_running", "held"] == 1
            stood = found.figures()["progress_total", "held"]
            await asyncio.sleep(0.1)
            assert found.figures()["progress_total", "held"] == stood
            engine.release.set()
            await asking
            assert (await settled(found))["progress_total", "held"] > stood

    asyncio.run(check())


def test_two_hundred_streams_at_once_are_all_counted() -> None:
    async def check() -> None:
        engine = Engine(pause=0.005)
        async with before(engine) as found:
            connector = aiohttp.TCPConnector(limit=0)
            async with aiohttp.ClientSession(connector=connector) as session:

                async def stream(size: int) -> int:
                    native = size % 2
                    path = "/api/chat" if native else "/v1/chat/completions"
                    body = CHAT | {"stream": True, "max_tokens": size, "options": {"num_predict": size}}
                    async with session.post(found.url + path, json=body) as answer:
                        text = await answer.text()
                    assert native or '"usage"' not in text
                    return text.count("tok ")

                sizes = [30 + number % 40 for number in range(200)]
                assert await asyncio.gather(*map(stream, sizes)) == sizes
            figures = await settled(found)
            assert engine.told == sum(sizes)
            assert figures["generated_tokens_total", "m"] == sum(sizes)
            assert figures["prompt_tokens_total", "m", "unknown"] == 200 * PROMPT
            assert figures["requests_total", "m", "stop"] + figures["requests_total", "m", "length"] == 200
            assert figures["requests_running", "m"] == 0
            assert found.relay.budget.left == 64 * 1024 * 1024

    asyncio.run(check())
