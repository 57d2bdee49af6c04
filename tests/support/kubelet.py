"""A kubelet's pod-resources service, served by the real gRPC library over a Unix socket.

The messages follow the field numbers of kubelet's published v1 interface, with the fields that the agent does
not read (processors, memory, topology) filled in as a kubelet does.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent import futures
from pathlib import Path
from typing import Any

import grpc
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

SERVICE = "v1.PodResourcesLister"
_TEXT, _NUMBER = "string", "int64"
_MESSAGES = {
    "ListPodResourcesRequest": [],
    "ListPodResourcesResponse": [("pod_resources", 1, "PodResources", True)],
    "PodResources": [
        ("name", 1, _TEXT, False),
        ("namespace", 2, _TEXT, False),
        ("containers", 3, "ContainerResources", True),
        ("cpu_ids", 4, _NUMBER, True),
    ],
    "ContainerResources": [
        ("name", 1, _TEXT, False),
        ("devices", 2, "ContainerDevices", True),
        ("cpu_ids", 3, _NUMBER, True),
        ("memory", 4, "ContainerMemory", True),
        ("dynamic_resources", 5, "DynamicResource", True),
    ],
    "ContainerMemory": [("memory_type", 1, _TEXT, False), ("size", 2, _NUMBER, False)],
    "ContainerDevices": [
        ("resource_name", 1, _TEXT, False),
        ("device_ids", 2, _TEXT, True),
        ("topology", 3, "TopologyInfo", False),
    ],
    "TopologyInfo": [("nodes", 1, "NUMANode", True)],
    "NUMANode": [("ID", 1, _NUMBER, False)],
    "DynamicResource": [
        ("class_name", 1, _TEXT, False),
        ("claim_name", 2, _TEXT, False),
        ("claim_namespace", 3, _TEXT, False),
        ("claim_resources", 4, "ClaimResource", True),
    ],
    "ClaimResource": [
        ("cdi_devices", 1, "CDIDevice", True),
        ("driver_name", 2, _TEXT, False),
        ("pool_name", 3, _TEXT, False),
        ("device_name", 4, _TEXT, False),
    ],
    "CDIDevice": [("name", 1, _TEXT, False)],
}


def _types() -> dict[str, Any]:
    field = descriptor_pb2.FieldDescriptorProto
    kinds = {_TEXT: field.TYPE_STRING, _NUMBER: field.TYPE_INT64}
    file = descriptor_pb2.FileDescriptorProto(name="kubelet-for-tests", package="v1", syntax="proto3")
    for name, fields in _MESSAGES.items():
        message = file.message_type.add(name=name)
        for key, number, kind, repeated in fields:
            message.field.add(
                name=key,
                number=number,
                type=kinds.get(kind, field.TYPE_MESSAGE),
                type_name=None if kind in kinds else f".v1.{kind}",
                label=field.LABEL_REPEATED if repeated else field.LABEL_OPTIONAL,
            )
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return {
        name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"v1.{name}")) for name in _MESSAGES
    }


TYPES = _types()


def container(
    name: str, *devices: tuple[str, list[str]], claims: Sequence[dict[str, Any]] = ()
) -> dict[str, Any]:
    """A container with devices by resource name, and the devices of its claims."""
    return {
        "name": name,
        "devices": [
            {"resource_name": resource, "device_ids": ids, "topology": {"nodes": [{"ID": 0}]}}
            for resource, ids in devices
        ],
        "cpu_ids": [0, 1, 64],
        "memory": [{"memory_type": "memory", "size": 1 << 34}],
        "dynamic_resources": [
            {"claim_name": "claim", "claim_namespace": "ml", "claim_resources": list(claims)}
        ] if claims else [],
    }  # fmt: skip


def pod(namespace: str, name: str, *containers: dict[str, Any]) -> dict[str, Any]:
    """A pod as List tells of it."""
    return {"namespace": namespace, "name": name, "containers": list(containers), "cpu_ids": [3]}


class Kubelet:
    """Answers List with `pods`, or with whatever `behave` does instead."""

    def __init__(self, socket: Path) -> None:
        self.socket = socket
        self.pods: list[dict[str, Any]] = []
        self.behave: Callable[[grpc.ServicerContext], None] = lambda _: None
        self.calls = 0
        self.methods = ("List",)
        self._server: grpc.Server | None = None

    def start(self) -> None:
        """Listen, anew where there was a server before."""
        self._server = grpc.server(
            futures.ThreadPoolExecutor(2), options=[("grpc.max_send_message_length", -1)]
        )
        handlers = {
            name: grpc.unary_unary_rpc_method_handler(
                self._list,
                request_deserializer=TYPES["ListPodResourcesRequest"].FromString,
                response_serializer=TYPES["ListPodResourcesResponse"].SerializeToString,
            )
            for name in self.methods
        }
        self._server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler(SERVICE, handlers)])
        self._server.add_insecure_port(f"unix:{self.socket}")
        self._server.start()

    def stop(self) -> None:
        """Cut all calls off and remove the socket."""
        if self._server is not None:
            self._server.stop(None).wait()
            self._server = None

    def _list(self, _: Any, context: grpc.ServicerContext) -> Any:
        self.calls += 1
        self.behave(context)
        return TYPES["ListPodResourcesResponse"](pod_resources=self.pods)
