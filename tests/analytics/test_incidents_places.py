"""Incidents through the topology of a plant: what lies above a finding, who works there, whose job it is."""

from __future__ import annotations

from collections.abc import Callable
from urllib.parse import parse_qs

import pytest

from analytics.detectors import Detector, Suspicion, Verdict
from analytics.detectors.base import Evidence
from analytics.fleet import Level
from analytics.incidents import surroundings_from
from analytics.incidents.causality import EXPLAINS
from analytics.incidents.inventory import Around
from analytics.incidents.jobs import SETTLE
from analytics.ingest.prometheus import Prometheus
from gigawatch.catalogue import Unit, findings
from gigawatch.serving import App, Response, serve

R = findings.THERMAL_RESISTANCE.key


class Telltale(Detector):
    """Suspects what a test tells it to, every tick, so that grouping is what is looked at."""

    name = "peers"

    def __init__(self) -> None:
        super().__init__()
        self.tells: Callable[[float], list[Suspicion]] = lambda _now: []

    def observe(self, tick):
        return Verdict(suspicions=self.tells(tick.now))


@pytest.fixture
def plant(make_plant):
    """Three racks of four nodes with four GPUs; racks r00 and r01 share a loop."""
    made = make_plant(racks=3, nodes=4, gpus=4, step=5.0)
    gpus = made.fleet[Level.GPU]
    for row, rack in enumerate(gpus.labels["rack"]):
        gpus.set(row, "loop", "loop-a" if rack != "r02" else "loop-b")
    return made


def rows_of(plant, label, name):
    column = plant.fleet[Level.GPU].labels[label]
    return tuple(row for row, value in enumerate(column) if value == name)


def gpu(plant, row, cause="thermal_interface", own=1.0, shared=1.0, **more):
    """A GPU whose resistance rose by the factors `own` (its alone) and `shared` (its peers' as well)."""
    labels = plant.fleet[Level.GPU].labels
    usual = 0.05
    seen = Evidence(R, usual * own * shared, Unit.KELVIN_PER_WATT, usual, usual * shared, 9.0)
    place = f"{labels['node'][row]}/gpu{labels['gpu'][row]}"
    return Suspicion(cause, "gpu", place, labels["uuid"][row], (row,), 0.7, evidence=(seen,), **more)


def of(plant, scope, name, cause, score=0.8, **more):
    return Suspicion(cause, scope, name, name, rows_of(plant, scope, name), score, **more)


def run(plant, *phases):
    """Ticks through a real engine: (seconds, what is told) after one another; returns engine and outcomes."""
    teller = Telltale()
    engine = plant.engine(teller)
    outcomes = []
    for seconds, tells in phases:
        teller.tells = tells
        outcomes += [engine.run(tick) for tick in plant.ticks(seconds)]
    return engine, outcomes


def kinds(incidents):
    return sorted((i.cause, i.scope, i.place) for i in incidents)


def test_a_loop_event_on_two_racks_is_one_incident_with_its_children(plant):
    nodes = [name for name in plant.names if name[:3] in ("r00", "r01")]

    def tells(now):
        return [of(plant, "node", node, "cold_plate") for node in nodes] + [
            gpu(plant, row, "straggler") for row in (0, 5, 9)
        ]

    engine, _ = run(plant, (30, tells))
    (only,) = engine.incidents.open
    assert (only.cause, only.scope, only.place) == ("coolant_loop", "loop", "loop-a")
    assert len(only.gpus) == 32
    kinds_below = {(child.cause, child.scope) for child in only.children.values()}
    assert {("cold_plate", "node"), ("coolant_loop", "rack"), ("straggler", "gpu")} <= kinds_below
    assert "2 of 2 racks" in only.evidence[0].text


def test_one_real_fault_during_an_event_of_the_loop_keeps_its_own_incident(plant):
    loop = rows_of(plant, "loop", "loop-a")

    def tells(now):
        wide = of(plant, "loop", "loop-a", "coolant_loop", since=plant.begun)
        symptoms = [gpu(plant, row, shared=1.2, since=plant.begun) for row in loop[:6]]
        return [wide, *symptoms, gpu(plant, loop[9], own=1.3, shared=1.2, since=plant.begun)]

    engine, _ = run(plant, (30, tells))
    assert [(i.cause, i.scope) for i in engine.incidents.open] == [
        ("coolant_loop", "loop"),
        ("thermal_interface", "gpu"),
    ]
    assert engine.incidents.open[1].gpus == [plant.fleet[Level.GPU].keys[loop[9]]]


