"""What the helpers refuse, and what they make sure of."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dashboards import foreign
from dashboards.boards.common import label_values, or_zero, state_code
from dashboards.foreign import ALERTS, NOTIFICATIONS, pick, rise
from dashboards.model import COLUMNS, Panel, Section, flow
from dashboards.panels import Column, Line, PanelError, rising, stat, table, thresholds, timeseries
from dashboards.places import drill_down
from gigawatch.catalogue import Unit, facility, gpu, site
from gigawatch.promql import PromQLError, max_by, recorded, series, sum_by
from gigawatch.promql.recording import RACK_POWER

POWER = series(gpu.GPU_POWER, scope="gpu")


def test_lines_of_one_panel_share_a_unit() -> None:
    temperature = series(gpu.GPU_TEMPERATURE)
    with pytest.raises(PanelError, match="different units: celsius, watt"):
        timeseries("Mixed", "Does this make sense?", Line(POWER, "power"), Line(temperature, "heat"))


def test_the_unit_comes_from_the_expression() -> None:
    assert stat("Power", "How much?", sum_by(POWER)).unit == "watt"
    assert stat("GPUs", "How many?", sum_by(series(gpu.GPU_STATE, state="ok"))).unit == "short"


def test_columns_are_brought_to_the_keys_of_the_table() -> None:
    made = table(
        "Racks",
        "Which rack?",
        ("site", "rack"),
        Column("Recorded", recorded(RACK_POWER)),
        Column("Summed", sum_by(POWER, "site", "rack")),
        Column("Raw", POWER),
    )
    assert [query.expr.labels for query in made.queries] == [frozenset({"site", "rack"})] * 3
    texts = [query.expr.text for query in made.queries]
    # A recorded series that is not aggregated keeps its name as a label: its row would meet no other.
    assert texts[0] == "max by (site, rack) (rack:aif_power_active_watts:sum)"
    assert texts[1].startswith("sum by (site, rack) (")
    assert texts[2].startswith("max by (site, rack) (aif_gpu_power_watts")


def test_a_column_without_the_keys_is_refused() -> None:
    with pytest.raises(PromQLError, match="has no rack"):
        table("Racks", "Which rack?", ("site", "rack"), Column("Site", sum_by(POWER, "site")))


def test_one_column_is_called_value_and_several_carry_their_letter() -> None:
    def renamed(*columns: Column) -> dict[str, str]:
        return dict(table("T", "Which?", ("node",), *columns).transformations[1]["options"]["renameByName"])

    assert renamed(Column("W", POWER)) == {"node": "Node", "Value": "W"}
    two = renamed(Column("W", POWER), Column("V", POWER))
    assert two == {"node": "Node", "Value #A": "W", "Value #B": "V"}


def test_cells_that_name_a_place_lead_there() -> None:
    made = table("T", "Which?", ("site", "rack", "node", "gpu"), Column("W", POWER))
    links = {
        override["matcher"]["options"]: prop["value"][0]["url"]
        for override in made.overrides
        for prop in override["properties"]
        if prop["id"] == "links"
    }
    assert links["Rack"].startswith(
        "/d/gw-rack?var-site=${__data.fields.Site}&var-rack=${__data.fields.Rack}&${datasource:queryparam}"
    )
    assert "var-gpu=${__data.fields.GPU}" in links["GPU"]
    assert all(url.endswith("${__url_time_range}") for url in links.values())


def test_a_link_without_a_site_column_takes_the_boards_site() -> None:
    link = drill_down("job_id", {"job_id": "Job"})
    assert link is not None
    assert str(link["url"]).startswith("/d/gw-job?${site:queryparam}&var-job_id=${__data.fields.Job}&")
    assert drill_down("xid", {"xid": "XID"}) is None


def test_the_base_threshold_has_no_value() -> None:
    assert thresholds(rising(1, 2))["steps"][0] == {"color": "green", "value": None}
    with pytest.raises(PanelError, match="base"):
        stat("Power", "How much?", sum_by(POWER), steps=(("green", 0.0), ("red", 1.0)))


def test_foreign_metrics_refuse_what_their_table_does_not_have() -> None:
    assert pick(ALERTS, alertstate="firing").text == 'ALERTS{alertstate="firing"}'
    with pytest.raises(PromQLError, match="no label 'colour'"):
        pick(ALERTS, colour="red")
    with pytest.raises(PromQLError, match="no counter"):
        rise(ALERTS, "5m")
    assert rise(NOTIFICATIONS, "5m").text == "rate(alertmanager_notifications_total[5m])"
    assert {metric.name.split("_")[0] for metric in foreign.all_foreign()} == {
        "up", "scrape", "ALERTS", "prometheus", "alertmanager",
    }  # fmt: skip


def test_or_zero_takes_totals_only() -> None:
    assert or_zero(sum_by(POWER)).text.endswith("or vector(0)")
    with pytest.raises(ValueError, match="without labels"):
        or_zero(sum_by(POWER, "node"))


def test_variables_ask_for_labels_that_exist() -> None:
    assert label_values(series(site.NODE_INFO), "node") == "label_values(aif_node_info, node)"
    with pytest.raises(ValueError, match="has no label 'gpu'"):
        label_values(series(site.NODE_INFO), "gpu")


def test_a_state_set_becomes_one_number() -> None:
    code = state_code(facility.BREAKER_STATE, {"tripped": 1, "off": 2}, "device")
    assert code.labels == frozenset({"device"})
    assert code.unit is Unit.COUNT
    with pytest.raises(PromQLError, match="never occurs"):
        state_code(facility.BREAKER_STATE, {"melted": 1}, "device")


def test_hidden_keys_still_tell_rows_apart() -> None:
    made = table(
        "T",
        "Which?",
        ("node", "gpu", "uuid"),
        Column("W", max_by(POWER, "node", "gpu", "uuid")),
        hide=("uuid",),
    )
    organize = made.transformations[1]["options"]
    assert organize["excludeByName"] == {"Time": True, "uuid": True}
    assert "uuid" not in organize["renameByName"]
    assert "uuid" in made.queries[0].expr.text


def test_what_an_empty_table_says_stays_out_of_single_cells() -> None:
    made = table("T", "Which?", ("severity", "node"), Column("For", pick(ALERTS)), nothing="All is quiet")
    assert made.defaults["noValue"] == "All is quiet"
    quiet = {o["matcher"]["options"] for o in made.overrides for p in o["properties"] if p["id"] == "noValue"}
    assert quiet == {"Severity", "Node", "For"}


@given(
    st.lists(st.tuples(st.integers(3, COLUMNS), st.integers(1, 12)), min_size=1, max_size=40),
    st.integers(0, 50),
)
def test_panels_never_overlap_and_stay_in_reading_order(sizes: list[tuple[int, int]], top: int) -> None:
    panels = tuple(Panel("stat", str(i), "", (), width, height) for i, (width, height) in enumerate(sizes))
    places, end = flow(Section("s", panels), top)
    cells: set[tuple[int, int]] = set()
    for place in places:
        mine = {
            (x, y)
            for x in range(place.x, place.x + place.width)
            for y in range(place.y, place.y + place.height)
        }
        assert not mine & cells
        assert all(0 <= x < COLUMNS and top <= y < end for x, y in mine)
        cells |= mine
    assert [(p.y, p.x) for p in places] == sorted((p.y, p.x) for p in places)
