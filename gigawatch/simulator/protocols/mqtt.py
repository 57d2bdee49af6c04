"""The building management's side of the DSX event bus: metadata, values on change, a heartbeat.

What a point is and means: `exporters/facility/mqtt/README.md`.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from gigawatch.simulator.protocols.values import Answer, Values, now_ms

if TYPE_CHECKING:
    from aiomqtt import Client

log = logging.getLogger(__name__)
_ROOT = "BMS/v1/PUB"
_LOOK_EVERY = 1.0
_MEASURED_EVERY = 5.0
"""Measurements change all the time; states are told at once."""
_DESCRIBED_EVERY = 90.0
REPEAT = 10.0
"""Everything is told again within the 100 s that the bus asks for; values sooner, as the broker keeps none
for those who come later."""
_HEARTBEAT = 10.0
_RETRY_AFTER = 2.0
_GOOD, _BAD = 1, 0


@dataclass(frozen=True, slots=True)
class Point:
    """One point of one device."""

    device: str
    kind: str
    """objectType/pointType"""
    tag: str
    metadata: dict[str, object]
    value: Callable[[Values], float | None]
    state: bool = False
    """A state, not a measurement."""


@dataclass(slots=True)
class _Told:
    """What the bus was told last of a point."""

    value: float | None = None
    good: bool = False
    at: float = field(default=float("-inf"))


class Publisher:
    """Tells the bus what the points say, and goes on trying while there is no broker."""

    def __init__(
        self, points: Sequence[Point], answer: Answer, host: str, port: int, repeat: float = REPEAT
    ) -> None:
        self._points, self._answer = points, answer
        self._host, self._port, self._repeat = host, port, repeat
        self._complaint = ""

    async def run(self) -> None:
        """Until it is cancelled."""
        import aiomqtt

        while True:
            try:
                async with aiomqtt.Client(self._host, self._port, keepalive=30, timeout=5) as client:
                    self._complaint = ""
                    log.info("publishing %d points at %s:%d", len(self._points), self._host, self._port)
                    await self._publish(client)
            except aiomqtt.MqttError as error:
                if str(error) != self._complaint:
                    log.warning("no broker at %s:%d: %s", self._host, self._port, error)
                self._complaint = str(error)
            await asyncio.sleep(_RETRY_AFTER)

    async def _publish(self, client: Client) -> None:
        loop = asyncio.get_running_loop()
        told = [_Told() for _ in self._points]
        described = measured = alive = float("-inf")
        while True:
            now = loop.time()
            if now - described >= _DESCRIBED_EVERY:
                described = now
                for point in self._points:
                    await client.publish(
                        f"{_ROOT}/Metadata/{point.kind}/{point.tag}", json.dumps(point.metadata), retain=True
                    )
            if now - alive >= _HEARTBEAT:
                alive = now
                await client.publish(f"{_ROOT}/Value/System/Heartbeat/gigawatch-plant", _body(1.0))
            due = now - measured >= _MEASURED_EVERY
            measured = now if due else measured
            for point, last in zip(self._points, told, strict=True):
                await self._tell(client, point, last, now, due)
            await asyncio.sleep(_LOOK_EVERY)

    async def _tell(self, client: Client, point: Point, last: _Told, now: float, due: bool) -> None:
        values = self._answer(point.device)
        value = point.value(values) if values is not None else None
        good = value is not None
        # A device that falls silent is told at once as well.
        changed = good != last.good or (value != last.value and (due or point.state))
        if changed or now - last.at >= self._repeat:
            last.value, last.good, last.at = value, good, now
            await client.publish(f"{_ROOT}/Value/{point.kind}/{point.tag}", _body(value))


def _body(value: float | None) -> str:
    """A value with its time; null and untrusted where there is none."""
    return json.dumps(
        {"value": value, "timestamp": now_ms(), "quality": _GOOD if value is not None else _BAD}
    )
