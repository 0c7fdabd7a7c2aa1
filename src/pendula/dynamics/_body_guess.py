"""Where the unknown constants of a body and its forces start: all together."""

from __future__ import annotations

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree

from .._precision import precision
from .._registry import lookup
from .._tree import split_trainable
from ._config import ModelConfig
from ._constants import Free
from ._field import SecondOrder
from ._first_guess import Guess
from ._known_terms import known_terms
from ._lagrangian import Lagrangian
from ._layout import Layout


POINTS = 1000  # samples that are looked at
REACH = 12.0  # of a constant's logarithm around its first value
FIRST = (0.3, 1.0, 3.0)  # factors on the first value of gravity, each tried


def has_body(config: ModelConfig) -> bool:
    """Whether a known law is a body."""
    return any(lookup("known", known.term).links for known in config.known)


def body_guesses(
    config: ModelConfig, plan: Layout, ys: np.ndarray, rates: np.ndarray, us: Any
) -> dict[int, dict[str, Guess]]:
    r"""Starts of all free constants whose value nobody gave, found together.

    $$ \min_c \sum_k \rho\big(a_k - M^{-1}(\ldots; c)\big) $$

    over the samples, as `first_guesses` does for one coordinate; what is learned is
    left out. **Arguments** and **returns:** as there.
    """
    from scipy.optimize import least_squares

    n = plan.n
    seen = np.isfinite(ys).all(-1) & np.isfinite(rates).all(-1)
    if us is not None:
        seen &= np.isfinite(us).all(-1)
    if seen.sum() < 4:
        return {}
    every = max(1, int(seen.sum()) // POINTS)
    y, a = ys[seen][::every], rates[seen][::every][:, n : 2 * n]
    u = None if us is None else us[seen][::every]
    size = np.sqrt(np.mean(a**2, axis=0))
    size = np.where(size > 0, size, 1.0)
    best: Any = None
    with precision(np.float64):
        for factor in FIRST:
            first = _first(config, factor * float(size.max()))
            field = known_field(config, plan, first)
            params, static = split_trainable(field)
            start, unravel = ravel_pytree(params)
            program = _residuals(unravel, static, y, u, a, size)
            done = least_squares(
                program[0],
                np.asarray(start),
                jac=program[1],
                bounds=(-REACH, REACH),
                loss="soft_l1",
                f_scale=0.5,
            )
            if best is None or done.cost < best[0]:
                best = done.cost, eqx.combine(unravel(jnp.asarray(done.x)), static)
        return _said(config, plan, best[1])


def known_field(config: ModelConfig, plan: Layout, guesses: Any) -> SecondOrder:
    """The body under its known forces."""
    body, forces = known_terms(config, plan, guesses)
    assert body is not None
    return SecondOrder(Lagrangian(body, tuple(forces), plan.n), plan.n)


def _first(config: ModelConfig, pull: float) -> dict[int, dict[str, Guess]]:
    """First values: unit inertias and ratios, a gravity that explains the
    accelerations alone, little friction."""
    out: dict[int, dict[str, Guess]] = {}
    for i, known in enumerate(config.known):
        law = lookup("known", known.term)
        for name in known.free:
            if name in known.constants:
                continue
            if law.links:
                value = {"g": pull, "z": 0.0}.get(name[0], 1.0)
            else:
                value = {"b": 1.0, "width": 0.05, "zero": 0.0}.get(name, 0.01 * pull)
            out.setdefault(i, {})[name] = Guess(value, abs(value) or 1.0)
    return out


def _residuals(
    unravel: Any, static: Any, y: Any, u: Any, a: Any, size: np.ndarray
) -> tuple[Any, Any]:
    """Residual and its Jacobian as functions of the flat constants."""

    @jax.jit
    def residual(flat: Any) -> Any:
        field = eqx.combine(unravel(flat), static)
        zero = jnp.zeros(())
        at = lambda y, u: field(zero, y, u, None)[y.shape[0] // 2 :]
        value = jax.vmap(at, (0, None if u is None else 0))(
            jnp.asarray(y), None if u is None else jnp.asarray(u)
        )
        return jnp.ravel(jnp.nan_to_num((value - a) / size[None], nan=1e6))

    jacobian = jax.jit(jax.jacfwd(residual))
    return (
        lambda x: np.asarray(residual(jnp.asarray(x))),
        lambda x: np.asarray(jacobian(jnp.asarray(x))),
    )


def _said(config: ModelConfig, plan: Layout, field: SecondOrder) -> dict:
    """The constants of a fitted field, by the law that they belong to."""
    lagrangian = field.force
    assert isinstance(lagrangian, Lagrangian)
    forces = iter(lagrangian.forces)
    out: dict[int, dict[str, Guess]] = {}
    for i, known in enumerate(config.known):
        law = lookup("known", known.term)
        term: Any = lagrangian.body if law.links else next(forces)
        for name in known.free:
            node = term.constants[name]
            if name not in known.constants and isinstance(node, Free):
                value = float(node.value)
                out.setdefault(i, {})[name] = Guess(value, abs(value) or 1.0)
    return out
