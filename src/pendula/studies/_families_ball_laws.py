"""Classical laws of a falling ball, and how well any law of it forecasts a drop."""

from __future__ import annotations

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from .._precision import cast, precision
from ..data import Batch, Trajectories


GRAVITY = 9.81  # m/s2
FALLEN = 0.1  # m below the highest of the first samples: the hand has let go
HAND = 6  # samples among which a hand may still hold the ball
BEGINNING = 0.5  # s of the second drop from which its start state is found
NOISE = 0.05  # m, of a height in the video
LOOSE, HELD = 1e-12, 1e12  # precisions of a coefficient: unknown, given


def from_release(data: Trajectories) -> Trajectories:
    """The drops from the last sample at which the ball was still in the hand, their
    times counted from there."""
    ts, ys = [], []
    for t, y, n in zip(data.ts, data.ys, data.lengths, strict=True):
        high = y[:HAND, 0].max() - FALLEN
        first = int(np.flatnonzero(y[:n, 0] >= high)[-1])
        ts.append(t[first:n] - t[first])
        ys.append(y[first:n])
    new = Trajectories.from_arrays(ts, ys)
    return data.replace("from the release", ts=new.ts, ys=new.ys, mask=new.mask)


def until(batch: Batch, end: Any) -> Batch:
    """Only what was measured up to a time counts."""
    ends = jnp.cumsum(batch.dts, axis=-1)
    times = jnp.concatenate([jnp.zeros_like(ends[..., :1]), ends], axis=-1)
    mask = batch.mask & (times <= end + 1e-6)[..., None]
    return eqx.tree_at(lambda b: b.mask, batch, mask)


def first_guess(batch: Batch) -> Any:
    """Height and speed where a drop begins."""
    return jnp.stack([batch.ys[..., 0, 0], -jnp.ones_like(batch.t0)], axis=-1)


class Falling(eqx.Module):
    r"""Gravity, linear and quadratic drag: a = -g - c v - d v |v|."""

    drag: Any

    def __call__(self, t: Any, y: Any, u: Any, context: Any) -> Any:
        linear, quadratic = self.drag
        v = y[1]
        return jnp.stack([v, -GRAVITY - linear * v - quadratic * v * jnp.abs(v)])


def classical(drag: Any) -> Any:
    """The model of one pair of coefficients."""
    from ..dynamics import Model

    return Model(Falling(drag), (0,), 2, substeps=2)


def late_error(model: Any, drop: Batch) -> Any:
    """RMSE [m] of a drop after its first half second, from the start state that fits
    this half second best."""
    from ..dynamics import refine_start

    early = until(drop, BEGINNING)
    y0, _, _ = refine_start(model, first_guess(drop), early)
    off = model.predict(y0, drop.t0, drop.dts) - drop.ys
    late = drop.mask & ~early.mask
    mean = jnp.sum(jnp.where(late, off**2, 0.0)) / jnp.sum(late, dtype=off.dtype)
    return jnp.sqrt(mean)


_late_error = eqx.filter_jit(late_error)


def forecast_error(model: Any, drop: Trajectories) -> float:
    """`late_error` of one drop by a model on the host."""
    with precision(np.float64):
        on_device = lambda tree: jax.tree.map(jnp.asarray, cast(tree, np.float64))
        item = jax.tree.map(lambda x: x[0], on_device(drop.full(np.float64)))
        return float(_late_error(on_device(model), item))


@eqx.filter_jit
def _drags(batch: Batch, mean: Any, prior: Any) -> Any:
    from ..dynamics import weighted_residual
    from ..train import EtaPrior, adapt

    def residual(drag: Any, start: Any, item: Batch) -> Any:
        return weighted_residual(classical(drag), start, item, 1.0)

    def one(clips: Batch, mean: Any, prior: Any) -> Any:
        return adapt(
            residual,
            EtaPrior(mean, prior),
            clips,
            first_guess(clips),
            mean,
            variance=NOISE**2,
            start_precision=1e-8 * jnp.eye(2),
            count=jnp.sum(clips.mask, dtype=mean.dtype),
            iterations=30,
        ).eta

    return jax.vmap(one)(batch, mean, prior)


@eqx.filter_jit
def _errors(drags: Any, batch: Batch) -> Any:
    return jax.vmap(lambda drag, drop: late_error(classical(drag), drop))(drags, batch)


def baselines(data: Trajectories, seconds: list[float]) -> dict[str, np.ndarray]:
    """Errors [m] of the classical laws, `"ball"` each; `data` are two drops of every
    ball, one after the other, from the release.

    `gravity`: no drag; `pooled`: one quadratic drag for all other balls; `whole`: both
    drags from the whole first drop; `floor`: from the second drop itself; and for each
    length of the first drop `alone_T` (quadratic drag) and `prior_T` (both, the mean
    and covariance of the other balls as prior).
    """
    num = data.num // 2
    with precision(np.float64):
        flat = jax.tree.map(jnp.asarray, data.full(np.float64))
        pairs = jax.tree.map(lambda x: x.reshape(num, 2, *x.shape[1:]), flat)
        first, second = (jax.tree.map(lambda x, k=k: x[:, k], pairs) for k in (0, 1))
        others = np.stack([np.delete(np.arange(num), k) for k in range(num)])
        zero, unknown = jnp.zeros((num, 2)), jnp.tile(LOOSE * jnp.eye(2), (num, 1, 1))
        start = zero.at[:].set(jnp.asarray([0.0, 0.01]))
        square = unknown.at[:, 0, 0].set(HELD)
        clip = lambda drops: jax.tree.map(lambda x: x[:, None], drops)
        join = lambda x: x[others].reshape(num, -1, *x.shape[2:])
        both = _drags(pairs, start, unknown)
        mean = both[others].mean(1)
        away = both[others] - mean[:, None]
        spread = jnp.einsum("bki,bkj->bij", away, away) / (num - 2)
        known = jnp.linalg.inv(spread)
        drags = {
            "gravity": zero,
            "pooled": _drags(jax.tree.map(join, pairs), start, square),
            "whole": _drags(clip(first), start, unknown),
            "floor": _drags(clip(second), start, unknown),
        }
        for end in seconds:
            part = clip(until(first, end))
            drags[f"alone_{end:g}"] = _drags(part, start, square)
            drags[f"prior_{end:g}"] = _drags(part, mean, known)
        return {k: np.asarray(_errors(drag, second)) for k, drag in drags.items()}
