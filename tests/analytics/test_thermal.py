"""Thermal resistance: finds what is broken, says what it is, in time; stays silent when nothing is."""

from __future__ import annotations

import numpy as np
import pytest

from analytics.detectors.cooling import Cooling
from analytics.detectors.peers import Peers
from analytics.detectors.thermal import ThermalResistance
from gigawatch.catalogue import findings


def first(outcomes, cause=None):
    """Time of the first incident (of a cause) and the incident."""
    for outcome in outcomes:
        for incident in outcome.incidents:
            if cause in (None, incident.cause):
                return outcome.now, incident
    return None, None


def ramp(plant, engine, rows, to, seconds, over=20.0):
    """Raise the resistance of these GPUs over `over` seconds, then hold it."""
    outcomes = []
    for i in range(int(seconds / plant.step)):
        plant.factor[rows] = 1 + (to - 1) * min(1.0, (i + 1) * plant.step / over)
        outcomes += plant.run(engine, plant.step)
    return outcomes


@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.parametrize("before", [300.0, 900.0])
def test_dry_thermal_paste_of_one_gpu_is_found_within_a_minute(make_plant, seed, before):
    plant = make_plant(seed=seed)
    engine = plant.engine(ThermalResistance(), Cooling(), Peers())
    assert first(plant.run(engine, before)) == (None, None)
    start = plant.now
    at, incident = first(ramp(plant, engine, [11], 1.8, 120))
    assert incident is not None
    assert at - start <= 75
    assert (incident.cause, incident.scope, incident.place) == ("thermal_interface", "gpu", "r00-n01/gpu3")
    assert incident.gpus == ["GPU-r00-n01-3"]


@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.parametrize("before", [300.0, 900.0])
def test_clogged_cold_plates_of_one_node_are_one_incident(make_plant, seed, before):
    plant = make_plant(seed=seed)
    engine = plant.engine(ThermalResistance(), Cooling(), Peers())
    plant.run(engine, before)
    start = plant.now
    outcomes = ramp(plant, engine, list(range(8, 16)), 1.6, 180)
    at, incident = first(outcomes, "cold_plate")
    assert incident is not None
    assert at - start <= 75
    assert (incident.scope, incident.place) == ("node", "r00-n01")
    assert [i.cause for i in outcomes[-1].incidents] == ["cold_plate"]
    assert len(outcomes[-1].incidents[0].gpus) == 8


@pytest.mark.parametrize(("air", "tau", "seed"), [(False, 12.0, 4), (False, 40.0, 5), (True, 80.0, 4)])
def test_a_healthy_plant_is_silent_under_swings_checkpoints_and_a_power_cap(make_plant, air, tau, seed):
    plant = make_plant(racks=1, nodes=3, air=air, tau=tau, seed=seed)
    engine = plant.engine(ThermalResistance(), Cooling(), Peers())
    outcomes = plant.run(engine, 1200)
    plant.cap[:8] = 300
    outcomes += plant.run(engine, 600)
    plant.cap[:8] = 700
    plant.load = lambda _t: np.zeros(len(plant.full))
    outcomes += plant.run(engine, 400)
    plant.load = plant.training
    outcomes += plant.run(engine, 600)
    assert [(o.now - plant.begun, i.name) for o in outcomes for i in o.incidents] == []


@pytest.mark.parametrize("seed", [6])
def test_a_job_that_starts_on_an_idle_node_is_no_fault(make_plant, seed):
    plant = make_plant(seed=seed)
    engine = plant.engine(ThermalResistance(), Cooling(), Peers())
    idle = np.zeros(len(plant.full))
    plant.load = lambda _t: idle
    plant.temperature[:] = 33.0
    outcomes = plant.run(engine, 300)
    busy = plant.training
    plant.load = lambda _t: np.where(plant.node == 1, busy(_t), 0.0)
    outcomes += plant.run(engine, 900)
    assert [i.name for o in outcomes for i in o.incidents] == []


