"""A row of arms by what each arm is: the same numbers for one, two or three of them."""

from __future__ import annotations

import dataclasses
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from .._precision import precision
from ..data import Batch, Trajectories
from ..diagnostics import autocorrelation_time
from ..dynamics import (
    AbstractBody,
    AbstractField,
    Lagrangian,
    Model,
    SecondOrder,
    estimate_states,
    layout,
    weighted_residual,
)
from ..train import EtaPrior, adapt


GRAVITY = 9.81  # m/s2
SLOW = 0.05  # rad/s, where dry friction is at its full size
HANGS = np.pi  # rad
ITERATIONS = 40
FIRST_NOISE = 0.01  # rad, of a law that is not fitted yet
# Per unit of the first arm's moment: a rod of 0.3 m that turns about its end, and its
# friction. An arm beyond the first adds the length of the one before, and its mass.
FIRST = {"J": 0.2, "c": 0.02, "f": 0.02}
FURTHER = {"l": 0.3, "m": 6.7, "J": 0.2, "s": 1.0, "c": 0.02, "f": 0.02}
BODY_SD, FRICTION_SD = 1.0, 2.0  # of logarithms, nothing known


def names(arms: int) -> list[str]:
    """What the entries of eta are the logarithms of; those of fewer arms come first."""
    own = [f"{name}1" for name in FIRST]
    for k in range(2, arms + 1):
        own += [f"{name}{k - 1 if name == 'l' else k}" for name in FURTHER]
    return own


def unknown(arms: int) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation `"eta"` with nothing known of the arms."""
    values = [*FIRST.values(), *list(FURTHER.values()) * (arms - 1)]
    friction = np.array([name[0] in "cf" for name in names(arms)])
    return np.log(values), np.where(friction, FRICTION_SD, BODY_SD)


class Arms(AbstractBody):
    r"""Arms that hang on one another, all angles from the vertical.

    $$ M_{ii} = J_i + l_i^2 \sum_{k>i} m_k, \quad
       M_{ij} = l_i \sigma_j \cos(\theta_i - \theta_j) \; (i < j), \quad
       \sigma_j = s_j + l_j \sum_{k>j} m_k, \quad
       V = g \sum_i \sigma_i (1 - \cos\theta_i) $$

    J moments of inertia about the upper joint, s = m a first moments, l lengths to the
    next joint, m masses, each `"arm"`.
    """

    inertia: Any
    moment: Any
    length: Any
    mass_of: Any

    def _sums(self) -> tuple[Any, Any]:
        """Mass below each arm, and sigma."""
        m = self.mass_of
        below = jnp.sum(m) - jnp.cumsum(m)
        return below, self.moment + self.length * below

    def mass(self, q: Any) -> Any:
        below, sigma = self._sums()
        upper = jnp.triu(self.length[:, None] * sigma[None, :], 1)
        turned = (upper + upper.T) * jnp.cos(q[:, None] - q[None, :])
        return turned + jnp.diag(self.inertia + self.length**2 * below)

    def potential(self, q: Any) -> Any:
        _, sigma = self._sums()
        return GRAVITY * jnp.sum(2.0 * sigma * jnp.sin(0.5 * (q - HANGS)) ** 2)

    def joints(self, n: int) -> np.ndarray:
        return np.eye(n) - np.eye(n, k=-1)


class JointFriction(AbstractField):
    r"""Viscous and dry friction of every joint: -c v - f tanh(v / width)."""

    viscous: Any
    dry: Any

    def __call__(self, t: Any, y: Any, u: Any, context: Any) -> Any:
        v = y[y.shape[0] // 2 :]
        return -self.viscous * v - self.dry * jnp.tanh(v / SLOW)


def model_of(eta: Any, arms: int) -> Model:
    """The model of arms `"eta"`, logarithms of `names`; the moment s of the first arm
    is 1: motion fixes all masses up to a factor."""
    value = dict(zip(names(arms), jnp.exp(eta), strict=True))
    each = lambda name, absent: jnp.stack(
        [
            value.get(f"{name}{k + 1}", jnp.asarray(absent, eta.dtype))
            for k in range(arms)
        ]
    )
    # the mass of the first arm and the length of the last move nothing
    body = Arms(each("J", 0.0), each("s", 1.0), each("l", 0.0), each("m", 0.0))
    friction = JointFriction(each("c", 0.0), each("f", 0.0))
    field = SecondOrder(Lagrangian(body, (friction,), arms), arms)
    return Model(field, tuple(range(arms)), 2 * arms, substeps=1)


@dataclasses.dataclass(frozen=True)
class Known:
    """What is known of arms: `mean` and `sd` `"eta"` of their logarithms."""

    mean: np.ndarray
    sd: np.ndarray

    def with_more(self, arms: int) -> Known:
        """The same for more arms, of which nothing is known."""
        mean, sd = unknown(arms)
        kept = len(self.mean)
        return Known(
            np.concatenate([self.mean, mean[kept:]]),
            np.concatenate([self.sd, sd[kept:]]),
        )


def learned(
    record: Trajectories, prior: Known, arms: int, window: float, least: float
) -> Known:
    """Arms from the angles of a record, by windows with start states of their own, and
    what was known before; standard deviations are not below `least`, what the law gets
    wrong. The residuals count as often as they repeat themselves."""
    pieces = record.windows(window)
    with precision(np.float64):
        put = lambda tree: jax.tree.map(jnp.asarray, tree)
        items = put(pieces.full(np.float64))
        starts = jnp.asarray(_starts(pieces))
        mean, pull = jnp.asarray(prior.mean), jnp.asarray(np.diag(prior.sd**-2.0))
        eta, noise = mean, FIRST_NOISE**2
        information = pull
        for _ in range(2):  # the second time with the noise that the first one found
            given = (items, starts, eta, mean, pull, jnp.asarray(noise))
            eta, starts, information, r = _fit(arms, *given)
            noise = _variance(np.asarray(r), np.asarray(items.mask), starts.size)
        covariance = np.linalg.inv(np.asarray(information) / noise + np.asarray(pull))
        return Known(np.asarray(eta), np.maximum(np.sqrt(np.diag(covariance)), least))


def _variance(r: np.ndarray, mask: np.ndarray, starts: int) -> float:
    """The variance that residuals `"clip time angle"` count with: as often as they
    repeat themselves."""
    each = [autocorrelation_time(r[..., k], mask[..., k]) for k in range(r.shape[-1])]
    return float(np.mean(each) * np.sum(r**2) / (mask.sum() - starts))


def _starts(pieces: Trajectories) -> np.ndarray:
    plan = layout(pieces.names, ("second",) * pieces.dim)
    return estimate_states(pieces, plan).ys[:, 0]


@eqx.filter_jit
def _fit(
    arms: int, items: Batch, starts: Any, eta: Any, mean: Any, pull: Any, variance: Any
) -> tuple[Any, Any, Any, Any]:
    """eta, start states, information, residuals `"clip time angle"`."""

    def residual(eta: Any, start: Any, item: Batch) -> Any:
        return weighted_residual(model_of(eta, arms), start, item, 1.0)

    out = adapt(
        residual,
        EtaPrior(mean, pull),
        items,
        starts,
        eta,
        variance=variance,
        start_precision=1e-8 * jnp.eye(starts.shape[1]),
        count=jnp.sum(items.mask, dtype=eta.dtype),
        iterations=ITERATIONS,
    )
    r = jax.vmap(residual, (None, 0, 0))(out.eta, out.local, items)
    return out.eta, out.local, out.information, r.reshape(items.ys.shape)
