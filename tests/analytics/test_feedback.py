"""Marks: kept whatever happens to the file, learned from in bounded steps, never at another GPU's expense."""

from __future__ import annotations

import http.client
import json
import threading
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analytics.detectors import Suspicion
from analytics.detectors.base import Evidence
from analytics.feedback.command import HEADER
from analytics.feedback.desk import Desk
from analytics.feedback.learning import HALF_LIFE, HIGHEST_BAR, MOST, PRIOR, QUIET_WRONG, STEP, Learned
from analytics.feedback.marks import FILE, Ledger, Mark, MarkError
from analytics.fleet import Fleet, Level
from analytics.incidents import Incidents
from gigawatch.catalogue import Unit, findings
from gigawatch.cli import main
from gigawatch.serving import App, Request, Response, Running, serve

DAY = 86400.0
EVIDENCE = (Evidence("xid_memory", 2.0, Unit.COUNT, 0.0),)


def fleet() -> Fleet:
    made = Fleet()
    labels = [
        {"uuid": f"U{i}", "gpu": str(i % 8), "node": f"n{i // 8}", "rack": "r1", "job": "7"}
        for i in range(32)
    ]
    made[Level.GPU].rows([one["uuid"] for one in labels], labels)
    return made


def gpu(row: int, score: float = 0.7, cause: str = "thermal_interface") -> Suspicion:
    return Suspicion(cause, "gpu", f"n{row // 8}/gpu{row % 8}", f"U{row}", (row,), score, evidence=EVIDENCE)


def mark(verdict: str, time: float = 0.0, row: int = 3, cause: str = "thermal_interface", **more) -> Mark:
    given = {"score": 0.7, "gpus": 1, **more}
    return Mark(time, f"n-{row}", verdict, cause, "gpu", f"n{row // 8}/gpu{row % 8}", f"U{row}", **given)


class Site:
    """Real incidents over a small fleet, a clock that is moved, a desk that is served."""

    def __init__(self, folder) -> None:
        self.now = 1_760_000_000.0
        self.fleet, self.incidents = fleet(), Incidents()
        self.folder = folder
        self.desk = self.open_desk()

    def open_desk(self) -> Desk:
        return Desk(lambda: (self.incidents, self.fleet), self.folder, lambda: self.now)

    def tick(self, *suspicions: Suspicion, seconds: float = 5.0, times: int = 3):
        for _ in range(times):
            self.desk.equip()
            opened = self.incidents.update(self.now, suspicions, self.fleet)
            self.now += seconds
        return opened


@pytest.fixture
def site(tmp_path) -> Site:
    return Site(tmp_path)


@pytest.fixture(scope="module")
def door() -> Iterator[tuple[Running, list[App]]]:
    """One server for all tests; the last app in the list answers."""
    apps: list[App] = []

    def answer(request: Request) -> Response:
        return apps[-1](request)

    running = serve(answer, "127.0.0.1:0")  # type: ignore[arg-type] # called as an app is
    yield running, apps
    running.close()


@pytest.fixture
def served(site, door) -> Running:
    running, apps = door
    apps.append(App())
    site.desk.routes(apps[-1])
    return running


def ask(running: Running, path: str, body: object = None, headers: dict[str, str] | None = None):
    connection = http.client.HTTPConnection("127.0.0.1", running.port, timeout=30)
    data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
    given = {"Content-Type": "application/json", HEADER: "test"} if headers is None else headers
    connection.request("GET" if body is None else "POST", path, data, given)
    answer = connection.getresponse()
    found = answer.status, json.loads(answer.read())
    connection.close()
    return found


# -- the file


def test_marks_survive_a_restart_and_a_damaged_line_costs_only_itself(tmp_path):
    ledger = Ledger(tmp_path)
    for time, verdict in enumerate(("right", "wrong", "known")):
        ledger.add(mark(verdict, float(time), note="Öl im „Kreislauf“", signals=("power",)))
    path = tmp_path / FILE
    lines = path.read_text().splitlines()
    lines[1] = lines[1].replace('"wrong"', '"right"')
    path.write_text("\n".join(lines) + '\nno json\n{"time": 1}\n')
    said: list[str] = []
    again = Ledger(tmp_path, said.append)
    again.load()
    assert again.marks == (ledger.marks[0], ledger.marks[2])
    assert len(said) == 1
    assert "3 damaged marks skipped (line 2, 4, 5)" in said[0]


