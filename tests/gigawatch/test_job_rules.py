"""Who holds, draws and costs what: recording rules against made-up series, to be checked by hand."""

from __future__ import annotations

from pathlib import Path

from rule_values import evaluate

from gigawatch.promql import recording as rec

ALWAYS = "x200"


def held(uuid: str, job: str, user: str = "", namespace: str = "", **more: str) -> str:
    """An allocation, as the agent on node n shows it."""
    labels = {
        "site": "s", "rack": "r1", "node": "n", "gpu": uuid[-1], "uuid": uuid, "scheduler": "kubernetes",
        "job_id": job, "user": user, "namespace": namespace, "pod": "p", "container": "c", **more,
    }  # fmt: skip
    return "aif_gpu_allocation_info{" + ",".join(f'{k}="{v}"' for k, v in labels.items() if v) + "}"


def of_gpu(metric: str, uuid: str, more: str = "") -> str:
    return f'{metric}{{site="s",rack="r1",node="n",gpu="{uuid[-1]}",uuid="{uuid}"{more}}}'


def power(uuid: str) -> str:
    return of_gpu("aif_gpu_power_watts", uuid, ',scope="gpu"')


def load(uuid: str) -> str:
    return of_gpu("aif_gpu_utilization_ratio", uuid, ',engine="gpu"')


def energy(uuid: str) -> str:
    return of_gpu("aif_gpu_energy_joules_total", uuid)


def job(name: str) -> str:
    return f'{{site="s",job_id="{name}"}}'


def user(name: str) -> str:
    return f'{{site="s",user="{name}"}}'


def namespace(name: str) -> str:
    return f'{{site="s",namespace="{name}"}}'


def test_whole_gpus_of_a_job(tmp_path: Path) -> None:
    evaluate(
        tmp_path,
        {
            held("GPU-0", "7", "ada", scheduler="slurm"): f"1{ALWAYS}",
            held("GPU-1", "7", "ada", scheduler="slurm"): f"1{ALWAYS}",
            held("GPU-2", "ml/pod", namespace="ml"): f"1{ALWAYS}",
            **{power(f"GPU-{n}"): f"{100 * (n + 1)}{ALWAYS}" for n in range(4)},
            **{energy(f"GPU-{n}"): f"0+{1500 * (n + 1)}{ALWAYS}" for n in range(4)},
            load("GPU-0"): f"0.9{ALWAYS}",
            load("GPU-1"): f"0.5{ALWAYS}",
        },
        {
            rec.JOB_GPUS.name: [(job("7"), 2), (job("ml/pod"), 1)],
            rec.JOB_POWER.name: [(job("7"), 300), (job("ml/pod"), 300)],
            rec.JOB_ENERGY_RATE.name: [(job("7"), 300), (job("ml/pod"), 300)],
            rec.JOB_UTILIZATION.name: [(job("7"), 0.7)],  # the pod's GPU does not tell
            rec.USER_GPUS.name: [(user("ada"), 2)],
            rec.USER_POWER.name: [(user("ada"), 300)],
            rec.USER_UTILIZATION.name: [(user("ada"), 0.7)],
            rec.NAMESPACE_GPUS.name: [(namespace("ml"), 1)],
            rec.NAMESPACE_ENERGY_RATE.name: [(namespace("ml"), 300)],
            rec.SITE_GPUS_ALLOCATED.name: [('{site="s"}', 3)],
        },
    )


