"""Readings that contradict each other: in a site where all is well nobody lies, and each liar is named."""

from __future__ import annotations

from pathlib import Path

from made_up import YES, made, pace, steady
from rule_values import evaluate

FOUND = "data:aif_contradiction:ratio"


def on_pdu(metric: str, name: str, value: float, scope: str, line: str = "") -> dict[str, str]:
    at = {"device": name, "hall": "h1", "rack": "r1", "side": name[-1].upper(), "scope": scope, "id": line}
    return {made(f"aif_{metric}", **at): steady(value)}


def pdu(name: str, watts: float) -> dict[str, str]:
    """A PDU with three even phases at a power factor of 0.98, breakers of 63 A."""
    found = on_pdu("power_active_watts", name, watts, "inlet")
    for line in ("L1", "L2", "L3"):
        found |= on_pdu("power_active_watts", name, watts / 3, "phase", line)
        found |= on_pdu("voltage_volts", name, 230, "phase", line)
        found |= on_pdu("current_amperes", name, watts / 3 / 230 / 0.98, "phase", line)
    at = {"device": name, "rack": "r1"}
    return found | {
        made("aif_breaker_rating_amperes", **at, hall="h1", id="main"): steady(63),
        made("aif_device_info", **at, role="rack_pdu", side=name[-1].upper(), feed="utility-a"): YES,
        made("aif_energy_joules_total", **at, hall="h1", scope="inlet"): pace(watts),
    }


def server(node: str, watts: float, gpus: float) -> dict[str, str]:
    at = {"rack": "r1", "node": node}
    found = {
        made("aif_node_info", **at, row="a", hall="h1", loop="l1"): YES,
        made("aif_power_active_watts", **at, device=f"bmc-{node}", hall="h1", scope="inlet"): steady(watts),
    }
    for gpu in range(2):
        own = {**at, "gpu": str(gpu), "uuid": f"GPU-{node}-{gpu}"}
        found |= {
            made("aif_gpu_power_watts", **own, scope="gpu"): steady(gpus / 2),
            made("aif_gpu_power_limit_watts", **own, kind="enforced"): steady(3000),
        }
    return found


def cdu(heat: float, flow: float, supply: float, back: float) -> dict[str, str]:
    at = {"device": "cdu-1", "hall": "h1"}
    return {
        made("aif_device_info", device="cdu-1", role="cdu", loop="l1"): YES,
        made("aif_loop_rack_info", loop="l1", rack="r1", hall="h1"): YES,
        made("aif_heat_removed_watts", **at, circuit="tcs"): steady(heat),
        made("aif_coolant_flow_cubic_meters_per_second", **at, circuit="tcs"): steady(flow),
        made("aif_coolant_supply_temperature_celsius", **at, circuit="tcs"): steady(supply),
        made("aif_coolant_return_temperature_celsius", **at, circuit="tcs"): steady(back),
    }


def air(celsius: dict[str, float]) -> dict[str, str]:
    return {
        made("aif_air_temperature_celsius", device=name, hall="h1", rack="r1", position="inlet"): steady(
            value
        )
        for name, value in celsius.items()
    }


def honest() -> dict[str, str]:
    """10 kW on either side, two servers of 9.5 kW, GPUs of 5 kW each; 14 kW carried off by 10 K."""
    output = {"device": "ups-a", "hall": "h1", "scope": "output"}
    return {
        **pdu("pdu-a", 10000), **pdu("pdu-b", 10000), **server("n1", 9500, 5000), **server("n2", 9500, 5000),
        **cdu(14000, 14000 / (1030 * 3974 * 10), 30, 40), **air({"s1": 22, "s2": 23, "s3": 24}),
        made("aif_device_info", device="ups-a", role="ups", feed="utility-a"): YES,
        made("aif_power_active_watts", **output): steady(20400),
    }  # fmt: skip


def lie(
    device: str, kind: str, liar: str, reading: str, error: str = "no exact factor", rack: str = "r1"
) -> str:
    at = {"device": device, "hall": "h1", "rack": rack}
    given = {"site": "s", **at, "kind": kind, "liar": liar, "reading": reading, "error": error}
    return "{" + ",".join(f'{name}="{value}"' for name, value in given.items() if value) + "}"


def one_lie(tmp_path: Path, changed: dict[str, str], found: str, value: float) -> None:
    evaluate(tmp_path, {**honest(), **changed}, {FOUND: [(found, value)]}, at="6m", step="30s")


def test_nobody_lies_where_all_is_well_and_foreign_load_is_no_lie(tmp_path: Path) -> None:
    output = made("aif_power_active_watts", device="ups-a", hall="h1", scope="output")
    foreign = {**pdu("pdu-a", 14000), output: steady(24400)}
    evaluate(tmp_path, honest(), {FOUND: []}, at="6m", step="30s")
    evaluate(tmp_path, {**honest(), **foreign}, {FOUND: []}, at="6m", step="30s")


def test_current_ten_times_too_high(tmp_path: Path) -> None:
    """145 A on a breaker of 63 A, while the power fits the servers: the current lies."""
    tenfold: dict[str, str] = {}
    for line in ("L1", "L2", "L3"):
        tenfold |= on_pdu("current_amperes", "pdu-a", 10000 / 3 / 23 / 0.98, "phase", line)
    found = lie("pdu-a", "volts_amperes", "pdu-a", "current", "10 times")
    one_lie(tmp_path, tenfold, found, round(10 / 0.98, 4))