def test_a_line_that_was_torn_does_not_swallow_the_next(tmp_path):
    ledger = Ledger(tmp_path)
    ledger.add(mark("right"))
    path = tmp_path / FILE
    path.write_bytes(path.read_bytes()[:-20])
    ledger.add(mark("wrong", 5.0))
    again = Ledger(tmp_path, lambda _: None)
    again.load()
    assert [one.verdict for one in again.marks] == ["wrong"]


def test_a_file_that_cannot_be_written_is_one_line(tmp_path):
    (tmp_path / "state").write_text("a file, no folder")
    with pytest.raises(MarkError, match="cannot be kept"):
        Ledger(tmp_path / "state").add(mark("right"))


@settings(max_examples=40, deadline=None)
@given(junk=st.binary(max_size=200))
def test_whatever_stands_in_the_file_is_survived(tmp_path_factory, junk):
    folder = tmp_path_factory.mktemp("marks")
    (folder / FILE).write_bytes(junk + b"\n" + mark("right").line().encode() + b"\n")
    ledger = Ledger(folder, lambda _: None)
    ledger.load()
    assert [one.verdict for one in ledger.marks] == ["right"]


# -- what is learned


def test_precision_falls_with_wrong_marks_and_comes_back_with_time():
    learned = Learned([mark("wrong", float(i)) for i in range(6)])
    (now,) = learned.figures(6.0)
    assert now.precision == pytest.approx(8 / 16, abs=1e-3)
    assert 1.3 < now.threshold <= PRIOR / now.precision + 1e-3
    (later,) = learned.figures(6.0 + 4 * HALF_LIFE)
    assert later.threshold - 1 == pytest.approx((now.threshold - 1) / 16, rel=0.01)
    assert later.precision > 0.75


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(findings.VERDICTS), st.floats(0, 3e7)), max_size=40))
def test_steps_are_bounded_whatever_is_marked(history):
    marks = [mark(verdict, time) for verdict, time in sorted(history, key=lambda one: one[1])]
    before = 1.0
    for i in range(len(marks)):
        (figures,) = Learned(marks[: i + 1]).figures(marks[i].time)
        assert 1.0 <= figures.threshold <= MOST
        assert figures.threshold <= before * STEP + 1e-9
        before = figures.threshold
    score, _ = Learned(marks).needs("thermal_interface", "gpu", "U3", 3e7)
    assert score <= HIGHEST_BAR
    score, wait = Learned(marks).needs("thermal_interface", "gpu", "U4", 3e7)
    assert score <= 0.5
    assert wait <= 60.0
    assert Learned(marks).needs("fan", "node", "n1", 3e7) == (0.0, 0.0)


def test_confidence_is_calibrated_by_what_the_cause_earned():
    wrong = Learned([mark("wrong", float(i)) for i in range(10)])
    right = Learned([mark("right", float(i)) for i in range(10)])
    assert wrong.confidence("thermal_interface", 0.8, 10.0) == pytest.approx(0.4, abs=0.01)
    assert right.confidence("thermal_interface", 0.8, 10.0) == pytest.approx(0.9, abs=0.01)
    assert right.confidence("thermal_interface", None, 10.0) == pytest.approx(0.9, abs=0.01)
    assert right.confidence("fan", 0.8, 10.0) == 0.8
    assert right.confidence("fan", None, 10.0) is None


def test_signals_count_once_for_each_incident_by_its_last_word():
    marks = [
        mark("wrong", 1.0, 3, signals=("xid_memory",)),
        mark("right", 2.0, 3, signals=("xid_memory",)),
        mark("wrong", 3.0, 4, signals=("xid_memory", "power")),
        mark("known", 4.0, 5, signals=("power",)),
    ]
    assert Learned(marks).signals() == ({"xid_memory": 1}, {"xid_memory": 1, "power": 1})


# -- incidents and marks together


def test_wrong_marks_never_mute_another_gpus_real_fault(site):
    for row in range(8, 20):
        site.tick(gpu(row), times=16)
        site.desk.mark(site.incidents.open[-1].name, "wrong")
        site.tick(seconds=200.0)
    assert site.incidents.open == []
    opened = site.tick(gpu(3, score=0.92), times=2)
    assert [(i.place, i.known) for i in opened] == [("n0/gpu3", "")], "a high score opens as fast as ever"
    assert site.tick(gpu(3, 0.92), gpu(4, 0.7), times=1)[-1].place != "n0/gpu4", (
        "a lower one has to last longer"
    )
    assert "n0/gpu4" in [i.place for i in site.tick(gpu(3, 0.92), gpu(4, 0.7), times=16)]


