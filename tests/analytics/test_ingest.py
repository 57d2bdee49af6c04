"""From answers to rows and ticks: what changes, what moves, what is missed, and clocks that step."""

from __future__ import annotations

import json
import re
import time
from urllib.parse import parse_qs

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analytics.detectors import Detector, Verdict
from analytics.engine import Engine
from analytics.fleet import Fleet, Level, Roster
from analytics.fleet.columns import Columns
from analytics.ingest.prometheus import Prometheus
from analytics.ingest.shard import Shard, restricted
from analytics.ingest.source import GHOST_FOR, Source
from analytics.serving.pace import LONGEST, DataClock, Pace
from analytics.serving.service import Service
from analytics.serving.settings import Settings
from analytics.serving.state import StateStore
from analytics.signals import INLET, JOBS, PLACES, POWER, RACK_WATTS, TEMPERATURE
from analytics.signals.model import Signal
from gigawatch.catalogue import Unit
from gigawatch.promql import Expr
from gigawatch.serving import App, Response, serve

ERRORS = Signal("errors", Level.GPU, Unit.COUNT, Expr("errors", None), 0.5, "e", every=60.0, sparse=True)
NOW = 1_760_000_000.0


class Site:
    """What a Prometheus knows: by query, labels and a function of time that gives a value or None."""

    def __init__(self):
        self.series = {}
        self.asked = []
        self.broken = self.terse = False
        app = App()
        app.route("POST", "/api/v1/query", self.instant)
        app.route("POST", "/api/v1/query_range", self.stretch)
        self.running = serve(app, "127.0.0.1:0")

    def set(self, signal, *things):
        """Things as (labels, value)."""
        query = signal.query.text if isinstance(signal, Signal) else signal.text
        self.series[query] = [(labels, v if callable(v) else (lambda _t, v=v: v)) for labels, v in things]

    def form(self, request):
        form = {key: value[0] for key, value in parse_qs(request.body.decode()).items()}
        self.asked.append(form)
        return form

    def instant(self, request):
        form = self.form(request)
        if self.broken:
            return Response.text("down", 503)
        now, result, query = float(form["time"]), [], form["query"]
        only = re.search(r',?node=~"([^"]*)"', query)
        if only and self.terse:
            return Response.text("query is too long", 422)
        if only:
            query = query.replace(only[0], "").replace("{}", "")
        if query.startswith("group by (node) ("):
            query = query.removeprefix("group by (node) (")[:-1]
            nodes = {labels["node"] for labels, _ in self.series.get(query, ())}
            return self.answer("vector", [{"metric": {"node": n}, "value": [now, "1"]} for n in nodes])
        for labels, value in self.series.get(query, ()):
            if only and not re.fullmatch(only[1].replace("\\\\", "\\"), labels.get("node", "")):
                continue
            if value(now) is not None:
                result.append({"metric": labels, "value": [now, str(value(now))]})
        return self.answer("vector", result)

    def stretch(self, request):
        form = self.form(request)
        start, end, step = (float(form[key]) for key in ("start", "end", "step"))
        assert (end - start) / step <= 11000
        times = np.arange(start, end + step / 2, step).tolist()
        result = []
        for labels, value in self.series.get(form["query"], ()):
            values = [[t, str(value(t))] for t in times if value(t) is not None]
            if values:
                result.append({"metric": labels, "values": values})
        return self.answer("matrix", result)

    @staticmethod
    def answer(kind, result):
        data = {"resultType": kind, "result": result}
        return Response(json.dumps({"status": "success", "data": data}, separators=(",", ":")).encode())


@pytest.fixture(scope="module")
def running():
    site = Site()
    yield site
    site.running.close()


@pytest.fixture
def site(running):
    running.series, running.asked, running.broken, running.terse = {}, [], False, False
    return running


def source_of(site, shard="0/1", signals=(POWER, TEMPERATURE, INLET, RACK_WATTS, ERRORS)):
    client = Prometheus(site.running.url, 10.0)
    return Source(client, Fleet(), Shard.parse(shard), signals=signals)


def gpu(uuid, node="n1", index="0", rack="r1"):
    return {"rack": rack, "node": node, "gpu": index, "uuid": uuid}


def power(source, now):
    """Watts by GPU."""
    tick = source.read(now)
    values = tick.value("power", Level.GPU).tolist()
    return {k: v for k, v in zip(source.fleet["gpu"].keys, values, strict=True) if np.isfinite(v)}


def both(site, *things):
    site.set(POWER, *things)
    site.set(TEMPERATURE, *things)


