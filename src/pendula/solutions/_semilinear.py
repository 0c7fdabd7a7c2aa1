"""Equations with one field, first order in time, linear but for a few terms: found by
their slopes, not by how they are written."""

from __future__ import annotations

import dataclasses
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from .._precision import precision, to_device
from ._law import Law, Need
from ._problem import Problem
from ._window import law_and_slopes


_PROBES = 32
_CLOSE = 1e-8  # relative: what counts as the same slope


@dataclasses.dataclass(frozen=True)
class Semilinear:
    r"""An equation of this form, up to a constant factor:

    $$ u_t + \sum_j (a_j(x, t) + b_j u)\, u_{x_j} + \sum_\alpha c_\alpha
       \partial^\alpha u + g_0(x, t)\, u + g_1 u^2 + g_2 u^3 + s(x, t) = 0,
       \quad |\alpha| \ge 2 $$

    `factor`: the slope in u_t; `steepening`: b, one a coordinate of space; `linear`:
    orders in space -> c; `cubic`: (g_1, g_2); `uniform`: whether g_0 and s are the same
    everywhere, `steady`: whether a is; `reacts`: whether g_0, g_1 or g_2 is there.
    """

    problem: Problem
    params: dict[str, Any]
    factor: float
    steepening: tuple[float, ...]
    linear: dict[tuple[int, ...], float]
    cubic: tuple[float, float]
    uniform: bool
    steady: bool
    reacts: bool

    @property
    def law(self) -> Law:
        """The law that was recognised."""
        return self.problem.law

    def words(self) -> str:
        """What it consists of: "advection, diffusion, reaction"."""
        first = any(sum(space) == 1 for space in self._space())
        second = any(sum(k) == 2 for k in self.linear)
        higher = any(sum(k) > 2 for k in self.linear)
        found = {
            "advection": first and not any(self.steepening),
            "steepening advection": any(self.steepening),
            "diffusion": second,
            "terms of higher order": higher,
            "reaction": self.reacts,
        }
        return ", ".join(k for k, there in found.items() if there) or "source"

    def at(
        self, points: Float[np.ndarray, "point coord"]
    ) -> tuple[
        Float[np.ndarray, "point"],
        Float[np.ndarray, "point space"],
        Float[np.ndarray, "point"],
        Float[np.ndarray, "point"],
    ]:
        """At points: the divergence of a, a itself, g_0 and s."""
        dim = self._dim
        kept = points
        if self.uniform and self.steady:  # all the same: one point tells them all
            kept = points[:1]
        with precision(np.float64):
            told = (jnp.asarray(kept), to_device(self.params))
            found = _coefficients(self.law, dim, *told)
            divergence, a, g0, s = (np.asarray(f) / self.factor for f in found)
        full = lambda f: np.broadcast_to(f, (len(points), *f.shape[1:]))
        return full(divergence), full(a), full(g0), full(s)

    def law_at(
        self,
        needs: Float[np.ndarray, "point need"],
        speed: Float[np.ndarray, "point space"],
        g0: Float[np.ndarray, "point"],
        source: Float[np.ndarray, "point"],
    ) -> tuple[Float[np.ndarray, "point"], Float[np.ndarray, "point need"]]:
        """The form itself and its slopes, from what the law needs and from a, g_0 and s
        of `at`: what the law gives there, where it has this form."""
        place = {orders: k for k, orders in enumerate(self._orders())}
        zero = (0,) * len(self.law.coords)
        none = np.zeros(len(needs))
        u = needs[:, place[zero]] if zero in place else none
        g1, g2 = self.cubic
        slopes = np.zeros_like(needs)
        slopes[:, place[*zero[:-1], 1]] = 1.0
        for orders, c in self.linear.items():
            slopes[:, place[*orders, 0]] = c
        of_u = g0 + 2.0 * g1 * u + 3.0 * g2 * u * u
        twice = g1 * u * u + 2.0 * g2 * u**3
        for j, b in enumerate(self.steepening):
            k = place.get(_unit(j, len(zero)))
            if k is not None:
                slopes[:, k] = speed[:, j] + b * u
                of_u = of_u + b * needs[:, k]
                twice = twice + b * u * needs[:, k]
        if zero in place:
            slopes[:, place[zero]] = of_u
        rows = np.sum(slopes * needs, axis=1) - twice + source
        return self.factor * rows, self.factor * slopes

    @property
    def _dim(self) -> int:
        return len(self.law.coords) - 1

    def _orders(self) -> list[tuple[int, ...]]:
        return [need.orders for need in self.law.needs]

    def _space(self) -> list[tuple[int, ...]]:
        return [o[:-1] for o in self._orders() if o[-1] == 0]


@eqx.filter_jit
def _coefficients(
    law: Law, dim: int, points: Array, params: Any
) -> tuple[Array, Array, Array, Array]:
    """Slopes at u = 0, the divergence of those in first derivatives, and the rest."""
    place = {need.orders: k for k, need in enumerate(law.needs)}
    first = [tuple(int(i == j) for i in range(dim + 1)) for j in range(dim)]
    zero = jnp.zeros(len(law.needs), points.dtype)

    def slopes(point: Array) -> Array:
        slope = jax.jacfwd(law)(zero, point, params)[0]
        none = jnp.zeros((), points.dtype)
        pick = lambda orders: slope[place[orders]] if orders in place else none
        return jnp.stack([*map(pick, first), pick((0,) * (dim + 1))])

    def one(point: Array) -> tuple[Array, Array, Array, Array]:
        here = slopes(point)
        change = jax.jacfwd(slopes)(point)
        divergence = sum(
            (change[j, j] for j in range(dim)), start=jnp.zeros((), points.dtype)
        )
        return divergence, here[:dim], here[dim], law(zero, point, params)[0]

    return jax.vmap(one)(points)


