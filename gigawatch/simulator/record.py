"""Running a scenario and writing it down: one row per moment and GPU, and the truth about its faults."""

from __future__ import annotations

import csv
import importlib
import io
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Protocol

import numpy as np

from gigawatch.errors import UserError
from gigawatch.simulator.columns import METRICS, Columns
from gigawatch.simulator.effects import Effects
from gigawatch.simulator.faults import Fault
from gigawatch.simulator.layout import Array, Index
from gigawatch.simulator.plant import Plant
from gigawatch.simulator.scenario import Scenario

LABELS = ("timestamp", "site", "rack", "node", "gpu", "uuid", "loop", "job_id")
TRUTH = ("entity", "fault", "start", "end", "failure_time")


@dataclass(frozen=True, slots=True)
class Summary:
    """What a run did."""

    rows: int
    moments: int
    gpus: int
    faults: int
    simulated_seconds: float
    wall_seconds: float


class _Writer(Protocol):
    def write(self, now: float, columns: Array) -> None: ...
    def close(self) -> None: ...


def simulate(
    scenario: Scenario, out: Path, truth: Path | None, progress: Callable[[float], None] = lambda _: None
) -> Summary:
    """Run the scenario; write data (CSV or Parquet by extension) and truth (CSV), whole or not at all.

    Raises UserError for an extension or folder that cannot be written.
    """
    opener = _writer_for(out)
    begin = time.perf_counter()
    plant = Plant(scenario.inventory, scenario.seed, scenario.start, scenario.jobs)
    plant.set_faults(scenario.faults)
    failures: dict[int, float] = {}
    failed = np.zeros(plant.layout.sizes["G"], bool)
    with whole_file(out) as data_file, whole_file(truth) as truth_file:
        writer, columns = opener(data_file, plant), Columns(plant.layout)
        for moment in range(scenario.samples):
            plant.advance(scenario.step)
            # Adding up steps would drift: the clock is set from the count.
            plant.skip_to(scenario.start + (moment + 1) * scenario.step)
            writer.write(plant.time, columns.at(plant.state))
            failed = _watch(plant, failures, failed)
            progress((moment + 1) / scenario.samples)
        writer.close()
        if truth_file is not None:
            _write_truth(truth_file, scenario, failures)
    gpus = plant.layout.sizes["G"]
    return Summary(
        scenario.samples * gpus, scenario.samples, gpus, len(scenario.faults),
        scenario.samples * scenario.step,
        time.perf_counter() - begin,
    )  # fmt: skip


@contextmanager
def whole_file(path: Path | None) -> Iterator[Any]:
    """A file that appears under its name only if all went well."""
    if path is None:
        yield None
        return
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        file = temporary.open("wb")
    except OSError as error:
        raise UserError(
            f"{path}: cannot be written ({error.strerror}); check the folder and its permissions"
        ) from None
    try:
        with file:
            yield file
        temporary.replace(path)
    except OSError as error:
        raise UserError(f"{path}: cannot be written ({error.strerror})") from None
    finally:
        temporary.unlink(missing_ok=True)


def _gpus_of(plant: Plant, fault: Fault) -> Index:
    """GPUs that a fault can bring to fail."""
    layout, target = plant.layout, fault.target
    effects = Effects(layout)
    if target.kind in ("gpu", "node"):
        return effects.gpus(target)
    if target.kind in ("loop", "cdu"):
        name = target.name if target.kind == "loop" else layout.inventory.device[target.name].loop
        return np.flatnonzero(layout.node_loop[layout.gpu_node] == layout.loop[name])
    racks = {node.rack for node in layout.inventory.blast_radius(target.name)}
    return np.flatnonzero(np.isin(layout.node_rack[layout.gpu_node], [layout.rack[rack] for rack in racks]))


def _watch(plant: Plant, failures: dict[int, float], before: Array) -> Array:
    """Note when the first GPU of each fault's target throttles by heat or is lost; return which do now.

    A GPU that failed before the fault began is no sign of this fault.
    """
    s = plant.state
    now = np.asarray((s.thermal_cap < 0.985) | (s.lost > 0))
    fresh = now & ~before
    if not fresh.any():
        return now
    for number, fault in enumerate(plant.faults):
        if (
            number not in failures
            and fault.start <= s.time <= fault.end
            and fresh[_gpus_of(plant, fault)].any()
        ):
            failures[number] = s.time
    return now


