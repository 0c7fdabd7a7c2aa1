"""Records of bars as trajectories, and text files in which others publish them."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from .._checks import positive
from .._errors import DataError
from ..data import Trajectories


OF_A_BAR = ("x", "y", "alpha")
_UNITS = ("m", "m", "rad")


def bar_names(bars: int, rates: bool = False) -> tuple[str, ...]:
    """x0, y0, alpha0, x1, ..; with `rates` then vx0, vy0, valpha0, .."""
    own = tuple(f"{c}{i}" for i in range(bars) for c in OF_A_BAR)
    return own + tuple(f"v{name}" for name in own) if rates else own


def bar_record(
    ts: Float[np.ndarray, "time"],
    u: Float[np.ndarray, "time bar 3"],
    v: Float[np.ndarray, "time bar 3"],
    *,
    origin: dict[str, Any] | None = None,
) -> Trajectories:
    """One record of bars (x, y, alpha) [m, m, rad] and their rates, all of them
    channels: `bar_names(bars, rates=True)`.

    **Raises:** `DataError` for arrays of other shapes, values that are not finite, or
    an angle that jumps in time or from one bar to the next.

    ```python
    >>> import numpy as np
    >>> from pendula.systems import bar_record
    >>> u = np.zeros((5, 3, 3))
    >>> bar_record(np.arange(5.0), u, u).names[:3]
    ('x0', 'y0', 'alpha0')

    ```
    """
    u, v = np.asarray(u, np.float64), np.asarray(v, np.float64)
    if u.ndim != 3 or u.shape[2] != 3 or v.shape != u.shape:
        raise DataError(
            f"positions have shape {u.shape}, velocities {v.shape}; expected (time, "
            "bar, 3) for both."
        )
    for name, values in (("positions", u), ("velocities", v)):
        if not np.isfinite(values).all():
            t, bar, _ = np.argwhere(~np.isfinite(values))[0]
            raise DataError(
                f"{name} of bar {bar} at sample {t} are not finite. Cut the record "
                "there, or repair it."
            )
    jump = np.abs(np.diff(u[..., 2], axis=0))
    if jump.size and jump.max() > np.pi:
        t, bar = np.argwhere(jump > np.pi)[0]
        raise DataError(
            f"alpha of bar {bar} jumps by {jump[t, bar]:.3g} rad after sample {t}: the "
            "mean of neighbouring angles would change its sign. Unwrap the angles "
            "(numpy.unwrap along time)."
        )
    step = np.abs(np.diff(u[..., 2], axis=1))
    if step.size and step.max() > np.pi:
        t, bar = np.argwhere(step > np.pi)[0]
        raise DataError(
            f"alpha differs by {step[t, bar]:.3g} rad between bars {bar} and {bar + 1} "
            f"at sample {t}: more than half a turn is no neighbour. Unwrap the angles "
            "(numpy.unwrap along the bars)."
        )
    bars = u.shape[1]
    flat = np.concatenate([u.reshape(len(u), -1), v.reshape(len(v), -1)], axis=1)
    return Trajectories.from_arrays(
        np.asarray(ts, np.float64),
        flat,
        names=bar_names(bars, rates=True),
        units=bar_units(bars),
        origin={"system": "slinky"} if origin is None else origin,
    )


def check_units(data: Trajectories, expected: Mapping[str, str]) -> None:
    """**Raises:** `DataError` for channels in other units than those of their names, or
    times that are not in s; one that says none is taken as it is."""
    if data.time_unit not in ("", "s"):
        raise DataError(
            f"times are in {data.time_unit}; expected s. Convert them first."
        )
    for name, unit in zip(data.names, data.units, strict=True):
        if unit not in ("", expected.get(name, unit)):
            raise DataError(
                f'channel "{name}" is in {unit}; expected {expected[name]}. Convert '
                "it first."
            )


def length_of(data: Trajectories, record: int) -> int:
    """Samples of a record. **Raises:** `DataError` for one that is not there."""
    if not -data.num <= record < data.num:
        raise DataError(
            f"the data have {data.num} records, the first is 0: there is no record "
            f"{record}."
        )
    return int(data.lengths[record])


def bar_units(bars: int) -> tuple[str, ...]:
    """Of `bar_names(bars, rates=True)`."""
    return _UNITS * bars + tuple(f"{unit}/s" for unit in _UNITS) * bars


def is_bars(data: Trajectories) -> bool:
    """Whether the channels are those of a record of bars and their rates."""
    return bool(data.dim) and data.names == bar_names(data.dim // 6, rates=True)


def bars_of(
    data: Trajectories, record: int = 0
) -> tuple[
    Float[np.ndarray, "time"],
    Float[np.ndarray, "time bar 3"],
    Float[np.ndarray, "time bar 3"],
]:
    """Times, bars and rates of one record.

    **Raises:** `DataError` for channels that are not those of `bar_record`, in other
    units, samples that are missing, or a record that is not there.
    """
    bars = data.dim // 6
    if not is_bars(data):
        raise DataError(
            f"the record has the channels {', '.join(data.names[:4])}, ..: expected "
            "x0, y0, alpha0, x1, .. of every bar, then vx0, vy0, valpha0, .. Make it "
            "with bar_record."
        )
    check_units(data, dict(zip(data.names, bar_units(bars), strict=True)))
    n = length_of(data, record)
    if not data.mask[record, :n].all():
        raise DataError(
            f"record {record} has missing samples; bars need every one. Fill or cut it."
        )
    flat = data.ys[record, :n]
    u, v = flat[:, : 3 * bars], flat[:, 3 * bars :]
    return data.ts[record, :n], u.reshape(n, bars, 3), v.reshape(n, bars, 3)


def read_bars(
    positions: str | Path, velocities: str | Path, step: float
) -> Trajectories:
    """Two text files of the published layout: a row a time, `step` [s] apart, columns
    x, y, alpha of bar after bar, separated by commas; one of positions, one of
    velocities.

    **Raises:** `DataError` for a column count that is no multiple of 3 or differs
    between the files, rows too few, values that are not finite, an angle that jumps;
    `ConfigError` for a step that is not above 0.
    """
    positive(step=step)
    tables = []
    for path in (positions, velocities):
        try:
            with warnings.catch_warnings():  # of an empty file, which is refused below
                warnings.simplefilter("ignore", UserWarning)
                tables.append(np.loadtxt(path, delimiter=",", ndmin=2))
        except OSError as error:
            told = str(error).rstrip(".")
            raise DataError(f"{path} cannot be read: {told}.") from None
        except ValueError as error:
            told = str(error).rstrip(".")
            raise DataError(
                f"{path}: {told}. Every row has as many numbers, and none is a heading."
            ) from None
        rows, columns = tables[-1].shape
        if columns % 3 or columns < 9 or rows < 2:
            raise DataError(
                f"{path} has {rows} rows of {columns} columns; expected a row a time "
                "(2 at least) and x, y, alpha of at least 3 bars."
            )
    if tables[0].shape != tables[1].shape:
        raise DataError(
            f"{positions} has {tables[0].shape} numbers, {velocities} "
            f"{tables[1].shape}; they must be of the same record."
        )
    u, v = (t.reshape(len(t), -1, 3) for t in tables)
    origin = {"file": str(positions), "velocities": str(velocities)}
    return bar_record(step * np.arange(len(u)), u, v, origin=origin)
