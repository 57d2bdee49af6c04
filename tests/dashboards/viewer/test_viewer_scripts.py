"""The viewer's scripts, module by module, in the browser that runs them."""

from __future__ import annotations

from typing import Any

import pytest
from playwright.sync_api import Browser, Page

from gigawatch.serving import Running


@pytest.fixture(scope="module")
def scripts(browser: Browser, viewer: Running) -> Any:
    context = browser.new_context()
    page = context.new_page()
    page.goto(viewer.url)
    yield page
    context.close()


def call(page: Page, module: str, body: str, argument: object = None) -> Any:
    """Evaluate `body` with the module's exports as `m` and the argument as `a`."""
    return page.evaluate(
        f"async (a) => {{ const m = await import('/static/js/{module}.js'); {body} }}", argument
    )


@pytest.mark.parametrize(
    ("value", "unit", "decimals", "text"),
    [
        (0, "watt", None, "0 W"),
        (512.4, "watt", None, "512 W"),
        (10_240, "watt", None, "10.2 kW"),
        (10_240, "watt", 1, "10.2 kW"),
        (999_999, "watt", 1, "1.0 MW"),
        (1.5e6, "watt", None, "1.50 MW"),
        (0.25, "watt", None, "250 mW"),
        (-1500, "watt", None, "-1.50 kW"),
        (3.6e6, "joule", None, "3.60 MJ"),
        (24.04, "celsius", 1, "24.0 °C"),
        (0.8515, "percentunit", None, "85.2%"),
        (0.8515, "percentunit", 0, "85%"),
        (1, "percentunit", None, "100%"),
        (42, "percent", None, "42%"),
        (1024, "bytes", None, "1 KiB"),
        (80 * 2**30, "bytes", None, "80 GiB"),
        (1536, "binBps", None, "1.50 KiB/s"),
        (2_000_000, "Bps", None, "2 MB/s"),
        (1.98e9, "hertz", None, "1.98 GHz"),
        (0.0042, "s", None, "4.20 ms"),
        (90, "s", None, "1.50 min"),
        (7200, "s", None, "2 hours"),
        (86400, "s", None, "1 day"),
        (0, "dateTimeAsIso", None, "1970-01-01 00:00:00"),
        (16.02, "amp", None, "16.0 A"),
        (230.4, "volt", 0, "230 V"),
        (2.394, "currencyUSD", None, "$2.39"),
        (1_250_000, "currencyUSD", None, "$1.25M"),
        (-3, "currencyUSD", 2, "-$3.00"),
        (1234, "short", None, "1.23 K"),
        (5, "short", None, "5"),
        (1234.5, "none", None, "1235"),
        (1, "bool", None, "True"),
        (0, "bool", None, "False"),
        (1306, "suffix: tok/s", None, "1306 tok/s"),
        (0.0123, "suffix: K/W", None, "0.0123 K/W"),
        (150_000, "pressurepa", None, "150 kPa"),
        (3725, "dtdurations", None, "1 hour 2 min"),
    ],
)
def test_units_read_as_in_grafana(
    scripts: Page, value: float, unit: str, decimals: int | None, text: str
) -> None:
    shown = call(
        scripts, "units", "return m.formatText(a[0], a[1], a[2] ?? undefined)", [value, unit, decimals]
    )
    assert shown == text


def test_every_unit_of_the_catalogue_is_written_with_its_own_sign(scripts: Page) -> None:
    from gigawatch.catalogue import Unit

    for unit in Unit:
        shown = call(scripts, "units", "return m.formatText(1, a)", unit.grafana)
        sign = unit.sign.split("/")[0] if unit.grafana == "currencyUSD" else unit.sign
        assert unit.grafana in ("short", "none", "bool", "dateTimeAsIso") or sign in shown, unit


