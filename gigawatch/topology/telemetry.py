"""What telemetry shows of a site: which nodes, GPUs and devices report, and what they say of themselves."""

from __future__ import annotations

import http.client
import json
import math
import urllib.error
import urllib.parse
import urllib.request
from collections import defaultdict
from dataclasses import dataclass, field

from gigawatch.catalogue import facility, gpu, polling
from gigawatch.catalogue.model import Metric
from gigawatch.catalogue.own import EXPORTER_BUILD_INFO
from gigawatch.errors import UserError

_DEADLINE = 30.0
_LARGEST = 64 << 20
Labels = dict[str, str]


@dataclass(slots=True)
class Hardware:
    """What a device says it is."""

    vendor: str = ""
    model: str = ""
    serial: str = ""


@dataclass(slots=True)
class Shown:
    """A site as telemetry shows it."""

    nodes: dict[str, set[str]] = field(default_factory=dict)
    """Racks under which each node reported."""
    devices: dict[str, set[str]] = field(default_factory=dict)
    """Racks under which the page of each facility device was read; empty text: none."""
    silent: set[str] = field(default_factory=set)
    """Devices that did not answer their last poll."""
    gpus: dict[str, dict[str, set[str]]] = field(default_factory=dict)
    """By node: UUIDs of GPUs, by model."""
    hardware: dict[str, Hardware] = field(default_factory=dict)
    places: dict[str, tuple[str, str]] = field(default_factory=dict)
    """Rack and unit that devices themselves name."""


def observe(url: str, site: str, within: str = "1h") -> Shown:
    """Ask a Prometheus (or what speaks its API) about a site. Raises UserError.

    Nodes and devices count that reported in the time `within`; all else is asked as it is now.
    """
    ask = _Prometheus(url)
    shown = Shown()
    build = EXPORTER_BUILD_INFO
    for row in ask.groups(("node", "rack"), f"last_over_time({_of(build, site, program='agent')}[{within}])"):
        shown.nodes.setdefault(row.get("node", ""), set()).add(row.get("rack", ""))
    polled = _of(facility.FACILITY_POLL_UP, site)
    for row in ask.groups(("device", "rack"), f"last_over_time({polled}[{within}])"):
        shown.devices.setdefault(row.get("device", ""), set()).add(row.get("rack", ""))
    shown.silent = {row["device"] for row in ask.groups(("device",), f"{polled} == 0") if "device" in row}
    found: dict[str, dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
    for row in ask.groups(("node", "uuid", "model"), _of(gpu.GPU_INFO, site)):
        found[row.get("node", "")][row.get("model", "")].add(row.get("uuid", ""))
    shown.gpus = {node: dict(models) for node, models in found.items()}
    hardware = _of(polling.HARDWARE_INFO, site)
    for row in ask.groups(("device", "vendor", "model", "serial"), hardware):
        known = shown.hardware.setdefault(row.get("device", ""), Hardware())
        # A device may be asked in several ways, which need not all know everything.
        known.vendor = known.vendor or row.get("vendor", "")
        known.model = known.model or row.get("model", "")
        known.serial = known.serial or row.get("serial", "")
    # The target's own label `rack` goes before, so Prometheus keeps the device's under another name.
    for row in ask.groups(("device", "reported_rack", "unit"), _of(polling.REPORTED_PLACE, site)):
        shown.places[row.get("device", "")] = row.get("reported_rack", ""), row.get("unit", "")
    shown.nodes.pop("", None)
    shown.devices.pop("", None)
    return shown


def _of(metric: Metric, site: str, **labels: str) -> str:
    wanted = {"site": site, **labels}
    return metric.name + "{" + ",".join(f"{name}={json.dumps(value)}" for name, value in wanted.items()) + "}"


class _Prometheus:
    """Instant queries."""

    def __init__(self, url: str) -> None:
        if urllib.parse.urlsplit(url).scheme not in ("http", "https"):
            raise UserError(f"--prometheus: '{url[:80]}' is no URL; allowed: http://HOST:PORT")
        self._url = url.rstrip("/")

    def groups(self, by: tuple[str, ...], expression: str) -> list[Labels]:
        """The label sets of an expression that has a value now."""
        return [
            row
            for row, value in self._query(f"max by ({', '.join(by)}) ({expression})")
            if not math.isnan(value)
        ]

    def _query(self, expression: str) -> list[tuple[Labels, float]]:
        body = urllib.parse.urlencode({"query": expression}).encode()
        request = urllib.request.Request(f"{self._url}/api/v1/query", body)  # noqa: S310 - checked at start
        shown = urllib.parse.urlsplit(self._url).netloc.rpartition("@")[2]
        try:
            with urllib.request.urlopen(request, timeout=_DEADLINE) as answer:  # noqa: S310 - the same
                data = json.loads(answer.read(_LARGEST))
            return [
                ({str(k): str(v) for k, v in one["metric"].items()}, float(one["value"][1]))
                for one in data["data"]["result"]
            ]
        except urllib.error.HTTPError as error:
            raise UserError(f"Prometheus at {shown} answers {error.code} to a query") from None
        except OSError as error:
            reason = getattr(error, "reason", error)
            raise UserError(f"Prometheus at {shown} cannot be asked: {reason}") from None
        except (
            ValueError,
            KeyError,
            IndexError,
            TypeError,
            AttributeError,
            RecursionError,
            http.client.HTTPException,
        ):
            raise UserError(f"what answers at {shown} is no Prometheus") from None
