"""The Prometheus client against servers that answer well, badly, slowly or not at all."""

from __future__ import annotations

import gzip
import json
import math
import socket
import threading
import time

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from analytics.ingest.answers import Reader, Room
from analytics.ingest.prometheus import AnswerError, Login, Prometheus, QueryError
from analytics.ingest.shard import Shard
from gigawatch.errors import UserError
from gigawatch.serving import App, Response, serve


def answer(values, label="uuid"):
    result = [{"metric": {label: f"G{i}"}, "value": [1.5, str(v)]} for i, v in enumerate(values)]
    return json.dumps({"status": "success", "data": {"resultType": "vector", "result": result}},
                      separators=(",", ":")).encode()  # fmt: skip


@pytest.fixture(scope="module")
def answering():
    """One server for all tests: its address, and what it answers with."""
    state = {}

    def handle(request):
        state["headers"] = request.headers
        kind = {"Content-Encoding": "gzip"} if state.get("packed") else {}
        return Response(state["body"], "application/json", state["status"], kind)

    app = App()
    app.route("POST", "/api/v1/query", handle)
    running = serve(app, "127.0.0.1:0")
    yield running.url, state
    running.close()


@pytest.fixture
def server(answering):
    url, state = answering
    state.update(body=b"", status=200, headers={}, packed=False)
    return url, state


@pytest.fixture
def client(server):
    return Prometheus(server[0])


def test_labels_are_read_once_and_again_when_they_change(server):
    url, state = server
    client = Prometheus(url)
    state["body"] = answer([1, 2.5, "NaN", "+Inf"])
    one = client.query("x", 0)
    np.testing.assert_array_equal(one.values, [1, 2.5, np.nan, np.inf])
    state["body"] = answer([4, 5, 6, 7])
    two = client.query("x", 5)
    assert two.series is one.series
    np.testing.assert_array_equal(two.values, [4, 5, 6, 7])
    state["body"] = answer([4, 5, 6, 7], label="node")
    three = client.query("x", 10)
    assert three.series is not one.series
    assert three.series.labels[0] == {"node": "G0"}
    state["body"] = answer([])
    assert len(client.query("x", 15).values) == 0


@pytest.mark.parametrize(
    "body",
    [b"", b"<html>", b"[]", b"null",
     b'{"status":"success"}', b'{"status":"success","data":{"resultType":"scalar"}}',
     b'{"status":"success","data":{"resultType":"vector","result":[{"metric":{}}]}}',
     b'{"status":"success","data":{"resultType":"vector","result":[{"metric":{},"value":[1,"x"]}]}}'],
)  # fmt: skip
def test_other_answers_are_refused_in_one_line(server, body):
    url, state = server
    state["body"] = body
    with pytest.raises(AnswerError) as caught:
        Prometheus(url).query("x", 0)
    assert "\n" not in str(caught.value)


def read(body: bytes, kind="vector"):
    """An answer as the client reads it, without a server."""
    room = Room()
    room.put(body)
    room.close()
    return Reader().vector(room, "x") if kind == "vector" else Reader().matrix(room, "x", 100.0, 5.0, 4)


@settings(max_examples=60, deadline=None)
@given(body=st.binary(max_size=300))
def test_any_bytes_are_an_answer_error(body):
    with pytest.raises(AnswerError):
        read(body)


_DIGITS = st.text("0123456789", min_size=1, max_size=24)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.floats(width=64) | st.floats(-1e6, 1e6) | st.integers(-(10**20), 10**20)
                | st.tuples(_DIGITS, _DIGITS, st.integers(-30, 30)), min_size=1, max_size=40))  # fmt: skip
@example([0.1 + 0.2, 5e-324, 1.7976931348623157e308, float("nan"), float("inf"), float("-inf"), -0.0])
def test_numbers_are_what_python_reads(numbers):
    texts = []
    for n in numbers:
        if isinstance(n, tuple):
            texts.append(f"{n[0]}.{n[1]}e{n[2]:+03d}")
        elif isinstance(n, float) and not math.isfinite(n):
            texts.append("NaN" if math.isnan(n) else "+Inf" if n > 0 else "-Inf")
        else:
            texts += [repr(n), f"{n:e}", f"{float(n):g}"]
    found = read(answer(texts)).values
    wanted = np.array([float(text) for text in texts])
    np.testing.assert_allclose(found, wanted, rtol=5e-16, atol=0)
    short = [sum(c.isdigit() for c in text.split("e")[0]) <= 15 and "e" not in text for text in texts]
    np.testing.assert_array_equal(found[short], wanted[short])


def compact(result, **more):
    data = {"resultType": "vector", "result": result}
    return json.dumps({"status": "success", "data": data, **more}, separators=(",", ":")).encode()


LAYOUTS = {
    "spaces": lambda r: json.dumps({"status": "success", "data": {"resultType": "vector", "result": r}}),
    "lines": lambda r: json.dumps({"data": {"result": r, "resultType": "vector"}, "status": "success"},
                                  indent=1),
    "raw": lambda r: json.dumps({"status": "success", "data": {"resultType": "vector", "result": r}},
                                ensure_ascii=False, separators=(",", ":")),
    "stats": lambda r: compact(r, stats={"seriesFetched": "2", "executionTimeMsec": 3}).decode() + "\n",
    "infos": lambda r: compact(r, infos=["PromQL info: x"], isPartial=False).decode(),
    "values first": lambda r: compact([{"value": i["value"], "metric": i["metric"]} for i in r]).decode(),
    "bare numbers": lambda r: compact([{**i, "value": [i["value"][0], float(i["value"][1])]}
                                       for i in r]).decode(),
    "a decoy": lambda r: compact(r, stats={"result": [{"metric": {}, "value": [1, "666"]}]}).decode(),
}  # fmt: skip
_LABELS = st.dictionaries(
    st.text(max_size=8), st.text(max_size=12) | st.just('"}],"value":[1,"2"]'), max_size=4
)