def test_rows_stay_whatever_comes_goes_or_changes_places_in_the_list(site):
    source = source_of(site)
    things = [(gpu(f"G{i}", f"n{i // 8}", str(i % 8)), i) for i in range(40)]
    both(site, *things)
    assert power(source, NOW) == {f"G{i}": i for i in range(40)}
    codes = source.fleet["gpu"].codes("node")
    both(site, *reversed(things[1:]))
    assert power(source, NOW + 5) == {f"G{i}": i for i in range(1, 40)}
    both(site, (gpu("NEW", "n9"), 77), *things, ({"uuid": ""}, 1), ({}, 2))
    assert power(source, NOW + 10) == {"NEW": 77, **{f"G{i}": i for i in range(40)}}
    gpus = source.fleet["gpu"]
    assert gpus.keys == [*(f"G{i}" for i in range(40)), "NEW"]
    assert gpus.codes("node")[1] == [*codes[1], "n9"]
    both(site, *((labels, "+Inf") for labels, _ in things))
    assert power(source, NOW + 15) == {}


def test_after_rows_were_dropped_all_are_found_again(site):
    source = source_of(site)
    both(site, *((gpu(f"G{i}", index=str(i)), i) for i in range(6)))
    power(source, NOW)
    source.fleet["gpu"].keep(np.array([4, 2]))
    assert power(source, NOW + 5) == {f"G{i}": i for i in range(6)}
    assert source.fleet["gpu"].keys[:2] == ["G4", "G2"]


def test_a_gpu_that_moved_has_one_row_and_its_newest_place(site):
    source = source_of(site)
    both(site, (gpu("A", "n1"), 1), (gpu("B", "n2"), 2))
    power(source, NOW)
    gpus = source.fleet["gpu"]
    both(site, (gpu("A", "n3"), 10), (gpu("A", "n1"), 1), (gpu("B", "n2"), 2))
    assert power(source, NOW + 5) == {"A": 10, "B": 2}
    assert gpus.labels["node"] == ["n3", "n2"]
    assert gpus.slot_changed(NOW).tolist() == [True, False]
    both(site, (gpu("A", "n1"), 3), (gpu("B", "n2"), 2))  # and back, which is known by then
    assert power(source, NOW + 10) == {"A": 3, "B": 2}
    assert gpus.labels["node"] == ["n1", "n2"]
    assert gpus.slot_changed(NOW + 5).tolist() == [True, False]


def test_a_new_gpu_in_a_slot_starts_afresh_and_the_old_one_is_no_ghost(site):
    source = source_of(site)
    both(site, (gpu("OLD"), 1), (gpu("PEER", index="1"), 2))
    power(source, NOW)
    gpus = source.fleet["gpu"]
    both(site, (gpu("OLD"), 1), (gpu("PEER", index="1"), 2), (gpu("NEW"), 3))
    assert power(source, NOW + 5) == {"PEER": 2, "NEW": 3}
    assert gpus.gone.tolist() == [True, False, False]
    assert gpus.codes("node")[0].tolist() == [-1, 0, 0]
    assert gpus.seen.tolist() == [NOW, NOW + 5, NOW + 5]
    both(site, (gpu("OLD", "n5", "3"), 1), (gpu("PEER", index="1"), 2), (gpu("NEW"), 3))
    assert power(source, NOW + 10) == {"OLD": 1, "PEER": 2, "NEW": 3}
    assert not gpus.gone.any()
    assert gpus.slot_changed(NOW + 5).tolist() == [True, False, False]


def test_two_that_go_on_to_share_a_slot_are_both_there(site):
    source = source_of(site)
    both(site, (gpu("A"), 1), (gpu("B"), 2))
    assert power(source, NOW) == {"B": 2}
    assert power(source, NOW + GHOST_FOR) == {"B": 2}
    assert power(source, NOW + GHOST_FOR + 5) == {"A": 1, "B": 2}
    assert power(source, NOW + GHOST_FOR + 10) == {"A": 1, "B": 2}


def test_places_and_jobs_follow_what_changes(site):
    source = source_of(site)
    both(site, (gpu("A"), 1), (gpu("B", "n2"), 2))
    site.set(PLACES, ({"node": "n1", "rack": "r1", "loop": "l1"}, 1))
    site.set(JOBS, ({"uuid": "A", "job_id": "j1"}, 1), ({"uuid": "LATER", "job_id": "j2"}, 1))
    source.read(NOW)
    gpus = source.fleet["gpu"]
    assert gpus.labels["loop"] == ["l1", ""]
    assert gpus.labels["job"] == ["j1", ""]
    site.set(JOBS, ({"uuid": "B", "job_id": "j3"}, 1), ({"uuid": "LATER", "job_id": "j2"}, 1))
    site.set(PLACES, *(({"node": n, "rack": "r1", "loop": "l2"}, 1) for n in ("n1", "n2")))
    both(site, (gpu("A"), 1), (gpu("B", "n2"), 2), (gpu("LATER", "n2", "1"), 3))
    source.read(NOW + 61)
    assert gpus.labels["loop"] == ["l2"] * 3
    assert gpus.labels["job"] == ["", "j3", "j2"]
    other = Fleet()
    other.load(source.fleet.dump())
    site.set(JOBS, ({"uuid": "A", "job_id": "j9"}, 1))  # while nobody looked
    source.adopt(other)
    source.read(NOW + 70)
    assert other["gpu"].labels["job"] == ["j9", "", ""]


