"""The fake driver keeps its word: asked through pynvml, in a process of its own, as the agent asks it."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from fake_driver import FakeDriver, main

Ask = Callable[..., "Asked"]

_BEGIN = """
import ctypes, sys, threading, time
from pynvml import *
from pynvml import NVMLError
def code(function, *arguments):
    try:
        return function(*arguments)
    except NVMLError as error:
        return -error.value
def done(*parts):
    print(*parts, flush=True)
def within(seconds, function, *arguments):
    found = []
    thread = threading.Thread(target=lambda: found.append(code(function, *arguments)), daemon=True)
    thread.start()
    thread.join(seconds)
    return found[0] if found else "hangs"
def fields(gpu, *ids):
    return [(v.nvmlReturn, v.valueType, v.value) for v in nvmlDeviceGetFieldValues(gpu, list(ids))]
nvmlInit()
gpus = [nvmlDeviceGetHandleByIndex(i) for i in range(nvmlDeviceGetCount())]
"""


class Asked:
    """A Python program with the fake driver; it and the test take turns by a line each."""

    def __init__(self, driver: FakeDriver, program: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", _BEGIN + textwrap.dedent(program)],
            env=os.environ | driver.environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def line(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def go(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()

    def end(self) -> tuple[int, str]:
        _, error = self.process.communicate(timeout=60)
        return self.process.returncode, error


@pytest.fixture
def driver(driver_library: Callable[[str], Path], tmp_path: Path) -> Iterator[FakeDriver]:
    made = FakeDriver(
        tmp_path / "control", "gpus 3", library=driver_library(""), kernel_log=tmp_path / "kmsg"
    )
    yield made
    made.close()


@pytest.fixture
def ask(driver: FakeDriver) -> Iterator[Ask]:
    started: list[Asked] = []

    def start(program: str, of: FakeDriver = driver) -> Asked:
        started.append(Asked(of, program))
        return started[-1]

    yield start
    for asked in started:
        asked.process.kill()
        asked.process.communicate()


def test_values_are_those_of_the_control(driver: FakeDriver, ask: Ask) -> None:
    driver.write(
        "gpus 3", "power 1 450", "temperature * 71", "field 143 * 5 2", "field 300 0 -7", "sentinel 82"
    )
    driver.add("unsupported 94", "process 1 4242 1000", "uuid 2 GPU-new", "field 299 0 9:us")
    asked = ask("""
        done([nvmlDeviceGetUUID(g) for g in gpus], nvmlDeviceGetPciInfo(gpus[1]).busId)
        power, replays = fields(gpus[1], 186)[0], fields(gpus[0], 94)[0]
        done(nvmlDeviceGetTemperature(gpus[2], 0), power[2].uiVal, replays[0])
        (_, kind, low), (_, _, remapped), (_, _, sentinel) = fields(gpus[2], 300, 143, 82)
        short = fields(gpus[2], 299)[0]
        done(kind, low.siVal, remapped.uiVal, sentinel.uiVal, short[1], short[2].usVal)
        running, none = (nvmlDeviceGetComputeRunningProcesses_v3(gpus[i]) for i in (1, 0))
        done([(p.pid, p.usedGpuMemory >> 20) for p in running], none)
        done([v[0] for v in fields(gpus[0], (165, 17), (165, 18), (202, 0))])
    """)
    assert asked.line() == "['GPU-fake-0000', 'GPU-fake-0001', 'GPU-new'] 00000000:1C:00.0"
    assert asked.line() == "71 450000 3"
    assert asked.line() == "5 -7 5 4294967295 6 9"
    assert asked.line() == "[(4242, 1000)] []"
    assert asked.line() == "[0, 3, 3]"


def test_counters_run_and_never_fall(driver: FakeDriver, ask: Ask) -> None:
    driver.write("gpus 1", "live 1", "power 0 700")
    asked = ask("""
        for _ in range(2):
            values = [fields(gpus[0], 83, 197) for _ in range(2) if not time.sleep(0.05)]
            done(*(v[2].ullVal for pair in values for v in pair))
            sys.stdin.readline()
    """)
    energy, received, energy_after, received_after = map(int, asked.line().split())
    assert 123456000 < energy < energy_after
    assert received < received_after
    driver.write("gpus 1", "live 1", "power 0 1")
    asked.go()
    assert energy_after <= int(asked.line().split()[0])


def test_a_hang_is_a_hang_until_it_is_taken_back(driver: FakeDriver, ask: Ask) -> None:
    asked = ask("""
        held = []
        thread = threading.Thread(target=lambda: held.append(nvmlDeviceGetPowerUsage(gpus[1])), daemon=True)
        done("ready")
        sys.stdin.readline()
        thread.start()
        thread.join(0.5)
        done(held, code(nvmlDeviceGetPowerUsage, gpus[0]), within(0.2, nvmlDeviceGetHandleByIndex, 0))
        sys.stdin.readline()
        thread.join(30)
        done(held)
        sys.stdin.readline()
        done(within(0.2, nvmlDeviceGetCount))
    """)
    asked.line()
    driver.write("gpus 3", "hang 1", "hang 2", "hang_index 0")
    asked.go()
    assert asked.line() == "[] 123000 hangs"
    driver.write("gpus 3")
    asked.go()
    assert asked.line() == "[123000]"
    driver.write("gpus 3", "hang_everything 1")
    asked.go()
    assert asked.line() == "hangs"


@pytest.mark.parametrize(
    ("line", "codes"),
    [
        ("lost 1", "50 -15"),
        ("reset_required 1", "50 -16"),
        ("gpu_not_found 1", "50 -28"),
        ("unknown 1", "50 -999"),
        ("mismatch 1", "-18 -18"),
        ("upgrade 2", "-18 -18"),
        ("unload 1", "-1 -1"),
        ("permission Utilization", "-4 -4"),
        ("gpus 1", "50 -28"),
    ],
)
def test_a_fault_hits_what_it_names(driver: FakeDriver, ask: Ask, line: str, codes: str) -> None:
    asked = ask("""
        def load(gpu):
            return nvmlDeviceGetUtilizationRates(gpu).gpu
        done("ready")
        sys.stdin.readline()
        done(code(load, gpus[0]), code(load, gpus[1]))
        sys.stdin.readline()
        nvmlInit()
        done(code(load, gpus[0]), code(load, gpus[1]))
    """)
    asked.line()
    driver.add(line)
    asked.go()
    assert asked.line() == codes
    driver.write("gpus 3")
    asked.go()
    assert asked.line() == "50 51"


def test_a_crash_takes_the_process_and_no_other(driver: FakeDriver, ask: Ask) -> None:
    driver.add("crash 2")
    asked = ask("done(nvmlDeviceGetPowerUsage(gpus[1])); nvmlDeviceGetPowerUsage(gpus[2])")
    assert asked.line() == "123000"
    assert asked.end()[0] == -11


def test_every_xid_arrives_once_and_none_is_replayed(driver: FakeDriver, ask: Ask) -> None:
    driver.xid(0, 13)
    asked = ask("""
        events = nvmlEventSetCreate()
        for gpu in gpus[:2]:
            nvmlDeviceRegisterEvents(gpu, nvmlEventTypeXidCriticalError, events)
        done(code(nvmlEventSetWait_v2, events, 10))
        found = []
        while len(found) < 5000:
            event = nvmlEventSetWait_v2(events, 20000)
            found.append((nvmlDeviceGetUUID(event.device)[-1], event.eventData))
        done(found.count(("0", 79)), found.count(("1", 31)), code(nvmlEventSetWait_v2, events, 10))
    """)
    assert asked.line() == "-10"
    driver.xid(2, 48, 7)  # of a GPU that nobody asked about
    driver.xid(0, 79, 2000)
    driver.xid(1, 31, 3000)
    assert asked.line() == "2000 3000 -10"
    assert driver.kernel_log is not None
    records = driver.kernel_log.read_text().splitlines()
    assert len(records) == 5008
    assert records[8].partition(";")[2].startswith("NVRM: Xid (PCI:0000:1b:00): 79, ")


def test_the_driver_says_when_it_goes(driver: FakeDriver, ask: Ask) -> None:
    asked = ask("""
        told = (c_nvmlSystemEventData_v1_t * 4)()
        events = nvmlSystemEventSetCreate(nvmlSystemEventSetCreateRequest_v1)
        nvmlSystemRegisterEvents(nvmlSystemRegisterEventRequest_v1, 3, events)
        wait = lambda ms: nvmlSystemEventSetWait(nvmlSystemEventSetWaitRequest_v1, events, ms, told, 4)
        done(wait(10))
        done([event["eventType"] for event in wait(20000)], wait(10))
    """)
    assert asked.line() == "[]"
    driver.add("unbind 1")
    assert asked.line() == "[1] []"


_GPM = """
def sampled(gpu, *ids):
    first, second = nvmlGpmSampleAlloc(), nvmlGpmSampleAlloc()
    nvmlGpmSampleGet(gpu, first)
    time.sleep(0.01)
    nvmlGpmSampleGet(gpu, second)
    wanted = c_nvmlGpmMetricsGet_t()
    wanted.version, wanted.numMetrics = 1, len(ids)
    wanted.sample1, wanted.sample2 = first, second
    for slot, id in zip(wanted.metrics, ids):
        slot.metricId = id
    nvmlGpmMetricsGet(wanted)
    return [(slot.nvmlReturn, slot.value) for slot in wanted.metrics[:len(ids)]]
