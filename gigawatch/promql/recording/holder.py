"""Rules that stand alike for each kind of holder: job, user and namespace."""

from __future__ import annotations

from dataclasses import dataclass

from gigawatch.catalogue import Unit, gpu
from gigawatch.promql.expr import Expr, many_to_one, matches, max_by, on, rate, series, sum_by
from gigawatch.promql.joins import sole
from gigawatch.promql.recording.common import PAIR, SITE, WINDOW
from gigawatch.promql.recording.cost import COST_OF_GPU, ENERGY_COST_OF_WATT
from gigawatch.promql.recording.generated import REPLICA_TOKENS
from gigawatch.promql.recording.held import GPU_SHARE, GPU_SHARE_IDLE
from gigawatch.promql.rule import Recorded, recorded

_DEVICE = ("site", "uuid")


@dataclass(frozen=True, slots=True)
class Holder:
    """A kind of holder: `level` opens the names of its rules, `label` tells its members apart, `who` is its
    name in texts."""

    level: str
    label: str
    who: str

    @property
    def by(self) -> tuple[str, str]:
        """The labels of its rules."""
        return ("site", self.label)

    @property
    def _shares(self) -> Expr:
        return recorded(GPU_SHARE, **{self.label: matches(".+")})

    def _weighed(self, values: Expr) -> Expr:
        """A figure of each GPU, by the share that the holder has in it, summed."""
        joined = many_to_one(self._shares, "*", max_by(values, *_DEVICE), _DEVICE)
        return sum_by(joined, *self.by).in_unit(values.unit)

    def power(self) -> Recorded:
        """Watts as the GPUs show them now."""
        return Recorded(
            f"{self.level}:aif_gpu_power_watts:sum",
            self._weighed(series(gpu.GPU_POWER, scope="gpu")),
            f"Power of the GPUs that {self.who} holds.",
            Unit.WATTS,
        )

    def energy_rate(self) -> Recorded:
        """Watts from counters: summed over time it is the energy to bill."""
        return Recorded(
            f"{self.level}:aif_gpu_energy_joules:rate1m",
            self._weighed(rate(series(gpu.GPU_ENERGY), WINDOW)),
            f"Energy per second that the GPUs of {self.who} use, from their energy counters.",
            Unit.WATTS,
        )

    def utilization(self) -> Recorded:
        """GPUs that do not tell their utilisation (cut up by MIG) are left out of the mean."""
        load = series(gpu.GPU_UTILIZATION, engine="gpu")
        known = sum_by(on(self._shares, "and", load, *_DEVICE), *self.by)
        return Recorded(
            f"{self.level}:aif_gpu_utilization_ratio:avg",
            self._weighed(load) / known,
            f"Mean utilisation of the GPUs that {self.who} holds.",
            Unit.RATIO,
        )

    def gpus(self) -> Recorded:
        """A whole number unless GPUs are shared."""
        return Recorded(
            f"{self.level}:aif_gpus:count",
            sum_by(self._shares, *self.by).in_unit(Unit.COUNT),
            f"GPUs that {self.who} holds; a GPU shared by n holders counts 1/n.",
            Unit.COUNT,
        )

    def gpus_idle(self) -> Recorded:
        """Part of `gpus()`."""
        idle = sum_by(recorded(GPU_SHARE_IDLE, **{self.label: matches(".+")}), *self.by).in_unit(Unit.COUNT)
        return Recorded(
            f"{self.level}:aif_gpus:idle15m",
            idle,
            f"GPUs that {self.who} has held for 15 minutes without using them (below 1 % all the time).",
            Unit.COUNT,
        )

    def generated(self, owner: Recorded) -> Recorded:
        """Tokens of the replicas that are the holder's."""
        return Recorded(
            f"{self.level}:aif_inference_tokens:rate1m",
            self.over_replicas(recorded(REPLICA_TOKENS), owner),
            f"Tokens generated per second by the engines on GPUs that {self.who} alone holds.",
            Unit.TOKENS_PER_SECOND,
        )

    def over_replicas(self, values: Expr, owner: Recorded) -> Expr:
        """A figure of each replica, summed over those that are the holder's."""
        return sum_by(many_to_one(values, "*", recorded(owner), PAIR, (self.label,)), *self.by)

    def over_jobs(self, values: Expr) -> Expr:
        """A figure of each job, summed over the jobs that belong to one holder alone."""
        pairs = max_by(self._shares, "site", "job_id", self.label)
        alone = sole(pairs, "site", "job_id") * 0 + 1
        return sum_by(many_to_one(values, "*", alone, ("site", "job_id"), (self.label,)), *self.by)

    def tokens(self, of_job: Recorded, text: str) -> Recorded:
        """Tokens of the holder's jobs; of jobs that belong to one holder alone."""
        return Recorded(
            of_job.name.replace("job:", f"{self.level}:", 1),
            self.over_jobs(recorded(of_job)),
            text,
            Unit.TOKENS_PER_SECOND,
        )

    def cost(self, gpus: Recorded, power: Recorded) -> Recorded:
        """Held GPUs bear capital and fixed cost whether used or not; energy goes by measured power.

        What nobody holds stays with the site, so that the sum over holders never exceeds the site's cost.
        """
        watts = recorded(power).or_(recorded(gpus) * 0)
        return Recorded(
            f"{self.level}:aif_cost_usd_per_hour:sum",
            (
                many_to_one(recorded(gpus), "*", COST_OF_GPU, SITE)
                + many_to_one(watts, "*", ENERGY_COST_OF_WATT, SITE)
            ).in_unit(Unit.USD_PER_HOUR),
            f"What {self.who} costs: capital and fixed cost of the site by GPUs held, used or not, and its "
            "energy by GPU power.",
            Unit.USD_PER_HOUR,
        )

    def cost_idle(self, idle: Recorded) -> Recorded:
        """Part of `cost`, without energy."""
        return Recorded(
            f"{self.level}:aif_cost_usd_per_hour:idle15m",
            many_to_one(recorded(idle), "*", COST_OF_GPU, SITE).in_unit(Unit.USD_PER_HOUR),
            f"Capital and fixed cost of the GPUs that {self.who} has held for 15 minutes without using them.",
            Unit.USD_PER_HOUR,
        )


JOB = Holder("job", "job_id", "a job")
USER = Holder("user", "user", "a user")
NAMESPACE = Holder("namespace", "namespace", "a namespace")