@pytest.mark.parametrize(
    ("range_seconds", "points", "least", "step"),
    [(300, 800, 5, 5), (3600, 800, 5, 5), (21600, 800, 5, 30), (86400, 500, 15, 300), (86400, 500, 7, 301)],
)
def test_steps_fit_the_width_and_the_scrape_interval(
    scripts: Page, range_seconds: int, points: int, least: int, step: int
) -> None:
    assert call(scripts, "time", "return m.stepFor(...a)", [range_seconds, points, least]) == step


def test_rate_interval_covers_four_scrapes(scripts: Page) -> None:
    body = "return m.timeVariables({start: 0, end: 3600}, a[0], a[1])"
    assert call(scripts, "time", body, [5, 5])["__rate_interval"] == "20s"
    assert call(scripts, "time", body, [300, 15])["__rate_interval"] == "315s"
    assert call(scripts, "time", body, [300, 15])["__interval"] == "5m"
    assert call(scripts, "time", body, [5, 5])["__range"] == "3600s"


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("now", 1_000_000.0),
        ("now-1h", 996_400.0),
        ("now-1h30m", 994_600.0),
        ("now/d", 950_400.0),
        ("1900000000000", 1.9e9),
        ("2030-01-31 14:00:00", 1896098400.0),
        ("2030-01-31", 1896048000.0),
        ("soon", None),
        ("now-", None),
        ("now-1h<script>", None),
    ],
)
def test_times_of_an_address(scripts: Page, text: str, seconds: float | None) -> None:
    assert call(scripts, "time", "return m.parseTime(a, 1000000)", text) == seconds


VARIABLES = """
  const v = new m.Variables([
    {name: 'rack', type: 'custom', multi: true, includeAll: true, query: 'r1,r.2,a"b', allValue: a.all},
    {name: 'one', type: 'custom', query: 'x.y'},
  ]);
  v.list[0].settle(a.chosen ?? []);
  v.list[1].settle([]);
  return v.fill(a.text, {__rate_interval: '20s'});
"""


@pytest.mark.parametrize(
    ("text", "chosen", "all_value", "filled"),
    [
        ('m{rack=~"$rack"}', ["r1"], None, 'm{rack=~"r1"}'),
        ('m{rack=~"$rack"}', ["r1", "r.2"], None, 'm{rack=~"(r1|r\\\\.2)"}'),
        ('m{rack=~"$rack"}', ['a"b'], None, 'm{rack=~"a\\"b"}'),
        ('m{rack=~"$rack"}', ["$__all"], ".+", 'm{rack=~".+"}'),
        ('m{rack=~"${rack}"}', ["$__all"], None, 'm{rack=~"(r1|r\\\\.2|a\\"b)"}'),
        ('m{one="$one"}', [], None, 'm{one="x.y"}'),
        ("${rack:csv} ${rack:pipe}", ["r1", "r.2"], None, "r1,r.2 r1|r.2"),
        ("${rack:queryparam}", ["r1", "r.2"], None, "var-rack=r1&var-rack=r.2"),
        ("rate(m[$__rate_interval]) [[one]] $other", [], None, "rate(m[20s]) x.y $other"),
        ('m{rack=~"$rack"}', ['"} or vector(1)'], ".+", 'm{rack=~".+"}'),
    ],
)
def test_variables_are_filled_in_as_grafana_does(
    scripts: Page, text: str, chosen: list[str], all_value: str | None, filled: str
) -> None:
    argument = {"text": text, "chosen": chosen, "all": all_value}
    assert call(scripts, "variables", VARIABLES, argument) == filled


def column(name: str, kind: str, values: list[Any], ref: str = "A") -> dict[str, Any]:
    return {"name": name, "type": kind, "values": values, "labels": {}, "refId": ref}


def table_of(scripts: Page, frames: list[Any], steps: list[Any]) -> dict[str, list[Any]]:
    body = """const [frame] = m.transform(a[0], a[1])[0];
      return Object.fromEntries(frame.fields.map((f) => [f.display ?? f.name, f.values]))"""
    made: dict[str, list[Any]] = call(scripts, "transforms", body, [frames, steps])
    return made


