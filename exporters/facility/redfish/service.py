"""One Redfish service: how it lets us in, and what all drivers of its devices share."""

from __future__ import annotations

import asyncio
import base64
import contextlib
from collections.abc import Callable, Mapping

from exporters.facility.driver import PollError, Reason, Secret
from exporters.facility.redfish.jsons import BadJsonError, at, link, mapping, parse, text
from exporters.facility.redfish.links import local
from exporters.facility.redfish.model import Body
from exporters.facility.redfish.web import Answer, PageError, Web

ROOT = "/redfish/v1/"
EXPAND = "?$expand=.($levels=1)"
_SESSIONS = "/redfish/v1/SessionService/Sessions"
_IN_FLIGHT = 8
"""Requests under way to one service, however many devices it speaks for."""
_KEEP = 600.0
"""Seconds for which what hardly changes (the root, lists) is not asked again."""
_MOST_KNOWN = 512
_EXPAND_AGAIN = 3600.0
_REFUSED_FOR = 60.0
"""Seconds without another attempt after credentials were refused: accounts get locked."""
_SESSION_AGAIN = 600.0
"""Seconds with basic authentication after no session was to be had."""
_SECONDS_TO_LEAVE = 1.5
_REDIRECTS = frozenset({301, 302, 303, 307, 308})


