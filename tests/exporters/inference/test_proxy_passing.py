"""The counting proxy passes bytes on as they are: what upstream gets and what the client gets are those of a
direct connection."""

from __future__ import annotations

import asyncio
import json

import pytest
from proxy_under_test import SECONDS, Scripted, proxied, talk

BODY = b'{"model": "m",  "messages": [], "temperature": 1e0, "stream": false}'
CHAT = "/v1/chat/completions"


def message(first: bytes, *fields: bytes, body: bytes = b"") -> bytes:
    return b"\r\n".join([first, *fields]) + b"\r\n\r\n" + body


def get(target: bytes, *fields: bytes) -> bytes:
    return message(b"GET %b HTTP/1.1" % target, b"Host: h", *fields)


def post(path: str, body: bytes, *fields: bytes) -> bytes:
    length = b"Content-Length: %d" % len(body)
    return message(f"POST {path} HTTP/1.1".encode(), b"Host: engine", length, *fields, body=body)


def ok(body: bytes, *fields: bytes) -> bytes:
    length = b"Content-Length: %d" % len(body)
    return message(b"HTTP/1.1 200 OK", b"Content-Type: application/json", length, *fields, body=body)


ANSWER = (
    b'{"model":"m","choices":[{"finish_reason":"stop"}],"usage":{"prompt_tokens":3,"completion_tokens":4}}'
)
BIG = b'{"model":"m","messages":[{"role":"user","content":"' + b"x" * 6_000_000 + b'"}],"stream":true}'
CHUNKED = message(
    b"POST /v1/chat/completions HTTP/1.1",
    b"Host: e",
    b"Transfer-Encoding: chunked",
    b"Content-Type: application/json",
    b"Trailer: X-Sum",
    body=b"5;ext=1\r\n%b\r\n%X\r\n%b\r\n0\r\nX-Sum: 7\r\n\r\n" % (BODY[:5], len(BODY[5:]), BODY[5:]),
)
TRAILED = message(
    b"HTTP/1.1 200 Fine Indeed",
    b"server: x",
    b"TRANSFER-ENCODING: chunked",
    body=b"3;a=b\r\nabc\r\n0\r\nX-Sum: 1\r\n\r\n",
)
EXPECTING = post(CHAT, b"", b"Expect: 100-continue").replace(b"Length: 0", b"Length: 15")
ODD_FIELDS = message(
    b"GET / HTTP/1.1",
    b"hOsT:   h  ",
    b"X-A: 1",
    b"X-A:2",
    b"X-Empty:",
    b"X-Latin: \xe9\xff",
    b"Connection: close, X-A",
)
Script = tuple[list[bytes], list[tuple[bytes, bytes]], str]


def told(sent: bytes, answer: bytes, end: str = "stay") -> Script:
    """What the client sends; what it is answered after all of it; whether the engine closes then."""
    return [sent], [(b"", answer)], end


