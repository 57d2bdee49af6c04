"""Which GPUs make up a replica, by each way in which it can be known, and by none."""

from __future__ import annotations

from pathlib import Path

from made_up import (
    YES,
    at_port,
    gpu,
    held,
    in_pod,
    labels,
    listens,
    made,
    of_engine,
    pod,
    replica,
    serves,
    steady,
    tokens,
)
from rule_values import evaluate

from gigawatch.promql import recording as rec

SHARE = rec.GPU_REPLICA_SHARE.name
GPUS = rec.REPLICA_GPUS.name
POWER = rec.REPLICA_POWER.gpu.name


def part(uuid: str, name: str, model: str = "m") -> str:
    return labels(uuid=uuid, engine="vllm", model=model, replica=name, head=name)


def test_pods_of_a_group_that_spans_nodes(tmp_path: Path) -> None:
    """Leader with GPU 0, worker with GPU 1 on another node and in another rack."""
    evaluate(
        tmp_path,
        {
            **gpu("GPU-0", 300),
            **gpu("GPU-1", 500, "n2", "r2"),
            **pod("GPU-0", "lead"),
            **pod("GPU-1", "work", "n2", "r2"),
            **in_pod("10.0.0.1:8000", "lead"),
            **in_pod("10.0.0.1:8000", "work"),
            **tokens("10.0.0.1:8000", 100),
        },
        {
            SHARE: [(part("GPU-0", "10.0.0.1:8000"), 1), (part("GPU-1", "10.0.0.1:8000"), 1)],
            POWER: [(replica("10.0.0.1:8000"), 800)],
            rec.MODEL_TOKENS_PER_JOULE.name: [(labels(model="m"), 0.125)],
            rec.RACK_TOKENS.name: [(labels(rack="r1"), 50), (labels(rack="r2"), 50)],
            rec.JOB_INFERENCE_TOKENS.name: [],  # they are of neither pod alone,
            rec.NAMESPACE_INFERENCE_TOKENS.name: [(labels(namespace="ns"), 100)],  # but of this namespace
        },
    )


def test_a_process_on_the_gpu_answers_at_the_port(tmp_path: Path) -> None:
    """Two engines share GPU 0; one of them has GPU 1 as well. A port of another node is another port."""
    evaluate(
        tmp_path,
        {
            **listens("GPU-0", "8000"),
            **listens("GPU-1", "8000"),
            **listens("GPU-0", "8001"),
            **listens("GPU-2", "8000", "n2"),
            **at_port("n1:8000", "8000"),
            **at_port("n1:8001", "8001"),
            **tokens("n1:8000", 100),
            **tokens("n1:8001", 100, model="other"),
        },
        {
            SHARE: [
                (part("GPU-0", "n1:8000"), 0.5),
                (part("GPU-0", "n1:8001", "other"), 0.5),
                (part("GPU-1", "n1:8000"), 1),
            ],
            GPUS: [(replica("n1:8000"), 1.5), (replica("n1:8001", "other"), 0.5)],
        },
    )


def test_the_slurm_job_of_the_head_when_it_spans_nodes(tmp_path: Path) -> None:
    """Job 7 spans nodes and has one head: all its GPUs. Job 8 has two heads: each what it is seen to use."""
    evaluate(
        tmp_path,
        {
            **held("GPU-0", "7"),
            **held("GPU-1", "7", "n2"),
            **held("GPU-2", "8", "n3"),
            **held("GPU-3", "8", "n4"),
            **held("GPU-4", "8", "n4"),
            **listens("GPU-0", "8000"),
            **listens("GPU-2", "8000", "n3"),
            **listens("GPU-3", "8000", "n4"),
            **at_port("n1:8000", "8000"),
            **at_port("n3:8000", "8000", "n3"),
            **at_port("n4:8000", "8000", "n4"),
            **tokens("n1:8000", 10),
            **tokens("n3:8000", 10),
            **tokens("n4:8000", 10),
        },
        {
            SHARE: [
                (part("GPU-0", "n1:8000"), 1),
                (part("GPU-1", "n1:8000"), 1),
                (part("GPU-2", "n3:8000"), 1),
                (part("GPU-3", "n4:8000"), 1),
            ],
            rec.JOB_INFERENCE_TOKENS.name: [(labels(job_id="7"), 10), (labels(job_id="8"), 20)],
        },
    )


