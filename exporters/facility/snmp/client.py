"""Asking an SNMP agent: the one place that knows the client library (gufo_snmp)."""

from __future__ import annotations

import asyncio
import errno
import socket
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol, TypeVar

from gufo.snmp import SnmpAuthError, SnmpError

from exporters.facility.driver import PollError, Reason, Secret
from exporters.facility.snmp.session import NO_SUCH_NAME, NOT_AUTHORISED, TOO_BIG, Session, StatusError
from exporters.facility.snmp.sound import UnsoundError
from exporters.facility.snmp.users import VERSIONS, user_of, version_of

Value = int | float | str | bytes | None
"""A number, an object identifier (str) or octets, as the agent sent it."""
Key = tuple[int, ...]

BATCH = 32
"""Values per request: an answer then fits into the 1,472 bytes that every agent can send."""
_REPETITIONS = (25, 5)
"""Rows per request of a walk; the second where an answer of the first is too large to be read."""
_REFRESH_AFTER = 100.0
"""Version 3: seconds of silence after which the agent's clock is asked for again (its window is 150 s)."""
T = TypeVar("T")


class Client(Protocol):
    """What the driver needs of a client library. All of it raises PollError and nothing else."""

    async def get(self, oids: Sequence[str]) -> dict[str, Value]:
        """Values by OID; what the agent does not have is left out."""

    async def walk(self, oid: str, limit: int) -> dict[Key, Value]:
        """Everything below an OID, by what follows it. More than `limit` values are an error."""

    def close(self) -> None:
        """Let go of the socket."""


class GufoClient:
    """A socket to one agent. Not to be used again after an error: late answers may lie in it."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._batch = BATCH
        self._proven = False
        self._heard = time.monotonic()

    @classmethod
    async def connect(
        cls, host: str, port: int, secret: Secret, community: str, timeout: float
    ) -> GufoClient:
        """Resolve the name, open a socket, and with version 3 get to know the engine."""
        address = await _resolve(host, port)
        version = version_of(secret)
        if version not in VERSIONS:
            raise PollError(Reason.AUTH, f"SNMP version is {version!r}; allowed: {', '.join(VERSIONS)}")
        user = user_of(secret) if version == "3" else None
        try:
            session = Session(address, port, timeout, VERSIONS[version], community or "public", user)
        except (OSError, ValueError, SnmpError) as error:
            raise PollError(Reason.UNREACHABLE, f"no socket to {host}: {error}") from None
        client = cls(session)
        try:
            await client._greet()
        except BaseException:
            client.close()
            raise
        return client

    async def _greet(self) -> None:
        """Version 3: learn the agent's engine and clock. Nothing is asked with the others."""
        try:
            await self._answered(self._session.refresh)
        except StatusError as refused:
            raise refused.told() from None
        self._proven = False

    def close(self) -> None:
        self._session.tap.close()

    async def get(self, oids: Sequence[str]) -> dict[str, Value]:
        if time.monotonic() - self._heard > _REFRESH_AFTER:
            await self._greet()
        found: dict[str, Value] = {}
        waiting = [oids[at : at + self._batch] for at in range(0, len(oids), self._batch)]
        refused = 0
        while waiting:
            batch = waiting.pop()
            answer = await self._get_once(batch)
            if answer or len(batch) == 1:
                found.update(answer)
                continue
            # Too large for one answer, or (version 1) one of them is missing: ask for half of them.
            refused += 1
            if refused > len(oids):
                raise PollError(Reason.PROTOCOL, "refuses every request")
            half = len(batch) // 2
            waiting += [batch[:half], batch[half:]]
        return found

    async def _get_once(self, batch: Sequence[str]) -> dict[str, Value]:
        try:
            return dict(await self._answered(lambda: self._session.get_many(batch)))
        except StatusError as refused:
            alone = len(batch) == 1
            if refused.status != NOT_AUTHORISED and (not alone or refused.status == NO_SUCH_NAME):
                if refused.status == TOO_BIG:
                    self._batch = max(1, min(self._batch, len(batch) // 2))
                return {}
            raise refused.told() from None

    async def walk(self, oid: str, limit: int) -> dict[Key, Value]:
        for repetitions in _REPETITIONS:
            try:
                return await self._answered(lambda: self._walk(oid, limit, repetitions))  # noqa: B023 - awaited here
            except StatusError as refused:
                if refused.status == NO_SUCH_NAME:  # the end, as version 1 says it
                    return {}
                if repetitions == _REPETITIONS[-1] or refused.status != TOO_BIG:
                    raise refused.told() from None
            except PollError as error:
                if error.reason is not Reason.MALFORMED or repetitions == _REPETITIONS[-1]:
                    raise
        raise AssertionError("unreachable")

    async def _walk(self, oid: str, limit: int, repetitions: int) -> dict[Key, Value]:
        found: dict[Key, Value] = {}
        last: Key = ()
        below = oid + "."
        bulk = self._session.bulk
        rows = self._session.getbulk(oid, repetitions) if bulk else self._session.getnext(oid)
        async for name, value in rows:
            if not name.startswith(below):
                break
            key = tuple(map(int, name[len(below) :].split(".")))
            if key <= last:
                raise PollError(Reason.MALFORMED, f"its OIDs do not rise below {oid}: a walk would never end")
            if len(found) == limit:
                raise PollError(Reason.TOO_LARGE, f"more than {limit} values below {oid}")
            found[key] = value
            last = key
        return found

    async def _answered(self, ask: Callable[[], Awaitable[T]]) -> T:
        """Ask, and once more if no answer comes: datagrams get lost. What goes wrong becomes a PollError."""
        for attempt in (1, 2):
            try:
                answer = await ask()
            except TimeoutError as error:
                if "refused" in str(error.__cause__):
                    raise PollError(Reason.REFUSED, "nothing listens on this port") from None
                if attempt == 2:
                    raise self._silence() from None
            except OSError as error:
                raise _network_error(error) from None
            except UnsoundError as error:
                raise PollError(Reason.MALFORMED, f"answers with {error}") from None
            except SnmpAuthError as error:
                raise PollError(Reason.AUTH, str(error)) from None
            except (SnmpError, ValueError, RuntimeError, OverflowError) as error:
                raise PollError(Reason.MALFORMED, f"its answer cannot be read ({error})") from None
            except BaseException as error:
                if type(error).__name__ != "PanicException":
                    raise
                raise PollError(Reason.MALFORMED, "its answer cannot be read") from None
            else:
                self._heard, self._proven = time.monotonic(), True
                return answer
        raise AssertionError("unreachable")

    def _silence(self) -> PollError:
        if self._session.encrypts and self._session.heard and not self._proven:
            return PollError(
                Reason.AUTH, "answers nothing that is encrypted: wrong privacy password or protocol?"
            )
        return PollError(Reason.TIMEOUT, "no answer (nor do agents answer a wrong community)")


async def _resolve(host: str, port: int) -> str:
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_DGRAM)
    except OSError as error:
        raise PollError(Reason.UNREACHABLE, f"{host} has no address ({error.strerror or error})") from None
    except UnicodeError:
        raise PollError(Reason.UNREACHABLE, f"{host} is no host name") from None
    if not found:
        raise PollError(Reason.UNREACHABLE, f"{host} has no address")
    return str(found[0][4][0])


def _network_error(error: OSError) -> PollError:
    if error.errno == errno.ECONNREFUSED:
        return PollError(Reason.REFUSED, "nothing listens on this port")
    return PollError(Reason.UNREACHABLE, error.strerror or str(error) or "no way to it")
