"""What every forecast of a field has to beat: the last snapshot, and the season."""

from __future__ import annotations

import dataclasses

import numpy as np
from jaxtyping import Float, Shaped
from numpy.typing import ArrayLike

from .._checks import positive, whole
from .._errors import DataError, ShapeError
from ._series import Rows, checked, rows_of, times


_ILL = 1e3  # condition of the harmonics beyond which they are not told apart


def persistence(y0: Rows, steps: int) -> Shaped[np.ndarray, "*batch step m"]:
    """The last snapshot again, `steps` times.

    **Arguments:** `y0`: a snapshot `"m"`, or several `"*batch m"`.
    **Raises:** `ConfigError` for fewer than one step; `ShapeError` for one number.

    ```python
    >>> from pendula.latent import persistence
    >>> persistence([1.0, 2.0], 2).tolist()
    [[1.0, 2.0], [1.0, 2.0]]

    ```
    """
    whole(1, steps=steps)
    rows = rows_of(y0)
    if not rows.ndim:
        raise ShapeError("a snapshot of shape (); expected (m,), or several (..., m).")
    return np.repeat(rows[..., None, :], steps, axis=-2)


@dataclasses.dataclass(frozen=True)
class Climatology:
    """A mean and harmonics of a period in every cell: `coefficients` `"harmonic m"`
    (mean, then cosine and sine of each), `period` in the unit of the times."""

    coefficients: np.ndarray
    period: float

    def at(self, ts: ArrayLike) -> Float[np.ndarray, "time m"]:
        """The field of the season at any times, of one time as one row."""
        count = (len(self.coefficients) - 1) // 2
        waves = _harmonics(np.atleast_1d(ts).astype(np.float64), count, self.period)
        return waves @ self.coefficients


def climatology(
    ts: ArrayLike, ys: Rows, harmonics: int = 2, *, period: float
) -> Climatology:
    r"""The season: least squares of harmonics in every cell.

    $$ y(t) = a_0 + \sum_{k=1}^{h} a_k \cos(2 \pi k t / p) + b_k \sin(2 \pi k t / p) $$

    **Arguments:** `ts`, `ys`: times `"time"` and rows `"time m"` (or snapshots) of the
    **training** part alone; `harmonics`: h; `period`: p, in the unit of `ts` (365.2425
    days).
    **Raises:** `ConfigError` for a period or number that cannot be; `DataError` for
    data that do not tell the harmonics apart (less than most of a period).

    ```python
    >>> import numpy as np
    >>> from pendula.latent import climatology
    >>> days = np.arange(730.0)
    >>> sea = 15 + 5 * np.cos(2 * np.pi * days / 365)[:, None]
    >>> found = climatology(days[:365], sea[:365], period=365)
    >>> bool(np.allclose(found.at(days[365:]), sea[365:]))
    True

    ```
    """
    whole(0, harmonics=harmonics)
    positive(period=period)
    rows = checked(ys)
    found = times(ts, len(rows))
    waves = _harmonics(found, harmonics, period)
    if len(rows) < waves.shape[1] or np.linalg.cond(waves) > _ILL:
        raise DataError(
            f"{len(rows)} snapshots over {(found[-1] - found[0]) / period:.2g} periods "
            f"do not determine {harmonics} harmonics. Give a whole period, or fewer."
        )
    return Climatology(np.linalg.lstsq(waves, rows, rcond=None)[0], float(period))


def _harmonics(ts: np.ndarray, count: int, period: float) -> np.ndarray:
    angles = np.multiply.outer(ts, 2 * np.pi * np.arange(1, count + 1) / period)
    waves = np.stack([np.cos(angles), np.sin(angles)], axis=-1)
    return np.concatenate(
        [np.ones((len(ts), 1)), waves.reshape(len(ts), 2 * count)], axis=1
    )
