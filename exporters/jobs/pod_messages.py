"""Messages of kubelet's pod-resources service (package v1), as far as they tell of devices.

Fields that are not named here are skipped. The descriptors are made at run time: no generated code, no
version of a generator to keep in step with. protobuf's decoder costs 3.4 MB of memory, measured with these
messages; it has seen every malformed message there is, so it stands here and not one of our own.
"""

from __future__ import annotations

from functools import cache
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.message import DecodeError

from exporters.runtime.source import SourceError

LIST = "/v1.PodResourcesLister/List"
_FIELDS: dict[str, tuple[tuple[str, int, str], ...]] = {
    "ListPodResourcesResponse": (("pod_resources", 1, "PodResources*"),),
    "PodResources": (("name", 1, ""), ("namespace", 2, ""), ("containers", 3, "ContainerResources*")),
    "ContainerResources": (
        ("name", 1, ""),
        ("devices", 2, "ContainerDevices*"),
        ("dynamic_resources", 5, "DynamicResource*"),
    ),
    "ContainerDevices": (("resource_name", 1, ""), ("device_ids", 2, "*")),
    "DynamicResource": (
        ("claim_name", 2, ""),
        ("claim_namespace", 3, ""),
        ("claim_resources", 4, "ClaimResource*"),
    ),
    "ClaimResource": (
        ("cdi_devices", 1, "CDIDevice*"),
        ("driver_name", 2, ""),
        ("pool_name", 3, ""),
        ("device_name", 4, ""),
    ),
    "CDIDevice": (("name", 1, ""),),
}
"""Name, number and type of each field: text where the type is empty, a list where it ends in an asterisk."""


@cache
def message_types() -> dict[str, type[Any]]:
    """The classes of the messages by name."""
    field = descriptor_pb2.FieldDescriptorProto
    file = descriptor_pb2.FileDescriptorProto(name="pod_resources", package="v1", syntax="proto3")
    for name, fields in _FIELDS.items():
        message = file.message_type.add(name=name)
        for key, number, kind in fields:
            of = kind.rstrip("*")
            message.field.add(
                name=key,
                number=number,
                type=field.TYPE_MESSAGE if of else field.TYPE_STRING,
                type_name=f".v1.{of}" if of else None,
                label=field.LABEL_REPEATED if kind.endswith("*") else field.LABEL_OPTIONAL,
            )
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return {
        name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"v1.{name}")) for name in _FIELDS
    }


def decode_list(data: bytes) -> Any:
    """An answer to List. Raises SourceError where the bytes are none."""
    try:
        return message_types()["ListPodResourcesResponse"].FromString(data)
    except (DecodeError, UnicodeDecodeError) as error:
        raise SourceError("parse", f"pod-resources: answer cannot be decoded: {error}") from None
