"""Power, redundancy, cooling and efficiency of the facility, as promtool works them out."""

from __future__ import annotations

from pathlib import Path

from made_up import YES, labels, made, pace, steady
from rule_values import evaluate


def device(name: str, role: str, **more: str) -> dict[str, str]:
    """A device of the inventory."""
    return {made("aif_device_info", device=name, role=role, hall="h1", **more): YES}


def watts(name: str, value: float, rack: str = "", scope: str = "inlet", **more: str) -> dict[str, str]:
    """What a device says of its power."""
    at = {"device": name, "hall": "h1", "rack": rack, "scope": scope, **more}
    return {made("aif_power_active_watts", **at): steady(value)}


def rack(name: str, a: float, b: float, capacity: float = 30000) -> dict[str, str]:
    """A rack with a PDU on each of two feeds."""
    found: dict[str, str] = {}
    for side, value in (("A", a), ("B", b)):
        pdu = f"pdu-{name}-{side.lower()}"
        found |= device(pdu, "rack_pdu", rack=name, side=side, feed=f"utility-{side.lower()}")
        found |= watts(pdu, value, name, side=side)
        found |= {
            made("aif_power_capacity_watts", device=pdu, rack=name, hall="h1", side=side): steady(capacity)
        }
    return found


def ups(side: str, capacity: float) -> dict[str, str]:
    name, feed = f"ups-{side}", f"utility-{side}"
    return {
        **device(name, "ups", side=side.upper(), feed=feed),
        made("aif_power_capacity_watts", device=name, hall="h1"): steady(capacity),
    }


def test_two_sides_that_share_a_load_which_neither_carries_alone(tmp_path: Path) -> None:
    """18 kW a side look harmless: together 36 kW, and one side may carry 30 kW. The feed may carry 60."""
    evaluate(
        tmp_path,
        {**rack("r1", 18000, 18000), **rack("r2", 10000, 9000), **ups("a", 60000), **ups("b", 50000)},
        {
            "rack:aif_power_failover:ratio": [(labels(rack="r1"), 1.2), (labels(rack="r2"), 0.6333)],
            "rack:aif_power_failover_watts:left": [(labels(rack="r1"), -6000), (labels(rack="r2"), 11000)],
            "feed:aif_power_active_watts:sum": [
                (labels(feed="utility-a"), 28000),
                (labels(feed="utility-b"), 27000),
            ],
            "feed:aif_power_failover_watts:sum": [
                (labels(feed="utility-a"), 55000),
                (labels(feed="utility-b"), 55000),
            ],
            "feed:aif_power_failover:ratio": [
                (labels(feed="utility-a"), 0.9167),
                (labels(feed="utility-b"), 1.1),
            ],
            "feed:aif_power_failover_watts:left": [
                (labels(feed="utility-a"), 5000),
                (labels(feed="utility-b"), -5000),
            ],
        },
    )


def test_half_a_racks_meters_say_nothing_about_its_redundancy(tmp_path: Path) -> None:
    """r1's PDU B is silent: 18 kW would look like plenty of room."""
    inputs = {**rack("r1", 18000, 18000), **rack("r2", 10000, 9000), **ups("a", 60000), **ups("b", 60000)}
    silent = [name for name in inputs if "power_active" in name and "pdu-r1-b" in name]
    for name in silent:
        del inputs[name]
    evaluate(
        tmp_path,
        inputs,
        {
            "rack:aif_rack_pdus:silent": [(labels(rack="r1"), 1), (labels(rack="r2"), 0)],
            "rack:aif_power_failover:ratio": [(labels(rack="r2"), 0.6333)],
            "feed:aif_power_failover:ratio": [],
            "feed:aif_power_active_watts:sum": [(labels(feed="utility-a"), 28000)],
        },
    )