def test_a_shared_gpu_counts_once_in_all(tmp_path: Path) -> None:
    """GPU 0: time-sliced, by a pod with two containers and another; GPU 1: three parts, two of one job."""
    evaluate(
        tmp_path,
        {
            held("GPU-0", "ml/a", namespace="ml", container="x"): f"1{ALWAYS}",
            held("GPU-0", "ml/a", namespace="ml", container="y"): f"1{ALWAYS}",
            held("GPU-0", "web/b", namespace="web"): f"1{ALWAYS}",
            held("GPU-1", "ml/c", namespace="ml", mig_uuid="MIG-1"): f"1{ALWAYS}",
            held("GPU-1", "ml/c", namespace="ml", mig_uuid="MIG-2"): f"1{ALWAYS}",
            held("GPU-1", "web/b", namespace="web", mig_uuid="MIG-3"): f"1{ALWAYS}",
            power("GPU-0"): f"600{ALWAYS}",
            power("GPU-1"): f"300{ALWAYS}",
            load("GPU-0"): f"0.8{ALWAYS}",
        },
        {
            f"sum by (uuid) ({rec.GPU_SHARE.name})": [('{uuid="GPU-0"}', 1), ('{uuid="GPU-1"}', 1)],
            rec.JOB_GPUS.name: [(job("ml/a"), 0.5), (job("ml/c"), 0.6667), (job("web/b"), 0.8333)],
            rec.JOB_POWER.name: [(job("ml/a"), 300), (job("ml/c"), 200), (job("web/b"), 400)],
            rec.JOB_UTILIZATION.name: [(job("ml/a"), 0.8), (job("web/b"), 0.8)],
            rec.NAMESPACE_GPUS.name: [(namespace("ml"), 1.1667), (namespace("web"), 0.8333)],
            rec.NAMESPACE_POWER.name: [(namespace("ml"), 500), (namespace("web"), 400)],
        },
    )


def test_a_gpu_that_two_agents_or_indices_show_for_a_while_is_still_one(tmp_path: Path) -> None:
    evaluate(
        tmp_path,
        {
            held("GPU-0", "7", "ada"): f"1{ALWAYS}",
            held("GPU-0", "7", "ada", gpu="5"): f"1{ALWAYS}",
            held("GPU-0", "7", "ada", node="renamed"): f"1{ALWAYS}",
            power("GPU-0"): f"600{ALWAYS}",
            power("GPU-0").replace('gpu="0"', 'gpu="5"'): f"600{ALWAYS}",
        },
        {
            rec.JOB_GPUS.name: [(job("7"), 1)],
            rec.USER_GPUS.name: [(user("ada"), 1)],
            rec.JOB_POWER.name: [(job("7"), 600)],
        },
    )


def test_slurm_inside_kubernetes_the_job_counts_and_not_slurms_pod(tmp_path: Path) -> None:
    evaluate(
        tmp_path,
        {
            held("GPU-0", "slurm/worker-0", namespace="slurm"): f"1{ALWAYS}",
            held("GPU-1", "slurm/worker-0", namespace="slurm"): f"1{ALWAYS}",
            held("GPU-0", "7", "ada", scheduler="slurm", pod="", container=""): f"1{ALWAYS}",
        },
        {
            rec.JOB_GPUS.name: [(job("7"), 1), (job("slurm/worker-0"), 1)],
            rec.USER_GPUS.name: [(user("ada"), 1)],
            rec.NAMESPACE_GPUS.name: [(namespace("slurm"), 1)],
        },
    )


COSTS = {
    'aif_cost_capex_usd{site="s",asset_class="gpu"}': f"4000000{ALWAYS}",
    'aif_cost_residual_ratio{site="s",asset_class="gpu"}': f"0.2{ALWAYS}",
    'aif_cost_amortization_years{site="s",asset_class="gpu"}': f"4{ALWAYS}",
    'aif_cost_staff_usd_per_year{site="s"}': f"876600{ALWAYS}",
    'aif_cost_maintenance_usd_per_year{site="s"}': f"0{ALWAYS}",
    'aif_cost_colo_usd_per_year{site="s"}': f"0{ALWAYS}",
    'aif_energy_price_usd_per_kwh{site="s"}': f"0.1{ALWAYS}",
    'aif_energy_joules_total{site="s",device="u",side="A",scope="inlet"}': f"0+1950000{ALWAYS}",
    'aif_meter_info{site="s",device="u",role="facility"}': f"1{ALWAYS}",
    'aif_gpus_owned{site="s"}': f"4{ALWAYS}",
}
"""$91.2617 of capital and $100 of fixed cost an hour for four GPUs, and $13 for 130 kW at $0.10."""