def test_on_one_node_only_gpus_that_its_processes_use(tmp_path: Path) -> None:
    evaluate(
        tmp_path,
        {
            **held("GPU-0", "7"),
            **held("GPU-1", "7"),
            **listens("GPU-0", "8000"),
            **at_port("n1:8000", "8000"),
            **tokens("n1:8000", 10),
        },
        {SHARE: [(part("GPU-0", "n1:8000"), 1)]},
    )


def test_the_job_that_the_configuration_names(tmp_path: Path) -> None:
    """Job 7 is named by one replica, job 8 by two: nobody knows which of them has what."""
    named = "aif_inference_job_info"
    evaluate(
        tmp_path,
        {
            **held("GPU-0", "7"),
            **held("GPU-1", "7", "n2"),
            **held("GPU-2", "8"),
            made(named, engine="vllm", replica="a", job_id="7"): YES,
            made(named, engine="vllm", replica="b", job_id="8"): YES,
            made(named, engine="vllm", replica="c", job_id="8"): YES,
            **tokens("a", 10),
            **tokens("b", 10),
            **tokens("c", 10),
        },
        {SHARE: [(part("GPU-0", "a"), 1), (part("GPU-1", "a"), 1)], GPUS: [(replica("a"), 2)]},
    )


def test_the_most_particular_word_counts(tmp_path: Path) -> None:
    """Outright: GPU 0. By job: 1. By pod: 2. By port: 3. Each replica lacks one more than the last."""
    job_info = "aif_inference_job_info"
    inputs: dict[str, str] = {**serves("GPU-0", "a")}
    for number, name in enumerate("abcd"):
        if name <= "b":
            job = made(job_info, engine="vllm", replica=name, job_id=f"j{name}")
            inputs |= {job: YES, **held(f"GPU-1{number}", f"j{name}")}
        if name <= "c":
            inputs |= {**in_pod(name, f"p{name}"), **pod(f"GPU-2{number}", f"p{name}")}
        inputs |= {**at_port(name, f"800{number}"), **listens(f"GPU-3{number}", f"800{number}")}
        inputs |= tokens(name, 10)
    evaluate(
        tmp_path,
        inputs,
        {
            SHARE: [
                (part("GPU-0", "a"), 1),
                (part("GPU-11", "b"), 1),
                (part("GPU-22", "c"), 1),
                (part("GPU-33", "d"), 1),
            ]
        },
    )


def test_one_replica_with_two_models(tmp_path: Path) -> None:
    """They have two GPUs together: the half of 800 W each, whichever generates more."""
    evaluate(
        tmp_path,
        {
            **gpu("GPU-0", 300),
            **gpu("GPU-1", 500),
            **pod("GPU-0", "p"),
            **pod("GPU-1", "p"),
            **in_pod("r", "p"),
            **tokens("r", 100, "big"),
            **tokens("r", 300, "small"),
        },
        {
            SHARE: [
                (labels(uuid="GPU-0", engine="vllm", replica="r", head="r"), 1),
                (labels(uuid="GPU-1", engine="vllm", replica="r", head="r"), 1),
            ],
            GPUS: [(replica("r", "big"), 1), (replica("r", "small"), 1)],
            POWER: [(replica("r", "big"), 400), (replica("r", "small"), 400)],
            rec.MODEL_TOKENS_PER_JOULE.name: [(labels(model="big"), 0.25), (labels(model="small"), 0.75)],
            rec.JOB_INFERENCE_TOKENS.name: [(labels(job_id="ns/p"), 400)],
            rec.NODE_TOKENS.name: [(labels(rack="r1", node="n1"), 400)],
        },
    )


def test_ranks_of_one_server_have_its_gpus_in_equal_parts(tmp_path: Path) -> None:
    """Two ranks in a pod with two GPUs, and a second server on GPU 1: of its three users two are ranks."""
    evaluate(
        tmp_path,
        {
            **gpu("GPU-0", 600),
            **gpu("GPU-1", 600),
            **pod("GPU-0", "p"),
            **pod("GPU-1", "p"),
            **in_pod("r", "p"),
            **in_pod("r/1", "p"),
            **serves("GPU-1", "q"),
            **tokens("r", 100),
            **tokens("r/1", 100),
            **tokens("q", 100),
        },
        {
            GPUS: [(replica("q"), 0.3333), (replica("r"), 0.8333), (replica("r/1"), 0.8333)],
            POWER: [(replica("q"), 200), (replica("r"), 500), (replica("r/1"), 500)],
        },
    )


