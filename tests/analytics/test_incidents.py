"""Incidents: one cause, one incident; opened late enough, closed late enough, never renamed."""

from __future__ import annotations

from analytics.detectors import Suspicion
from analytics.fleet import Fleet, Level
from analytics.incidents import Incidents

FLEET = Fleet()
FLEET[Level.GPU].rows(
    [f"U{i}" for i in range(32)],
    [
        {"uuid": f"U{i}", "gpu": str(i % 8), "node": f"n{i // 8}", "rack": "r1", "loop": "l1", "job": "j"}
        for i in range(32)
    ],
)


def gpu(row: int, cause: str = "thermal_interface") -> Suspicion:
    return Suspicion(cause, "gpu", f"n{row // 8}/gpu{row % 8}", f"U{row}", (row,), 0.7)


def node(number: int, cause: str = "cold_plate") -> Suspicion:
    name = f"n{number}"
    return Suspicion(cause, "node", name, name, tuple(range(8 * number, 8 * number + 8)), 0.8)


LOOP = Suspicion("coolant_loop", "loop", "l1", "l1", tuple(range(32)), 0.9)


def kinds(incidents):
    return [(i.cause, i.scope, i.place) for i in incidents]


def test_one_glance_opens_nothing_and_a_lasting_one_opens_once():
    keeper = Incidents()
    assert keeper.update(0, [gpu(3)], FLEET) == []
    opened = keeper.update(5, [gpu(3)], FLEET)
    assert kinds(opened) == [("thermal_interface", "gpu", "n0/gpu3")]
    assert keeper.update(10, [gpu(3)], FLEET)[0].name == opened[0].name


def test_a_gap_does_not_close_and_silence_does():
    keeper = Incidents()
    for now in (0, 5, 10):
        keeper.update(now, [gpu(3)], FLEET)
    assert len(keeper.update(60, [], FLEET)) == 1
    assert keeper.update(75, [], FLEET) == []


def test_the_loop_takes_over_what_it_explains():
    keeper = Incidents()
    for now in (0, 5):
        keeper.update(now, [gpu(3), node(2)], FLEET)
    for now in (10, 15, 20):
        opened = keeper.update(now, [gpu(3), node(2), LOOP], FLEET)
    assert ("coolant_loop", "loop", "l1") in kinds(opened)
    for now in (25, 30):
        opened = keeper.update(now, [gpu(9), LOOP], FLEET)
    assert ("thermal_interface", "gpu", "n1/gpu1") not in kinds(opened)


def test_most_nodes_of_a_rack_are_one_incident_of_the_rack():
    keeper = Incidents()
    for now in (0, 5):
        opened = keeper.update(now, [node(0), node(1), node(2)], FLEET)
    assert kinds(opened) == [("coolant_loop", "rack", "r1")]
    assert len(opened[0].gpus) == 24


def test_a_straggler_that_is_hot_is_one_incident():
    keeper = Incidents()
    for now in (0, 5):
        opened = keeper.update(now, [gpu(3), gpu(3, "straggler")], FLEET)
    assert kinds(opened) == [("thermal_interface", "gpu", "n0/gpu3")]


def test_a_straggler_elsewhere_stands_beside_a_warm_gpu():
    keeper = Incidents()
    for now in (0, 5):
        opened = keeper.update(now, [gpu(3), gpu(12, "straggler")], FLEET)
    assert len(opened) == 2


def test_names_survive_a_restart():
    keeper = Incidents()
    for now in (0, 5):
        opened = keeper.update(now, [LOOP], FLEET)
    again = Incidents()
    again.load(keeper.dump())
    assert [i.name for i in again.update(10, [LOOP], FLEET)] == [i.name for i in opened]
