"""The gradient of the equation instead of that of its steps."""

from __future__ import annotations

import dataclasses
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from ._places import Place, knots
from ._step import explicit_step, tableau


def continuous_adjoint(block: Any, x: Array) -> Array:
    r"""The output of a block, whose gradient comes from the adjoint equation.

    $$ \dot a = -\varepsilon\, a^T \frac{\partial R}{\partial x}, \quad
       a(1) = \frac{\partial L}{\partial x(1)}, \quad
       \frac{\partial L}{\partial \theta^\beta}
       = \int_0^1 \varepsilon\, a^T \frac{\partial R}{\partial \theta} \phi^\beta dt $$

    x and a are solved backwards from t = 1 in the block's scheme and steps; nothing of
    the way forward is kept. The gradient is that of the steps only in their limit.

    **Source:** Chen, Rubanova, Bettencourt, Duvenaud 2018, arXiv:1806.07366,
    algorithm 1.
    """
    arrays, rest = eqx.partition(block, eqx.is_inexact_array)

    @jax.custom_vjp
    def run(arrays: Any, x: Array) -> Array:
        return eqx.combine(arrays, rest).solve(x)[0]

    def forward(arrays: Any, x: Array) -> tuple[Array, Any]:
        end = run(arrays, x)
        return end, (arrays, end)

    def backward(kept: Any, slope: Array) -> tuple[Any, Array]:
        arrays, end = kept
        return _backwards(eqx.combine(arrays, rest), arrays, end, slope)

    run.defvjp(forward, backward)
    return run(arrays, x)


def _backwards(block: Any, arrays: Any, end: Array, slope: Array) -> tuple[Any, Array]:
    """Gradients with respect to the block's arrays and to its input."""
    rule = tableau(block.scheme)
    at = knots(block.steps)
    exact = [p.t / at[1] for p in block.places()[0]]  # the nodes c, as fractions
    weights, rest = eqx.partition(block.unit, eqx.is_inexact_array)
    factors = block.factors()
    places: list[Place] = []
    slopes: list[Any] = []
    y = (end, slope)
    for k in reversed(range(block.n_steps)):
        begin, stop = at[k], at[k + 1]
        here = [Place(stop - c * (stop - begin), c == 0) for c in exact]
        theta = block.basis.values(weights, here)

        def rate(j: int, y: Any, theta: Any = theta, h: float = factors[k]) -> Any:
            x, a = y
            mine = jax.tree.map(lambda v: v[j], theta)
            call = lambda w, x: eqx.combine(w, rest)(x, None)[0]
            r, pull = jax.vjp(call, mine, x)
            of_weights, of_x = pull(a)
            slopes.append(jax.tree.map(lambda v: (rule.b[j] * h) * v, of_weights))
            return -r, of_x

        y, _ = explicit_step(rate, rule, y, factors[k])
        places += here
    stacked = jax.tree.map(lambda *v: jnp.stack(v), *slopes)
    # through theta(t), whatever it depends on: coefficients, and a basis' own weights

    def values(arrays: Any) -> Any:
        own = eqx.combine(arrays, block)
        inner = eqx.filter(own.unit, eqx.is_inexact_array)
        return own.basis.values(inner, places)

    return jax.vjp(values, arrays)[1](stacked)[0], y[1]


@dataclasses.dataclass(frozen=True)
class AdjointError:
    """How far the continuous gradient is from that of the steps: norm of the
    difference over the norm, for the weights and for the input."""

    weights: float
    input: float


def adjoint_error(block: Any, x: Array, slope: Array) -> AdjointError:
    """The error of `adjoint="continuous"` against the exact gradient of the steps.

    **Arguments:** `x`: one input; `slope`: the gradient of the loss at the output.

    ```python
    >>> import jax, jax.numpy as jnp
    >>> from pendula.depth import DenseUnit, OdeBlock, adjoint_error
    >>> unit = DenseUnit(2, 8, key=jax.random.key(0))
    >>> at = lambda n: adjoint_error(
    ...     OdeBlock(unit, n_basis=1, scheme="rk4", n_steps=n, epsilon=1.0),
    ...     jnp.ones(2), jnp.ones(2),
    ... )
    >>> at(4).weights < 1e-3
    True

    ```
    """
    from ._block import changed

    def gradient(which: str) -> Any:
        mine = changed(block, adjoint=which)
        arrays, rest = eqx.partition(mine, eqx.is_inexact_array)
        call = lambda w, x: eqx.combine(w, rest)(x)[0]
        return jax.vjp(call, arrays, x)[1](slope)

    exact, other = gradient("discrete"), gradient("continuous")
    return AdjointError(*(_relative(a, b) for a, b in zip(exact, other, strict=True)))


def _relative(exact: Any, other: Any) -> float:
    flat = lambda tree: np.concatenate(
        [np.ravel(np.asarray(v, np.float64)) for v in jax.tree.leaves(tree)]
    )
    a, b = flat(exact), flat(other)
    return float(np.linalg.norm(b - a) / max(np.linalg.norm(a), 1e-300))
