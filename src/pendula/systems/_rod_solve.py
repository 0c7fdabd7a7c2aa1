"""The state that an implicit step of a rod asks for: the minimum of its potential, by
Newton's method on the banded stiffness, differentiable through what it solves."""

from __future__ import annotations

import functools
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from ._rod_banded import Grid, NodeBlocks
from ._rod_contact import Contact
from ._rod_energy import Elastic, Frames, compression, energy, slope, stiffness


MOST = 50  # iterations of Newton's method
HALVINGS = 30  # of one of its steps
ARMIJO = 1e-4
LEAST_MOVE = 1e-13  # m and rad
# a whole step of Newton's method, which is about the way that is left: one that is
# longer and was cut down to nothing has found no minimum
NEAR = 1e-9


class Problem(NamedTuple):
    r"""What a step minimises over the free unknowns z:

    $$ \Phi(z) = \tfrac12 (z - \hat z)^\top I (z - \hat z) + E(z) - f^\top z
       + \tfrac12 (z - z_d)^\top D (z - z_d) $$

    with `inertia` I (mass over the square of the step), `drag` D (over the step), all
    `"4 node"`; `target`: the values of those that are prescribed; `tolerance`: the
    force [N] that may be left, a value so that another one is no other program.
    """

    elastic: Elastic
    frames: Frames
    inertia: Grid
    hat: Grid
    drag: Grid
    behind: Grid
    force: Grid
    target: Grid
    tolerance: Float[Array, ""] | float
    contact: Contact | None = None
    lengths: Float[Array, "node"] | None = None

    def potential(self, z: Grid) -> Float[Array, ""]:
        """Phi."""
        away, moved = z - self.hat, z - self.behind
        rest = 0.5 * self.inertia * away**2 + 0.5 * self.drag * moved**2
        rest = rest - self.force * z
        total = energy(z, self.frames, self.elastic) + jnp.sum(rest)
        if self.contact is not None:
            total = total + self.contact.energy(z, self._lengths)
        return total

    @property
    def _lengths(self) -> Float[Array, "node"]:
        assert self.lengths is not None
        return self.lengths

    def _outer(self, z: Grid) -> Grid:
        away, moved = z - self.hat, z - self.behind
        return self.inertia * away + self.drag * moved - self.force

    def residual(self, z: Grid) -> Grid:
        """Its slope: minus the forces that are left."""
        g = slope(z, self.frames, self.elastic) + self._outer(z)
        return g if self.contact is None else g + self.contact.slope(z, self._lengths)

    def newton(self, z: Grid) -> tuple[Grid, NodeBlocks]:
        """Slope and second derivative."""
        g, blocks = stiffness(z, self.frames, self.elastic)
        g, blocks = g + self._outer(z), blocks.plus(self.inertia + self.drag)
        if self.contact is not None:
            g = g + self.contact.slope(z, self._lengths)
            blocks = blocks.and_also(self.contact.curvature(z, self._lengths))
        return g, blocks

    def aside(self, z: Grid) -> NodeBlocks:
        """What makes the stiffness positive where edges are compressed, or cycles slide
        off each other: their pull aside, taken back."""
        more = compression(z, self.elastic)
        if self.contact is None:
            return more
        exact = self.contact.curvature(z, self._lengths)
        safe = self.contact.curvature(z, self._lengths, positive=True)
        return more.and_also(safe).and_also(jax.tree.map(jnp.negative, exact))

    def most(self, z: Grid, move: Grid) -> Float[Array, ""]:
        """The share of a move that may be tried."""
        if self.contact is None:
            return jnp.ones((), z.dtype)
        return self.contact.share(z, move)


class Solved(NamedTuple):
    """The minimum, the largest force that is left on a free unknown, the iterations,
    and whether that is small enough."""

    z: Grid
    residual: Float[Array, ""]
    iterations: Int[Array, ""]
    good: Bool[Array, ""]


class Method(NamedTuple):
    """How it is solved: the linear solver, whether derivatives are carried forwards
    (`jvp`) and not back (`grad`), and the iterations that are allowed."""

    solver: str = "blocks"
    forward: bool = False
    most: int = MOST


def solve(
    problem: Problem, z: Grid, fixed: Bool[np.ndarray | Array, "4 node"], method: Method
) -> Solved:
    """Newton's method from z, prescribed unknowns set first, every step halved until
    Phi falls enough; a stiffness that is not positive is made so.

    Differentiable in everything but z by the implicit function theorem: one more
    system with the stiffness at the solution.
    """
    solved = _pushed if method.forward else _solved
    return solved(method, problem, jax.lax.stop_gradient(z), fixed)


@functools.partial(jax.custom_vjp, nondiff_argnums=(0,))
def _solved(method: Method, problem: Problem, z: Grid, fixed: Any) -> Solved:
    return _newton(method, problem, z, fixed)


