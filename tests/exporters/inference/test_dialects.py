"""Every dialect against an exposition in its engine's words: what comes of it, and what is left over."""

from __future__ import annotations

import re
from importlib import import_module

import pytest
from engine_series import RECORDINGS, pick, recording, series
from hypothesis import given
from hypothesis import strategies as st

from exporters.inference.dialect import Dialect, Figure, Granularity
from exporters.inference.dialects import MODULES, all_dialects
from exporters.inference.normal import Normaliser, recognise
from exporters.inference.once import COUNTED_ONCE, left_to_engines, served
from gigawatch.catalogue import Kind

DIALECTS = {dialect.engine: dialect for dialect in all_dialects()}
FROM_SOURCE = sorted(path.parent.name for path in RECORDINGS.glob("*/exposition.txt"))
OUR_OWN = {"proxy", "ollama"}
"""What our own proxy says: its tests ask a real one."""
NOT_THE_ENGINES = ("counting_info", "stall_patience_seconds", "stalled_seconds")
PLANTED = {"nim": "num_requests_planted", "triton": "nv_trt_llm_planted"}
"""A new name in each engine's manner, where it is not the beginning by which it is recognised."""


def dialect_of(folder: str) -> Dialect:
    return DIALECTS[folder.partition("-")[0]]


def taken(folder: str, body: bytes | None = None) -> Normaliser:
    body = recording(f"{folder}/exposition.txt") if body is None else body
    normaliser = Normaliser(dialect_of(folder), "r", "configured")
    normaliser.take(body, 100.0)
    return normaliser


def told(normaliser: Normaliser) -> set[str]:
    """The engine's own figures in the manner of expected.txt."""
    rows = set()
    for (name, labels), value in series(normaliser.blocks()).items():
        short = name.removeprefix("aif_inference_")
        if short in NOT_THE_ENGINES or name.endswith("_bucket"):
            continue
        further = {key: text for key, text in labels if key not in ("engine", "model", "replica")}
        replica = dict(labels)["replica"]
        words = [] if replica == "r" else [f"replica={replica}"]
        words += [f"{key}={text}" for key, text in sorted(further.items())]
        rows.add(" ".join([short, *words, f"{value:.12g}"]))
    return rows


@pytest.mark.parametrize("folder", FROM_SOURCE)
def test_canonical_series(folder: str) -> None:
    assert told(taken(folder)) == set(recording(f"{folder}/expected.txt").decode().splitlines())


@pytest.mark.parametrize("folder", FROM_SOURCE)
def test_recognised_and_nothing_unknown_missing_or_refused(folder: str) -> None:
    body = recording(f"{folder}/exposition.txt")
    normaliser = taken(folder)
    assert recognise(body) is normaliser.dialect
    assert (normaliser.unmapped, normaliser.missing) == ((), ())
    assert (normaliser.rejected, normaliser.bad_lines) == ({}, 0)


@pytest.mark.parametrize("engine", sorted(set(DIALECTS) - OUR_OWN))
def test_each_has_an_exposition(engine: str) -> None:
    folders = [path for path in RECORDINGS.iterdir() if path.name.startswith(f"{engine}-")]
    assert folders
    for folder in folders:
        readme = (folder / "README.md").read_text()
        assert "not recorded" in readme or readme.count("Recordings") == 1, folder


@pytest.mark.parametrize("folder", FROM_SOURCE)
def test_a_new_name_is_noticed(folder: str) -> None:
    dialect = dialect_of(folder)
    name = PLANTED.get(dialect.engine, f"{dialect.recognised_by[0]}planted")
    body = recording(f"{folder}/exposition.txt") + f"# TYPE {name}_total counter\n{name}_total 1\n".encode()
    assert taken(folder, body).unmapped == (f"{name}_total",)


@pytest.mark.parametrize("folder", FROM_SOURCE)
def test_a_lost_name_is_noticed(folder: str) -> None:
    """Each figure that is expected, with every name that it ever had. An engine that comes to life with its
    first request, and tells of no token, may have had none."""
    dialect = dialect_of(folder)
    body = recording(f"{folder}/exposition.txt")
    for entry in dialect.figures:
        if not entry.expected:
            continue
        figures = [entry] if isinstance(entry, Figure) else [one for way in entry.sets for one in way]
        names = {name for figure in figures for name in figure.sample.names()}
        without = taken(folder, leaving_out(body, names))
        tokens = figures[0].labels.get("kind") == "generation"
        assert bool(without.missing) == (not (tokens and dialect.lazy)), names
        assert set(without.missing) <= dialect.names()


