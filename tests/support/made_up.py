"""Series of a made-up site `s` for tests of recording rules: GPUs, their holders, engines, and prices."""

from __future__ import annotations

ALWAYS = "x300"
"""An hour and more at 15 s."""
YES = f"1{ALWAYS}"


def steady(value: float) -> str:
    """A gauge that stays."""
    return f"{value:g}{ALWAYS}"


def pace(per_second: float) -> str:
    """A counter that rises evenly."""
    return f"0+{per_second * 15:g}{ALWAYS}"


def made(metric: str, **labels: str) -> str:
    """A series of site s."""
    given = ",".join(f'{name}="{value}"' for name, value in {"site": "s", **labels}.items() if value)
    return f"{metric}{{{given}}}"


def on_gpu(metric: str, uuid: str, node: str = "n1", rack: str = "r1", **labels: str) -> str:
    return made(metric, rack=rack, node=node, gpu=uuid[-1], uuid=uuid, **labels)


def gpu(uuid: str, watts: float, node: str = "n1", rack: str = "r1") -> dict[str, str]:
    """A GPU that works and tells its power, as a gauge and by its energy counter."""
    return {
        on_gpu("aif_gpu_state", uuid, node, rack, state="ok"): YES,
        on_gpu("aif_gpu_power_watts", uuid, node, rack, scope="gpu"): steady(watts),
        on_gpu("aif_gpu_energy_joules_total", uuid, node, rack): pace(watts),
    }


def held(uuid: str, job: str, node: str = "n1", rack: str = "r1", **more: str) -> dict[str, str]:
    """A GPU held by a Slurm job."""
    labels = {"scheduler": "slurm", "job_id": job, **more}
    return {on_gpu("aif_gpu_allocation_info", uuid, node, rack, **labels): YES}


def pod(uuid: str, name: str, node: str = "n1", rack: str = "r1") -> dict[str, str]:
    """A GPU held by a pod of the namespace `ns`."""
    names = {"scheduler": "kubernetes", "namespace": "ns", "pod": name, "job_id": f"ns/{name}"}
    return {on_gpu("aif_gpu_allocation_info", uuid, node, rack, **names): YES}


def of_engine(metric: str, replica: str, model: str = "m", **labels: str) -> str:
    return made(metric, engine="vllm", model=model, replica=replica, **labels)


def tokens(replica: str, per_second: float, model: str = "m", kind: str = "generation") -> dict[str, str]:
    """What an engine that answered at all times has counted."""
    name = of_engine("aif_inference_tokens_total", replica, model, kind=kind, source="computed")
    return {name: pace(per_second)}


def serves(uuid: str, replica: str, model: str = "m") -> dict[str, str]:
    """Said outright: this GPU works for that replica."""
    return {of_engine("aif_inference_gpu_info", replica, model, uuid=uuid): YES}


def in_pod(replica: str, name: str) -> dict[str, str]:
    return {made("aif_inference_pod_info", engine="vllm", replica=replica, namespace="ns", pod=name): YES}


def at_port(replica: str, port: str, node: str = "n1") -> dict[str, str]:
    return {made("aif_inference_port_info", node=node, engine="vllm", replica=replica, port=port): YES}


def listens(uuid: str, port: str, node: str = "n1") -> dict[str, str]:
    """A process that works on this GPU answers at that port."""
    return {on_gpu("aif_gpu_port_info", uuid, node, port=port): YES}


COSTS = {
    made("aif_cost_capex_usd", asset_class="gpu"): steady(4e6),
    made("aif_cost_residual_ratio", asset_class="gpu"): steady(0.2),
    made("aif_cost_amortization_years", asset_class="gpu"): steady(4),
    made("aif_cost_staff_usd_per_year"): steady(876600),
    made("aif_cost_maintenance_usd_per_year"): steady(0),
    made("aif_cost_colo_usd_per_year"): steady(0),
    made("aif_energy_price_usd_per_kwh"): steady(0.1),
    made("aif_energy_joules_total", device="u", side="A", scope="inlet"): pace(130_000),
    made("aif_meter_info", device="u", role="facility"): YES,
    made("aif_gpus_owned"): steady(4),
}
"""$91.2617 of capital and $100 of fixed cost an hour for four GPUs ($47.8154 each), and $13 for 130 kW."""


def labels(**given: str) -> str:
    """The labels of an answer."""
    return "{" + ",".join(f'{name}="{value}"' for name, value in {"site": "s", **given}.items()) + "}"


def replica(name: str, model: str = "m") -> str:
    return labels(engine="vllm", model=model, replica=name)


def between(name: str, low: float, high: float) -> str:
    """1 where a figure lies between two others."""
    return f"({name} > bool {low}) * ({name} < bool {high})"