@pytest.mark.parametrize("layout", LAYOUTS)
@settings(max_examples=12, deadline=None)
@given(labels=st.lists(_LABELS, max_size=5))
@example(labels=[{"a\\": 'b"}', "metric": "{"}, {}, {"é": "\u0000"}])
def test_any_layout_gives_the_right_labels_and_values(layout, labels):
    result = [{"metric": one, "value": [1.5, f"{i}.5"]} for i, one in enumerate(labels)]
    found = read(LAYOUTS[layout](result).encode())
    assert list(found.series.labels) == labels
    np.testing.assert_array_equal(found.values, [i + 0.5 for i in range(len(labels))])


@settings(max_examples=150, deadline=None)
@given(at=st.integers(0, 400), byte=st.integers(0, 255), cut=st.booleans())
def test_a_damaged_answer_is_never_read_as_another(at, byte, cut):
    body = bytearray(answer([1, 2.5, "NaN", 4]))
    at %= len(body)
    body[at:] = b"" if cut else bytes([byte]) + body[at + 1 :]
    try:
        wanted = [float(item["value"][1]) for item in json.loads(bytes(body))["data"]["result"]]
    except (ValueError, KeyError, TypeError, IndexError):
        wanted = None
    try:
        found = read(bytes(body)).values
    except AnswerError:
        return
    if wanted is not None:
        np.testing.assert_array_equal(found, wanted)


def test_history_lands_on_its_grid_and_gaps_are_absent():
    result = [
        {"metric": {"a": "1"}, "values": [[100, "1"], [104.9, "2.5"], [110.2, "NaN"], [300, "9"]]},
        {"metric": {"a": "2"}, "values": [[115, "-3e2"]]},
    ]
    text = json.dumps({"status": "success", "data": {"resultType": "matrix", "result": result}})
    for body in (text, text.replace(" ", "")):
        found = read(body.encode(), "matrix")
        assert [one["a"] for one in found.series.labels] == ["1", "2"]
        nan = np.nan
        np.testing.assert_array_equal(found.table, [[1, 2.5, nan, nan], [nan, nan, nan, -300]])


def test_what_the_server_warns_of_is_kept(server):
    url, state = server
    state["body"] = compact([], warnings=["a store\nis down"], isPartial=True)
    first, second = Prometheus(url).query("x", 0).warnings
    assert first == "answer to 'x': a store is down"
    assert "partial" in second


@pytest.mark.parametrize("packed", [True, False])
def test_compression_is_a_matter_of_choice(server, packed):
    url, state = server
    body = answer(range(2000))
    state.update(body=gzip.compress(body) if packed else body, packed=packed)
    found = Prometheus(url, packed=packed).query("x", 0)
    np.testing.assert_array_equal(found.values, range(2000))
    assert ("gzip" in state["headers"]["Accept-Encoding"]) is packed
    if packed:
        state["body"] = state["body"][:-20]
        with pytest.raises(AnswerError, match="gzip"):
            Prometheus(url).query("x", 0)


def test_clocks_are_compared(server):
    url, state = server
    state["body"] = answer([])
    for ours, wanted in ((0, 0), (-100, 100), (7200, -7200)):
        client = Prometheus(url, clock=lambda ours=ours: time.time() + ours)
        client.query("x", 0)
        assert client.skew == pytest.approx(wanted, abs=2)


def test_refusals_name_the_reason_and_never_the_secret(server, tmp_path):
    url, state = server
    state["status"], state["body"] = 422, b'{"status":"error","error":"parse error:\\n bad"}'
    with pytest.raises(QueryError, match="HTTP 422: parse error: bad"):
        Prometheus(url).query("x", 0)
    token = tmp_path / "token"
    token.write_text("s3cret\n")
    state["status"] = 401
    with pytest.raises(QueryError, match="check the token") as caught:
        Prometheus(url, login=Login(token_file=token)).query("x", 0)
    assert state["headers"]["Authorization"] == "Bearer s3cret"
    assert "s3cret" not in str(caught.value)


def test_silence_ends_at_the_deadline():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=listener.accept, daemon=True).start()
        with pytest.raises(QueryError):
            Prometheus(f"http://127.0.0.1:{listener.getsockname()[1]}", deadline=0.3).query("x", 0)
    with pytest.raises(UserError, match="must begin with http"):
        Prometheus("ftp://x")


def test_shards_cover_every_node_once():
    shards = [Shard.parse(f"{i}/3") for i in range(3)]
    owners = [[i for i, shard in enumerate(shards) if shard.owns(f"node-{n}")] for n in range(300)]
    assert all(len(o) == 1 for o in owners)
    assert len({o[0] for o in owners}) == 3
    for wrong in ("3/3", "x", "1", "-1/2", ""):
        with pytest.raises(UserError, match="--shard"):
            Shard.parse(wrong)
