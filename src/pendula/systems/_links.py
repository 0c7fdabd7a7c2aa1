"""Mechanics of links in a row, from which pendulums of several links are made."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from .._types import AnyArray


Angles = Float[Array, " link"]
Scalars = Float[Array, ""]


def inertia(turn: Angles, masses: Angles, lengths: Angles) -> Float[Array, "link link"]:
    r"""Mass matrix of massless links with a point mass at the end of each.

    $$ M_{ij} = \mu_{\max(i,j)}\, l_i l_j \cos(\theta_i - \theta_j), \quad
       \mu_k = \sum_{j \ge k} m_j $$
    """
    return _coupling(masses, lengths) * jnp.cos(turn[:, None] - turn[None, :])


def motion(
    y: Float[Array, " dim"],
    torque: Angles,
    masses: Angles,
    lengths: Angles,
    gravity: Scalars,
    damping: Scalars,
) -> Float[Array, " dim"]:
    r"""The derivative of y = (angles, rates) of links that hang on one another.

    $$ \sum_j M_{ij} \dot\omega_j = Q_i - g\,\mu_i l_i \sin\theta_i
       - \sum_j \mu_{\max(i,j)}\, l_i l_j \sin(\theta_i - \theta_j)\,\omega_j^2,
       \quad Q_i = \tau_i - \tau_{i+1} $$

    **Arguments:** angles from hanging [rad], all against the vertical; `torque` at the
    joints [N m], to which their viscous friction comes.
    """
    turn, rate = jnp.split(y, 2)
    above = jnp.concatenate([jnp.zeros((1,), rate.dtype), rate[:-1]])
    joint = torque - damping * (rate - above)
    # a joint turns its link and pushes back on the one above
    below = jnp.append(joint[1:], jnp.zeros((), joint.dtype))
    swirl = _coupling(masses, lengths) * jnp.sin(turn[:, None] - turn[None, :])
    pull = gravity * _below(masses) * lengths * jnp.sin(turn)
    push = joint - below - pull - swirl @ rate**2
    change = jnp.linalg.solve(inertia(turn, masses, lengths), push)
    return jnp.concatenate([rate, change])


def energy(
    y: Float[Array, " dim"], masses: Angles, lengths: Angles, gravity: Scalars
) -> Scalars:
    """Kinetic and potential energy [J], 0 at rest and hanging."""
    turn, rate = jnp.split(y, 2)
    moving = 0.5 * rate @ (inertia(turn, masses, lengths) @ rate)
    # 1 - cos written so that small swings keep their digits
    height = 2.0 * jnp.sin(0.5 * turn) ** 2
    return moving + gravity * jnp.sum(_below(masses) * lengths * height)


def modes(
    masses: np.ndarray, lengths: np.ndarray, gravity: float
) -> tuple[Float[np.ndarray, " link"], Float[np.ndarray, "link link"]]:
    r"""Small undamped swings: rates [rad/s], increasing, and shapes (columns), from

    $$ K v = \Omega^2 M v, \quad K = \mathrm{diag}(g \mu_i l_i) $$
    """
    from scipy.linalg import eigh

    stiffness = np.diag(gravity * _below(masses) * lengths)
    squares, shapes = eigh(stiffness, _coupling(masses, lengths))
    return np.sqrt(squares), shapes


def _below(masses: AnyArray) -> AnyArray:
    """Mass that each link carries."""
    return masses[::-1].cumsum()[::-1]


def _coupling(masses: AnyArray, lengths: AnyArray) -> AnyArray:
    """The mass matrix of a straight row."""
    order = np.arange(masses.shape[0])
    below = _below(masses)[np.maximum.outer(order, order)]
    return below * lengths[:, None] * lengths[None, :]
