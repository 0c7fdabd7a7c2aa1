"""Fields from a few sensors by linear algebra: what a network has to beat."""

from __future__ import annotations

import dataclasses
import warnings
from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from numpy.typing import ArrayLike

from .._checks import not_negative, whole
from .._errors import ConfigError, DataError, FitWarning, ShapeError
from ._codec import FieldCodec
from ._sensors import checked_sensors
from ._series import Rows, check_finite, rows_of


WAYS = ("modes", "training", "regression")
PLUS = 5e-8
"""The ridge of "POD plus"."""
BLIND = 10.0  # times the deviation of the training fields: what no mode is seen by


class ReconstructionErrors(NamedTuple):
    """||found - true|| / ||true|| over all snapshots: of the `field`, and of what it
    `deviates` from the training mean."""

    field: float
    deviation: float


def reconstruction_errors(
    found: Float[np.ndarray, "time m"],
    true: Float[np.ndarray, "time m"],
    mean: Float[np.ndarray, " m"],
) -> ReconstructionErrors:
    """Errors of reconstructed fields; the mean is that of the training snapshots. They
    are infinite, or no number, for fields that are 0, or the mean.

    ```python
    >>> import numpy as np
    >>> from pendula.latent import reconstruction_errors
    >>> reconstruction_errors(np.array([[10.0, 3.0]]), np.array([[10.0, 4.0]]),
    ...                       np.array([10.0, 2.0])).deviation
    0.5

    ```
    """
    size = lambda x: np.linalg.norm(x.astype(np.float64))
    with np.errstate(divide="ignore", invalid="ignore"):
        gap = size(found - true)
        field, deviation = gap / size(true), gap / size(true - mean)
    return ReconstructionErrors(float(field), float(deviation))


@dataclasses.dataclass(frozen=True)
class FittedGappyPOD:
    """A linear map from readings to fields: `mean` `"m"`, `modes` `"m r"`, `matrix`
    `"r p"` from readings less their mean to coefficients, `sensors` `"p"`."""

    mean: np.ndarray
    modes: np.ndarray
    matrix: np.ndarray
    sensors: np.ndarray

    def predict(self, readings: ArrayLike) -> Float[np.ndarray, "*batch m"]:
        """Fields of readings `"*batch p"`. **Raises:** `ShapeError`."""
        seen = np.asarray(readings)
        if seen.shape[-1:] != self.sensors.shape:
            raise ShapeError(
                f"readings of shape {seen.shape} for {len(self.sensors)} sensors."
            )
        check_finite(seen)
        away = seen.astype(np.float64) - self.mean[self.sensors]
        return self.mean + (away @ self.matrix.T) @ self.modes.T

    def score(self, rows: Rows) -> ReconstructionErrors:
        """Errors of rows `"time m"` from what the sensors see of them."""
        true = rows_of(rows)
        return reconstruction_errors(
            self.predict(true[:, self.sensors]), true, self.mean
        )


