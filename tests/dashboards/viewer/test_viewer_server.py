"""The viewer's HTTP side: what it refuses, what it says when others are silent."""

from __future__ import annotations

import http.client
import json
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dashboards.viewer import Settings, build_app
from dashboards.viewer.assets import POLICY
from dashboards.viewer.boards import Shelf
from dashboards.viewer.upstream import Upstream
from gigawatch.errors import UserError
from gigawatch.serving import App, Request, Response, Running, serve


def ask(
    viewer: Running,
    path: str,
    method: str = "GET",
    body: bytes | None = None,
    headers: dict[str, str] | None = None,
) -> tuple[int, dict[str, str], bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", viewer.port, timeout=60)
    connection.request(method, path, body, headers or {})
    answer = connection.getresponse()
    found = answer.status, {key.lower(): value for key, value in answer.getheaders()}, answer.read()
    connection.close()
    return found


def batch(viewer: Running, *queries: dict[str, object]) -> tuple[int, Any]:
    status, _, body = ask(viewer, "/api/prom/batch", "POST", json.dumps({"queries": queries}).encode())
    return status, json.loads(body)


@pytest.fixture(scope="module")
def lonely(board_folder: Path) -> Iterator[Running]:
    """A viewer whose Prometheus and Alertmanager are not there."""
    app = build_app(
        Settings(board_folder, "http://127.0.0.1:9", alertmanager="http://127.0.0.1:9", deadline=1.0)
    )
    running = serve(app, "127.0.0.1:0")
    yield running
    running.close()


@pytest.mark.parametrize(
    "path", ["/", "/d/site", "/d/site/any-slug", "/static/js/main.js", "/static/css/base.css"]
)
def test_pages_allow_no_foreign_or_inline_code(viewer: Running, path: str) -> None:
    status, headers, body = ask(viewer, path)
    assert status == 200
    assert headers["content-security-policy"] == POLICY
    assert "unsafe" not in POLICY
    assert "//" not in POLICY
    assert headers["x-content-type-options"] == "nosniff"
    if headers["content-type"].startswith("text/html"):
        assert b"style=" not in body
        assert b"<script>" not in body


@pytest.mark.parametrize(
    "path",
    [
        "/static/../server.py",
        "/static/js/../../server.py",
        "/static/%2e%2e/server.py",
        "/static/%2e%2e%2f%2e%2e%2fcli.py",
        "/static//etc/passwd",
        "/static/js/",
        "/static/vendor/__init__.py",
        "/api/dashboards/../site",
        "/api/dashboards/%2e%2e%2fsite",
        "/api/dashboards/nothing",
        "/d/nothing",
        "/api/nothing",
    ],
)
def test_what_is_not_there_is_404(viewer: Running, path: str) -> None:
    assert ask(viewer, path)[0] == 404


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(path=st.text(min_size=1, max_size=60))
def test_no_path_below_static_leaves_the_known_files(viewer_app: App, path: str) -> None:
    answer = viewer_app(Request("GET", f"/static/{path}", {}, {}, b""))
    assert answer.status == 404 or path.endswith((".js", ".css", ".svg", ".html"))


@pytest.fixture(scope="module")
def viewer_app(board_folder: Path) -> App:
    return build_app(Settings(board_folder, "http://127.0.0.1:9"))


@settings(max_examples=80, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    body=st.one_of(
        st.binary(max_size=80),
        st.recursive(
            st.none() | st.booleans() | st.floats() | st.text(max_size=8),
            lambda inner: (
                st.lists(inner, max_size=3)
                | st.dictionaries(
                    st.sampled_from(["queries", "query", "step", "start", "end", "id"]), inner, max_size=4
                )
            ),
            max_leaves=8,
        ).map(lambda value: json.dumps({"queries": value}).encode()),
    )
)
def test_any_batch_is_answered_in_json(viewer_app: App, body: bytes) -> None:
    answer = viewer_app(Request("POST", "/api/prom/batch", {}, {}, body))
    document = json.loads(answer.body)
    assert (answer.status, document["status"]) in [(200, "success"), (400, "error")]


def test_assets_are_compressed_and_not_sent_twice(viewer: Running) -> None:
    status, headers, body = ask(
        viewer, "/static/vendor/uplot.iife.min.js", headers={"Accept-Encoding": "gzip"}
    )
    assert status == 200
    assert headers["content-encoding"] == "gzip"
    assert len(body) < 30_000
    again = ask(viewer, "/static/vendor/uplot.iife.min.js", headers={"If-None-Match": headers["etag"]})
    assert again[0] == 304
    assert again[2] == b""


def test_a_board_is_served_as_it_stands_in_its_file(viewer: Running, board_folder: Path) -> None:
    assert ask(viewer, "/api/dashboards/site")[2] == (board_folder / "site.json").read_bytes()
    listed = json.loads(ask(viewer, "/api/dashboards")[2])
    assert [board["uid"] for board in listed["boards"]] == ["rack", "site"]
    assert listed["boards"][1]["panels"] == 10


def test_a_query_and_a_label_question_pass_to_prometheus(viewer: Running) -> None:
    status, _, body = ask(viewer, "/api/prom/query?query=sum(demo_power_watts)")
    assert status == 200
    assert json.loads(body)["data"]["result"][0]["value"][1] == "11090"
    values = ask(viewer, "/api/prom/label/rack/values?match[]=demo_power_watts%7Bsite%3D%22s1%22%7D")
    assert json.loads(values[2])["data"] == ["r1", "r2"]


def test_one_failing_query_spoils_no_other(viewer: Running) -> None:
    now = time.time()
    status, found = batch(
        viewer,
        {"id": "good", "query": "sum(demo_power_watts)", "time": now},
        {"id": "broken", "query": "sum((("},
        {"id": "line", "query": "demo_power_watts", "start": now - 60, "end": now, "step": 1},
        {"id": "fine", "query": "demo_power_watts", "start": 0, "end": now, "step": 1},
        {"id": "empty"},
    )
    assert status == 200
    results = found["results"]
    assert results["good"]["data"]["result"][0]["value"][1] == "11090"
    assert len(results["line"]["data"]["result"]) == 4
    assert results["broken"]["errorType"] == "bad_data"
    assert "parse error" in results["broken"]["error"]
    assert "points" in results["fine"]["error"]
    assert "'query' is missing" in results["empty"]["error"]


@pytest.mark.parametrize(
    ("path", "says"),
    [
        ("/api/prom/query", "'query' is missing"),
        (f"/api/prom/query?query={'x' * 17_000}", "more than 16000 characters"),
        ("/api/prom/query_range?query=up&start=0&end=100000&step=1", "more than 11000 points"),
        ("/api/prom/query_range?query=up&start=9&end=1&step=1", "before 'start'"),
        ("/api/prom/query_range?query=up&start=nan&end=1&step=1", "before 'start'"),
        ("/api/prom/query_range?query=up&start=a&end=1&step=1", "numbers of seconds"),
        ("/api/prom/label/no-such-name/values", "is not a label name"),
    ],
)
def test_questions_out_of_bounds_are_refused(lonely: Running, path: str, says: str) -> None:
    status, _, body = ask(lonely, path)
    assert status == 400
    assert says in json.loads(body)["error"]


@pytest.mark.parametrize("path", ["admin/tsdb/delete_series", "status/config", "targets", "write"])
def test_nothing_but_reading_reaches_prometheus(viewer: Running, path: str) -> None:
    for method in ("GET", "POST"):
        assert ask(viewer, f"/api/prom/{path}", method)[0] == 404


def test_too_many_queries_are_refused(lonely: Running) -> None:
    status, found = batch(lonely, *({"id": str(at), "query": "up"} for at in range(121)))
    assert status == 400
    assert "at most 120" in found["error"]
    assert ask(lonely, "/api/prom/batch", "POST", b" " * (1 << 20) + b"{}")[0] == 400


def test_prometheus_away_is_told_in_one_line(lonely: Running) -> None:
    status, _, body = ask(lonely, "/api/prom/query?query=up")
    assert status == 502
    assert json.loads(body) == {
        "status": "error",
        "errorType": "unavailable",
        "error": "Prometheus at http://127.0.0.1:9 cannot be reached: Connection refused",
    }
    _, found = batch(lonely, {"id": "a", "query": "up"})
    assert found["results"]["a"]["errorType"] == "unavailable"
    overview = json.loads(ask(lonely, "/api/overview")[2])
    assert overview["targets"]["ok"] is False
    assert "cannot be reached" in overview["alerts"]["error"]
    assert overview["pages"] == {"ok": True, "value": None}
    assert ask(lonely, "/-/healthy")[0] == 200


def test_a_slow_prometheus_is_given_up_in_time() -> None:
    listener = socket.create_server(("127.0.0.1", 0))

    def drip() -> None:
        connection, _ = listener.accept()
        connection.recv(65536)
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n")
        with connection:
            for _ in range(300):
                try:
                    connection.sendall(b" ")
                except OSError:
                    return
                time.sleep(0.1)

    threading.Thread(target=drip, daemon=True).start()
    slow = Upstream("Prometheus", f"http://127.0.0.1:{listener.getsockname()[1]}", deadline=0.8)
    began = time.monotonic()
    with pytest.raises(Exception, match=r"gave no answer within 0\.8 s") as caught:
        slow.get("/api/v1/query")
    assert time.monotonic() - began < 10
    assert caught.value.status == 504
    listener.close()


def test_a_server_that_is_no_prometheus_is_recognised() -> None:
    app = App()
    app.route("GET", "/", lambda _: Response(b"<html>", "text/html"))
    other = serve(app, "127.0.0.1:0")
    with pytest.raises(Exception, match="is the address right"):
        Upstream("Prometheus", other.url).get("/api/v1/query")
    other.close()


@pytest.mark.parametrize(
    "url", ["localhost:9090", "ftp://x", "http://", "http://h:port", "http://u:secret@h"]
)
def test_an_address_that_is_no_url_is_refused(url: str) -> None:
    with pytest.raises(UserError) as caught:
        Upstream("Prometheus", url)
    assert "address of Prometheus" in str(caught.value)


def test_open_pages_are_those_whose_last_message_fires(board_folder: Path) -> None:
    def page(name: str, status: str) -> dict[str, object]:
        return {
            "received": 1.0,
            "status": status,
            "labels": {"alertname": name},
            "annotations": {},
            "link": "",
        }

    app = App()
    pages = [page("A", "firing"), page("B", "firing"), page("A", "resolved"), page("C", "firing")]
    app.route("GET", "/api/pages", lambda _: Response.json(pages))
    pager = serve(app, "127.0.0.1:0")
    viewer = serve(build_app(Settings(board_folder, "http://127.0.0.1:9", pager=pager.url)), "127.0.0.1:0")
    shown = json.loads(ask(viewer, "/api/overview")[2])["pages"]["value"]
    assert [one["labels"]["alertname"] for one in shown] == ["C", "B"]
    viewer.close()
    pager.close()


def test_boards_are_read_again_and_bad_files_are_named(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path)
    assert shelf.boards() == []
    assert "gigawatch build" in shelf.problems()[0]
    (tmp_path / "one.json").write_text('{"uid": "a", "title": "A", "panels": []}')
    (tmp_path / "two.json").write_text('{"uid": "a", "title": "B", "panels": []}')
    (tmp_path / "bad.json").write_text("{")
    (tmp_path / "list.json").write_text("[]")
    assert [board.title for board in shelf.boards()] == ["A"]
    assert sorted(line.split(":")[0] for line in shelf.problems()) == ["bad.json", "list.json", "two.json"]
    (tmp_path / "one.json").write_text('{"uid": "a", "title": "Anew", "panels": []}')
    (tmp_path / "two.json").unlink()
    board = shelf.get("a")
    assert board is not None
    assert board.title == "Anew"


def test_the_command_serves_and_ends_cleanly(board_folder: Path) -> None:
    command = [
        sys.executable, "-m", "gigawatch.cli", "viewer", "--prometheus", "http://127.0.0.1:9",
        "--dashboards", str(board_folder), "--listen", "127.0.0.1:0", "--scrape-interval", "15s",
    ]  # fmt: skip
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        port = int(line.rsplit(":", 1)[1].strip("/\n"))
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        connection.request("GET", "/api/config")
        assert json.load(connection.getresponse())["scrapeInterval"] == 15
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
    finally:
        process.kill()
        process.wait()


@pytest.mark.parametrize(
    ("arguments", "says", "code"),
    [
        (["--prometheus", "nonsense"], "is not a URL", 1),
        (["--prometheus", "http://h", "--dashboards", "/does/not/exist"], "is not a folder", 1),
        (["--prometheus", "http://h", "--scrape-interval", "often"], "is not a duration", 2),
    ],
)
def test_wrong_arguments_are_explained(arguments: list[str], says: str, code: int) -> None:
    found = subprocess.run(
        [sys.executable, "-m", "gigawatch.cli", "viewer", *arguments],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert found.returncode == code
    assert says in found.stderr
    assert "Traceback" not in found.stderr
