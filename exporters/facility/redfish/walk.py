"""One round through a device's pages: what is due is read, within bounds of time and number."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from exporters.facility.driver import PollError, Reason
from exporters.facility.redfish.age import clock_of
from exporters.facility.redfish.examine import MOST_MEMBERS, Examination
from exporters.facility.redfish.model import Body, Subject
from exporters.facility.redfish.service import Service
from exporters.facility.redfish.tree import Page, Part, Tree
from exporters.facility.redfish.web import PageError

MOST_GETS = 200
"""In one poll; what is left over is read in the next."""
MOST_PAGES = 1024
"""Of one device."""
_LANES = 2
"""Requests in flight to one device."""
_MOST_TIMEOUTS = 2
"""After as many a poll lets it be: the device hangs."""
_MOST_PAGES_OF_LIST = 16
_FEW = 4
"""An expanded collection is dear where only one member in so many has a value."""
_LARGE = 16
_LONGEST_PAUSE = 300.0


class Walk:
    """Of one poll, begun at `now`."""

    def __init__(
        self,
        service: Service,
        tree: Tree,
        subject: Subject,
        now: float,
        deadline: float,
        oldest: float,
        jitter: float,
    ) -> None:
        self._service, self._tree, self._subject = service, tree, subject
        self._now, self._oldest, self._jitter = now, oldest, jitter
        began = asyncio.get_running_loop().time()
        self._no_more_after, self._end = began + 0.8 * deadline, began + 0.95 * deadline
        self._longest = max(0.4 * deadline, min(1.0, deadline))
        self.gets = self.answers = 0
        self.dropped: dict[str, int] = {}
        self.about: Body | None = None
        """The device's own resource, if it was read."""
        self.error: PollError | None = None
        """The first thing that went wrong with a page."""
        self._timeouts = 0
        self._left_over = False

    @property
    def seconds_for_one(self) -> float:
        """How long one answer may take."""
        left = self._end - asyncio.get_running_loop().time()
        return max(0.05, min(self._longest, left))

    async def go(self) -> None:
        """Read what is due. Raises PollError if the device cannot be reached, or none of it can be read."""
        root = self._tree.root
        if root is None:
            return
        reached = {root.uri}
        level = [root]
        while level:
            await self._read([page for page in level if page.due(self._now, self._jitter)])
            below = []
            for page in level:
                for child in page.children:
                    if child.uri not in reached and len(reached) < MOST_PAGES:
                        reached.add(child.uri)
                        below.append(self._tree.adopt(child))
            level = below
        if not self._left_over:
            self._tree.prune(reached)
            self._tree.complete = True
        if not self.answers and not self.gets:
            await self._read([root])  # all that is known came from elsewhere: is it still there?
        if not self.answers and self.error is not None:
            raise self.error

    def take(self, page: Page, body: Body, headers: Mapping[str, str]) -> Examination:
        """What an answer says about a page."""
        self.answers += 1
        clock = clock_of(headers, self._now)
        origin = self._service.origin
        found = Examination(page, origin, self._subject, self._now, clock, self._oldest).of(body)
        page.parts, page.children = found.parts, found.children
        page.read_at, page.failures = self._now, 0
        if page is self._tree.root:
            self.about = body
        for reason, count in found.dropped.items():
            self._drop(reason, count)
        self._tree.changed = True
        return found

    async def _read(self, pages: list[Page]) -> None:
        """Two at a time; the one that has waited longest first."""
        if len(pages) == 1:
            await self._read_page(pages[0])
            return
        waiting = iter(sorted(pages, key=lambda page: page.read_at))

        async def lane() -> None:
            for page in waiting:
                await self._read_page(page)

        lanes = [asyncio.ensure_future(lane()) for _ in range(min(_LANES, len(pages)))]
        try:
            await asyncio.gather(*lanes)
        except PollError:
            for task in lanes:
                task.cancel()
            await asyncio.gather(*lanes, return_exceptions=True)
            raise

    async def _read_page(self, page: Page) -> None:
        late = asyncio.get_running_loop().time() > self._no_more_after
        if late or self.gets >= MOST_GETS or self._timeouts >= _MOST_TIMEOUTS:
            self._left_over = True
            return
        try:
            await self._ask(page)
        except PageError as error:
            self._failed(page, error)
            if page is self._tree.root:
                raise

    async def _ask(self, page: Page) -> None:
        self.gets += 1
        if not page.many or not page.expand:
            found = self.take(page, *await self._service.fetch(page.uri, self.seconds_for_one))
        else:
            body, headers, asked = await self._service.expanded(page.uri, self.seconds_for_one)
            found = self.take(page, body, headers)
            if asked and (found.payloads or found.bare):
                self._service.judge(not found.bare)
            self._spread(page)
        await self._go_on(page, found)

    async def _go_on(self, page: Page, found: Examination) -> None:
        """The rest of a list that comes in pieces."""
        parts, children, seen = page.parts, page.children, {page.uri}
        while found.more and found.more not in seen and len(seen) < _MOST_PAGES_OF_LIST:
            if self.gets >= MOST_GETS or len(parts) + len(children) >= MOST_MEMBERS:
                break
            seen.add(found.more)
            self.gets += 1
            found = self.take(page, *await self._service.fetch(found.more, self.seconds_for_one))
            parts, children = parts + found.parts, children + found.children
        page.parts, page.children = parts[:MOST_MEMBERS], children[:MOST_MEMBERS]

    def _spread(self, page: Page) -> None:
        """Where only few members have a value, those are read alone from now on."""
        telling = sum(1 for part in page.parts if part.slots)
        if len(page.parts) < _LARGE or telling * _FEW > len(page.parts):
            return
        page.expand = False
        for index, part in enumerate(page.parts):
            if part.key.startswith("/") and "#" not in part.key:
                page.children.append(self._member(page, part, index))
        page.parts = []

    def _member(self, page: Page, part: Part, index: int) -> Page:
        member = Page(part.key, page.table, page.fields, page.depth + 1, index, len(page.parts))
        member = self._tree.adopt(member)
        member.parts, member.read_at = [part], self._now
        return member

    def _failed(self, page: Page, error: PageError) -> None:
        self.error = self.error or error
        self._timeouts += error.reason is Reason.TIMEOUT
        self._drop("error", 1)
        page.forget()
        page.failures += 1
        pause = min(_LONGEST_PAUSE, 10.0 * 2.0 ** min(page.failures, 8)) if page.failures > 1 else 0.0
        page.retry_at = self._now + pause
        page.read_at = self._now if pause else page.read_at

    def _drop(self, reason: str, count: int) -> None:
        self.dropped[reason] = self.dropped.get(reason, 0) + count
