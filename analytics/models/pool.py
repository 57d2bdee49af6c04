"""What like nodes have in common, learned from all of them: how features move together, and how far."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from analytics.fleet.columns import Columns, Floats, Ints

if TYPE_CHECKING:
    from analytics.models.estimator import MetricsModel

MEMORY = 20_000
"""Ticks over which the pool forgets."""
SAMPLE = 64
"""Nodes it learns from in one tick, in turn."""
BEGIN, EVERY = 60, 240
"""Ticks before the first fit, and from one fit to the next (sooner at first)."""
RIDGE = 0.1
_BINS, _LOW, _HIGH = 96, -4.0, 4.0
_TOP = 12.0
"""Greatest strangeness that the histogram of scores tells apart."""
LEAST_ALARM = 3.0


class Shared(Columns):
    """Arrays that belong to all things of a level together; their last axis is the feature, not the thing."""

    def __init__(self, features: int) -> None:
        super().__init__(
            {
                "ticks": (),
                "product": (features,),
                "moved": (),
                "tail": (2, _BINS),
                "alarms": (_BINS,),
                "weights": (features,),
                "deviation": (),
                "scale": (3,),
                "level": (),
            }
        )
        super().grow(features)
        self._features = features
        self.clear()

    def __len__(self) -> int:
        return 0

    def grow(self, n: int) -> None:
        """Nothing: it does not follow the roster."""

    def take(self, rows: Ints) -> None:
        """Nothing: what is learned from things that went stays."""

    def clear(self) -> None:
        """Forget everything."""
        for name in self:
            self[name][...] = 0.0
        self["weights"] = np.eye(self._features)
        for name, value in (("deviation", 1.0), ("scale", 1.0), ("level", 1e6)):
            self[name][...] = value

    def load(self, arrays: dict[str, Floats]) -> None:  # type: ignore[override] # narrower on purpose
        """As for other tables, and the number of features must be the same."""
        for array in arrays.values():
            if array.shape[-1:] != (self._features,):
                raise ValueError(
                    f"state array of the pool has {array.shape[-1:]}, not {self._features} features"
                )
        super().load(arrays)

    def adopt(self, model: MetricsModel, names: list[str]) -> None:
        """Take over a trained model; features that it does not know do not count."""
        from analytics.models.storage import columns_of

        columns = columns_of(model)
        known = [i for i, name in enumerate(names) if name in columns]
        if not known:
            raise ValueError(f"the model knows none of the features {', '.join(names)}")
        at = [columns.index(names[i]) for i in known]
        self.clear()
        self["weights"][...] = 0.0
        self["weights"][np.ix_(known, known)] = model.weights_[np.ix_(at, at)]
        self["scale"][...] = 1e9
        self["scale"][:, known] = model.scale_[:, at]
        self["deviation"][known] = model.deviation_[at]
        self["level"][...] = model.alarm_level_
        self["ticks"][...] = np.inf

    @property
    def ready(self) -> bool:
        """Whether scores mean something."""
        return bool(self["ticks"][0] >= BEGIN)

    @property
    def learns(self) -> bool:
        """Whether it follows the fleet; a trained model does not."""
        return bool(np.isfinite(self["ticks"][0]))

    def sample(self, nodes: int) -> Ints:
        """The nodes whose turn it is."""
        if nodes <= SAMPLE:
            return np.arange(nodes)
        return (int(self["ticks"][0]) * SAMPLE + np.arange(SAMPLE)) % nodes

    def learn(self, apart: Floats, step: Floats, residual: Floats, level: Floats, held: Floats) -> None:
        """Take in a tick of some nodes, [features, nodes], `held` [nodes]; those in alarm are left out."""
        self["ticks"] += 1
        ticks = float(self["ticks"][0])
        use = held < self["level"][0]
        known = np.isfinite(apart)
        if not (use.any() and known[:, use].any()):
            return
        gain = 1.0 / min(ticks, MEMORY)
        d = np.nan_to_num(apart[:, use], posinf=0.0, neginf=0.0).astype(np.float64)
        if ticks > BEGIN:
            edge = 10.0 * self["deviation"][:, None]
            d = np.clip(d, -edge, edge)
        self["product"] += gain * (d @ d.T / d.shape[1] - self["product"])
        moves = np.nan_to_num(step[:, use], posinf=0.0, neginf=0.0).astype(np.float64)
        if ticks > BEGIN:
            edge = 10.0 * self["scale"][1][:, None]
            moves = np.clip(moves, -edge, edge)
        self["moved"] += gain * ((moves**2).mean(axis=1) - self["moved"])
        for i, sizes in enumerate((residual[:, use], level[:, use])):
            self["tail"][i] *= 1 - gain
            _count(self["tail"][i], sizes)
        self["alarms"] *= 1 - gain
        if ticks > BEGIN:
            bins = np.clip(held / _TOP * _BINS, 0, _BINS - 1).astype(np.intp)
            np.add.at(self["alarms"][:, 0], bins, 1.0)

    def due(self) -> bool:
        """Whether it is time to fit anew."""
        ticks = int(self["ticks"][0])
        return ticks % EVERY == 0 or (ticks <= 2 * EVERY and ticks % (BEGIN // 2) == 0)

    def fit(self, noise: Floats) -> None:
        """Weights and scales from what was learned; `noise` is what means nothing, per feature."""
        spread = np.sqrt(np.maximum(np.diag(self["product"]), 0.0))
        self["deviation"] = np.maximum(spread, noise)
        correlation = self["product"] / np.outer(self["deviation"], self["deviation"])
        precision = np.linalg.inv(correlation + RIDGE * np.eye(len(noise)))
        self["weights"] = precision / np.diag(precision)
        self["scale"][0] = np.maximum(_quantile(self["tail"][0], 0.999), 0.3)
        self["scale"][1] = np.maximum(np.sqrt(self["moved"]), noise)
        self["scale"][2] = np.maximum(_quantile(self["tail"][1], 0.999), noise)
        seen = np.cumsum(self["alarms"][:, 0])
        if self["ticks"][0] >= 4 * BEGIN and seen[-1] > 0:
            top = int(np.searchsorted(seen, 0.9999 * seen[-1]))
            self["level"][...] = max((top + 1) / _BINS * _TOP, LEAST_ALARM)
        elif self["ticks"][0] >= BEGIN:
            self["level"][...] = 2 * LEAST_ALARM


def _count(histogram: Floats, sizes: Floats) -> None:
    """Add sizes [features, things] to a histogram [bins, features] over powers of ten."""
    with np.errstate(divide="ignore", invalid="ignore"):
        place = (np.log10(np.abs(sizes)) - _LOW) / (_HIGH - _LOW) * _BINS
    known = ~np.isnan(place)
    bins = np.clip(np.where(known, place, 0), 0, _BINS - 1).astype(np.intp)
    which = np.broadcast_to(np.arange(sizes.shape[0])[:, None], sizes.shape)
    np.add.at(histogram, (bins[known], which[known]), 1.0)


def _quantile(histogram: Floats, quantile: float) -> Floats:
    """The upper edge of the bin that holds the quantile, per feature; 0 where nothing was seen."""
    seen = np.cumsum(histogram, axis=0)
    at = (seen < quantile * seen[-1]).sum(axis=0)
    return np.where(seen[-1] > 0, 10 ** (_LOW + (at + 1) / _BINS * (_HIGH - _LOW)), 0.0)
