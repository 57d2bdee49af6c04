"""GPUs of pods, told by a real gRPC server that speaks as a kubelet does."""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import grpc
import h2.config
import h2.connection
import h2.events
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from kubelet import TYPES, Kubelet, container, pod

from exporters.jobs.grpc_call import unary_call
from exporters.jobs.identity import Devices, GpuIdentity, MigIdentity
from exporters.jobs.pod_messages import LIST, decode_list
from exporters.jobs.pod_resources import PodResourcesSource
from exporters.runtime.source import SourceError
from exporters.sections import KubernetesSection
from gigawatch.catalogue import workload
from gigawatch.readings import Reading

# Two whole GPUs whose index and minor number differ, as on boards not wired in order, and two with MIG.
A, B, C, D = (f"GPU-{letter * 8}-1111-2222-3333-444444444444" for letter in "abcd")
MIG_1, MIG_2, MIG_3 = (f"MIG-{n * 8}-1111-2222-3333-444444444444" for n in "123")
GPUS = (
    GpuIdentity("0", A, "1", "00000000:17:00.0"),
    GpuIdentity("1", B, "0", "00000000:2A:00.0"),
    GpuIdentity(
        "2", C, "2", "00000000:3D:00.0", (MigIdentity("1", "0", MIG_1), MigIdentity("2", "0", MIG_2))
    ),
    GpuIdentity("3", D, "3", "00000000:4F:00.0", (MigIdentity("7", "0", MIG_3),)),
)
NAMES = workload.GPU_ALLOCATION_INFO.labels


@pytest.fixture
def kubelet(tmp_path: Path) -> Iterator[Kubelet]:
    server = Kubelet(tmp_path / "kubelet.sock")
    server.start()
    yield server
    server.stop()


def source(kubelet: Kubelet, **changes: object) -> PodResourcesSource:
    given = {"gpus": lambda: GPUS, "resources": KubernetesSection().resources, **changes}
    return PodResourcesSource(30.0, socket=kubelet.socket, **given)  # type: ignore[arg-type] # names as declared


def rows(readings: list[Reading]) -> list[dict[str, str]]:
    found = [r for r in readings if r.metric is workload.GPU_ALLOCATION_INFO]
    assert all(r.value == 1 for r in found)
    return [dict(zip(NAMES, r.labels, strict=True)) for r in found]


def unmatched(readings: list[Reading]) -> dict[str, float]:
    return {r.labels[1]: r.value for r in readings if r.metric is workload.ALLOCATION_UNMATCHED}


def test_a_pod_holds_what_its_containers_were_given_idle_or_not(kubelet: Kubelet) -> None:
    kubelet.pods = [
        pod("ml", "train-0", container("main", ("nvidia.com/gpu", [A, B])), container("sidecar")),
        pod("kube-system", "dns", container("dns", ("example.com/nic", ["nic-0"]))),
    ]
    readings = list(source(kubelet).read())
    assert [(r["gpu"], r["uuid"]) for r in rows(readings)] == [("0", A), ("1", B)]
    assert rows(readings)[0] == {
        "gpu": "0", "uuid": A, "scheduler": "kubernetes", "namespace": "ml", "pod": "train-0",
        "container": "main", "job_id": "ml/train-0", "user": "", "partition": "", "stage": "", "mig_uuid": "",
    }  # fmt: skip
    assert unmatched(readings) == {"unknown_id": 0, "unknown_index": 0, "no_gpu_list": 0}


@pytest.mark.parametrize(
    ("device", "uuid", "mig_uuid"),
    [
        (A, A, ""),
        (A.upper().replace("GPU", "gpu"), A, ""),
        (f"{A}::3", A, ""),
        (MIG_2, C, MIG_2),
        (f"{MIG_2}::0", C, MIG_2),
        (f"MIG-{C}/1/0", C, MIG_1),
        ("0", A, ""),
        ("2:1", C, MIG_2),
        ("nvidia0", B, ""),
        ("/dev/nvidia1", A, ""),
        ("nvidia2/gi2", C, MIG_2),
        ("nvidia0/vgpu3", B, ""),
        ("nvidia2/gi1/vgpu0", C, MIG_1),
        ("gpu-0", B, ""),
        ("gpu-3-mig-19-0-1", D, MIG_3),
        ("gpu-2-mig-19-0-1", C, ""),
        ("0000:2a:00.0", B, ""),
    ],
)
def test_every_way_to_name_a_device(kubelet: Kubelet, device: str, uuid: str, mig_uuid: str) -> None:
    kubelet.pods = [pod("ml", "p", container("c", ("nvidia.com/gpu.shared", [device])))]
    readings = list(source(kubelet).read())
    assert [(r["uuid"], r["mig_uuid"]) for r in rows(readings)] == [(uuid, mig_uuid)]
    assert not any(unmatched(readings).values())


