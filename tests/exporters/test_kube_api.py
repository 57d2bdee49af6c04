"""Lists of the Kubernetes API over real TLS, and what a pod is."""

from __future__ import annotations

import asyncio
import copy
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from hypothesis import given, settings
from hypothesis import strategies as st
from kube_server import PODS, KubeServer, certificate, fixture_pods

from exporters.jobs.kube_api import KubeApi
from exporters.jobs.pods import Pod, list_pods, parse_pod
from exporters.jobs.queue_settings import KubernetesApiSection
from exporters.runtime.source import SourceError


@pytest.fixture(scope="module")
def listening(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KubeServer]:
    server = KubeServer(tmp_path_factory.mktemp("kube") / "pki")
    server.start()
    yield server
    server.stop()


@pytest.fixture
def server(listening: KubeServer, tmp_path: Path) -> KubeServer:
    """A server with the pods of the fixtures that has been asked nothing."""
    listening.lists = {PODS: fixture_pods()}
    listening.forbidden, listening.expire_after, listening.behave = set(), 10**9, None
    listening.asked.clear()
    listening.tokens.clear()
    (tmp_path / "token").write_text(f"{listening.token}\n")
    return listening


def section(server: KubeServer, tmp_path: Path, page: int = 2, **changes: Any) -> KubernetesApiSection:
    given = {"url": server.url, "token_file": tmp_path / "token", "ca_file": server.ca, **changes}
    return KubernetesApiSection(page=page, **given)


def pods(
    server: KubeServer, tmp_path: Path, deadline: float = 20.0, largest: int = 1 << 30, **listing: Any
) -> list[Pod]:
    api = KubeApi(section(server, tmp_path), {}, deadline, largest)
    return asyncio.run(list_pods(api, **listing))


def refusal(server: KubeServer, tmp_path: Path, **given: Any) -> SourceError:
    with pytest.raises(SourceError) as caught:
        pods(server, tmp_path, **given)
    assert "\n" not in str(caught.value)
    assert server.token not in str(caught.value)
    return caught.value


def test_what_a_pod_says_of_itself(server: KubeServer, tmp_path: Path) -> None:
    found = {pod.name: pod for pod in pods(server, tmp_path)}
    assert found["train-0"] == Pod(
        "ml",
        "train-0",
        uid="0a8f6a3e-0001-4000-8000-000000000001",
        node="gpu-01",
        ip="10.2.0.7",
        phase="Running",
        ready=True,
        labels=fixture_pods()[0]["metadata"]["labels"],
        annotations={},
        ports=(("rdzv", 29500),),
        created=1795168800.0,
        scheduled=1795168800.0 + 20 * 60,
        started=1795168800.0 + 25 * 60 + 58,
        gpus=8,
        owner="Job/train",
        group="train",
        owner_uid="0a8f6a3e-00aa-4000-8000-000000000001",
    )
    engine = found["llama-0-1"]
    assert (engine.ip, engine.ready, engine.gpus, engine.group) == ("fd00:10::2", False, 2, "5f1c9e0b7a")
    assert engine.ports == (("http", 8000), ("admin", 9901))
    assert engine.started is None
    waiting = found["train-1"]
    assert (waiting.node, waiting.scheduled, waiting.gated) == ("", None, False)
    assert found["tune-7"].gated
    assert (found["web-5b9c"].gpus, found["web-5b9c"].scheduled) == (0, 1793491201.0)


def test_pages_are_followed_as_the_api_wants_it(server: KubeServer, tmp_path: Path) -> None:
    """The first from the API's memory, the others by the mark; pods that have ended are not asked for."""
    assert [pod.name for pod in pods(server, tmp_path)] == [
        "train-0",
        "llama-0-1",
        "train-1",
        "tune-7",
        "web-5b9c",
    ]
    alive = {"fieldSelector": "status.phase!=Succeeded,status.phase!=Failed", "limit": "2"}
    assert server.asked == [
        {**alive, "resourceVersion": "0"},
        {**alive, "continue": "2"},
        {**alive, "continue": "4"},
    ]


