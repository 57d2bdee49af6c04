"""A poll of one Modbus device: all blocks of its profile, in as few requests as they can be had."""

from __future__ import annotations

import difflib
from dataclasses import dataclass, field
from pathlib import Path

from exporters.facility.driver import Polled, PollError, Reason, Wiring
from exporters.facility.modbus.decode import Decoder
from exporters.facility.modbus.files import load_profile
from exporters.facility.modbus.link import GATEWAY, ExceptionAnswer, Link, quiet
from exporters.facility.modbus.profile import Block, Profile, blocks, split

BUILT_IN = Path(__file__).parent / "profiles"
OPTION = "modbus_profiles"
"""Option of the settings with the site's own folder."""
_REQUEST = 3.0
"""Most seconds that one request may take: others behind the same gateway wait meanwhile."""
_ASK_AGAIN = 600.0
"""Seconds after which a block that the device refused is tried again: its firmware may have changed."""
_NEVER_THERE = (1, 2, 3)
"""Exceptions that say the device has no such registers, now or later."""


@dataclass(slots=True)
class Shared:
    """What all Modbus drivers of a process share."""

    links: dict[tuple[str, int], Link] = field(default_factory=dict)
    profiles: dict[tuple[str, str], Profile] = field(default_factory=dict)


class ModbusDriver:
    """Asks one unit."""

    def __init__(self, wiring: Wiring) -> None:
        quiet()
        endpoint = wiring.endpoint
        self._shared = _shared(wiring)
        self._profile = profile(endpoint.profile, wiring.options.get(OPTION, ""), self._shared)
        if not 0 <= endpoint.unit <= 255:
            raise PollError(Reason.PROFILE, f"unit {endpoint.unit} is not possible: 0 to 255")
        self._place = address(endpoint.address)
        self._link = self._shared.links.setdefault(self._place, Link(*self._place))
        self._link.users += 1
        self._link.pause = max(self._link.pause, self._profile.pause)
        self._unit, self._side, self._clock = endpoint.unit, wiring.device.side, wiring.clock
        self._timeout = min(_REQUEST, wiring.deadline * 0.8)
        self._blocks = list(blocks(self._profile.rows, self._profile.registers, self._profile.gap))
        self._refused: dict[Block, float] = {}
        self._closed = False

    async def poll(self) -> Polled:
        """All blocks. One that the device refuses costs only itself."""
        known = self._profile
        polled = Polled(identity=(known.name, known.vendor, known.model, "", ""))
        decoder = Decoder(self._side, polled)
        refusal: tuple[Block, ExceptionAnswer] | None = None
        answered = False
        pending = list(self._blocks)
        while pending:
            block = pending.pop(0)
            if self._refused.get(block, 0.0) > self._clock():
                polled.drop("error", len(block.rows))
                continue
            try:
                answer = await self._link.read(
                    self._unit, block.function, block.address, block.count, self._timeout
                )
            except ExceptionAnswer as error:
                if error.code in GATEWAY:
                    raise PollError(Reason.PROTOCOL, str(error)) from None
                pending[:0] = self._on_refusal(block, error, polled)
                refusal = block, error
                continue
            answered = True
            self._refused.pop(block, None)
            decoder.take(block, answer)
        decoder.finish(known.rows)
        if not answered:
            what = (
                f"{refusal[0]}: {refusal[1]}" if refusal else "refused everything that the profile asks for"
            )
            raise PollError(Reason.PROTOCOL, what)
        if not polled.readings:
            raise PollError(Reason.EMPTY, "answers, with no plausible value: profile, unit or word order?")
        return polled

    async def close(self) -> None:
        """Leave; the last of a gateway's units closes the connection."""
        if self._closed:
            return
        self._closed = True
        self._link.users -= 1
        if self._link.users <= 0:
            if self._shared.links.get(self._place) is self._link:
                del self._shared.links[self._place]
            await self._link.close()

    def _on_refusal(self, block: Block, error: ExceptionAnswer, polled: Polled) -> tuple[Block, ...]:
        """What to ask for instead: halves, until only the registers are left out that are not there."""
        if error.code in _NEVER_THERE:
            halves = split(block)
            if len(halves) > 1:
                place = self._blocks.index(block)
                self._blocks[place : place + 1] = halves
                return halves
            self._refused[block] = self._clock() + _ASK_AGAIN
        polled.drop("error", len(block.rows))
        return ()


def profile(name: str, folder: str, shared: Shared) -> Profile:
    """The profile of that name: the site's own, or one of ours. PollError(PROFILE) or FileError."""
    if (name, folder) in shared.profiles:
        return shared.profiles[name, folder]
    files = {path.stem: path for path in sorted(BUILT_IN.glob("*.yaml"))}
    if folder:
        files |= {path.stem: path for path in sorted(Path(folder).glob("*.yaml"))}
    if name not in files:
        near = difflib.get_close_matches(name, files, 1)
        hint = f"did you mean {near[0]}?" if near else f"there are: {', '.join(sorted(files))}"
        problem = f"profile {name!r} does not exist" if name else "Modbus needs a profile"
        raise PollError(Reason.PROFILE, f"{problem}; {hint}")
    return shared.profiles.setdefault((name, folder), load_profile(files[name]))


def address(text: str) -> tuple[str, int]:
    """Host and port of HOST[:PORT]; an IPv6 address with a port stands in brackets."""
    host, port = text, "502"
    if text.startswith("["):
        host, _, rest = text[1:].partition("]")
        port = rest.removeprefix(":") or port
    elif text.count(":") == 1:
        host, _, port = text.partition(":")
    if not host or not port.isdecimal() or not 0 < int(port) < 65536:
        raise PollError(Reason.PROFILE, f"address {text!r} is no HOST[:PORT]")
    return host, int(port)


def _shared(wiring: Wiring) -> Shared:
    found = wiring.shared.setdefault("modbus", Shared())
    assert isinstance(found, Shared)  # noqa: S101 - the key is this protocol's own
    return found