def test_capacity_comes_from_the_inventory_where_the_device_says_none(tmp_path: Path) -> None:
    inputs = {
        **device("pdu-a", "rack_pdu", rack="r1", side="A"),
        **device("pdu-b", "rack_pdu", rack="r1", side="B"),
        **device("cdu-1", "cdu", loop="l1"),
        made("aif_power_capacity_watts", device="pdu-a", rack="r1"): steady(20000),
        made("aif_device_capacity_watts", device="pdu-a"): steady(99999),
        made("aif_device_capacity_watts", device="pdu-b"): steady(25000),
        made("aif_device_capacity_watts", device="cdu-1"): steady(45000),
    }
    evaluate(
        tmp_path,
        inputs,
        {
            "device:aif_power_capacity_watts:rated": [
                (labels(device="pdu-a"), 20000),
                (labels(device="pdu-b"), 25000),
            ],
            "device:aif_cooling_capacity_watts:rated": [(labels(device="cdu-1"), 45000)],
            "rack:aif_power_capacity_watts:side": [
                (labels(rack="r1", side="A"), 20000),
                (labels(rack="r1", side="B"), 25000),
            ],
        },
    )


def test_a_small_branch_breaker_does_not_judge_the_main_one(tmp_path: Path) -> None:
    """40 A of a 63 A main breaker; 14 A of a 16 A branch: 1.2 A over its limit for hours."""

    def amperes(value: float, scope: str, breaker: str) -> dict[str, str]:
        at = {"device": "p", "hall": "h1", "rack": "r1", "scope": scope, "id": breaker}
        return {made("aif_current_amperes", **at): steady(value)}

    def rated(value: float, breaker: str) -> dict[str, str]:
        return {
            made("aif_breaker_rating_amperes", device="p", hall="h1", rack="r1", id=breaker): steady(value)
        }

    inputs = {
        **amperes(40, "phase", "L1"), **amperes(31, "phase", "L2"), **amperes(31, "phase", "L3"),
        **amperes(14, "branch", "b1"), **rated(63, "main"), **rated(16, "b1"),
    }  # fmt: skip
    at = {"hall": "h1", "rack": "r1", "device": "p"}
    evaluate(
        tmp_path,
        inputs,
        {
            "device:aif_breaker_load:ratio": [
                (labels(id="main", **at), 0.6349),
                (labels(id="b1", **at), 0.875),
            ],
            "device:aif_breaker_headroom_amperes:left": [
                (labels(id="main", **at), 10.4),
                (labels(id="b1", **at), -1.2),
            ],
            "device:aif_phase_imbalance_ratio:max": [(labels(**at), 0.1765)],
        },
    )


def test_a_pdu_with_two_inlets_is_their_sum_and_its_own_total_comes_first(tmp_path: Path) -> None:
    evaluate(
        tmp_path,
        {
            **watts("p", 3000, "r1", id="I1"),
            **watts("p", 2000, "r1", id="I2"),
            **watts("q", 4100, "r1"),
            **watts("q", 4000, "r1", id="I1"),
        },
        {
            "device:aif_power_active_watts:inlet": [
                (labels(hall="h1", rack="r1", device="p"), 5000),
                (labels(hall="h1", rack="r1", device="q"), 4100),
            ]
        },
    )


def test_a_group_of_three_with_one_spare(tmp_path: Path) -> None:
    """Three chillers of 100 kW, one of them spare: 200 kW count, and 230 kW need the spare."""
    inputs: dict[str, str] = {}
    for name, heat in (("c1", 100000), ("c2", 70000), ("c3", 60000)):
        inputs |= device(name, "chiller")
        inputs[made("aif_redundancy_spare_devices", device=name, group="chillers")] = steady(1)
        inputs[made("aif_cooling_capacity_watts", device=name, hall="h1")] = steady(100000)
        inputs[made("aif_heat_removed_watts", device=name, hall="h1", circuit="fws")] = steady(heat)
    figures = {
        "group:aif_redundancy_load:ratio": [(labels(group="chillers"), 1.15)],
        "group:aif_redundancy_watts:left": [(labels(group="chillers"), -30000.0)],
    }
    evaluate(tmp_path, inputs, figures)
    del inputs[made("aif_cooling_capacity_watts", device="c3", hall="h1")]
    evaluate(tmp_path, inputs, {name: [] for name in figures})


