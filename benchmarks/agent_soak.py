"""Faults upon faults, for as long as wanted: does the agent grow, fall silent, or lose count of XIDs?"""

from __future__ import annotations

import random
import re
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from prometheus_client.parser import text_string_to_metric_families
from subjects import Footprint, Subject, agent, footprint, samples

from gigawatch.catalogue import gpu

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "support"))
from fake_driver import FakeDriver

SAMPLE_EVERY = 5.0
CALM = 60.0
"""Seconds without faults at the end, in which everything has to come back."""
_RARE = 45.0
"""Seconds at least between faults that take down the collector process or the whole driver."""
_MOMENTS = 10
_SETTLED = 20.0
"""Seconds after a fault from which what it touched has to be there again."""
_XIDS = (13, 31, 43, 48, 63, 74, 79, 94, 119)


class Faults:
    """A driver that is never well for long. Each fault stands for some seconds, several at a time."""

    def __init__(self, driver: FakeDriver, gpus: int, seed: int) -> None:
        self._driver, self._gpus = driver, gpus
        self._random = random.Random(seed)
        self._standing: dict[str, float] = {}
        self._version = 0
        self.done: dict[str, int] = {}
        self.xids = 0
        self._rare_at = time.monotonic()
        self._touched: dict[int, float] = {}
        """GPU to the time from which it has no excuse any more; -1 stands for all."""
        self._of_one: tuple[tuple[Callable[[int], str], float, float], ...] = (
            (lambda i: f"hang {i}", 4, 40),
            (lambda i: f"hang_index {i}", 4, 20),
            (lambda i: f"lost {i}", 4, 30),
            (lambda i: f"reset_required {i}", 4, 20),
            (lambda i: f"slow {i} 300000", 4, 20),
            (lambda i: f"mig {i} {self._of(8)} {self._of(10)}", 5, 40),
            (lambda i: f"link_down {i} {self._of(18)}", 5, 40),
            (lambda i: f"process {i} {1000 + self._of(9000)} 4096", 5, 40),
        )
        self._rare: tuple[tuple[Callable[[int], str], float, float], ...] = (
            (lambda i: f"crash {i}", 1, 3),
            (lambda _: "unload 1", 3, 8),
            (lambda _: "unbind 1", 3, 8),
            (lambda _: "hang_everything 1", 3, 12),
            (lambda _: f"upgrade {self._upgraded()}", 0, 0),
        )

    def step(self) -> None:
        """Something new, and the end of what has stood long enough."""
        now = time.monotonic()
        self._standing = {line: until for line, until in self._standing.items() if until > now}
        rare = now - self._rare_at > _RARE
        if rare or len(self._standing) < 3:
            make, least, most = self._random.choice(self._rare if rare else self._of_one)
            index = self._of(self._gpus)
            line, until = make(index), now + self._random.uniform(least, most)
            self._standing[line] = max(until, self._standing.get(line, 0))
            who = -1 if rare else index
            self._touched[who] = max(self._touched.get(who, 0), until + _SETTLED)
            self._rare_at = now if rare else self._rare_at
            word = line.split()[0]
            self.done[word] = self.done.get(word, 0) + 1
        self._write()
        if self._random.random() < 0.5:
            times = self._random.choice((1, 1, 2, 50))
            self._driver.xid(self._of(self._gpus), self._random.choice(_XIDS), times)
            self.xids += times

    def untouched(self) -> set[int]:
        """GPUs that have been well for some time, in a driver that has been well for some time."""
        now = time.monotonic()
        if self._touched.get(-1, 0) > now:
            return set()
        return {i for i in range(self._gpus) if self._touched.get(i, 0) < now}

    def moment(self, missing: set[int], subject: Subject) -> dict[str, Any]:
        """What was going on when readings were missing."""
        told = subject.log.read_text().splitlines()[-2:]
        return {"gpus": sorted(missing), "faults": list(self._standing), "log": told}

    def stop(self) -> None:
        """All is well from now on."""
        self._standing = {}
        self._write()

    def _upgraded(self) -> int:
        self._version += 1
        return self._version

    def _write(self) -> None:
        upgraded = f"upgrade {self._version}"
        lines = [line for line in self._standing if not line.startswith("upgrade")]
        self._driver.write(f"gpus {self._gpus}", "live 1", upgraded, *lines)

    def _of(self, count: int) -> int:
        return self._random.randrange(count)


