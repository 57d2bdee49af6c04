"""The connection to one broker, shared by all devices behind it, kept by one task. It only listens.

The only file that knows aiomqtt.
"""

from __future__ import annotations

import asyncio
import logging
import random
import socket
import ssl
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any, cast
from urllib.parse import urlsplit

from aiomqtt import Client, Message, MqttCodeError, MqttError
from aiomqtt.exceptions import MqttConnectError
from paho.mqtt.reasoncodes import ReasonCode

from exporters.facility.driver import PollError, Reason, Secret
from exporters.facility.mqtt.point import METADATA_TOPICS, VALUE_TOPICS
from exporters.facility.mqtt.registry import Registry
from exporters.facility.mqtt.view import View

_ANSWER = 5.0
"""Seconds that the broker may take to answer."""
_FIRST_WAIT, _LONGEST_WAIT = 0.25, 30.0
_SETTLE = 0.2
"""Seconds within which devices that join are counted as one."""
_log = logging.getLogger(__name__)


class Broker:
    """Runs while somebody uses it."""

    def __init__(self, address: str, secret: Callable[[], Secret]) -> None:
        self.host, self.port, self.tls = parse_address(address)
        self.registry = Registry()
        self.users = 0
        self._secret = secret
        self._task: asyncio.Task[None] | None = None
        self._connected = asyncio.Event()
        self._told = asyncio.Event()
        """Set once an attempt has succeeded or failed."""
        self._again = asyncio.Event()
        self._failure: PollError | None = None

    def join(self, view: View) -> None:
        """A device wants its points. The retained metadata are asked for again."""
        self.registry.claim(view)
        self._again.set()

    async def leave(self, view: View) -> None:
        """A device goes; with the last one the connection ends."""
        self.registry.release(view)
        self.users -= 1
        if self.users <= 0 and self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError, TimeoutError):
                await asyncio.wait_for(asyncio.gather(self._task, return_exceptions=True), 1.5)
            self._task = None

    async def ready(self, patience: float) -> None:
        """Returns once it is connected and listens. PollError says why not."""
        if self._task is None or self._task.done():
            self._told.clear()
            self._task = asyncio.create_task(self._run(), name=f"mqtt {self.host}:{self.port}")
        if self._connected.is_set():
            return
        with suppress(TimeoutError):
            await asyncio.wait_for(self._told.wait(), patience)
        if self._connected.is_set():
            return
        failure = self._failure or PollError(Reason.TIMEOUT, "no connection to the broker yet")
        raise PollError(failure.reason, str(failure))

    async def _run(self) -> None:
        """Connect, listen, and connect again, for as long as there are users."""
        wait = _FIRST_WAIT
        while True:
            try:
                async with await self._client() as client:
                    await self._listen(client)
            except (MqttError, OSError, ValueError, PollError) as error:
                self._failure = explain(error)
            if self._connected.is_set():
                wait = _FIRST_WAIT
            self._connected.clear()
            self._told.set()
            _log.debug("%s:%s: %s; again in %.1f s", self.host, self.port, self._failure, wait)
            await asyncio.sleep(wait * random.uniform(0.5, 1.0))  # noqa: S311 - so that many do not come at once
            wait = min(2 * wait, _LONGEST_WAIT)

    async def _client(self) -> Client:
        secret = self._secret()
        context = await asyncio.to_thread(_context, secret) if self.tls else None
        inbox = partial(_Inbox, self._arrived)
        return Client(
            self.host,
            self.port,
            username=secret.username or None,
            password=secret.password or None,
            identifier=f"gigawatch-{random.randrange(16**8):08x}",  # noqa: S311 - a name, no secret
            queue_type=cast("type[asyncio.Queue[Message]]", inbox),
            timeout=_ANSWER,
            keepalive=20,
            tls_context=context,
        )

    async def _listen(self, client: Client) -> None:
        await self._subscribe(client, METADATA_TOPICS)
        await self._subscribe(client, VALUE_TOPICS)
        self._again.clear()
        self._failure = None
        self._connected.set()
        self._told.set()
        ended = asyncio.ensure_future(anext(client.messages))
        try:
            while True:
                again = asyncio.ensure_future(self._again.wait())
                try:
                    await asyncio.wait((ended, again), return_when=asyncio.FIRST_COMPLETED)
                finally:
                    again.cancel()
                if ended.done():
                    ended.result()
                    return
                await asyncio.sleep(_SETTLE)
                self._again.clear()
                await self._subscribe(client, METADATA_TOPICS)
        finally:
            ended.cancel()
            await asyncio.gather(ended, return_exceptions=True)

    async def _subscribe(self, client: Client, topics: str) -> None:
        # QoS 0, although some points are published with 1: brokers queue only so many for a client (mosquitto
        # 1,000) and drop the rest, and a site has more retained metadata than that.
        for granted in await client.subscribe(topics, qos=0):
            code = granted.value if isinstance(granted, ReasonCode) else granted
            if code >= 128:
                raise PollError(Reason.AUTH, f"the broker does not let us subscribe to {topics}")

    def _arrived(self, message: Message) -> None:
        if isinstance(message.payload, bytes | bytearray):
            self.registry.take(message.topic.value, bytes(message.payload))


