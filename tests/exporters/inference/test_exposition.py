"""Reading foreign text: what the two formats allow, what is no line, and answers made to do harm."""

from __future__ import annotations

import math
import time
from collections import defaultdict
from contextlib import suppress
from functools import cache

import pytest
from engine_series import Series, pick, recording, series
from hypothesis import given, settings
from hypothesis import strategies as st

from exporters.inference.dialect import Dialect
from exporters.inference.dialects.llamacpp import DIALECT as LLAMA
from exporters.inference.dialects.vllm import DIALECT as VLLM
from exporters.inference.exposition import MAX_BYTES, kind_in, number, parse
from exporters.inference.normal import ExpositionError, Normaliser, Objective, recognise
from exporters.inference.vocabulary import vocabulary_of
from exporters.runtime.gate import allowed_range
from gigawatch.catalogue import Kind, Metric, all_metrics

RUNNING = "vllm:num_requests_running"
GENERATED = "vllm:generation_tokens_total"


def vllm(*answers: str | bytes) -> Normaliser:
    normaliser = Normaliser(VLLM, "n:1", "m", lambda _: {"time_to_first_token": Objective(0.07, 0.9)})
    for at, answer in enumerate(answers):
        normaliser.take(answer.encode() if isinstance(answer, str) else answer, float(at))
    return normaliser


@pytest.mark.parametrize(
    "line",
    [
        RUNNING + " 7",
        RUNNING + "\t7",
        RUNNING + "{} 7",
        "  " + RUNNING + "   7  ",
        RUNNING + " 7\r",
        RUNNING + " 7 1700000000000",
        RUNNING + " 7.0 1700000000.123",
        RUNNING + '{engine="0"} 7',
        RUNNING + '{engine="0",} 7',
        RUNNING + '{ engine = "0" , model_name = "m" } 7',
        RUNNING + '{engine="0"}7',
        RUNNING + '{model_name="m",why="a b} # {c=\\"d\\"} 9"} 7',
        RUNNING + ' 7 # {trace_id="a b"} 0.5 1700000000.5',
        RUNNING + '{engine="0"} 0.7e1 # {} 1',
    ],
)
def test_spellings_of_a_sample(line: str) -> None:
    normaliser = vllm(line + "\n", line.replace("7", "8") + "\n", line + "\n")
    assert pick(normaliser, "requests_running", model="m") == 7
    assert normaliser.bad_lines == 0


@pytest.mark.parametrize(
    "line",
    [
        RUNNING,
        RUNNING + " ",
        RUNNING + " seven",
        RUNNING + " 7 8 9",
        RUNNING + " 7 later",
        RUNNING + '{engine="0" 7',
        RUNNING + "{engine=0} 7",
        RUNNING + '{engine="0} 7',
        RUNNING + '{engine="0",engine="1"} 7',
        RUNNING + '{engine="0"model_name="m"} 7',
        RUNNING + '{0engine="0"} 7',
        RUNNING + " {} = 7",
        '{"' + RUNNING + '"} 7',
        "7",
        "=",
        "vllm:time_to_first_token_seconds_bucket 7",
        'vllm:time_to_first_token_seconds_bucket{le="long"} 7',
        'vllm:time_to_first_token_seconds_bucket{le="NaN"} 7',
    ],
)
def test_a_malformed_line_costs_itself_alone(line: str) -> None:
    normaliser = vllm(f"{GENERATED} 5\n{line}\nvllm:num_requests_waiting 2\n")
    assert normaliser.bad_lines == 1
    assert pick(normaliser, "requests_running") is None
    assert pick(normaliser, "requests_waiting") == 2
    assert pick(normaliser, "tokens_total") == 5


def test_bytes_that_are_no_text_cost_their_line_alone() -> None:
    bad = RUNNING.encode() + b'{model_name="\xff"} 7\n'
    normaliser = vllm(bad + GENERATED.encode() + b' 5\nvllm:num_requests_waiting{model_name="\xc3\xa9"} 2\n')
    assert normaliser.bad_lines == 1
    assert pick(normaliser, "requests_waiting", model="\xe9") == 2


def test_the_last_line_counts_only_when_it_is_whole() -> None:
    normaliser = vllm(f"{GENERATED} 5\n{RUNNING} 12")
    assert pick(normaliser, "requests_running") is None, "it may have been 1234"
    assert normaliser.bad_lines == 1


def test_of_a_series_that_stands_twice_the_first_counts() -> None:
    twice = f'{GENERATED}{{a="1",b="2"}} 5\n{GENERATED}{{b="2",a="1"}} 9\n{RUNNING} 1\n{RUNNING} 2\n'
    for normaliser in (vllm(twice), vllm(twice.replace("9", "8"), twice), vllm(twice, twice)):
        assert pick(normaliser, "tokens_total") == 5
        assert pick(normaliser, "requests_running") == 1
        assert normaliser.bad_lines == 2


