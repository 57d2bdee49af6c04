"""Recordings of exporters, served over HTTP, and a dcgm-exporter with every field of our counter file."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Self

from gigawatch.catalogue import site
from gigawatch.promql.dialects.dcgm_fields import IN_THE_COUNTERS_FILE

FIXTURES = Path(__file__).parents[1] / "gigawatch" / "dialects" / "fixtures"
NODES = ("n1", "n5", "i-030791dc5a37cd257", "msxf-hpc-64-35-ai", "dcgm-exporter-wwwjh", "127.0.0.1")


class Served:
    """Texts at paths of a server on this machine while the `with` block lasts."""

    def __init__(self, texts: Mapping[str, str | Callable[[], str]]) -> None:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                found = texts.get(self.path.strip("/"))
                text = found() if callable(found) else found
                self.send_response(404 if text is None else 200)
                self.send_header("Content-Type", "text/plain; version=0.0.4")
                self.end_headers()
                self.wfile.write((text or "").encode())

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()


class Full:
    """A dcgm-exporter with every field that our table reads, in the form of the H100 recording (#490).

    `values` are by field; counters rise by their value each second. `fail()` brings an XID 79.
    """

    LABELS = (
        'gpu="0",UUID="GPU-8b2281de-6d3c-22ed-0ec8-d3b864870b8b",pci_bus_id="00000000:8D:00.0",device="nvidia0",'
        'modelName="NVIDIA H100 80GB HBM3",Hostname="somewhere-else",DCGM_FI_DRIVER_VERSION="550.144.03",'
        'DCGM_FI_DEV_SERIAL="1652",DCGM_FI_DEV_VBIOS_VERSION="96.00"'
    )
    PODS = ("gpu-workload-1", "gpu-workload-2", "gpu-workload-3")
    """A time-sliced GPU: each series once per pod."""
    values: Mapping[str, float] = {
        "DCGM_FI_DEV_POWER_USAGE": 640.5,
        "DCGM_FI_DEV_POWER_USAGE_INSTANT": 655.25,
        "DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION": 640_000,
        "DCGM_FI_DEV_ENFORCED_POWER_LIMIT": 500,
        "DCGM_FI_DEV_POWER_MGMT_LIMIT_DEF": 700,
        "DCGM_FI_DEV_GPU_TEMP": 85,
        "DCGM_FI_DEV_MEMORY_TEMP": 97,
        "DCGM_FI_DEV_SLOWDOWN_TEMP": 87,
        "DCGM_FI_DEV_SHUTDOWN_TEMP": 92,
        "DCGM_FI_DEV_GPU_TEMP_LIMIT": 9_223_372_036_854_775_794,
        "DCGM_FI_DEV_SM_CLOCK": 1980,
        "DCGM_FI_DEV_CLOCKS_EVENT_REASONS": 0x4 | 0x40,
        "DCGM_FI_DEV_POWER_VIOLATION": 250_000_000,
        "DCGM_FI_DEV_THERMAL_VIOLATION": 100_000_000,
        "DCGM_FI_DEV_GPU_UTIL": 93,
        "DCGM_FI_PROF_SM_ACTIVE": 0.71,
        "DCGM_FI_DEV_FB_TOTAL": 81559,
        "DCGM_FI_DEV_FB_USED": 70000,
        "DCGM_FI_DEV_FB_FREE": 11000,
        "DCGM_FI_DEV_FB_RESERVED": 559,
        "DCGM_FI_DEV_RETIRED_PENDING": 3,
        "DCGM_FI_DEV_NVLINK_CRC_FLIT_ERROR_COUNT_TOTAL": 2,
        "DCGM_FI_DEV_NVLINK_CRC_DATA_ERROR_COUNT_TOTAL": 5,
        "DCGM_FI_DEV_PCIE_LINK_WIDTH": 8,
        "DCGM_FI_DEV_PCIE_MAX_LINK_WIDTH": 16,
        "DCGM_FI_DEV_XID_ERRORS": 0,
        "DCGM_FI_DEV_GET_GPU_RECOVERY_ACTION": 2,
    }

    def __init__(self) -> None:
        self._began = time.monotonic()
        self._xid = 0

    def fail(self) -> None:
        """From now on the last XID is 79."""
        self._xid = 79

    def text(self) -> str:
        """The page."""
        elapsed = int(time.monotonic() - self._began) + 1
        lines = []
        for field in IN_THE_COUNTERS_FILE:
            if field.kind == "label":
                continue
            name = field.names[0]
            value = self._xid if name == "DCGM_FI_DEV_XID_ERRORS" else self.values.get(name, 1)
            value = value * elapsed if field.kind == "counter" else value
            lines.append(f"# TYPE {name} {field.kind}")
            for pod in self.PODS:
                own = f'container="main",namespace="default",pod="{pod}"'
                lines.append(f"{name}{{{self.LABELS},{own}}} {value}")
        return "\n".join(lines) + "\n"


FULL = Full()


def inventory_text() -> str:
    """What service discovery tells of the nodes, as far as alerts and boards need it."""
    node, gpus = site.NODE_INFO.name, site.GPUS_EXPECTED.name
    place = 'site="s1",rack="r1",row="a",hall="h1",loop="loop-1"'
    lines = [f'{node}{{{place},node="{name}"}} 1' for name in NODES]
    lines += [f'{gpus}{{site="s1",rack="r1",node="{name}"}} 1' for name in NODES]
    return "\n".join(lines) + "\n"
