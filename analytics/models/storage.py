"""A trained model on disk: arrays and a JSON header in one file, no pickle, checked when it is read."""

from __future__ import annotations

import hashlib
import io
import json
import os
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from analytics.fleet.columns import Floats
from analytics.models.estimator import LEARNED, MetricsModel
from gigawatch.errors import FileError

KIND, VERSION = "gigawatch-metrics-model", 1
_HEADER = "header"
_TRAIN = "train it again, or give another file"


@dataclass(frozen=True, slots=True)
class About:
    """Where a model comes from: the span of its data (Unix time; None where it has no times), its rows, and
    the versions that made it."""

    begin: float | None
    end: float | None
    rows: int
    gigawatch: str = ""
    sklearn: str = ""


def save_model(path: Path, model: MetricsModel, about: About) -> None:
    """Write a trained model, whole or not at all. FileError in one line."""
    import sklearn

    from gigawatch import package_version

    arrays = model.learned()
    header = {
        "kind": KIND,
        "version": VERSION,
        "checksum": _checksum(arrays),
        "columns": columns_of(model),
        "parameters": model.get_params(),
        "begin": about.begin,
        "end": about.end,
        "rows": about.rows,
        "gigawatch": about.gigawatch or package_version(),
        "sklearn": about.sklearn or sklearn.__version__,
    }
    buffer = io.BytesIO()
    named: dict[str, Any] = {**arrays, _HEADER: np.frombuffer(json.dumps(header).encode(), np.uint8)}
    np.savez(buffer, allow_pickle=False, **named)
    write_whole(path, buffer.getvalue())


def load_model(path: Path) -> tuple[MetricsModel, About]:
    """A trained model and where it comes from. FileError, one line, if it cannot be used."""
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        header = json.loads(arrays.pop(_HEADER).tobytes())
    except OSError as error:
        raise FileError(path, "", f"cannot be read ({error.strerror or 'no such model'})", _TRAIN) from None
    except (
        ValueError,
        KeyError,
        EOFError,
        AttributeError,
        zipfile.BadZipFile,
        zlib.error,
        NotImplementedError,
    ) as error:
        reason = " ".join(str(error).split())[:120] or type(error).__name__
        raise FileError(path, "", f"is not a model or is damaged ({reason})", _TRAIN) from None
    if not isinstance(header, dict) or header.get("kind") != KIND:
        raise FileError(path, "", "is not a model of many metrics", _TRAIN)
    if header.get("version") != VERSION:
        raise FileError(path, "version", f"is {header.get('version')}, this version reads {VERSION}", _TRAIN)
    if set(arrays) != set(LEARNED) or header.get("checksum") != _checksum(arrays):
        raise FileError(path, "checksum", "does not fit the content", _TRAIN)
    try:
        columns = [str(name) for name in header["columns"]]
        model = MetricsModel(**header["parameters"]).adopt(arrays, columns, int(header["rows"]))
        about = About(
            header["begin"],
            header["end"],
            int(header["rows"]),
            str(header["gigawatch"]),
            str(header["sklearn"]),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise FileError(path, "header", " ".join(str(error).split())[:160], _TRAIN) from None
    return model, about


def columns_of(model: MetricsModel) -> list[str]:
    """The names of the metrics, made up where the model was trained without."""
    names = getattr(model, "feature_names_in_", None)
    if names is None:
        return [f"metric {i}" for i in range(model.n_features_in_)]
    return [str(name) for name in names]


def write_whole(path: Path, content: bytes) -> None:
    """Write a file that is either whole or not there. FileError in one line."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_bytes(content)
        temporary.replace(path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise FileError(path, "", f"cannot be written ({error.strerror})", "check the directory") from None


def _checksum(arrays: Mapping[str, Floats]) -> str:
    digest = hashlib.sha256()
    for name in sorted(arrays):
        digest.update(f"{name} {arrays[name].dtype} {arrays[name].shape} ".encode())
        digest.update(np.ascontiguousarray(arrays[name]).tobytes())
    return digest.hexdigest()