def test_wrong_quiets_the_thing_itself_until_it_grows_or_time_passes(site):
    site.tick(gpu(3))
    name = site.incidents.open[0].name
    site.desk.mark(name, "wrong", "new job", by="ada")
    (only,) = site.tick(gpu(3))
    assert (only.known, only.known_why) == ("marked_wrong", "marked as wrong by ada: new job")
    assert site.tick(gpu(3, 0.86))[0].known == "", "it has grown"
    assert site.tick(gpu(3))[0].known == "marked_wrong"
    site.now += QUIET_WRONG
    assert site.tick(gpu(3), times=1)[0].known == ""


def test_known_lasts_as_long_as_said_and_right_ends_it(site):
    site.tick(gpu(3), gpu(9))
    first, second = site.incidents.open
    site.desk.mark(first.name, "known", until=site.now + 3 * DAY)
    assert (first.known, second.known) == ("marked_known", ""), "at once, and only there"
    site.now += 3 * DAY + 1
    assert site.tick(gpu(3), gpu(9), times=1)[0].known == ""
    site.desk.mark(first.name, "known")
    assert first.known == "marked_known"
    site.desk.mark(first.name, "right")
    assert first.known == ""


def test_what_was_marked_outlives_the_process(site):
    site.tick(gpu(3))
    site.desk.mark(site.incidents.open[0].name, "known", "paste is ordered", by="ada")
    saved = json.loads(json.dumps(site.incidents.dump()))
    site.incidents = Incidents()
    site.incidents.load(saved)
    site.desk = site.open_desk()
    (only,) = site.tick(gpu(3))
    assert only.known_why == "marked as known by ada: paste is ordered"
    assert any("marked known by ada" in text for _, text in only.events)
    told = {(r.metric, r.labels): r.value for r in site.desk.readings()}
    assert told[findings.FEEDBACK_MARKS, ("thermal_interface", "known")] == 1
    assert told[findings.FEEDBACK_PRECISION, ("thermal_interface",)] == pytest.approx(0.8)


def nobody_is_called_for(site: Site) -> set[tuple[str, str, str]]:
    told = [r.labels for r in site.desk.readings() if r.metric is findings.KNOWN_GPU_INFO]
    assert len(told) == len(set(told))
    return {(cause, reason, f"{node}/gpu{index}") for cause, _, reason, _, node, index, _ in told}


def test_the_gpus_of_a_mark_are_told_as_long_as_it_stands(site):
    site.tick(gpu(3), gpu(9))
    site.desk.mark(site.incidents.open[0].name, "known", until=site.now + 3 * DAY)
    only = {("thermal_interface", "marked_known", "n0/gpu3")}
    assert nobody_is_called_for(site) == only, "not of the other finding"
    site.tick(seconds=100.0)
    assert site.incidents.open == []
    assert nobody_is_called_for(site) == only, "a trend may go on without its finding"
    site.now += 3 * DAY
    assert nobody_is_called_for(site) == set()


def test_a_gpu_that_got_worse_since_it_was_marked_wrong_is_no_longer_told(site):
    site.tick(gpu(3))
    site.desk.mark(site.incidents.open[0].name, "wrong")
    site.tick(gpu(3))
    assert nobody_is_called_for(site) == {("thermal_interface", "marked_wrong", "n0/gpu3")}
    site.tick(gpu(3, 0.86))
    assert nobody_is_called_for(site) == set()


def test_a_mark_of_a_node_is_one_of_its_gpus(site):
    clogged = Suspicion("cold_plate", "node", "n1", "n1", tuple(range(8, 16)), 0.7, evidence=EVIDENCE)
    site.tick(clogged)
    site.desk.mark(site.incidents.open[0].name, "known")
    wanted = {("cold_plate", "marked_known", f"n1/gpu{i}") for i in range(8)}
    assert nobody_is_called_for(site) == wanted
    site.tick(seconds=100.0)
    assert nobody_is_called_for(site) == wanted


# -- over HTTP


