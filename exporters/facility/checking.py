"""`gigawatch facility --check`: everything that is wrong, in one run, without asking a device."""

from __future__ import annotations

import asyncio
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

from exporters.facility.driver import Driver
from exporters.facility.follower import understood, wiring
from exporters.facility.poller import maker
from exporters.facility.program import Facility
from exporters.facility.settings import FacilitySettings


def check(load: Callable[[], FacilitySettings], path: Path | None) -> int:
    """Print each problem on a line of its own; 1 if there is one. Raises UserError where a file cannot be
    read, which hides what stands behind it."""
    program = Facility(load, path)
    problems = [*program.notes(), *_files(program)]
    problems += asyncio.run(_unusable(program))
    for problem in dict.fromkeys(problems):
        print(f"gigawatch: {problem}", file=sys.stderr)
    if problems:
        return 1
    kinds = Counter(job.endpoint.protocol for job in program.jobs.values())
    devices = {job.device.name for job in program.jobs.values()}
    by_kind = ", ".join(f"{count} {kind}" for kind, count in sorted(kinds.items())) or "none"
    silent = len(program.site.devices) - len(devices)
    print(
        f"site '{program.site.site}': {len(devices)} devices to ask, endpoints: {by_kind}; "
        f"{silent} devices without endpoint"
    )
    return 0


def _files(program: Facility) -> Iterator[str]:
    settings = program.settings
    if program.waits:
        yield f"{settings.endpoints}: cannot be read (no such file); the program would wait for it"
    for name, entry in settings.credentials.items():
        yield from entry.credential(name, program.folder).problems()
    for name, folder in settings.folders().items():
        if not Path(folder).is_dir():
            yield f"{name}: {folder} is no directory; make it, or leave the setting out"


async def _unusable(program: Facility) -> list[str]:
    """Endpoints for which there is no driver: unknown profiles, missing libraries."""
    found = []
    shared: dict[str, object] = {}
    drivers: list[Driver] = []
    for job in program.jobs.values():
        try:
            drivers.append(
                maker(job.endpoint.protocol)(wiring(job, program.site, shared, program.settings.options()))
            )
        except Exception as error:  # noqa: BLE001 - whatever it is, it is told
            found.append(f"device {job.device.name}: {job.label}: {understood(error)[1]}")
    for driver in drivers:
        await driver.close()
    return found
