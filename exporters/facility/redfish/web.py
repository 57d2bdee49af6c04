"""One HTTP answer: whole, not too large, within its time. What goes wrong has a reason."""

from __future__ import annotations

import asyncio
import os
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass

import aiohttp
from yarl import URL

from exporters.facility.driver import PollError, Reason, Secret
from exporters.inference.access import Access, AccessError, Keyring

LARGEST_BODY = 4 << 20
"""Bytes of an answer."""
_SECONDS_TO_CONNECT = 5.0


class PageError(PollError):
    """One resource cannot be had; others may."""

    def __init__(self, reason: Reason, message: str, status: int = 0) -> None:
        super().__init__(reason, message)
        self.status = status


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole answer."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    """Only of a success."""

    @property
    def is_json(self) -> bool:
        kind = self.headers.get("Content-Type", "application/json").partition(";")[0].strip().lower()
        return kind.endswith(("/json", "+json"))


class Web:
    """Connections to all services. Belongs to one event loop."""

    def __init__(self) -> None:
        self._keys = Keyring()
        self.session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=75.0, ttl_dns_cache=60),
            cookie_jar=aiohttp.DummyCookieJar(),
            headers={"User-Agent": "gigawatch", "OData-Version": "4.0"},
            # Not asked for: a few packed bytes may stand for gigabytes.
            skip_auto_headers=("Accept-Encoding",),
            auto_decompress=False,
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=_SECONDS_TO_CONNECT),
        )

    async def close(self) -> None:
        await self.session.close()

    async def ask(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        secret: Secret,
        seconds: float,
        send: Mapping[str, str] | None = None,
    ) -> Answer:
        """The answer, whatever its status. Raises PollError; PageError where others may fare better."""
        try:
            async with asyncio.timeout(seconds), self.open(method, url, headers, secret, send) as response:
                status = response.status
                if not 200 <= status < 300:
                    return Answer(status, response.headers, b"")
                return Answer(status, response.headers, await _body(response))
        except TimeoutError:
            raise PageError(Reason.TIMEOUT, f"no whole answer within {seconds:.1f} s") from None

    @asynccontextmanager
    async def open(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        secret: Secret,
        send: Mapping[str, str] | None = None,
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """An answer to be read piece by piece. Raises PollError, and TimeoutError."""
        secure = url.startswith("https:")
        try:
            async with self.session.request(
                method,
                URL(url, encoded=True),
                headers=headers,
                json=send,
                allow_redirects=False,
                ssl=self._context(secret) if secure else True,
                server_hostname=(secret.server_name or None) if secure else None,
            ) as response:
                yield response
        except (PollError, TimeoutError):
            raise
        except aiohttp.ClientConnectorDNSError:
            raise PollError(Reason.UNREACHABLE, "its host name leads to no address") from None
        except (aiohttp.ClientSSLError, ssl.SSLError) as error:
            raise PollError(Reason.TLS, _tls_reason(error)) from None
        except aiohttp.ClientConnectorError as error:
            raise _unreached(error.os_error) from None
        except aiohttp.ClientPayloadError:
            raise PageError(Reason.MALFORMED, "its answer breaks off") from None
        except (aiohttp.ClientResponseError, aiohttp.InvalidURL):
            raise PageError(Reason.MALFORMED, "speaks no proper HTTP") from None
        except (aiohttp.ClientConnectionError, ConnectionError):
            raise PageError(Reason.UNREACHABLE, "closes the connection without an answer") from None
        except (aiohttp.ClientError, ValueError) as error:
            # Not its text: a header may hold what nobody should read.
            raise PageError(Reason.MALFORMED, f"cannot be asked ({type(error).__name__})") from None

    def _context(self, secret: Secret) -> ssl.SSLContext:
        access = Access(secret.ca_file, secret.cert_file, secret.key_file, insecure=secret.insecure)
        try:
            return self._keys.context(access)
        except AccessError as error:
            raise PollError(Reason.TLS, str(error)) from None


async def _body(response: aiohttp.ClientResponse) -> bytes:
    if response.headers.get("Content-Encoding", "identity").lower() not in ("", "identity"):
        response.close()
        raise PageError(Reason.PROTOCOL, "packs its answer without being asked to")
    if (response.content_length or 0) > LARGEST_BODY:
        response.close()
        raise _too_large()
    pieces: list[bytes] = []
    size = 0
    async for piece in response.content.iter_any():
        size += len(piece)
        if size > LARGEST_BODY:
            response.close()
            raise _too_large()
        pieces.append(piece)
    return b"".join(pieces) if len(pieces) != 1 else pieces[0]


def _too_large() -> PageError:
    return PageError(Reason.TOO_LARGE, f"its answer is larger than {LARGEST_BODY >> 20} MiB")


def _unreached(error: OSError) -> PollError:
    if isinstance(error, ConnectionRefusedError):
        return PollError(Reason.REFUSED, "nothing listens there")
    reason = os.strerror(error.errno).lower() if error.errno else type(error).__name__
    return PollError(Reason.UNREACHABLE, f"cannot be reached: {reason}")


def _tls_reason(error: Exception) -> str:
    inner = getattr(error, "certificate_error", None) or getattr(error, "os_error", None) or error
    said = getattr(inner, "verify_message", "") or getattr(inner, "reason", "") or type(inner).__name__
    return f"TLS: {' '.join(str(said).split())[:160]}"
