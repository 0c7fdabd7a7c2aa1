"""What a fit of a stochastic model returns, and the forecasts it makes."""

from __future__ import annotations

import dataclasses
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float
from numpy.typing import ArrayLike

from .._errors import DataError
from .._precision import precision, to_host
from .._tree import member
from .._units import with_unit
from ..data import Batch, Scales, Trajectories
from ._kalman import Stochastic, filtered
from ._layout import match_inputs, match_units
from ._run_size import check_run
from ._times import near


QUANTILE = 1.6448536269514722  # of the normal distribution at 95 %
POWERS = {"held": 1, "linear": 2, "spline": 4}  # of an input's polynomial


@dataclasses.dataclass(frozen=True, eq=False)
class StochasticForecast:
    """What is expected of later observations, given those up to `start`.

    **Shapes and units:** `ts` `"time"`; `mean` `"time obs"` and `cov`
    `"time obs obs"` of the observations (their errors included) in the channels'
    units: moments of the mixture over the members; `means` `"member time obs"` and
    `covs` of each; `truth` `"time obs"`, NaN where not measured.
    """

    start: float
    ts: Float[np.ndarray, " time"]
    mean: Float[np.ndarray, "time obs"]
    cov: Float[np.ndarray, "time obs obs"]
    means: Float[np.ndarray, "member time obs"]
    covs: Float[np.ndarray, "member time obs obs"]
    truth: Float[np.ndarray, "time obs"]
    names: tuple[str, ...]
    units: tuple[str, ...]

    @property
    def sd(self) -> Float[np.ndarray, "time obs"]:
        """Standard deviation of every value."""
        return np.sqrt(np.diagonal(self.cov, axis1=-2, axis2=-1))

    def band(self) -> tuple[np.ndarray, np.ndarray]:
        """Lower and upper end of the central 90 % interval of N(mean, sd^2)."""
        half = QUANTILE * self.sd
        return self.mean - half, self.mean + half

    def samples(
        self, number: int, seed: int = 0
    ) -> Float[np.ndarray, "number time obs"]:
        """Draws of the observations at each time by itself (not paths: neighbouring
        times are drawn independently), every member with the same chance."""
        rng = np.random.default_rng(seed)
        which = rng.integers(len(self.means), size=number)
        roots = np.linalg.cholesky(self.covs)
        noise = rng.normal(size=(number, *self.mean.shape))
        return self.means[which] + np.einsum("ntij,ntj->nti", roots[which], noise)


@dataclasses.dataclass(frozen=True, eq=False)
class FittedStochastic:
    """A fitted stochastic model: an ensemble, its scales and its channels.

    `ensemble`: a `Stochastic` with a leading member axis on its arrays, in scaled
    units; `scales`: between those and the data's; `objective` `"member"`: negative log
    posterior at the end of training. Data are matched by the names of channels and
    inputs.
    """

    ensemble: Stochastic
    scales: Scales
    names: tuple[str, ...]
    units: tuple[str, ...]
    objective: Float[np.ndarray, " member"]
    input_names: tuple[str, ...] = ()
    time_unit: str = ""

    @property
    def members(self) -> int:
        """Size of the ensemble."""
        return len(self.objective)

    def model(self, index: int = 0) -> Stochastic:
        """One member."""
        return member(self.ensemble, index)

    def log_likelihood(self, data: Trajectories) -> Float[np.ndarray, " member"]:
        """Log likelihood of data under each member (in the data's units).

        **Raises:** `DataError` when the channels differ."""
        data = self._match(data)
        with precision(np.float64):
            told = to_host(_filter(self.ensemble, self._batch(data)))
        scale = np.log(self.scales.scale)
        return told.log_likelihood.sum(axis=1) - (data.mask.sum((0, 1)) * scale).sum()

    def forecast(
        self,
        data: Trajectories,
        *,
        start: float,
        until: float | None = None,
        trajectory: int = 0,
    ) -> StochasticForecast:
        """Forecast one trajectory from everything measured up to `start`.

        **Arguments:** `until`: end of the forecast (default: the end of the data;
        beyond it, at steps of the median sampling interval, only without inputs).
        **Raises:** `DataError` when the channels differ or nothing lies ahead,
        `ConfigError` for an end so late that the run takes hours.
        """
        data = self._match(data).select([trajectory])
        return self.forecasts(_until(data, until, self.members), [start])[0]

    def forecasts(
        self, data: Trajectories, starts: ArrayLike
    ) -> list[StochasticForecast]:
        """Forecasts of the first trajectory from several starts, to its end: every
        one knows the samples up to its start, the inputs throughout, and nothing else.

        **Raises:** as `forecast`.
        """
        data = self._match(data).select([0])
        ts = data.ts[0]
        at = np.atleast_1d(np.asarray(starts, np.float64)).tolist()
        close = near(ts, float(np.median(np.diff(ts))))
        known = [int(np.searchsorted(ts, start + close)) for start in at]
        for start, count in zip(at, known, strict=True):
            if not 0 < count < len(ts):
                raise DataError(
                    f"a forecast from {start:g} cannot be made: the data run from "
                    f"{ts[0]:g} to {ts[-1]:g}. Choose a start inside them, or give "
                    "`until`."
                )
        with precision(np.float64):
            batch = self._batch(data)
            seen = np.arange(len(ts)) < np.array(known)[:, None]
            masks = jnp.asarray(data.mask & seen[:, :, None])
            told = to_host(_filter_again(self.ensemble, batch, masks))
        scale = self.scales.scale
        means, covs = self.scales.up(told.mean), told.cov * np.outer(scale, scale)
        truth = np.where(data.mask[0], data.ys[0], np.nan)
        return [
            _mixture(start, ts[n:], means[:, i, n:], covs[:, i, n:], truth[n:], data)
            for i, (start, n) in enumerate(zip(at, known, strict=True))
        ]

    def _batch(self, data: Trajectories) -> Batch:
        return jax.tree.map(jnp.asarray, batch_of(data, self.scales))

    def _match(self, data: Trajectories) -> Trajectories:
        missing = [name for name in self.names if name not in data.names]
        ctrl = len(self.scales.input_mean)
        if missing or bool(data.ctrl) != bool(ctrl):
            raise DataError(
                f"the model knows {', '.join(self.names)} and {ctrl} inputs; the data "
                f"have {', '.join(data.names)} and {data.ctrl}. Give the same ones."
            )
        data = match_inputs(data.channels(self.names), self.input_names)
        match_units(data, self.units, self.time_unit)
        return data


