"""A network that stands for the solution of u_t + beta u_x = 0, trained as published:
one loss, all of the domain at once. It fails from beta = 20 on; what its loss looks
like there is asked by study `curvature`."""

from __future__ import annotations

import functools
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from .._precision import cast, precision
from .._types import AnyArray
from ..nn import MLP
from ..train import Step, TrainState, lbfgs_state, lbfgs_step, run


_X, _T = 256, 100  # points of the test grid, as published
_MEMORY = 50  # pairs that L-BFGS keeps, as published


class Convection(eqx.Module):
    r"""The three terms of the published loss, each a mean of squares.

    $$ u_t + \beta u_x = 0, \quad u(x, 0) = \sin x, \quad u(0, t) = u(2\pi, t) $$

    `beta` is an array: all values share one program.
    """

    beta: AnyArray
    start: AnyArray
    times: AnyArray
    inside: AnyArray

    @classmethod
    def of(cls, beta: float, points: int) -> Convection:
        """Points of the test grid: all at t = 0, all times at the ends, `points`
        drawn inside (seed 0). Float64 NumPy arrays."""
        x = np.linspace(0.0, 2.0 * np.pi, _X, endpoint=False)
        t = np.linspace(0.0, 1.0, _T)
        inner = np.stack(np.meshgrid(x[1:], t[1:], indexing="ij"), -1).reshape(-1, 2)
        rng = np.random.default_rng(0)
        inside = inner[rng.choice(len(inner), points, replace=False)]
        return cls(np.asarray(float(beta)), x, t, inside)

    def residual(self, net: Any, point: Float[Array, "2"]) -> Float[Array, ""]:
        """u_t + beta u_x at one point (x, t): a slope along (beta, 1)."""
        along = jnp.stack([self.beta, jnp.ones_like(self.beta)])
        return jax.jvp(lambda z: net(z)[0], (point,), (along,))[1]

    def initial(self, net: Any, x: Float[Array, ""]) -> Float[Array, ""]:
        """u(x, 0) - sin x."""
        return net(jnp.stack([x, jnp.zeros_like(x)]))[0] - jnp.sin(x)

    def periodic(self, net: Any, t: Float[Array, ""]) -> Float[Array, ""]:
        """u(0, t) - u(2 pi, t)."""
        end = jnp.full_like(t, 2.0 * np.pi)
        return net(jnp.stack([jnp.zeros_like(t), t]))[0] - net(jnp.stack([end, t]))[0]

    def terms(self) -> dict[str, Any]:
        """Name -> (residual, points), as `tangent_kernel` takes them."""
        return {
            "equation": (self.residual, self.inside),
            "initial": (self.initial, self.start),
            "periodic": (self.periodic, self.times),
        }

    def error(self, net: Any) -> Float[Array, ""]:
        """Relative L2 error on the whole test grid."""
        x, t = jnp.meshgrid(self.start, self.times, indexing="ij")
        u = jax.vmap(lambda x, t: net(jnp.stack([x, t]))[0])(x.ravel(), t.ravel())
        exact = jnp.sin(x.ravel() - self.beta * t.ravel())
        return jnp.linalg.norm(u - exact) / jnp.linalg.norm(exact)


def loss(net: Any, problem: Convection) -> Float[Array, ""]:
    """The published loss: the sum of the three means, all weights 1."""
    mean = lambda term, points: jnp.mean(jax.vmap(lambda p: term(net, p))(points) ** 2)
    parts = [mean(term, points) for term, points in problem.terms().values()]
    return parts[0] + parts[1] + parts[2]


def trained(
    problem: Convection,
    *,
    width: int,
    depth: int,
    steps: int,
    inner: int,
    key: PRNGKeyArray,
) -> tuple[Any, float, float]:
    """The network after `steps` iterations of L-BFGS in float64, its loss and its
    relative error; weights from PyTorch's default distribution, as published."""
    with precision(np.float64):
        net = cast(MLP(2, 1, width, depth, key=key), np.float64)
        problem = jax.tree.map(jnp.asarray, problem)
        params, rest = eqx.partition(net, eqx.is_inexact_array)
        params = jax.tree.map(jnp.asarray, params)
        opt = lbfgs_state(params, memory=_MEMORY, inner=inner)
        state = TrainState.start(params, opt, key)
        batch = (problem, rest)
        state, _ = run(_step(inner), state, batch, num_steps=steps, inner=inner)
        net = eqx.combine(state.params, rest)
        value, error = eqx.filter_jit(lambda n, p: (loss(n, p), p.error(n)))(
            net, problem
        )
        return cast(net, np.float64), float(value), float(error)


def _value(params: Any, batch: tuple[Convection, Any]) -> Float[Array, ""]:
    """The loss as `train` takes it: the batch is the problem, and what is fixed."""
    problem, rest = batch
    return loss(eqx.combine(params, rest), problem)


@functools.cache
def _step(inner: int) -> Step:
    """One program for all values of beta."""
    return lbfgs_step(_value, memory=_MEMORY, inner=inner)