def test_namespaces_labels_and_pods_that_are_of_no_use(server: KubeServer, tmp_path: Path) -> None:
    assert [p.name for p in pods(server, tmp_path, namespaces=("front", "research"))] == [
        "web-5b9c",
        "tune-7",
    ]
    assert [p.name for p in pods(server, tmp_path, selector="app=web")] == ["web-5b9c"]
    assert {p.name for p in pods(server, tmp_path, keep=lambda p: p.gpus > 4)} == {"train-0", "train-1"}
    assert {p.gpus for p in pods(server, tmp_path, resources=("rdma/*",))} == {0, 1}


def test_the_token_is_read_anew(server: KubeServer, tmp_path: Path) -> None:
    api = KubeApi(section(server, tmp_path), {})
    (tmp_path / "token").write_text("an-older-one")
    with pytest.raises(SourceError, match=r"401: the token in .*/token is missing or expired"):
        asyncio.run(list_pods(api))
    (tmp_path / "token").write_text(server.token)
    assert len(asyncio.run(list_pods(api))) == 5


def test_inside_a_cluster_the_address_comes_from_the_environment(server: KubeServer, tmp_path: Path) -> None:
    environment = {"KUBERNETES_SERVICE_HOST": "127.0.0.1", "KUBERNETES_SERVICE_PORT": str(server.port)}
    api = KubeApi(section(server, tmp_path, url=""), environment)
    assert api.present
    assert len(asyncio.run(list_pods(api))) == 5
    assert KubeApi(section(server, tmp_path, url=""), {"KUBERNETES_SERVICE_HOST": "fd00::1"}).url == (
        "https://[fd00::1]:443"
    )
    nowhere = KubeApi(section(server, tmp_path, url=""), {})
    assert not nowhere.present
    with pytest.raises(SourceError, match="KUBERNETES_SERVICE_HOST is not set, and no url") as caught:
        asyncio.run(list_pods(nowhere))
    assert caught.value.kind == "not_found"


def test_a_missing_right_is_named(server: KubeServer, tmp_path: Path) -> None:
    server.forbidden = {PODS, "/api/v1/namespaces/ml/pods"}
    error = refusal(server, tmp_path)
    assert error.kind == "permission"
    assert "403: needs a ClusterRole with verb list on resource pods of API group ''" in str(error)
    assert 'User "system:serviceaccount:gw:gw" cannot list' in str(error)
    error = refusal(server, tmp_path, namespaces=("ml",))
    assert "a Role with verb list on resource pods of API group '' in namespace ml" in str(error)


def test_a_list_that_expires_under_way_is_begun_anew(server: KubeServer, tmp_path: Path) -> None:
    """At last it is asked for in one piece."""
    server.expire_after = 4
    assert len(pods(server, tmp_path)) == 5
    assert [("continue" in q, q.get("limit")) for q in server.asked] == [
        (False, "2"), (True, "2"), (True, "2"), (False, "2"), (True, "2"), (True, "2"), (False, None),
    ]  # fmt: skip

    async def always(_: web.Request) -> web.Response:
        return web.json_response({"kind": "Status", "code": 410}, status=410)

    server.behave = always
    assert refusal(server, tmp_path).kind == "refused"