def test_when_most_of_a_loop_stands_out_it_is_the_loop_after_all(plant):
    loop = rows_of(plant, "loop", "loop-a")
    engine, _ = run(
        plant,
        (
            30,
            lambda _: (
                [of(plant, "loop", "loop-a", "coolant_loop")]
                + [gpu(plant, row, own=1.3) for row in loop[:12]]
            ),
        ),
    )
    assert kinds(engine.incidents.open) == [("coolant_loop", "loop", "loop-a")]


def test_what_was_there_days_before_is_not_taken_over(plant):
    old = gpu(plant, 2, shared=1.2, since=plant.begun - 3 * 86400)
    loop = of(plant, "loop", "loop-a", "coolant_loop", since=plant.begun + 60)
    engine, _ = run(plant, (60, lambda _: [old]), (60, lambda _: [old, loop]))
    assert len(engine.incidents.open) == 2


def test_a_symptom_that_was_called_first_joins_its_cause_under_the_older_name(plant):
    warm = gpu(plant, 2, shared=1.2, since=plant.begun)
    loop = of(plant, "loop", "loop-a", "coolant_loop", since=plant.begun - 600)
    engine, outcomes = run(plant, (900, lambda _: [warm]), (60, lambda _: [warm, loop]))
    (only,) = engine.incidents.open
    assert only.cause == "coolant_loop"
    names = {i.name for outcome in outcomes for i in outcome.incidents}
    assert names == {only.name}
    assert [child.place for child in only.children.values()] == [warm.place]


INVENTORY = {
    "nodes": [{"node": "x", "rack": rack, "row": "row-1", "hall": "h1"} for rack in ("r00", "r01", "r02")],
    "devices": [
        {"device": f"pdu-{rack}-{side}", "role": "rack_pdu", "rack": rack, "feed": side}
        for rack in ("r00", "r01")
        for side in ("A", "B")
    ]
    + [{"device": "pump-1", "role": "cdu", "loop": "loop-a"}],
}


def around(*works):
    return surroundings_from(INVENTORY["nodes"], INVENTORY["devices"], works)


def test_supplies_that_fail_together_are_their_feed(plant):
    teller = Telltale()
    engine = plant.engine(teller)
    engine.incidents.surroundings = around()
    nodes = [name for name in plant.names if name[:3] in ("r00", "r01")]
    teller.tells = lambda _: [of(plant, "node", node, "power_supply") for node in nodes]
    plant.run(engine, 30)
    causes = {(i.cause, i.scope) for i in engine.incidents.open}
    assert causes == {("power_path", "feed")}
    assert all(len(i.gpus) == 32 for i in engine.incidents.open)


def test_racks_that_warm_together_are_their_fan_wall_and_links_that_err_together_their_switch(plant):
    air = [{"rack": rack, "device": "crah-1"} for rack in ("r00", "r01")] + [
        {"rack": "r02", "device": "crah-2"}
    ]
    ports = [{"node": name, "device": f"leaf-{name[-1]}"} for name in plant.names]
    teller = Telltale()
    engine = plant.engine(teller)
    engine.incidents.surroundings = surroundings_from(INVENTORY["nodes"], (), (), air, ports)
    warm = [of(plant, "rack", rack, "inlet_air") for rack in ("r00", "r01")]
    err = [of(plant, "node", name, "link") for name in plant.names if name.endswith("n02")]
    teller.tells = lambda _: [*warm, *err, of(plant, "node", "r00-n01", "link")]
    plant.run(engine, 30)
    assert kinds(engine.incidents.open) == [
        ("inlet_air", "device", "crah-1"),
        ("link", "node", "r00-n01"),
        ("switch", "switch", "leaf-2"),
    ]


def test_switches_that_serve_the_same_nodes_cannot_be_told_apart(plant):
    ports = [
        {"node": name, "device": f"{name[:3]}-{rail}"} for name in plant.names for rail in ("a", "b", "c")
    ]
    found = surroundings_from((), (), (), (), ports)
    assert found.above["node", "r01-n02"] == (("switch", "r01-a..r01-c"),)
    found = surroundings_from((), (), (), (), [one for one in ports if not one["device"].endswith("c")])
    assert found.above["node", "r01-n02"] == (("switch", "r01-a,r01-b"),)


def test_one_supply_is_not_its_feed(plant):
    teller = Telltale()
    engine = plant.engine(teller)
    engine.incidents.surroundings = around()
    teller.tells = lambda _: [of(plant, "node", "r00-n00", "power_supply")]
    plant.run(engine, 30)
    assert kinds(engine.incidents.open) == [("power_supply", "node", "r00-n00")]


