"""The one door to NVML: every call goes through here, and every error comes out as something we know.

Facts about codes and struct layouts: nvml.h of the driver's SDK; nvidia-ml-py.
"""

from __future__ import annotations

import ctypes
import logging
import struct
from collections.abc import Iterable, Iterator, Sequence
from enum import StrEnum
from typing import Any

import pynvml

from exporters.runtime import SourceError

log = logging.getLogger(__name__)

Handle = Any
FieldKey = tuple[int, int]
"""Field id and scope."""


class Missing(StrEnum):
    """Why something cannot be read on this GPU; it will not be asked for again in this process."""

    UNSUPPORTED = "not_supported"
    PERMISSION = "permission"
    OLD_DRIVER = "driver_too_old"
    DRIVER_VERSION = "driver_version"
    WRAPS = "counter_wraps"


class GpuGone(SourceError):  # noqa: N818 - named after what has happened
    """The GPU itself is in trouble. `kind` is the state to show: lost, reset_required or missing."""


class DriverGone(SourceError):  # noqa: N818 - named after what has happened
    """The driver was unloaded or replaced: only a new process can go on."""


_MISSING = {
    pynvml.NVML_ERROR_INVALID_ARGUMENT: Missing.UNSUPPORTED,  # what old drivers say to a new enum value
    pynvml.NVML_ERROR_NOT_SUPPORTED: Missing.UNSUPPORTED,
    pynvml.NVML_ERROR_DEPRECATED: Missing.UNSUPPORTED,
    pynvml.NVML_ERROR_NO_PERMISSION: Missing.PERMISSION,
    pynvml.NVML_ERROR_FUNCTION_NOT_FOUND: Missing.OLD_DRIVER,
    pynvml.NVML_ERROR_ARGUMENT_VERSION_MISMATCH: Missing.DRIVER_VERSION,
}
_NOTHING_NOW = frozenset(
    (
        pynvml.NVML_ERROR_NOT_FOUND,
        pynvml.NVML_ERROR_INSUFFICIENT_SIZE,
        pynvml.NVML_ERROR_NO_DATA,
        pynvml.NVML_ERROR_NOT_READY,
        pynvml.NVML_ERROR_TIMEOUT,
    )
)
_GPU_GONE = {
    pynvml.NVML_ERROR_GPU_IS_LOST: "lost",
    pynvml.NVML_ERROR_RESET_REQUIRED: "reset_required",
    pynvml.NVML_ERROR_GPU_NOT_FOUND: "missing",
}
_DRIVER_GONE = {
    pynvml.NVML_ERROR_UNINITIALIZED: "uninitialized",
    pynvml.NVML_ERROR_DRIVER_NOT_LOADED: "driver_unloaded",
    pynvml.NVML_ERROR_LIB_RM_VERSION_MISMATCH: "version_mismatch",
}
_NOT_YET = {
    pynvml.NVML_ERROR_DRIVER_NOT_LOADED: "driver_not_loaded",
    pynvml.NVML_ERROR_LIBRARY_NOT_FOUND: "library_not_found",
    pynvml.NVML_ERROR_NO_PERMISSION: "permission",
}


def verdict(code: int, call: str) -> Missing | None:
    """What an error code means for the value asked for: never to be had, or not now.

    Raises GpuGone, DriverGone or SourceError where it means more than that.
    """
    if code == pynvml.NVML_SUCCESS:
        return None  # some wrappers raise on an empty answer as well
    if code in _MISSING:
        return _MISSING[code]
    if code in _NOTHING_NOW:
        return None
    if code in _GPU_GONE:
        raise GpuGone(_GPU_GONE[code], f"{call}: {_GPU_GONE[code]}")
    if code in _DRIVER_GONE:
        raise DriverGone(_DRIVER_GONE[code], f"{call}: driver gone (NVML {code})")
    kind = "unknown" if code == pynvml.NVML_ERROR_UNKNOWN else f"nvml_{code}"
    raise SourceError(kind, f"{call}: NVML error {code}")