def leaving_out(body: bytes, names: set[str]) -> bytes:
    """An exposition without these samples, or histograms."""
    stems = "|".join(re.escape(re.sub("_(sum|count)$", "", name)) for name in names)
    line = re.compile(rf"(# TYPE )?({stems})(_bucket|_sum|_count)?[ {{].*\n".encode())
    return line.sub(b"", body)


def test_of_ranks_that_tell_the_same_one_is_counted() -> None:
    body = recording("sglang-0.5.23-from-source/exposition.txt")
    one = b"".join(line for line in body.splitlines(keepends=True) if b'tp_rank="1"' not in line)
    assert body != one
    both, alone = told(taken("sglang-0.5.23-from-source")), told(taken("sglang-0.5.23-from-source", one))
    assert {row for row in both if "progress" not in row} == {row for row in alone if "progress" not in row}


def test_totals_and_their_parts_are_not_added_up() -> None:
    """Requests by priority stand beside their total; old names beside the new."""
    assert pick(taken("sglang-0.5.23-from-source"), "requests_running") == 12
    body = recording("llm_d-ebab68792-from-source/exposition.txt")
    new = b"".join(line for line in body.splitlines(keepends=True) if b"inference_objective_" not in line)
    assert body != new
    assert told(taken("llm_d-ebab68792-from-source", new)) == told(taken("llm_d-ebab68792-from-source"))


@pytest.mark.parametrize(
    ("worker", "engine"),
    [("vllm-0.32.0/mid.txt", "vllm"), ("sglang-0.5.23-from-source/exposition.txt", "sglang"),
     ("tensorrt_llm-1.2-from-source/exposition.txt", "tensorrt_llm")],
)  # fmt: skip
def test_what_passes_on_an_engine_is_that_engine(worker: str, engine: str) -> None:
    """Dynamo's worker port and NIM 2.x: the engine's names beside a few of theirs, in any order."""
    others = (
        b"# TYPE dynamo_component_requests_total counter\n"
        b'dynamo_component_requests_total{dynamo_component="backend"} 4\n'
        b"# TYPE dynamo_component_gpu_cache_usage_percent gauge\n"
        b'dynamo_component_gpu_cache_usage_percent{dp_rank="0"} 0.4\n'
        b'# TYPE num_request_max gauge\nnum_request_max{model_name="m"} 64\n'
        b'# TYPE request_finish_total counter\nrequest_finish_total{model_name="m"} 3\n'
    )
    alone = recording(worker)
    for body in (others + alone, alone + others):
        assert recognise(body) is DIALECTS[engine]
        normaliser, plain = (Normaliser(DIALECTS[engine], "r") for _ in range(2))
        normaliser.take(body, 0.0)
        plain.take(alone, 0.0)
        assert normaliser.blocks() == plain.blocks()
        assert normaliser.unmapped == ()
    for name in ("dynamo", "nim"):
        assert engine in DIALECTS[name].passes_on


def test_a_router_leaves_to_engines_what_both_count() -> None:
    router, engine = taken("dynamo-1.6.1-from-source"), taken("lmdeploy-0.18.0-from-source")
    behind = served([(router.dialect, router.models), (engine.dialect, engine.models)])
    assert behind == {"internlm3-8b"}
    assert left_to_engines(router.blocks(), behind) == router.blocks()
    left = left_to_engines(router.blocks(), served([(engine.dialect, ["Qwen3-32B"])]))
    assert set(router.blocks()) - set(left) == {
        "aif_inference_tokens_total", "aif_inference_requests_total",
        "aif_inference_requests_running", "aif_inference_requests_waiting",
    }  # fmt: skip
    assert set(router.blocks()) - set(left) == COUNTED_ONCE


def test_a_router_of_two_models_leaves_one() -> None:
    body = recording("dynamo-1.6.1-from-source/exposition.txt")
    other = b"".join(
        line.replace(b"qwen3-32b", b'a\\"b') for line in body.splitlines(keepends=True) if b"qwen3" in line
    )
    normaliser = Normaliser(DIALECTS["dynamo"], "r")
    normaliser.take(body + other, 0.0)
    assert set(normaliser.models) == {"qwen3-32b", 'a"b'}
    left = left_to_engines(normaliser.blocks(), {'a"b'})
    tokens = [line for line in left["aif_inference_tokens_total"].splitlines() if b"qwen3-32b" in line]
    assert left["aif_inference_tokens_total"].splitlines() == tokens
    assert len(tokens) == 3