def batch_of(data: Trajectories, scales: Scales) -> Batch:
    """The whole data in the model's units; input polynomials end with their highest
    power."""
    us = data.us
    if us is not None:
        us = (us - scales.input_mean) / scales.input_scale
    ys = np.where(data.mask, scales.down(data.ys), 0.0)
    scaled = data.replace(ts=data.ts / scales.time, ys=ys, us=us)
    batch = scaled.full(np.float64)
    if batch.us is None:
        return batch
    power = POWERS[data.input_kind]
    return eqx.tree_at(lambda b: b.us, batch, batch.us[:, :, :power])


@eqx.filter_jit
def _filter(ensemble: Stochastic, batch: Batch) -> Any:
    """`filtered`, `"member traj ..."`."""
    return eqx.filter_vmap(
        lambda m: jax.vmap(lambda item: filtered(m, item))(batch),
        in_axes=(eqx.if_array(0),),
    )(ensemble)


@eqx.filter_jit
def _filter_again(ensemble: Stochastic, batch: Batch, masks: Array) -> Any:
    """`filtered` of one trajectory under several masks, `"member mask ..."`; the
    transitions of a linear model are the same under all, and computed once."""
    item = jax.tree.map(lambda x: x[0], batch)

    def one(model: Stochastic, mask: Array) -> Any:
        return filtered(model, eqx.tree_at(lambda b: b.mask, item, mask))

    return eqx.filter_vmap(
        lambda m: jax.vmap(lambda mask: one(m, mask))(masks),
        in_axes=(eqx.if_array(0),),
    )(ensemble)


def _mixture(
    start: float,
    ts: np.ndarray,
    means: np.ndarray,
    covs: np.ndarray,
    truth: np.ndarray,
    data: Trajectories,
) -> StochasticForecast:
    """Moments of the equal mixture of the members."""
    mean = means.mean(axis=0)
    away = means - mean
    cov = covs.mean(axis=0) + np.einsum("mti,mtj->tij", away, away) / len(means)
    return StochasticForecast(
        start, ts, mean, cov, means, covs, truth, data.names, data.units
    )


def _until(data: Trajectories, until: float | None, members: int) -> Trajectories:
    """The data cut or lengthened to end at `until`."""
    ts, n = data.ts[0], int(data.lengths[0])
    if until is None:
        return data
    if until <= ts[n - 1]:
        return data.between(ts[0], until)
    if data.us is not None:
        raise DataError(
            f"the data end at {ts[n - 1]:g} and the model has inputs: a forecast until "
            f"{until:g} needs them. Append rows with the inputs and empty channels."
        )
    step = float(np.median(np.diff(ts[:n])))
    check_run(
        f"a forecast until {with_unit(f'{until:g}', data.time_unit)}",
        float((until - ts[0]) / step),
        every=step,
        unit=data.time_unit,
        steps=members,
    )
    more = np.arange(ts[n - 1] + step, until + 1e-9 * step, step)
    ys = np.where(data.mask[0, :n], data.ys[0, :n], np.nan)
    empty = np.full((len(more), data.dim), np.nan)
    longer = Trajectories.from_arrays(
        np.concatenate([ts[:n], more]), np.concatenate([ys, empty])
    )
    return data.replace(ts=longer.ts, ys=longer.ys, mask=longer.mask)
