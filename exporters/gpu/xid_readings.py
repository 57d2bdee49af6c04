"""What a scrape sees of the XIDs that were counted."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from exporters.gpu.xid_book import Device
from gigawatch.catalogue import gpu
from gigawatch.catalogue.xids import describe
from gigawatch.readings import Reading


def xid_readings(devices: Iterable[Device]) -> Iterator[Reading]:
    """Counters, with the serious codes at 0 from the start; for codes that were seen also when, and what they
    mean."""
    for device in devices:
        counts = {(code, source): 0 for code in gpu.XID_SERIOUS for source in ("nvml", "kmsg")}
        for (code, source), count in (counts | device.counts).items():
            yield Reading(gpu.GPU_XID_ERRORS, (*device.labels, str(code), source), float(count))
        for code, at in device.last.items():
            row = describe(code)
            yield Reading(gpu.GPU_XID_LAST_TIMESTAMP, (*device.labels, str(code)), at)
            labels = (*device.labels, str(code), row.meaning, row.action.value)
            yield Reading(gpu.GPU_XID_INFO, labels, 1.0)