@pytest.mark.parametrize(
    ("status", "body", "kind", "message"),
    [
        (200, b"", "parse", "has no list of items"),
        (200, b"<html>", "parse", "has no list of items"),
        (200, b'{"kind": "PodList", "metadata": {}, "items": [{"metadata": {"na', "parse", "was cut off"),
        (200, b'{"kind": "PodList", "metadata": {}, "items": []', "parse", "beside the list of items"),
        (200, b"\xff\xfe\x00" * 1000, "parse", "has no list"),
        (404, b"404 page not found", "not_found", "404: no such list"),
        (429, b'{"message": "too many requests"}', "resource_exhausted", "429: too many requests"),
        (500, b"[" * 100_000, "refused", "answered with 500"),
        (302, b"", "refused", "answered with 302"),
    ],
)
def test_answers_that_are_none(
    server: KubeServer, tmp_path: Path, status: int, body: bytes, kind: str, message: str
) -> None:
    async def answer(_: web.Request) -> web.Response:
        return web.Response(status=status, body=body, headers={"Location": "http://127.0.0.1:1/"})

    server.behave = answer
    error = refusal(server, tmp_path)
    assert (error.kind, message in str(error)) == (kind, True), str(error)


def test_an_empty_list_of_an_old_server(server: KubeServer, tmp_path: Path) -> None:
    async def answer(_: web.Request) -> web.Response:
        return web.json_response({"items": None, "metadata": {}})

    server.behave = answer
    assert pods(server, tmp_path) == []


def test_a_huge_list_is_read_pod_by_pod_up_to_a_limit(server: KubeServer, tmp_path: Path) -> None:
    one = fixture_pods()[4]
    server.lists[PODS] = []
    for number in range(3000):
        pod = copy.deepcopy(one)
        pod["metadata"]["name"] = f"web-{number}"
        server.lists[PODS].append(pod)
    wide = KubeApi(section(server, tmp_path, page=0), {})
    assert len(asyncio.run(list_pods(wide))) == 3000
    narrow = KubeApi(section(server, tmp_path, page=500), {}, largest=300_000)
    with pytest.raises(SourceError, match="a list of more than 300000 bytes") as caught:
        asyncio.run(list_pods(narrow))
    assert caught.value.kind == "too_large"
    assert len(server.asked) > 2  # it is the whole that counts, not each page


