"""The text file directory, with files as programs leave them, judged by other parsers of the format."""

from __future__ import annotations

import logging
import math
import os
import subprocess
import time
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Info, Summary, write_to_textfile
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text
from prometheus_client.utils import floatToGoString

from exporters.runtime.source import SourceError, kind_of
from exporters.runtime.textfamily import Family, TextError, canonical
from exporters.runtime.textfile import TextfileDirectory
from exporters.runtime.textformat import KINDS, parse
from gigawatch.catalogue import own
from gigawatch.readings import Reading
from gigawatch.serving import to_openmetrics

Series = dict[tuple[str, frozenset[tuple[str, str]]], float]


def series(text: str, openmetrics: bool = False) -> Series:
    found: Series = {}
    for family in (parse_openmetrics if openmetrics else parse_text)(text):
        for sample in family.samples:
            key = (sample.name, frozenset(sample.labels.items()))
            assert key not in found, f"{key} stands twice"
            found[key] = sample.value
    return found


def same(one: Series, other: Series) -> bool:
    # The client's parser of the text format calls every counter _total, whatever the text says.
    one, other = ({(name.removesuffix("_total"), ls): v for (name, ls), v in s.items()} for s in (one, other))
    return one.keys() == other.keys() and all(
        value == other[key] or (math.isnan(value) and math.isnan(other[key])) for key, value in one.items()
    )


def look(directory: TextfileDirectory) -> tuple[list[Reading], str]:
    """Readings of one read, and the kind of error it ended in."""
    readings: list[Reading] = []
    try:
        readings.extend(directory.read())
    except (SourceError, OSError) as error:
        return readings, kind_of(error)
    return readings, ""


def lint(text: bytes) -> str:
    result = subprocess.run(["promtool", "check", "metrics"], input=text, capture_output=True, timeout=60)
    # 3 means style only; 1 means that it cannot be read.
    assert result.returncode in (0, 3), result.stderr.decode()
    return result.stderr.decode()


def test_what_the_python_client_writes_is_served_whole(tmp_path: Path) -> None:
    registry = CollectorRegistry()
    Counter("backups", "Backups made.", ["kind"], registry=registry).labels('a"b\\c\n').inc(3)
    Gauge("raid_state", "Raid.", registry=registry).set(float("nan"))
    Info("raid", "Raid software.", registry=registry).info({"version": "1"})
    sizes = Histogram("backup_bytes", "Sizes.", ["kind"], registry=registry, buckets=(1, 1e6, 1e9))
    sizes.labels("x").observe(5e5)
    sizes.labels("y").observe(5e12)
    Summary("backup_seconds", "Times.", registry=registry).observe(7)
    write_to_textfile(str(tmp_path / "backup.prom"), registry)
    directory = TextfileDirectory(tmp_path)
    readings, error = look(directory)
    assert error == ""
    assert [(r.metric, r.labels) for r in readings] == [(own.TEXTFILE_TIMESTAMP, ("backup.prom",))]
    assert readings[0].value == pytest.approx(time.time(), abs=60)
    page = directory.page()
    written = {
        key: value
        for key, value in series((tmp_path / "backup.prom").read_text()).items()
        if not key[0].endswith("_created")
    }
    served = series(page.decode())
    assert same(served, written)
    assert same(series(to_openmetrics(page).decode(), openmetrics=True), served)
    lint(page)
    assert all(block.startswith(f"# HELP {name} ".encode()) for name, block in directory.blocks().items())
    assert all(block.endswith(b"\n") for block in directory.blocks().values())


SMARTMON = """\
# Left by smartmon.sh: an old-style script, with samples of a family apart and no HELP.
smartmon_device_info{disk="/dev/sda",type="sat"} 1
# TYPE smartmon_temperature_raw gauge
smartmon_temperature_raw{disk="/dev/sda",} 31

smartmon_device_info { disk = "/dev/sdb" , type = "sat" } 1
smartmon_runs 7e0
#TYPE smartmon_runs_total counter
smartmon_runs_total +7
"""


