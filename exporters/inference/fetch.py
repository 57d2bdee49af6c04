"""One HTTP answer, with a deadline for the whole of it and a limit to what it may take in memory."""

from __future__ import annotations

import asyncio
import os
import ssl
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import aiohttp
from yarl import URL

from exporters.inference.access import Access, AccessError, Keyring

LARGEST_BODY = 16 << 20
"""Bytes of an answer, unpacked."""
_SMALL_BODY = 1 << 20
"""Bytes that every answer may hold; what goes beyond shares a budget."""
_MOST_HELD = 128 << 20
"""Bytes that all large answers under way may hold together."""
_STEP = 1 << 18
"""Bytes unpacked before others have their turn."""
_LONGEST_REASON = 160
METRICS = "text/plain;version=0.0.4;q=1,*/*;q=0.1"
"""Accept header: the format whose names the dialects are written for. Compression is not asked for: it would
cost the engine more than the network saves."""


class FetchError(Exception):
    """No usable answer. `kind` is a word from a small set: it becomes a label value."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole answer."""

    status: int
    content_type: str
    """In lower case, without parameters."""
    body: bytes


class Budget:
    """Bytes that all answers under way hold."""

    def __init__(self, most: int = _MOST_HELD) -> None:
        self._most, self.held = most, 0

    def take(self, amount: int, own: int) -> None:
        """Raises FetchError where a large answer would hold more than is left for all of them."""
        self.held += amount
        if self.held > self._most and own > _SMALL_BODY:
            raise FetchError("memory", "too many large answers at the same time")


class Fetcher:
    """Asks servers. Belongs to one event loop."""

    def __init__(self, keys: Keyring | None = None, keep: float = 60.0) -> None:
        """Connections are kept for the next question for `keep` seconds."""
        self._keys = keys or Keyring()
        self._budget = Budget()
        connector = aiohttp.TCPConnector(
            limit=0, keepalive_timeout=keep, ttl_dns_cache=60, dns_cache_max_size=10_000
        )
        self._session = aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            headers={"User-Agent": "gigawatch"},
            skip_auto_headers=("Accept-Encoding",),
            auto_decompress=False,
            timeout=aiohttp.ClientTimeout(total=None),  # asyncio.timeout holds for the whole answer
        )

    async def close(self) -> None:
        await self._session.close()

    @contextmanager
    def holding(self, amount: int) -> Iterator[None]:
        """An answer that is still being read counts as held."""
        self._budget.held += amount
        try:
            yield
        finally:
            self._budget.held -= amount

    async def get(
        self,
        url: str,
        access: Access,
        deadline: float,
        accept: str = METRICS,
        largest: int = LARGEST_BODY,
    ) -> Answer:
        """The answer, whatever its status, redirects included; its body only where that is 200.

        Raises FetchError.
        """
        try:
            async with asyncio.timeout(deadline):
                return await self._get(url, access, accept, largest)
        except TimeoutError:
            raise FetchError("timeout", f"no whole answer within {deadline:g} s") from None
        except AccessError as error:
            raise FetchError("credentials", str(error)) from None
        except aiohttp.ClientConnectorDNSError:
            raise FetchError("dns", "its host name leads to no address") from None
        except (aiohttp.ClientSSLError, ssl.SSLError) as error:
            raise FetchError("tls", _tls_reason(error)) from None
        except aiohttp.ClientConnectorError as error:
            raise _unreached(error.os_error) from None
        except aiohttp.ClientPayloadError:
            raise FetchError("truncated", "its answer breaks off") from None
        except aiohttp.ClientResponseError as error:
            raise FetchError("protocol", f"speaks no proper HTTP: {_short(error.message)}") from None
        except (aiohttp.ClientConnectionError, ConnectionError):
            raise FetchError("disconnected", "closes the connection without an answer") from None
        except (aiohttp.ClientError, OSError, ValueError) as error:
            # Not its text: an address or a header may hold what nobody should read.
            raise FetchError("protocol", f"cannot be asked ({type(error).__name__})") from None

    async def _get(self, url: str, access: Access, accept: str, largest: int) -> Answer:
        headers = {"Accept": accept, **self._keys.headers(access)}
        secure = url.startswith("https:")
        async with self._session.get(
            URL(url, encoded=True),
            headers=headers,
            allow_redirects=False,
            ssl=self._keys.context(access) if secure else True,
            server_hostname=(access.server_name or None) if secure else None,
        ) as answer:
            if answer.status != 200:
                return Answer(answer.status, "", b"")
            length = answer.content_length
            if length is not None and length > largest:
                answer.close()
                raise _too_large(largest)
            body = await self._body(answer, largest)
            return Answer(answer.status, answer.content_type.lower() if _typed(answer.headers) else "", body)

    async def _body(self, answer: aiohttp.ClientResponse, largest: int) -> bytes:
        unpack = _unpacker(answer.headers.get("Content-Encoding", ""))
        pieces: list[bytes] = []
        size = read = 0
        try:
            async for chunk in answer.content.iter_any():
                read += len(chunk)
                if unpack is None:
                    size += len(chunk)
                    self._budget.take(len(chunk), size)
                    pieces.append(chunk)
                else:
                    left = chunk
                    while left:
                        piece, left = unpack.feed(left)
                        size += len(piece)
                        self._budget.take(len(piece), size)
                        pieces.append(piece)
                        if size > largest:
                            break
                        if left:
                            await asyncio.sleep(0)
                if size > largest or read > largest:
                    raise _too_large(largest)
            if unpack is not None:
                unpack.end()
            return b"".join(pieces) if len(pieces) != 1 else pieces[0]
        except FetchError:
            answer.close()  # what is left of it is nobody's business: the connection is not used again
            raise
        finally:
            self._budget.held -= size