@dataclasses.dataclass(frozen=True)
class GappyPOD:
    r"""POD modes with coefficients that explain the readings.

    $$ y = \bar y + U_r a, \qquad a = \arg\min |s - P a|^2 + \epsilon |a|^2 $$

    with s the readings less their mean. By `way`:
    - `"modes"`: P is U_r at the sensors, no ridge: least squares, the usual one.
    - `"training"`: "POD plus" of the source, $P = S Y^+ U_r$ with Y the training
      fields and S their readings, ridge `5e-8`. Both are of the **training** set; the
      published code makes that of the test from test data. For sensors that read cells
      of the field this P is that of `"modes"`, so that only the ridge differs.
    - `"regression"`: a = W s with W fitted to the training set, no ridge: the linear
      map of least training error (a ridge is in units of the readings' squares).

    **Arguments:** `rank`: r; None: as many as sensors.
    **Raises:** `ConfigError` for settings that cannot be.
    **Source:** Everson, Sirovich 1995, J. Optical Society of America A 12, 1657-1664;
    Erichson et al. 2020, section 3.

    ```python
    >>> import numpy as np
    >>> from pendula.latent import GappyPOD
    >>> t, x = np.arange(40.0)[:, None], np.linspace(0, 6, 50)
    >>> wave = 3.0 + np.sin(x - 0.3 * t)
    >>> found = GappyPOD().fit(wave[:30], sensors=[3, 17])
    >>> found.score(wave[30:]).deviation < 1e-10
    True

    ```
    """

    rank: int | None = None
    way: str = "modes"
    ridge: float | None = None
    """None: 5e-8 for `"training"`, 0 for the others."""

    def __post_init__(self) -> None:
        if self.way not in WAYS:
            raise ConfigError(
                f'way is "{self.way}"; expected one of {", ".join(WAYS)}.'
            )
        if self.rank is not None:
            whole(1, rank=self.rank)
        if self.ridge is not None:
            not_negative(ridge=self.ridge)

    def fit(
        self,
        rows: Rows,
        sensors: ArrayLike,
        codec: FieldCodec | None = None,
    ) -> FittedGappyPOD:
        """From **training** rows `"time m"`, or snapshots, and the sensors' places.

        **Arguments:** `codec`: with a basis, of the same rows, where there is one
        already.
        **Raises:** `DataError` for snapshots that cannot be used; `ConfigError` for
        more modes than they have.
        **Warns:** `FitWarning` of sensors from which the training fields come out many
        times worse than their mean is.
        """
        given = rows_of(rows)
        if codec is None:
            codec = FieldCodec.fit(given.astype(np.float64), reduced=True)
        if codec.basis is None:
            raise ConfigError("the codec has no POD basis. Fit it with reduced=True.")
        at = checked_sensors(sensors, len(codec.mean))
        rank = len(at) if self.rank is None else self.rank
        if rank > codec.basis.shape[1]:
            raise ConfigError(
                f"{rank} modes, but the training snapshots have "
                f"{codec.basis.shape[1]}. Lower rank, or give more snapshots."
            )
        if given.ndim != 2 or given.shape[1:] != codec.mean.shape:
            raise DataError(
                f"snapshots of shape {given.shape}; expected (time, {len(codec.mean)})."
            )
        mean = codec.mean.astype(np.float64)
        modes = codec.basis[:, :rank].astype(np.float64)
        readings = given[:, at].astype(np.float64) - mean[at]
        states = (given - codec.mean).astype(np.float64) @ modes
        ridge = self.ridge
        if ridge is None:
            ridge = PLUS if self.way == "training" else 0.0
        if self.way == "regression":
            unit = ridge * float(np.square(readings).sum())
            matrix = _ridge(readings, states, unit).T
        else:
            seen = modes[at]
            if self.way == "training":
                # the columns of Y+ U are the coefficients over their squared lengths
                seen = readings.T @ (states / np.square(states).sum(axis=0))
            matrix = _ridge(seen, np.eye(len(at)), ridge)
        found = FittedGappyPOD(mean, modes, matrix, at)
        missed = found.score(given).deviation
        if missed > BLIND:
            warnings.warn(
                f"these sensors miss the training fields by {missed:.2g} times what "
                "these differ from their mean: they hardly see the modes, or see them "
                "alike. Place them where the modes move (leverage_sensors), lower the "
                'rank, or take way="regression".',
                FitWarning,
                stacklevel=2,
            )
        return found


def _ridge(a: np.ndarray, b: np.ndarray, ridge: float) -> np.ndarray:
    """X of least |a X - b|^2 + ridge |X|^2."""
    if ridge == 0:
        return np.linalg.lstsq(a, b, rcond=None)[0]
    rows = np.concatenate([a, np.sqrt(ridge) * np.eye(a.shape[1])])
    goal = np.concatenate([b, np.zeros((a.shape[1], b.shape[1]))])
    return np.linalg.lstsq(rows, goal, rcond=None)[0]
