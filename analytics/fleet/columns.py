"""State of many series as named arrays, one row set shared by all of them."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.floating]
Ints = npt.NDArray[np.intp]
Bools = npt.NDArray[np.bool_]


class Columns:
    """Named arrays whose last axis is the series; they grow, shrink, are saved and restored together.

    `shapes` gives the leading axes of each array: () for one value per series, (3,) for three. New series
    start at `fill` where one is given, else at 0. Of the arrays in `beside`, the figures that one series has
    along the last leading axis lie side by side in memory, for loops that want them together.
    """

    def __init__(
        self,
        shapes: Mapping[str, tuple[int, ...]],
        fill: Mapping[str, float] | None = None,
        dtype: npt.DTypeLike = np.float64,
        beside: Collection[str] = (),
    ) -> None:
        self._beside = frozenset(beside)
        self._fill = {name: (fill or {}).get(name, 0.0) for name in shapes}
        self._shapes = dict(shapes)
        self._arrays: dict[str, Floats] = {
            name: self._lay(name, np.full((*shape, 0), self._fill[name], dtype))
            for name, shape in shapes.items()
        }
        self._dtype = np.dtype(dtype)

    def __getitem__(self, name: str) -> Floats:
        return self._arrays[name]

    def __setitem__(self, name: str, value: Floats | float) -> None:
        self._arrays[name][...] = value

    def __iter__(self) -> Iterator[str]:
        return iter(self._arrays)

    def __len__(self) -> int:
        return int(next(iter(self._arrays.values())).shape[-1])

    @property
    def nbytes(self) -> int:
        """Memory held, in bytes."""
        return sum(array.nbytes for array in self._arrays.values())

    def grow(self, n: int) -> None:
        """Add rows in their starting state until there are `n`."""
        extra = n - len(self)
        if extra <= 0:
            return
        for name, array in self._arrays.items():
            new = np.full((*self._shapes[name], extra), self._fill[name], self._dtype)
            self._arrays[name] = self._lay(name, np.concatenate((array, new), axis=-1))

    def clear(self) -> None:
        """Drop all rows."""
        self.take(np.zeros(0, np.intp))

    def take(self, rows: Ints) -> None:
        """Keep only these rows, in this order."""
        self._arrays = {
            name: self._lay(name, np.take(array, rows, axis=-1)) for name, array in self._arrays.items()
        }

    def forget(self, rows: Bools) -> None:
        """Put these rows back into their starting state."""
        if rows.any():
            for name, array in self._arrays.items():
                array[..., rows] = self._fill[name]

    def dump(self) -> dict[str, Floats]:
        """Copies of all arrays."""
        return {name: array.copy() for name, array in self._arrays.items()}

    def load(self, arrays: Mapping[str, Floats]) -> None:
        """Take over arrays that `dump` gave. ValueError, the state left as it was, if they do not fit."""
        if set(arrays) != set(self._arrays):
            raise ValueError(f"state has arrays {sorted(arrays)}, expected {sorted(self._arrays)}")
        sizes = set()
        for name, array in arrays.items():
            if array.shape[:-1] != self._shapes[name] or array.dtype != self._dtype:
                raise ValueError(f"state array '{name}' has shape {array.shape} of {array.dtype}")
            sizes.add(array.shape[-1])
        if len(sizes) > 1:
            raise ValueError("state arrays have different lengths")
        self._arrays = {name: self._lay(name, np.array(array)) for name, array in arrays.items()}

    def _lay(self, name: str, array: Floats) -> Floats:
        if name not in self._beside:
            return array
        return np.swapaxes(np.ascontiguousarray(np.swapaxes(array, -1, -2)), -1, -2)

    def together(self, name: str) -> Floats:
        """An array of `beside` with one series after another: its last two axes the other way round."""
        return np.swapaxes(self._arrays[name], -1, -2)
