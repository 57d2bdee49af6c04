"""The faults of the simulated plant: one table, and how a fault finds its target.

What each fault does to the physics stands in `effects`. To add one, see docs/adding-a-fault.md.
"""

from __future__ import annotations

from dataclasses import dataclass

from gigawatch.errors import UserError
from gigawatch.simulator.identity import gpu_uuid
from gigawatch.simulator.jobs import Job, near, parse_jobs
from gigawatch.topology import Inventory, Role


@dataclass(frozen=True, slots=True)
class FaultKind:
    """One kind of fault."""

    name: str
    summary: str
    targets: tuple[str, ...]
    """Kinds of target it accepts (gpu, node, rack, loop, cdu, pdu, feed, tray, device); the first is what it
    picks by default."""
    prefers: str = "training"
    """Kind of job on whose hardware the default target lies."""
    ramp: float = 10.0
    """Seconds from the first effect to the full one."""
    severity: float = 1.0
    only: bool = False
    """It means nothing to hardware without such a job."""


_TABLE = (
    FaultKind("thermal-interface", "thermal paste of one GPU dries out: its resistance rises by 80 %",
              ("gpu",), ramp=10),
    FaultKind("cold-plate-fouling",
              "the cold plates of one node clog: resistance of all its GPUs rises by 60 %",
              ("node",), ramp=10),
    FaultKind("fan-failure", "half the fans of a node stop", ("node",), ramp=5),
    FaultKind("coolant-pump", "one pump of each coolant unit stops: the loop falls to about 60 % of its flow",
              ("loop", "cdu"), ramp=5),
    FaultKind("cdu-failure", "a coolant unit stops", ("cdu",), ramp=5),
    FaultKind("flow-restricted", "a valve or filter chokes the coolant of a loop or a rack",
              ("loop", "rack")),
    FaultKind("leak", "coolant leaks at a coolant unit, in a node or over a tray: the reservoir empties",
              ("loop", "cdu", "node", "tray")),
    FaultKind("inlet-temperature", "hot air reaches the inlets of a rack: 14 K more", ("rack",), ramp=15),
    FaultKind("cdu-setpoint", "a loop's supply set point is raised by 12 K", ("loop", "cdu")),
    FaultKind("power-cap", "the power limit of a node's GPUs is halved", ("node", "gpu"), ramp=5),
    FaultKind("psu-lost", "a power supply of a node dies", ("node",), ramp=0),
    FaultKind("feed-lost",
              "a utility feed fails and its UPS runs on battery; with severity 1 the UPS fails too",
              ("feed",), prefers="", ramp=0, severity=0.5),
    FaultKind("breaker-limit", "foreign load brings a rack PDU's phase to 97 % of its breaker",
              ("pdu", "rack")),
    FaultKind("ecc-storm", "memory of a GPU decays: corrected and uncorrected errors, row remaps", ("gpu",),
              ramp=0),
    FaultKind("xid-79", "a GPU falls off the bus", ("gpu",), ramp=0),
    FaultKind("nvlink-errors", "an NVLink of a GPU goes bad", ("gpu",), ramp=5),
    FaultKind("pcie-degraded", "a GPU's PCIe link loses half of its lanes and repeats packets", ("gpu",),
              ramp=0),
    FaultKind("link-flapping", "an InfiniBand port of a node goes down and up", ("node",), ramp=0),
    FaultKind("straggler", "one GPU's clocks are held low, and its whole job waits for it", ("gpu",), ramp=5),
    FaultKind("engine-hang", "an inference engine takes requests and generates nothing", ("node",),
              "inference", ramp=0, only=True),
    FaultKind("engine-slow", "a host too busy to feed its inference engine: it loses 90 % of its rate",
              ("node",), "inference", ramp=0, only=True),
    FaultKind("training-restart", "a rank crashes every two minutes; its job begins again at a checkpoint",
              ("node",), ramp=0, only=True),
    FaultKind("storage-stall", "shared storage stops answering a node, and its job waits", ("node",), ramp=0),
    FaultKind("clock-drift", "nothing keeps a node's clock any more, and it runs 8 ms per second wrong",
              ("node",), ramp=0),
    FaultKind("disk-worn", "a node's NVMe disk is at the end of its life: no spares, media errors, slow",
              ("node",), ramp=0),
    FaultKind("pdu-lies", "a rack PDU's meter loses a decimal place: it reports ten times the current",
              ("pdu",), ramp=0),
    FaultKind("sensor-dead", "a facility device stops answering on the network and goes on working",
              ("device",), prefers="", ramp=0),
)  # fmt: skip