def test_a_loop_that_loses_flow_is_one_incident_of_the_loop(make_plant):
    plant = make_plant(nodes=4, seed=8)
    engine = plant.engine(ThermalResistance(), Cooling(), Peers())
    plant.run(engine, 400)
    start = plant.now
    outcomes = []
    for i in range(60):
        plant.flow = max(0.55, 1 - 0.09 * (i + 1))
        outcomes += plant.run(engine, 5)
    at, incident = first(outcomes)
    assert at - start <= 45
    assert (incident.cause, incident.scope, incident.place) == ("coolant_loop", "loop", "loop-r00")
    assert {i.name for o in outcomes for i in o.incidents} == {incident.name}
    assert len(outcomes[-1].incidents[0].gpus) == 32


def test_lost_flow_is_shared_even_where_no_flow_meter_says_so(make_plant):
    plant = make_plant(nodes=4, seed=9)
    engine = plant.engine(ThermalResistance(), Cooling(), Peers())

    def run(seconds):
        done = []
        for tick in plant.ticks(seconds):
            del tick.values["coolant_flow"]
            done.append(engine.run(tick))
        return done

    run(400)
    plant.flow = 0.5
    outcomes = run(240)
    causes = {(i.cause, i.scope, i.place) for o in outcomes for i in o.incidents}
    assert causes == {("coolant_loop", "loop", "loop-r00")}


def test_warmer_inlet_air_is_one_incident_of_the_rack(make_plant):
    plant = make_plant(nodes=4, air=True, tau=80.0, seed=10)
    engine = plant.engine(ThermalResistance(), Cooling(), Peers())
    plant.run(engine, 400)
    plant.inlet += 8
    outcomes = plant.run(engine, 300)
    causes = {(i.cause, i.scope, i.place) for o in outcomes for i in o.incidents}
    assert causes == {("inlet_air", "rack", "r00")}


def test_five_kelvin_more_inlet_air_leave_the_gpus_uncalled(make_plant):
    plant = make_plant(nodes=4, air=True, tau=80.0, seed=11)
    engine = plant.engine(ThermalResistance())
    outcomes = plant.run(engine, 400)
    plant.inlet += 5
    outcomes += plant.run(engine, 400)
    assert [i.name for o in outcomes for i in o.incidents] == []


def test_an_incident_closes_after_the_repair_and_keeps_its_name_until_then(make_plant):
    plant = make_plant(seed=12)
    engine = plant.engine(ThermalResistance(), Cooling(), Peers())
    plant.run(engine, 1000)
    outcomes = ramp(plant, engine, [2], 1.9, 300)
    names = {i.name for o in outcomes for i in o.incidents}
    assert len(names) == 1
    plant.factor[2] = 1.0
    outcomes = plant.run(engine, 420)
    assert {i.name for o in outcomes for i in o.incidents} == names
    assert outcomes[-1].incidents == []


def estimate(outcome, metric):
    return next(e.values for e in outcome.verdicts["thermal_resistance"].estimates if e.metric is metric)


def test_the_resistance_comes_out_right_and_its_change_as_well(make_plant):
    plant = make_plant(seed=13)
    engine = plant.engine(ThermalResistance(), Cooling(), Peers())
    outcome = plant.run(engine, 1200)[-1]
    found = estimate(outcome, findings.THERMAL_RESISTANCE)
    np.testing.assert_allclose(found, plant.resistance, rtol=0.12)
    outcomes = ramp(plant, engine, [5], 1.8, 300)
    change = estimate(outcomes[-1], findings.THERMAL_RESISTANCE_CHANGE)
    assert change[5] == pytest.approx(0.8, abs=0.2)
    assert np.all(np.abs(np.delete(change, 5)) < 0.1)


