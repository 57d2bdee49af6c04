"""One device as the building management's event bus shows it."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass, field

from exporters.facility.driver import Polled, PollError, Reason, Wiring
from exporters.facility.mqtt.broker import Broker
from exporters.facility.mqtt.view import STALE_AFTER, View

_FIRST_VALUES = 2.0
"""Seconds that a poll waits for the first value: they are not retained."""


@dataclass(slots=True)
class Shared:
    """What all MQTT drivers of a process share: brokers by address and name of the credentials."""

    brokers: dict[tuple[str, str], Broker] = field(default_factory=dict)


class MqttDriver:
    """Tells what the bus knows. Asking costs nothing: everything has come before it is asked for."""

    def __init__(self, wiring: Wiring) -> None:
        endpoint = wiring.endpoint
        found = wiring.shared.setdefault("mqtt", Shared())
        assert isinstance(found, Shared)  # noqa: S101 - the key is this protocol's own
        self._shared, self._key = found, (endpoint.address, endpoint.credentials)
        if self._key not in found.brokers:
            found.brokers[self._key] = Broker(endpoint.address, wiring.secret)
        self._broker = found.brokers[self._key]
        self._broker.users += 1
        self._view = View(wiring.device, endpoint.object)
        self._broker.join(self._view)
        self._clock, self._patience = wiring.clock, wiring.deadline * 0.4
        self._waited = self._closed = False

    async def poll(self) -> Polled:
        """All values that are known and fresh."""
        await self._broker.ready(self._patience)
        if not self._waited:
            self._waited = True
            with suppress(TimeoutError):
                await asyncio.wait_for(self._view.arrived.wait(), min(self._patience, _FIRST_VALUES))
        polled = self._answer()
        for reason, count in self._view.dropped.items():
            polled.drop(reason, count)
        self._view.dropped.clear()
        if polled.readings:
            return polled
        name = " or ".join(sorted({*self._view.objects, *self._view.racks}))
        if not self._view.mapped:
            what = (
                f"{len(self._view)} points, none of a kind that is known" if len(self._view) else "no point"
            )
            raise PollError(Reason.EMPTY, f"the bus has {what} of {name!r}")
        what = f"{self._view.mapped} points, none with a good value of the last {STALE_AFTER:g} s"
        raise PollError(Reason.STALE, f"{name!r} has {what}")

    def pushed(self) -> Polled | None:
        """What a poll would tell, if a value has changed since the last answer; else None."""
        if not self._view.changed:
            return None
        polled = self._answer()
        polled.dropped = {}  # the next poll counts them
        return polled if polled.readings else None

    async def close(self) -> None:
        """Leave; the last device of a broker ends the connection."""
        if self._closed:
            return
        self._closed = True
        if self._broker.users <= 1 and self._shared.brokers.get(self._key) is self._broker:
            del self._shared.brokers[self._key]
        await self._broker.leave(self._view)

    def _answer(self) -> Polled:
        self._view.changed = False
        polled = self._view.answer(self._clock())
        polled.identity = ("dsx-bms", "", "", "", "")
        return polled
