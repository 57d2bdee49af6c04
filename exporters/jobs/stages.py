"""In which stage of a pipeline a job works, by whatever word its owner chose."""

from __future__ import annotations

import re
from collections.abc import Mapping

from gigawatch.catalogue.workload import STAGES

LABEL = "gigawatch.io/stage"
"""Label, or annotation, of a pod that names its stage."""
_ALSO = {
    "fine_tuning": "evaluation", "finetuning": "evaluation", "eval": "evaluation", "train": "training",
    "preprocessing": "data_preparation", "serving": "inference",
}  # fmt: skip
_IN_COMMENT = re.compile(r"(?:^|[\s,;])stage=([A-Za-z_-]{1,32})")


def stage(word: str) -> str:
    """The stage that a word means, empty where it means none."""
    plain = word.strip().lower().replace("-", "_")
    plain = _ALSO.get(plain, plain)
    return plain if plain in STAGES else ""


def stage_of_job(comments: str, partitions: str = "", by_partition: Mapping[str, str] | None = None) -> str:
    """Slurm: `stage=training` in a comment of the job, else what its partition (the first that tells, where
    it names several) is for."""
    told = _IN_COMMENT.search(comments)
    if told and stage(told[1]):
        return stage(told[1])
    given = by_partition or {}
    return next((stage(given[name]) for name in partitions.split(",") if name in given), "")


def stage_of_pod(labels: Mapping[str, str], annotations: Mapping[str, str]) -> str:
    """Kubernetes: the label, else the annotation, of the same name."""
    return stage(labels.get(LABEL, "")) or stage(annotations.get(LABEL, ""))