def test_time_to_throttle_is_absent_without_a_trend_and_about_right_with_one(make_plant):
    plant = make_plant(seed=14)
    engine = plant.engine(ThermalResistance(), Cooling(), Peers())
    plant.load = lambda _t: np.ones(len(plant.full))
    outcomes = plant.run(engine, 600)
    assert not any(np.isfinite(estimate(o, findings.TIME_TO_THROTTLE)).any() for o in outcomes)
    forecasts = []
    for _ in range(240):
        plant.factor[4] += 0.006 * plant.step / 5
        outcome = plant.run(engine, 5)[0]
        eta = estimate(outcome, findings.TIME_TO_THROTTLE)
        assert not np.isfinite(np.delete(eta, 4)).any()
        if np.isfinite(eta[4]):
            forecasts.append((plant.now, eta[4]))
        if plant.temperature[4] >= plant.slowdown:
            break
    hit = plant.now
    assert forecasts
    assert hit - forecasts[0][0] >= 120
    errors = [abs(eta - (hit - at)) / (hit - at) for at, eta in forecasts if hit - at > 60]
    assert np.median(errors) < 0.35


def test_slow_drift_of_one_gpu_is_called_days_ahead(make_plant):
    plant = make_plant(nodes=4, seed=15, step=600.0)
    engine = plant.engine(ThermalResistance())
    rng = np.random.default_rng(0)

    def day(drifting: bool):
        outcomes = []
        for _ in range(int(86400 / plant.step)):
            if drifting:
                plant.factor[9] *= 1.05 ** (plant.step / 86400)
            share = 0.6 + 0.35 * rng.random(len(plant.full))
            plant.power = 70 + share * (plant.full - 70)
            plant.temperature = plant.supply + plant.resistance * plant.factor * plant.power
            plant.now += plant.step
            outcomes.append(engine.run(plant.tick()))
        return outcomes

    healthy = [o for _ in range(5) for o in day(False)]
    assert [i.name for o in healthy for i in o.incidents] == []
    start, outcomes = plant.now, []
    for _ in range(8):
        outcomes += day(True)
    at, incident = first(outcomes)
    assert incident is not None
    assert incident.gpus == ["GPU-r00-n01-1"]
    assert (at - start) / 86400 <= 3
    assert any(i.eta is not None for o in outcomes for i in o.incidents)


def test_where_no_sensor_tells_the_inlet_peers_stand_in_and_the_fault_is_still_found(make_plant):
    plant = make_plant(nodes=4, seed=16)
    engine = plant.engine(ThermalResistance())

    def run(seconds):
        done = []
        for tick in plant.ticks(seconds):
            tick.values.pop("coolant_supply")
            done.append(engine.run(tick))
        return done

    assert [i.name for o in run(900) for i in o.incidents] == []
    start = plant.now
    plant.factor[21] = 1.7
    at, incident = first(run(200))
    assert incident is not None
    assert at - start <= 120
    assert incident.gpus == ["GPU-r00-n02-5"]


def test_a_suspicion_says_since_when_what_speaks_for_it_and_what_else_it_could_be(make_plant):
    plant = make_plant(seed=17)
    detector = ThermalResistance()
    engine = plant.engine(detector)
    plant.run(engine, 1000)
    start = plant.now
    outcomes = ramp(plant, engine, [11], 1.8, 120)
    (told,) = outcomes[-1].verdicts[detector.name].suspicions
    assert start <= told.since <= start + 60
    assert {e.signal for e in told.evidence} >= {"temperature", "power"}
    assert {r.cause for r in told.rivals} >= {"sensor", "inlet_air", "cold_plate"}
    assert all(r.why and 0 < r.likelihood < told.confidence for r in told.rivals)


def test_samples_a_minute_apart_bring_no_alarm_when_jobs_start_and_stop(make_plant):
    plant = make_plant(nodes=4, seed=18, step=60.0, tau=90.0)
    engine = plant.engine(ThermalResistance())
    nodes = len(plant.names)
    plant.load = lambda t: ((t // 1700 + np.arange(nodes)) % 3 > 0).astype(float)[plant.node]
    assert [i.name for o in plant.run(engine, 6 * 3600) for i in o.incidents] == []