@pytest.mark.parametrize("folder", [folder for folder in FROM_SOURCE if dialect_of(folder).lazy])
def test_an_engine_that_has_served_nothing_lacks_nothing(folder: str) -> None:
    """Those whose series come with the first request: only what is declared without labels is there."""
    dialect = dialect_of(folder)
    beginning = dialect.recognised_by[0]
    idle = f"# TYPE {beginning}info gauge\n{beginning}info 1\n".encode()
    normaliser = taken(folder, idle)
    assert normaliser.missing == ()


@pytest.mark.parametrize("folder", FROM_SOURCE)
def test_frozen_is_told_only_by_what_moves_while_at_work(folder: str) -> None:
    normaliser = taken(folder)
    body = recording(f"{folder}/exposition.txt")
    patience = pick(normaliser, "stall_patience_seconds", replica=normaliser.replicas[0][1])
    first = normaliser.dialect.progress[:1]
    live = bool(first) and first[0].name.encode() in body
    assert (patience is not None) == live
    normaliser.take(body, 100.0 + normaliser.dialect.patience + 1)
    stalled = pick(normaliser, "stalled_seconds", replica=normaliser.replicas[0][1])
    assert (stalled or 0.0) == (normaliser.dialect.patience + 1 if live else 0.0)


@pytest.mark.parametrize("engine", DIALECTS)
def test_tables_are_sound(engine: str) -> None:
    dialect = DIALECTS[engine]
    assert (dialect.patience > 0) == bool(dialect.progress)
    counted = {
        name
        for figure in dialect.every_figure()
        if figure.to.name == "aif_inference_tokens_total" and figure.labels["kind"] == "generation"
        for name in figure.sample.names()
    }
    assert counted
    if dialect.granularity is Granularity.REQUEST and dialect.progress:
        assert dialect.progress[0].name not in counted, "would take a long answer for a frozen engine"
    if dialect.granularity is Granularity.STEP:
        assert counted & {sample.name for sample in dialect.progress}
    for figure in dialect.every_figure():
        assert set(figure.to.labels[3:]) == set(figure.labels)
        for label, value in figure.labels.items():
            assert value in figure.to.values[label]
        if figure.to.kind is Kind.HISTOGRAM:
            assert figure.sample.minus is None
        assert figure.sample.fold in ("sum", "max")
    assert all("*" not in name.removesuffix("*") for name in dialect.ignored)
    assert all((dialect.title, dialect.version, dialect.origin))
    assert not dialect.needs.endswith("."), "it is part of a sentence: must be ..."


@pytest.mark.parametrize("name", MODULES)
def test_each_file_tells_its_traps(name: str) -> None:
    text = import_module(f"exporters.inference.dialects.{name}").__doc__ or ""
    assert "Traps that this table knows: " in text


def test_names_are_unique() -> None:
    assert len(DIALECTS) == len(all_dialects())
    assert len({dialect.title for dialect in DIALECTS.values()}) == len(DIALECTS)
    for at, dialect in enumerate(all_dialects()):
        later = [start for one in all_dialects()[at + 1 :] for start in one.recognised_by]
        assert not [start for start in later if start.startswith(dialect.recognised_by)]


def test_ray_reads_the_same_as_the_engine_itself() -> None:
    """No table of its own: the recording of vLLM, renamed as Ray does it, gives the same figures."""
    own = recording("vllm-0.32.0/mid.txt")
    renamed = re.sub(rb"vllm:", b"ray_vllm_", own)
    plain, by_ray = Normaliser(DIALECTS["vllm"], "r"), Normaliser(DIALECTS["ray_vllm"], "r")
    plain.take(own, 0.0)
    by_ray.take(renamed, 0.0)
    assert told(plain) == told(by_ray)
    assert (by_ray.unmapped, by_ray.missing) == ((), ())
    assert DIALECTS["ray_vllm"].granularity is DIALECTS["vllm"].granularity


@given(
    st.sampled_from(FROM_SOURCE),
    st.lists(
        st.tuples(st.integers(0, 400), st.sampled_from(["-1", "NaN", "+Inf", "1e300", "x", ""])), max_size=8
    ),
)
def test_no_absurd_figure_comes_of_spoilt_lines(folder: str, spoilt: list[tuple[int, str]]) -> None:
    lines = recording(f"{folder}/exposition.txt").decode().splitlines()
    for at, value in spoilt:
        line = lines[at % len(lines)]
        if not line.startswith("#"):
            lines[at % len(lines)] = f"{line.rsplit(' ', 1)[0]} {value}"
    normaliser = taken(folder, ("\n".join(lines) + "\n").encode())
    for (name, _), value in series(normaliser.blocks()).items():
        assert 0.0 <= value < 1e18, name