def test_a_file_as_scripts_write_it(tmp_path: Path) -> None:
    (tmp_path / "smartmon.prom").write_text(SMARTMON)
    directory = TextfileDirectory(tmp_path)
    assert look(directory)[1] == "format", "in OpenMetrics smartmon_runs would stand twice"
    (tmp_path / "smartmon.prom").write_text(SMARTMON.replace("smartmon_runs 7e0", "smartmon_run_seconds 7e0"))
    assert look(directory)[1] == ""
    page = directory.page()
    assert b"# HELP smartmon_temperature_raw Read from smartmon.prom.\n" in page
    assert b"# TYPE smartmon_device_info untyped\n" in page
    assert (
        series(page.decode())[("smartmon_device_info", frozenset({("disk", "/dev/sdb"), ("type", "sat")}))]
        == 1
    )
    assert len(series(to_openmetrics(page).decode(), openmetrics=True)) == 5
    lint(page)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("a 1\nb 2 1700000000000\n", "line 2: b has a timestamp"),
        ('a 1\nb{x="1"} 2\nb{x="1"} 3\n', "line 3: 'b{x=\"1\"} 3' stands twice"),
        ("a 1", "line 1: does not end in a newline"),
        ("a\n", "line 1: a has no value"),
        ("a one\n", "line 1: a is 'one'; expected a number"),
        ("a 0x10\n", "expected a number"),
        ("a 1_000\n", "expected a number"),
        ("a 1e999\n", "expected a number"),
        ("2a 1\n", "line 1: begins with no metric name"),
        ("a{b=1} 1\n", 'expected NAME="VALUE"'),
        ('a{b="1" 1\n', 'expected NAME="VALUE"'),
        ('a{b="1"c="2"} 1\n', "not separated"),
        ('a{b="1",b="2"} 1\n', "label b stands twice"),
        ('a{b="\\t"} 1\n', "unknown escape"),
        ('a{__name__="b"} 1\n', "reserved"),
        ("# TYPE a gauge\n# TYPE a gauge\na 1\n", "line 2: a second TYPE"),
        ("a 1\n# TYPE a gauge\n", "line 2: TYPE of a comes after its samples"),
        ("# TYPE a rate\na 1\n", "allowed: counter, gauge, histogram, summary, untyped"),
        ("# HELP a x\n# HELP a x\na 1\n", "a second HELP"),
        ("a 1\r\n", "CR LF"),
        (b"a 1\n\xff 1\n", "line 2: is not UTF-8"),
        ("# TYPE a counter\na -1\n", "neither negative nor NaN"),
        ('# TYPE a histogram\na_bucket{le="1"} 1\n', 'le="+Inf" is missing'),
        ('# TYPE a histogram\na_bucket{le="+Inf"} 1\na_sum 1\na_count 2\n', "_count is 2.0"),
        ('# TYPE a histogram\na_bucket{le="1"} 2\na_bucket{le="+Inf"} 1\n', "never fall"),
        ("# TYPE a histogram\na 1\n", "but no a"),
        ("# TYPE a histogram\na_bucket 1\n", "lacks the label le"),
        ('# TYPE a summary\na{quantile="2"} 1\n', "expected 0 to 1"),
        ("# TYPE a_total counter\na_total 1\na 1\n", "the same name (a) in OpenMetrics"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named_with_its_line(
    text: str | bytes, told: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "good.prom").write_text("good 1\n")
    (tmp_path / "bad.prom").write_bytes(text if isinstance(text, bytes) else text.encode())
    directory = TextfileDirectory(tmp_path)
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            assert look(directory)[1] == "format"
    (line,) = caplog.messages
    assert told in line
    assert f"{tmp_path}/bad.prom: " in line
    assert "\n" not in line
    assert series(directory.page().decode()) == {("good", frozenset()): 1.0}


def test_files_share_a_family_but_no_series(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    job = '# HELP job_up Whether it runs.\n# TYPE job_up gauge\njob_up{{job="{}"}} 1\n'
    for name in ("a", "b"):
        (tmp_path / f"{name}.prom").write_text(job.format(name))
    directory = TextfileDirectory(tmp_path)
    assert look(directory)[1] == ""
    assert directory.page().count(b"# TYPE job_up gauge") == 1
    assert len(series(directory.page().decode())) == 2
    for text, told in (
        (job.format("b"), "job_up has a series that b.prom has, too"),
        (job.format("c").replace("gauge", "counter"), "job_up is a counter here and a gauge in a.prom"),
        ("# TYPE job_up_total counter\njob_up_total 1\n", "the same name (job_up) in OpenMetrics"),
        ("aif_up 1\n", "aif_up begins like a name of the agent's own"),
        ("process_cpu_seconds_total 1\n", "process_cpu_seconds_total begins like"),
    ):
        caplog.clear()
        (tmp_path / "c.prom").write_text(text + "other 1\n")
        assert look(directory)[1] == "conflict"
        (line,) = caplog.messages
        assert told in line
        assert len(series(directory.page().decode())) == 2, "nothing of a refused file is served"
    (tmp_path / "c.prom").unlink()
    assert look(directory)[1] == ""


def test_changes_are_seen_and_what_is_gone_goes(tmp_path: Path) -> None:
    file = tmp_path / "x.prom"
    directory = TextfileDirectory(tmp_path)
    assert look(directory) == ([], "")
    for value in range(3):
        fresh = tmp_path / "x.prom.new"
        fresh.write_text(f"x {value}\n")
        fresh.replace(file)
        look(directory)
        assert directory.page() == f"# HELP x Read from x.prom.\n# TYPE x untyped\nx {value}.0\n".encode()
    file.unlink()
    assert look(directory) == ([], "")
    assert directory.blocks() == {}


def test_values_do_not_outlive_the_directory(tmp_path: Path) -> None:
    now = [0.0]
    home = tmp_path / "texts"
    home.mkdir()
    (home / "x.prom").write_text("x 1\n")
    directory = TextfileDirectory(home, interval=5, monotonic=lambda: now[0])
    look(directory)
    now[0] = 14.0
    assert directory.blocks()
    now[0] = 16.0
    assert not directory.blocks(), "a read that hangs must not keep old values on the page"
    look(directory)
    assert directory.page()
    home.rename(tmp_path / "gone")
    assert look(directory)[1] == "io"
    assert not directory.page()


def test_only_plain_files_of_reasonable_size(tmp_path: Path) -> None:
    directory = TextfileDirectory(tmp_path, most_files=3, most_bytes=100, largest=80)
    os.mkfifo(tmp_path / "a.prom")
    assert look(directory)[1] == "io"
    (tmp_path / "a.prom").unlink()
    (tmp_path / "a.prom").write_text("#" * 80 + "\n")
    assert look(directory)[1] == "too_large"
    for name in "abc":
        (tmp_path / f"{name}.prom").write_text(f"{name} 1\n" + "#" * 40 + "\n")
    assert look(directory)[1] == "too_large"
    assert directory.blocks().keys() == {"a", "b"}
    for name in "abcd":
        (tmp_path / f"{name}.prom").write_text(f"{name} 1\n")
    (tmp_path / ".hidden.prom").write_text("?")
    (tmp_path / "note.txt").write_text("?")
    assert look(directory)[1] == "too_many"
    assert directory.blocks().keys() == {"a", "b", "c"}


def test_a_strange_file_name_spoils_neither_labels_nor_log(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / os.fsdecode(b"\xff\n.prom")).write_text("x 1\n")
    (tmp_path / "y\n.prom").write_text("y\n")
    directory = TextfileDirectory(tmp_path)
    readings, _ = look(directory)
    assert all("\n" not in r.labels[0] and r.labels[0].encode() for r in readings)
    assert len(series(directory.page().decode())) == 1
    assert all("\n" not in line for line in caplog.messages)


def test_an_unreadable_file_is_no_hindrance(tmp_path: Path) -> None:
    (tmp_path / "lost.prom").symlink_to(tmp_path / "nowhere")
    (tmp_path / "loop.prom").symlink_to(tmp_path / "loop.prom")
    (tmp_path / "x.prom").write_text("x 1\n")
    directory = TextfileDirectory(tmp_path)
    assert look(directory)[1] == "io"
    assert directory.blocks().keys() == {"x"}


@given(st.floats(allow_nan=False))
def test_bounds_are_spelt_as_the_reference_does(value: float) -> None:
    assert canonical(value) == floatToGoString(value)


def written(families: dict[str, Family]) -> bytes:
    return b"".join(family.header("?") + family.lines for family in families.values())


def judged(data: bytes) -> None:
    """Whatever is let through, other parsers read: the same series in both formats."""
    try:
        families = parse(data)
    except TextError:
        return
    page = written(families)
    served = series(page.decode())
    assert same(series(to_openmetrics(page).decode(), openmetrics=True), served)
    assert written(parse(page)) == page, "what we write, we read"


@given(st.binary(max_size=200))
@example(b"# TYPE _total counter\n_total 1\n")
@example(b'# HELP a \\\\n"\\n\na 1\n')
@settings(max_examples=300)
def test_no_bytes_do_harm(data: bytes) -> None:
    judged(data)


NAMES = st.sampled_from(
    ["a", "a_total", "a_count", "a_sum", "a_bucket", "a_info", "a_created", "b", "_total", ":x", "b_total"]
)
NUMBERS = st.one_of(
    st.sampled_from(["0", "1", "-1", "+Inf", "-Inf", "NaN", "1e3", ".5", "5.", "1e-7", "123456789"]),
    st.floats().map(repr),
)
PAIRS = st.one_of(
    st.builds('le="{}"'.format, NUMBERS),
    st.builds('quantile="{}"'.format, NUMBERS),
    st.builds(
        '{}="{}"'.format,
        st.sampled_from(["x", "y", "__name__", "le"]),
        st.text(max_size=5).map(lambda t: t.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')),
    ),
)
LINES = st.one_of(
    st.builds("# TYPE {} {}".format, NAMES, st.sampled_from(KINDS)),
    st.builds("# HELP {} {}".format, NAMES, st.text(max_size=8).map(lambda t: t.replace("\n", "\\n"))),
    st.builds("{} {}".format, NAMES, NUMBERS),
    st.builds(lambda n, p, v: f"{n}{{{','.join(p)}}} {v}", NAMES, st.lists(PAIRS, max_size=3), NUMBERS),
    st.text(max_size=12),
)  # fmt: skip
HISTOGRAM = st.builds(
    lambda le, values, rest: "# TYPE a histogram\n" + "".join(
        f'a_bucket{{le="{bound}"}} {value}\n' for bound, value in zip(le, [*values, 9], strict=False)
    ) + rest,
    st.lists(NUMBERS, max_size=3).map(lambda bounds: [*bounds, "+Inf"]),
    st.lists(st.integers(0, 9), min_size=3, max_size=3).map(sorted),
    st.sampled_from(["", "a_sum 1\na_count 9\n", "a_sum 1\n"]),
)  # fmt: skip


@given(st.one_of(st.lists(LINES, max_size=8).map(lambda lines: "\n".join(lines) + "\n"), HISTOGRAM))
@settings(max_examples=500)
def test_no_near_miss_does_harm(text: str) -> None:
    judged(text.encode("utf-8", "replace"))


@given(st.lists(st.lists(LINES, max_size=4), max_size=3))
@settings(max_examples=100)
def test_files_together_make_a_valid_page(
    tmp_path_factory: pytest.TempPathFactory, files: list[list[str]]
) -> None:
    home = tmp_path_factory.mktemp("texts")
    for number, lines in enumerate(files):
        (home / f"{number}.prom").write_bytes(("\n".join(lines) + "\n").encode("utf-8", "replace"))
    directory = TextfileDirectory(home)
    look(directory)
    page = directory.page()
    assert same(series(to_openmetrics(page).decode(), openmetrics=True), series(page.decode()))
