"""Dynamic mode decomposition: the linear map between snapshots, and its forecasts."""

from __future__ import annotations

import dataclasses
import math
import warnings
from collections.abc import Sequence

import numpy as np
from jaxtyping import Complex, Float, Shaped
from numpy.typing import ArrayLike

from .._checks import whole
from .._errors import ConfigError, DataError, FitWarning, ShapeError
from ._series import Rows, Series, rounding, rows_of, series


_ROUNDING = 1e-13  # a singular value below that share of the first is rounding
_GROWN = math.log(1e3)  # growth over the record that the snapshots do not show


@dataclasses.dataclass(frozen=True)
class LinearForecast:
    r"""A linear map of snapshots, whatever way it was found.

    $$ z_0 = U^+ y_0, \quad z_{k+1} = A z_k, \quad y_k = U z_k, \qquad
       A W = W \Lambda, \quad \lambda = e^{\alpha\, dt} $$

    **Shapes:** snapshots y `"m"`, with `delays` above 1 windows of as many, oldest
    first, `"delays m"`.
    **Fields:**
    - `basis`: U `"m r"`, orthonormal; of delays `"delays*m r"`.
    - `operator`: A `"r r"`, one step in its coordinates.
    - `rates`: alpha `"r"`, continuous eigenvalues [1 / time].
    - `modes`: U W `"m r"`, of length 1 (of delays: in the newest snapshot's rows).
    - `dt`: the step of `predict`.
    - `delays`: snapshots that a forecast begins with.
    - `amplitudes` `"r"` at the time `start`, of fits to all times at once, else None.
    - `is_determined`: whether one snapshot tells the amplitudes of all modes.
    - `reader`: F `"r r"`, of fits that leave a residual, else None: $z_0 = F U^+ y_0$.
    """

    basis: np.ndarray
    operator: np.ndarray
    rates: np.ndarray
    modes: np.ndarray
    dt: float
    delays: int = 1
    amplitudes: np.ndarray | None = None
    start: float = 0.0
    is_determined: bool = True
    reader: np.ndarray | None = None

    @classmethod
    def of(
        cls, basis: np.ndarray, operator: np.ndarray, dt: float, delays: int = 1
    ) -> LinearForecast:
        """From an orthonormal basis and the map in its coordinates."""
        values, vectors = np.linalg.eig(operator)
        order = ordered(values)
        values, vectors = values[order].astype(complex), vectors[:, order]
        newest = basis[len(basis) - len(basis) // delays :]
        modes = (newest @ vectors).astype(complex)
        length = np.linalg.norm(modes, axis=0)
        modes = modes / np.where(length > 0, length, 1.0)
        with np.errstate(divide="ignore"):  # an eigenvalue 0 dies at once
            rates = np.log(values) / dt
        return cls(basis, operator, rates, modes, dt, delays)

    @property
    def size(self) -> int:
        """Numbers of a snapshot."""
        return len(self.modes)

    def predict(self, y0: Rows, steps: int) -> Float[np.ndarray, "*batch step m"]:
        """Snapshots after 1, 2, ... `steps` steps.

        **Arguments:** `y0`: any snapshot `"*batch m"`, or with delays the last ones
        `"*batch delays m"`; it is projected on the modes.
        **Raises:** `ShapeError` for another field; `DataError` for values that are
        not finite; `ConfigError` for fewer than one step, and for modes that one
        snapshot does not tell apart.
        """
        if not self.is_determined:
            raise ConfigError(
                f"one snapshot of {self.size} numbers does not determine the "
                f"amplitudes of {len(self.rates)} modes. Use at(times), or HankelDMD, "
                "which begins with several snapshots."
            )
        whole(1, steps=steps)
        start = rows_of(y0).astype(np.float64)
        expected = (self.size,) if self.delays == 1 else (self.delays, self.size)
        if start.shape[-len(expected) :] != expected:
            raise ShapeError(
                f"a forecast from an array of shape {start.shape}; expected "
                f"(..., {', '.join(map(str, expected))})."
            )
        if not np.isfinite(start).all():
            raise DataError("the start of the forecast has values that are not finite.")
        batch = start.shape[: start.ndim - len(expected)]
        z = start.reshape(*batch, -1) @ self.basis.conj()
        if self.reader is not None:
            z = z @ self.reader.T
        newest = self.basis[len(self.basis) - self.size :]
        out = np.empty((*batch, steps, self.size))
        for k in range(steps):
            z = z @ self.operator.T
            out[..., k, :] = np.real(z @ newest.T)
        return out

    def at(self, ts: ArrayLike) -> Float[np.ndarray, "time m"]:
        """The fitted series at any times, before, within and after the data.

        **Raises:** `ConfigError` for a map that was fitted to pairs of snapshots.
        """
        if self.amplitudes is None:
            raise ConfigError(
                "this map was fitted to pairs of snapshots and has no amplitudes of "
                "its own. Use predict, or fit OptimizedDMD."
            )
        ts = np.asarray(ts, np.float64)
        waves = np.exp(np.multiply.outer(ts - self.start, self.rates))
        return np.real((waves * self.amplitudes) @ self.modes.T)

    def spectrum(self) -> Complex[np.ndarray, " r"]:
        """The eigenvalues lambda of one step, the largest modulus first."""
        with np.errstate(invalid="ignore"):
            found = np.exp(self.rates * self.dt)
        return np.where(np.isneginf(np.real(self.rates)), 0.0, found)

    def frequencies(self) -> Float[np.ndarray, " r"]:
        """f = phi / (2 pi dt) of every mode [1 / time]; from equal steps they are
        known up to multiples of 1 / dt, and the smallest is given."""
        return np.imag(self.rates) / (2 * np.pi)

    def damping(self) -> Float[np.ndarray, " r"]:
        """ln|lambda| / dt of every mode [1 / time], below 0 where it decays."""
        return np.real(self.rates)


@dataclasses.dataclass(frozen=True)
class ExactDMD:
    r"""The linear map that takes each snapshot to the next one, of given rank.

    $$ Y_0 = U S V^\top, \quad A = U^\top Y_1 V S^{-1} $$

    with the columns of $Y_0$ and $Y_1$ the snapshots and their successors, and the
    first `rank` singular values. The mean is **not** taken off: with it the answer
    becomes a Fourier analysis of the series, and the mean has a mode of its own, with
    the eigenvalue 1.

    **Arguments:** `rank`: r; None: all directions that are not rounding in the type of
    the data.
    **Raises:** `ConfigError` for a rank below 1.
    **Behaviour:** exact for linear systems without noise. Noise draws the eigenvalues
    inwards: then `OptimizedDMD`. Of noisy snapshots give a rank: the directions of the
    noise have eigenvalues of their own, some of which grow.
    **Source:** Schmid 2010, J. Fluid Mech. 656, 5-28; Tu et al. 2014, J. Comput.
    Dynamics 1, 391-421, algorithm 2; on the mean: Chen, Tu, Rowley 2012, J. Nonlinear
    Science 22, 887-915.

    ```python
    >>> import numpy as np
    >>> from pendula.latent import ExactDMD
    >>> t, x = np.arange(30.0)[:, None], np.linspace(0, 6, 50)
    >>> wave = 2.0 + np.sin(x - 0.3 * t)
    >>> found = ExactDMD(3).fit(wave[:20])
    >>> bool(np.allclose(found.predict(wave[19], 10), wave[20:]))
    True
    >>> (2 * np.pi * found.frequencies()).round(6).tolist()
    [0.0, 0.3, -0.3]

    ```
    """

    rank: int | None = None

    def __post_init__(self) -> None:
        check_rank(self.rank)

    def fit(
        self, ys: Series, dt: float | None = None, *, ts: ArrayLike | None = None
    ) -> LinearForecast:
        """The map of equally spaced snapshots.

        **Arguments:**
        - `ys`: rows `"time m"`, a list of such series, or `Snapshots`.
        - `dt`: time between two rows; of `Snapshots` it is known, else 1.
        - `ts`: times `"time"` of the rows of one series instead of `dt`.

        **Raises:** `DataError` for too few, constant or unequally spaced snapshots and
        for values that are not finite; `ConfigError` for a rank that they do not span.
        **Warns:** `FitWarning` of a mode that grows and the snapshots do not.
        """
        parts, step = series(ys, dt, ts)
        least = (self.rank or 1) + 1
        count = sum(len(one) - 1 for one in parts)
        if count < least - 1 or min(len(one) for one in parts) < 2:
            raise ConfigError(
                f"rank {self.rank or 1} from {count} pairs of snapshots; it can be "
                f"{count} at the most, and each series needs two. Lower the rank, or "
                "give more snapshots."
            )
        before = np.concatenate([one[:-1] for one in parts])
        after = np.concatenate([one[1:] for one in parts])
        basis, operator = projected_map(before, after, self.rank, rounding(ys))
        found = LinearForecast.of(basis, operator, step)
        warn_of_growth(found.rates, parts, step * (max(map(len, parts)) - 1))
        return found


def warn_of_growth(
    rates: Complex[np.ndarray, " r"],
    parts: Sequence[Float[np.ndarray, "time m"]],
    span: float,
) -> None:
    """`FitWarning` of a mode that would have grown over the record by far more than the
    snapshots have."""
    sizes = np.concatenate([np.linalg.norm(one, axis=1) for one in parts])
    grown = float(np.max(np.real(rates))) * span
    if grown - np.log(sizes.max() / sizes[sizes > 0].min()) > _GROWN:
        warnings.warn(
            f"a mode grows by a factor of 10^{grown / np.log(10):.1f} over the record, "
            "far more than the snapshots do. Where they are noisy it is fitted to the "
            "noise, and forecasts will blow up: then give a rank, or a lower one.",
            FitWarning,
            stacklevel=3,
        )


def projected_map(
    before: Float[np.ndarray, "pair m"],
    after: Float[np.ndarray, "pair m"],
    rank: int | None,
    lost: float = 0.0,
) -> tuple[Float[np.ndarray, "m r"], Float[np.ndarray, "r r"]]:
    """U and A of pairs of rows; without a rank directions below the share `lost` of
    the first are left out. **Raises:** `ConfigError` for too high a rank, and rows
    that are all 0."""
    v, s, ut = np.linalg.svd(before, full_matrices=False)
    least = _ROUNDING * np.sqrt(max(before.shape))
    most = int(np.sum(s > least * s[0]))
    if not most:
        raise ConfigError(
            "all snapshots that have a next one are 0: no map can be found from them. "
            "Give a stretch that moves."
        )
    r = int(np.sum(s > max(least, lost) * s[0])) if rank is None else rank
    if r > most:
        raise ConfigError(
            f"rank is {r}, but the snapshots span only {most} directions. Take at most "
            f"{most}; for few observables use HankelDMD."
        )
    basis = ut[:r].T
    return basis, (after @ basis).T @ v[:, :r] / s[:r]


def check_rank(rank: int | None, least: int = 1) -> None:
    """**Raises:** `ConfigError` for a rank that no data can have."""
    if rank is not None:
        whole(least, rank=rank)


def ordered(values: Shaped[np.ndarray, " r"]) -> np.ndarray:
    """The order of eigenvalues: the largest modulus first, pairs beside each other, the
    positive frequency before the negative one."""
    size = np.round(np.abs(values), 10)
    angle = np.round(np.abs(np.angle(values)), 10)
    return np.lexsort((-np.imag(values), angle, -size))
