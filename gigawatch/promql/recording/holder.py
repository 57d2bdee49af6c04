"""Rules that stand alike for each kind of holder: job, user and namespace."""

from __future__ import annotations

from dataclasses import dataclass

from gigawatch.catalogue import Unit, gpu, site
from gigawatch.promql.expr import Expr, count_by, many_to_one, matches, max_by, on, rate, series, sum_by
from gigawatch.promql.recording.common import SITE, WINDOW
from gigawatch.promql.recording.cost import SITE_COST_CAPEX, SITE_COST_ENERGY, SITE_COST_FIXED
from gigawatch.promql.recording.held import GPU_SHARE, GPU_SHARE_IDLE
from gigawatch.promql.recording.site import SITE_GPU_POWER
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

    def tokens(self, of_job: Recorded, text: str) -> Recorded:
        """Tokens of the holder's jobs; of jobs that belong to one holder alone."""
        pairs = max_by(self._shares, "site", "job_id", self.label)
        sole = on(pairs, "and", count_by(pairs, "site", "job_id").equals(1), "site", "job_id")
        joined = many_to_one(recorded(of_job), "*", sole, ("site", "job_id"), (self.label,))
        return Recorded(
            of_job.name.replace("job:", f"{self.level}:", 1),
            sum_by(joined, *self.by),
            text,
            Unit.TOKENS_PER_SECOND,
        )

    def cost(self, gpus: Recorded, power: Recorded) -> Recorded:
        """Held GPUs bear capital and fixed cost whether used or not; energy goes by measured power.

        What nobody holds stays with the site, so that the sum over holders never exceeds the site's cost.
        """
        watts = recorded(power).or_(recorded(gpus) * 0)
        energy = recorded(SITE_COST_ENERGY) / (recorded(SITE_GPU_POWER) > 0)
        return Recorded(
            f"{self.level}:aif_cost_usd_per_hour:sum",
            (
                many_to_one(recorded(gpus), "*", _per_gpu(), SITE) + many_to_one(watts, "*", energy, SITE)
            ).in_unit(Unit.USD_PER_HOUR),
            f"What {self.who} costs: capital and fixed cost of the site by GPUs held, used or not, and its "
            "energy by GPU power.",
            Unit.USD_PER_HOUR,
        )

    def cost_idle(self, idle: Recorded) -> Recorded:
        """Part of `cost`, without energy."""
        return Recorded(
            f"{self.level}:aif_cost_usd_per_hour:idle15m",
            many_to_one(recorded(idle), "*", _per_gpu(), SITE).in_unit(Unit.USD_PER_HOUR),
            f"Capital and fixed cost of the GPUs that {self.who} has held for 15 minutes without using them.",
            Unit.USD_PER_HOUR,
        )


def _per_gpu() -> Expr:
    """Dollars per hour of one GPU of the site, its energy apart."""
    return (recorded(SITE_COST_CAPEX) + recorded(SITE_COST_FIXED)) / (
        max_by(series(site.GPUS_OWNED), *SITE) > 0
    )


JOB = Holder("job", "job_id", "a job")
USER = Holder("user", "user", "a user")
NAMESPACE = Holder("namespace", "namespace", "a namespace")