EXCHANGES: dict[str, Script] = {
    "query and odd escapes": told(get(b"/a%2Fb/../c;d?x=%zz&y=a+b#f"), ok(b"{}")),
    "odd header fields": told(
        ODD_FIELDS, ok(b"1", b"Set-Cookie: a=1", b"set-cookie: b=2", b"Connection: close"), "close"
    ),
    "HEAD": told(message(b"HEAD / HTTP/1.1", b"Host: h"), message(b"HTTP/1.1 200 OK", b"Content-Length: 5")),
    "no content": told(message(b"DELETE /x HTTP/1.1", b"Host: h"), message(b"HTTP/1.1 204 No Content")),
    "not modified": told(get(b"/x"), message(b"HTTP/1.1 304", b"Content-Length: 9")),
    "old HTTP": told(
        message(b"GET /x HTTP/1.0"), message(b"HTTP/1.0 200 OK", body=b"until the end"), "close"
    ),
    "counted": told(post(CHAT, BODY, b"Authorization: Bearer k"), ok(ANSWER)),
    "split anywhere": (
        [bytes([byte]) for byte in post("/api/chat", BODY)],
        [(b"", ok(ANSWER))],
        "stay",
    ),
    "chunked with trailer": told(CHUNKED, TRAILED),
    "not JSON": told(post("/v1/completions", b"stream: yes\xff", b"Content-Type: text/plain"), ok(b"no")),
    "broken JSON": told(post(CHAT, b'{"stream": true, "model"'), ok(b"{")),
    "doubled field": told(post(CHAT, b'{"stream":true,"stream":false}'), ok(b"{}")),
    "compressed request": told(post(CHAT, b"\x1f\x8b\x08", b"Content-Encoding: gzip"), ok(b"{}")),
    "large": told(post(CHAT, BIG), ok(b"x" * 3_000_000)),
    "expects to be told to go on": (
        [EXPECTING, b'{"stream":true}'],
        [(EXPECTING, message(b"HTTP/1.1 100 Continue")), (b"", ok(b"{}"))],
        "stay",
    ),
    "pipelined": told(
        post("/api/chat", BODY) + b"\r\n" + post("/v1/embeddings", BODY) + get(b"/a"),
        ok(ANSWER) + TRAILED + ok(b"a"),
    ),
    "websocket": (
        [get(b"/v1/realtime", b"Upgrade: websocket", b"Connection: Upgrade"), b"\x81\x85abcdefghi"],
        [(b"", message(b"HTTP/1.1 101 Switching Protocols", b"Upgrade: websocket", body=b"\x81\x05hello"))],
        "stay",
    ),
    "answered and closed early": (
        [post("/api/chat", BODY)],
        [(b"P", message(b"HTTP/1.1 413 No", b"Content-Length: 0"))],
        "close",
    ),
    "no HTTP at all": told(b"\x16\x03\x01\x02\x00hello\r\n\r\n", b"\x15\x03\x01\r\n", "close"),
    "two lengths": told(
        message(
            b"POST /api/chat HTTP/1.1", b"Content-Length: 3", b"Transfer-Encoding: chunked", body=b"0\r\n\r\n"
        ),
        message(b"HTTP/1.1 400 Bad", b"Connection: close", b"Content-Length: 0"),
        "close",
    ),
    "bare line feeds": told(b"GET / HTTP/1.1\nHost: h\n\n", ok(b"{}")),
    "HTTP/2": told(
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0", b"\0\0\0\x04\x01\0\0\0\0", "close"
    ),
    "nonsense from upstream": told(
        post("/api/chat", BODY), message(b"HTTP/1.1 200 OK", b"Content-Length: -5", body=b"xyz"), "close"
    ),
    "broken chunks": told(
        post("/api/chat", BODY),
        message(b"HTTP/1.1 200 OK", b"Transfer-Encoding: chunked", body=b"3\r\nabcZZ\r\n"),
        "close",
    ),
    "more than was asked for": told(get(b"/"), ok(b"1") + ok(b"2")),
}


@pytest.mark.parametrize("kind", EXCHANGES)
def test_both_sides_get_the_bytes_of_a_direct_connection(kind: str) -> None:
    pieces, script, end = EXCHANGES[kind]
    whole = b"".join(pieces)
    steps = [(len(after) or len(whole), answer) for after, answer in script]
    expected = b"".join(answer for _, answer in steps)

    async def check() -> None:
        upstream = Scripted(steps, end)
        async with upstream.serving() as found:
            wanted = None if end == "close" else len(expected)
            direct = await talk(found.direct, pieces, wanted)
            sent, upstream.got = upstream.got, b""
            passed = await talk(found.port, pieces, wanted)
            assert passed == direct == expected
            assert upstream.got == sent
            assert upstream.got == whole or kind == "answered and closed early"
            await found.until(lambda: not found.relay.links)
            assert found.relay.budget.left == 64 * 1024 * 1024
            assert all(model.running == 0 for model in found.relay.tally.models.values())
            assert found.relay.tally.counting_errors == 0

    asyncio.run(check())