class _Unpacker:
    """Undoes gzip or deflate, a little at a time: a few bytes may stand for gigabytes."""

    def __init__(self) -> None:
        # 47: gzip and zlib, told by their first bytes.
        self._stream = zlib.decompressobj(47)
        self._begun = False

    def feed(self, packed: bytes) -> tuple[bytes, bytes]:
        """What comes out at once, and what has to be fed again."""
        if self._stream.eof:
            self._stream = zlib.decompressobj(47)
        self._begun = True
        try:
            out = self._stream.decompress(packed, _STEP)
        except zlib.error:
            raise FetchError("encoding", "its compression is broken") from None
        return out, self._stream.unused_data or self._stream.unconsumed_tail

    def end(self) -> None:
        if self._begun and not self._stream.eof:
            raise FetchError("truncated", "its compressed answer breaks off")


def _unpacker(encoding: str) -> _Unpacker | None:
    name = encoding.strip().lower()
    if name in ("", "identity"):
        return None
    if name in ("gzip", "x-gzip", "deflate"):
        return _Unpacker()
    raise FetchError("encoding", "is compressed in a way that was not asked for; gzip is understood")


def _unreached(error: OSError) -> FetchError:
    if isinstance(error, ConnectionRefusedError):
        return FetchError("refused", "refuses the connection: nothing listens there")
    reason = os.strerror(error.errno).lower() if error.errno else type(error).__name__
    return FetchError("unreachable", f"cannot be reached: {reason}")


def _too_large(largest: int) -> FetchError:
    return FetchError("too_large", f"its answer is larger than {largest >> 20} MiB")


def _typed(headers: Mapping[str, str]) -> bool:
    return "Content-Type" in headers


def _tls_reason(error: Exception) -> str:
    inner = getattr(error, "certificate_error", None) or getattr(error, "os_error", None) or error
    said = getattr(inner, "verify_message", "") or getattr(inner, "reason", "") or type(inner).__name__
    return f"TLS: {_short(str(said))}"


def _short(text: str) -> str:
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())[:_LONGEST_REASON]