def test_openmetrics() -> None:
    body = f"""# HELP vllm:generation_tokens Number of tokens.
# TYPE vllm:generation_tokens counter
# UNIT vllm:generation_tokens tokens
{GENERATED}{{model_name="m"}} 657.0 # {{trace_id="x"}} 1.0 1700000000.0
vllm:generation_tokens_created{{model_name="m"}} 1.7953199335923035e+09
# TYPE vllm:time_to_first_token_seconds histogram
vllm:time_to_first_token_seconds_bucket{{le="0.05"}} 1 # {{trace_id="x"}} 0.043
vllm:time_to_first_token_seconds_bucket{{le="+Inf"}} 2
vllm:time_to_first_token_seconds_count 2
vllm:time_to_first_token_seconds_sum 0.1
vllm:time_to_first_token_seconds_created 1.7953199335923035e+09
# TYPE vllm:new_thing counter
vllm:new_thing_total 1
# TYPE vllm:build info
vllm:build_info{{version="1"}} 1
# EOF
"""
    for text in (body, body.removesuffix("\n")):
        normaliser = vllm(text)
        assert pick(normaliser, "tokens_total", kind="generation") == 657
        assert pick(normaliser, "time_to_first_token_seconds_bucket", le="0.05") == 1
        assert normaliser.unmapped == ("vllm:build", "vllm:new_thing_total")
        assert normaliser.bad_lines == 0


def test_order_does_not_matter() -> None:
    body = recording("vllm-0.32.0/after.txt").decode()
    other = "".join(reversed(body.splitlines(keepends=True)))
    assert series(vllm(body).blocks()) == series(vllm(other).blocks()) == series(vllm(body, other).blocks())


def test_types_are_read() -> None:
    assert kind_in("# TYPE a:b counter") == ("a:b", "counter")
    assert kind_in("#TYPE\ta  Histogram \r") == ("a", "histogram")
    assert kind_in("# TYPE a") is None
    assert kind_in("# HELP a counter") is None


@given(
    st.dictionaries(
        st.from_regex(r"[a-z_][a-z0-9_]{0,5}", fullmatch=True),
        st.text(st.characters(codec="utf-8")),
        max_size=4,
    ),
    st.floats(),
)
def test_any_labels_and_any_number_come_through(labels: dict[str, str], value: float) -> None:
    escaped = [
        name + '="' + text.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"') + '"'
        for name, text in labels.items()
    ]
    line = f"name{{{','.join(escaped)}}} {value!r}"
    parsed = parse(line)
    assert parsed is not None
    assert (parsed.name, parsed.labels) == ("name", labels)
    found = number(line[len(parsed.prefix) :])
    assert found == value or (found is not None and math.isnan(found) and math.isnan(value))


# Whatever the bytes


def believable(normaliser: Normaliser) -> dict[Series, float]:
    """The series, after a look at each: in its range, histograms whole."""
    found = series(normaliser.blocks())
    buckets: dict[Series, list[tuple[float, float]]] = defaultdict(list)
    for (name, labels), value in found.items():
        low, high = allowed_range(metric_of(name))
        assert low <= value <= high, (name, value)
        if name.endswith("_bucket"):
            edge = next(text for label, text in labels if label == "le")
            buckets[name.removesuffix("_bucket"), labels - {("le", edge)}].append((float(edge), value))
    for (base, labels), counts in buckets.items():
        counts.sort()
        assert [count for _, count in counts] == sorted(count for _, count in counts)
        assert counts[-1] == (math.inf, found[f"{base}_count", labels])
        assert found[f"{base}_sum", labels] >= 0
    return found


@cache
def metric_of(name: str) -> Metric:
    """The metric of a series, or of a part of a histogram."""
    stem = name.removesuffix("_bucket").removesuffix("_sum").removesuffix("_count")
    return next(metric for metric in all_metrics() if metric.name in (name, stem))


@given(st.lists(st.binary(max_size=400), min_size=1, max_size=4), st.sampled_from([VLLM, LLAMA]))
def test_any_bytes(bodies: list[bytes], dialect: Dialect) -> None:
    normaliser = Normaliser(dialect, "n:1")
    for body in bodies:
        recognise(body)
        with suppress(ExpositionError):
            normaliser.take(body, 0.0)
        believable(normaliser)