def loop(
    units: dict[str, float], heat: float, flow: float, supply: float = 30, rise: float = 10
) -> dict[str, str]:
    """Loop l1 with coolant units of such capacities, which share heat and flow."""
    found = {made("aif_loop_rack_info", loop="l1", rack=name, hall="h1"): YES for name in ("r1", "r2")}
    for name, capacity in units.items():
        at = {"device": name, "hall": "h1"}
        found |= device(name, "cdu", loop="l1")
        found |= {
            made("aif_cooling_capacity_watts", **at): steady(capacity),
            made("aif_heat_removed_watts", **at, circuit="tcs"): steady(heat / len(units)),
            made("aif_coolant_flow_cubic_meters_per_second", **at, circuit="tcs"): steady(flow / len(units)),
            made("aif_coolant_supply_temperature_celsius", **at, circuit="tcs"): steady(supply),
            made("aif_coolant_return_temperature_celsius", **at, circuit="tcs"): steady(supply + rise),
            made("aif_coolant_supply_temperature_celsius", **at, circuit="fws"): steady(supply - 6),
            made("aif_pump_running", **at, pump="p1"): steady(1),
            made("aif_pump_running", **at, pump="p2"): steady(0 if name == "c2" else 1),
        }
    return found


def test_a_loop_without_its_largest_unit(tmp_path: Path) -> None:
    """60 kW of heat from 80 kW into the racks; without the unit of 60 kW there are 40."""
    at = labels(loop="l1")
    evaluate(
        tmp_path,
        {
            **rack("r1", 20000, 20000), **rack("r2", 20000, 20000),
            **loop({"c1": 40000, "c2": 60000}, 60000, 0.002),
            made("aif_dew_point_celsius", device="s", hall="h1", position="room"): steady(12),
        },
        {
            "loop:aif_cooling_capacity_watts:without_largest": [(at, 40000)],
            "loop:aif_cooling_redundancy:ratio": [(at, 1.5)],
            "loop:aif_rack_power_watts:sum": [(at, 80000)],
            "loop:aif_heat_removed:per_watt": [(at, 0.75)],
            "loop:aif_coolant_flow:liters_per_minute_per_kilowatt": [(at, 1.5)],
            "loop:aif_coolant_rise_celsius:max": [(at, 10)],
            "loop:aif_pumps:count": [(at, 4)],
            "loop:aif_pumps:running": [(at, 3)],
            "loop:aif_coolant_units:running": [(at, 2)],
            "loop:aif_dew_point_margin_celsius:min": [(labels(loop="l1", hall="h1"), 18)],
            "device:aif_cdu_approach_celsius:diff": [
                (labels(hall="h1", device="c1", loop="l1"), 6),
                (labels(hall="h1", device="c2", loop="l1"), 6),
            ],
        },
    )  # fmt: skip


def test_a_rack_on_two_loops_makes_their_power_unknown(tmp_path: Path) -> None:
    shared = {made("aif_loop_rack_info", loop="l2", rack="r2", hall="h1"): YES}
    evaluate(
        tmp_path,
        {**rack("r1", 20000, 20000), **rack("r2", 20000, 20000), **loop({"c1": 9e4}, 6e4, 0.002), **shared},
        {"loop:aif_rack_power_watts:sum": [], "loop:aif_heat_removed:per_watt": []},
    )


def test_time_to_throttle_follows_the_margin_as_it_falls(tmp_path: Path) -> None:
    """From 60 K half a kelvin per second: 22.5 K and 45 s were left at the evaluation before."""
    margin = made("aif_gpu_temperature_margin_celsius", rack="r1", node="n1", gpu="0", uuid="GPU-0")
    node = made("aif_node_info", node="n1", rack="r1", row="a", hall="h1", loop="l1")
    figure = "loop:aif_time_to_throttle_seconds:trend"
    evaluate(tmp_path, {node: YES, margin: "60-7.5x10"}, {figure: [(labels(loop="l1"), 45)]}, at="90s")
    evaluate(tmp_path, {node: YES, margin: steady(15)}, {figure: []}, at="90s")


