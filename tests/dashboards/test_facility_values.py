"""What the expressions of the facility boards give, computed by Prometheus itself over made-up series."""

from __future__ import annotations

from pathlib import Path

import pytest
from board_values import ask

from dashboards.boards import common, elevation, rooms
from dashboards.boards.power_chain import device_load, device_state
from dashboards.drawings import drawn, figure, matrix
from dashboards.panels import PanelError, stat
from gigawatch.catalogue import facility, site
from gigawatch.promql import PromQLError, max_by, series
from gigawatch.promql.joins import copied

NODE = '{site="s",rack="r1",name="%s"}'
ALERT = 'ALERTS{alertname="%s",alertstate="firing",severity="%s",site="s",rack="r1",node="%s"}'


def test_the_worst_alert_of_a_node_counts(tmp_path: Path) -> None:
    given = {
        **{f'aif_node_info{{site="s",rack="r1",node="{n}"}}': "1x9" for n in ("n1", "n2", "n3")},
        ALERT % ("Hot", "critical", "n1"): "1x9",
        ALERT % ("Slow", "warning", "n1"): "1x9",
        ALERT % ("Slow", "warning", "n2"): "1x9",
    }
    wanted = {NODE % "n1": 2.0, NODE % "n2": 1.0, NODE % "n3": 0.0}
    ask(tmp_path, elevation.health(), given, "1m", wanted)


def test_load_is_of_nodes_and_of_pdus(tmp_path: Path) -> None:
    given = {
        'aif_node_info{site="s",rack="r1",node="n1",unit="3"}': "1x9",
        'aif_node_design_power_watts{site="s",rack="r1",node="n1"}': "10000x9",
        'node:aif_node_power_watts:max{site="s",node="n1"}': "7500x9",
        'device:aif_breaker_load:ratio{site="s",hall="h",rack="r1",device="pdu",id="main"}': "0.4x9",
        'device:aif_breaker_load:ratio{site="s",hall="h",rack="r1",device="pdu",id="b1"}': "0.9x9",
    }
    ask(tmp_path, elevation.load(), given, "1m", {NODE % "n1": 0.75, NODE % "pdu": 0.4})


def test_a_device_shows_its_ups_its_breaker_or_its_silence(tmp_path: Path) -> None:
    states = ("online", "on_battery", "bypass", "off", "unknown")
    ups = 'aif_ups_status{site="s",device="ups",state="%s"}'
    breaker = 'aif_breaker_state{site="s",rack="r1",device="%s",side="A",id="main",state="%s"}'
    given = {
        **{ups % state: ("1x9" if state == "on_battery" else "0x9") for state in states},
        **{
            breaker % (device, state): ("1x9" if state == now else "0x9")
            for device, now in (("well", "normal"), ("open", "tripped"), ("gone", "normal"))
            for state in ("normal", "tripped", "off")
        },
        **{f'aif_poll_up{{site="s",device="{name}"}}': "1x9" for name in ("ups", "well", "open")},
        'aif_poll_up{site="s",device="gone"}': "0x9",
    }
    wanted = {"ups": 1.0, "well": 0.0, "open": 4.0, "gone": 6.0}
    made = {f'{{site="s",device="{device}"}}': code for device, code in wanted.items()}
    ask(tmp_path, device_state(), given, "1m", made)


def test_load_is_of_the_breaker_or_else_of_what_a_device_may_carry(tmp_path: Path) -> None:
    power = 'device:aif_power_active_watts:inlet{site="s",device="%s",side="A"}'
    rated = 'device:aif_power_capacity_watts:rated{site="s",device="%s"}'
    given = {
        power % "pdu": "900x9",
        rated % "pdu": "1000x9",
        'device:aif_breaker_load:ratio{site="s",device="pdu",id="main"}': "0.5x9",
        power % "utility": "600x9",
        rated % "utility": "1000x9",
        power % "unrated": "600x9",
    }
    wanted = {'{site="s",device="pdu"}': 0.5, '{site="s",device="utility"}': 0.6}
    ask(tmp_path, device_load(), given, "1m", wanted)


def test_a_leak_zone_without_a_place_is_shown_too(tmp_path: Path) -> None:
    states = ("dry", "warning", "leak", "fault")
    leak = 'aif_leak_state{site="s",device="%s",zone="z",state="%s"}'
    given = {
        **{leak % ("placed", state): ("1x9" if state == "leak" else "0x9") for state in states},
        **{leak % ("bare", state): ("1x9" if state == "dry" else "0x9") for state in states},
        'aif_leak_zone_info{site="s",device="placed",zone="z",location="tray",endangers="r1"}': "1x9",
    }
    wanted = {
        '{site="s",device="placed",zone="z",location="tray",endangers="r1"}': 2.0,
        '{site="s",device="bare",zone="z"}': 0.0,
    }
    ask(tmp_path, rooms.zones(), given, "1m", wanted)


def test_maintenance_that_is_over_is_gone(tmp_path: Path) -> None:
    until = 'aif_maintenance_until_timestamp_seconds{site="s",scope="rack",place="%s",reason="x"}'
    given = {until % "r1": "300x30", until % "r2": "30x30"}
    wanted = {'{site="s",scope="rack",place="r1",reason="x"}': 240.0}
    ask(tmp_path, common.maintenance_left("rack"), given, "1m", wanted)


def test_a_label_is_copied_from_others_that_exist(tmp_path: Path) -> None:
    path = max_by(series(site.POWER_PATH_INFO), "device", "fed_by")
    made = copied(path, "id", "fed_by", "device", between=" > ")
    given = {'aif_power_path_info{site="s",device="pdu",fed_by="ups",side="A"}': "1x9"}
    ask(tmp_path, made, given, "1m", {'{device="pdu",fed_by="ups",id="ups > pdu"}': 1.0})
    with pytest.raises(PromQLError, match="has no rack"):
        copied(path, "name", "rack")


def test_figures_need_their_label_and_a_scale_its_ends() -> None:
    power = series(facility.POWER_ACTIVE)
    with pytest.raises(PanelError, match="has no label 'loop'"):
        figure("x", "Power", power, "loop")
    with pytest.raises(PanelError, match="two ends"):
        figure("x", "Power", power, "device", scheme="continuous-GrYlRd", low=0)
    panel = stat("Power", "How much?", max_by(power))
    one = figure("x", "Power", power, "device")
    with pytest.raises(PanelError, match="x stands for two things"):
        drawn(panel, "power", {"x": power}, (one,), links={})
    assert [ref for ref, _ in drawn(panel, "power", {"y": power}, (one,), links={}).drawing.queries()] == [
        "y",
        "x",
    ]  # type: ignore[union-attr] # it was given one


def test_a_matrix_asks_for_its_two_labels_only() -> None:
    made = matrix(
        "Inlets", "Where is it warm?", elevation.inlet(), rows="name", columns="rack", link="gw-rack"
    )
    assert made.queries[0].expr.labels == {"name", "rack"}
    assert made.unit == "celsius"
    assert "var-rack=${__field.name}" in made.defaults["links"][0]["url"]
