"""What many GPUs share, against its own past: drifts and events are called, days and seasons are not."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pytest

from analytics.detectors.cooling import Cooling
from analytics.engine import Engine
from analytics.fleet import Fleet, Level, Tick
from analytics.incidents import Incident

HOUR, DAY = 3600.0, 86400.0
STEP = 600.0


@dataclass
class Hall:
    """Racks of nodes at jobs, sampled every ten minutes; the air or coolant of a rack moves on request."""

    racks: int = 3
    nodes: int = 3
    gpus: int = 2
    liquid: bool = False
    blind: tuple[int, ...] = ()
    limit: float | None = None
    swing: float = 2.0
    noise: float = 0.2
    now: float = 1_760_000_000.0
    warmer: np.ndarray = field(init=False)
    factor: np.ndarray = field(init=False)

    def __post_init__(self) -> None:
        self.rng = np.random.default_rng(7)
        self.fleet, self.detector = Fleet(), Cooling()
        self.rack = np.repeat(np.arange(self.racks), self.nodes)
        self.node = np.repeat(np.arange(len(self.rack)), self.gpus)
        loops = [f"loop-{r}" if self.liquid else "" for r in range(self.racks)]
        nodes = [{"node": f"n{n}", "rack": f"r{r}", "loop": loops[r]} for n, r in enumerate(self.rack)]
        gpus = [{"uuid": f"GPU-{i}", "gpu": str(i % self.gpus), **nodes[n]} for i, n in enumerate(self.node)]
        self.fleet[Level.GPU].rows([one["uuid"] for one in gpus], gpus)
        self.fleet[Level.NODE].rows([one["node"] for one in nodes], nodes)
        if self.liquid:
            self.fleet[Level.LOOP].rows(loops, [{"loop": loop} for loop in loops])
        self.warmer, self.factor = np.zeros(self.racks), np.ones(len(self.node))
        self.busy = np.full(len(self.rack), 0.9)
        self.engine = Engine([self.detector], fleet=self.fleet)
        self.silent = False
        self.names: dict[str, Incident] = {}

    def run(self, seconds: float, pace: float = 0.0, rack: int = 0) -> list[Incident]:
        """Incidents that opened meanwhile; `pace` is how fast the air of `rack` gets warmer, K an hour."""
        before = set(self.names)
        for _ in range(round(seconds / STEP)):
            self.now += STEP
            self.warmer[rack] += pace * STEP / HOUR
            for one in self.engine.run(self.tick()).incidents:
                self.names[one.name] = one
        return [one for name, one in self.names.items() if name not in before]

    def tick(self) -> Tick:
        day = self.swing * np.sin(2 * np.pi * self.now / DAY)
        air = 25 + day + self.warmer + 0.1 * self.rng.standard_normal(self.racks)
        change = self.rng.random(len(self.busy)) < 0.02
        self.busy = np.where(change, self.rng.uniform(0.5, 1.0, len(self.busy)), self.busy)
        power = 700 * self.busy[self.node] * (1 + 0.01 * self.rng.standard_normal(len(self.node)))
        core = np.rint(air[self.rack[self.node]] + 0.05 * power * self.factor)
        values = {"power": power, "temperature": core}
        if self.limit is not None:
            values["margin"] = self.limit - core
        sensed = air + self.noise * self.rng.standard_normal(self.racks)
        sensed[list(self.blind)] = np.nan
        if self.silent:
            values = {}
        elif self.liquid:
            values["coolant_supply"] = sensed
        else:
            values["inlet"] = sensed[self.rack]
        return Tick(self.now, self.fleet, values)


def places(found: list[Incident]) -> list[tuple[str, str, str]]:
    return [(one.cause, one.scope, one.place) for one in found]


def test_a_supply_that_drifts_for_days_is_called_and_its_daily_swing_is_not() -> None:
    hall = Hall(liquid=True)
    assert not hall.run(3 * DAY)
    found = hall.run(16 * HOUR, pace=0.2)  # 3.2 K
    assert places(found) == [("coolant_loop", "loop", "loop-0")]
    (one,) = found
    assert set(one.gpus) == {f"GPU-{i}" for i in range(6)}
    assert one.onset is not None
    assert abs(one.onset - (hall.now - 16 * HOUR)) < 8 * HOUR
    # The GPUs of the loop say the same as its sensor, so that is not to be doubted.
    assert (one.confidence or 0) > 0.8
    assert any("equal power" in evidence.text for evidence in one.evidence)


def test_hot_inlet_air_is_one_incident_of_its_rack_within_half_an_hour() -> None:
    hall = Hall()
    assert not hall.run(2 * DAY)
    hall.warmer[1] = 4.0
    assert places(hall.run(1800)) == [("inlet_air", "rack", "r1")]
    assert not hall.run(6 * HOUR)
    hall.warmer[1] = 0.0
    assert not hall.run(DAY)


@pytest.mark.parametrize(("room", "called"), [(1.5, True), (20.0, False)])
def test_a_small_rise_is_called_where_gpus_have_no_room_for_it(room: float, called: bool) -> None:
    hall = Hall(liquid=True, swing=0.5, noise=0.05)
    hall.run(2 * DAY)
    hall.limit = 25 + 0.5 + 35 + 1 + room
    hall.run(DAY)
    hall.warmer[0] = 1.6
    found = hall.run(4 * HOUR)
    assert places(found) == ([("coolant_loop", "loop", "loop-0")] if called else [])
    if called:
        assert found[0].eta is not None
        assert found[0].earliest is not None
        assert found[0].latest is not None
        assert found[0].earliest <= found[0].eta <= found[0].latest
        assert any(evidence.signal == "gpus" and evidence.value > 0 for evidence in found[0].evidence)


def test_gpus_stand_in_where_no_sensor_tells() -> None:
    hall = Hall(blind=(2,), racks=4)
    assert not hall.run(3 * DAY)
    hall.warmer[2] = 5.0
    found = hall.run(2 * HOUR)
    assert places(found) == [("inlet_air", "rack", "r2")]
    assert (found[0].confidence or 1) < 0.8


def test_software_that_warms_gpus_everywhere_is_no_hot_air() -> None:
    hall = Hall(blind=(0, 1, 2, 3), racks=4)
    assert not hall.run(3 * DAY)
    hall.factor[:] = 1.12
    assert not hall.run(DAY)


def test_software_on_some_nodes_is_no_hot_air_where_it_reaches_a_whole_blind_rack() -> None:
    """What moved elsewhere is forgotten as fast as what moved here, so neither looks new after a day."""
    hall = Hall(blind=(2,), racks=5, nodes=4)
    assert not hall.run(3 * DAY)
    updated = (hall.rack == 2) | (np.arange(len(hall.rack)) % 5 < 2)
    hall.factor[updated[hall.node]] = 1.15
    assert not hall.run(3 * DAY)
    # A fault of its own is called in spite of all that.
    hall.warmer[2] += 6.0
    assert places(hall.run(3 * HOUR)) == [("inlet_air", "rack", "r2")]


def test_a_sensor_that_the_gpus_do_not_bear_out_is_doubted() -> None:
    hall = Hall(liquid=True)
    hall.run(2 * DAY)
    tick = hall.tick

    def wrong() -> Tick:
        made = tick()
        made.values["coolant_supply"][1] += 4.0
        return made

    hall.tick = wrong  # type: ignore[method-assign] # one sensor goes astray, nothing else
    (one,) = hall.run(2 * HOUR)
    assert (one.place, one.cause) == ("loop-1", "coolant_loop")
    assert (one.confidence or 1) < 0.6
    assert max(one.rivals, key=lambda rival: rival.likelihood).cause == "sensor"


def test_a_new_set_point_is_usual_after_some_days_and_its_end_is_no_event() -> None:
    hall = Hall(liquid=True)
    hall.run(3 * DAY)
    hall.warmer[0] = 4.0
    assert len(hall.run(2 * DAY)) == 1
    assert not hall.engine.incidents.open
    hall.warmer[0] = 0.0
    assert not hall.run(2 * DAY)
    hall.warmer[0] = 4.0
    assert len(hall.run(6 * HOUR)) == 1


def test_one_odd_reading_is_nothing_not_even_the_first_after_a_gap() -> None:
    hall = Hall(liquid=True)
    hall.run(2 * DAY)
    for quiet in (0.0, 6 * HOUR):
        hall.silent = True
        hall.run(quiet)
        hall.silent = False
        hall.warmer[0] = 3.0
        assert not hall.run(STEP)
        hall.warmer[0] = 0.0
        assert not hall.run(6 * HOUR)


def test_weather_that_warms_all_racks_alike_is_nobodys_fault() -> None:
    hall = Hall(racks=6)
    hall.run(2 * DAY)
    for _ in range(30):
        hall.warmer += 0.1
        assert not hall.run(HOUR)


def test_a_plant_that_warms_everywhere_is_called_in_the_end() -> None:
    hall = Hall(racks=6)
    hall.run(2 * DAY)
    hall.warmer += 7.0
    assert {one.cause for one in hall.run(4 * HOUR)} == {"inlet_air"}
