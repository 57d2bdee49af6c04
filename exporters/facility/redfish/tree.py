"""What is known of a device: pages (one GET each), the resources on them, and their values."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from exporters.facility.redfish.jsons import number
from exporters.facility.redfish.model import SLOW, Join
from gigawatch.catalogue import Metric

_AN_HOUR = 3600.0
_READ = frozenset({"", "Enabled", "Degraded"})
"""States in which what a resource says is taken for true."""
_STANDBY = frozenset({"StandbyOffline", "StandbySpare", "Disabled"})


@dataclass(slots=True, eq=False)
class Part:
    """One resource: on a page of its own, or an object within another."""

    key: str
    """Address and JSON pointer, as metric reports name it."""
    kind: str
    state: str
    """Status.State; empty where it has none."""
    returns_only: bool = False
    """A connector for the way back alone: its flow is the same water as the supply's."""
    slots: list[Slot] = field(default_factory=list)

    @property
    def on(self) -> bool:
        return self.state in _READ


@dataclass(slots=True, eq=False)
class Slot:
    """One value of a resource, and the series it belongs to."""

    metric: Metric
    labels: tuple[str, ...]
    part: Part
    every: float
    scale: float = 1.0
    words: Mapping[str, str] | None = None
    join: Join = Join.FIRST
    rank: int = 0
    above: float | None = None
    standby: float | None = None
    always: bool = False
    alone: bool = False
    """The last label is only needed where there are several."""
    keys: tuple[str, ...] = ()
    """Where reports may tell it."""
    shown: tuple[str, ...] = ()
    """The labels it is told with."""
    family: tuple[object, ...] = ()
    """Those that say the same: of them the lowest rank speaks."""
    value: float | str | None = None
    at: float = float("-inf")
    pushed: bool = False

    def take(self, raw: object, now: float) -> str:
        """Set what the device said. The reason if it is nothing to be used; empty for null, which is an
        answer."""
        self.at = now
        if raw is None or raw == "":
            self.value = None
            return ""
        if self.words is not None:
            found = self.words.get(raw) if isinstance(raw, str) else None
            self.value = found
            return "" if found is not None else "error"
        value = number(raw)
        if value is None:
            self.value = None
            # What services write into reports for "nothing to tell".
            return (
                "" if isinstance(raw, str) and raw.lower() in ("null", "nan", "n/a", "none") else "no_number"
            )
        self.value = float(value > self.above) if self.above is not None else value * self.scale
        return ""

    @property
    def known(self) -> float | str | None:
        """What may be told."""
        part = self.part
        if part.state in _READ:
            return self.value
        if self.always and part.state != "Absent":
            return self.value
        if self.standby is not None and part.state in _STANDBY:
            return self.standby
        return None

    def __post_init__(self) -> None:
        self.shown = self.labels
        told_apart = self.metric.labels[-1:] == ("sensor",)
        self.family = (self.metric, *(self.labels[:-1] if told_apart else self.labels))


@dataclass(slots=True, eq=False)
class Page:
    """What one GET brings."""

    uri: str
    table: str
    fields: Mapping[str, str]
    depth: int
    index: int = 0
    count: int = 1
    many: bool = False
    expand: bool = True
    """Worth asking with $expand."""
    read_at: float = float("-inf")
    failures: int = 0
    retry_at: float = float("-inf")
    parts: list[Part] = field(default_factory=list)
    children: list[Page] = field(default_factory=list)
    """In the order in which they are linked. Pages already known are taken from the tree."""

    def due(self, now: float, jitter: float) -> bool:
        """Something of it is older than it may be. `jitter` keeps devices apart."""
        if now < self.retry_at:
            return False
        age = now - self.read_at
        # Most of a server's sensors are of no use here, and will be of none in three minutes.
        useless = self.table == "Sensor" and not self.many and not any(part.slots for part in self.parts)
        longest = (_AN_HOUR if useless and not self.failures else SLOW) * jitter
        if not 0 <= age < longest:
            return True
        return any(not (0 <= now - slot.at < slot.every * jitter or slot.at == now) for slot in self.slots)

    @property
    def slots(self) -> Iterator[Slot]:
        for part in self.parts:
            yield from part.slots

    def forget(self) -> None:
        """It did not answer: what it said before is not told any longer."""
        for slot in self.slots:
            slot.value = None


class Tree:
    """All pages of a device."""

    def __init__(self) -> None:
        self.root: Page | None = None
        self.pages: dict[str, Page] = {}
        self.index: dict[str, list[Slot]] = {}
        self.states: dict[str, Part] = {}
        self.complete = False
        """Every page has been asked at least once."""
        self.changed = True

    def plant(self, root: Page) -> None:
        """Begin anew with another root."""
        self.__init__()  # type: ignore[misc] # all fields as at first; nobody inherits from it
        self.root = root
        self.pages[root.uri] = root

    def adopt(self, page: Page) -> Page:
        """The page as the tree knows it, if one still comes to it in the same way."""
        known = self.pages.get(page.uri)
        if known is not None and (known.table, known.fields, known.count) == (
            page.table,
            page.fields,
            page.count,
        ):
            return known
        self.pages[page.uri] = page
        self.changed = True
        return page

    def prune(self, reached: set[str]) -> None:
        """Forget pages to which nothing leads any more."""
        gone = [uri for uri in self.pages if uri not in reached]
        for uri in gone:
            del self.pages[uri]
        self.changed = self.changed or bool(gone)

    @property
    def slots(self) -> Iterator[Slot]:
        for page in self.pages.values():
            yield from page.slots

    def reindex(self) -> None:
        """After resources came or went: where reports find them, and which labels they need."""
        if not self.changed:
            return
        self.changed = False
        self.index, self.states = {}, {}
        crowd: dict[object, list[Slot]] = {}
        for page in self.pages.values():
            for part in page.parts:
                self.states[part.key] = part
                for slot in part.slots:
                    for key in slot.keys:
                        self.index.setdefault(key, []).append(slot)
                    if slot.alone:
                        crowd.setdefault((slot.family, slot.rank), []).append(slot)
        for several in crowd.values():
            if len(several) == 1:
                several[0].shown = (*several[0].labels[:-1], "")
            else:
                _tell_apart(several)


def _tell_apart(several: list[Slot]) -> None:
    """Two of one name would be one series: from the second on they are numbered."""
    seen: dict[str, int] = {}
    for slot in several:
        name = slot.labels[-1]
        seen[name] = times = seen.get(name, 0) + 1
        slot.shown = slot.labels if times == 1 else (*slot.labels[:-1], f"{name} {times}")


def normal(reference: str) -> str:
    """A property's address, as reports and resources spell it in several ways."""
    return reference.removesuffix("/Reading").removesuffix("#")