def _newton(method: Method, problem: Problem, z: Grid, fixed: Any) -> Solved:
    free = jnp.where(fixed, 0.0, 1.0).astype(z.dtype)
    z = jnp.where(fixed, problem.target, z)
    # what a force on an unknown may be is told by its weight: angles have units of
    # their own, but share the stop
    left = lambda g: jnp.max(jnp.abs(free * g))
    tiny = 64.0 * float(jnp.finfo(z.dtype).eps)

    def going(carry: tuple) -> Array:
        return (carry[2] < method.most) & ~carry[4]

    def once(carry: tuple) -> tuple:
        z, phi, count, *_ = carry
        g, blocks = problem.newton(z)
        g = free * g
        move = -_positive(problem, z, blocks, fixed, g, method.solver)
        falls = jnp.sum(g * move)

        def too_long(item: tuple) -> Array:
            share, _, value = item
            # below the rounding of Phi its change says nothing
            least = phi + ARMIJO * share * falls + tiny * jnp.abs(phi)
            return ~(value <= least) & (share > 0.5**HALVINGS)

        def shorter(item: tuple) -> tuple:
            share = 0.5 * item[0]
            new = z + share * move
            return share, new, problem.potential(new)

        # the first trial is one of the loop: the potential is compiled once
        first = (2.0 * problem.most(z, move), z, jnp.full_like(phi, jnp.inf))
        share, new, value = jax.lax.while_loop(too_long, shorter, first)
        residual = left(problem.residual(new))
        whole = jnp.max(jnp.abs(move))
        still = share * whole <= LEAST_MOVE
        found = (residual <= problem.tolerance) | (still & (whole <= NEAR))
        return (
            new,
            value,
            count + 1,
            residual,
            found | still | ~jnp.isfinite(value),
            found,
        )

    residual = left(problem.residual(z))
    found = residual <= problem.tolerance
    none = jnp.zeros((), jnp.int32)
    start = (z, problem.potential(z), none, residual, found, found)
    z, phi, count, residual, _, found = jax.lax.while_loop(going, once, start)
    good = found & jnp.isfinite(phi) & ~problem.frames.flipped(z)
    return Solved(z, residual, count, good)


def _positive(
    problem: Problem, z: Grid, blocks: NodeBlocks, fixed: Any, g: Grid, solver: str
) -> Grid:
    """A^-1 g, where A is made positive if it is not: first without the pull aside of
    compressed edges, then with more and more inertia (or a share of the diagonal)."""
    own = jnp.abs(jnp.einsum("iin->in", blocks.diagonal))
    # across a slack edge, or about one without twist, there is no stiffness at all
    own = jnp.where(own > 0.0, own, jnp.max(own[:3], axis=0))
    more = jnp.where(problem.inertia > 0.0, problem.inertia, 1e-4 * own)

    def bad(item: tuple) -> Array:
        return ~jnp.all(jnp.isfinite(item[1])) & (item[0] < 1e9)

    def again(item: tuple) -> tuple:
        mu = item[0]
        safe = blocks.and_also(problem.aside(z)).plus(mu * more)
        x = safe.held(fixed).solve(g, solver)
        return jnp.where(mu > 0.0, 10.0 * mu, jnp.ones_like(mu)), x

    first = (jnp.zeros((), g.dtype), blocks.held(fixed).solve(g, solver))
    return jax.lax.while_loop(bad, again, first)[1]


def _forward(method: Method, problem: Problem, z: Grid, fixed: Any) -> tuple:
    out = _newton(method, problem, z, fixed)
    return out, (problem, out.z, fixed)


def _backward(method: Method, kept: tuple, seeds: Solved) -> tuple:
    problem, z, fixed = kept
    free = jnp.where(fixed, 0.0, 1.0).astype(z.dtype)
    seed = seeds.z
    blocks = problem.newton(z)[1]
    w = blocks.held(fixed).solve(free * seed, method.solver)
    # prescribed unknowns move the others through the stiffness that couples them
    on_target = (1.0 - free) * (seed - blocks.times(w))
    floating = eqx.filter(problem, eqx.is_inexact_array)
    pull = jax.vjp(lambda p: free * p.residual(z), floating)[1](-w)[0]
    pull = pull._replace(target=pull.target + on_target)
    return pull, jnp.zeros_like(z), np.zeros(fixed.shape, jax.dtypes.float0)


_solved.defvjp(_forward, _backward)


# Few unknowns and many numbers that depend on them: tangents cost one factor a step
# and keep nothing, where a vjp would go back over the whole motion for each number.
@functools.partial(jax.custom_jvp, nondiff_argnums=(0,))
def _pushed(method: Method, problem: Problem, z: Grid, fixed: Any) -> Solved:
    return _newton(method, problem, z, fixed)


@_pushed.defjvp
def _tangent(method: Method, given: tuple, moves: tuple) -> tuple[Solved, Solved]:
    problem, z, fixed = given
    out = _newton(method, problem, z, fixed)
    free = jnp.where(fixed, 0.0, 1.0).astype(out.z.dtype)
    held = (1.0 - free) * moves[0].target
    # what the equations ask for when the problem changes and z does not
    floating, rest = eqx.partition(problem, eqx.is_inexact_array)
    moved = eqx.filter(moves[0], eqx.is_inexact_array)
    pull = jax.jvp(
        lambda p: eqx.combine(p, rest).residual(out.z), (floating,), (moved,)
    )[1]
    blocks = problem.newton(out.z)[1]
    pull = free * (pull + blocks.times(held))
    dz = held - blocks.held(fixed).solve(pull, method.solver)
    none = jnp.zeros_like(out.residual)
    whole: Any = np.zeros((), jax.dtypes.float0)  # integers have no tangent
    return out, Solved(dz, none, whole, whole)
