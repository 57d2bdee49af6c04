"""Score the novelty detector on the development part of the Numenta Anomaly Benchmark; prints JSON.

    python benchmarks/nab_score.py --data ../shared/data/nab --scorer ../shared/tools/scorer/nabscore.py

One parameter set, one threshold for all files; also checks that no score depends on the future.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import time
from pathlib import Path

from analytics.score import score_series


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="folder with data/ and windows.json")
    parser.add_argument("--scorer", type=Path, required=True, help="nabscore.py")
    parser.add_argument("--causal", action="store_true", help="score prefixes too and compare (slow)")
    arguments = parser.parse_args()
    spec = importlib.util.spec_from_file_location("nabscore", arguments.scorer)
    assert spec is not None
    assert spec.loader is not None
    nabscore = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(nabscore)
    corpus = nabscore.load_corpus(arguments.data / "data", arguments.data / "windows.json")
    if arguments.causal:
        nabscore.check_causal(corpus, score_series)
    began = time.process_time()
    scores = nabscore.run(corpus, score_series)
    spent = time.process_time() - began
    report = {
        "files": len(corpus),
        "rows": sum(len(file["v"]) for file in corpus.values()),
        "cpu_seconds": round(spent, 1),
        "at_threshold_0.5": round(nabscore.nab(corpus, scores, "standard", threshold=0.5)[0], 2),
    }
    for profile in nabscore.PROFILES:
        points, threshold = nabscore.nab(corpus, scores, profile)
        report[profile] = {"score": round(points, 2), "threshold": round(threshold, 4)}
    print(json.dumps(report, indent=2))


if __name__ == "__main__":
    main()
