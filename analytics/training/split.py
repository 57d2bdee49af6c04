"""Cutting a recording into parts, one Parquet file each, in order of time."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from analytics.recording import Recording
from analytics.recording.ordering import Progress
from analytics.recording.rows import LABELS, Block, Codes
from analytics.training.groups import Parts
from analytics.training.manifest import finish, finished
from gigawatch.errors import UserError

ROWS = "rows.parquet"
_GROUP = 1 << 19
"""Rows of a row group."""


class PartFile:
    """A Parquet file that grows by blocks of a recording."""

    def __init__(self, path: Path, recording: Recording) -> None:
        self.path = path
        self._recording = recording
        text = pa.dictionary(pa.int32(), pa.string())
        self._labels = [name for name in LABELS if name in _present(recording)]
        self._schema = pa.schema(
            [("timestamp", pa.float64())]
            + [(name, text) for name in self._labels]
            + [(name, pa.float64()) for name in recording.columns]
        )
        self._writer = pq.ParquetWriter(path, self._schema, compression="lz4")
        self._held: list[Block] = []
        self._rows = 0

    def add(self, block: Block) -> None:
        """Append rows."""
        if len(block):
            self._held.append(block)
            self._rows += len(block)
        if self._rows >= _GROUP:
            self._flush()

    def close(self) -> None:
        """Write what is held back, and the footer."""
        self._flush()
        self._writer.close()

    def _flush(self) -> None:
        for block in self._held:
            self._writer.write_table(self._table(block))
        self._held, self._rows = [], 0

    def _table(self, block: Block) -> Any:
        arrays = [pa.array(block.seconds)]
        entries = self._recording.layout.book.entries
        used, codes = np.unique(block.who, return_inverse=True)
        for name in self._labels:
            i = LABELS.index(name)
            names: dict[str, int] = {}
            table = np.array([names.setdefault(entries[w][i], len(names)) for w in used.tolist()], np.int32)
            arrays.append(
                pa.DictionaryArray.from_arrays(pa.array(table[codes]), pa.array(list(names), pa.string()))
            )
        arrays += [pa.array(row, from_pandas=True) for row in block.values]  # NaN becomes null
        return pa.Table.from_arrays(arrays, schema=self._schema)


def split(recording: Recording, parts: Parts, folder: Path, key: str, progress: Progress) -> list[Path]:
    """Folders of the parts that have rows, each with its rows in a file. What is there already is kept."""
    folders = [folder / f"part-{i:03d}" for i in range(parts.count)]
    if finished(folder, key):
        return [one for one in folders if (one / ROWS).exists()]
    try:
        for one in folders:
            one.mkdir(parents=True, exist_ok=True)
            for old in one.iterdir():
                old.unlink()
        files = [PartFile(one / ROWS, recording) for one in folders]
        rows = np.zeros(parts.count, np.int64)
        owner: Codes = np.zeros(0, np.int32)
        recording.progress = lambda stage, share: progress(
            "cutting into parts" if stage == "replaying" else stage, share
        )
        for block in recording.blocks():
            owner = _owners(owner, recording, parts)
            mine = owner[block.who]
            for i, file in enumerate(files):
                chosen = np.flatnonzero(mine == i)
                file.add(block.take(chosen))
                rows[i] += len(chosen)
        for file in files:
            file.close()
    except OSError as error:
        raise UserError(
            f"{folder}: parts cannot be written ({error.strerror}); name another with --work"
        ) from None
    full = [one for one, count in zip(folders, rows.tolist(), strict=True) if count]
    for one in set(folders) - set(full):
        (one / ROWS).unlink()
        one.rmdir()
    finish(folder, key, [str((one / ROWS).relative_to(folder)) for one in full])
    return full


def _owners(known: Codes, recording: Recording, parts: Parts) -> Codes:
    fresh = recording.layout.book.entries[len(known) :]
    numbers = [parts.of(dict(zip(LABELS, entry, strict=True))) for entry in fresh]
    return np.concatenate((known, np.array(numbers, np.int32)))


def _present(recording: Recording) -> set[str]:
    """Labels of the recording, as analytics names them."""
    return {name if name in LABELS else "job" for name in recording.layout.labels}
