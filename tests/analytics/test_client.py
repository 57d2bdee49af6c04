"""The Prometheus client against servers that answer well, badly, slowly or not at all."""

from __future__ import annotations

import json
import socket
import threading

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from analytics.prometheus import AnswerError, Login, Prometheus, QueryError
from analytics.source import Shard
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
        return Response(state["body"], "application/json", state["status"])

    app = App()
    app.route("POST", "/api/v1/query", handle)
    running = serve(app, "127.0.0.1:0")
    yield running.url, state
    running.close()


@pytest.fixture
def server(answering):
    url, state = answering
    state.update(body=b"", status=200, headers={})
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


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(body=st.binary(max_size=300))
def test_any_bytes_are_an_answer_error(server, client, body):
    server[1]["body"] = body
    with pytest.raises(AnswerError):
        client.query("x", 0)


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