FAULTS: dict[str, FaultKind] = {kind.name: kind for kind in _TABLE}


@dataclass(frozen=True, slots=True)
class Target:
    """What a fault hits. `name` is a node, rack, loop or device; `gpu` the index within a node (kind gpu
    only)."""

    kind: str
    name: str
    gpu: int = 0

    @property
    def text(self) -> str:
        """The target as a user writes it: NODE/INDEX for a GPU, otherwise its name."""
        return f"{self.name}/{self.gpu}" if self.kind == "gpu" else self.name

    def entity(self, inventory: Inventory, seed: int) -> str:
        """The entity of the truth file: a GPU uuid, or node:, rack:, loop:, feed: or device: and a
        name."""
        if self.kind == "gpu":
            return gpu_uuid(seed, self.name, self.gpu)
        if self.kind == "cdu":
            return f"loop:{inventory.device[self.name].loop}"
        if self.kind == "pdu":
            return f"rack:{inventory.device[self.name].rack}"
        if self.kind in ("device", "tray"):
            return _entity(inventory, self.name)
        return f"{self.kind}:{self.name}"


def _entity(inventory: Inventory, name: str) -> str:
    """Where a device belongs, in the words of the truth file; device: and its own name if nowhere."""
    device = inventory.device[name]
    for kind, place in (("node", device.node), ("rack", device.rack), ("loop", device.loop)):
        if place:
            return f"{kind}:{place}"
    feed = inventory.feed_of(device)
    return f"feed:{feed}" if feed else f"device:{name}"


@dataclass(frozen=True, slots=True)
class Fault:
    """A fault that acts from `start` on, grows over `ramp` seconds to `severity`, and is mended at `end`."""

    kind: str
    target: Target
    start: float
    end: float
    ramp: float
    severity: float
    drill: str = ""

    def level(self, now: float) -> float:
        """How strongly it acts now: 0 before and after, `severity` once the ramp is over."""
        if not self.start <= now < self.end:
            return 0.0
        return self.severity * (min(1.0, (now - self.start) / self.ramp) if self.ramp > 0 else 1.0)


def fault_kind(name: str) -> FaultKind:
    """The kind of that name; UserError with close matches if there is none."""
    if name not in FAULTS:
        raise UserError(f"no fault '{name}'; {near(name, FAULTS)}")
    return FAULTS[name]


def resolve(kind: FaultKind, text: str | None, inventory: Inventory, seed: int = 1) -> Target:
    """The target that `text` names, or the default of the kind.

    `text` is a GPU uuid, NODE/INDEX, or the name of a node, rack, loop, device or job, with or without
    the prefix of the truth format (node:NAME). Raises UserError with close matches.
    """
    if text is None or not text:
        return _default(kind, inventory)
    name = (
        text.split(":", 1)[1]
        if text.split(":", 1)[0] in ("gpu", "node", "rack", "loop", "feed", "cdu", "pdu", "tray", "device")
        else text
    )
    for accepted in kind.targets:
        found = _match(accepted, name, inventory, seed)
        if found:
            return found
    known = {known for accepted in kind.targets for known in _names(accepted, inventory)}
    raise UserError(f"{kind.name}: no {' or '.join(kind.targets)} '{text}'; {near(name, known)}")


