"""What a replica draws and costs, at three scopes, always with those of its GPUs that it shares in part.

- gpu: its GPUs alone, from their energy counters;
- node: with processors, network cards and fans, each watt of a GPU bearing its part of the node's power;
- facility: with all that the site buys besides: times its PUE. At sites where no node tells its power, each
  watt of a GPU bears the same part of all power bought.

A figure is there only where it is known for all GPUs of a replica: never a part of it.
"""

from __future__ import annotations

from gigawatch.catalogue import Unit
from gigawatch.promql.expr import Expr, many_to_one, on
from gigawatch.promql.joins import otherwise
from gigawatch.promql.recording.common import PAIR, SITE, Scopes
from gigawatch.promql.recording.cost import COST_OF_GPU, ENERGY_COST_OF_WATT
from gigawatch.promql.recording.generated import REPLICA_GPU_POWER, REPLICA_PROMPT_TOKENS, REPLICA_TOKENS
from gigawatch.promql.recording.gpu import GPU_ENERGY_RATE, GPU_PLACE
from gigawatch.promql.recording.node import NODE_OVERHEAD
from gigawatch.promql.recording.replica import REPLICA_GPUS, per_replica
from gigawatch.promql.recording.site import SITE_FACILITY_POWER, SITE_GPU_POWER, SITE_PUE
from gigawatch.promql.rule import Recorded, recorded


def facility_power(gpu: Expr, node: Expr) -> Expr:
    """Watts at the facility's scope, from those at the others'; both with the label `site`."""
    exact = many_to_one(node, "*", recorded(SITE_PUE), SITE)
    bought = recorded(SITE_FACILITY_POWER) / (recorded(SITE_GPU_POWER) > 0)
    return otherwise(exact, many_to_one(gpu, "*", bought, SITE), *SITE).in_unit(Unit.WATTS)


_placed = many_to_one(recorded(GPU_PLACE), "*", recorded(NODE_OVERHEAD), ("site", "node"))
GPU_NODE_POWER = Recorded(
    "gpu:aif_node_power_watts:rate1m",
    on(recorded(GPU_ENERGY_RATE), "*", _placed, "site", "uuid", unit=Unit.WATTS),
    "Power of each GPU with its part of what its node draws besides.",
    Unit.WATTS,
)
_overhead = per_replica(recorded(GPU_NODE_POWER)) / (per_replica(recorded(GPU_ENERGY_RATE)) > 0)
_REPLICA_NODE_POWER = Recorded(
    "replica:aif_node_power_watts:sum",
    (recorded(REPLICA_GPU_POWER) * _overhead).in_unit(Unit.WATTS),
    "Power of the GPUs of a replica with their part of what their nodes draw besides.",
    Unit.WATTS,
)
_REPLICA_FACILITY_POWER = Recorded(
    "replica:aif_facility_power_watts:sum",
    facility_power(recorded(REPLICA_GPU_POWER), recorded(_REPLICA_NODE_POWER)),
    "Power that the site buys for a replica: that of its nodes times the PUE; where no node tells its power, "
    "by its share of GPU power (an estimate).",
    Unit.WATTS,
)
REPLICA_POWER = Scopes(REPLICA_GPU_POWER, _REPLICA_NODE_POWER, _REPLICA_FACILITY_POWER)
REPLICA_COST = Recorded(
    "replica:aif_cost_usd_per_hour:sum",
    many_to_one(recorded(REPLICA_GPUS), "*", COST_OF_GPU, SITE).in_unit(Unit.USD_PER_HOUR)
    + many_to_one(recorded(REPLICA_GPU_POWER), "*", ENERGY_COST_OF_WATT, SITE).in_unit(Unit.USD_PER_HOUR),
    "What a model on a replica costs: capital and fixed cost of the site by its GPUs, the site's energy by "
    "their power.",
    Unit.USD_PER_HOUR,
)
REPLICA_TOKENS_CHARGED = Recorded(
    "replica:aif_inference_tokens:charged",
    on(recorded(REPLICA_TOKENS), "and", recorded(REPLICA_COST), *PAIR),
    "Tokens generated per second with a model on a replica whose cost is known.",
    Unit.TOKENS_PER_SECOND,
)
REPLICA_COMPUTED_CHARGED = Recorded(
    "replica:aif_inference_computed_tokens:charged",
    on(recorded(REPLICA_TOKENS) + recorded(REPLICA_PROMPT_TOKENS), "and", recorded(REPLICA_COST), *PAIR),
    "Tokens generated and prompt tokens computed per second on a replica whose cost is known.",
    Unit.TOKENS_PER_SECOND,
)
