"""Our detectors beside what others run, on the same data in one run; prints JSON.

    python benchmarks/detector_comparison.py --data ../shared/data --scorer ../shared/tools/scorer \\
        --fleet hard.parquet --truth hard.csv --out benchmarks/results/detector-comparison.json

PyOD and River are for this benchmark alone: pip install pyod river (the dependency group `benchmarks`).
Without them their rows are left out. The fleet is what `gigawatch simulate --mix hard` writes.

On NAB every method is tried with and without an event layer (only what beats the last 100 rows counts), and
the better of the two is kept. Thresholds are chosen on this very data for everybody; for ours the fixed one
is told too.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import sys
import time
from pathlib import Path
from types import ModuleType
from typing import Any

import comparison_methods as methods
import numpy as np

OURS = "Gigawatch"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, help="folder with nab/, smd/, asd/")
    parser.add_argument("--scorer", type=Path, help="folder with nabscore.py and detmetrics.py")
    parser.add_argument("--fleet", type=Path, help="recorded fleet, as for `gigawatch analytics backtest`")
    parser.add_argument("--truth", type=Path, help="its faults")
    parser.add_argument("--out", type=Path, help="write the JSON here as well")
    arguments = parser.parse_args()
    if (arguments.data is None) != (arguments.scorer is None):
        parser.error("--data and --scorer go together")
    if (arguments.fleet is None) != (arguments.truth is None):
        parser.error("--fleet and --truth go together")
    missing = methods.tables()[1]
    if missing:
        print(f"left out, not installed: pip install {' '.join(missing)}", file=sys.stderr)
    report: dict[str, Any] = {"not_installed": missing}
    if arguments.data is not None:
        report["nab"] = nab(arguments.data / "nab", _module(arguments.scorer / "nabscore.py"))
        metrics = _module(arguments.scorer / "detmetrics.py")
        for name in ("smd", "asd"):
            report[name] = tables(arguments.data / name, metrics)
    if arguments.fleet is not None:
        from comparison_fleet import compare

        report["fleet"] = compare(arguments.fleet, arguments.truth)
    text = json.dumps(report, indent=2)
    if arguments.out is not None:
        arguments.out.write_text(text + "\n")
    print(text)


def _module(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None or not path.exists():
        raise SystemExit(f"{path}: is not there; --scorer names the folder with it")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _log(text: str) -> None:
    if sys.stderr.isatty():
        print(text, file=sys.stderr)


def nab(folder: Path, scorer: ModuleType) -> dict[str, Any]:
    """Three profiles, each at its best threshold; points a second of processor time."""
    from analytics.score import score_series

    corpus = scorer.load_corpus(folder / "data", folder / "windows.json")
    rows = sum(len(file["v"]) for file in corpus.values())
    every: dict[str, methods.Series] = {OURS: score_series, **methods.SERIES}
    every |= {name: methods.embedded(m) for name, m in methods.tables()[0].items() if name not in every}
    first = next(iter(corpus.values()))
    score_series(first["v"][:200], first["t"][:200])  # compiled before the clock runs
    out: dict[str, Any] = {}
    for name, method in every.items():
        _log(f"NAB: {name}")
        began = time.process_time()
        scores = scorer.run(corpus, method)
        spent = time.process_time() - began
        quiet = {key: methods.calm(values) for key, values in scores.items()}
        kinds = {"raw": scores} if name == OURS else {"raw": scores, "event layer": quiet}
        figures = {
            kind: {p: round(scorer.nab(corpus, found, p)[0], 2) for p in scorer.PROFILES}
            for kind, found in kinds.items()
        }
        better = max(figures, key=lambda kind: figures[kind]["standard"])
        out[name] = {**figures[better], "shown": better, "points_per_second": round(rows / max(spent, 1e-9))}
        if name == OURS:
            fixed = {p: round(scorer.nab(corpus, scores, p, threshold=0.5)[0], 2) for p in scorer.PROFILES}
            out[name] |= {"shown": "as it is", "at_threshold_0.5": fixed}
    published = folder / "published_on_this_part.json"
    return {
        "files": len(corpus),
        "rows": rows,
        "methods": out,
        "published_rescored": json.loads(published.read_text()) if published.exists() else {},
    }


def tables(folder: Path, scorer: ModuleType) -> dict[str, Any]:
    """Mean VUS-PR (buffer 100) and AUC-PR over the tables of a collection."""
    sources = sorted(folder.glob("*.npz"))
    every: dict[str, methods.Table] = {OURS: _ours, "rolling z, top 5": _rolling, **methods.tables()[0]}
    out: dict[str, Any] = {}
    for name, method in every.items():
        _log(f"{folder.name}: {name}")
        found, points, spent = [], 0, 0.0
        for source in sources:
            with np.load(source) as data:
                train, test, label = (np.asarray(data[key], float) for key in ("train", "test", "label"))
            began = time.process_time()
            scores = method(train, test)
            spent += time.process_time() - began
            points += train.size + test.size
            found.append((scorer.vus_pr(label, scores), scorer.auc_pr(label, scores)))
        vus, auc = np.mean(found, axis=0)
        out[name] = {
            "vus_pr": round(float(vus), 4),
            "auc_pr": round(float(auc), 4),
            "points_per_second": round(points / max(spent, 1e-9)),
        }
    return {"tables": len(sources), "methods": out}


def _ours(train: np.ndarray, test: np.ndarray) -> np.ndarray:
    from analytics.models.estimator import MetricsModel

    return np.nan_to_num(np.asarray(MetricsModel().fit(train).stream(test)))


def _rolling(train: np.ndarray, test: np.ndarray) -> np.ndarray:
    """Rolling z-score per metric, mean of the five strangest."""
    whole = np.concatenate((train[-600:], test))
    scores = methods.rolling_z(whole, np.arange(len(whole)) * 60.0)[600:]
    return np.sort(scores, axis=1)[:, -5:].mean(axis=1)


if __name__ == "__main__":
    main()