def test_a_gpu_in_time_slices_is_not_the_engines_alone(tmp_path: Path) -> None:
    """GPU 0: an engine and a notebook. GPU 1: two pods, an engine in each."""
    evaluate(
        tmp_path,
        {
            **gpu("GPU-0", 400),
            **gpu("GPU-1", 400),
            **pod("GPU-0", "serve"),
            **pod("GPU-0", "notebook"),
            **pod("GPU-1", "one"),
            **pod("GPU-1", "two"),
            **in_pod("a", "serve"),
            **in_pod("b", "one"),
            **in_pod("c", "two"),
            **tokens("a", 100),
            **tokens("b", 100),
            **tokens("c", 100),
        },
        {
            SHARE: [(part("GPU-0", "a"), 0.5), (part("GPU-1", "b"), 0.5), (part("GPU-1", "c"), 0.5)],
            POWER: [(replica("a"), 200), (replica("b"), 200), (replica("c"), 200)],
            # Whose they are is known by the pods, though each of these GPUs has two holders.
            rec.JOB_INFERENCE_TOKENS.name: [
                (labels(job_id="ns/one"), 100),
                (labels(job_id="ns/serve"), 100),
                (labels(job_id="ns/two"), 100),
            ],
        },
    )


def test_what_two_replicas_claim_is_known_of_neither(tmp_path: Path) -> None:
    """Two engines in one pod, and two behind one port: their tokens count, their energy does not."""
    evaluate(
        tmp_path,
        {
            **gpu("GPU-0", 400),
            **pod("GPU-0", "p"),
            **in_pod("a", "p"),
            **in_pod("b", "p"),
            **listens("GPU-0", "8000"),
            **at_port("c", "8000"),
            **at_port("d", "8000"),
            **tokens("a", 10),
            **tokens("b", 10),
            **tokens("c", 10),
            **tokens("d", 10),
        },
        {
            SHARE: [],
            rec.MODEL_TOKENS.name: [(labels(model="m"), 40)],
            rec.MODEL_TOKENS_PER_JOULE.name: [],
            rec.MODEL_TOKENS_KNOWN.name: [(labels(model="m"), 0)],
        },
    )


def test_a_replica_whose_gpus_nobody_knows_counts_where_its_engine_runs(tmp_path: Path) -> None:
    evaluate(
        tmp_path,
        {
            of_engine("aif_inference_tokens_total", "a", kind="generation", source="computed",
                      node="n1", rack="r1"): "0+150x260",
            **tokens("b", 20),  # somewhere
        },
        {
            rec.NODE_TOKENS.name: [(labels(rack="r1", node="n1"), 10)],
            rec.RACK_TOKENS.name: [(labels(rack="r1"), 10)],
            rec.SITE_TOKENS.name: [(labels(), 30)],
        },
    )  # fmt: skip


def test_an_engine_that_is_down_still_has_its_gpus(tmp_path: Path) -> None:
    """Only that it does not answer is told of it."""
    evaluate(
        tmp_path,
        {
            of_engine("aif_inference_engine_up", "a"): steady(0),
            **pod("GPU-0", "p"),
            **in_pod("a", "p"),
        },
        {SHARE: [(part("GPU-0", "a"), 1)], rec.MODEL_TOKENS.name: []},
    )


def test_a_gpu_that_moved_is_no_two(tmp_path: Path) -> None:
    """Seen at two nodes for a while: its energy counts once, its place is not known."""
    evaluate(
        tmp_path,
        {
            **gpu("GPU-0", 400),
            **gpu("GPU-0", 400, "n2", "r2"),
            **serves("GPU-0", "a"),
            **tokens("a", 100),
            **held("GPU-0", "7"),
            **held("GPU-0", "7", "n2", "r2"),
        },
        {
            POWER: [(replica("a"), 400)],
            rec.GPU_PLACE.name: [],
            rec.JOB_INFERENCE_TOKENS.name: [(labels(job_id="7"), 100)],
        },
    )
