"""Lists of the Kubernetes API, read as a service account inside the cluster, or from outside with a URL."""

from __future__ import annotations

import asyncio
import codecs
import json
import ssl
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlsplit

import aiohttp

from exporters.jobs.queue_settings import KubernetesApiSection
from exporters.jobs.row_stream import RowsError, RowStream
from exporters.runtime.source import SourceError

HOST, PORT = "KUBERNETES_SERVICE_HOST", "KUBERNETES_SERVICE_PORT"
"""What Kubernetes tells each container of its API."""
LARGEST_ANSWER = 1 << 30
"""Bytes of a whole list, unpacked; it is never held."""
_CHUNK = 1 << 16
_LARGEST_FILE = 1 << 16
_LARGEST_REFUSAL = 1 << 14
_LONGEST_MESSAGE = 200
_MOST_PAGES = 10_000
_TRIES = 3


Take = Callable[[dict[str, Any]], None]
"""Takes one object of a list; must not raise."""


class _ExpiredError(Exception):
    """The rest of a list can no longer be had."""


class KubeApi:
    """Reads lists, one connection for each: token and authority are those of the moment.

    Nothing is written, nothing watched; the token goes to this one address and stands in no message.
    """

    def __init__(
        self,
        section: KubernetesApiSection,
        environment: Mapping[str, str],
        deadline: float = 20.0,
        largest: int = LARGEST_ANSWER,
    ) -> None:
        self._section, self._deadline, self._largest = section, deadline, largest
        self.url = section.url.rstrip("/") or _in_cluster(environment)

    @property
    def present(self) -> bool:
        """Whether there is an API to ask: a URL was set, or this runs inside a cluster."""
        return bool(self.url)

    async def each(
        self, place: str, take: Take, selector: str = "", fields: str = "", cached: bool = True
    ) -> None:
        """Hand the objects of the list at `place` (`/api/v1/pods`) to `take`, page after page; an object may
        come twice where the list had to be begun anew. With `cached` the API answers from its memory, which
        may be seconds old, and spares its store.

        Raises SourceError: not_found (no API, no such kind), permission (token, rights), tls, timeout, io,
        refused and resource_exhausted (any other answer), too_large, parse.
        """
        if not self.url:
            raise SourceError("not_found", f"no Kubernetes API: {HOST} is not set, and no url is given")
        query = {"labelSelector": selector, "fieldSelector": fields}
        try:
            async with asyncio.timeout(self._deadline), self._session() as session:
                for attempt in range(_TRIES):
                    # A list that expired under way is asked for in one piece at last.
                    limit = self._section.page if attempt < _TRIES - 1 else 0
                    try:
                        return await self._pages(session, place, take, query, limit, cached)
                    except _ExpiredError:
                        continue
                raise SourceError("refused", f"{self.url}{place}: the list expired {_TRIES} times under way")
        except TimeoutError:
            raise SourceError(
                "timeout", f"{self.url}{place}: no whole answer within {self._deadline:g} s"
            ) from None
        except aiohttp.ClientSSLError as error:
            raise SourceError("tls", f"{self.url}: {_short(error)}") from None
        except (aiohttp.ClientError, OSError) as error:
            raise SourceError("io", f"{self.url}{place}: {_short(error)}") from None

    async def _pages(
        self,
        session: aiohttp.ClientSession,
        place: str,
        take: Take,
        query: Mapping[str, str],
        limit: int,
        cached: bool,
    ) -> None:
        further, left = ({"resourceVersion": "0"} if cached else {}), self._largest
        for _ in range(_MOST_PAGES):
            asked = {**query, **further, **({"limit": str(limit)} if limit else {})}
            asked = {key: value for key, value in asked.items() if value}
            async with session.get(self.url + place, params=asked, allow_redirects=False) as answer:
                if answer.status != 200:
                    await self._refused(answer, place)
                mark, size = await self._page(answer, place, take, left)
            if not mark:
                return
            left -= size
            further = {"continue": mark}  # a mark speaks for a state of its own: no version beside it
        raise SourceError("too_large", f"{self.url}{place}: a list of more than {_MOST_PAGES} pages")

    async def _page(
        self, answer: aiohttp.ClientResponse, place: str, take: Take, left: int
    ) -> tuple[str, int]:
        """The mark of the next page, empty on the last one, and the size of this one."""
        stream, size = RowStream("items"), 0
        decoder = codecs.getincrementaldecoder("utf-8")("replace")
        try:
            async for chunk in answer.content.iter_chunked(_CHUNK):
                size += len(chunk)
                if size > left:
                    raise SourceError(
                        "too_large", f"{self.url}{place}: a list of more than {self._largest} bytes"
                    )
                for row in stream.feed(decoder.decode(chunk)):
                    take(row)
            for row in stream.close():
                take(row)
            metadata = stream.frame().get("metadata")
        except RowsError as error:
            raise SourceError("parse", f"{self.url}{place}: its answer {error}") from None
        mark = metadata.get("continue") if isinstance(metadata, dict) else None
        return (mark if isinstance(mark, str) else ""), size

    @asynccontextmanager
    async def _session(self) -> AsyncIterator[aiohttp.ClientSession]:
        secure = urlsplit(self.url).scheme == "https"
        headers = {"Accept": "application/json", "User-Agent": "gigawatch"}
        if secure and (token := self._token()):
            headers["Authorization"] = f"Bearer {token}"
        async with aiohttp.ClientSession(
            headers=headers,
            connector=aiohttp.TCPConnector(ssl=self._authority() if secure else True, limit=1),
            timeout=aiohttp.ClientTimeout(total=None),  # asyncio.timeout holds for the whole list
            max_line_size=1 << 14,
        ) as session:
            yield session

    def _token(self) -> str:
        """The token; empty where there is none, which some read-only proxies in between allow."""
        path = self._section.token_file
        try:
            with path.open("rb") as file:
                token = file.read(_LARGEST_FILE + 1).strip()
        except FileNotFoundError:
            return ""
        except OSError as error:
            raise SourceError("permission", f"{path}: cannot be read: {error.strerror}") from None
        if len(token) > _LARGEST_FILE or not all(0x21 <= byte <= 0x7E for byte in token):
            raise SourceError("permission", f"{path}: is no token (one line of printable characters)")
        return token.decode("ascii")

    def _authority(self) -> ssl.SSLContext:
        path = self._section.ca_file
        context = ssl.create_default_context()
        try:
            if path.exists():
                context = ssl.create_default_context(cafile=str(path))
        except ssl.SSLError:
            raise SourceError("tls", f"{path}: holds no certificate in PEM form") from None
        except OSError as error:
            raise SourceError("permission", f"{path}: cannot be read: {error.strerror}") from None
        # Certificates of many clusters lack what RFC 5280 wants in them; Python 3.13 insists on it otherwise.
        context.verify_flags &= ~ssl.VERIFY_X509_STRICT
        return context

    async def _refused(self, answer: aiohttp.ClientResponse, place: str) -> None:
        """Raises what an answer that is no list means."""
        if answer.status == 410:
            raise _ExpiredError
        where, said = f"{self.url}{place}", _said(await answer.content.read(_LARGEST_REFUSAL))
        if answer.status == 401:
            raise SourceError(
                "permission", f"{where}: 401: the token in {self._section.token_file} is missing or expired"
            )
        if answer.status == 403:
            raise SourceError("permission", f"{where}: 403: {_right(place)}{said}")
        if answer.status == 404:
            raise SourceError("not_found", f"{where}: 404: no such list{said}")
        kind = "resource_exhausted" if answer.status == 429 else "refused"
        raise SourceError(kind, f"{where}: answered with {answer.status}{said}")