def test_the_command_marks_at_the_service_and_the_list_tells_it(site, served, capsys):
    site.tick(gpu(3), gpu(9))
    name = site.incidents.open[0].name
    done = main(
        ["analytics", "mark", name, "known", "--note", "paste is ordered", "--until", "2d", "--by", "ada",
         "--analytics", served.url]
    )  # fmt: skip
    assert done == 0
    assert f"{name} is marked known" in capsys.readouterr().out
    status, found = ask(served, "/api/incidents")
    assert status == 200
    assert [one["state"] for one in found["open"]] == ["open", "known"], "what calls people stands first"
    shown = found["open"][1]
    assert shown["known"]["until"] == pytest.approx(site.now + 2 * DAY)
    assert [(m["verdict"], m["by"], m["note"]) for m in shown["marks"]] == [
        ("known", "ada", "paste is ordered")
    ]
    assert ask(served, f"/api/incidents/{name}")[1]["name"] == name
    assert ask(served, "/api/feedback")[1]["causes"][0]["counts"] == {"known": 1}


def test_what_is_over_can_be_marked_too(site, served):
    site.tick(gpu(3))
    name = site.incidents.open[0].name
    site.tick(seconds=100.0)
    assert ask(served, f"/api/incidents/{name}/mark", {"verdict": "right"})[0] == 200
    assert ask(served, "/api/incidents")[1]["recent"][0]["marks"][0]["verdict"] == "right"


@pytest.mark.parametrize(
    ("body", "headers", "status", "why"),
    [
        ({"verdict": "right"}, {"Content-Type": "application/json"}, 400, "header"),
        (b"verdict=right", {"Content-Type": "text/plain", HEADER: "x"}, 400, "JSON"),
        (b"[1]", None, 400, "JSON"),
        (b"[" * 5000, None, 400, "JSON"),
        (b'{"verdict": "right", "note": "' + b"x" * 9000 + b'"}', None, 400, "8192"),
        ({"verdict": "maybe"}, None, 400, "right, wrong, known"),
        ({"verdict": "right", "colour": 1}, None, 400, "unknown field 'colour'"),
        ({"verdict": "right", "note": 5}, None, 400, "texts"),
        ({"verdict": "right", "note": "x" * 501}, None, 400, "500"),
        ({"verdict": "known", "until": "soon"}, None, 400, "until"),
        ({"verdict": "known", "until": "1000d"}, None, 400, "90 days"),
        ({"verdict": ["right"]}, None, 400, "texts"),
    ],
)
def test_a_mark_that_is_no_good_is_refused_in_one_line(site, body, headers, status, why):
    site.tick(gpu(3))
    app = App()
    site.desk.routes(app)
    path = f"/api/incidents/{site.incidents.open[0].name}/mark"
    given = {"Content-Type": "application/json", HEADER: "test"} if headers is None else headers
    answer = app(
        Request("POST", path, {}, given, body if isinstance(body, bytes) else json.dumps(body).encode())
    )
    error = json.loads(answer.body)["error"]
    assert answer.status == status
    assert why in error
    assert "\n" not in error
    assert site.desk.ledger.marks == ()


def test_an_unknown_incident_is_404_and_the_command_says_so(served, capsys):
    assert ask(served, "/api/incidents/nothing/mark", {"verdict": "right"})[0] == 404
    assert ask(served, "/api/incidents/nothing")[0] == 404
    assert main(["analytics", "mark", "nothing", "right", "--analytics", served.url]) != 0
    error = capsys.readouterr().err
    assert "no incident is called 'nothing'" in error
    assert "Traceback" not in error


def test_notes_are_one_line_in_log_and_page(site, served, caplog):
    site.tick(gpu(3))
    name = site.incidents.open[0].name
    with caplog.at_level("INFO"):
        ask(
            served,
            f"/api/incidents/{name}/mark",
            {"verdict": "right", "note": "a\nb\x1b[31m", "by": "ada\nroot"},
        )
    assert site.desk.ledger.marks[0].note == "a b [31m"
    assert [r.getMessage() for r in caplog.records if "marked" in r.getMessage()] == [
        f"incident {name} marked right by ada root"
    ]


def test_people_read_and_mark_while_the_engine_runs(site, served):
    stop = threading.Event()

    def engine() -> None:
        step = 0
        while not stop.is_set():
            step += 1
            site.tick(gpu(3), *(gpu(row) for row in range(8, 8 + step % 5)), times=1)

    thread = threading.Thread(target=engine)
    site.tick(gpu(3))
    name = site.incidents.open[0].name
    thread.start()
    try:
        for verdict in ("right", "wrong", "known") * 5:
            assert ask(served, f"/api/incidents/{name}/mark", {"verdict": verdict})[0] == 200
            assert ask(served, "/api/incidents")[0] == 200
    finally:
        stop.set()
        thread.join()
    assert len(site.desk.ledger.marks) == 15
