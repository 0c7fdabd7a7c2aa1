"""Kinds of mechanical systems in one space of states, for part `cross`.

All have unit mass and H = |p|^2 / 2 + V(q) in the state (q1, q2, p1, p2); of those with
one degree of freedom q2 = p2 = 0.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np


TIME, SAMPLES = 10.0, 200


@dataclasses.dataclass(frozen=True)
class Kind:
    """A potential, its degrees of freedom, and the box of starts: |q|, |p| at most."""

    potential: Callable[[Any], Any]
    degrees: int
    most: tuple[float, float]

    @property
    def mask(self) -> np.ndarray:
        """1 for the entries of the state that it has."""
        return np.array([1.0, self.degrees - 1.0] * 2)


def _numpy() -> Any:
    import jax.numpy as jnp

    return jnp


def kinds() -> dict[str, Kind]:
    """All kinds by name; the pendulum is never trained on, `gauss` is for choosing
    rates of adaptation."""
    np_ = _numpy()
    square = lambda q: 0.5 * (q[0] ** 2 + q[1] ** 2)
    henon = lambda q: square(q) + q[0] ** 2 * q[1] - q[1] ** 3 / 3.0
    return {
        "spring": Kind(lambda q: 0.5 * q[0] ** 2, 1, (2.0, 1.0)),
        "duffing": Kind(lambda q: 0.5 * q[0] ** 2 + 0.25 * q[0] ** 4, 1, (1.5, 1.0)),
        "double_well": Kind(
            lambda q: 0.25 * q[0] ** 4 - 0.5 * q[0] ** 2, 1, (1.7, 0.7)
        ),
        "toda": Kind(lambda q: np_.exp(q[0]) - q[0] - 1.0, 1, (1.3, 1.0)),
        "morse": Kind(lambda q: 0.5 * (1.0 - np_.exp(-q[0])) ** 2, 1, (0.8, 0.5)),
        "soft_coulomb": Kind(
            lambda q: 1.0 - 1.0 / np_.sqrt(1.0 + q[0] ** 2), 1, (1.5, 0.6)
        ),
        "henon_heiles": Kind(henon, 2, (0.3, 0.3)),
        "mirror": Kind(
            lambda q: 0.5 * q[0] ** 2 * (1.0 + q[1] ** 2) ** 2, 2, (1.0, 0.5)
        ),
        "two_body": Kind(
            lambda q: -1.0 / np_.sqrt(q[0] ** 2 + q[1] ** 2), 2, (1.3, 1.0)
        ),
        "gauss": Kind(lambda q: 1.0 - np_.exp(-0.5 * q[0] ** 2), 1, (1.2, 0.7)),
        "pendulum": Kind(lambda q: 1.0 - np_.cos(q[0]), 1, (2.0, 1.0)),
    }


def starts(name: str, count: int, rng: np.random.Generator) -> np.ndarray:
    """Random starts `"start 4"` for unit constants."""
    kind = kinds()[name]
    if name != "two_body":
        most = np.repeat(kind.most, 2)
        return rng.uniform(-1.0, 1.0, (count, 4)) * most * kind.mask
    # at the pericentre of an orbit of small eccentricity, either way round
    axis, e = rng.uniform(0.8, 1.3, count), rng.uniform(0.0, 0.2, count)
    turn, way = rng.uniform(0.0, 2.0 * np.pi, count), rng.choice([-1.0, 1.0], count)
    r, v = axis * (1.0 - e), way * np.sqrt((1.0 + e) / (1.0 - e) / axis)
    c, s = np.cos(turn), np.sin(turn)
    return np.stack([r * c, r * s, -v * s, v * c], axis=1)


def motions(
    name: str,
    constants: np.ndarray,
    count: int,
    damping: float,
    rng: np.random.Generator,
) -> tuple[np.ndarray, np.ndarray]:
    r"""States and rates `"variant start time 4"` of
    $V(q) = a\,V_0(q / l)$, one variant for each row (a, l) of the constants, with
    friction -damping p. Computed in float64 by RK4, two steps a sample."""
    import jax
    import jax.numpy as jnp

    from ..solve import rollout_steps

    kind = kinds()[name]
    y0 = np.stack([starts(name, count, rng) for _ in constants])
    size = constants[:, [1, 1, 0, 0]] ** np.array([1.0, 1.0, 0.5, 0.5])
    y0 = y0 * size[:, None]
    with jax.enable_x64(True):
        mask = jnp.asarray(kind.mask)
        value = lambda q, c: c[0] * kind.potential(q / c[1])

        def field(t: Any, y: Any, u: Any, c: Any) -> Any:
            q, p = y[:2], y[2:]
            push = -jax.grad(value)(q, c) - damping * p
            return mask * jnp.concatenate([p, push])

        def one(y: Any, c: Any) -> Any:
            dts = jnp.full(SAMPLES - 1, TIME / (SAMPLES - 1))
            ys = rollout_steps(field, y, jnp.zeros(()), dts, None, c, substeps=2).ys
            return ys, jax.vmap(lambda y: field(0.0, y, None, c))(ys)

        every = jax.jit(jax.vmap(jax.vmap(one, (0, None))))
        ys, rates = every(jnp.asarray(y0), jnp.asarray(constants))
        return np.asarray(ys), np.asarray(rates)


def drawn_constants(count: int, factor: float, rng: np.random.Generator) -> np.ndarray:
    """Constants (a, l) `"variant 2"`, log-uniform from 1/factor to factor."""
    return np.exp(rng.uniform(-1.0, 1.0, (count, 2)) * np.log(factor))


def energies(name: str, ys: np.ndarray) -> np.ndarray:
    """Energy of states `"... 4"` for unit constants."""
    import jax.numpy as jnp

    q = np.moveaxis(ys[..., :2], -1, 0)
    potential = kinds()[name].potential(jnp.asarray(q))
    return 0.5 * np.sum(ys[..., 2:] ** 2, axis=-1) + np.asarray(potential)