@pytest.mark.parametrize(
    "device",
    ["GPU-99999999-1111-2222-3333-444444444444", "9", "nvidia7", "nvidia2/gi9", "2:5", f"MIG-{C}/4/0", "tpu0",
     "", "gpu-vfio-0", "::0", "99999999999999"],
)  # fmt: skip
def test_a_device_that_is_no_gpu_of_this_node_is_counted_and_never_guessed(
    kubelet: Kubelet, device: str
) -> None:
    kubelet.pods = [pod("ml", "p", container("c", ("nvidia.com/gpu", [device, A])))]
    readings = list(source(kubelet).read())
    assert [r["uuid"] for r in rows(readings)] == [A]
    assert unmatched(readings)["unknown_id"] == 1


def test_resource_claims(kubelet: Kubelet) -> None:
    """Claims carry driver and device name on new kubelets, and CDI names alone on old ones."""
    claim = {"driver_name": "gpu.nvidia.com", "pool_name": "node-1"}
    kubelet.pods = [
        pod("ml", "new", container("c", claims=[
            {**claim, "device_name": "gpu-0", "cdi_devices": [{"name": "k8s.gpu.nvidia.com/claim=0f-gpu-0"}]},
            {**claim, "device_name": "gpu-3-mig-19-0-1"},
            {"driver_name": "compute-domain.nvidia.com", "device_name": "channel-0"},
        ])),
        pod("ml", "old", container("c", claims=[
            {"cdi_devices": [{"name": "k8s.gpu.nvidia.com/gpu=gpu-1"}, {"name": "example.com/nic=gpu-0"}]},
            {"cdi_devices": [{"name": "nvidia.com/gpu=2:0"}, {"name": "nvidia.com/gpu=all"}]},
        ])),
        pod("ml", "by-claim", container("c", claims=[
            {"driver_name": "gpu.nvidia.com", "cdi_devices": [{"name": "k8s.gpu.nvidia.com/device=0-gpu-0"}]},
        ])),
    ]  # fmt: skip
    readings = list(source(kubelet).read())
    assert [(r["pod"], r["uuid"], r["mig_uuid"]) for r in rows(readings)] == [
        ("new", B, ""), ("new", D, MIG_3), ("old", A, ""), ("old", C, MIG_1), ("by-claim", B, ""),
    ]  # fmt: skip
    assert not any(unmatched(readings).values())


def test_a_time_sliced_gpu_gives_a_row_for_each_pod_and_one_for_copies_in_one_pod(kubelet: Kubelet) -> None:
    kubelet.pods = [
        pod("ml", "one", container("c", ("nvidia.com/gpu", [f"{A}::0", f"{A}::1"]))),
        pod("ml", "two", container("c", ("nvidia.com/gpu", [f"{A}::2"]))),
    ]
    assert [(r["pod"], r["uuid"]) for r in rows(list(source(kubelet).read()))] == [("one", A), ("two", A)]


def test_while_nobody_knows_the_gpus_it_says_so(kubelet: Kubelet) -> None:
    kubelet.pods = [pod("ml", "p", container("c", ("nvidia.com/gpu", [A, B])))]
    readings = list(source(kubelet, gpus=lambda: ()).read())
    assert rows(readings) == []
    assert unmatched(readings) == {"unknown_id": 0, "unknown_index": 0, "no_gpu_list": 2}