def _write_truth(file: IO[bytes], scenario: Scenario, failures: dict[int, float]) -> None:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(TRUTH)
    for number, fault in enumerate(scenario.faults):
        entity = fault.target.entity(scenario.inventory, scenario.seed)
        failure = _number(failures[number]) if number in failures else ""
        writer.writerow([entity, fault.kind, _number(fault.start), _number(fault.end), failure])
    file.write(text.getvalue().encode())


def _number(value: float) -> str:
    if value != value:
        return ""
    return str(int(value)) if value == int(value) else repr(value)


def _labels(plant: Plant) -> list[tuple[str, ...]]:
    layout = plant.layout
    names: list[tuple[str, ...]] = []
    for g, n in enumerate(layout.gpu_node.tolist()):
        node = plant.inventory.nodes[n]
        group = int(layout.gpu_group[g])
        job = layout.groups[group - 1].job.name if group else ""
        index = str(g - int(layout.node_gpu_start[n]))
        names.append((plant.inventory.site, node.rack, node.name, index, layout.uuids[g], node.loop, job))
    return names


def _writer_for(out: Path) -> Callable[[IO[bytes], Plant], _Writer]:
    if out.suffix == ".csv":
        return _Csv
    if out.suffix == ".parquet":
        try:
            arrow, parquet = importlib.import_module("pyarrow"), importlib.import_module("pyarrow.parquet")
        except ImportError:
            raise UserError(
                f"{out}: Parquet needs the Python module 'pyarrow' (pip install pyarrow); or write .csv"
            ) from None
        return lambda file, plant: _Parquet(file, plant, arrow, parquet)
    raise UserError(f"{out}: extension '{out.suffix}' is not known; write .csv or .parquet")


class _Csv:
    def __init__(self, file: IO[bytes], plant: Plant) -> None:
        self._file = file
        self._labels = [",".join(labels) for labels in _labels(plant)]
        file.write((",".join((*LABELS, *METRICS)) + "\n").encode())

    def write(self, now: float, columns: Array) -> None:
        moment = _number(now)
        rows = zip(self._labels, columns.T.tolist(), strict=True)
        text = "".join(f"{moment},{labels},{','.join(map(_number, values))}\n" for labels, values in rows)
        self._file.write(text.encode())

    def close(self) -> None:
        """Nothing is held back."""


class _Parquet:
    """Row groups of about a million rows; labels as dictionaries."""

    def __init__(self, file: IO[bytes], plant: Plant, arrow: Any, parquet: Any) -> None:
        self._arrow, self._labels = arrow, list(zip(*_labels(plant), strict=True))
        text = arrow.dictionary(arrow.int32(), arrow.string())
        fields = [("timestamp", arrow.float64()), *((name, text) for name in LABELS[1:])]
        self._schema = arrow.schema([*fields, *((name, arrow.float64()) for name in METRICS)])
        self._writer = parquet.ParquetWriter(file, self._schema)
        self._moments: list[float] = []
        self._blocks: list[Array] = []

    def write(self, now: float, columns: Array) -> None:
        self._moments.append(now)
        self._blocks.append(columns)
        if len(self._moments) * columns.shape[1] > 1_000_000:
            self._flush()

    def _flush(self) -> None:
        if not self._moments:
            return
        arrow, gpus = self._arrow, self._blocks[0].shape[1]
        arrays = [arrow.array(np.repeat(self._moments, gpus))]
        for values in self._labels:
            names = sorted(set(values))
            codes = np.tile(np.array([names.index(v) for v in values], dtype=np.int32), len(self._moments))
            arrays.append(arrow.DictionaryArray.from_arrays(arrow.array(codes), arrow.array(names)))
        block = np.hstack(self._blocks)
        arrays += [arrow.array(row, from_pandas=True) for row in block]  # NaN becomes null
        self._writer.write_table(arrow.Table.from_arrays(arrays, schema=self._schema))
        self._moments, self._blocks = [], []

    def close(self) -> None:
        self._flush()
        self._writer.close()