def test_an_answer_without_end_and_one_that_drips(server: KubeServer, tmp_path: Path) -> None:
    async def endless(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(b'{"items": [')
        while not (request.transport is None or request.transport.is_closing()):
            await response.write(b'{"metadata": {"name": "x", "namespace": "y"}},' * 1000)
            await asyncio.sleep(0)
        return response

    server.behave = endless
    assert refusal(server, tmp_path, largest=1 << 20).kind == "too_large"

    async def drip(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        while not (request.transport is None or request.transport.is_closing()):
            await response.write(b" ")
            await asyncio.sleep(0.05)
        return response

    server.behave = drip
    started = time.monotonic()
    error = refusal(server, tmp_path, deadline=1.0)
    assert error.kind == "timeout"
    assert "no whole answer within 1 s" in str(error)
    assert time.monotonic() - started < 20


def test_only_the_authority_that_was_given_counts(server: KubeServer, tmp_path: Path) -> None:
    certificate(tmp_path, "other")
    stranger = KubeApi(section(server, tmp_path, ca_file=tmp_path / "other.crt"), {})
    with pytest.raises(SourceError, match="certificate verify failed") as caught:
        asyncio.run(list_pods(stranger))
    assert caught.value.kind == "tls"
    assert server.asked == []  # no token went to a stranger
    (tmp_path / "torn.crt").write_text("-----BEGIN CERTIFICATE-----\n")
    torn = KubeApi(section(server, tmp_path, ca_file=tmp_path / "torn.crt"), {})
    with pytest.raises(SourceError, match=r"torn\.crt: holds no certificate in PEM form"):
        asyncio.run(list_pods(torn))


@pytest.mark.parametrize("token", [b"two words", b"line\r\nX-Evil: 1", b"\xff\xfe", b"x" * 100_000])
def test_a_token_file_that_holds_none(server: KubeServer, tmp_path: Path, token: bytes) -> None:
    (tmp_path / "token").write_bytes(token)
    error = refusal(server, tmp_path)
    assert error.kind == "permission"
    assert str(error) == f"{tmp_path}/token: is no token (one line of printable characters)"
    assert server.asked == []


def test_nobody_there(server: KubeServer, tmp_path: Path) -> None:
    api = KubeApi(section(server, tmp_path, url="https://127.0.0.1:1"), {})
    with pytest.raises(SourceError, match=r"https://127\.0\.0\.1:1/api/v1/pods: ") as caught:
        asyncio.run(list_pods(api))
    assert caught.value.kind == "io"


# What a pod is


def asking(*containers: object, init: object = ()) -> dict[str, Any]:
    spec = {"containers": list(containers), "initContainers": init}
    return {"metadata": {"namespace": "a", "name": "b"}, "spec": spec}


def gpu(count: object, kind: str = "limits", **more: object) -> dict[str, Any]:
    return {"resources": {kind: {"nvidia.com/gpu": count}}, **more}


@pytest.mark.parametrize(
    ("pod", "gpus"),
    [
        (asking(gpu("1"), gpu("2", "requests")), 3),
        (asking(gpu("1"), init=[gpu("4"), gpu("2")]), 4),
        (asking(gpu("4"), init=[gpu("4")]), 4),
        (asking(gpu("2"), init=[gpu("1", restartPolicy="Always")]), 3),
        (asking(gpu("1"), init=[gpu("1", restartPolicy="Always"), gpu("4")]), 5),
        (asking(gpu("1"), init=[gpu("4"), gpu("1", restartPolicy="Always")]), 4),
        (asking(gpu(8)), 8),
        (asking(gpu("1k")), 1000),
        (asking(gpu("500m"), gpu("-1"), gpu(True), gpu(None), gpu("1e400"), gpu("٣")), 0),
        (asking(gpu("999999")), 0),
        (asking({"resources": {"limits": {"nvidia.com/mig-1g.10gb": "3", "nvidia.com/gpu.shared": "2"}}}), 5),
        (asking({"resources": {"limits": {"amd.com/gpu": "3", "cpu": "2"}}}), 0),
    ],
)
def test_gpus_that_a_pod_asks_for(pod: dict[str, Any], gpus: int) -> None:
    found = parse_pod(pod)
    assert found is not None
    assert found.gpus == gpus


@pytest.mark.parametrize(
    "time",
    ["", "yesterday", "2026-11-20T10:00:00", "0001-01-01T00:00:00Z", "9999-12-31T23:59:59Z", 5, "1" * 99],
)
def test_times_that_are_none(time: object) -> None:
    found = parse_pod({"metadata": {"namespace": "a", "name": "b", "creationTimestamp": time}})
    assert found is not None
    assert found.created is None


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)


def places(value: object, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Every place in a tree."""
    if path:
        yield path
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, below in inner:
        yield from places(below, (*path, key))


WHOLE = fixture_pods()
PLACES = [(n, path) for n, pod in enumerate(WHOLE) for path in places(pod)]


@settings(max_examples=500)
@given(st.sampled_from(PLACES), anything)
def test_whatever_stands_at_any_place_of_a_pod(place: tuple[int, tuple[Any, ...]], value: object) -> None:
    number, path = place
    pod = copy.deepcopy(WHOLE[number])
    inner: Any = pod
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = value
    sane(parse_pod(pod))


@settings(max_examples=300)
@given(anything)
def test_whatever_is_no_pod(value: object) -> None:
    sane(parse_pod(value))


def sane(pod: Pod | None) -> None:
    if pod is None:
        return
    assert pod.namespace
    assert pod.name
    assert 0 <= pod.gpus <= 4096
    assert all(0 < port < 65536 and isinstance(name, str) for name, port in pod.ports)
    assert all(time is None or 0 < time < 1e10 for time in (pod.created, pod.scheduled, pod.started))
    texts = (pod.uid, pod.node, pod.ip, pod.phase, pod.owner, pod.group, *pod.labels.values())
    assert all(isinstance(word, str) and len(word) <= 1024 for word in texts)
    json.dumps([*texts, pod.ready, pod.gated])