def test_a_full_node_and_answers_beyond_grpcs_usual_limit(kubelet: Kubelet) -> None:
    kubelet.pods = [pod("ml", f"p{n}", container("c", ("nvidia.com/gpu", [A]))) for n in range(110)]
    assert len(rows(list(source(kubelet).read()))) == 110
    nics = [f"nic-{n:060d}" for n in range(2_000)]
    kubelet.pods += [pod("net", f"n{n}", container("c", ("example.com/nic", nics))) for n in range(60)]
    assert len(rows(list(source(kubelet).read()))) == 110  # about 8 MB


def test_an_answer_without_end_is_refused(kubelet: Kubelet) -> None:
    kubelet.pods = [pod("ml", "p" * 200_000)]
    with pytest.raises(SourceError, match="more than 100000 bytes") as caught:
        list(source(kubelet, largest=100_000).read())
    assert caught.value.kind == "too_large"


def test_it_follows_pods_and_a_restart_of_the_kubelet(kubelet: Kubelet) -> None:
    reader = source(kubelet)
    kubelet.pods = [pod("ml", "first", container("c", ("nvidia.com/gpu", [A])))]
    assert [r["pod"] for r in rows(list(reader.read()))] == ["first"]
    kubelet.stop()
    with pytest.raises(SourceError) as caught:
        list(reader.read())
    assert caught.value.kind in ("not_found", "refused")
    kubelet.pods = [pod("ml", "second", container("c", ("nvidia.com/gpu", [B])))]
    kubelet.start()
    assert [r["pod"] for r in rows(list(reader.read()))] == ["second"]


def abort(code: grpc.StatusCode) -> Callable[[grpc.ServicerContext], None]:
    return lambda context: context.abort(code, "no: 100 % über")


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (grpc.StatusCode.INTERNAL, "internal"),
        (grpc.StatusCode.PERMISSION_DENIED, "permission"),
        (grpc.StatusCode.UNAVAILABLE, "unavailable"),
    ],
)
def test_an_error_of_the_kubelet_is_told_in_its_words(
    kubelet: Kubelet, code: grpc.StatusCode, kind: str
) -> None:
    kubelet.behave = abort(code)
    with pytest.raises(SourceError, match="no: 100 % über") as caught:
        list(source(kubelet).read())
    assert caught.value.kind == kind


def test_a_kubelet_without_the_call(kubelet: Kubelet) -> None:
    kubelet.stop()
    kubelet.methods = ("Get",)
    kubelet.start()
    with pytest.raises(SourceError, match="does not offer it") as caught:
        list(source(kubelet).read())
    assert caught.value.kind == "unimplemented"


def test_a_kubelet_asked_too_often_is_left_alone_for_a_while(kubelet: Kubelet) -> None:
    reader = source(kubelet)
    kubelet.behave = abort(grpc.StatusCode.RESOURCE_EXHAUSTED)
    for _ in range(7):
        with pytest.raises(SourceError) as caught:
            list(reader.read())
        assert caught.value.kind == "resource_exhausted"
    assert kubelet.calls == 3  # then one pause, then three
    kubelet.behave = lambda _: None
    kubelet.pods = [pod("ml", "p", container("c", ("nvidia.com/gpu", [A])))]
    found: list[dict[str, str]] = []
    for _ in range(10):
        try:
            found = rows(list(reader.read()))
        except SourceError:
            continue
        break
    assert [r["pod"] for r in found] == ["p"]


def test_a_kubelet_that_hangs_costs_the_deadline_and_no_more(kubelet: Kubelet) -> None:
    release = threading.Event()
    kubelet.behave = lambda _: release.wait(30) and None
    started = time.monotonic()
    with pytest.raises(SourceError, match="gave no answer within") as caught:
        list(source(kubelet, deadline=0.5).read())
    release.set()
    assert caught.value.kind == "timeout"
    assert time.monotonic() - started < 10


def test_no_socket_and_no_server(tmp_path: Path) -> None:
    absent = PodResourcesSource(30.0, lambda: GPUS, tmp_path / "none.sock", ("nvidia.com/gpu",))
    assert not absent.present
    with pytest.raises(SourceError, match=r"none\.sock: no such socket"):
        list(absent.read())
    dead = tmp_path / "dead.sock"
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind(str(dead))
    with pytest.raises(SourceError) as caught:
        list(PodResourcesSource(30.0, lambda: GPUS, dead, ("nvidia.com/gpu",)).read())
    assert caught.value.kind == "refused"
    with pytest.raises(SourceError) as caught:
        unary_call(tmp_path / ("x" * 200), LIST, b"", 1)
    assert caught.value.kind == "io"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may open every socket")
