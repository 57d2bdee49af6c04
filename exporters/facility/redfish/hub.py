"""What the drivers of one event loop share: connections, and one service for each address and credentials."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass, field

from exporters.facility.driver import Wiring
from exporters.facility.redfish.service import Service
from exporters.facility.redfish.stream import Stream
from exporters.facility.redfish.web import Web

_SHARED = "redfish"
Key = tuple[str, str]


@dataclass(slots=True)
class Place:
    """A service, and how many drivers use it."""

    service: Service
    stream: Stream
    users: int = 0


@dataclass(slots=True)
class Hub:
    """Belongs to one event loop."""

    web: Web
    places: dict[Key, Place] = field(default_factory=dict)

    def enter(self, wiring: Wiring, origin: str) -> Place:
        """The service of an endpoint. Each call needs a `leave`."""
        key = (origin, wiring.endpoint.credentials)
        place = self.places.get(key)
        if place is None:
            service = Service(self.web, origin, wiring.secret)
            place = self.places[key] = Place(service, Stream(service))
        place.users += 1
        return place

    async def leave(self, place: Place) -> None:
        """The last one ends the session, and the last one of all closes the connections."""
        place.users -= 1
        if place.users > 0:
            return
        for key in [key for key, other in self.places.items() if other is place]:
            del self.places[key]
        with contextlib.suppress(Exception):
            await place.service.leave()
        if not self.places:
            await self.web.close()


def hub(wiring: Wiring) -> Hub:
    """The hub of the running event loop."""
    hubs = wiring.shared.setdefault(_SHARED, {})
    assert isinstance(hubs, dict)  # noqa: S101 - the name is ours alone
    loop = asyncio.get_running_loop()
    found = hubs.get(loop)
    if not isinstance(found, Hub) or found.web.session.closed:
        for old in [other for other in hubs if other.is_closed()]:
            del hubs[old]
        found = hubs[loop] = Hub(Web())
    return found
