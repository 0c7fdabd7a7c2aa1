"""Fields on a grid at equally or unequally spaced times: snapshots of a flow."""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from .._errors import ConfigError, DataError, ShapeError


KELVIN = ("k", "kelvin", "degk", "degree_kelvin", "degrees_kelvin")
ICE = 273.15  # kelvin at 0 degrees Celsius
_EVEN = 1e-6  # steps that differ by less than that share are equal
_NORTH = ("lat", "latitude")
_IS_NORTH = re.compile("degrees?_?n(orth)?")  # the spellings of the CF conventions


@dataclasses.dataclass(frozen=True)
class Snapshots:
    """A field on a grid, seen at several times.

    **Shapes and units:** `ts` `"time"` float64, in `time_unit`; `values`
    `"time *grid chan"`, floating; `mask` `"*grid"`: True where a cell belongs to the
    domain (water, fluid); what lies outside is kept as it is and never used.
    **Arguments:**
    - `axes`: name -> coordinates, in the order of the grid's axes; their `axis_units`.
    - `names`, `units`: of the channels. `attrs`: numbers and texts about the set (the
      Reynolds number, say). `licence`, `origin`: where it comes from.

    **Raises:** `ShapeError` for arrays that do not fit together; `DataError` for times
    that do not increase and for values in the domain that are not finite (the first is
    named); `ConfigError` for names that do not fit.

    ```python
    >>> import numpy as np
    >>> from pendula.data import Snapshots
    >>> sea = np.arange(12.0).reshape(3, 2, 2, 1)
    >>> land = np.array([[True, False], [True, True]])
    >>> axes = {"lat": [0, 60], "lon": [0, 1]}
    >>> data = Snapshots.of(range(3), sea, axes=axes, mask=land)
    >>> data.flat().shape, data.dt, data.weights().round(2).tolist()
    ((3, 3), 1.0, [1.0, 0.5, 0.5])

    ```
    """

    ts: np.ndarray
    values: np.ndarray
    mask: np.ndarray
    axes: Mapping[str, np.ndarray]
    names: tuple[str, ...]
    units: tuple[str, ...]
    time_unit: str = ""
    axis_units: tuple[str, ...] = ()
    attrs: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    licence: str | None = None
    origin: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    def __post_init__(self) -> None:
        grid = tuple(len(x) for x in self.axes.values())
        expected = (len(self.ts), *grid, len(self.names))
        if self.values.shape != expected or self.ts.ndim != 1 or 0 in expected:
            raise ShapeError(
                f"values of shape {self.values.shape} for {len(self.ts)} times, axes "
                f"{dict(zip(self.axes, grid, strict=True))} and {len(self.names)} "
                f"channels; expected {expected}, none of them 0. Give one channel as a "
                "last axis of 1."
            )
        if self.mask.shape != grid or self.mask.dtype != bool:
            raise ShapeError(
                f"a mask of shape {self.mask.shape} and type {self.mask.dtype}; "
                f"expected {grid} of bool, True where a cell belongs to the domain."
            )
        for name, x in self.axes.items():
            if x.ndim != 1 or not np.isfinite(x).all():
                raise DataError(
                    f'the axis "{name}" has the shape {x.shape}, or coordinates that '
                    "are not finite. Give one number a cell along it."
                )
        if len(set(self.names)) < len(self.names):
            raise ConfigError(
                f"channels are named {', '.join(self.names)}; each needs a name of its "
                "own."
            )
        for what, given, count in (
            ("units", self.units, len(self.names)),
            ("axis_units", self.axis_units, len(grid)),
        ):
            if len(given) != count:
                raise ConfigError(f"{what}: {len(given)} of them; expected {count}.")
        if not self.mask.any():
            raise DataError(
                "no cell of the grid belongs to the domain. Check the mask."
            )
        self._check_times()
        self._check_values()

    def _check_times(self) -> None:
        steps = np.diff(self.ts)
        bad = np.flatnonzero(~(steps > 0))
        if not np.isfinite(self.ts).all() or len(bad):
            at = int(bad[0]) + 1 if len(bad) else int(np.argmin(np.isfinite(self.ts)))
            raise DataError(
                f"time {self.ts[at]} of snapshot {at} does not come after "
                f"{self.ts[max(at - 1, 0)]}. Times must be finite and increase: sort "
                "the snapshots, and drop repeated ones."
            )

    def _check_values(self) -> None:
        for at, one in enumerate(self.values):  # one at a time: sets may be large
            bad = ~np.isfinite(one[self.mask])
            if bad.any():
                cell, channel = np.argwhere(bad)[0]
                index = tuple(int(i) for i in np.argwhere(self.mask)[cell])
                raise DataError(
                    f'snapshot {at}, "{self.names[channel]}" at cell {index}: the '
                    "value is not finite, but the cell belongs to the domain. Mask the "
                    "cell, or fill it."
                )

    @classmethod
    def of(
        cls,
        ts: ArrayLike,
        values: ArrayLike,
        *,
        axes: Mapping[str, ArrayLike],
        mask: ArrayLike | None = None,
        names: tuple[str, ...] | None = None,
        units: tuple[str, ...] | None = None,
        axis_units: tuple[str, ...] | None = None,
        **about: Any,
    ) -> Snapshots:
        """From anything that becomes arrays: values float32 unless they are float64.

        A missing channel axis (`"time *grid"`) is added. Without a mask, cells that are
        NaN at all times lie outside.
        """
        array = _real("values", values)
        if array.dtype != np.float64:
            array = array.astype(np.float32)
        if array.ndim == len(axes) + 1:
            array = array[..., None]
        if mask is None:
            missing = np.isnan(array)
            mask = ~missing.all(axis=(0, -1)) if array.ndim > 1 else np.ones((), bool)
        count = array.shape[-1] if array.ndim else 0
        chosen = names or tuple(f"f{k}" for k in range(count))
        return cls(
            np.asarray(ts, np.float64),
            array,
            np.asarray(mask),
            {n: _real(f'axis "{n}"', x).astype(np.float64) for n, x in axes.items()},
            chosen,
            units or ("1",) * len(chosen),
            axis_units=axis_units or ("",) * len(axes),
            **about,
        )

    def __len__(self) -> int:
        return len(self.ts)

    def __getitem__(self, index: slice) -> Snapshots:
        """Some of the times, by a slice. **Raises:** `ConfigError` for a number."""
        if isinstance(index, int | np.integer):
            raise ConfigError(
                f"snapshots are cut by a slice, not by {index}: take data[k:k+1]. As "
                "rows they are data.flat()."
            )
        return dataclasses.replace(self, ts=self.ts[index], values=self.values[index])

    @property
    def grid(self) -> tuple[int, ...]:
        """Cells along each axis."""
        return self.mask.shape

    @property
    def num_cells(self) -> int:
        """Cells of the domain."""
        return int(self.mask.sum())

    @property
    def dt(self) -> float:
        """The spacing of the snapshots. **Raises:** `DataError` when they are not
        equally spaced, or only one."""
        if len(self) < 2:
            raise DataError("one snapshot has no spacing in time. Give at least two.")
        step = even_step(self.ts)
        if step is None:
            steps = np.diff(self.ts)
            raise DataError(
                f"the snapshots are not equally spaced: steps of {steps.min():g} to "
                f"{steps.max():g}. Resample them, or use OptimizedDMD, which takes any "
                "times."
            )
        return step

    def select(self, *names: str) -> Snapshots:
        """Some of the channels. **Raises:** `ConfigError` for one that is not there."""
        missing = [name for name in names if name not in self.names]
        if missing or not names:
            raise ConfigError(
                f"channels {', '.join(missing) or 'none'} asked for; there are "
                f"{', '.join(self.names)}."
            )
        at = [self.names.index(name) for name in names]
        units = tuple(self.units[k] for k in at)
        return dataclasses.replace(
            self, values=self.values[..., at], names=names, units=units
        )

    def crop(self, **ranges: slice) -> Snapshots:
        """A part of the grid: axis name -> slice of its cells."""
        for name in ranges:
            if name not in self.axes:
                raise ConfigError(
                    f'no axis "{name}"; there are {", ".join(self.axes)}.'
                )
        cut = tuple(ranges.get(name, slice(None)) for name in self.axes)
        axes = {n: x[s] for (n, x), s in zip(self.axes.items(), cut, strict=True)}
        return dataclasses.replace(
            self,
            values=self.values[(slice(None), *cut)],
            mask=self.mask[cut],
            axes=axes,
        )

    def flat(self) -> np.ndarray:
        """The cells of the domain in a row, `"time m"`: channel after channel, in the
        dtype of the values."""
        return np.concatenate(
            [self.values[:, self.mask, c] for c in range(len(self.names))], axis=1
        )

    def unflat(self, rows: ArrayLike, fill: float = math.nan) -> np.ndarray:
        """`"*batch m"` -> `"*batch *grid chan"`; `fill` outside the domain."""
        rows = np.asarray(rows)
        count, channels = self.num_cells, len(self.names)
        if rows.shape[-1:] != (count * channels,):
            raise ShapeError(
                f"rows of {rows.shape} for {count} cells of {channels} channels."
            )
        out = np.full((*rows.shape[:-1], *self.grid, channels), fill, rows.dtype)
        for c in range(channels):
            out[..., self.mask, c] = rows[..., c * count : (c + 1) * count]
        return out

    def weights(self) -> np.ndarray:
        """What every number of `flat` counts in an error, `"m"`: cos(latitude) on a
        grid with an axis in degrees north, else 1."""
        out = np.ones(self.grid)
        for k, (name, x) in enumerate(self.axes.items()):
            unit = self.axis_units[k].lower()
            if name.lower() in _NORTH or _IS_NORTH.fullmatch(unit):
                shape = [1] * len(self.grid)
                shape[k] = len(x)
                out = out * np.cos(np.deg2rad(x)).reshape(shape)
        return np.tile(out[self.mask], len(self.names))

    def in_celsius(self) -> Snapshots:
        """Channels in kelvin become degrees Celsius; others stay."""
        kelvin = np.array([unit.lower() in KELVIN for unit in self.units])
        shift = np.where(kelvin, ICE, 0.0).astype(self.values.dtype)
        units = tuple(
            "degree_Celsius" if k else unit
            for unit, k in zip(self.units, kelvin, strict=True)
        )
        return dataclasses.replace(self, values=self.values - shift, units=units)


def _real(what: str, given: ArrayLike) -> np.ndarray:
    """An array of real numbers. **Raises:** `DataError`."""
    array = np.asarray(given)
    if array.dtype.kind not in "fiub":
        raise DataError(
            f"{what}: {array.dtype} of shape {array.shape}; expected real numbers."
        )
    return array


def even_step(ts: ArrayLike) -> float | None:
    """The step of equally spaced times `"time"`, to a millionth of it, else None; of
    one time it is 1.

    ```python
    >>> from pendula.data import even_step
    >>> even_step([0.0, 0.5, 1.0]), even_step([0.0, 0.5, 1.1])
    (0.5, None)

    ```
    """
    times = np.asarray(ts, np.float64)
    steps = np.diff(times)
    if not len(steps):
        return 1.0
    mean = float(steps.mean())
    limit = _EVEN * mean + 1e-12 * float(np.abs(times).max())
    return mean if np.abs(steps - mean).max() <= limit else None
