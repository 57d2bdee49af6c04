"""Asking NetBox: pages of objects, by token, from the one host that the settings name."""

from __future__ import annotations

import json
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlencode, urlsplit, urlunsplit

from exporters.inference.access import Access, AccessError, Keyring
from exporters.inference.fetch import Fetcher, FetchError
from exporters.inventory.source import SourceDownError
from gigawatch.config import parse_duration

from .settings import NetBoxSettings

PAGE = 500
_MOST_PAGES = 2000
_LARGEST_PAGE = 64 << 20
_REASONS = {
    401: "does not accept the token",
    403: "does not let the token see this (view permission), or does not know it",
    400: "does not understand the question (does it have a site of this slug?)",
    429: "wants to be asked less often",
}
Object = dict[str, Any]


class MissingError(Exception):
    """This NetBox has no such objects: it is older."""


class _Token(Keyring):
    """NetBox's own Authorization headers: version 1 and 2 of its tokens differ in scheme."""

    def headers(self, access: Access) -> dict[str, str]:
        if not access.bearer_token_file:
            return {}
        token = self._secret(access.bearer_token_file)
        return {"Authorization": f"{'Bearer' if token.startswith('nbt_') else 'Token'} {token}"}


class NetBoxClient:
    """Asks one NetBox. Raises SourceDownError for all that is not a whole, sound answer."""

    def __init__(self, settings: NetBoxSettings) -> None:
        self._settings, self._access = settings, settings.access
        self._deadline = parse_duration(settings.timeout)
        self._fetcher: Fetcher | None = None

    async def __aenter__(self) -> Self:
        self._fetcher = Fetcher(_Token())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._fetcher is not None:
            await self._fetcher.close()

    async def all(self, path: str, **wanted: str | list[str]) -> list[Object]:
        """All objects of a list, page by page. Raises MissingError where there is no such list."""
        query = urlencode({**wanted, "limit": str(PAGE)}, doseq=True)
        url: str | None = f"{self._settings.url}/api/{path}/?{query}"
        found: list[Object] = []
        count = -1
        for _ in range(_MOST_PAGES):
            page = await self._page(path, url)
            if count not in (-1, page["count"]):
                raise self._down(path, "changes while it is read; it is read again the next time")
            count = page["count"]
            found += page["results"]
            if not page["next"]:
                break
            url = self._following(path, page["next"])
        if len(found) != count or len({one["id"] for one in found}) != count:
            raise self._down(path, f"gave {len(found)} objects and says there are {count}")
        return found

    async def newest(self, path: str) -> int | None:
        """Id of the newest object of a list; None if we are not told."""
        url = f"{self._settings.url}/api/{path}/?limit=1&ordering=-id&brief=1"
        try:
            page = await self._page(path, url)
        except (MissingError, SourceDownError) as error:
            if isinstance(error, SourceDownError) and "answers 403" not in str(error):
                raise
            return None
        return int(page["results"][0]["id"]) if page["results"] else 0

    async def _page(self, path: str, url: str | None) -> Object:
        if self._fetcher is None or url is None:
            raise RuntimeError("not entered")
        try:
            answer = await self._fetcher.get(
                url, self._access, self._deadline, "application/json", _LARGEST_PAGE
            )
        except (FetchError, AccessError) as error:
            raise self._down(path, str(error)) from None
        if answer.status == 404:
            raise MissingError(path)
        if answer.status != 200:
            more = f": it {_REASONS[answer.status]}" if answer.status in _REASONS else ""
            raise self._down(path, f"answers {answer.status}{more}")
        try:
            page = json.loads(answer.body)
        except (ValueError, RecursionError):
            raise self._down(path, "gave an answer that is no JSON") from None
        if not _is_page(page):
            raise self._down(path, "gave an answer that is no page of objects")
        return dict(page)

    def _following(self, path: str, link: str) -> str:
        """The next page, at the host that we were told of and no other."""
        mine = urlsplit(self._settings.url)
        try:
            other = urlsplit(link)
            strange = other.hostname != mine.hostname or not other.path.startswith(mine.path + "/api/")
        except ValueError:
            strange = True
        if strange:
            raise self._down(path, "points to a next page at another address")
        # Behind a proxy NetBox may not know its own scheme and port.
        return urlunsplit((mine.scheme, mine.netloc, other.path, other.query, ""))

    def _down(self, path: str, reason: str) -> SourceDownError:
        return SourceDownError(f"NetBox at {urlsplit(self._settings.url).netloc}: {path} {reason}")


def _is_page(page: object) -> bool:
    return (
        isinstance(page, dict)
        and isinstance(page.get("count"), int)
        and isinstance(page.get("next"), str | None)
        and isinstance(page.get("results"), list)
        and all(isinstance(one, dict) and isinstance(one.get("id"), int) for one in page["results"])
    )
