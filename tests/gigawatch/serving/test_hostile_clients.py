"""Slow, greedy and odd clients, and what well-behaved ones may count on meanwhile."""

from __future__ import annotations

import http.client
import socket
import threading
import time
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

from gigawatch.catalogue import all_metrics
from gigawatch.catalogue.model import Kind, Metric
from gigawatch.readings import Reading, histogram
from gigawatch.serving import App, Response, Running, render, serve, to_openmetrics
from gigawatch.serving.connections import Connections
from gigawatch.serving.http import accepts_gzip


@pytest.fixture
def server() -> Iterator[Running]:
    app = App()
    app.route("GET", "/metrics", lambda _: Response.text("x 1\n" * 1000))
    running = serve(app, "127.0.0.1:0", most_connections=8)
    yield running
    running.close()


def ask(server: Running) -> int:
    connection = http.client.HTTPConnection(server.host, server.port, timeout=30)
    try:
        connection.request("GET", "/metrics")
        return connection.getresponse().status
    finally:
        connection.close()


def test_connections_that_only_wait_make_room(server: Running) -> None:
    before = threading.active_count()
    slow = []
    for _ in range(30):
        held = socket.create_connection((server.host, server.port), 30)
        held.sendall(b"GET /metrics HT")
        slow.append(held)
    assert ask(server) == 200
    deadline = time.monotonic() + 60
    while threading.active_count() - before > 9:
        assert time.monotonic() < deadline, "connections beyond the bound must not keep threads"
        time.sleep(0.02)
    for held in slow:
        held.close()


def test_a_body_that_is_too_large_is_answered_though_its_sender_goes_on_to_send() -> None:
    app = App()
    app.route("POST", "/", lambda _: Response.text("taken\n"))
    running = serve(app, "127.0.0.1:0", largest_body=1000)
    body = bytes(4 << 20)
    try:
        with socket.create_connection((running.host, running.port), 30) as held:
            held.sendall(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(body))
            held.sendall(body[:2000])
            time.sleep(0.2)  # the server has long answered
            for start in range(2000, len(body), 1 << 18):
                held.sendall(body[start : start + (1 << 18)])
            answer = held.makefile("rb").read()
    finally:
        running.close()
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert b"body too large" in answer


def test_a_deadline_counts_for_the_whole_request() -> None:
    ours, theirs = socket.socketpair()
    connections = Connections(4)
    admitted = time.monotonic()
    assert connections.admit(ours, 0.5)
    connections.drop_overdue()
    theirs.sendall(b"G")
    assert ours.recv(1) == b"G"
    time.sleep(max(0.0, admitted + 0.6 - time.monotonic()))
    connections.drop_overdue()
    assert theirs.recv(1) == b"", "bytes now and then must not extend the deadline"
    assert len(connections) == 0
    ours.close()
    theirs.close()


def test_head_keep_alive_and_strange_requests(server: Running) -> None:
    connection = http.client.HTTPConnection(server.host, server.port, timeout=30)
    connection.request("HEAD", "/metrics")
    answer = connection.getresponse()
    assert (answer.status, answer.read()) == (200, b"")
    assert answer.getheader("Content-Length") == "4000"
    first = connection.sock
    connection.request("GET", "/metrics", headers={"accept-encoding": "gzip"})
    answer = connection.getresponse()
    assert answer.getheader("Content-Encoding") == "gzip"
    assert len(answer.read()) < 4000
    assert connection.sock is first, "the connection is kept"
    connection.request("GET", "/metrics", headers={"Accept-Encoding": "gzip;q=0"})
    answer = connection.getresponse()
    assert answer.getheader("Content-Encoding") is None
    answer.read()
    connection.request("POST", "/metrics", body=b"x")
    assert connection.getresponse().status == 405
    connection.close()
    for raw in (b"\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n", b"\x16\x03\x01", b"GET /%zz\xff HTTP/1.1\r\n\r\n"):
        with socket.create_connection((server.host, server.port), 30) as odd:
            odd.sendall(raw)
    connection = http.client.HTTPConnection(server.host, server.port, timeout=30)
    connection.putrequest("POST", "/metrics")
    connection.putheader("Content-Length", "-5")
    connection.endheaders()
    assert connection.getresponse().status == 413
    connection.close()
    assert ask(server) == 200


def test_closing_leaves_no_thread() -> None:
    before = set(threading.enumerate())
    app = App()
    running = serve(app, "127.0.0.1:0")
    kept = http.client.HTTPConnection(running.host, running.port, timeout=30)
    kept.request("GET", "/-/healthy")
    assert kept.getresponse().read() == b"ok\n"
    running.close()
    deadline = time.monotonic() + 30
    while set(threading.enumerate()) - before and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not set(threading.enumerate()) - before
    kept.close()


@pytest.mark.parametrize(
    ("header", "allowed"),
    [("gzip", True), ("deflate, gzip;q=0.5", True), ("gzip;q=0", False), ("gzip; q=0.0", False),
     ("identity", False), ("", False), ("*", True)],
)  # fmt: skip
def test_gzip_is_used_only_where_it_is_welcome(header: str, allowed: bool) -> None:
    assert accepts_gzip(header) is allowed


def _value(metric: Metric, value: float) -> float:
    return 1.0 if metric.kind is Kind.INFO else abs(value)


LABEL = st.text(st.characters(codec="utf-8", exclude_categories=["Cs"]), max_size=8)


@given(st.sets(st.sampled_from(all_metrics()), max_size=5), st.data())
def test_both_formats_say_the_same(metrics: set[Metric], data: st.DataObject) -> None:
    readings: list[Reading] = []
    for metric in sorted(metrics, key=lambda m: m.name):
        labels = tuple(data.draw(LABEL) for _ in metric.labels)
        value = _value(metric, data.draw(st.floats(allow_nan=False, allow_infinity=False)))
        if metric.kind is Kind.HISTOGRAM:
            readings += histogram(metric, labels, (("0.5", 1.0), ("+Inf", 3.0)), value)
        else:
            readings.append(Reading(metric, labels, value))
    text = render(readings)
    plain = {
        (s.name, frozenset(s.labels.items())): s.value for f in parse_text(text.decode()) for s in f.samples
    }
    opened = {
        (s.name, frozenset(s.labels.items())): s.value
        for f in parse_openmetrics(to_openmetrics(text).decode())
        for s in f.samples
    }
    assert opened == plain
    assert len(plain) == len(readings)