def test_a_fan_wall_takes_the_racks_that_it_blows_at(plant):
    wall = Suspicion(
        "fan",
        "device",
        "crah-1",
        "crah-1",
        rows_of(plant, "rack", "r00") + rows_of(plant, "rack", "r01"),
        0.8,
    )
    racks = [of(plant, "rack", rack, "inlet_air") for rack in ("r00", "r01")]
    elsewhere = of(plant, "rack", "r02", "inlet_air")
    engine, _ = run(plant, (30, lambda _: [wall, *racks, elsewhere]))
    assert kinds(engine.incidents.open) == [("fan", "device", "crah-1"), ("inlet_air", "rack", "r02")]


def test_a_pump_is_the_cause_of_its_loop(plant):
    teller = Telltale()
    engine = plant.engine(teller)
    engine.incidents.surroundings = around()
    pump = Suspicion("pump", "device", "pump-1", "pump-1", (), 0.8)
    teller.tells = lambda _: [pump, of(plant, "loop", "loop-a", "coolant_loop"), gpu(plant, 0, shared=1.2)]
    plant.run(engine, 30)
    assert kinds(engine.incidents.open) == [("pump", "device", "pump-1")]


def test_a_switch_takes_its_links_and_a_step_of_one_version_takes_levels(plant):
    rows = rows_of(plant, "rack", "r00")
    switch = Suspicion("switch", "switch", "sw-1", "sw-1", rows, 0.8)
    version = Suspicion("software", "site", "driver 580", "driver 580", tuple(range(48)), 0.8)
    engine, _ = run(
        plant,
        (
            30,
            lambda _: [
                switch,
                version,
                gpu(plant, 1, "link"),
                gpu(plant, 20, "unknown"),
                gpu(plant, 30, "memory"),
            ],
        ),
    )
    causes = {(i.cause, i.scope) for i in engine.incidents.open}
    assert causes == {("software", "site"), ("memory", "gpu"), ("switch", "switch")}


def test_all_gpus_of_a_job_that_change_are_the_job(plant):
    job = rows_of(plant, "job", "job-r01")
    engine, _ = run(plant, (30, lambda _: [gpu(plant, row, "unknown") for row in job]))
    assert kinds(engine.incidents.open) == [("job", "job", "job-r01")]


@pytest.mark.parametrize(
    ("scope", "place"),
    [
        ("rack", "r00"),
        ("node", "r00-n00"),
        ("loop", "loop-a"),
        ("hall", "h1"),
        ("row", "row-1"),
        ("gpu", "r00-n00/2"),
        ("feed", "A"),
    ],
)
def test_maintenance_is_known_and_ends(plant, scope, place):
    teller = Telltale()
    engine = plant.engine(teller)
    until = plant.now + 60
    engine.incidents.surroundings = around(({"scope": scope, "place": place, "reason": "hose"}, until))
    teller.tells = lambda _: [gpu(plant, 2), gpu(plant, 40)]
    plant.run(engine, 30)
    state = {i.place: (i.known, i.known_why) for i in engine.incidents.open}
    assert state["r00-n00/gpu2"] == (
        "maintenance",
        f"maintenance of {scope} {place.replace('/', '/gpu')}: hose",
    )
    elsewhere = "maintenance" if scope in ("hall", "row") else ""
    assert state["r02-n02/gpu0"][0] == elsewhere
    plant.run(engine, 60 + 620)
    assert {i.known for i in engine.incidents.open} == {""}


def test_a_job_that_starts_moves_levels_and_opens_nothing_until_it_has_settled(plant):
    job = rows_of(plant, "node", "r00-n01")
    teller = Telltale()
    engine = plant.engine(teller)
    plant.run(engine, 10)
    for row in job:
        plant.fleet[Level.GPU].set(row, "job", "job-new")
    teller.tells = lambda _: [gpu(plant, row, "unknown") for row in job] + [gpu(plant, job[0])]
    plant.run(engine, 60)
    assert kinds(engine.incidents.open) == [("thermal_interface", "gpu", "r00-n01/gpu0")]
    plant.run(engine, SETTLE)
    assert ("unknown", "node", "r00-n01") in kinds(engine.incidents.open)


def test_trouble_that_flaps_is_one_incident_under_one_name(plant):
    teller = Telltale()
    engine = plant.engine(teller)
    names = set()
    for _ in range(6):
        teller.tells = lambda _: [gpu(plant, 3)]
        outcomes = plant.run(engine, 30)
        teller.tells = lambda _: []
        outcomes += plant.run(engine, 90)
        names |= {i.name for outcome in outcomes for i in outcome.incidents}
    assert len(names) == 1
    (only,) = engine.incidents.open or engine.incidents.past
    assert 1 <= only.reopened <= 2, "each return doubles the patience, so that it stops flapping"