def test_a_socket_that_is_not_ours(kubelet: Kubelet) -> None:
    kubelet.socket.chmod(0)
    with pytest.raises(SourceError) as caught:
        list(source(kubelet).read())
    assert caught.value.kind == "permission"


@contextmanager
def answering(path: Path, answer: bytes) -> Iterator[None]:
    """A server that knows nothing of HTTP/2: says `answer` to whoever connects, then hangs up."""
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))
        server.listen()

        def serve() -> None:
            peer, _ = server.accept()
            with peer:
                peer.settimeout(5)
                peer.recv(1 << 16)
                peer.sendall(answer)
                peer.shutdown(socket.SHUT_WR)
                while peer.recv(1 << 16):
                    pass

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield
        finally:
            thread.join(10)
            path.unlink()


def answer_of(message: bytes, status: str = "0") -> bytes:
    """The bytes of a good answer, made by the server's half of an HTTP/2 library."""
    client = h2.connection.H2Connection(h2.config.H2Configuration(client_side=True))
    client.initiate_connection()
    client.send_headers(1, [(":method", "POST"), (":scheme", "http"), (":path", LIST), (":authority", "x")])
    server = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False))
    server.initiate_connection()
    server.receive_data(client.data_to_send())
    server.send_headers(1, [(":status", "200"), ("content-type", "application/grpc")])
    server.send_data(1, b"\0" + len(message).to_bytes(4, "big") + message)
    server.send_headers(1, [("grpc-status", status)], end_stream=True)
    return bytes(server.data_to_send())


MESSAGE = TYPES["ListPodResourcesResponse"](
    pod_resources=[pod("ml", "p", container("c", ("nvidia.com/gpu", [A, MIG_1, "nvidia0"])))]
).SerializeToString()
GOOD = answer_of(MESSAGE)


def test_the_bytes_that_are_damaged_below_are_good(tmp_path: Path) -> None:
    with answering(tmp_path / "s", GOOD):
        assert unary_call(tmp_path / "s", LIST, b"", 5) == MESSAGE


damaged = st.one_of(
    st.binary(max_size=200),
    st.integers(0, len(GOOD)).map(lambda n: GOOD[:n]),
    st.tuples(st.integers(0, len(GOOD) - 1), st.integers(0, 255)).map(
        lambda d: GOOD[: d[0]] + bytes([d[1]]) + GOOD[d[0] + 1 :]
    ),
)


@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(answer=damaged)
def test_whatever_comes_over_the_socket(tmp_path: Path, answer: bytes) -> None:
    reader = PodResourcesSource(30.0, lambda: GPUS, tmp_path / "s", ("nvidia.com/*",), deadline=2.0)
    with answering(tmp_path / "s", answer):
        try:
            found = rows(list(reader.read()))
        except SourceError:
            return
    assert {r["uuid"] for r in found} <= {A, B, C, D}


@settings(max_examples=300, deadline=None)
@given(st.one_of(st.binary(max_size=300), st.lists(st.tuples(st.integers(0, 10_000), st.integers(0, 255)))))
def test_whatever_the_message_holds(change: bytes | list[tuple[int, int]]) -> None:
    data = bytearray(MESSAGE)
    if isinstance(change, bytes):
        data = bytearray(change)
    else:
        for place, value in change:
            data[place % len(data)] = value
    try:
        answer = decode_list(bytes(data))
    except SourceError:
        return
    for one in answer.pod_resources:
        assert isinstance(one.name, str)


@settings(max_examples=300)
@given(st.one_of(st.text(), st.from_regex(r"\A(MIG-)?(GPU-|nvidia|gpu-)?[0-9a-f:/.-]{0,40}(::\d+)?\Z")))
def test_whatever_a_device_is_called(name: str) -> None:
    place = Devices(GPUS).find(name)
    assert place is None or (place.gpu in GPUS and place.mig_uuid in ("", *(m.uuid for m in place.gpu.mig)))