def _in_cluster(environment: Mapping[str, str]) -> str:
    host, port = environment.get(HOST, ""), environment.get(PORT, "") or "443"
    if not host:
        return ""
    return f"https://[{host}]:{port}" if ":" in host else f"https://{host}:{port}"


def _right(place: str) -> str:
    """The right that is missing."""
    parts = place.strip("/").split("/")
    group = parts[1] if parts[0] == "apis" and len(parts) > 1 else ""
    namespace = parts[parts.index("namespaces") + 1] if "namespaces" in parts[:-1] else ""
    kind = "Role" if namespace else "ClusterRole"
    inside = f" in namespace {namespace}" if namespace else ""
    return f"needs a {kind} with verb list on resource {parts[-1]} of API group '{group}'{inside}"


def _said(body: bytes) -> str:
    """The message of the API, short and on one line."""
    try:
        status = json.loads(body)
    except (ValueError, RecursionError):
        return ""
    message = status.get("message") if isinstance(status, dict) else None
    if not isinstance(message, str) or not message:
        return ""
    return ": " + "".join(c if c.isprintable() else " " for c in message[:_LONGEST_MESSAGE])


def _short(error: BaseException) -> str:
    return " ".join((str(error) or type(error).__name__).split())[:_LONGEST_MESSAGE]