def test_sparse_signals_are_0_where_a_gpu_answers_and_asked_seldom(site):
    source = source_of(site)
    both(site, (gpu("A"), 1), (gpu("B", index="1"), lambda t: 2 if t < NOW + 60 else None))
    site.set(ERRORS, (gpu("A"), 4))
    assert source.read(NOW).values["errors"].tolist() == [4, 0]
    assert "errors" not in source.read(NOW + 5).values
    np.testing.assert_array_equal(source.read(NOW + 60).values["errors"], [4, np.nan])


@pytest.mark.parametrize("terse", [False, True])
def test_shards_take_their_nodes_and_see_all_racks(site, terse):
    site.terse = terse  # such a server refuses the list of nodes: all are read then
    both(site, *((gpu(f"G{i}", f"n-{i}.x"), i) for i in range(30)))
    site.set(RACK_WATTS, *(({"rack": f"r{i}"}, i) for i in range(5)))
    found = []
    for i in range(3):
        source = source_of(site, f"{i}/3")
        found += power(source, NOW)
        assert len(source.fleet["rack"]) == 5
        site.asked.clear()
        assert len(power(source, NOW + 5)) in range(1, 30)
        assert any("n\\\\-" in form["query"] for form in site.asked) is not terse
    assert sorted(found) == sorted(f"G{i}" for i in range(30))


def test_only_questions_that_can_be_narrowed_are():
    assert restricted(TEMPERATURE.query.text, "n1|n2").endswith('{sensor="core",node=~"n1|n2"})')
    assert (
        restricted("sum by (rack, node) (x_total) > 0", 'a"b')
        == 'sum by (rack, node) (x_total{node=~"a\\"b"}) > 0'
    )
    assert restricted("max by (node) (rate(x[1m]))", "n") == 'max by (node) (rate(x{node=~"n"}[1m]))'
    for other in ("max by (rack) (x)", "max by (node) (x) < on (node) max by (node) (y)", "x", "x{a='}'}"):
        assert restricted(other, "n") == other
    assert restricted(POWER.query.text, "") == POWER.query.text


def test_history_is_what_would_have_been_read(site):
    both(site, (gpu("A"), lambda t: t - NOW), (gpu("B", index="1"), lambda t: 7 if t > NOW + 3000 else None))
    site.set(ERRORS, (gpu("A"), 1))
    ticks = list(source_of(site).history(NOW, NOW + 5000, 5.0))
    assert [tick.now for tick in ticks] == [NOW + 5 * i for i in range(1001)]
    values = np.array([tick.value("power", Level.GPU) for tick in ticks])
    np.testing.assert_array_equal(values[:, 0], 5 * np.arange(1001))
    np.testing.assert_array_equal(np.isfinite(values[:, 1]), 5 * np.arange(1001) > 3000)
    errors = [i for i, tick in enumerate(ticks) if "errors" in tick.values]
    assert 80 <= len(errors) <= 90
    assert all(tick.fleet["gpu"].seen.max() == NOW + 5000 for tick in ticks[-1:])
    site.series.clear()
    assert list(source_of(site).history(NOW, NOW + 100, 5.0)) == []


class Notes(Detector):
    """Notes the times it was shown."""

    name = "notes"

    def __init__(self):
        super().__init__()
        self.table("gpus", Level.GPU, Columns({"n": ()}))
        self.times = []

    def observe(self, tick):
        self.times.append(tick.now)
        return Verdict()


@pytest.fixture
def served(site, tmp_path):
    """A service on a clock that can be shifted, over two GPUs that always answer; times it scored."""
    both(site, (gpu("A"), 1), (gpu("B", index="1"), 2))
    shift, notes = [0.0], Notes()

    def clock():
        return time.time() + shift[0]

    client = Prometheus(site.running.url, 10.0, clock=clock)
    engine = Engine([notes])
    source = Source(client, engine.fleet, signals=(POWER, TEMPERATURE))
    store = StateStore(tmp_path)
    service = Service(source, engine, store, Settings(interval=5.0, warm_up=60.0, catch_up=600.0), clock)
    source.complain = service.complain
    return service, notes, shift


def test_missed_time_is_read_oldest_first_then_it_goes_on_live(served):
    service, notes, _ = served
    now = time.time()
    service._engine.run(service._source.read(now - 400))
    while service.own.catch_up or len(notes.times) < 3:
        service.step()
    service.step()
    steps = np.diff(notes.times)
    assert (steps > 0).all()
    np.testing.assert_allclose(steps[:-2], 5.0, atol=0.01)
    assert notes.times[-1] == pytest.approx(time.time(), abs=5)
    assert len(notes.times) == pytest.approx(80, abs=4)