def test_tenths_of_an_ampere_at_the_output_of_a_ups(tmp_path: Path) -> None:
    """An Eaton 93E as recorded: 270 A (tenths, read as amperes) at 220 V and 5,100 W of 5,940 VA."""
    at = {"device": "ups-b", "hall": "h1", "scope": "output", "id": "L1"}
    readings = {"current_amperes": 270, "voltage_volts": 220, "power_active_watts": 5100}
    ups = {made(f"aif_{name}", **at): steady(value) for name, value in readings.items()}
    apparent = {made("aif_power_apparent_voltamperes", **at): steady(5940)}
    found = lie("ups-b", "volts_amperes", "ups-b", "current", "10 times", rack="")
    one_lie(tmp_path, {**ups, **apparent}, found, 10)


def test_apparent_power_lies_where_power_agrees_with_volts_and_amperes(tmp_path: Path) -> None:
    apparent: dict[str, str] = {}
    for line in ("L1", "L2", "L3"):
        apparent |= on_pdu("power_apparent_voltamperes", "pdu-b", 10000 / 3 / 0.98 * 10, "phase", line)
    one_lie(tmp_path, apparent, lie("pdu-b", "volts_amperes", "pdu-b", "apparent power", "10 times"), 10)


def test_the_pdu_that_tells_a_tenth_of_its_racks_power(tmp_path: Path) -> None:
    """Servers of 19 kW and GPUs of 10 kW agree, the other PDU tells 10: this one should tell 9."""
    one_lie(tmp_path, pdu("pdu-b", 900), lie("pdu-b", "rack_servers", "pdu-b", "power", "1/10"), 0.1)


def test_a_server_that_draws_less_than_its_gpus(tmp_path: Path) -> None:
    one_lie(
        tmp_path,
        server("n1", 475, 5000),
        lie("n1", "server_gpus", "management controller of n1", "power", "1/10"),
        0.095,
    )


def test_gpus_that_draw_more_than_their_limit_lie_themselves(tmp_path: Path) -> None:
    one_lie(tmp_path, server("n1", 9500, 15000), lie("n1", "server_gpus", "GPUs of n1", "power"), 2.5)


def test_flow_in_the_wrong_unit_while_the_heat_fits_the_racks(tmp_path: Path) -> None:
    """14 kW of 20 kW: plausible; the flow is cubic meters per hour, read as liters per minute."""
    flow = 14000 / (1030 * 3974 * 10)
    found = lie("cdu-1", "heat_flow", "cdu-1", "flow or temperatures", "1/16.67 (m³/h)", rack="")
    one_lie(tmp_path, cdu(14000, flow / 16.67, 30, 40), found, 0.06)


def test_more_heat_than_power(tmp_path: Path) -> None:
    """Heat, flow and temperatures of the unit agree; the racks cannot make so much."""
    found = lie("l1", "heat_power", "coolant units of l1", "heat", rack="")
    one_lie(tmp_path, cdu(30000, 30000 / (1030 * 3974 * 10), 30, 40), found, 1.5)


def test_degrees_fahrenheit_and_swapped_sensors(tmp_path: Path) -> None:
    found = lie("s4", "fahrenheit", "s4", "air temperature", "1.8 times and 32 more (°F)")
    one_lie(tmp_path, air({"s4": 73.4}), found, round(73.4 / 23, 4))
    swapped = "temperatures (supply and return swapped)"
    found = lie("cdu-1", "coolant_order", "cdu-1", swapped, rack="")
    one_lie(tmp_path, cdu(14000, 14000 / (1030 * 3974 * 10), 40, 30), found, round(4 / 3, 4))


def test_an_energy_meter_in_watt_hours(tmp_path: Path) -> None:
    """10 kW by the power; 1/3600 of it by one meter, all of it by the other; a third is too young to tell."""
    inputs: dict[str, str] = {}
    for name, joules in (("pdu-a", "0+166.6667x200"), ("pdu-b", "0+600000x200"), ("pdu-c", "_x30 0+1x100")):
        inputs |= on_pdu("power_active_watts", name, 10000, "inlet")
        inputs |= dict.fromkeys(on_pdu("energy_joules_total", name, 0, "inlet"), joules)
    expected = [
        (
            '{site="s",hall="h1",rack="r1",device="pdu-a",kind="energy_power",liar="pdu-a",reading="energy"}',
            0.0003,
        )
    ]
    evaluate(tmp_path, inputs, {"data:aif_contradiction:energy_power": expected}, at="70m", step="1m")


def test_a_reading_that_has_not_moved_for_a_day(tmp_path: Path) -> None:
    """One that idles and one that is younger are left alone."""

    def inlet(name: str) -> str:
        return made("aif_power_active_watts", device=name, hall="h1", rack="r1", scope="inlet")

    steps = 24 * 15 + 2
    evaluate(
        tmp_path,
        {
            inlet("dead"): f"5000x{steps}",
            inlet("idle"): f"50x{steps}",
            inlet("alive"): f"5000x{steps - 100} 5001x100",
            inlet("young"): f"_x{steps - 200} 5000x200",
        },
        {
            "data:aif_reading_still:info": [
                ('{site="s",hall="h1",rack="r1",device="dead",reading="power"}', 1)
            ]
        },
        at="24h",
        step="4m",
    )
