"""A made-up facility as one exposition: racks with what stands in them, two power paths, cooling loops.

Recorded series stand in it by their own names, so that a test of what boards draw needs no rules.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field


@dataclass
class Facility:
    """Racks r01, r02, ... in rows of ten; what differs from a healthy site is set by `override`."""

    racks: int = 2
    nodes: int = 4
    units: int = 48
    site: str = "s"
    override: dict[str, float] = field(default_factory=dict)
    """Series as they are written -> value; a series that is not there is added."""

    def text(self) -> bytes:
        """The exposition."""
        found = dict(self._series())
        found.update(self.override)
        return "".join(f"{name} {value:g}\n" for name, value in found.items()).encode()

    def name(self, metric: str, **labels: str) -> str:
        """A series of this site as it is written."""
        given = ",".join(f'{label}="{value}"' for label, value in {"site": self.site, **labels}.items())
        return f"{metric}{{{given}}}"

    def _series(self) -> Iterator[tuple[str, float]]:
        for number in range(1, self.racks + 1):
            yield from self._rack(number)
        yield from self._power()
        yield from self._cooling()

    def _rack(self, number: int) -> Iterator[tuple[str, float]]:
        rack, hall, row = f"r{number:02}", "hall-1", "row-a" if number <= 10 else "row-b"
        step = (self.units - 4) // self.nodes
        place = {"rack": rack, "hall": hall}
        yield self.name("aif_rack_info", **place, row=row, cooling="liquid"), 1
        yield self.name("aif_rack_units", **place), self.units
        yield self.name("aif_rack_units_free", **place), 4
        yield self.name("rack:aif_power_active_watts:sum", rack=rack), 30_000 + 900 * number
        yield self.name("rack:aif_power_budget:used", rack=rack), 0.6 + 0.02 * number
        yield self.name("rack:aif_power_failover:ratio", rack=rack), 0.55 + 0.02 * number
        yield self.name("rack:aif_power_failover_watts:left", rack=rack), 9_000 - 500 * number
        yield self.name("rack:aif_power_sides:live", rack=rack), 2
        yield self.name("rack:aif_gpu_temperature_margin_celsius:min", rack=rack), 22 - number
        for at in range(1, self.nodes + 1):
            node, bottom = f"{rack}-n{at:02}", 3 + (at - 1) * step
            where = {"rack": rack, "node": node}
            yield self.slot(rack, bottom, step - 1, "node", node)
            yield self.name("aif_node_info", **where, row=row, hall=hall, unit=str(bottom)), 1
            inlet = {"position": "inlet", "device": f"bmc-{node}"}
            yield self.name("aif_air_temperature_celsius", **where, **inlet), 20 + 0.4 * at + 0.15 * number
            margin = "node:aif_gpu_temperature_margin_celsius:min"
            yield self.name(margin, **where), 30 - 1.5 * at - 0.5 * number
            yield self.name("aif_node_design_power_watts", **where), 10_000
            yield self.name("node:aif_node_power_watts:max", node=node), 7_000 + 300 * at
        yield self.slot(rack, self.units - 1, 1, "switch", f"{rack}-sw", face="rear")
        if number % 2 == 0:
            yield self.slot(rack, 1, 2, "reserved", "next")

    def slot(
        self, rack: str, unit: int, height: int, kind: str, name: str, face: str = "front"
    ) -> tuple[str, float]:
        """What stands on the units from `unit` on."""
        place = {"unit": str(unit), "height": str(height), "face": face}
        return self.name("aif_rack_slot_info", rack=rack, **place, kind=kind, name=name), 1

    def _device(self, device: str, role: str, **more: str) -> tuple[str, float]:
        labels = {"device": device, "role": role, "hall": "hall-1", **more}
        return self.name("aif_device_info", **labels), 1

    def _step(self, device: str, by: str, side: str) -> tuple[str, float]:
        return self.name("aif_power_path_info", device=device, fed_by=by, side=side), 1

    def _power(self) -> Iterator[tuple[str, float]]:
        drawn = "device:aif_power_active_watts:inlet"
        rated = "device:aif_power_capacity_watts:rated"
        for side in "AB":
            low = side.lower()
            total = sum(15_000 + 450 * number for number in range(1, self.racks + 1))
            yield self._device(f"utility-{low}", "utility", side=side)
            yield self._device(f"ups-{low}", "ups", side=side)
            yield self._step(f"ups-{low}", f"utility-{low}", side)
            for name, extra in ((f"utility-{low}", 1.2), (f"ups-{low}", 1.04)):
                yield self.name(drawn, device=name, side=side), total * extra
                yield self.name(rated, device=name), 55_000 * self.racks
            for state in ("online", "on_battery", "bypass", "off", "unknown"):
                yield self.name("aif_ups_status", device=f"ups-{low}", state=state), state == "online"
            yield self.name("aif_ups_battery_runtime_seconds", device=f"ups-{low}"), 780
            chiller = f"chiller-{low}"
            yield self._device(chiller, "chiller", side=side)
            yield self._step(chiller, f"utility-{low}", side)
            yield self.name(drawn, device=chiller, side=side), total * 0.15
            for number in range(1, self.racks + 1):
                pdu, rack = f"pdu-r{number:02}-{low}", f"r{number:02}"
                yield self._device(pdu, "rack_pdu", side=side, rack=rack)
                yield self._step(pdu, f"ups-{low}", side)
                yield self.name(drawn, device=pdu, side=side, rack=rack), 15_000 + 450 * number
                yield self.name(rated, device=pdu), 55_000
                load = "device:aif_breaker_load:ratio"
                yield self.name(load, device=pdu, rack=rack, id="main"), 0.3 + 0.01 * number

    def _cooling(self) -> Iterator[tuple[str, float]]:
        loops = (self.racks + 1) // 2
        for side in "ab":
            chiller = f"chiller-{side}"
            yield self.name("aif_heat_removed_watts", device=chiller, circuit="fws"), 14_000.0 * self.racks
            yield self.name("device:aif_cooling_capacity_watts:rated", device=chiller), 40_000 * self.racks
        for number in range(1, loops + 1):
            loop = f"loop-{number:02}"
            for side in "ab":
                cdu = f"cdu-{number:02}-{side}"
                yield self._device(cdu, "cdu", loop=loop)
                for chiller in ("chiller-a", "chiller-b"):
                    yield self.name("aif_cooling_path_info", device=cdu, cooled_by=chiller), 1
                yield self.name("aif_heat_removed_watts", device=cdu, circuit="tcs"), 27_000 + 500 * number
                yield self.name("device:aif_cooling_capacity_watts:rated", device=cdu), 70_000
                for name, value in (("supply", 30.2), ("return", 39.7)):
                    metric = f"aif_coolant_{name}_temperature_celsius"
                    yield self.name(metric, device=cdu, circuit="tcs"), value
                for pump in "12":
                    yield self.name("aif_pump_running", device=cdu, pump=pump), 1
                yield self.name("aif_reservoir_level_ratio", device=cdu), 0.86
            for rack in range(2 * number - 1, min(2 * number, self.racks) + 1):
                yield self.name("aif_loop_rack_info", loop=loop, rack=f"r{rack:02}", hall="hall-1"), 1
            figures = {
                "coolant_supply_temperature_celsius:max": 30.2,
                "coolant_return_temperature_celsius:max": 39.9,
                "coolant_flow_cubic_meters_per_second:sum": 0.0021,
                "coolant_flow:ratio": 0.97,
                "coolant_flow:liters_per_minute_per_kilowatt": 1.52,
                "heat_removed_watts:sum": 54_000.0,
                "cooling_capacity:used": 0.39,
                "cooling_redundancy:ratio": 0.77,
                "gpu_temperature_margin_celsius:min": 18.0,
            }
            for name, value in figures.items():
                yield self.name(f"loop:aif_{name}", loop=loop), value
            yield self.name("loop:aif_dew_point_margin_celsius:min", loop=loop, hall="hall-1"), 14.0
