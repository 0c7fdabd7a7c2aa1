"""Forecasts of an ensemble from measured beginnings, with their uncertainty."""

from __future__ import annotations

import dataclasses
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Bool, Float, Int8

from .._tree import split_trainable
from ._field import terms_of
from ._lagrangian import Lagrangian
from ._learned import Learned
from ._model import Model, weighted_residual
from ._reaction import Reaction
from ._start import refine_start


class Spread(eqx.Module):
    """What one member says of one beginning.

    `obs` `"time obs"`, `var` their variance from start state and constants,
    `status`, `t_fail`, `outside` `"time"` where a slot left its training range.
    """

    obs: Float[Array, "time obs"]
    ys: Float[Array, "time dim"]
    var: Float[Array, "time obs"]
    status: Int8[Array, ""]
    t_fail: Float[Array, ""]
    outside: Bool[Array, "time"]


def slots_of(field: Any) -> list[Learned]:
    """All learned slots of a field."""
    is_slot = lambda node: isinstance(node, Learned)
    return [node for node in jax.tree.leaves(field, is_leaf=is_slot) if is_slot(node)]


def outside(field: Any, y: Any, u: Any, context: Any) -> Bool[Array, ""]:
    """Whether a learned slot is asked outside the range it visited in training."""
    found = jnp.zeros((), bool)
    slots = slots_of(field)
    for term in terms_of(field):
        if isinstance(term, Lagrangian):  # its forces see the joints
            seen = term.seen(y)
            for slot in slots_of(term.forces):
                found |= slot.outside(seen, u, context)
            slots = slots_of(term.body)
        elif isinstance(term, Reaction):  # asked at every node
            found |= term.outside(y, u, context)
            slots = [slot for slot in slots if slot is not term.slot]
    for slot in slots:
        found |= slot.outside(y, u, context)
    return found


def member_forecast(
    model: Model,
    covariance: Float[Array, "param param"] | None,
    guess: Float[Array, "dim"],
    history: Any,
    future: Any,
    weight: Float[Array, "obs"],
    *,
    refine: int = 1,
    with_variance: bool = True,
) -> Spread:
    r"""One member's forecast from one measured beginning.

    The start state is fitted on `history`; then the model runs freely over
    `future` (which begins at the same sample). The variance is linear in the
    parameters and the start state (with $\partial y_0/\partial p$ from the fit of
    the start),

    $$ \mathrm{var} = T\,\Sigma_p T^\top + s^2\, J_s (J_h^\top J_h)^{-1} J_s^\top,
       \quad T = J_p - J_s (J_h^\top J_h)^{-1} J_h^\top J_{hp} $$

    which stays sensible for networks, where samples of weights do not.
    **Source:** linearised Laplace: Immer, Korzepa, Bauer 2021, arXiv:2008.08400.
    """
    inverse = mean_square = jnp.zeros(())
    if history is None:
        y0 = guess
    else:
        y0, inverse, mean_square = refine_start(model, guess, history, weight)
    roll = model.steps(
        y0, future.t0, future.dts, future.us, future.context, refine=refine
    )
    obs = jax.vmap(model.observe)(roll.ys)
    us = None
    if future.us is not None:
        us = jnp.concatenate([future.us[:, 0], future.us[-1:, 0]])
    beyond = jax.vmap(outside, (None, 0, 0, None))(
        model.field, roll.ys, us, future.context
    )
    if not with_variance or history is None:
        return Spread(
            obs, roll.ys, jnp.zeros_like(obs), roll.status, roll.t_fail, beyond
        )
    params, static = split_trainable(model)
    flat, unravel = ravel_pytree(params)

    def run(p: Any, s: Any) -> Any:
        m = eqx.combine(unravel(p), static)
        return m.predict(s, future.t0, future.dts, future.us, future.context)

    def beginning(p: Any, s: Any) -> Any:
        return weighted_residual(eqx.combine(unravel(p), static), s, history, weight)

    if covariance is None:
        js = jax.jacfwd(run, argnums=1)(flat, y0)
        extra = jnp.zeros((), js.dtype)
    else:
        both = (0, 1)
        jp, js = jax.jacfwd(run, argnums=both)(flat, y0)
        hp, hs = jax.jacfwd(beginning, argnums=both)(flat, y0)
        total = jp - js @ (inverse @ (hs.T @ hp))
        extra = jnp.einsum("top,pq,toq->to", total, covariance, total)
    var = mean_square * jnp.einsum("tos,sr,tor->to", js, inverse, js) + extra
    var = jnp.where(jnp.isfinite(var), var, jnp.inf)
    return Spread(obs, roll.ys, var, roll.status, roll.t_fail, beyond)