class Service:
    """Belongs to one event loop."""

    def __init__(self, web: Web, origin: str, secret: Callable[[], Secret]) -> None:
        self.web, self.origin = web, origin
        self._secret = secret
        self._turns = asyncio.Semaphore(_IN_FLIGHT)
        self._login = asyncio.Lock()
        self._entering: asyncio.Task[None] | None = None
        self._token = self._session = ""
        self._no_session_until = self._refused_until = float("-inf")
        self._refused: Secret | None = None
        self._known: dict[str, tuple[float, Body]] = {}
        self._asking: dict[str, asyncio.Lock] = {}
        self._expands: bool | None = None
        self._judged = float("-inf")

    async def root(self) -> Body:
        """The service root. Raises PollError."""
        return await self.remembered(ROOT, 10.0)

    async def remembered(self, uri: str, seconds: float) -> Body:
        """What stands there, asked again after some minutes. Raises PollError."""
        loop = asyncio.get_running_loop()
        async with self._asking.setdefault(uri, asyncio.Lock()):
            asked, body = self._known.get(uri, (float("-inf"), {}))
            if loop.time() - asked > _KEEP:
                body = await self.get(uri, seconds)
                if len(self._known) >= _MOST_KNOWN:
                    self._known.clear()
                self._known[uri] = (loop.time(), body)
            return body

    def forget(self) -> None:
        """It may be another service than it was."""
        self._known.clear()
        self._expands = None

    async def get(self, uri: str, seconds: float) -> Body:
        """A resource. Raises PollError; PageError where only this one cannot be had."""
        return (await self.fetch(uri, seconds))[0]

    async def fetch(self, uri: str, seconds: float) -> tuple[Body, Mapping[str, str]]:
        """A resource and the headers of the answer."""
        try:
            async with asyncio.timeout(seconds):  # waiting for one's turn counts, too
                answer = await self._answer(uri, seconds)
        except TimeoutError:
            raise PageError(Reason.TIMEOUT, f"no whole answer within {seconds:.1f} s") from None
        if not 200 <= answer.status < 300:
            raise refusal(answer.status)
        if not answer.is_json:
            raise PageError(Reason.MALFORMED, "answers with something else than JSON")
        try:
            body = parse(answer.body)
        except BadJsonError as error:
            raise PageError(Reason.MALFORMED, f"its answer is {error}") from None
        if "error" in body and "@odata.id" not in body:
            code = text(at(body, "error/code")) or "no code"
            raise PageError(Reason.PROTOCOL, f"answers with an error: {code}")
        return body, answer.headers

    async def expanded(self, uri: str, seconds: float) -> tuple[Body, Mapping[str, str], bool]:
        """A collection with headers, and whether its members' properties were asked for: if the service says
        that it can, and has not shown that it cannot."""
        if not await self._may_expand():
            return *await self.fetch(uri, seconds), False
        try:
            return *await self.fetch(uri + EXPAND, seconds), True
        except PageError as error:
            if error.status not in (400, 404, 405, 414, 500, 501):
                raise
            found = await self.fetch(uri, seconds)
            self.judge(False)  # it was the question, not the collection
            return *found, False

    def judge(self, expands: bool) -> None:
        """What a collection with members has shown."""
        self._expands, self._judged = expands, asyncio.get_running_loop().time()

    async def _may_expand(self) -> bool:
        if asyncio.get_running_loop().time() - self._judged > _EXPAND_AGAIN:
            self._expands = None
        if self._expands is None:
            ways = mapping(at(await self.root(), "ProtocolFeaturesSupported/ExpandQuery"))
            return ways.get("NoLinks") is True or ways.get("ExpandAll") is True
        return self._expands

    async def _answer(self, uri: str, seconds: float) -> Answer:
        async with self._turns:
            secret = self._secret()
            self._check(secret)
            used = await self._enter(secret, seconds)
            answer = await self._ask(uri, secret, seconds)
            if answer.status == 401 and used:
                if used == self._token:
                    self._token = ""  # the session is over: devices end idle ones
                await self._enter(secret, seconds)
                answer = await self._ask(uri, secret, seconds)
            if answer.status == 401:
                self._refuse(secret)
                raise PollError(Reason.AUTH, "does not accept our credentials (status 401)")
            if answer.status in _REDIRECTS:
                answer = await self._redirected(answer, secret, seconds)
            return answer

    async def _ask(self, uri: str, secret: Secret, seconds: float) -> Answer:
        headers = {"Accept": "application/json", **self.authority(secret)}
        return await self.web.ask("GET", self.origin + uri, headers, secret, seconds)

    async def _redirected(self, answer: Answer, secret: Secret, seconds: float) -> Answer:
        """Once, and only within the service: elsewhere nobody must see our credentials."""
        location = answer.headers.get("Location", "")
        target = local(location, self.origin)
        if not target:
            raise PageError(Reason.HTTP, f"sends us elsewhere (status {answer.status})", answer.status)
        if location.endswith("/"):
            target += "/"
        return await self._ask(target, secret, seconds)

    def authority(self, secret: Secret) -> dict[str, str]:
        """What lets us in now."""
        if secret.bearer:
            return {"Authorization": f"Bearer {secret.bearer}"}
        if self._token:
            return {"X-Auth-Token": self._token}
        if secret.username:
            pair = base64.b64encode(f"{secret.username}:{secret.password}".encode()).decode()
            return {"Authorization": f"Basic {pair}"}
        return {}

    @property
    def secret(self) -> Secret:
        return self._secret()

    async def _enter(self, secret: Secret, seconds: float) -> str:
        """The token of our session; empty where there is none. One session, whoever asks first."""
        loop = asyncio.get_running_loop()
        if secret.bearer or not secret.username or not self._wants_session:
            return self._token
        async with self._login:
            if self._wants_session:
                # A session that is being made is not left behind when the poll is cancelled.
                if self._entering is None or self._entering.done():
                    self._entering = loop.create_task(self._create(secret, seconds))
                    self._entering.add_done_callback(_retrieved)
                await asyncio.shield(self._entering)
        self._check(secret)
        return self._token

    @property
    def _wants_session(self) -> bool:
        return not self._token and asyncio.get_running_loop().time() >= self._no_session_until

    async def _create(self, secret: Secret, seconds: float) -> None:
        again = asyncio.get_running_loop().time() + _SESSION_AGAIN
        headers = {"Accept": "application/json"}
        send = {"UserName": secret.username, "Password": secret.password}
        root = await self.web.ask("GET", self.origin + ROOT, headers, secret, seconds)
        sessions = _SESSIONS
        if root.status == 200 and root.is_json:
            with contextlib.suppress(BadJsonError):
                named = link(at(parse(root.body), "Links/Sessions"))
                if not named:
                    self._no_session_until = again
                    return
                sessions = local(named, self.origin) or _SESSIONS
        answer = await self.web.ask("POST", self.origin + sessions, headers, secret, seconds, send)
        if answer.status in (401, 403):
            self._refuse(secret)
            return
        token = answer.headers.get("X-Auth-Token", "")
        if 200 <= answer.status < 300 and token:
            self._token = token
            self._session = local(answer.headers.get("Location", ""), self.origin)
        else:
            self._no_session_until = again  # none, or none left: basic authentication may still do

    def _refuse(self, secret: Secret) -> None:
        self._refused, self._refused_until = secret, asyncio.get_running_loop().time() + _REFUSED_FOR

    def _check(self, secret: Secret) -> None:
        if self._refused == secret and asyncio.get_running_loop().time() < self._refused_until:
            raise PollError(Reason.AUTH, "does not accept our credentials; next attempt within a minute")

    async def leave(self) -> None:
        """End our session. Raises nothing."""
        entering, self._entering = self._entering, None
        with contextlib.suppress(Exception, asyncio.CancelledError):
            if entering is not None and not entering.done():
                await asyncio.wait({entering}, timeout=_SECONDS_TO_LEAVE / 2)
                entering.cancel()
            if self._token and self._session:
                secret = self._secret()
                url, headers = self.origin + self._session, self.authority(secret)
                self._token = self._session = ""
                await self.web.ask("DELETE", url, headers, secret, _SECONDS_TO_LEAVE / 2)


def _retrieved(task: asyncio.Task[None]) -> None:
    """Nobody waits for it where the poll was cancelled."""
    if not task.cancelled():
        task.exception()


def refusal(status: int) -> PageError:
    """What a status that is no success means."""
    if status in (401, 403):
        return PageError(Reason.AUTH, f"our account may not read it (status {status})", status)
    if status in (405, 501):
        return PageError(Reason.PROTOCOL, f"cannot do that (status {status})", status)
    return PageError(Reason.HTTP, f"answers with status {status}", status)