def test_what_a_job_costs(tmp_path: Path) -> None:
    """Half the GPUs bear half the capital and fixed cost; a quarter of the power a quarter of the energy."""
    evaluate(
        tmp_path,
        {
            **COSTS,
            held("GPU-0", "7", "ada"): f"1{ALWAYS}",
            held("GPU-1", "7", "ada"): f"1{ALWAYS}",
            held("GPU-2", "8", "bob", "ml"): f"1{ALWAYS}",
            power("GPU-0"): f"150{ALWAYS}",
            power("GPU-1"): f"100{ALWAYS}",
            power("GPU-3"): f"750{ALWAYS}",  # nobody's: stays with the site
        },
        {
            rec.JOB_COST.name: [(job("7"), 98.8808), (job("8"), 47.8154)],  # the second's GPU tells no power
            rec.USER_COST.name: [(user("ada"), 98.8808), (user("bob"), 47.8154)],
            rec.NAMESPACE_COST.name: [(namespace("ml"), 47.8154)],
            rec.SITE_COST.name: [('{site="s"}', 204.2617)],
        },
    )


def test_without_a_price_there_is_no_cost_rather_than_a_wrong_one(tmp_path: Path) -> None:
    known = {name: value for name, value in COSTS.items() if "energy_price" not in name}
    inputs = {**known, held("GPU-0", "7", "ada"): f"1{ALWAYS}", power("GPU-0"): f"150{ALWAYS}"}
    evaluate(tmp_path, inputs, {rec.JOB_COST.name: [], rec.JOB_GPUS.name: [(job("7"), 1)]})


def test_gpus_held_and_not_used(tmp_path: Path) -> None:
    """Idle for 15 minutes while held for 15 minutes; at 20 minutes, 80 samples in."""
    young = f"{'_ ' * 40}1{ALWAYS}"
    evaluate(
        tmp_path,
        {
            **COSTS,
            held("GPU-0", "7", "ada", "ml"): f"1{ALWAYS}",
            held("GPU-1", "7", "ada", "ml"): f"1{ALWAYS}",
            held("GPU-2", "8", "bob"): young,  # for ten minutes only
            held("GPU-3", "9", "cyd"): f"1{ALWAYS}",
            load("GPU-0"): f"0.005{ALWAYS}",
            load("GPU-1"): f"0x50 0.02 0{ALWAYS}",  # stirred for a moment
            load("GPU-2"): f"0{ALWAYS}",
            load("GPU-3"): f"0.9x15 0{ALWAYS}",  # since the fourth minute
        },
        {
            rec.JOB_GPUS_IDLE.name: [(job("7"), 1), (job("8"), 0), (job("9"), 1)],
            rec.USER_GPUS_IDLE.name: [(user("ada"), 1), (user("bob"), 0), (user("cyd"), 1)],
            rec.NAMESPACE_GPUS_IDLE.name: [(namespace("ml"), 1)],
            rec.USER_COST_IDLE.name: [(user("ada"), 47.8154), (user("bob"), 0), (user("cyd"), 47.8154)],
            rec.NAMESPACE_COST_IDLE.name: [(namespace("ml"), 47.8154)],
        },
        at="20m",
    )


def test_training_tokens_go_to_the_user_and_namespace_of_the_job(tmp_path: Path) -> None:
    trained = 'aif_training_tokens_total{site="s",node="n",job_id="%s",model="m"}'
    evaluate(
        tmp_path,
        {
            held("GPU-0", "7", "ada", "ml"): f"1{ALWAYS}",
            held("GPU-1", "7", "ada", "ml"): f"1{ALWAYS}",
            held("GPU-2", "8", "bob"): f"1{ALWAYS}",
            held("GPU-3", "8", "cyd"): f"1{ALWAYS}",  # whose is it?
            trained % "7": f"0+15000{ALWAYS}",
            trained % "8": f"0+30000{ALWAYS}",
        },
        {
            rec.JOB_TOKENS.name: [(job("7"), 1000), (job("8"), 2000)],
            rec.USER_TOKENS.name: [(user("ada"), 1000)],
            rec.NAMESPACE_TOKENS.name: [(namespace("ml"), 1000)],
        },
    )


