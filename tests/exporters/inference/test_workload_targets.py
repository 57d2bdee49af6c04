"""What is a target: addresses, words from outside, several sources, and pages that are rendered once."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import shutil
import threading
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from engine_server import EngineServer
from hypothesis import given
from hypothesis import strategies as st

from exporters.inference.collector import Collector
from exporters.inference.fetch import FetchError
from exporters.inference.http_sd import HttpDiscovery, parse_groups
from exporters.inference.kubernetes import (
    ENGINE,
    LWS_GROUP,
    LWS_INDEX,
    PORT,
    RAY_CLUSTER,
    PodRule,
    pod_targets,
)
from exporters.inference.static import StaticDiscovery
from exporters.inference.targets import Target, combine, parse_address
from exporters.jobs.pods import Pod, parse_pod
from exporters.workload_site import Site, answer_targets
from gigawatch.serving import Request
from gigawatch.topology import blueprint


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("h:1", ("h", 1, None, "")),
        ("[2001:db8::7]:8000", ("2001:db8::7", 8000, None, "")),
        ("http://h", ("h", 80, False, "")),
        ("https://h.example/", ("h.example", 443, True, "")),
        ("https://h:9/v1/metrics", ("h", 9, True, "/v1/metrics")),
        ("http://h:9/?model=a%20b", ("h", 9, False, "/metrics?model=a%20b")),
        ("H:1", ("h", 1, None, "")),
    ],
)
def test_addresses(text: str, expected: tuple[object, ...]) -> None:
    assert dataclasses.astuple(parse_address(text)) == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        "h",
        ":1",
        "h:",
        "h:0",
        "h:65536",
        "h:x",
        "ftp://h:1",
        "a b:1",
        "http://h:1/#x",
        "h:1\n",
        "\u00e4:1",
    ],
)
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"address|port"):
        parse_address(text)


def test_a_password_in_an_address_is_not_repeated() -> None:
    with pytest.raises(ValueError, match="basic_auth") as caught:
        parse_address("http://user:hunter2@host:1")
    assert "hunter2" not in str(caught.value)


def target(port: int, source: str, **more: Any) -> Target:
    return Target("h", port, source, **more)


def test_the_most_particular_source_counts_and_no_name_stands_twice() -> None:
    config = [target(1, "config", name="chat"), target(4, "config", engine="vllm")]
    cluster = [
        target(1, "kubernetes", name="ns/p", node="n1", pods=(("ns", "p"),)),
        target(2, "kubernetes", name="chat"),
    ]
    listed = [
        target(1, "http_sd", node="n9"),
        target(3, "http_sd", name="chat"),
        target(4, "http_sd", path="/metrics"),
    ]
    found, notes = combine([config, cluster, listed])
    assert {one.port: (one.replica, one.source, one.node) for one in found.values()} == {
        1: ("chat", "config", "n1"),
        2: ("h:2", "kubernetes", ""),
        3: ("h:3", "http_sd", ""),
        4: ("h:4", "config", ""),
    }
    assert found["h:1/metrics"].pods == (("ns", "p"),)
    assert len([note for note in notes if "is named by" in note]) == 3
    assert len([note for note in notes if "stands for h:1/metrics already" in note]) == 2


ADDRESSES = st.one_of(st.text(max_size=20), st.from_regex(r"[a-c]:[1-3]", fullmatch=True))
LABELS = st.dictionaries(
    st.sampled_from(
        ["engine", "model", "node", "replica", "gpus", "__scheme__", "__metrics_path__", "__param_x"]
    )
    | st.text(max_size=9),
    st.sampled_from(["vllm", "auto", "http", "https", "/m", "\ud800", "a\nb", ""]) | st.text(max_size=20),
    max_size=6,
)  # fmt: skip
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner, max_size=3),
    max_leaves=12,
)
GROUPS = st.lists(
    st.fixed_dictionaries({"targets": st.lists(ADDRESSES, max_size=4), "labels": LABELS}), max_size=4
)


@given(st.one_of(st.binary(max_size=200), (GROUPS | JSON).map(lambda value: json.dumps(value).encode())))
def test_no_list_of_targets_does_harm(body: bytes) -> None:
    try:
        found = parse_groups(body)
    except FetchError as error:
        assert error.kind in ("parse", "too_large")  # noqa: PT017 - either outcome is right
        return
    sound(found.targets)
    combined, _ = combine([found.targets])
    assert len({one.replica for one in combined.values()}) == len(combined)


def sound(targets: list[Target]) -> None:
    """Everything that becomes part of a page or of a question is fit for it."""
    for one in targets:
        assert one.host
        assert 0 < one.port < 65536
        for word in (
            one.replica,
            one.model,
            one.node,
            one.job,
            *one.gpus,
            *(part for pod in one.pods for part in pod),
        ):
            word.encode()
            assert word.isprintable()
            assert len(word) < 2100
        url = one.url(one.path or "/metrics")
        assert url.isascii()
        assert url.isprintable()
        assert " " not in url


def test_deep_and_endless_lists_are_refused() -> None:
    with pytest.raises(FetchError, match="no JSON"):
        parse_groups(b"[" * 200_000)
    with pytest.raises(FetchError, match="more than"):
        parse_groups(json.dumps([{"targets": [f"h:{n % 60000 + 1}" for n in range(30_000)]}]).encode())


NOTES = st.dictionaries(
    st.sampled_from([ENGINE, PORT, "gigawatch.io/path", "gigawatch.io/scheme", "gigawatch.io/model"]),
    st.sampled_from(["auto", "vllm", "8000", "web", "8000,8001", "/m", "https", "off", "99999", "a b"])
    | st.text(max_size=12),
)  # fmt: skip
GROUPED = st.dictionaries(
    st.sampled_from(
        [LWS_GROUP, LWS_INDEX, RAY_CLUSTER, "ray.io/node-type", "apps.kubernetes.io/pod-index", "team"]
    ),
    st.sampled_from(["0", "1", "head", "\u0663", "x"]) | st.text(max_size=5),
)  # fmt: skip
PODS = st.builds(
    Pod,
    namespace=st.sampled_from(["a", "b"]),
    name=st.text("xyz", min_size=1, max_size=2),
    ip=st.sampled_from(["", "10.0.0.1", "10.0.0.2", "fd00::1"]),
    node=st.sampled_from(["", "n1"]) | st.text(max_size=5),
    phase=st.sampled_from(["Running", "Pending"]),
    ready=st.booleans(),
    annotations=NOTES,
    labels=GROUPED,
    ports=st.lists(st.tuples(st.sampled_from(["web", "metrics", ""]), st.integers(1, 65535)), max_size=2).map(
        tuple
    ),
    started=st.none() | st.floats(0, 1e10),
)


@given(st.lists(PODS, max_size=6, unique_by=lambda pod: (pod.namespace, pod.name)), st.booleans())
def test_no_annotation_does_harm(pods: list[Pod], picked: bool) -> None:
    rules = {(pod.namespace, pod.name): PodRule("x", port="web") for pod in pods[:2]} if picked else {}
    found = pod_targets(pods, rules, "team", now=1e9)
    sound(found.targets)
    assert all(one.source == "kubernetes" and one.pods for one in found.targets)
    combined, _ = combine([found.targets])
    assert len({one.replica for one in combined.values()}) == len(combined)


@given(JSON)
def test_no_pod_of_an_api_does_harm(value: object) -> None:
    pod = parse_pod(
        {"metadata": {"namespace": "a", "name": "b", "annotations": value, "labels": value}, "spec": value}
    )
    assert pod is not None
    sound(pod_targets([dataclasses.replace(pod, phase="Running", ip="10.0.0.1")], {}).targets)


@pytest.mark.parametrize(
    ("annotated", "expected"),
    [(("h", "w1", "w2"), {"h": ["h"], "w1": ["w1"], "w2": ["w2"]}), (("h",), {"h": ["h", "w1", "w2"]})],
)
def test_nodes_of_a_ray_cluster_tell_their_own_share(
    annotated: tuple[str, ...], expected: dict[str, list[str]]
) -> None:
    pods = [
        Pod(
            "ns", name, ip=f"10.0.0.{number}", phase="Running",
            labels={"ray.io/cluster": "c", "ray.io/node-type": "head" if name == "h" else "worker"},
            annotations={ENGINE: "auto", PORT: "8080"} if name in annotated else {},
        )
        for number, name in enumerate(("h", "w1", "w2"))
    ]  # fmt: skip
    found = pod_targets(pods, {})
    assert {
        one.replica.removeprefix("ns/"): [name for _, name in one.pods] for one in found.targets
    } == expected


@pytest.fixture
def collect() -> Any:
    started: list[Collector] = []

    def start(*addresses: str, interval: float) -> Collector:
        targets = tuple(
            Target("127.0.0.1", int(one.rpartition(":")[2]), "config", node="n1") for one in addresses
        )
        made = Collector([StaticDiscovery(targets)], interval, 1.0, hurry=True)
        started.append(made)
        made.start()
        assert made.wait_settled(30)
        return made

    yield start
    for one in started:
        one.stop()


def test_a_page_is_rendered_once_until_something_changes(collect: Callable[..., Collector]) -> None:
    with EngineServer() as engine:
        collector = collect(engine.address, interval=3600)
        pages = collector.pages
        first = pages.page("n1")
        assert first is not None
        request = Request("GET", "/nodes/n1/metrics", {}, {"Accept-Encoding": "gzip"}, b"")
        answered = [pages.answer(request).body for _ in range(3)]
        assert all(body is answered[0] for body in answered)
        assert pages.page("n1") is first
        again = collect(engine.address, interval=0.3)
        before = again.pages.page("n1")
        deadline = time.monotonic() + 30
        while again.pages.page("n1") is before:
            assert time.monotonic() < deadline
            time.sleep(0.05)


def test_what_is_no_longer_renewed_is_not_shown(collect: Callable[..., Collector]) -> None:
    with EngineServer() as engine:
        collector = collect(engine.address, interval=0.5)
        assert b"aif_inference_tokens_total" in page_text(collector)
        collector.stop()
        deadline = time.monotonic() + 60
        while page_text(collector):
            assert time.monotonic() < deadline
            time.sleep(0.2)
        assert {health.name: health.up for health in collector.healths()}["engines"] is False


def page_text(collector: Collector) -> bytes:
    page = collector.pages.page("n1")
    assert page is not None
    return page.text


def test_prometheus_is_told_to_come_the_way_it_came(tmp_path: Path) -> None:
    request = Request("GET", "/targets", {}, {"Host": "gw.example:9618"}, b"")
    told = json.loads(answer_targets(request, "", True, ["n/1"], Site(None)).body)
    assert told == [
        {"targets": ["gw.example:9618"], "labels": {"__scheme__": "https"}},
        {
            "targets": ["gw.example:9618"],
            "labels": {
                "node": "n/1", "instance": "n/1", "__scheme__": "https",
                "__metrics_path__": "/nodes/n%2F1/metrics",
            },
        },
    ]  # fmt: skip
    odd = Request("GET", "/targets", {}, {"Host": "gw.example/<b>"}, b"")
    assert answer_targets(odd, "", True, [], Site(None)).status == 400
    assert json.loads(answer_targets(odd, "h:1", False, [], Site(None)).body) == [
        {"targets": ["h:1"], "labels": {}}
    ]


def test_the_inventory_places_engines_by_name_and_address(tmp_path: Path) -> None:
    file = tmp_path / "site.yaml"
    shutil.copy(blueprint("starter").source, file)
    site = Site(file)
    assert site.place(Target("r01-n01", 8000, "config")) == "r01-n01"
    assert site.place(Target("r01-n01.dc.example", 8000, "config")) == "r01-n01"
    assert site.place(Target("10.9.9.9", 8000, "config")) == ""
    assert site.labels("r01-n01") == {"site": "starter", "rack": "r01"}
    assert site.labels("stranger") == {"site": "starter"}
    assert not site.refresh()
    file.write_text("site: [")
    assert not site.refresh()
    assert site.problem
    assert site.place(Target("r01-n01", 8000, "config")) == "r01-n01"
    file.write_text(Path(blueprint("starter").source).read_text().replace("{name: starter", "{name: other"))
    assert site.refresh()
    assert site.labels() == {"site": "other"}


def test_targets_have_moments_of_their_own(collect: Callable[..., Collector]) -> None:
    servers = [EngineServer().__enter__() for _ in range(12)]
    try:
        collect(*(server.address for server in servers), interval=2.0)
        time.sleep(6.5)
        phases = []
        for server in servers:
            at = server.times()[1:]  # the first came in a hurry
            assert len(at) >= 2
            gaps = [later - before for before, later in pairwise(at)]
            assert all(0.5 < gap < 10 for gap in gaps), gaps
            phases.append(at[0] % 2.0)
        phases.sort()
        assert max(later - before for before, later in pairwise(phases)) < 1.7
        assert phases[-1] - phases[0] > 0.5
    finally:
        for server in servers:
            server.close()


def test_a_discovery_that_breaks_keeps_to_itself(collect: Callable[..., Collector]) -> None:
    with EngineServer() as engine:
        collector = collect(engine.address, interval=0.5)

        class Broken:
            name, every = "broken", 3600.0

            async def find(self, _: object) -> Any:
                await asyncio.sleep(0)
                raise RuntimeError("what nobody thought of")

        old = StaticDiscovery((Target("127.0.0.1", engine.port, "config", node="n1"),))
        collector.replace([old, Broken(), HttpDiscovery("http://127.0.0.1:1/sd")], lambda _: {}, lambda _: "")
        deadline = time.monotonic() + 30
        while len(list(collector.healths())) < 4:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        up = {health.name: health.up for health in collector.healths()}
        assert up == {"engines": True, "engines_listed": True, "broken": False, "http_sd 127.0.0.1:1": False}
        assert collector.pages.nodes == ["n1"]
        assert threading.active_count() < 60
