"""Mechanics of links in a row, from which pendulums of several links are made."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float


Angles = Float[Array, " link"]
Scalars = Float[Array, ""]


def inertia(turn: Angles, masses: Angles, lengths: Angles) -> Float[Array, "link link"]:
    r"""Mass matrix of massless links with a point mass at the end of each.

    $$ M_{ij} = \mu_{\max(i,j)}\, l_i l_j \cos(\theta_i - \theta_j), \quad
       \mu_k = \sum_{j \ge k} m_j $$
    """
    return _coupling(masses, lengths) * jnp.cos(turn[:, None] - turn[None, :])


def acceleration(
    turn: Angles,
    rate: Angles,
    masses: Angles,
    lengths: Angles,
    gravity: Scalars,
    torque: Angles,
) -> Angles:
    r"""Angular accelerations [rad/s2] of links that hang on one another.

    $$ \sum_j M_{ij} \dot\omega_j = Q_i - g\,\mu_i l_i \sin\theta_i
       - \sum_j \mu_{\max(i,j)}\, l_i l_j \sin(\theta_i - \theta_j)\,\omega_j^2 $$

    **Arguments:** angles `turn` from hanging [rad], all against the vertical;
    `torque` Q, the generalised force on each angle [N m].
    """
    swirl = _coupling(masses, lengths) * jnp.sin(turn[:, None] - turn[None, :])
    pull = gravity * _below(masses) * lengths * jnp.sin(turn)
    push = torque - pull - swirl @ rate**2
    return jnp.linalg.solve(inertia(turn, masses, lengths), push)


def energy(
    turn: Angles, rate: Angles, masses: Angles, lengths: Angles, gravity: Scalars
) -> Scalars:
    """Kinetic and potential energy [J], 0 at rest and hanging."""
    moving = 0.5 * rate @ (inertia(turn, masses, lengths) @ rate)
    # 1 - cos written so that small swings keep their digits
    height = 2.0 * jnp.sin(0.5 * turn) ** 2
    return moving + gravity * jnp.sum(_below(masses) * lengths * height)


def joints(torque: Angles) -> Angles:
    """Generalised forces of torques at the joints: each turns its link and pushes
    back on the one above."""
    return torque - jnp.append(torque[1:], jnp.zeros((), torque.dtype))


def friction(rate: Angles, damping: Scalars) -> Angles:
    """Generalised forces of viscous friction in the joints."""
    above = jnp.concatenate([jnp.zeros((1,), rate.dtype), rate[:-1]])
    return joints(-damping * (rate - above))


def modes(
    masses: np.ndarray, lengths: np.ndarray, gravity: float
) -> tuple[Float[np.ndarray, " link"], Float[np.ndarray, "link link"]]:
    r"""Small undamped swings: rates [rad/s], increasing, and shapes (columns), from

    $$ K v = \Omega^2 M v, \quad K = \mathrm{diag}(g \mu_i l_i) $$
    """
    from scipy.linalg import eigh

    below = np.cumsum(masses[::-1])[::-1]
    order = np.arange(len(masses))
    mass = below[np.maximum.outer(order, order)] * np.outer(lengths, lengths)
    squares, shapes = eigh(np.diag(gravity * below * lengths), mass)
    return np.sqrt(squares), shapes


def _below(masses: Angles) -> Angles:
    """Mass that each link carries."""
    return jnp.cumsum(masses[::-1])[::-1]


def _coupling(masses: Angles, lengths: Angles) -> Float[Array, "link link"]:
    order = np.arange(masses.shape[0])
    below = _below(masses)[np.maximum.outer(order, order)]
    return below * lengths[:, None] * lengths[None, :]
