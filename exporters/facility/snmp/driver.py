"""Polls one SNMP agent: finds out what it is and what it has, then asks for just that."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from exporters.facility.driver import Polled, PollError, Reason, Secret, Wiring
from exporters.facility.snmp.address import parse_address
from exporters.facility.snmp.client import BATCH, Client, GufoClient, Key, Value
from exporters.facility.snmp.decode import decode
from exporters.facility.snmp.library import shared_library
from exporters.facility.snmp.plan import Plan, columns_of, make_plan
from exporters.facility.snmp.profile import Profile
from exporters.facility.snmp.users import version_of
from exporters.facility.snmp.values import number, text

LOOK_AGAIN = 600.0
"""Seconds after which the device is looked over again: which rows and columns it has."""
AFTER_SURPRISE = 60.0
"""The same if an answer lacked something, or the agent has started anew."""
MOST_VALUES = 4096
"""Values of one column, and OIDs of one poll."""
SYS_DESCR, SYS_OBJECT_ID, UP_TIME = "1.3.6.1.2.1.1.1.0", "1.3.6.1.2.1.1.2.0", "1.3.6.1.2.1.1.3.0"
NO_PROFILE = "no SNMP profile fits: name one in the inventory or add one (docs/adding-a-device.md)"

Connect = Callable[[str, int, Secret, str, float], Awaitable[Client]]


class _Survey:
    """Looking a device over, over as many polls as it takes."""

    def __init__(self) -> None:
        self.profiles: list[Profile] = []
        self.identity: tuple[str, str, str, str, str] = ("", "", "", "", "")
        self.columns: dict[str, dict[Key, Value]] = {}
        self.walks: list[str] = []


class SnmpDriver:
    """One agent. What it has is remembered, so that a steady poll is a few requests."""

    def __init__(self, wiring: Wiring, connect: Connect = GufoClient.connect) -> None:
        endpoint = wiring.endpoint
        self._wiring, self._connect = wiring, connect
        self._host, self._port = parse_address(endpoint.address)
        self._library = shared_library(wiring.options, wiring.shared)
        self._named = self._library.named(endpoint.profile)
        self._client: Client | None = None
        self._secret: Secret | None = None
        self._plan: Plan | None = None
        self._identity = ("", "", "", "", "")
        self._survey: _Survey | None = None
        self._looked = self._due = 0.0
        self._up_time = 0.0

    async def poll(self) -> Polled:
        secret = self._wiring.secret()
        if secret != self._secret:
            self._let_go()
            self._secret = secret
        fresh = self._client is None
        try:
            return await self._poll(secret)
        except PollError as error:
            self._let_go()
            if error.reason is not Reason.AUTH or fresh:
                raise
        except BaseException:
            self._let_go()
            raise
        # An agent of version 3 that has started anew refuses the old session: meet it again.
        try:
            return await self._poll(secret)
        except BaseException:
            self._let_go()
            raise

    async def close(self) -> None:
        self._let_go()

    def _let_go(self) -> None:
        if self._client is not None:
            self._client.close()
            self._client = None

    async def _poll(self, secret: Secret) -> Polled:
        if self._client is None:
            self._client = await self._open(secret)
        client, now = self._client, self._wiring.clock()
        if self._plan is None or now >= self._due:
            share = 0.25 if self._plan else 0.6
            await self._look_over(client, asyncio.get_running_loop().time() + share * self._wiring.deadline)
        plan = self._plan
        if plan is None:
            raise PollError(Reason.TIMEOUT, "is slow: still finding out what it has")
        answers = await client.get([*plan.oids, UP_TIME])
        polled = Polled(identity=self._identity)
        missing = decode(plan, answers, polled)
        up_time = number(answers.get(UP_TIME)) or 0.0
        if missing or up_time < self._up_time:
            self._due = min(self._due, max(now, self._looked + AFTER_SURPRISE))
        self._up_time = up_time
        if not polled.readings:
            self._due = min(self._due, self._looked + AFTER_SURPRISE)
            raise PollError(Reason.EMPTY, f"has nothing of what profile {self._identity[0]} reads")
        return polled

    async def _open(self, secret: Secret) -> Client:
        context = self._wiring.endpoint.context
        if context and version_of(secret) == "3":
            raise PollError(Reason.PROFILE, "contexts of SNMP version 3 are not supported: remove `context`")
        timeout = min(3.0, 0.4 * self._wiring.deadline)
        return await self._connect(self._host, self._port, secret, context or secret.password, timeout)

    async def _look_over(self, client: Client, until: float) -> None:
        """Go on with the survey until it is done or the time is up."""
        loop = asyncio.get_running_loop()
        if self._survey is None:
            survey = await self._identify(client)
            self._survey = survey
        survey = self._survey
        while survey.walks:
            if loop.time() > until:
                return
            survey.columns[survey.walks[0]] = await client.walk(survey.walks[0], MOST_VALUES)
            survey.walks.pop(0)
        plan = make_plan(survey.profiles, survey.columns, self._wiring.device.side)
        if len(plan.oids) > MOST_VALUES:
            raise PollError(Reason.TOO_LARGE, f"has {len(plan.oids)} values; allowed: {MOST_VALUES}")
        self._plan, self._identity, self._survey = plan, survey.identity, None
        self._looked = self._wiring.clock()
        self._due = self._looked + LOOK_AGAIN

    async def _identify(self, client: Client) -> _Survey:
        system = await client.get([SYS_DESCR, SYS_OBJECT_ID])
        survey = _Survey()
        survey.profiles = self._named or await self._recognise(client, system)
        if not survey.profiles:
            what = text(system.get(SYS_DESCR)) or "no description"
            raise PollError(
                Reason.PROFILE, f"{NO_PROFILE}; it says: {what} ({text(system.get(SYS_OBJECT_ID))})"
            )
        survey.walks, scalars = columns_of(survey.profiles)
        wanted = {oid for profile in survey.profiles for _, oids in profile.identity for oid in oids}
        answers = await client.get([*scalars, *sorted(wanted - set(scalars))])
        for oid in scalars:
            if oid in answers:
                survey.columns[oid] = {(): answers[oid]}
        survey.identity = _identity(survey.profiles, answers)
        return survey

    async def _recognise(self, client: Client, system: dict[str, Value]) -> list[Profile]:
        """The profiles made for this device, or else those of the standard MIBs that it has."""
        object_id, description = text(system.get(SYS_OBJECT_ID)), text(system.get(SYS_DESCR))
        made_for = self._library.by_system(object_id, description)
        found = [
            one for one in made_for if not one.detect.answers or await self._has(client, one.detect.answers)
        ]
        if found:
            return found
        return [one for one in self._library.general() if await self._has(client, one.detect.answers or "")]

    async def _has(self, client: Client, oid: str) -> bool:
        try:
            return bool(await client.walk(oid, BATCH))
        except PollError as error:
            if error.reason is Reason.TOO_LARGE:
                return True
            raise


def _identity(profiles: list[Profile], answers: dict[str, Value]) -> tuple[str, str, str, str, str]:
    """Profile, vendor, model, firmware and serial, as far as the device or its profiles know them."""
    said = []
    for name in ("vendor", "model", "firmware", "serial"):
        oids = [oid for profile in profiles for oid in getattr(profile.identity, name)]
        said.append(next((found for oid in oids if (found := text(answers.get(oid)))), ""))
    vendor = said[0] or next((profile.vendor for profile in profiles if profile.vendor), "")
    return ",".join(profile.name for profile in profiles), vendor, said[1], said[2], said[3]