def soak(folder: Path, seconds: float, gpus: int, seed: int) -> dict[str, Any]:
    """The agent under faults; the first third of the samples against the last."""
    log = folder / "kmsg"
    driver = FakeDriver(folder / "control", f"gpus {gpus}", "live 1", kernel_log=log)
    settings = {"kernel_log": log, "gpu": {"processes": True}}
    subject = agent(folder, driver.environment, **settings)
    try:
        began = time.monotonic()
        xids_before = counted_xids(subject)
        faults = Faults(driver, gpus, seed)
        seen: list[Footprint] = []
        took: list[float] = []
        failed = asked = blind = 0
        moments: list[dict[str, Any]] = []
        next_sample = 0.0
        while time.monotonic() - began < seconds:
            faults.step()
            try:
                body, seconds_taken = subject.scrape()
                took.append(seconds_taken)
                well = faults.untouched()
                asked += len(well)
                missing = well - powered(body.decode())
                blind += len(missing)
                if missing and len(moments) < _MOMENTS:
                    moments.append(faults.moment(missing, subject))
            except OSError as error:
                failed += 1
                print(f"scrape failed: {error}", file=sys.stderr)
            if time.monotonic() >= next_sample:
                seen.append(footprint(subject))
                next_sample = time.monotonic() + SAMPLE_EVERY
            time.sleep(1)
        faults.stop()
        well_after = _all_well(subject, gpus)
        third = max(1, len(seen) // 3)
        first, last = _medians(seen[:third]), _medians(seen[-third:])
        return {
            "seconds": round(time.monotonic() - began),
            "faults": faults.done,
            "scrapes": len(took) + failed,
            "scrapes_failed": failed,
            "worst_scrape_milliseconds": round(1e3 * max(took), 1),
            "readings_expected_of_untouched_gpus": asked,
            "readings_missing_of_untouched_gpus": blind,
            "first_moments_with_missing_readings": moments,
            "first_third": first,
            "last_third": last,
            "growth": {key: round(last[key] / first[key], 3) for key in first if first[key]},
            "peak": _peaks(seen),
            "xids_sent": faults.xids,
            "xids_counted": {k: v - xids_before.get(k, 0) for k, v in counted_xids(subject).items()},
            "all_well_after_seconds": well_after,
            "samples_at_end": samples(subject.page()),
            "log_tail": subject.log.read_text().splitlines()[-5:],
        }
    finally:
        subject.end()
        driver.close()


def powered(page: str) -> set[int]:
    """GPUs with a power reading."""
    found = re.findall(rf'^{gpu.GPU_POWER.name}{{gpu="(\d+)"', page, re.MULTILINE)
    return {int(index) for index in found}


def counted_xids(subject: Subject) -> dict[str, float]:
    """XIDs on the page, by the source that told of them."""
    found: dict[str, float] = {}
    for family in text_string_to_metric_families(subject.page()):
        for sample in family.samples:
            if sample.name == gpu.GPU_XID_ERRORS.name:
                source = sample.labels["source"]
                found[source] = found.get(source, 0) + sample.value
    return found


def _all_well(subject: Subject, gpus: int) -> float | None:
    """Seconds until every GPU is well and has a power reading again; None if that never came."""
    began = time.monotonic()
    while time.monotonic() - began < CALM:
        page = subject.page()
        ok = re.findall(rf'^{gpu.GPU_STATE.name}{{.*state="ok"}} 1', page, re.MULTILINE)
        if len(ok) == len(powered(page)) == gpus:
            return round(time.monotonic() - began, 1)
        time.sleep(0.5)
    return None


def _medians(rows: list[Footprint]) -> dict[str, float]:
    return {key: statistics.median(asdict(row)[key] for row in rows) for key in _KEYS}


def _peaks(rows: list[Footprint]) -> dict[str, float]:
    return {key: max(asdict(row)[key] for row in rows) for key in _KEYS}


_KEYS = ("rss", "pss", "threads", "descriptors", "processes")
