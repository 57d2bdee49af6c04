"""However the network cuts a stream, and whatever it holds, its bytes pass and its figures are the same."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from itertools import pairwise

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from proxy_under_test import Scripted, talk

from exporters.inference.proxy.answers import Answer, ImpossibleError, bears_content
from exporters.inference.proxy.asking import asked, members, with_usage, without
from exporters.inference.proxy.blocks import Blocks, data_of
from exporters.inference.proxy.framing import Chunked, UnreadableError, chunk
from exporters.inference.proxy.heads import Fields
from exporters.inference.proxy.kept import Kept
from exporters.inference.proxy.reading import Reading

SSE: Fields = {b"content-type": b"text/event-stream"}
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
_NAMES = ("usage", "prompt_tokens", "completion_tokens", "prompt_tokens_details", "cached_tokens", "choices",
          "finish_reason", "delta", "content", "message", "response", "done", "done_reason", "eval_count",
          "prompt_eval_count", "model", "type", "status", "error", "stop_reason", "input_tokens")  # fmt: skip
LIKELY = st.recursive(
    st.sampled_from(
        ["stop", "message_start", "response.completed", "", 7, -1, 1.5, 10**20, True, False, None]
    ),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(_NAMES), inner, max_size=4),
    max_leaves=8,
)


def cut(whole: bytes, at: list[int]) -> Iterator[bytes]:
    """The bytes in pieces, cut at these places."""
    edges = [0, *sorted({place % (len(whole) + 1) for place in at}), len(whole)]
    for begin, end in pairwise(edges):
        if begin != end:
            yield whole[begin:end]


def stream(end: bytes) -> tuple[bytes, bytes]:
    """A stream with the usage that it was asked for, and without."""
    head = {"model": "m", "object": "chat.completion.chunk"}
    texts = ["", "a", 'quotes "usage":{"prompt_tokens":1}', "two\n\nlines\r\n", "ü€😀"]
    first = [b": a comment", b"event: x" + end + b"id: 3" + end + b"data:"]
    events = [json.dumps(head | {"choices": [{"delta": {"content": text}}]}).encode() for text in texts]
    usage = {"prompt_tokens": 12, "completion_tokens": 34}
    split = json.dumps(head | {"choices": [], "usage": usage}, indent=1).encode().split(b"\n")
    hidden = end.join(b"data: " + line for line in split)
    lines = [*first, *(b"data: " + event for event in events)]
    done = [b"data:[DONE]"]
    blank = end + end
    return (
        b"".join(line + blank for line in [*lines, hidden, *done]),
        b"".join(line + blank for line in [*lines, *done]),
    )


@settings(max_examples=150, deadline=None)
@given(end=st.sampled_from([b"\n", b"\r\n", b"\r"]), at=st.lists(st.integers(0, 10_000), max_size=60))
@example(end=b"\r\n", at=list(range(2000)))
@example(end=b"\n", at=list(range(2000)))
def test_the_usage_that_was_asked_for_is_taken_out_and_read_wherever_the_stream_is_cut(
    end: bytes, at: list[int]
) -> None:
    whole, without_usage = stream(end)
    reading = Reading(SSE, hide=True)
    shown = b""
    for piece in cut(whole, at):
        shown += reading.show(piece)
        reading.note(piece)
    shown += reading.show_rest()
    reading.finish()
    assert shown == without_usage
    assert (reading.answer.prompt, reading.answer.generated, reading.answer.model) == (12, 34, "m")


@settings(max_examples=150, deadline=None)
@given(
    whole=st.lists(
        st.sampled_from([b"data: x", b"\r", b"\n", b"\n\n", b"\r\n", b"\r\n\r\n", b"yy" * 40])
    ).map(b"".join),
    at=st.lists(st.integers(0, 10_000), max_size=30),
    lines=st.booleans(),
)
def test_blocks_are_the_same_wherever_the_stream_is_cut_and_together_they_are_the_stream(
    whole: bytes, at: list[int], lines: bool
) -> None:
    def blocks(pieces: Iterator[bytes], largest: int) -> list[bytes]:
        cutter = Blocks(lines, largest)
        found = [block for piece in pieces for block in cutter.feed(piece)]
        last = cutter.rest()
        found += [last] if last is not None else []
        assert b"".join(block.raw for block in found) == whole
        # Parts make wholes: each begins once and ends once.
        wholes: list[bytes] = []
        for block in found:
            wholes = [*wholes, block.raw] if block.begins else [*wholes[:-1], wholes[-1] + block.raw]
        assert sum(block.ends for block in found) == len(wholes)
        return wholes

    # The end of the last block is known only once something follows it.
    def meaning(found: list[bytes]) -> list[bytes]:
        return [data_of(block) for block in found if data_of(block)]

    expected = blocks(iter([whole]), 1 << 20)
    assert meaning(blocks(cut(whole, at), 1 << 20)) == meaning(expected)
    blocks(cut(whole, at), 16)


@settings(max_examples=150, deadline=None)
@given(
    contents=st.lists(st.binary(min_size=1, max_size=40)),
    at=st.lists(st.integers(0, 10_000), max_size=40),
    after=st.binary(max_size=10),
)
def test_chunks_are_read_wherever_they_are_cut(contents: list[bytes], at: list[int], after: bytes) -> None:
    ending = b"0;last\r\nX-Sum: 1\r\n\r\n"
    whole = b"".join(map(chunk, contents)) + ending
    framing, found, used = Chunked(), b"", 0
    for piece in cut(whole + after, at):
        if framing.done:
            break
        content, size = framing.feed(piece)
        found, used = found + content, used + size
    assert framing.done
    assert (found, used, framing.ending) == (b"".join(contents), len(whole), ending)


@settings(max_examples=150, deadline=None)
@given(
    data=st.binary(max_size=200) | st.from_regex(rb"([0-9a-f]{1,3}(;x)?\r\n[a-z]{0,9}\r\n){0,5}"),
    at=st.integers(0, 200),
)
def test_chunks_that_are_none_are_refused_and_nothing_else_happens(data: bytes, at: int) -> None:
    framing = Chunked()
    try:
        for piece in cut(data, [at]):
            _, used = framing.feed(piece)
            assert 0 < used <= len(piece)
            if framing.done:
                break
    except UnreadableError:
        pass


@settings(max_examples=150, deadline=None)
@given(
    body=st.dictionaries(st.text(max_size=12), JSON, max_size=6),
    options=st.none() | st.dictionaries(st.text(), JSON, max_size=3),
    indent=st.none() | st.integers(0, 3),
    present=st.booleans(),
)
def test_a_request_that_asks_for_usage_is_the_same_in_all_else(
    body: dict[str, object], options: dict[str, object] | None, indent: int | None, present: bool
) -> None:
    body.pop("stream_options", None)
    options = options if present else None
    if present:
        body["stream_options"] = options
    text = json.dumps(body, indent=indent, ensure_ascii=False)
    fields = members(text)
    assert fields is not None
    assert {name: field.value for name, field in fields.items()} == body
    new = with_usage(text, fields)
    if present and options and options.get("include_usage") is True:
        assert new is None
    elif body:
        assert new is not None
        assert json.loads(new) == body | {"stream_options": (options or {}) | {"include_usage": True}}
    for name in body:
        assert json.loads(without(text, fields, name)) == {one: body[one] for one in body if one != name}


@settings(max_examples=150, deadline=None)
@given(
    st.binary(max_size=100)
    | st.text(max_size=100).map(str.encode)
    | JSON.map(lambda value: json.dumps(value).encode())
)
@example(b'{"a":1,}')
@example(b"[" * 100_000)
@example(b'{"a":' * 50_000)
@example(b'{"stream":true,"n":' + b"9" * 5000 + b"}")
def test_whatever_a_request_holds_it_is_read_or_left_alone(body: bytes) -> None:
    try:
        text = body.decode()
    except UnicodeDecodeError:
        return
    fields = members(text)
    try:
        expected = json.loads(text)
    except (ValueError, RecursionError):
        expected = None
    if fields is not None:
        assert isinstance(expected, dict)
        assert asked(expected).answers >= 1


@settings(max_examples=150, deadline=None)
@given(st.lists(st.dictionaries(st.sampled_from(_NAMES), LIKELY, max_size=5), max_size=3))
def test_whatever_an_answer_says_its_figures_are_possible(documents: list[dict[str, object]]) -> None:
    answer = Answer()
    for document in documents:
        bears_content(document)
        try:
            answer.take(document)
        except ImpossibleError:
            break
    for tokens in (answer.prompt, answer.generated):
        assert tokens is None or 0 <= tokens < 1 << 33
    assert answer.cached is None or 0 <= answer.cached <= (answer.prompt or 0)
    assert answer.outcome in ("", "stop", "length", "abort", "error", "other")


@settings(max_examples=150, deadline=None)
@given(
    document=st.binary(max_size=300) | LIKELY.map(lambda value: json.dumps(value).encode()),
    size=st.integers(0, 300),
)
def test_long_documents_are_read_from_their_end(document: bytes, size: int) -> None:
    whole = (
        b'{"model":"m","data":["'
        + b"x" * 200_000
        + b'\\"usage\\":{\\"prompt_tokens\\":5}"],"choices":[{"finish_reason":"length"}],'
        b'"usage":{"prompt_tokens":3,"completion_tokens":4}}'
    )
    for kept in (Kept(), Kept(size)):
        for piece in cut(whole, [size, 150_000]):
            kept.add(piece)
        answer = Answer()
        answer.take(kept.document() or {})
        assert (answer.prompt, answer.generated, answer.outcome) == (3, 4, "length")
    fuzzed = Kept(size)
    fuzzed.add(document)
    try:
        found = fuzzed.document()
    except UnicodeDecodeError:
        return
    assert found is None or isinstance(found, dict)


PARTS = [
    b"POST /v1/chat/completions HTTP/1.1\r\n", b"POST /api/chat HTTP/1.1\r\n", b"GET / HTTP/1.1\r\n",
    b"Host: h\r\n", b"\r\n", b"Content-Length: 20\r\n", b"Transfer-Encoding: chunked\r\n",
    b'{"stream":true     }', b"5\r\nhello\r\n", b"0\r\n\r\n", b"Expect: 100-continue\r\n", b"\n", b"\x00\xff",
    b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 101 Up\r\n", b"HTTP/1.1 422 No\r\n", b"HTTP/1.1 100 Go\r\n\r\n",
    b"Content-Type: text/event-stream\r\n", b'data: {"choices":[]}\n\n', b"data: [DONE]\n\n",
]  # fmt: skip
ANY = st.lists(st.sampled_from(PARTS) | st.binary(max_size=8), max_size=12).map(b"".join)


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(sent=ANY, answered=ANY, at=st.lists(st.integers(0, 500), max_size=3))
def test_whatever_both_sides_say_passes_byte_for_byte(sent: bytes, answered: bytes, at: list[int]) -> None:
    """Over real connections, without asking for usage: nothing may change, and nothing get stuck, except a
    request's head that is not complete."""

    async def check() -> None:
        upstream = Scripted([(0, answered)], "stay")
        async with upstream.serving(ask=False) as found:
            reader, writer = await asyncio.open_connection("127.0.0.1", found.port)
            for piece in cut(sent + b"\0\n", at):
                writer.write(piece)
                await writer.drain()
                await asyncio.sleep(0)
            await found.until(lambda: upstream.got == sent + b"\0\n")
            came = await reader.readexactly(len(answered)) if b"\n" in answered[-1:] else b""
            assert came == (answered if came else b"")
            writer.close()
            await upstream.gone.wait()
            assert found.relay.tally.counting_errors == 0

    asyncio.run(check())


@pytest.mark.parametrize("size", [100_000, 3_000_000])
def test_an_event_of_any_length_passes_and_the_usage_after_it_is_read(size: int) -> None:
    giant = b'data: {"choices":[{"delta":{"content":"' + b"x" * size + b'"}}]}\n\n'
    usage = b'data: {"model":"m","choices":[],"usage":{"prompt_tokens":3,"completion_tokens":4}}\n\n'
    done = b"data: [DONE]\n\n"
    head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n"
    body = b'{"model":"m","stream":true}'
    request = (
        b"POST /v1/chat/completions HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n" % len(body) + body
    )

    async def check() -> None:
        async with Scripted([(len(request) + 1, head + giant + usage + done)], "close").serving() as found:
            assert await talk(found.port, [request]) == head + giant + done
            await found.until(lambda: not found.relay.links)
            figures = found.figures()
            assert figures["generated_tokens_total", "m"] == 4
            assert figures["prompt_tokens_total", "m", "unknown"] == 3

    asyncio.run(check())
