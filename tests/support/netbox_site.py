"""A small site in a real NetBox: a liquid-cooled rack with two nodes, two feeds, a coolant unit."""

from __future__ import annotations

from typing import Any

from netbox_server import NetBox


class Maker:
    """Makes objects, and finds them again by name."""

    def __init__(self, box: NetBox) -> None:
        self._box = box

    def make(self, path: str, *objects: dict[str, Any]) -> list[dict[str, Any]]:
        made: list[dict[str, Any]] = self._box.call("POST", f"/api/{path}/", list(objects))
        return made

    def one(self, path: str, **fields: Any) -> int:
        return int(self.make(path, fields)[0]["id"])

    def cable(self, a: tuple[str, int], b: tuple[str, int]) -> None:
        ends = [[{"object_type": f"dcim.{kind}", "object_id": number}] for kind, number in (a, b)]
        self.make(
            "dcim/cables", {"a_terminations": ends[0], "b_terminations": ends[1], "status": "connected"}
        )


def make_site(box: NetBox, cooling: bool = True) -> dict[str, int]:
    """Ids of what tests change, by name."""
    m = Maker(box)
    site = m.one("dcim/sites", name="HQ", slug="hq", status="active")
    m.one("dcim/sites", name="Elsewhere", slug="elsewhere", status="active")
    hall = m.one("dcim/locations", name="Hall 1", slug="hall-1", site=site, status="active")
    row = m.one("dcim/locations", name="Row A", slug="row-a", site=site, parent=hall, status="active")
    texts = {"object_types": ["dcim.device", "dcim.rack"], "type": "text"}
    numbers = {"object_types": ["dcim.device", "dcim.rack"], "type": "decimal"}
    m.make(
        "extras/custom-fields",
        {"name": "gpu_model", **texts}, {"name": "gpus", "object_types": ["dcim.device"], "type": "integer"},
        {"name": "power_watts", **numbers}, {**numbers, "name": "ports", "type": "integer"},
        {"name": "cooling_loop", **texts},
    )  # fmt: skip
    maker = m.one("dcim/manufacturers", name="Acme", slug="acme")
    roles = {
        role["slug"]: role["id"]
        for role in m.make("dcim/device-roles", *(
            {"name": slug, "slug": slug, "color": "9e9e9e"}
            for slug in ("gpu-server", "rack-pdu", "cdu", "ups", "switch", "patch-panel")
        ))
    }  # fmt: skip
    sizes = {"hgx": 8, "pdu": 0, "cdu": 4, "leaf": 1, "ups": 6, "patch": 1}
    types = {
        made["slug"]: made["id"]
        for made in m.make(
            "dcim/device-types",
            *(
                {
                    "manufacturer": maker,
                    "model": slug.upper(),
                    "slug": slug,
                    "u_height": height,
                    "is_full_depth": slug != "leaf",
                }
                for slug, height in sizes.items()
            ),
        )
    }
    liquid = {"cooling_capability": "hybrid", "cooling_capacity": 34} if cooling else {}
    rack = m.one("dcim/racks", site=site, location=row, name="R01", u_height=42, status="active",
                 max_weight=1200, weight_unit="kg", **liquid,
                 custom_fields={"power_watts": 30000, "ports": 64, "cooling_loop": "loop-1"})  # fmt: skip
    spare = m.one("dcim/racks", site=site, location=row, name="R02", u_height=42, status="active",
                  custom_fields={"power_watts": 30000})  # fmt: skip
    common = {"site": site, "location": row, "status": "active"}
    devices = m.make(
        "dcim/devices",
        *(
            {
                **common,
                "name": f"R01-N0{n}",
                "role": roles["gpu-server"],
                "device_type": types["hgx"],
                "rack": rack,
                "position": 10 * n,
                "face": "front",
                "serial": f"SRV{n}",
                "airflow": "front-to-rear",
                "custom_fields": {"gpu_model": "H100-SXM5-80GB", "gpus": 8, "power_watts": 9000, "ports": 10},
            }
            for n in (1, 2)
        ),
        *(
            {
                **common,
                "name": f"PDU R01 {side}",
                "role": roles["rack-pdu"],
                "device_type": types["pdu"],
                "rack": rack,
                "serial": f"PDU{side}",
            }
            for side in "AB"
        ),
        {**common, "name": "UPS A", "role": roles["ups"], "device_type": types["ups"]},
        {
            **common,
            "name": "CDU 1",
            "role": roles["cdu"],
            "device_type": types["cdu"],
            "rack": rack,
            "position": 1,
            "face": "front",
        },
        {
            **common,
            "name": "leaf-1",
            "role": roles["switch"],
            "device_type": types["leaf"],
            "rack": rack,
            "position": 42,
            "face": "rear",
        },
        {
            **common,
            "name": "patch-1",
            "role": roles["patch-panel"],
            "device_type": types["patch"],
            "rack": rack,
            "position": 41,
            "face": "front",
        },
    )
    by_name = {device["name"]: int(device["id"]) for device in devices}
    panels = {
        side: m.one("dcim/power-panels", site=site, location=hall, name=f"Panel {side}") for side in "AB"
    }
    for side in "AB":
        pdu = by_name[f"PDU R01 {side}"]
        feed = m.one(
            "dcim/power-feeds",
            power_panel=panels[side],
            rack=rack,
            name=f"R01-{side}",
            status="active",
            type="primary" if side == "A" else "redundant",
            supply="ac",
            phase="three-phase",
            voltage=400,
            amperage=63,
            max_utilization=80,
        )
        port = m.one("dcim/power-ports", device=pdu, name="inlet")
        outlets = m.make(
            "dcim/power-outlets",
            *(
                {"device": pdu, "name": str(n), "power_port": port, "feed_leg": "ABC"[n % 3]}
                for n in range(1, 9)
            ),
        )
        m.cable(("powerfeed", feed), ("powerport", port))
        for n in (1, 2):
            psu = m.one("dcim/power-ports", device=by_name[f"R01-N0{n}"], name=f"PSU{'AB'.index(side) + 1}",
                        maximum_draw=6000)  # fmt: skip
            m.cable(("poweroutlet", outlets[n - 1]["id"]), ("powerport", psu))
    ups_port = m.one("dcim/power-ports", device=by_name["UPS A"], name="in")
    ups_feed = m.one(
        "dcim/power-feeds",
        power_panel=panels["A"],
        name="ups-a",
        status="active",
        type="primary",
        supply="ac",
        phase="three-phase",
        voltage=400,
        amperage=100,
        max_utilization=80,
    )
    m.cable(("powerfeed", ups_feed), ("powerport", ups_port))
    if cooling:
        _cooling(m, site, hall, rack, by_name)
    return {"rack": rack, "spare": spare, "row": row, **by_name}


def _cooling(m: Maker, site: int, hall: int, rack: int, by_name: dict[str, int]) -> None:
    sources = m.make("dcim/cooling-sources", *(
        {"site": site, "location": hall, "name": f"Chiller {n}", "type": "chiller", "status": "active",
         "fluid_type": "water-glycol", "cooling_capacity": 60}
        for n in (1, 2)
    ))  # fmt: skip
    for n, source in enumerate(sources, 1):
        m.one(
            "dcim/cooling-feeds",
            cooling_source=source["id"],
            rack=rack,
            name=f"R01 loop {n}",
            status="active",
            cooling_capacity=45,
            max_flow=45,
            max_flow_unit="lpm",
        )
    unit_in = m.one("dcim/cooling-intakes", device=by_name["CDU 1"], name="primary", type="npt")
    unit_out = m.one(
        "dcim/cooling-outflows", device=by_name["CDU 1"], name="secondary", cooling_intake=unit_in
    )
    for n in (1, 2):
        m.one(
            "dcim/cooling-intakes",
            device=by_name[f"R01-N0{n}"],
            name="cold plates",
            type="uqd",
            cooling_outflow=unit_out,
        )