class Nvml:
    """NVML once it is open. Safe for several threads, as the library itself is."""

    def open(self) -> None:
        """Initialize; raises SourceError whose kind says why not yet, DriverGone if never here."""
        try:
            pynvml.nvmlInit()
        except pynvml.NVMLError as error:
            code = error.value
            if code == pynvml.NVML_ERROR_LIB_RM_VERSION_MISMATCH:
                raise DriverGone("version_mismatch", "library and driver are of different versions") from None
            raise SourceError(_NOT_YET.get(code, f"nvml_{code}"), f"NVML does not open: {error}") from None

    def close(self) -> None:
        """Let go of the driver, so that it can be unloaded."""
        try:
            pynvml.nvmlShutdown()
        except pynvml.NVMLError as error:
            log.debug("nvmlShutdown: %s", error)

    def call(self, function: str, *arguments: Any) -> Any:
        """The function's answer; Missing if it is not to be had here, None if there is nothing now."""
        try:
            return getattr(pynvml, function)(*arguments)
        except pynvml.NVMLError as error:
            return verdict(error.value, function)
        except AttributeError:
            return Missing.UNSUPPORTED  # this nvidia-ml-py does not know it yet
        except UnicodeDecodeError:
            return None

    def fields(self, keys: Iterable[FieldKey]) -> FieldBatch | Missing:
        """A batch that reads these fields in one call."""
        function = self._symbol("nvmlDeviceGetFieldValues")
        return function if isinstance(function, Missing) else FieldBatch(function, tuple(keys))

    def query(
        self, symbol: str, arguments: Sequence[int], answer: Any, offsets: Sequence[int] = (0,)
    ) -> Query | Missing:
        """A call to be made again and again: `symbol` as the library exports it, `answer` a ctypes object."""
        function = self._symbol(symbol)
        return (
            function if isinstance(function, Missing) else Query(function, symbol, arguments, answer, offsets)
        )

    @staticmethod
    def _symbol(name: str) -> Any:
        try:
            # By index: a function object of our own, whose prototype does not disturb pynvml's.
            return pynvml.nvmlLib[name]
        except (AttributeError, TypeError):
            return Missing.OLD_DRIVER


class Query:
    """One function of the driver, called straight and into a buffer that is kept. For one thread at a time.

    A fifth of what a wrapper costs that makes its buffers anew for each call.
    """

    __slots__ = ("_arguments", "_function", "answer", "symbol")

    def __init__(
        self, function: Any, symbol: str, arguments: Sequence[int], answer: Any, offsets: Sequence[int]
    ) -> None:
        self.symbol, self.answer, self._function = symbol, answer, function
        address = ctypes.addressof(answer)
        self._arguments = (*arguments, *(address + offset for offset in offsets))
        inputs, outputs = (ctypes.c_uint,) * len(arguments), (ctypes.c_void_p,) * len(offsets)
        function.argtypes = (ctypes.c_void_p, *inputs, *outputs)
        function.restype = ctypes.c_uint

    def __call__(self, handle: Handle) -> int:
        """NVML's return code; with 0 the answer is in `answer`."""
        code: int = self._function(handle, *self._arguments)
        return code


class FieldBatch:
    """Many values in one call, through one array that is kept. For one thread at a time."""

    _LAYOUT = struct.Struct("<24xIIQ")
    """Behind fieldId, scopeId, timestamp and latency: valueType, nvmlReturn, value."""

    def __init__(self, function: Any, keys: Sequence[FieldKey]) -> None:
        self.keys = tuple(keys)
        self._function = function
        self._array = (pynvml.c_nvmlFieldValue_t * len(self.keys))()
        for entry, (field, scope) in zip(self._array, self.keys, strict=True):
            entry.fieldId, entry.scopeId = field, scope
        self._address = ctypes.addressof(self._array)
        self._bytes = memoryview(self._array).cast("B")
        function.argtypes = (ctypes.c_void_p, ctypes.c_int, ctypes.c_void_p)
        function.restype = ctypes.c_uint

    def read(self, handle: Handle) -> Missing | bool:
        """Ask for all; False if there is nothing now, Missing if the driver refuses the whole batch."""
        if not self.keys:
            return True
        code = self._function(handle, len(self.keys), self._address)
        if code == 0:
            return True
        if code == pynvml.NVML_ERROR_UNKNOWN:
            raise GpuGone("lost", "nvmlDeviceGetFieldValues: unknown error, as after a GPU fell off the bus")
        return verdict(code, "nvmlDeviceGetFieldValues") or False

    def entries(self) -> Iterator[tuple[int, int, int]]:
        """What the last read said of each key, in their order: value type, return code, raw value."""
        return self._LAYOUT.iter_unpack(self._bytes)


def entry_verdict(status: int, key: FieldKey) -> Missing | None:
    """Like `verdict`, for one entry of a batch: its own trouble is no trouble of the others."""
    try:
        return verdict(status, f"field {key[0]}")
    except (GpuGone, DriverGone):
        raise
    except SourceError:
        return None


def decode(kind: int, raw: int) -> int | float | None:
    """The union of a field value, by NVML value type; None for a type that we do not know."""
    match kind:
        case pynvml.NVML_VALUE_TYPE_DOUBLE:
            value: float = struct.unpack("<d", raw.to_bytes(8, "little"))[0]
            return value
        case pynvml.NVML_VALUE_TYPE_UNSIGNED_INT:
            return raw & 0xFFFFFFFF
        case pynvml.NVML_VALUE_TYPE_UNSIGNED_LONG | pynvml.NVML_VALUE_TYPE_UNSIGNED_LONG_LONG:
            return raw
        case pynvml.NVML_VALUE_TYPE_SIGNED_LONG_LONG:
            return raw - (1 << 64) if raw >> 63 else raw
        case 5:  # signed int; older nvidia-ml-py has no name for it
            low = raw & 0xFFFFFFFF
            return low - (1 << 32) if low >> 31 else low
        case 6:  # unsigned short
            return raw & 0xFFFF
        case _:
            return None