def test_incidents_survive_a_restart_with_all_that_is_known_of_them(plant):
    loop = of(plant, "loop", "loop-a", "coolant_loop")
    engine, _ = run(
        plant, (30, lambda _: [loop, gpu(plant, 0, shared=1.2)]), (200, lambda _: [gpu(plant, 40)])
    )
    again = plant.engine(Telltale())
    again.incidents.load(engine.incidents.dump())
    assert [i.dump() for i in again.incidents.open] == [i.dump() for i in engine.incidents.open]
    assert [i.dump() for i in again.incidents.past] == [i.dump() for i in engine.incidents.past]
    assert engine.incidents.past, "the loop is over"
    assert engine.incidents.past[0].children


def test_an_old_dump_is_taken_over(plant):
    old = {
        "name": "thermal_interface-n0-gpu3-1", "cause": "thermal_interface", "scope": "gpu",
        "place": "n0/gpu3", "key": "U3", "since": 1.0, "seen": 2.0, "opened": 2.0, "score": 0.5,
        "eta": None, "gpus": ["U3"],
    }  # fmt: skip
    engine = plant.engine(Telltale())
    engine.incidents.load([old])
    assert engine.incidents.open[0].name == old["name"]
    with pytest.raises(ValueError, match="incidents"):
        engine.incidents.load([{**old, "colour": "red"}])


def test_thousands_of_suspicions_group_as_few_do(plant):
    """A fleet of 20 racks in which everything is suspected is one incident per loop, and no more."""
    big = type(plant)(racks=20, nodes=8, gpus=8)
    nodes = [of(big, "node", name, "cold_plate") for name in big.names]
    gpus = [gpu(big, row, "straggler") for row in range(len(big.fleet[Level.GPU]))]
    engine, _ = run(big, (15, lambda _: nodes + gpus))
    assert kinds(engine.incidents.open) == [("coolant_loop", "rack", f"r{i:02d}") for i in range(20)]
    assert sum(len(i.gpus) for i in engine.incidents.open) == 1280


def test_a_cause_that_no_table_knows_is_told_as_unknown(plant):
    engine, _ = run(plant, (30, lambda _: [gpu(plant, 3, "gremlins"), of(plant, "node", "r02-n00", "fan")]))
    assert kinds(engine.incidents.open) == [("fan", "node", "r02-n00"), ("unknown", "gpu", "r00-n00/gpu3")]


def test_every_cause_explains_only_causes_that_exist():
    assert set(EXPLAINS) == set(findings.CAUSES)
    assert all(explained <= set(findings.CAUSES) for explained in EXPLAINS.values())


def test_the_inventory_and_maintenance_are_read_from_prometheus():
    """The real client against a server that answers as Prometheus does; what fails leaves what was known."""
    until, broken = 1_760_003_600.0, False
    answers = {
        "node_info": [({"node": "n1", "rack": "r1", "row": "a", "hall": "h"}, 1.0)],
        "device_info": [({"device": "pdu-1", "role": "rack_pdu", "rack": "r1", "feed": "A"}, 1.0)],
        "rack_air_info": [({"rack": "r1", "device": "crah-1"}, 1.0)],
        "node_switch_info": [({"node": "n1", "device": "leaf-1"}, 1.0)],
        "maintenance": [({"scope": "gpu", "place": "n1/3", "reason": "paste"}, until)],
    }

    def query(request):
        if broken:
            return Response.json({"status": "error", "errorType": "execution", "error": "no"}, 422)
        text = parse_qs(request.body.decode())["query"][0]
        rows = next(rows for name, rows in answers.items() if name in text)
        result = [{"metric": labels, "value": [1_760_000_000, str(value)]} for labels, value in rows]
        return Response.json({"status": "success", "data": {"resultType": "vector", "result": result}})

    app = App()
    app.route("POST", "/api/v1/query", query)
    running = serve(app, "127.0.0.1:0")
    said = []
    try:
        reader = Around(Prometheus(running.url, 10.0), lambda reason, _error: said.append(reason))
        found = reader.at(1_760_000_000.0)
        assert found.above["rack", "r1"] == (("row", "a"), ("hall", "h"), ("feed", "A"), ("air", "crah-1"))
        assert found.above["node", "n1"] == (("switch", "leaf-1"),)
        assert found.working(until - 1).keys() == {("gpu", "n1/gpu3")}
        assert found.working(until + 1) == {}
        assert reader.at(1_760_000_001.0) is found, "nothing is asked again so soon"
        broken = True
        assert reader.at(1_760_000_020.0) is found
        assert said == ["query"]
    finally:
        running.close()
