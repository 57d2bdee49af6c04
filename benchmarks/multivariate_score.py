"""Score the multivariate model on the development parts of SMD and ASD, beside scikit-learn's; prints JSON.

    python benchmarks/multivariate_score.py --data ../shared/data --scorer ../detmetrics.py

One estimator, one parameter set. Every model is fitted on the unlabelled `train` part, then streamed over
`test`. `--causal` also checks that no score depends on later rows.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np

from analytics.models.estimator import MetricsModel

HOLD = 0.5 ** (1 / 30)
Scorer = Callable[[np.ndarray, np.ndarray], np.ndarray]


def ours(**parameters: float) -> Scorer:
    return lambda train, test: MetricsModel(**parameters).fit(train).stream(test)


def scaled(train: np.ndarray, test: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    spread = np.maximum(train.std(axis=0), 0.01)
    return tuple(np.clip((x - train.mean(axis=0)) / spread, -20, 20) for x in (train, test))


def sample(train: np.ndarray) -> np.ndarray:
    return train[np.random.default_rng(0).permutation(len(train))[:4000]]


def top_z(train: np.ndarray, test: np.ndarray) -> np.ndarray:
    return np.sort(np.abs(scaled(train, test)[1]), axis=1)[:, -3:].mean(axis=1)


def pca(train: np.ndarray, test: np.ndarray) -> np.ndarray:
    from sklearn.decomposition import PCA

    past, now = scaled(train, test)
    model = PCA(6).fit(past)
    return ((now - model.inverse_transform(model.transform(now))) ** 2).sum(axis=1)


def forest(train: np.ndarray, test: np.ndarray) -> np.ndarray:
    from sklearn.ensemble import IsolationForest

    past, now = scaled(train, test)
    return -IsolationForest(n_estimators=100, random_state=0).fit(sample(past)).score_samples(now)


def neighbours(train: np.ndarray, test: np.ndarray) -> np.ndarray:
    from sklearn.neighbors import NearestNeighbors

    past, now = scaled(train, test)
    return NearestNeighbors(n_neighbors=5).fit(sample(past)).kneighbors(now)[0].mean(axis=1)


def prototypes(train: np.ndarray, test: np.ndarray) -> np.ndarray:
    from sklearn.cluster import KMeans

    past, now = scaled(train, test)
    return KMeans(n_clusters=20, n_init=1, random_state=0).fit(sample(past)).transform(now).min(axis=1)


def mahalanobis(train: np.ndarray, test: np.ndarray) -> np.ndarray:
    from sklearn.covariance import LedoitWolf

    past, now = scaled(train, test)
    return LedoitWolf().fit(past).mahalanobis(now)


def mixture(train: np.ndarray, test: np.ndarray) -> np.ndarray:
    from sklearn.mixture import GaussianMixture

    past, now = scaled(train, test)
    model = GaussianMixture(n_components=8, reg_covar=0.01, random_state=0).fit(sample(past))
    # Densities fall without bound: the logarithm keeps one event from drowning the next.
    return np.log1p(np.maximum(100 - model.score_samples(now), 0))


def random(train: np.ndarray, test: np.ndarray) -> np.ndarray:  # noqa: ARG001 - one signature for all
    return np.random.default_rng(0).random(len(test))


def held(scorer: Scorer) -> Scorer:
    """The same with its score held as ours is."""

    def run(train: np.ndarray, test: np.ndarray) -> np.ndarray:
        score = np.log1p(scorer(train, test))
        now = 0.0
        for i, value in enumerate(score):
            score[i] = now = max(value, now * HOLD)
        return score

    return run


SCORERS: dict[str, Scorer] = {
    "ours": ours(),
    "ours, not held": ours(hold=0.01),
    "random": random,
    "robust z, mean of top 3": top_z,
    "robust z, mean of top 3, held": held(top_z),
    "PCA residual (6)": pca,
    "PCA residual (6), held": held(pca),
    "isolation forest": forest,
    "isolation forest, held": held(forest),
    "nearest neighbours (5)": neighbours,
    "nearest neighbours (5), held": held(neighbours),
    "k-means (20)": prototypes,
    "k-means (20), held": held(prototypes),
    "Mahalanobis, Ledoit-Wolf": mahalanobis,
    "Mahalanobis, Ledoit-Wolf, held": held(mahalanobis),
    "Gaussian mixture (8)": mixture,
    "Gaussian mixture (8), held": held(mixture),
}


def judge(metrics: ModuleType, label: np.ndarray, score: np.ndarray, step: float) -> dict[str, float]:
    best = metrics.best_event_f1(label, score, step_s=step)
    fixed = metrics.events(label, score, 0.5, step_s=step)
    noise = np.random.default_rng(0).random(len(label))
    often = np.quantile(noise, 1 - max(float((score >= 0.5).mean()), 1 / len(label)))
    return {
        "vus_pr": metrics.vus_pr(label, score),
        "auc_pr": metrics.auc_pr(label, score),
        "event_f1_oracle": best["f1"],
        "event_f1_at_0.5": fixed["f1"],
        "event_f1_of_chance_as_often": metrics.events(label, noise, often, step_s=step)["f1"],
    }


def check_causal(train: np.ndarray, test: np.ndarray) -> None:
    model = MetricsModel().fit(train)
    whole = model.anomaly_score(test)
    for cut in np.random.default_rng(0).integers(1, len(test), 8):
        assert np.array_equal(model.anomaly_score(test[:cut]), whole[:cut]), f"row {cut} knows the future"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="folder with smd/ and asd/")
    parser.add_argument("--scorer", type=Path, required=True, help="detmetrics.py")
    parser.add_argument("--causal", action="store_true", help="check that scores do not look ahead")
    parser.add_argument("--only", help="one of the rows")
    arguments = parser.parse_args()
    spec = importlib.util.spec_from_file_location("detmetrics", arguments.scorer)
    assert spec is not None
    assert spec.loader is not None
    metrics = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(metrics)
    report: dict[str, dict[str, object]] = {}
    for collection, step in (("smd", 60.0), ("asd", 300.0)):
        machines = {path.stem: np.load(path) for path in sorted((arguments.data / collection).glob("*.npz"))}
        for name, scorer in SCORERS.items():
            if arguments.only not in (None, name):
                continue
            figures, began = {}, time.process_time()
            for machine, data in machines.items():
                train, test = data["train"].astype(float), data["test"].astype(float)
                if arguments.causal and name == "ours":
                    check_causal(train, test)
                figures[machine] = judge(metrics, data["label"], scorer(train, test), step)
            mean = {
                key: float(np.mean([f[key] for f in figures.values()]))
                for key in next(iter(figures.values()))
            }
            if name != "ours":
                # Only our scores have an alarm level.
                mean = {
                    key: value
                    for key, value in mean.items()
                    if not key.startswith(("event_f1_at", "event_f1_of"))
                }
            own = report.setdefault(name, {})
            own[collection] = {key: round(value, 3) for key, value in mean.items()}
            own[f"{collection}_vus_pr_each"] = {m: round(f["vus_pr"], 3) for m, f in figures.items()}
            own[f"{collection}_seconds"] = round(time.process_time() - began, 1)
    print(json.dumps(report, indent=2))


if __name__ == "__main__":
    main()