"""


def test_profiling_and_partitions(driver: FakeDriver, ask: Ask) -> None:
    driver.add("gpm_value 2 93.5", "mig 1 2", "utilization 0 80")
    asked = ask(
        _GPM
        + textwrap.dedent("""
        done(nvmlGpmQueryDeviceSupport(gpus[0]).isSupportedDevice, sampled(gpus[0], 1, 2, 460))
        slices = [nvmlDeviceGetMigDeviceHandleByIndex(gpus[1], i) for i in range(2)]
        done(nvmlDeviceGetMigMode(gpus[1]), [nvmlDeviceGetGpuInstanceId(s) for s in slices])
        done(nvmlDeviceGetUUID(slices[1]), code(nvmlDeviceGetPowerUsage, slices[1]))
        used = nvmlDeviceGetMemoryInfo(slices[1]).used
        done(code(nvmlDeviceGetMigDeviceHandleByIndex, gpus[1], 2), used >> 30)
        """)
    )
    assert asked.line() == "1 [(0, 80.0), (0, 93.5), (3, 0.0)]"
    assert asked.line() == "[1, 1] [7, 8]"
    assert asked.line() == "MIG-fake-0001-1-0 -3"
    assert asked.line() == "-6 2"


def test_profiling_from_two_threads_is_death(driver: FakeDriver, ask: Ask) -> None:
    driver.add("gpm_slow 5000")
    asked = ask(
        _GPM
        + textwrap.dedent("""
        def always(gpu):
            while True:
                sampled(gpu, 1)
        for gpu in gpus:
            threading.Thread(target=always, args=(gpu,), daemon=True).start()
        time.sleep(30)
        """)
    )
    returncode, error = asked.end()
    assert returncode == -6
    assert "two threads" in error


def test_struct_versions_are_checked(driver: FakeDriver, ask: Ask) -> None:
    asked = ask("""
        done(nvmlDeviceGetMemoryInfo(gpus[0], nvmlMemory_v2).reserved >> 20)
        done(code(nvmlDeviceGetMemoryInfo, gpus[0], 0x03000028))
        fabric = c_nvmlGpuFabricInfo_v3_t()
        nvmlDeviceGetGpuFabricInfoV(gpus[0], ctypes.byref(fabric))
        done(fabric.state, hex(fabric.healthMask), fabric.healthSummary)
        fabric.version = 0x04000028
        done(code(nvmlDeviceGetGpuFabricInfoV, gpus[0], ctypes.byref(fabric)))
    """)
    assert [asked.line() for _ in range(4)] == ["512", "-25", "3 0xaa 1", "-25"]


def test_an_old_driver_lacks_what_it_lacked(
    driver_library: Callable[[str], Path], tmp_path: Path, ask: Ask
) -> None:
    old = FakeDriver(tmp_path / "old", "gpus 1", library=driver_library("-DOLD_DRIVER"))
    asked = ask("done(code(nvmlDeviceGetMarginTemperature, gpus[0]), fields(gpus[0], 186)[0][0])", old)
    assert asked.line() == "-13 3"
    assert asked.end() == (0, "")
    old.close()


def test_what_the_fake_costs_is_told(driver: FakeDriver, ask: Ask) -> None:
    driver.add("account 1")
    asked = ask("""
        for _ in range(1000):
            nvmlDeviceGetPowerUsage(gpus[0])
        library = sys.modules["pynvml"].nvmlLib
        library.fake_nvml_spent_ns.restype = ctypes.c_ulonglong
        done(library.fake_nvml_spent_ns() > 0)
        sys.stdin.readline()
    """)
    assert asked.line() == "True"
    nanoseconds, calls = driver.spent()[asked.process.pid]
    assert calls > 1000
    assert nanoseconds / calls < 1e5


def test_a_shell_can_steer_it(driver: FakeDriver, ask: Ask, capsys: pytest.CaptureFixture[str]) -> None:
    asked = ask("""
        done("ready")
        sys.stdin.readline()
        done(code(nvmlDeviceGetPowerUsage, gpus[0]), code(nvmlDeviceGetPowerUsage, gpus[1]))
    """)
    asked.line()
    file = str(driver.control)
    assert main(["set", file, "gpus 3", "power 0 10"]) == 0
    assert main(["add", file, "lost 1", "lost 0"]) == 0
    assert main(["remove", file, "lost 0"]) == 0
    asked.go()
    assert asked.line() == "10000 -15"
    assert main(["xid", file]) == 2
    assert "xid FILE GPU CODE" in capsys.readouterr().err