_PIECES = st.sampled_from(
    [GENERATED, RUNNING, "vllm:time_to_first_token_seconds", "_bucket", "_sum", "_count", "{", "}", 'le="1"',
     'le="+Inf"', 'engine="1"', 'model_name="m"', ",", " ", "\n", "1", "2", "NaN", "-1", "1e400", "# TYPE ",
     " histogram\n", " counter\n", "\\", '"', "#", "\t", "\r", "é"]
)  # fmt: skip


@given(st.lists(st.lists(_PIECES, max_size=40).map("".join), min_size=1, max_size=3))
def test_any_text_made_of_what_the_format_is_made_of(texts: list[str]) -> None:
    normaliser = Normaliser(VLLM, "n:1")
    for text in texts:
        with suppress(ExpositionError):
            normaliser.take(text.encode(), 0.0)
        believable(normaliser)


def damaged(data: st.DataObject, body: bytes) -> bytes:
    lines = body.split(b"\n")
    for _ in range(data.draw(st.integers(1, 4), label="how many")):
        at = data.draw(st.integers(0, len(lines) - 1), label="line")
        number_at = max(lines[at].rfind(b" "), 0)
        how = data.draw(st.sampled_from(["lose", "twice", "cut", "spoil", "move", "end"]), label="how")
        if how == "lose" and len(lines) > 1:
            del lines[at]
        elif how == "twice":
            lines.insert(data.draw(st.integers(0, len(lines)), label="to"), lines[at])
        elif how == "cut":
            # Never within the number: 657 cut to 65 is a number as well, and nobody could tell.
            lines[at] = lines[at][: data.draw(st.integers(0, number_at), label="length")]
        elif how == "spoil":
            where = data.draw(st.integers(0, number_at), label="where")
            lines[at] = lines[at][:where] + data.draw(st.binary(min_size=1, max_size=3)) + lines[at][where:]
        elif how == "move":
            lines.append(lines.pop(at))
        else:
            del lines[at + 1 :]
    return b"\n".join(lines)


@settings(max_examples=40)  # each reads seven whole recordings
@given(st.data())
def test_damaged_recordings(data: st.DataObject) -> None:
    """Only believable values, and no counter ever falls, whatever is lost or spoiled on the way."""
    whole = [recording(f"vllm-0.32.0/{name}.txt") for name in ("cold", "mid", "after")]
    normaliser = vllm(whole[0])
    highest: dict[Series, float] = {}
    for at, body in enumerate(whole):
        for answer in (damaged(data, body), body):
            with suppress(ExpositionError):  # spoilt by a zero byte, or all of it lost
                normaliser.take(answer, float(at))
            for key, value in believable(normaliser).items():
                if metric_of(key[0]).kind in (Kind.COUNTER, Kind.HISTOGRAM):
                    assert value >= highest.get(key, 0.0), key
                    highest[key] = value
    assert pick(normaliser, "tokens_total", kind="generation", model="tiny", replica="n:1") == 2400


# Answers made to do harm


def test_a_huge_answer_is_refused_at_once() -> None:
    body = recording("vllm-0.32.0/after.txt")
    body *= 100 * 2**20 // len(body)
    began = time.monotonic()
    with pytest.raises(ExpositionError, match=str(MAX_BYTES)) as refused:
        vllm(body)
    assert refused.value.kind == "too_large"
    assert time.monotonic() - began < 5.0


@pytest.mark.parametrize(
    "body",
    [
        RUNNING + "{" + 'a="' * 2**20 + "\n",
        RUNNING + "{" + 'a="\\' * 2**20 + '"} 1\n',
        RUNNING + "{" + 'a="b",' * 2**19 + "\n",
        RUNNING + " " * 2**22 + "x\n",
        RUNNING + " 1" + " # " * 2**20 + "\n",
        RUNNING + " " + "9" * 2**22 + "\n",
        "a" * 2**22 + "\n",
        "# TYPE " + "a" * 2**22 + "\n",
    ],
)
def test_long_lines_take_no_longer_than_their_length(body: str) -> None:
    began = time.monotonic()
    vllm(f"{GENERATED} 1\n{body}")
    assert time.monotonic() - began < 10.0


def test_names_that_change_all_the_time_do_not_pile_up() -> None:
    normaliser = vllm()
    for turn in range(4):
        lines = "".join(f'{GENERATED}{{model_name="{turn}-{at}"}} 1\n' for at in range(12_000))
        normaliser.take(lines.encode(), 0.0)
    vocabulary = vocabulary_of(VLLM)
    assert len(vocabulary.met) <= 32_768
    assert len(normaliser.models) == 200
    assert len(normaliser._memory.sources) < 3_000
    assert all(len(key) <= 2_048 for key in vocabulary.met)
