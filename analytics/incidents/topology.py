"""Where a finding stands: what lies above it, who shares it, and who is working there."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from analytics.detectors.base import Suspicion
from analytics.fleet import Fleet, Level

Place = tuple[str, str]
"""Scope and name."""
_WITHIN = ("node", "rack", "loop")
_FIRST_OF = {"gpu": ("node", "rack", "loop", "job"), "node": _WITHIN, "rack": ("rack", "loop")}


@dataclass(frozen=True, slots=True)
class Work:
    """Maintenance of a place, as `gigawatch.topology.maintenance` knows it, until a Unix time."""

    scope: str
    place: str
    reason: str
    until: float


@dataclass(slots=True)
class Surroundings:
    """What the inventory knows beyond the fleet's own labels, as Prometheus has it.

    `above` names, for a rack, a node or a device, the places of a wider scope that it hangs on: feeds, rows,
    halls, air handlers, switches. Empty where nothing is known; grouping then rests on the fleet's labels.
    """

    above: dict[Place, tuple[Place, ...]] = field(default_factory=dict)
    works: tuple[Work, ...] = ()

    def working(self, now: float) -> dict[Place, Work]:
        """What is worked on at `now`, by place."""
        return {(work.scope, work.place): work for work in self.works if work.until > now}


class Topology:
    """Questions about the places of one fleet; what is costly is kept until the labels change."""

    def __init__(self, fleet: Fleet, surroundings: Surroundings | None = None) -> None:
        self.fleet = fleet
        self.surroundings = surroundings or Surroundings()
        self._labels = fleet[Level.GPU].labels
        self._sizes: dict[tuple[str, str], tuple[object, Mapping[str, int]]] = {}

    def look(self, fleet: Fleet, surroundings: Surroundings) -> None:
        """Call before a tick: labels are columns that the roster may have replaced."""
        if fleet is not self.fleet or surroundings.above is not self.surroundings.above:
            self._sizes.clear()
        self.fleet, self.surroundings = fleet, surroundings
        self._labels = fleet[Level.GPU].labels

    def groups(self, row: int, label: str) -> tuple[str, ...]:
        """Names of the places of kind `label` that a GPU belongs to."""
        column = self._labels.get(label)
        if column is not None:
            return (column[row],) if column[row] else ()
        if label == "site":
            return ("site",)
        return tuple(name for scope, name in self._beyond(row) if scope == label)

    def _beyond(self, row: int) -> tuple[Place, ...]:
        above = self.surroundings.above
        if not above:
            return ()
        labels = self._labels
        return above.get(("rack", labels["rack"][row]), ()) + above.get(("node", labels["node"][row]), ())

    def parents(self, found: Suspicion) -> list[Place]:
        """All places around a finding, itself first."""
        return self.around(found.scope, found.key, found.gpus)

    def around(self, scope: str, key: str, rows: Sequence[int]) -> list[Place]:
        """All places around a thing that touches these GPUs, itself first."""
        own, above = (scope, key), self.surroundings.above
        made = [own, *above.get(own, ())] if above else [own]
        if not rows:
            for place in made[1:]:
                made += above.get(place, ())
            return made
        first, last = rows[0], rows[-1]
        for label in _FIRST_OF.get(scope, ("rack", "loop", "job", "node")):
            column = self._labels[label]
            # A thing's GPUs stand in rows one after another: the ends tell whether they share the place.
            if column[first] and column[first] == column[last]:
                made.append((label, column[first]))
        if above and scope in ("gpu", "node", "rack"):
            made += self._beyond(first)
        return made

    def size(self, narrow: str, wide: str) -> Mapping[str, int]:
        """How many things of one kind each place of a wider kind holds."""
        gpus = self.fleet[Level.GPU]
        narrow_label = "uuid" if narrow == "gpu" else narrow
        stamp = (len(gpus), gpus.codes(narrow_label)[0], gpus.codes(wide)[0] if wide in gpus.labels else None)
        kept = self._sizes.get((narrow, wide))
        if kept is not None and _same(kept[0], stamp):
            return kept[1]
        made: Mapping[str, int]
        if wide in gpus.labels:
            inner, inside_names = gpus.codes(narrow_label)
            outer, names = gpus.codes(wide)
            known = (inner >= 0) & (outer >= 0)
            span = max(len(inside_names), 1)
            pairs = np.unique(outer[known] * span + inner[known])
            counts = np.bincount(pairs // span, minlength=len(names))
            made = dict(zip(names, counts.tolist(), strict=True))
        else:
            inside: dict[str, set[str]] = {}
            codes, things = gpus.codes(narrow_label)
            _, rows = np.unique(codes, return_index=True)
            for row in rows.tolist():
                if codes[row] >= 0:
                    for name in self.groups(row, wide):
                        inside.setdefault(name, set()).add(things[codes[row]])
            made = {name: len(members) for name, members in inside.items()}
        self._sizes[(narrow, wide)] = (stamp, made)
        return made


def _same(one: object, other: object) -> bool:
    return (
        isinstance(one, tuple)
        and isinstance(other, tuple)
        and one[0] == other[0]
        and all(a is b for a, b in zip(one[1:], other[1:], strict=True))
    )


def _apart(ports: Iterable[Mapping[str, str]]) -> list[tuple[str, str]]:
    """Nodes and their switches. Switches that serve the very same nodes go by one name (`a,b` or `a..h`): by
    the trouble of their nodes they cannot be told apart."""
    served: dict[str, dict[str, None]] = {}
    for port in ports:
        served.setdefault(port.get("device", ""), {})[port.get("node", "")] = None
    alike: dict[frozenset[str], list[str]] = {}
    for switch, nodes in served.items():
        alike.setdefault(frozenset(nodes), []).append(switch)
    made = []
    for switches in alike.values():
        switches.sort()
        name = ",".join(switches) if len(switches) < 3 else f"{switches[0]}..{switches[-1]}"
        made += [(node, name) for node in served[switches[0]]]
    return made


def surroundings_from(
    nodes: Iterable[Mapping[str, str]],
    devices: Iterable[Mapping[str, str]],
    works: Iterable[tuple[Mapping[str, str], float]],
    air: Iterable[Mapping[str, str]] = (),
    ports: Iterable[Mapping[str, str]] = (),
) -> Surroundings:
    """Surroundings from the labels of the inventory's series: nodes, devices, maintenance, which air handler
    serves which rack, and which switch which node."""
    above: dict[Place, dict[Place, None]] = {}

    def hang(place: Place, scope: str, name: str) -> None:
        if place[1] and name and place != (scope, name):
            above.setdefault(place, {})[(scope, name)] = None

    for node in nodes:
        for scope in ("row", "hall"):
            hang(("rack", node.get("rack", "")), scope, node.get(scope, ""))
    for device in devices:
        own, rack = ("device", device.get("device", "")), device.get("rack", "")
        for scope in ("rack", "loop", "feed", "hall"):
            hang(own, scope, device.get(scope, ""))
        if device.get("role") == "rack_pdu":
            hang(("rack", rack), "feed", device.get("feed", ""))
    for served in air:
        hang(("rack", served.get("rack", "")), "air", served.get("device", ""))
    for name, switch in _apart(ports):
        hang(("node", name), "switch", switch)
    known = []
    for labels, until in works:
        place = labels.get("place", "")
        if labels.get("scope") == "gpu":
            place = "/gpu".join(place.rsplit("/", 1))
        known.append(Work(labels.get("scope", ""), place, labels.get("reason", ""), until))
    return Surroundings({place: tuple(found) for place, found in above.items()}, tuple(known))