class _Inbox(asyncio.Queue[Message]):
    """Keeps nothing: a message is dealt with as it is read, so a flood waits in the socket, not in memory."""

    def __init__(self, sink: Callable[[Message], None], maxsize: int = 0) -> None:
        super().__init__(maxsize)
        self._sink = sink

    def put_nowait(self, item: Message) -> None:
        self._sink(item)


class _NamedContext(ssl.SSLContext):
    """Expects a name in the certificate that is not the one connected to."""

    expected = ""

    def wrap_socket(self, *args: Any, **more: Any) -> ssl.SSLSocket:
        if self.expected:
            more["server_hostname"] = self.expected
        return super().wrap_socket(*args, **more)


def _context(secret: Secret) -> ssl.SSLContext:
    context = _NamedContext(ssl.PROTOCOL_TLS_CLIENT)
    context.expected = secret.server_name
    if secret.ca_file:
        context.load_verify_locations(secret.ca_file)
    else:
        context.load_default_certs()
    if secret.cert_file:
        context.load_cert_chain(secret.cert_file, secret.key_file or None)
    if secret.insecure:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def parse_address(text: str) -> tuple[str, int, bool]:
    """Host, port and whether with TLS, of mqtt[s]://HOST[:PORT]. PollError(PROFILE) says what is wrong."""
    try:
        parts = urlsplit(text if "//" in text else f"mqtt://{text}")
        host, port = parts.hostname, parts.port
    except ValueError:
        parts, host, port = urlsplit(""), None, None
    if parts.scheme not in ("mqtt", "mqtts") or not host or parts.path.strip("/") or parts.username:
        raise PollError(Reason.PROFILE, "address is no mqtt://HOST[:PORT] or mqtts://HOST[:PORT]")
    tls = parts.scheme == "mqtts"
    return host, port or (8883 if tls else 1883), tls


def explain(error: Exception) -> PollError:
    """Why there is no connection."""
    if isinstance(error, PollError):
        return error
    cause = error.__context__ if isinstance(error.__context__, OSError) else error
    text = " ".join(str(cause).split())[:200]
    if isinstance(error, MqttConnectError):
        code = error.rc.value if isinstance(error.rc, ReasonCode) else error.rc
        if code in (4, 5, 134, 135):
            return PollError(Reason.AUTH, f"the broker does not let us in ({error.rc})")
        return PollError(Reason.PROTOCOL, f"the broker refuses us ({error.rc})")
    if isinstance(cause, ssl.SSLError):
        return PollError(Reason.TLS, text)
    if isinstance(cause, ConnectionRefusedError):
        return PollError(Reason.REFUSED, "no broker listens there")
    if isinstance(cause, socket.gaierror):
        return PollError(Reason.UNREACHABLE, f"name does not resolve ({cause.strerror})")
    if isinstance(cause, TimeoutError) or "timed out" in text:
        return PollError(Reason.TIMEOUT, "the broker does not answer")
    if isinstance(cause, FileNotFoundError | PermissionError | ValueError):
        return PollError(Reason.TLS, text)
    if isinstance(cause, OSError):
        return PollError(Reason.UNREACHABLE, text)
    if isinstance(error, MqttCodeError):
        return PollError(Reason.MALFORMED, f"connection broken ({text})")
    return PollError(Reason.REFUSED, f"connection to the broker lost ({text})")