def test_only_so_much_is_caught_up_and_the_rest_is_a_gap(served):
    service, notes, _ = served
    now = time.time()
    service._engine.run(service._source.read(now - 86400))
    service.step()
    assert notes.times[1] == pytest.approx(now - 600, abs=6)
    assert service.own.errors["query"] == 0


def test_an_outage_of_prometheus_is_counted_and_leaves_a_gap(served, site):
    service, notes, _ = served
    service._engine.run(service._source.read(time.time() - 300))
    site.broken = True
    assert service.step() is None
    assert service.own.errors["query"] == 1
    site.broken = False
    both(site, (gpu("A"), lambda t: 1 if t > time.time() - 30 else None))  # it did not scrape meanwhile
    while len(notes.times) < 10:
        service.step()
    assert np.diff(notes.times).max() > 200
    assert notes.times[-1] == pytest.approx(time.time(), abs=5)


@pytest.mark.parametrize("hours", [3, -3])
def test_a_jump_of_our_clock_is_told_and_prometheus_time_is_used(served, hours, caplog):
    service, notes, shift = served
    service.step()
    shift[0] = 3600.0 * hours
    while len(notes.times) < 3:
        service.step()
    assert service.own.skew == pytest.approx(-shift[0], abs=2)
    assert service.own.errors["clock"] == 1
    assert len([r for r in caplog.records if "our clock is" in r.getMessage()]) == 1
    assert max(notes.times) == pytest.approx(time.time(), abs=5)
    shift[0] = 0.0
    for _ in range(3):
        service.step()
    assert notes.times == sorted(notes.times)
    assert service.own.skew == 0


def test_time_that_went_back_is_waited_for(served):
    service, notes, _ = served
    service._engine.run(service._source.read(time.time() + 100))
    assert service.step() is None
    assert service.own.errors["clock"] == 1
    assert len(notes.times) == 1


def test_state_from_the_future_is_not_taken_up(served):
    service, notes, _ = served
    service._engine.run(service._source.read(time.time() + 86400))
    service.save()
    service.start()
    assert service.own.errors["state"] == 1
    assert service._engine.latest < time.time()
    assert [path.name[-4:-1] for path in service._store.path.parent.glob("*.bad-*")]
    assert len(notes.times) == 1


def test_runs_that_take_too_long_are_skipped_and_the_interval_adapts():
    pace, now, lines = Pace(5.0), 100.0, []
    for took in [1.0] + [12.0] * 12 + [1.0] * 80:
        wait, line = pace.after(now, now + took)
        assert 0 <= wait <= pace.interval * (1 + 1e-9) or line
        lines += [line] if line else []
        now += took + wait
    assert pace.skipped > 0
    assert pace.interval == 5.0
    assert [("--share" in x or "--shard" in x) for x in lines] == [True, True, False, False]
    for _ in range(100):
        pace.after(now, now + 1e4)
        now += 1e4
    assert pace.interval == LONGEST * 5.0


def test_the_clock_of_the_data_ignores_small_differences():
    clock = DataClock(lambda: 1000.0)
    assert clock.compare(None) is None
    assert clock.compare(4.0) is None
    assert clock.now() == 1000.0
    assert "60 s behind" in clock.compare(60.0)
    assert clock.compare(62.0) is None
    assert clock.now() == 1060.0
    assert "agrees" in clock.compare(0.0)
    assert clock.now() == 1000.0


_STEP = st.one_of(
    st.tuples(st.just("rows"), st.integers(0, 9), st.sampled_from(["", "a", "b", "c"])),
    st.tuples(st.just("set"), st.integers(0, 9), st.sampled_from(["", "a", "b", "d"])),
    st.tuples(st.just("keep"), st.integers(1, 3), st.just("")),
    st.tuples(st.just("look"), st.just(0), st.just("")),
)


@settings(max_examples=60, deadline=None)
@given(st.lists(_STEP, max_size=25))
def test_group_numbers_kept_up_to_date_are_those_made_anew(steps):
    roster = Roster(Level.NODE)
    for what, i, text in steps:
        if what == "rows":
            roster.rows([f"n{i}"], [{"node": f"n{i}", "rack": text}])
        elif what == "set" and i < len(roster):
            roster.set(i, "rack", text)
        elif what == "keep":
            roster.keep(np.arange(len(roster))[::-1][::i])
        else:
            codes, names = roster.codes("rack")
            assert [names[c] if c >= 0 else "" for c in codes.tolist()] == roster.labels["rack"]
            assert sorted(names) == sorted({rack for rack in roster.labels["rack"] if rack})
            assert roster.codes("rack")[0] is codes