@eqx.filter_jit
def ensemble_forecast(
    ensemble: Model,
    covariance: Any,
    guesses: Float[Array, "member start dim"],
    histories: Any,
    futures: Any,
    weight: Float[Array, "obs"],
    refine: int = 1,
    with_variance: bool = True,
) -> Spread:
    """All members from all beginnings: every array gains `"member start"`. Without
    `histories` the guesses are the start states."""
    arrays, rest = eqx.partition(ensemble, eqx.is_array)

    def one(x: tuple) -> Spread:
        model, cov, starts = eqx.combine(x[0], rest), x[1], x[2]
        return jax.vmap(
            lambda g, h, f: member_forecast(
                model, cov, g, h, f, weight, refine=refine, with_variance=with_variance
            )
        )(starts, histories, futures)

    return jax.lax.map(one, (arrays, covariance, guesses))


@dataclasses.dataclass(frozen=True)
class Forecast:
    """A forecast with its 90 % band.

    **Shapes and units:** `ts` `"time"`; `mean`, `low`, `high`, `sd` `"time obs"`;
    `members` `"member time obs"`; `status` int8 and `t_fail` `"member"`; `outside`
    `"time"`, the share of members outside their training range; `truth`
    `"time obs"` where it was measured (NaN elsewhere). Beyond `trusted_to` the band
    rests on the ensemble alone. It is NaN where nothing is known of it: of a chain of
    bars (`BarTrust` has its intervals), and of networks that were not judged.
    """

    ts: np.ndarray
    mean: np.ndarray
    low: np.ndarray
    high: np.ndarray
    sd: np.ndarray
    members: np.ndarray
    status: np.ndarray
    t_fail: np.ndarray
    outside: np.ndarray
    trusted_to: float
    start: float
    names: tuple[str, ...]
    units: tuple[str, ...]
    truth: np.ndarray

    def error(self) -> np.ndarray:
        """mean - truth `"time obs"`, NaN where nothing was measured."""
        return self.mean - self.truth

    def rmse(self, after: float = -np.inf, until: float = np.inf) -> float:
        """Root mean square error over `after < t <= until`, all channels as if they
        had one unit (`rmses` parts them); NaN where nothing was measured, infinite
        where every member failed."""
        inside = (self.ts > after) & (self.ts <= until)
        return _rms(self.error()[inside], self.truth[inside])

    def rmses(self, after: float = -np.inf, until: float = np.inf) -> dict[str, float]:
        """The same of each channel, in its unit."""
        inside = (self.ts > after) & (self.ts <= until)
        error, truth = self.error()[inside], self.truth[inside]
        return {n: _rms(error[:, j], truth[:, j]) for j, n in enumerate(self.names)}

    def coverage(self, after: float = -np.inf, until: float = np.inf) -> float:
        """Share of measured values inside the band over `after < t <= until`; NaN
        where nothing was measured, or the forecast has no band."""
        inside = (self.ts > after) & (self.ts <= until)
        truth, low, high = self.truth[inside], self.low[inside], self.high[inside]
        # where all members failed there is no band either, and that is a miss
        seen = np.isfinite(truth) & ~(np.isnan(low) & np.isfinite(self.mean[inside]))
        held = (truth >= low) & (truth <= high)
        return float(held[seen].mean()) if seen.any() else float("nan")


def _rms(error: np.ndarray, truth: np.ndarray) -> float:
    """Of the errors where something was measured; infinite where one is NaN."""
    error = error[np.isfinite(truth)]
    error = np.where(np.isnan(error), np.inf, error)
    return float(np.sqrt(np.mean(error**2))) if len(error) else float("nan")