def engine(replica: str, node: str = "n") -> str:
    return f'site="s",node="{node}",engine="vllm",model="m",replica="{replica}"'


def generated(replica: str) -> str:
    return f'aif_inference_tokens_total{{{engine(replica)},kind="generation",source="computed"}}'


def serves(uuid: str, replica: str) -> str:
    return f'aif_inference_gpu_info{{{engine(replica)},uuid="{uuid}"}}'


def test_generated_tokens_go_to_the_job_that_alone_holds_the_gpus(tmp_path: Path) -> None:
    """a: two GPUs of one job. b: a GPU with two holders. c: GPUs of two jobs. d and e on one GPU."""
    evaluate(
        tmp_path,
        {
            held("GPU-0", "prod/chat", namespace="prod"): f"1{ALWAYS}",
            held("GPU-1", "prod/chat", namespace="prod"): f"1{ALWAYS}",
            held("GPU-2", "prod/b1", namespace="prod"): f"1{ALWAYS}",
            held("GPU-2", "prod/b2", namespace="prod"): f"1{ALWAYS}",
            held("GPU-3", "prod/c1", namespace="prod"): f"1{ALWAYS}",
            held("GPU-4", "prod/c2", namespace="prod"): f"1{ALWAYS}",
            held("GPU-5", "prod/pair", namespace="prod"): f"1{ALWAYS}",
            serves("GPU-0", "a"): f"1{ALWAYS}",
            serves("GPU-1", "a"): f"1{ALWAYS}",
            serves("GPU-2", "b"): f"1{ALWAYS}",
            serves("GPU-3", "c"): f"1{ALWAYS}",
            serves("GPU-4", "c"): f"1{ALWAYS}",
            serves("GPU-5", "d"): f"1{ALWAYS}",
            serves("GPU-5", "e"): f"1{ALWAYS}",
            **{generated(replica): f"0+1500{ALWAYS}" for replica in "abcde"},
        },
        {
            rec.JOB_INFERENCE_TOKENS.name: [(job("prod/chat"), 100), (job("prod/pair"), 200)],
            # c as well: both of its GPUs are the namespace's, whichever pod holds them.
            rec.NAMESPACE_INFERENCE_TOKENS.name: [(namespace("prod"), 400)],
        },
    )


def test_gpus_that_wait_for_data(tmp_path: Path) -> None:
    """Node n waits for I/O half the time, node m does not; GPU 1 works, GPU 0 and 2 do not."""
    stalled = (
        'aif_host_pressure_stalled_seconds_total{site="s",rack="r1",node="%s",resource="io",share="some"}'
    )
    evaluate(
        tmp_path,
        {
            held("GPU-0", "7"): f"1{ALWAYS}",
            held("GPU-1", "7"): f"1{ALWAYS}",
            held("GPU-2", "7", node="m"): f"1{ALWAYS}",
            held("GPU-3", "8", node="unknown"): f"1{ALWAYS}",
            load("GPU-0"): f"0.05{ALWAYS}",
            load("GPU-1"): f"0.9{ALWAYS}",
            load("GPU-2"): f"0{ALWAYS}",
            load("GPU-3"): f"0{ALWAYS}",
            stalled % "n": f"0+7.5{ALWAYS}",
            stalled % "m": f"0+0.15{ALWAYS}",
        },
        {
            rec.DATA_STALL.name: [
                ('{site="s",rack="r1",node="n",job_id="7"}', 1),
                ('{site="s",rack="r1",node="m",job_id="7"}', 0),
            ],
        },
    )
