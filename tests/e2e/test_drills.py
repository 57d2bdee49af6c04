"""Faults on a living plant: each brings one right page in time, and a healthy plant brings none.

Real plant, agent, facility exporter, service discovery, Prometheus, analytics, Alertmanager and pager.
"""

from __future__ import annotations

import time
from typing import Any

import pytest
from live_stack import Stack, until

pytestmark = pytest.mark.e2e
IN_TIME = 90.0
QUIET = 120.0

# fault, target, what the page must name as its place, a word of its cause
# Each on a place of its own, so that none explains (and mutes) another.
DRILLS = [
    ("coolant-pump", "loop-1", "loop-1", "pump"),
    ("xid-79", "r03-n01/2", "r03-n01", "bus"),
    ("leak", "r03-n04", "r03-n04", "leak"),
    ("engine-hang", "r04-n01", "r04-n01", "scheduler"),
    ("psu-lost", "r03-n03", "r03-n03", "power supply"),
    ("storage-stall", "r04-n03", "r04-n03", "storage"),
    ("breaker-limit", "pdu-s01-a", "s01", "load"),
    ("thermal-interface", "r03-n02/5", "r03-n02", "thermal"),
]


def named(page: dict[str, Any], place: str) -> bool:
    text = " ".join([*map(str, page["labels"].values()), *map(str, page["annotations"].values())])
    return place in text


def urgent(stack: Stack) -> list[dict[str, Any]]:
    """Pages that wake somebody. Tickets may outlive their fault: a link that failed may do so again."""
    return [page for page in stack.pages() if page["urgency"] == "page"]


def over(stack: Stack) -> bool:
    return all(page["status"] == "resolved" for page in urgent(stack))


def test_a_healthy_plant_pages_nobody_then_each_fault_pages_in_time(mid_scale: Stack) -> None:
    time.sleep(QUIET)
    assert [p["annotations"].get("summary") for p in mid_scale.pages()] == []

    began = {}
    for fault, target, _, _ in DRILLS:
        mid_scale.run("drill", fault, "--target", target, "--for", "4m")
        began[fault] = time.time()

    waiting = {fault: (place, word) for fault, _, place, word in DRILLS}
    took: dict[str, float] = {}
    deadline = time.monotonic() + IN_TIME + 10
    while waiting and time.monotonic() < deadline:
        for page in mid_scale.pages():
            for fault, (place, _) in list(waiting.items()):
                if named(page, place):
                    took[fault] = time.time() - began[fault]
                    del waiting[fault]
        time.sleep(1)
    print("seconds from drill to page:", {fault: round(seconds) for fault, seconds in took.items()})
    assert not waiting, f"no page for {sorted(waiting)}; pages: {[p['labels'] for p in mid_scale.pages()]}"
    assert max(took.values()) <= IN_TIME

    for fault, _, place, word in DRILLS:
        pages = [p for p in mid_scale.pages() if named(p, place)]
        text = " ".join(str(value) for page in pages for value in page["annotations"].values()).lower()
        assert word in text, f"{fault}: the page does not name its cause: {text}"
        for page in pages:
            for key in ("summary", "cause", "consequence", "action", "place", "runbook_url", "dashboard_url"):
                assert page["annotations"].get(key), f"{fault}: the page lacks {key}"
            assert page["link"].startswith("http")

    mid_scale.run("drill", "--stop")


def test_one_failed_coolant_unit_is_one_page_and_not_one_per_gpu(mid_scale: Stack) -> None:
    before = len(mid_scale.pages())
    mid_scale.run("drill", "cdu-failure", "--target", "cdu-2", "--for", "3m")
    until(lambda: len(mid_scale.pages()) > before, IN_TIME, "a page for the coolant unit")
    # The GPUs on the loop heat up and throttle meanwhile: their alerts fire, and nobody is paged for them.
    until(
        lambda: len(mid_scale.query('ALERTS{alertstate="firing",domain="gpu",loop="loop-2"}')) >= 8,
        120,
        "hot GPUs",
    )
    time.sleep(25)
    # A ticket may come late for what an earlier drill did to the other loop; it wakes nobody.
    new = [page for page in mid_scale.pages()[before:] if page["urgency"] == "page"]
    assert [p["labels"].get("place") for p in new] == ["loop-2"], [
        p["annotations"].get("summary") for p in new
    ]
    mid_scale.run("drill", "--stop")


def test_one_lost_feed_is_one_page(mid_scale: Stack) -> None:
    until(lambda: over(mid_scale), 300, "the earlier pages resolved", lambda: urgent(mid_scale)[-3:])
    before = len(urgent(mid_scale))
    mid_scale.run("drill", "feed-lost", "--target", "utility-a", "--for", "2m")
    until(lambda: len(urgent(mid_scale)) > before, IN_TIME, "a page for the feed")
    time.sleep(40)
    new = urgent(mid_scale)[before:]
    assert len(new) == 1, [p["annotations"].get("summary") for p in new]
    assert named(new[0], "utility-a")


def test_pages_end_with_their_faults(mid_scale: Stack) -> None:
    mid_scale.run("drill", "--stop")
    until(lambda: over(mid_scale), 300, "all pages resolved", lambda: urgent(mid_scale)[-3:])


def test_one_sick_gpu_is_one_page_with_the_cause_on_top(mid_scale: Stack) -> None:
    """The last one: what an XID page counts is ten minutes long, so it outlives its fault."""
    place = "r02-n01/gpu4"

    def pages() -> list[dict[str, Any]]:
        return [p for p in mid_scale.pages() if p["urgency"] == "page" and p["labels"].get("place") == place]

    def instead() -> object:
        alerts = mid_scale.query('ALERTS{node="r02-n01"}')
        return [alert["metric"] for alert in alerts], mid_scale.pages()[-3:]

    mid_scale.run("drill", "ecc-storm", "--target", "r02-n01/4", "--for", "6m")
    # Memory errors, their XID and the state that asks for a reset: three alerts, one after the other.
    until(pages, 2 * IN_TIME, "a page for the GPU", instead)
    until(lambda: len(pages()[0]["alerts"]) >= 3, 2 * IN_TIME, "all that is wrong with the GPU")
    assert [page["labels"]["alertname"] for page in pages()] == ["GpuEccUncorrected"]
    mid_scale.run("drill", "--stop")