def _match(accepted: str, name: str, inventory: Inventory, seed: int) -> Target | None:
    if accepted == "gpu":
        return _match_gpu(name, inventory, seed)
    if name in _names(accepted, inventory):
        return Target(accepted, name)
    if accepted == "node":
        # The name of a job stands for its first node.
        first = next(
            (job.nodes[0] for job in parse_jobs(inventory.workloads, inventory) if job.name == name), None
        )
        return Target("node", first) if first else None
    if accepted == "pdu" and name in inventory.rack:
        return next(
            (Target("pdu", d.name) for d in inventory.devices_with(Role.RACK_PDU) if d.rack == name), None
        )
    return None


def _match_gpu(name: str, inventory: Inventory, seed: int) -> Target | None:
    node, _, index = name.partition("/")
    if node in inventory.node and (index.isdigit() or not index):
        number = int(index or 0)
        return Target("gpu", node, number) if number < inventory.node[node].gpus else None
    if name.startswith("GPU-"):
        for candidate in inventory.nodes:
            for number in range(candidate.gpus):
                if gpu_uuid(seed, candidate.name, number) == name:
                    return Target("gpu", candidate.name, number)
    return None


def _names(accepted: str, inventory: Inventory) -> set[str]:
    roles = {"cdu": Role.CDU, "pdu": Role.RACK_PDU, "feed": Role.UTILITY}
    if accepted in roles:
        return {device.name for device in inventory.devices_with(roles[accepted])}
    if accepted == "tray":
        return {d.name for d in inventory.devices if d.role in (Role.MANIFOLD, Role.LEAK_DETECTOR)}
    if accepted == "gpu":
        return {f"{node.name}/{index}" for node in inventory.nodes for index in range(node.gpus)}
    names: dict[str, set[str]] = {
        "node": set(inventory.node),
        "rack": set(inventory.rack),
        "loop": set(inventory.loop),
        "device": set(inventory.device),
    }
    return names[accepted]


def _default(kind: FaultKind, inventory: Inventory) -> Target:
    wanted = kind.targets[0]
    jobs = parse_jobs(inventory.workloads, inventory)
    node = _busy_node(kind, jobs, inventory)
    if wanted == "gpu" and node and inventory.node[node].gpus:
        return Target("gpu", node, min(3, inventory.node[node].gpus - 1))
    if wanted == "node" and node:
        return Target("node", node)
    if wanted == "rack" and node:
        return Target("rack", inventory.node[node].rack)
    if wanted == "device":
        sensors = inventory.devices_with(Role.SENSOR) or inventory.devices
        if sensors:
            return Target("device", sensors[0].name)
    if wanted == "feed":
        feeds = inventory.devices_with(Role.UTILITY)
        # Prefer the feed whose loss leaves the cooling alone, so that one cause has one effect.
        cooling = {
            f.name: sum(d.role in (Role.CDU, Role.CHILLER) for d in inventory.fed_from(f.name)) for f in feeds
        }
        if feeds:
            return Target("feed", min(feeds, key=lambda feed: cooling[feed.name]).name)
    loops = [
        loop.name
        for loop in inventory.loops
        if any(d.loop == loop.name for d in inventory.devices_with(Role.CDU))
    ]
    loop = inventory.node[node].loop if node else ""
    loop = loop if loop in loops else (loops[0] if loops else "")
    if wanted == "loop" and loop:
        return Target("loop", loop)
    if wanted == "cdu" and loop:
        return Target("cdu", next(d.name for d in inventory.devices_with(Role.CDU) if d.loop == loop))
    if wanted == "pdu":
        pdus = [d for d in inventory.devices_with(Role.RACK_PDU) if d.breaker_amperes > 0]
        rack = inventory.node[node].rack if node else ""
        if pdus:
            return Target("pdu", min(pdus, key=lambda pdu: pdu.rack != rack).name)
    raise UserError(f"{kind.name}: the site '{inventory.site}' has no {wanted} that this fault could hit")


def _busy_node(kind: FaultKind, jobs: tuple[Job, ...], inventory: Inventory) -> str:
    if kind.only:
        return next((job.nodes[0] for job in jobs if job.kind == kind.prefers), "")
    for wanted in (kind.prefers, "inference", "training"):
        for job in jobs:
            if job.kind == wanted:
                return job.nodes[0]
    return next((node.name for node in inventory.nodes if node.gpus), "")
