"""Months of a fleet as a file in the format of backtests, block by block, and the truth beside it."""

from __future__ import annotations

import csv
import importlib
import io
import time
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any, Protocol

import numpy as np

from gigawatch.config import parse_duration
from gigawatch.errors import UserError
from gigawatch.simulator.months.faults import Trouble
from gigawatch.simulator.months.fleet import Months, populate
from gigawatch.simulator.months.mix import mix_named
from gigawatch.simulator.months.run import COLUMNS, Block, Run
from gigawatch.simulator.record import TRUTH, Summary, whole_file

LABELS = ("timestamp", "site", "rack", "node", "gpu", "uuid", "loop", "job_id")
LARGEST = 2_000_000_000


class _Writer(Protocol):
    def write(self, block: Block) -> None: ...
    def close(self) -> None: ...


def record_months(
    mix: str,
    gpus: int,
    days: float,
    step: str,
    seed: int,
    out: Path,
    truth: Path | None,
    progress: Callable[[float], None],
) -> Summary:
    """Write data (.csv or .parquet) and truth, whole or not at all. UserError for what cannot be done."""
    chosen = mix_named(mix)
    try:
        seconds = float(parse_duration(step))
    except ValueError as error:
        raise UserError(f"--step {step}: {error}") from None
    if not 8 <= gpus <= 100_000:
        raise UserError(f"--gpus {gpus}: allowed: 8 to 100000")
    if not (0 < days <= 400 and 1 <= seconds <= 3600 and seed >= 0):
        raise UserError("--days up to 400, --step from 1s to 1h, --seed from 0")
    rows = gpus * days * 86400 / seconds
    if rows > LARGEST:
        raise UserError(f"{rows:.3g} rows: at most {LARGEST:.0e}; fewer GPUs or days, or a longer step")
    begin = time.perf_counter()
    plant = populate(chosen, gpus, days, seconds, seed)
    run, written, moments = Run(plant), 0, 0
    total = max(1, int(plant.span / plant.step))
    with whole_file(out) as data_file, whole_file(truth) as truth_file:
        writer = _writer_for(out, data_file, plant)
        for block in run.blocks(max(1, 1_000_000 // plant.gpus)):
            writer.write(block)
            written += int(np.isfinite(block.columns[COLUMNS[0]]).sum())
            moments += len(block.times)
            progress(moments / total)
        writer.close()
        if truth_file is not None:
            truth_file.write(truth_text(plant, run.troubles).encode())
    known = sum(trouble.known for trouble in run.troubles)
    return Summary(written, moments, plant.gpus, known, plant.span, time.perf_counter() - begin)


def truth_text(plant: Months, troubles: list[Trouble]) -> str:
    """Faults and rack-wide events as the truth file has them; healthy steps of software are left out."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(TRUTH)
    for t in troubles:
        if t.known:
            failure = "" if t.failure != t.failure else f"{plant.start + t.failure:.0f}"
            ends = (f"{plant.start + moment:.0f}" for moment in (t.start, t.end))
            writer.writerow((t.entity, t.kind, *ends, failure))
    return text.getvalue()


def _writer_for(out: Path, file: IO[bytes], plant: Months) -> _Writer:
    if out.suffix == ".csv":
        return _Csv(file, plant)
    if out.suffix != ".parquet":
        raise UserError(f"{out}: extension '{out.suffix}' is not known; write .csv or .parquet")
    try:
        return _Parquet(
            file, plant, importlib.import_module("pyarrow"), importlib.import_module("pyarrow.parquet")
        )
    except ImportError:
        raise UserError(
            f"{out}: Parquet needs the Python module 'pyarrow' (pip install pyarrow); or write .csv"
        ) from None


def _labels(plant: Months) -> list[tuple[str, ...]]:
    """site, rack, node, gpu, uuid, loop of every GPU."""
    return [
        (plant.site, plant.rack_name(r), plant.node_name(n), plant.slot[i], plant.uuid[i], plant.loop_name(r))
        for i, (n, r) in enumerate(zip(plant.node.tolist(), plant.rack.tolist(), strict=True))
    ]


class _Csv:
    def __init__(self, file: IO[bytes], plant: Months) -> None:
        self._file, self._plant = file, plant
        self._labels = [",".join(labels) for labels in _labels(plant)]
        file.write((",".join((*LABELS, *COLUMNS)) + "\n").encode())

    def write(self, block: Block) -> None:
        lines = []
        for i, now in enumerate(block.times):
            table = np.stack([block.columns[name][i] for name in COLUMNS])
            for g in np.flatnonzero(np.isfinite(table[0])):
                job = block.jobs[i, self._plant.node[g]]
                cells = ",".join("" if v != v else f"{v:.7g}" for v in table[:, g].tolist())
                lines.append(f"{now:.0f},{self._labels[g]},{f'job-{job}' if job else ''},{cells}\n")
        self._file.write("".join(lines).encode())

    def close(self) -> None:
        """Nothing is held back."""


class _Parquet:
    """A row group per block; labels as dictionaries; rows of GPUs that sent nothing are left out."""

    def __init__(self, file: IO[bytes], plant: Months, arrow: Any, parquet: Any) -> None:
        self._arrow, self._plant = arrow, plant
        text = arrow.dictionary(arrow.int32(), arrow.string())
        fields = [("timestamp", arrow.float64()), *((name, text) for name in LABELS[1:])]
        self._schema = arrow.schema([*fields, *((name, arrow.float32()) for name in COLUMNS)])
        self._writer = parquet.ParquetWriter(file, self._schema)
        self._codes = []
        for values in zip(*_labels(plant), strict=True):
            names, codes = np.unique(np.array(values), return_inverse=True)
            self._codes.append((np.asarray(codes, np.int32), arrow.array(names.tolist())))

    def write(self, block: Block) -> None:
        arrow = self._arrow
        moment, gpu = np.nonzero(np.isfinite(block.columns[COLUMNS[0]]))
        arrays = [arrow.array(block.times[moment])]
        for own, names in self._codes:
            arrays.append(arrow.DictionaryArray.from_arrays(arrow.array(own[gpu]), names))
        jobs, codes = np.unique(block.jobs[moment, self._plant.node[gpu]], return_inverse=True)
        names = arrow.array([f"job-{job}" if job else "" for job in jobs.tolist()])
        arrays.append(arrow.DictionaryArray.from_arrays(arrow.array(codes.astype(np.int32)), names))
        arrays += [arrow.array(block.columns[name][moment, gpu], from_pandas=True) for name in COLUMNS]
        self._writer.write_table(arrow.Table.from_arrays(arrays, schema=self._schema))

    def close(self) -> None:
        self._writer.close()
