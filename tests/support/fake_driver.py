"""A fake driver library (exporters/fixtures/nvml), built on first use and steered through a mapped file.

As a command, for shells: `python fake_driver.py set FILE LINE...`, `add FILE LINE...`, `remove FILE LINE...`,
`xid FILE GPU CODE [TIMES]`, `build DIRECTORY [FLAG...]`. The words are listed in fixtures/nvml/control.c.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import hashlib
import mmap
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

SOURCES = Path(__file__).parents[1] / "exporters" / "fixtures" / "nvml"
LIBRARY = "libnvidia-ml.so.1"
XID = 0x8
"""Event type of an XID."""

# Layout of the control file: control_map in fake.h.
_GENERATION, _EVENTS = 0, 1  # in words of 8 bytes
_WAKE = 16
_SLOTS, _SLOT, _SLOT_COUNT = 64, 24, 64
_TEXT, _TEXT_SIZE = 4096, 60 * 1024
_RING, _RING_COUNT = 65536, 32768
_SIZE = _RING + _RING_COUNT * 24
_FUTEX_CALLS = {"x86_64": 202, "aarch64": 98}
_FUTEX_WAKE = 1
_FIRST_BUS = 0x1B


def build(directory: Path, *flags: str) -> Path:
    """Compile the library into a directory; FileNotFoundError where there is no C compiler."""
    compiler = shutil.which("gcc") or shutil.which("cc")
    if compiler is None:
        raise FileNotFoundError("no C compiler (gcc or cc) to build the fake driver library with")
    directory.mkdir(parents=True, exist_ok=True)
    fresh = directory / f".{LIBRARY}.{os.getpid()}"
    command = [compiler, "-O2", "-w", "-shared", "-fPIC", "-pthread", f"-Wl,-soname,{LIBRARY}", *flags]
    sources = sorted(str(path) for path in SOURCES.glob("*.c"))
    subprocess.run([*command, "-o", str(fresh), *sources], check=True, timeout=120)
    fresh.replace(directory / LIBRARY)
    return directory


def built(flags: str = "") -> Path:
    """Directory with the library, kept between runs until a source file changes."""
    told = hashlib.sha256(flags.encode() + platform.machine().encode())
    for source in sorted(SOURCES.iterdir()):
        told.update(source.read_bytes())
    directory = Path(tempfile.gettempdir()) / f"fake-driver-{os.getuid()}-{told.hexdigest()[:16]}"
    return directory if (directory / LIBRARY).exists() else build(directory, *flags.split())


class FakeDriver:
    """One node's driver: what it says, and the environment for processes that shall find it.

    `always` are lines that stand before all others, whatever is written. With `kernel_log`, XIDs are told
    there too, as records of /dev/kmsg.
    """

    def __init__(
        self,
        control: Path,
        *lines: str,
        flags: str = "",
        library: Path | None = None,
        always: tuple[str, ...] = (),
        kernel_log: Path | None = None,
    ) -> None:
        self.control, self.library, self.kernel_log = control, library or built(flags), kernel_log
        self._told = 0
        self._records = 0
        with control.open("ab") as file:
            file.truncate(_SIZE)
        self._file = control.open("r+b")
        self._map = mmap.mmap(self._file.fileno(), _SIZE)
        # Counters go on where an earlier driver of the same file left them.
        before = [line.split() for line in self._text().splitlines()]
        epoch = next((line[1] for line in before if line[0] == "epoch"), str(time.monotonic_ns()))
        self._always = (*always, f"epoch {epoch}")
        self._live = ["live", "1"] in before
        powers = _powers(before)
        self._energy = {
            int(gpu): (float(millijoules), int(since), powers[int(gpu)])
            for word, gpu, millijoules, since in (line for line in before if line[0] == "energy")
        }
        if kernel_log is not None:
            kernel_log.touch()
        self.write(*lines)

    @property
    def environment(self) -> dict[str, str]:
        """For a process that shall find this driver."""
        return {"LD_LIBRARY_PATH": str(self.library), "FAKE_NVML_CONTROL": str(self.control)}

    @property
    def lines(self) -> tuple[str, ...]:
        """The lines in force, without those that always stand."""
        hidden = ("epoch ", "energy ")
        said = self._text().splitlines()
        return tuple(x for x in said if x not in self._always and not x.startswith(hidden))

    def write(self, *lines: str) -> None:
        """How the driver behaves from now on; what was said before no longer holds.

        Besides the words of the library: `xid CODE` with `xid_gpu INDEX` and `xid_times N` sends XIDs until N
        have been sent in all.
        """
        said = {line.split()[0]: line.split()[1] for line in lines if line.startswith("xid")}
        lines = tuple(line for line in lines if not line.startswith("xid"))
        text = "\n".join((*self._always, *self._kept_energy(lines), *lines, "")).encode()
        if len(text) >= _TEXT_SIZE:
            raise ValueError(f"{len(text)} bytes are too much for the control file")
        with self._locked() as words:
            generation = words[_GENERATION] | 1
            words[_GENERATION] = generation
            self._map[_TEXT : _TEXT + len(text) + 1] = text + b"\0"
            words[_GENERATION] = generation + 1
        more = int(said.get("xid_times", 1)) - self._told if "xid" in said else 0
        if more > 0:
            self._told += more
            self.xid(int(said.get("xid_gpu", 0)), int(said["xid"]), more)

    def add(self, *lines: str) -> None:
        """Say something more."""
        self.write(*self.lines, *lines)

    def remove(self, *lines: str) -> None:
        """Take back lines that were said; one ending in * takes back all that begin so."""
        beginnings = tuple(line[:-1] for line in lines if line.endswith("*"))
        gone = set(lines)
        self.write(*(x for x in self.lines if x not in gone and not x.startswith(beginnings)))

    def xid(self, gpu: int, code: int, times: int = 1) -> None:
        """A GPU reports an XID, to everybody who waits for events now."""
        self.event(gpu, XID, code, times)
        if self.kernel_log is not None:
            where = f"PCI:0000:{_FIRST_BUS + gpu:02x}:00"
            self.log(*[f"NVRM: Xid ({where}): {code}, pid='<unknown>', name=<unknown>"] * times)

    def event(self, gpu: int, kind: int, data: int = 0, times: int = 1) -> None:
        """Any event of NVML."""
        with self._locked() as words:
            for _ in range(times):
                written = words[_EVENTS]
                at = (_RING + written % _RING_COUNT * 24) // 8
                words[at], words[at + 1], words[at + 2] = gpu, kind, data
                words[_EVENTS] = written + 1

    def log(self, *texts: str) -> None:
        """Kernel messages, level error, as records of /dev/kmsg."""
        assert self.kernel_log is not None
        with self.kernel_log.open("a") as out:
            for text in texts:
                self._records += 1
                out.write(f"3,{self._records},{time.monotonic_ns() // 1000},-;{text}\n")

    def spent(self) -> dict[int, tuple[int, int]]:
        """Process id to nanoseconds of processor time in the library, and calls; needs `account 1`."""
        with memoryview(self._map) as view, view.cast("Q") as words:
            starts = range(_SLOTS // 8, (_SLOTS + _SLOT * _SLOT_COUNT) // 8, _SLOT // 8)
            found = {words[at] & 0xFFFFFFFF: (words[at + 1], words[at + 2]) for at in starts}
        found.pop(0, None)
        return found

    def close(self) -> None:
        """Let go of the file. The library goes on with what it was told last."""
        self._map.close()
        self._file.close()

    def _text(self) -> str:
        return self._map[_TEXT : _TEXT + _TEXT_SIZE].partition(b"\0")[0].decode()

    def _kept_energy(self, lines: tuple[str, ...]) -> tuple[str, ...]:
        """Lines that carry the energy counter over a change of power, so that it never falls."""
        now = time.monotonic_ns()
        words = [line.split() for line in (*self._always, *lines)]
        for gpu, power in enumerate(_powers(words)):
            millijoules, since, before = self._energy.get(gpu, (123456000.0 + gpu, now, power))
            grown = before * (now - since) / 1e6 if self._live else 0  # W and ns to mJ
            self._energy[gpu] = (millijoules + grown, now, power)
        self._live = ["live", "1"] in words
        return tuple(f"energy {gpu} {mj:.0f} {since}" for gpu, (mj, since, _) in self._energy.items())

    @contextlib.contextmanager
    def _locked(self) -> Iterator[memoryview]:
        """The file as words of 8 bytes, for one writer at a time; wakes all that wait when done."""
        fcntl.flock(self._file, fcntl.LOCK_EX)
        try:
            with memoryview(self._map) as view, view.cast("Q") as words:
                yield words
            with memoryview(self._map) as view, view.cast("I") as halves:
                halves[_WAKE // 4] = (halves[_WAKE // 4] + 1) & 0xFFFFFFFF
        finally:
            fcntl.flock(self._file, fcntl.LOCK_UN)
        self._wake()

    def _wake(self) -> None:
        """Waiters look by themselves now and then; this only makes it at once."""
        number = _FUTEX_CALLS.get(platform.machine())
        if number is not None:
            word = ctypes.c_uint32.from_buffer(self._map, _WAKE)
            ctypes.CDLL(None).syscall(number, ctypes.byref(word), _FUTEX_WAKE, 1 << 30, None, None, 0)
            del word


def main(arguments: list[str]) -> int:
    """The command; 2 on wrong usage."""
    match arguments:
        case ["build", directory, *flags]:
            print(build(Path(directory), *flags))
        case ["set", file, *lines]:
            FakeDriver(Path(file), *lines, library=Path())
        case ["add" | "remove" as verb, file, *lines] if Path(file).exists():
            driver = _opened(Path(file))
            (driver.add if verb == "add" else driver.remove)(*lines)
        case ["xid", file, gpu, code, *times] if Path(file).exists():
            _opened(Path(file)).xid(int(gpu), int(code), int(times[0]) if times else 1)
        case _:
            print(__doc__, file=sys.stderr)
            return 2
    return 0


def _opened(control: Path) -> FakeDriver:
    """A driver that says what its file says already."""
    with control.open("rb") as file:
        file.seek(_TEXT)
        text = file.read(_TEXT_SIZE).partition(b"\0")[0].decode()
    hidden = ("epoch ", "energy ")
    return FakeDriver(control, *(x for x in text.splitlines() if not x.startswith(hidden)), library=Path())


def _powers(lines: list[list[str]]) -> list[float]:
    """Watts of each GPU, as the library takes them from the lines."""
    found = [300.0 + gpu for gpu in range(16)]
    for word, *rest in lines:
        if word == "power":
            for gpu in range(16) if rest[0] == "*" else [int(rest[0])]:
                found[gpu] = float(rest[1])
    return found


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