def test_rack_cooling_index(tmp_path: Path) -> None:
    """Four inlets, one at 31 °C and one at 16: 1 - 4 / (5 x 4) and 1 - 2 / (3 x 4)."""
    air = {
        made("aif_air_temperature_celsius", device=f"b{i}", hall="h1", position="inlet"): steady(value)
        for i, value in enumerate((22, 31, 16, 25))
    }  # fmt: skip
    evaluate(
        tmp_path,
        air,
        {
            "hall:aif_rack_cooling_index_ratio:high": [(labels(hall="h1"), 0.8)],
            "hall:aif_rack_cooling_index_ratio:low": [(labels(hall="h1"), 0.8333)],
            "hall:aif_supply_heat_index:ratio": [],
        },
    )


def metered(name: str, role: str, value: float, since: str = "") -> dict[str, str]:
    counter = made("aif_energy_joules_total", device=name, hall="h1", scope="inlet")
    return {counter: since or pace(value), made("aif_meter_info", device=name, role=role): YES}


def test_pue_over_an_hour_and_its_kin(tmp_path: Path) -> None:
    """1.3 kW bought, 1 kW at the racks, 0.2 kW into the chiller; 400 g/kWh; 1 L of water, 0.13 kWh reused."""
    inputs = {
        **metered("utility-a", "facility", 1300), **metered("pdu-a", "it", 600),
        **metered("pdu-b", "it", 400), **device("chiller-1", "chiller"),
        made("aif_energy_joules_total", device="chiller-1", hall="h1", scope="inlet"): pace(200),
        made("aif_grid_carbon_intensity_grams_per_kwh", device="utility-a", zone="x"): steady(400),
        made("aif_water_consumed_cubic_meters_total", device="tower"): pace(0.001 / 3600),
        made("aif_heat_reused_joules_total", device="exchanger"): pace(130),
    }  # fmt: skip
    at = labels()
    evaluate(
        tmp_path,
        inputs,
        {
            "site:aif_meters:silent": [(at, 0)],
            "site:aif_pue:increase1h": [(at, 1.3)],
            "site:aif_partial_pue:increase1h": [(labels(part="cooling"), 1.2), (labels(part="other"), 1.1)],
            "site:aif_carbon_kilograms:per_kwh": [(at, 0.52)],
            "site:aif_water_liters:per_kwh": [(at, 1)],
            "site:aif_energy_reused:ratio": [(at, 0.1)],
        },
        at="70m",
        step="1m",
    )


def test_no_pue_while_a_meter_is_silent_or_was(tmp_path: Path) -> None:
    inputs = {**metered("utility-a", "facility", 1300), **metered("pdu-a", "it", 600)}
    figures = {"site:aif_pue:increase1h": [], "site:aif_pue:ratio": [], "site:aif_partial_pue:increase1h": []}
    silent = {made("aif_meter_info", device="pdu-b", role="it"): YES}
    evaluate(
        tmp_path,
        {**inputs, **silent},
        {**figures, "site:aif_meters:silent": [(labels(), 1)]},
        at="70m",
        step="1m",
    )
    late = metered("pdu-b", "it", 400, since="_x40 0+6000x100")
    evaluate(tmp_path, {**inputs, **late}, {"site:aif_pue:increase1h": []}, at="70m", step="1m")


def test_power_that_the_height_units_strand(tmp_path: Path) -> None:
    """30 kW planned, 12 drawn, 3 promised: 15 kW are free, but only 2 of 42 units less the 1 promised."""
    at = {"rack": "r1", "hall": "h1"}
    evaluate(
        tmp_path,
        {
            **rack("r1", 6000, 6000),
            made("aif_power_budget_watts", **at): steady(30000),
            made("aif_rack_cooling_capacity_watts", **at): steady(28000),
            made("aif_rack_reserved_watts", **at): steady(3000),
            made("aif_rack_units", **at): steady(42),
            made("aif_rack_units_free", **at): steady(2),
            made("aif_rack_reserved_units", **at): steady(1),
        },
        {
            "rack:aif_capacity_free_watts:live": [
                (labels(rack="r1", resource="power"), 15000),
                (labels(rack="r1", resource="cooling"), 13000),
                (labels(rack="r1", resource="space"), 714.2857),
            ],
            "rack:aif_capacity_free_watts:min": [(labels(rack="r1"), 714.2857)],
            "rack:aif_capacity_stranded_watts:live": [(labels(rack="r1"), 14285.7143)],
            "site:aif_capacity_stranded_watts:live": [(labels(), 14285.7143)],
        },
    )
