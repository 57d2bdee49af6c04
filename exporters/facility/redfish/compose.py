"""From the values of a tree to readings: who speaks for a series, and what several make together."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from exporters.facility.driver import Polled
from exporters.facility.redfish.model import Join
from exporters.facility.redfish.tree import Slot, Tree
from gigawatch.catalogue import facility
from gigawatch.readings import Reading


def compose(tree: Tree, into: Polled, fresh: Callable[[Slot], bool], pushed: bool = False) -> None:
    """Readings of all that is fresh; `pushed`: only of series in which something came unasked."""
    tree.reindex()
    families: dict[tuple[object, ...], list[Slot]] = {}
    for slot in tree.slots:
        if slot.alone and not tree.complete:
            continue  # which label it needs is only known once all of its kind are
        families.setdefault(slot.family, []).append(slot)
    flows = _Flows(
        families.get((facility.COOLANT_FLOW, "tcs"), ()), families.get((facility.COOLANT_FLOW, "fws"), ())
    )
    readings = into.readings
    for slots in families.values():
        if pushed and not any(slot.pushed for slot in slots):
            continue
        usable = []
        for slot in slots:
            if slot.known is None:
                continue
            if fresh(slot):
                usable.append(slot)
            else:
                into.drop("stale")
        if not usable:
            continue
        best = min(slot.rank for slot in usable)
        speakers = [slot for slot in usable if slot.rank == best]
        if len(speakers) == 1 and len(slots) == 1:
            _tell(readings, speakers[0])
        elif speakers[0].join is Join.FIRST:
            told: set[tuple[str, ...]] = set()
            for slot in speakers:
                if slot.shown not in told:
                    told.add(slot.shown)
                    _tell(readings, slot)
        else:
            value = _joined(speakers, [slot for slot in slots if slot.rank == best], flows)
            if value is not None:
                readings.append(Reading(speakers[0].metric, speakers[0].shown, value))


def _tell(readings: list[Reading], slot: Slot) -> None:
    known = slot.known
    if isinstance(known, str):
        states = slot.metric.values[slot.metric.labels[-1]]
        readings.extend(Reading(slot.metric, (*slot.shown, state), float(state == known)) for state in states)
    elif known is not None:
        readings.append(Reading(slot.metric, slot.shown, known))


def _joined(speakers: list[Slot], all_of_rank: list[Slot], flows: _Flows) -> float | None:
    join = speakers[0].join
    values = [float(slot.known) for slot in speakers if slot.known is not None]
    if join is Join.LOWEST:
        return min(values)
    if join is Join.MEAN:
        return sum(values) / len(values)
    if join is Join.BY_FLOW:
        weights = [flows.of(slot) for slot in speakers]
        total = sum(weight for weight in weights if weight is not None)
        if None in weights or total <= 0:
            return sum(values) / len(values)
        return sum(value * (weight or 0.0) for value, weight in zip(values, weights, strict=True)) / total
    # One that is in service and silent makes the sum a lie.
    own_way = [slot for slot in all_of_rank if not slot.part.returns_only]
    summed = own_way or all_of_rank
    if any(slot.part.on and slot not in speakers for slot in summed):
        return None
    counted = [float(slot.known) for slot in summed if slot in speakers and slot.known is not None]
    return sum(counted) if counted else None


class _Flows:
    """The flow of each connector, for means weighted by it."""

    def __init__(self, *flows: Iterable[Slot]) -> None:
        self._by_part = {slot.part: slot.known for several in flows for slot in several}

    def of(self, slot: Slot) -> float | None:
        found = self._by_part.get(slot.part)
        return found if isinstance(found, float) and found >= 0 else None
