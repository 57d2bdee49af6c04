"""Playing a recording in one go, or in parts on several processes or machines, with the same outcome."""

from __future__ import annotations

import gzip
import json
import os
from dataclasses import asdict, dataclass, field
from pathlib import Path

from analytics.engine import Engine
from analytics.evaluation.replay import Finding, Forecast, Replay, combined, new_engine, replay
from analytics.recording import Recording, files_of, open_recording
from analytics.recording.ordering import Progress
from analytics.recording.spill import Scratch
from analytics.serving.state import FILE as STATE
from analytics.serving.state import StateStore
from analytics.training.groups import Groups, Parts, combinations
from analytics.training.manifest import fingerprint, finish, finished
from analytics.training.split import ROWS, split
from gigawatch.errors import UserError

RESULT = "result.json.gz"
_SPLIT_FROM = 4_000_000
"""Rows from which on a recording is worth cutting, unless a number of parts is asked for."""


@dataclass(frozen=True, slots=True)
class Plan:
    """How the work is done.

    `parts` 0 chooses by size; `work` keeps finished parts, so that an interrupted run goes on where it was
    (without it a scratch folder is used); `dask` is the address of a cluster; `states` keeps what the
    detectors remember in the end.
    """

    parts: int = 0
    by: str = "auto"
    dask: str = ""
    work: Path | None = None
    scratch: Path | None = None
    align: float = 0.0
    states: bool = False


@dataclass(frozen=True, slots=True)
class Job:
    """One part: where its rows are, where its outcome goes, and a key that tells what it was made from."""

    source: Path
    folder: Path
    key: str
    align: float = 0.0
    states: bool = False
    scratch: Path | None = None


@dataclass(slots=True)
class Ran:
    """What came out."""

    result: Replay
    folders: list[Path] = field(default_factory=list)
    """Of the parts, with the saved state in each."""
    scratch: Scratch | None = None
    """Keeps the folders until this object is gone."""
    engine: Engine | None = None
    """Where there was one part, worked on here."""


def run(recording: Recording, plan: Plan, progress: Progress) -> Ran:
    """Play the recording as planned. UserError, one line, if a part fails."""
    recording.progress = progress
    parts = plan.parts or _parts(recording, plan)
    owners = None
    if parts > 1:
        entries = combinations(recording)
        groups = Groups(entries, plan.by)
        parts = min(parts, len(groups))
        owners = Parts(groups, entries, parts)
    if parts == 1 and plan.work is None:
        engine = Engine(fleet=recording.fleet) if plan.states else new_engine(recording.fleet)
        return Ran(replay(recording, engine), engine=engine)
    scratch = Scratch(plan.scratch)
    folder = plan.work or scratch()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"--work {folder}: cannot be made ({error.strerror})") from None
    key = fingerprint(files_of(recording.path), parts, plan.by, plan.align, plan.states)
    if owners is None or parts == 1:
        jobs = [Job(recording.path, folder / "part-000", key, plan.align, plan.states, plan.scratch)]
    else:
        folders = split(recording, owners, folder, key, progress)
        jobs = [Job(one / ROWS, one, key, 0.0, plan.states, plan.scratch) for one in folders]
    if len(jobs) == 1:
        work(jobs[0], progress)
    else:
        from analytics.training.cluster import spread

        spread(
            work, [job for job in jobs if not finished(job.folder, job.key)], plan.dask, len(jobs), progress
        )
    done = [load(job.folder) for job in jobs]
    return Ran(combined(done), [job.folder for job in jobs], scratch)


def _parts(recording: Recording, plan: Plan) -> int:
    if plan.dask:
        from analytics.training.cluster import threads_of

        return threads_of(plan.dask)
    return (os.cpu_count() or 1) if recording.rows >= _SPLIT_FROM else 1


def work(job: Job, progress: Progress = lambda _stage, _share: None) -> str:
    """Do one part and keep its outcome; one that is finished already is left as it is."""
    if finished(job.folder, job.key):
        return str(job.folder)
    recording = open_recording(job.source, job.scratch, job.align, progress=progress)
    engine = Engine(fleet=recording.fleet) if job.states else new_engine(recording.fleet)
    result = replay(recording, engine)
    job.folder.mkdir(parents=True, exist_ok=True)
    names = [RESULT]
    with gzip.open(job.folder / RESULT, "wt", compresslevel=5) as file:
        json.dump(asdict(result), file)
    if job.states:
        StateStore(job.folder).save(*engine.dump())
        names.append(STATE)
    finish(job.folder, job.key, names)
    return str(job.folder)


def load(folder: Path) -> Replay:
    """The outcome of a part."""
    with gzip.open(folder / RESULT, "rt") as file:
        data = json.load(file)
    data["findings"] = [Finding(**{**one, "gpus": tuple(one["gpus"])}) for one in data["findings"]]
    data["forecasts"] = {
        name: [Forecast(**one) for one in track] for name, track in data["forecasts"].items()
    }
    return Replay(**data)