@pytest.mark.parametrize(("path", "native"), [("/api/chat", True), ("/v1/chat/completions", False)])
def test_an_engine_that_is_not_there_is_told_in_the_words_of_the_interface(path: str, native: bool) -> None:
    async def check() -> None:
        async with Scripted([]).serving() as other:
            free = other.direct
        async with proxied(free) as found:
            head, _, body = (await talk(found.port, [post(path, BODY)])).partition(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 502 ")
            error = json.loads(body)["error"]
            assert "cannot be reached" in (error if native else error["message"])
            figures = found.figures()
            assert figures["upstream_failures_total", "connect"] == 1
            assert figures["requests_total", "unknown", "error"] == 1
            assert figures["requests_running", "unknown"] == 0

    asyncio.run(check())


@pytest.mark.parametrize("end", ["close", "reset"])
def test_an_engine_that_dies_in_its_answer_breaks_it_off_for_the_client(end: str) -> None:
    begun = message(b"HTTP/1.1 200 OK", b"Content-Type: application/x-ndjson", b"Transfer-Encoding: chunked")
    line = b'{"model":"m","response":"a","done":false}\n'
    begun += b"%x\r\n%b\r\n" % (len(line), line)

    async def check() -> None:
        upstream = Scripted([(10, begun)], end)
        async with upstream.serving() as found:
            reader, writer = await asyncio.open_connection("127.0.0.1", found.port)
            writer.write(post("/api/generate", BODY))
            came = b""
            try:
                async with asyncio.timeout(SECONDS):
                    while data := await reader.read(1000):
                        came += data
            except ConnectionError:
                pass
            assert begun.startswith(came)
            assert not came.endswith(b"0\r\n\r\n")
            assert end == "reset" or came == begun
            writer.close()
            await found.until(lambda: not found.relay.links)
            figures = found.figures()
            assert figures["upstream_failures_total", "closed"] == 1
            model = "m" if came else "unknown"
            assert figures["requests_total", model, "error"] == 1
            assert figures["unmeasured_requests_total", model, "error"] == 1

    asyncio.run(check())


def test_a_client_that_does_not_read_holds_up_its_engine_and_nobodys_memory() -> None:
    size = 64 * 1024 * 1024
    head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % size
    sent = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        await reader.readuntil(b"\r\n\r\n")
        writer.write(head)
        for _ in range(size // 65536):
            writer.write(b"x" * 65536)
            await writer.drain()
            sent += 65536

    async def check() -> None:
        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        async with proxied(server.sockets[0].getsockname()[1]) as found:
            reader, writer = await asyncio.open_connection("127.0.0.1", found.port, limit=65536)
            writer.write(post("/v1/chat/completions", BODY))
            before = -1
            while sent != before or not sent:
                before = sent
                await asyncio.sleep(0.3)
            assert sent < size / 2
            async with asyncio.timeout(SECONDS):
                came = await reader.readexactly(len(head) + size)
            assert came == head + b"x" * size
            writer.close()
        server.close()

    asyncio.run(check())


def test_an_engine_that_does_not_read_holds_up_its_client() -> None:
    async def check() -> None:
        asleep = asyncio.Event()

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await asleep.wait()
            while await reader.read(1 << 20):
                pass
            writer.close()

        server = await asyncio.start_server(serve, "127.0.0.1", 0, limit=65536)
        async with proxied(server.sockets[0].getsockname()[1]) as found:
            _, writer = await asyncio.open_connection("127.0.0.1", found.port)
            size = 64 * 1024 * 1024
            writer.write(b"POST /upload HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n" % size)
            taken = 0
            try:
                while taken < size:
                    writer.write(b"x" * 65536)
                    async with asyncio.timeout(1):
                        await writer.drain()
                    taken += 65536
            except TimeoutError:
                pass
            assert taken < size / 2
            asleep.set()
            async with asyncio.timeout(SECONDS):
                await writer.drain()
            writer.close()
        server.close()

    asyncio.run(check())


def test_connections_beyond_the_limit_are_refused_and_counted() -> None:
    async def check() -> None:
        upstream = Scripted([(1, ok(b"{}"))])
        async with upstream.serving(most=1) as found:
            _, first = await asyncio.open_connection("127.0.0.1", found.port)
            await found.until(lambda: found.relay.tally.connections == 1)
            with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
                await talk(found.port, [b"GET / HTTP/1.1\r\n\r\n"], 1)
            await found.until(lambda: found.relay.tally.connections == 1)
            assert found.figures()[("refused_connections_total",)] == 1
            first.close()

    asyncio.run(check())