def semilinear(problem: Problem, params: dict[str, Any]) -> Semilinear | str:
    """The form of an equation, or why it has none.

    Slopes are taken at random values, points and times. Constant ones have to be the
    same everywhere; the others have to follow the form to 8 digits at all of them.

    **Arguments:** `params`: arrays, the unknown ones as found.
    """
    law = problem.law
    reason = _shape(law)
    if reason:
        return reason
    rng = np.random.default_rng(11)
    points = probe_points(problem, rng, _PROBES)
    values = rng.normal(size=(_PROBES, len(law.needs)))
    slopes = law_and_slopes(law, values, points, params)[1][:, 0, :]
    resting = law_and_slopes(law, 0.0 * values, points, params)
    source, quiet = resting[0][:, 0], resting[1][:, 0, :]
    if not (np.isfinite(slopes).all() and np.isfinite(quiet).all()):
        return "the slopes of the equation are not finite everywhere"
    place = {need.orders: k for k, need in enumerate(law.needs)}
    zero = (0,) * len(law.coords)
    factor = float(slopes[0, place[*zero[:-1], 1]])
    if factor == 0.0 or not _same(slopes[:, place[*zero[:-1], 1]], factor):
        return "the coefficient of u_t is not constant"
    u = values[:, place[zero]] if zero in place else np.zeros(_PROBES)
    rest = slopes[:, place[zero]] - quiet[:, place[zero]] if zero in place else 0.0 * u
    scale = float(np.abs(slopes).max())
    linear, steepening = {}, []
    first = [_unit(j, len(law.coords)) for j in range(len(zero) - 1)]
    for orders, k in place.items():
        if sum(orders[:-1]) >= 2:
            if not _same(slopes[:, k], slopes[0, k]):
                return f"the coefficient of {law.names()[k]} is not constant"
            linear[orders[:-1]] = float(slopes[0, k]) / factor
    for orders in first:
        k = place.get(orders)
        change = 0.0 * u if k is None else slopes[:, k] - quiet[:, k]
        b = _fit(u[:, None], change, scale)
        if b is None:
            return "the speed of advection depends on u in another way than linearly"
        steepening.append(float(b[0]) / factor)
        if k is not None:
            rest = rest - b[0] * values[:, k]
    cubic = _fit(np.stack([2.0 * u, 3.0 * u * u], 1), rest, scale)
    if cubic is None:
        return "what is left is no polynomial of u of degree 3"
    quiet_u = quiet[:, place[zero]] if zero in place else 0.0 * u
    moving = [place[o] for o in first if o in place]
    return Semilinear(
        problem,
        params,
        factor,
        tuple(steepening),
        linear,
        (float(cubic[0]) / factor, float(cubic[1]) / factor),
        _same(quiet_u, quiet_u[0]) and _same(source, source[0]),
        all(_same(quiet[:, k], quiet[0, k]) for k in moving),
        bool(cubic.any() or np.abs(quiet_u).max() > 1e-12 * scale),
    )


def _shape(law: Law) -> str:
    """Why an equation cannot have the form, from what it needs; "" where it can."""
    if len(law.fields) > 1 or law.equations > 1:
        return "there are several fields"
    if "t" not in law.coords:
        return "nothing changes in time"
    if law.order("t") != 1:
        return f"the equation has order {law.order('t')} in time"
    mixed = [n.orders for n in law.needs if n.orders[-1] and any(n.orders[:-1])]
    if mixed:
        return "it has mixed derivatives in space and time"
    if Need(0, _unit(len(law.coords) - 1, len(law.coords))) not in law.needs:
        return "it does not contain u_t"
    return ""


def probe_points(
    problem: Problem, rng: np.random.Generator, count: int
) -> Float[np.ndarray, "point coord"]:
    """Random points of space and time."""
    columns = []
    if problem.domain is not None:
        nodes = problem.domain.nodes(4 * count, seed=1)
        columns = list(nodes[rng.choice(len(nodes), count)].T)
    if problem.time is not None:
        columns.append(rng.uniform(*problem.time, count))
    return np.stack(columns, -1)


def _unit(j: int, n: int) -> tuple[int, ...]:
    return tuple(int(i == j) for i in range(n))


def _same(slopes: np.ndarray, value: float) -> bool:
    """Whether all are one number."""
    return bool(np.all(np.abs(slopes - value) <= _CLOSE * max(abs(value), 1e-12)))


def _fit(columns: np.ndarray, values: np.ndarray, scale: float) -> np.ndarray | None:
    """Coefficients that give the values exactly, to rounding; else None."""
    size = np.abs(values).max(initial=0.0)
    if size <= 1e-12 * scale:  # rounding
        return np.zeros(columns.shape[1])
    found = np.linalg.lstsq(columns, values, rcond=1e-12)[0]
    if np.abs(columns @ found - values).max() > _CLOSE * size:
        return None
    found[np.abs(found) < 1e-12 * np.abs(found).max()] = 0.0
    return found
