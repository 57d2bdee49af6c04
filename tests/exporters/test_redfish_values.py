"""What a facility says over Redfish, read by the driver from sushy-static."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from redfish_peers import ROOT, ask, series, sushy_static

from exporters.facility.driver import Polled, PollError, Reason
from exporters.facility.redfish.model import State, Value
from exporters.facility.redfish.tables_chassis import ROOTS, TABLES
from gigawatch.catalogue import Kind
from gigawatch.topology import Role


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with sushy_static() as address:
        yield address


def true_ones(polled: Polled) -> dict[str, float]:
    """Everything, but of state sets only the states that hold."""
    sets = {r.metric.key for r in polled.readings if r.metric.kind is Kind.STATE_SET}
    return {name: v for name, v in series(polled).items() if v or name.partition("{")[0] not in sets}


def test_the_golden_coolant_unit(url: str) -> None:
    polled = ask(url, Role.CDU, zones=("Rope 1",))
    found = true_ones(polled)
    assert polled.identity == ("CoolingUnit", "Contoso", "CDU-150", "3.2.1", "C150-0007")
    expected = {
        "coolant_flow_cubic_meters_per_second{tcs}": 0.003008333,
        "coolant_supply_temperature_celsius{tcs}": 32.1,
        "coolant_return_temperature_celsius{tcs}": 41.9,
        "heat_removed_watts{tcs}": 120_700.0,
        "coolant_design_flow_cubic_meters_per_second{tcs}": 0.00375,
        "coolant_setpoint_celsius{tcs}": 32.0,
        "coolant_differential_pressure_pascals{tcs}": 140_000.0,
        "coolant_pressure_pascals{tcs,supply}": 310_000.0,
        "coolant_pressure_pascals{tcs,return}": 170_000.0,
        "cooling_capacity_watts": 150_000.0,
        "reservoir_level_ratio": 0.84,
        "filter_differential_pressure_pascals{filter1}": 18_400.0,
        "redundancy_state{pumps,full}": 1.0,
        "redundancy_state{filters,degraded}": 1.0,
        "leak_state{tray,dry}": 1.0,
        "leak_state{Rope 1,warning}": 1.0,
        "leak_state{float,fault}": 1.0,
        "dew_point_celsius{room,}": 11.3,
        "power_active_watts{,inlet,}": 3150.0,
        "energy_joules_total{,inlet,}": 1200.5 * 3.6e6,
        "device_reported_place_info{a01,1}": 1.0,
    }
    assert {name: found.get(name) for name in expected} == expected
    # 180.5 L/min of PG25 over 9.8 K is the heat that it says.
    assert pytest.approx(120.7, abs=0.05) == 180.5 / 60 * 1.03 * 3.974 * 9.8


def test_connectors_of_one_side_are_one_circuit(url: str) -> None:
    found = series(ask(url, Role.CDU))
    assert (
        found["coolant_flow_cubic_meters_per_second{fws}"] == 0.0025
    )  # 100 + 50 L/min; the third is disabled
    assert found["heat_removed_watts{fws}"] == 120_900.0
    assert found["coolant_supply_temperature_celsius{fws}"] == 25.0  # (100 x 24 + 50 x 27) / 150
    assert found["coolant_return_temperature_celsius{fws}"] == 32.0
    assert found["valve_position_ratio{fws 1}"] == 0.62
    assert "valve_position_ratio{fws 2}" not in found


def test_a_pump_stands_by_and_another_is_absent(url: str) -> None:
    found = true_ones(ask(url, Role.CDU))
    about_pumps = {
        name: value for name, value in found.items() if "{pump" in name and "redundancy" not in name
    }
    assert about_pumps == {
        "pump_speed_ratio{pump1}": 0.725,
        "pump_running{pump1}": 1.0,
        "pump_service_seconds_total{pump1}": 1500.5 * 3600,
        "component_health{pump1,ok}": 1.0,
        "pump_running{pump2}": 0.0,
        "component_health{pump2,ok}": 1.0,
    }


def test_a_rack_pdu_from_mains_to_outlets(url: str) -> None:
    polled = ask(url, Role.RACK_PDU, f"{ROOT}/PowerEquipment/RackPDUs/pdu-a", side="A")
    found = true_ones(polled)
    expected = {
        "power_active_watts{A,inlet,}": 6438.0,
        "power_apparent_voltamperes{A,inlet,}": 6975.0,
        "power_factor_ratio{A,inlet,}": 0.923,
        "energy_joules_total{A,inlet,}": 56438 * 3.6e6,
        "load_ratio{A,inlet,}": 0.425,
        "current_amperes{A,phase,L1}": 9.1,
        "voltage_volts{A,phase,L1}": 239.8,
        "voltage_volts{A,line,L1-L2}": 415.4,
        "power_active_watts{A,phase,L2}": 2199.0,
        "frequency_hertz{A,inlet,}": 50.02,
        "phase_imbalance_ratio{A,inlet,}": 0.042,
        "breaker_state{A,main,normal}": 1.0,
        "breaker_rating_amperes{A,main}": 32.0,
        "breaker_state{A,B,tripped}": 1.0,
        "current_amperes{A,branch,A}": 5.19,
        "current_amperes{A,branch,B}": 0.0,
        "outlet_state{A,A1,on}": 1.0,
        "outlet_state{A,A2,off}": 1.0,
        "power_active_watts{A,outlet,A1}": 610.0,
        "redundancy_state{mains,lost}": 1.0,
    }
    assert {name: found.get(name) for name in expected} == expected
    assert "current_amperes{A,phase,L3}" not in found  # null
    assert "power_active_watts{A,branch,B}" not in found
    # A watt is told once: what the mains say stands behind what the meter says.
    assert [name for name in found if name.startswith("power_active_watts{A,inlet")] == [
        "power_active_watts{A,inlet,}"
    ]


def test_a_transfer_switch_names_its_source_and_sums_its_mains(url: str) -> None:
    found = true_ones(ask(url, Role.TRANSFER_SWITCH))
    assert found["transfer_switch_source{A}"] == 1.0
    assert found["power_active_watts{,inlet,}"] == 3200.0
    assert found["voltage_volts{,inlet,AC2}"] == 229.9
    assert found["breaker_state{,AC2,off}"] == 1.0


def test_a_power_shelf_with_a_dead_rectifier(url: str) -> None:
    found = true_ones(ask(url, Role.POWER_SHELF))
    assert found["power_active_watts{,inlet,}"] == 5500.0
    assert found["power_active_watts{,output,}"] == 5300.0
    assert found["component_health{psu2,critical}"] == 1.0  # though it is not enabled
    assert found["redundancy_state{supplies,degraded}"] == 1.0


def test_a_server_is_found_among_its_boards(url: str) -> None:
    polled = ask(url, Role.BMC)
    assert polled.identity == ("Chassis", "Contoso", "HGX-8", "25.04-2", "N01-SER")
    assert true_ones(polled) == {
        "power_active_watts{,inlet,}": 8123.5,
        "energy_joules_total{,inlet,}": 987654321.0,
        "air_temperature_celsius{inlet,}": 23.4,
        "air_temperature_celsius{exhaust,}": 41.2,
        "fan_speed_ratio{fan1}": 0.45,
        "fan_speed_ratio{fan2}": 0.0,
        "fan_speed_rpm{fan3}": 8800.0,
        "component_health{fan1,ok}": 1.0,
        "component_health{fan2,critical}": 1.0,
        "component_health{fan3,warning}": 1.0,
        "component_health{psu1,ok}": 1.0,
        "component_health{psu2,critical}": 1.0,
        "redundancy_state{fans,full}": 1.0,
        "redundancy_state{fans 2,lost}": 1.0,
        "redundancy_state{supplies,full}": 1.0,
        "leak_state{node,leak}": 1.0,
        "leak_state{manifold,fault}": 1.0,
        "voltage_volts{,inlet,psu1}": 239.5,
        "current_amperes{,inlet,psu1}": 17.2,
        "device_reported_place_info{a01,12}": 1.0,
    }
    assert polled.dropped == {"unit": 1}  # a room temperature in kelvin


def test_a_server_of_yesterday(url: str) -> None:
    found = true_ones(ask(url, Role.BMC, f"{ROOT}/Chassis/old"))
    assert found == {
        "power_active_watts{,inlet,}": 344.0,
        "voltage_volts{,inlet,psu0}": 230.0,
        "component_health{psu0,ok}": 1.0,
        "air_temperature_celsius{inlet,}": 24.0,
        "air_temperature_celsius{exhaust,Exhaust Left}": 38.0,
        "air_temperature_celsius{exhaust,Exhaust Right}": 39.0,
        "fan_speed_rpm{fan0}": 5400.0,
        "fan_speed_ratio{fan1}": 0.33,
        "component_health{fan0,ok}": 1.0,
        "component_health{fan1,warning}": 1.0,
    }


def test_sensors_of_a_room(url: str) -> None:
    assert series(ask(url, Role.SENSOR, f"{ROOT}/Chassis/room")) == {
        "air_temperature_celsius{room,cold-aisle}": 24.1,
        "air_temperature_celsius{room,hot-aisle}": 35.9,
        "air_temperature_celsius{outdoor,}": -4.5,
        "relative_humidity_ratio{room,}": 0.44,
        "dew_point_celsius{room,}": 10.9,
        "air_differential_pressure_pascals{room}": 12.5,
    }


def test_which_of_several_has_to_be_said(url: str) -> None:
    with pytest.raises(PollError, match=r"several \(pdu-a, pdu-b\).*set its path") as caught:
        ask(url, Role.RACK_PDU)
    assert caught.value.reason is Reason.PROFILE
    assert series(ask(url, Role.RACK_PDU, name="pdu-b")) == {"power_active_watts{,inlet,}": 6211.0}


def test_every_row_of_the_tables_fits_its_metric() -> None:
    rows: list[tuple[str, Value | State]] = [
        (name, row) for name, table in TABLES.items() for row in (*table.values, *table.states)
    ]
    assert len(rows) > 80
    for name, row in rows:
        own = len(row.labels) + (1 if isinstance(row, State) else 0)
        assert own == len(row.metric.labels), (name, row.path, row.metric.key)
        if isinstance(row, State):
            assert set(row.words.values()) <= set(row.metric.values[row.metric.labels[-1]]), (name, row.path)
        else:
            assert row.metric.kind in (Kind.GAUGE, Kind.COUNTER), (name, row.path)
    assert {link.table for table in TABLES.values() for link in table.links} <= set(TABLES)
    assert set(ROOTS) <= set(TABLES)
