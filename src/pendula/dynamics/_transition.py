"""Gaussian transitions of a stochastic field over one interval."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from .._types import State
from ._stochastic import AbstractStochasticField


DOUBLINGS, TERMS = 6, 12  # exact to rounding while |A| h < 32


class Transition(NamedTuple):
    """$y(t + h) = F y(t) + g + N(0, Q)$: `"dim dim"`, `"dim"`, `"dim dim"`."""

    f: Float[Array, "dim dim"]
    g: Float[Array, "dim"]
    q: Float[Array, "dim dim"]

    def then(self, later: Transition) -> Transition:
        """This one, followed by another."""
        f = later.f @ self.f
        g = later.f @ self.g + later.g
        return Transition(f, g, later.f @ self.q @ later.f.T + later.q)


def transition(
    field: AbstractStochasticField,
    y: State,
    t: Any,
    h: Any,
    path: Float[Array, "power ctrl"] | None,
    context: Any = None,
    *,
    substeps: int = 1,
) -> Transition:
    r"""The transition over `h` about a state: local linearisation, exact if linear.

    Over each of the `substeps` f is replaced by its tangent at the mean and S by its
    value there; the linear equation

    $$ d\delta = \Big(J \delta + \sum_k g_k \frac{s^k}{k!}\Big) ds + S\,dW, \qquad
       J = \partial f / \partial y, \quad
       g_k = \frac{d^k}{ds^k} f(t, \bar y, u(t + s), c)\Big|_{s=0} $$

    is then solved exactly, covariance included. For a linear field with held, linear
    or cubic input that is the exact transition, whatever `y` and `substeps` are.

    **Arguments:** `path`: coefficients of the input's polynomial from the start of
    the interval, as from `pendula.data.input_path`, cut after its highest power.
    **Shapes and units:** `y` `"dim"`; `h >= 0` (0 gives the identity).
    **Behaviour:** an explicit dependence of f on t is held over a substep. Full
    accuracy while |J| h < 32 a substep.
    **Source:** Jimenez, Ozaki 2003, Int. J. Control 76, 1150-1170 (local
    linearisation filter); the integral of the covariance by doubling, which adds
    positive matrices only.
    """
    step = h / substeps
    here = Transition(*_identity(y))
    for k in range(substeps):
        mean = here.f @ y + here.g
        s = k * step
        here = here.then(_tangent(field, mean, t + s, step, _moved(path, s), context))
    return here


def _identity(y: State) -> tuple[Array, Array, Array]:
    n, kind = y.shape[0], y.dtype
    return jnp.eye(n, dtype=kind), jnp.zeros(n, kind), jnp.zeros((n, n), kind)


def _moved(path: Any, s: Any) -> Any:
    """The same polynomial, written from a point s later."""
    if path is None or path.shape[0] == 1:
        return path
    count = path.shape[0]
    rows = []
    for k in range(count):
        later = (math.comb(j, k) * s ** (j - k) * path[j] for j in range(k, count))
        rows.append(sum(later))
    return jnp.stack(rows)


def _tangent(
    field: AbstractStochasticField, y: State, t: Any, h: Any, path: Any, context: Any
) -> Transition:
    """Exact transition of the equation linearised at y."""
    n = y.shape[0]
    u = None if path is None else path[0]
    noise = field.diffusion(t, y, u, context)
    forcing = _forcing(field, y, t, path, context)
    size = n + len(forcing)
    matrix = jnp.zeros((size, size), y.dtype)
    jacobian = jax.jacfwd(lambda y: field.drift(t, y, u, context))(y)
    matrix = matrix.at[:n, :n].set(jacobian)
    for k, column in enumerate(forcing):
        matrix = matrix.at[:n, n + k].set(column)
        if k:  # the states behind: 1, s, s^2 / 2, ...
            matrix = matrix.at[n + k, n + k - 1].set(1.0)
    source = jnp.zeros_like(matrix).at[:n, :n].set(noise @ noise.T)
    f, q = _doubled(matrix, source, h)
    return Transition(f[:n, :n], y + f[:n, n] - f[:n, :n] @ y, q[:n, :n])


def _forcing(
    field: AbstractStochasticField, y: State, t: Any, path: Any, context: Any
) -> list[Array]:
    """g_k: the drift at y and its derivatives along the input's path."""
    if path is None:
        return [field.drift(t, y, None, context)]

    def along(s: Array) -> Array:
        u = path[-1]
        for row in path[-2::-1]:
            u = u * s + row
        return field.drift(t, y, u, context)

    out, zero = [], jnp.zeros((), y.dtype)
    for _ in range(path.shape[0]):
        out.append(along(zero))
        along = jax.jacfwd(along)
    return out


def _doubled(matrix: Array, source: Array, h: Any) -> tuple[Array, Array]:
    r"""$e^{Mh}$ and $\int_0^h e^{Ms} Q e^{M^\top s} ds$: Taylor over a short step,
    then doubled. SciPy's way takes the integral from the exponential of [[-M, Q],
    [0, M^T]], whose growing part cancels what is wanted when M forgets fast."""
    step = h / 2.0**DOUBLINGS
    one = jnp.eye(matrix.shape[0], dtype=matrix.dtype)

    def term(carry: tuple, k: Array) -> tuple[tuple, None]:
        power, f, part, q = carry
        power = power @ matrix * (step / k)
        part = (matrix @ part + part @ matrix.T) * (step / (k + 1.0))
        return (power, f + power, part, q + part), None

    def double(carry: tuple, _: None) -> tuple[tuple, None]:
        f, q = carry
        return (f @ f, q + f @ q @ f.T), None

    # scans, not loops written out: a third of the time to compile
    orders = jnp.arange(1, TERMS).astype(matrix.dtype)
    start = (one, one, source * step, source * step)
    (_, f, _, q), _ = jax.lax.scan(term, start, orders)
    (f, q), _ = jax.lax.scan(double, (f, q), None, length=DOUBLINGS)
    return f, q