def test_merge_organize_and_sort_make_one_table(scripts: Page) -> None:
    frames = [
        {"refId": ref, "table": True, "fields": [
            column("Time", "time", [1, 1]),
            column("rack", "string", racks),
            column(f"Value #{ref}", "number", values),
        ]}
        for ref, racks, values in (("A", ["r1", "r2"], [10, 20]), ("B", ["r2", "r3"], [0.5, 0.25]))
    ]  # fmt: skip
    steps = [
        {"id": "merge", "options": {}},
        {"id": "organize", "options": {
            "excludeByName": {"Time": True},
            "indexByName": {"rack": 0, "Value #B": 1, "Value #A": 2},
            "renameByName": {"rack": "Rack", "Value #A": "Power", "Value #B": "Share"},
        }},
        {"id": "sortBy", "options": {"sort": [{"field": "Power", "desc": True}]}},
    ]  # fmt: skip
    made = table_of(scripts, frames, steps)
    assert made == {"Rack": ["r2", "r1", "r3"], "Share": [0.5, None, 0.25], "Power": [20, 10, None]}
    assert list(made) == ["Rack", "Share", "Power"]


def test_a_step_that_is_not_known_is_named(scripts: Page) -> None:
    unknown = call(scripts, "transforms", "return m.transform([], [{id: 'heatmapMagic'}])[1]")
    assert unknown == ["heatmapMagic"]


def test_gaps_of_a_series_stay_gaps(scripts: Page) -> None:
    body = """return m.framesOf(
      [{refId: 'A', legendFormat: '{{gpu}}', expr: 'x'}],
      [{data: {resultType: 'matrix', result: [
        {metric: {gpu: '3'}, values: [[10, '1'], [30, 'NaN'], [40, '+Inf']]}]}}],
      {start: 10, end: 50, step: 10})[0].fields.map((f) => [f.display ?? f.name, f.values.map(String)])"""
    assert call(scripts, "frames", body) == [
        ["Time", ["10", "20", "30", "40", "50"]],
        ["3", ["1", "null", "null", "Infinity", "null"]],
    ]


@pytest.mark.parametrize(
    ("value", "text", "color"),
    [
        (0, "off", "#F2495C"),
        (7, "many", "#FF9830"),
        (3, "3 W", "#73BF69"),
        (90, "90 W", "#FADE2A"),
        (None, "none", "#5794F2"),
    ],
)
def test_mappings_come_before_thresholds(scripts: Page, value: float | None, text: str, color: str) -> None:
    config = {
        "unit": "watt",
        "thresholds": {
            "mode": "absolute",
            "steps": [{"color": "green", "value": None}, {"color": "yellow", "value": 80}],
        },
        "mappings": [
            {"type": "value", "options": {"0": {"text": "off", "color": "red"}}},
            {
                "type": "range",
                "options": {"from": 5, "to": 10, "result": {"text": "many", "color": "orange"}},
            },
            {"type": "special", "options": {"match": "null", "result": {"text": "none", "color": "blue"}}},
        ],
    }
    body = """document.documentElement.dataset.theme = 'dark';
      const shown = m.display(a[0], a[1]);
      return [m.asText(shown), shown.color]"""
    assert call(scripts, "fields", body, [config, value]) == [text, color]


@pytest.mark.parametrize("url", ["javascript:alert(1)", "data:text/html,x", "vbscript:x"])
def test_links_lead_to_the_web_only(scripts: Page, url: str) -> None:
    assert call(scripts, "dom", "return m.safeUrl(a)", url) is None


def test_words_never_become_markup(scripts: Page) -> None:
    body = """const d = document.createElement('div');
      d.append(...m.markdown('# Hi <img src=x onerror=alert(1)>\\n\\n[a](javascript:boom) **b** `c`'
        + '\\n\\n- x\\n- y'));
      return d.innerHTML"""
    assert call(scripts, "markdown", body) == (
        "<h2>Hi &lt;img src=x onerror=alert(1)&gt;</h2><p>a <strong>b</strong> <code>c</code></p>"
        "<ul><li>x</li><li>y</li></ul>"
    )
