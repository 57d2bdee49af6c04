"""Score the novelty detector on the development part of the Numenta Anomaly Benchmark; prints JSON.

    python benchmarks/nab_score.py --data ../shared/data/nab --scorer ../shared/tools/scorer/nabscore.py

One parameter set, one threshold for all files. Besides the three profiles, at the alarm threshold 0.5 and at
the best one, it says what a threshold chosen on half of the sources is worth on the other half (mean of many
splits; files of one source stay together), and what a point costs. `--causal` also checks that no score
depends on the future. `--out` writes the report to a file as well.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import re
import time
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from analytics.detectors.novelty import EventLayer, NoveltyKernel
from analytics.fleet.columns import Floats
from analytics.score import score_series

Corpus = dict[str, dict[str, Any]]
SAME_SOURCE = re.compile(r"t4013|rogue_agent|exchange-\d")
SPLITS = 200


def load(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location("nabscore", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def score_all(corpus: Corpus) -> dict[str, Floats]:
    """All files side by side, one series each: the same arithmetic as one by one, but faster."""
    names = list(corpus)
    rows = max(len(corpus[name]["v"]) for name in names)
    values, times = (np.full((rows, len(names)), np.nan) for _ in range(2))
    for i, name in enumerate(names):
        values[: len(corpus[name]["v"]), i] = corpus[name]["v"]
        times[: len(corpus[name]["t"]), i] = corpus[name]["t"]
    kernel, events = NoveltyKernel(), EventLayer()
    scores = np.array([events.step(kernel.step(values[i], times[i])) for i in range(rows)])
    return {name: scores[: len(corpus[name]["v"]), i] for i, name in enumerate(names)}


def cross_validated(nabscore: ModuleType, corpus: Corpus, scores: dict[str, Floats], profile: str) -> float:
    """Mean score of a half of the sources at the threshold that is best for the other half."""
    source = [found[0] if (found := SAME_SOURCE.search(name)) else name for name in corpus]
    sources = sorted(set(source))
    rng, results = np.random.default_rng(7), []
    for _ in range(SPLITS):
        left = set(rng.permutation(sources)[: len(sources) // 2])
        halves = [{n: d for n, d in corpus.items() if n in part} for part in _parts(corpus, source, left)]
        for learned, held in (halves, halves[::-1]):
            _, threshold = nabscore.nab(learned, scores, profile)
            results.append(nabscore.nab(held, scores, profile, threshold=threshold)[0])
    return float(np.mean(results))


def _parts(corpus: Corpus, source: list[str], left: set[str]) -> tuple[set[str], set[str]]:
    inside = {name for name, own in zip(corpus, source, strict=True) if own in left}
    return inside, set(corpus) - inside


def by_category(nabscore: ModuleType, corpus: Corpus, scores: dict[str, Floats]) -> dict[str, Any]:
    """Score, windows hit and false bursts per folder at 0.5."""
    found = nabscore.per_file(corpus, scores, 0.5)
    table: dict[str, Any] = {}
    for category in sorted({name.split("/")[0] for name in corpus}):
        part = [row for name, row in found.items() if name.startswith(category + "/")]
        points, windows, hit, _, bursts = (sum(column) for column in zip(*part, strict=True))
        table[category] = {"windows": windows, "hit": hit, "false_bursts": bursts}
        if windows:
            table[category]["score"] = round(50 * (points + windows) / windows, 1)
    return table


def nanoseconds_per_point(series: int = 100_000, ticks: int = 40) -> float:
    """Processor time of one value of one series, many side by side, samples 15 s apart."""
    values = np.random.default_rng(0).standard_normal((8, series))
    kernel = NoveltyKernel()
    for i in range(120):
        kernel.step(values[i % 8], 1.7e9 + 300.0 * i)
    began = time.process_time()
    for i in range(ticks):
        kernel.step(values[i % 8], 1.7e9 + 36000.0 + 15.0 * i)
    return (time.process_time() - began) / series / ticks * 1e9


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="folder with data/ and windows.json")
    parser.add_argument("--scorer", type=Path, required=True, help="nabscore.py")
    parser.add_argument("--causal", action="store_true", help="score prefixes too and compare (slow)")
    parser.add_argument("--out", type=Path, help="also write the report here")
    arguments = parser.parse_args()
    nabscore = load(arguments.scorer)
    corpus = nabscore.load_corpus(arguments.data / "data", arguments.data / "windows.json")
    if arguments.causal:
        nabscore.check_causal(corpus, score_series)
    scores = score_all(corpus)
    report: dict[str, Any] = {
        "files": len(corpus),
        "windows": sum(len(file["win"]) for file in corpus.values()),
        "rows": sum(len(file["v"]) for file in corpus.values()),
        "causal": "checked" if arguments.causal else "not checked in this run",
    }
    for profile in nabscore.PROFILES:
        points, threshold = nabscore.nab(corpus, scores, profile)
        report[profile] = {
            "at_threshold_0.5": round(nabscore.nab(corpus, scores, profile, threshold=0.5)[0], 2),
            "best": round(points, 2),
            "best_threshold": round(threshold, 4),
            "threshold_from_other_half": round(cross_validated(nabscore, corpus, scores, profile), 2),
        }
    report["categories_at_threshold_0.5"] = by_category(nabscore, corpus, scores)
    report["nanoseconds_per_point"] = round(nanoseconds_per_point(), 1)
    report["state_bytes_per_series"] = _state_bytes()
    text = json.dumps(report, indent=2)
    print(text)
    if arguments.out:
        arguments.out.write_text(text + "\n", encoding="utf-8")


def _state_bytes() -> int:
    kernel = NoveltyKernel()
    kernel.step(np.zeros(1), 0.0)
    return kernel.columns.nbytes


if __name__ == "__main__":
    main()
