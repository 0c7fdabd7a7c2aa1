"""Implicit steps of an elastic rod, and its motion over many of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from .._checks import choice
from .._errors import ConfigError
from ._elastic_rod import ElasticRod, RodState
from ._rod_banded import Grid
from ._rod_contact import Contact
from ._rod_solve import Method, Problem, Solved, solve


INTEGRATORS = ("backward_euler", "midpoint", "bdf2")


class Boundary(eqx.Module):
    """Which unknowns are prescribed, and what they do.

    `fixed` `"4 node"`: (x, y, z, theta) of each node and of the edge that begins there;
    `motion(t, z0)` gives the values of all at a time from those at the start, of which
    the fixed ones count (None: they stay). The time is that of the state; the start z0
    is the state that a run begins from, or `origin` `"4 node"`: a run that goes on with
    a motion which adds to z0 keeps it, by `since`.
    """

    fixed: Bool[np.ndarray | Array, "4 node"]
    motion: Callable[[Any, Grid], Grid] | None = None
    origin: Float[np.ndarray | Array, "4 node"] | None = None

    @classmethod
    def of(
        cls,
        rod: ElasticRod,
        nodes: Any = (),
        edges: Any = (),
        motion: Callable[[Any, Grid], Grid] | None = None,
    ) -> Boundary:
        """The positions of some nodes and the angles of some edges, by number; negative
        ones count from the end.

        Two nodes and the angle between them are a clamp in the middle of that edge: a
        cantilever of 11 nodes is a twentieth shorter than the rod, one of 41 nodes an
        eightieth.

        **Raises:** `ConfigError` for numbers that the rod does not have, or that are
        none.
        """
        fixed = np.zeros((4, rod.number), bool)
        for given, most, name in (
            (nodes, rod.number, "node"),
            (edges, rod.number - 1, "edge"),
        ):
            numbers = np.atleast_1d(np.asarray(given))
            if numbers.size and numbers.dtype.kind not in "iu":
                raise ConfigError(
                    f"{name}s of a boundary are whole numbers, found "
                    f"{numbers.dtype.name} values. Of a mask give numpy.flatnonzero."
                )
            for k in numbers.astype(int):
                if not -most <= k < most:
                    raise ConfigError(
                        f"the rod has {most} {name}s; there is no {name} {k}."
                    )
                rows = slice(0, 3) if name == "node" else 3
                fixed[rows, k % most] = True
        return cls(fixed, motion)

    def since(self, state: RodState) -> Boundary:
        """The same, its motion that from where a rod was before: for a run that goes on
        with it."""
        return Boundary(self.fixed, self.motion, np.asarray(state.z, np.float64))

    def targets(self, t: Any, z0: Grid) -> Grid:
        """The values at a time, of a run that begins from z0. **Raises:**
        `ConfigError` for a motion that gives something else."""
        if self.motion is None:
            return z0
        begin = z0 if self.origin is None else jnp.asarray(self.origin)
        found = self.motion(t, begin)
        shape = getattr(found, "shape", None)
        if shape != z0.shape:
            told = type(found).__name__ if shape is None else f"the shape {shape}"
            raise ConfigError(
                f"the motion of the boundary gives {told}; expected all unknowns, "
                f"{z0.shape} as its z0. Give z0 back with the prescribed ones changed: "
                "z0.at[0, -1].add(0.01 * t)."
            )
        return found

    def held(self) -> Any:
        """The fixed unknowns with the last theta, which is none."""
        return jnp.asarray(self.fixed).at[3, -1].set(True)


def check_gravity(pull: Any) -> None:
    """**Raises:** `ConfigError` for a gravity of another shape."""
    if pull.shape != (3,):
        raise ConfigError(
            f"gravity has shape {pull.shape}; expected 3 numbers, along x, y and z."
        )


class Loads(NamedTuple):
    """Force `"4 node"` [N] and drag `"4 node"` [N s/m] on the unknowns."""

    force: Grid
    drag: Grid

    @classmethod
    def of(cls, rod: ElasticRod, gravity: Any, drag: Any) -> Loads:
        """Weight for a gravity `"3"` [m/s^2], and drag [N s/m^2] for each length of
        rod. **Raises:** `ConfigError` for a gravity of another shape."""
        mass = jnp.asarray(rod.mass)
        pull = jnp.asarray(gravity, mass.dtype)
        check_gravity(pull)
        weight = mass[:3] * pull[:, None]
        own = jnp.broadcast_to(
            jnp.asarray(drag, mass.dtype) * rod.voronoi, weight.shape
        )
        angle = jnp.zeros_like(mass[3:])
        return cls(jnp.concatenate([weight, angle]), jnp.concatenate([own, angle]))


class Stepped(NamedTuple):
    """A state, the one before it (z, v), and whether there is one."""

    state: RodState
    z_before: Grid
    v_before: Grid
    known: Bool[Array, ""]

    @classmethod
    def start(cls, state: RodState) -> Stepped:
        """Nothing before."""
        return cls(state, state.z, state.v, jnp.asarray(False))


class Report(NamedTuple):
    """Of a step, or the worst of several: iterations, the force that was left [N],
    how often the step was halved, and whether it failed."""

    iterations: Int[Array, "*save"]
    residual: Float[Array, "*save"]
    halvings: Int[Array, "*save"]
    failed: Bool[Array, "*save"]

    @classmethod
    def of(cls, out: Solved) -> Report:
        """Of one solution."""
        none = jnp.zeros((), jnp.int32)
        return cls(out.iterations, out.residual, none, ~out.good)

    @classmethod
    def none(cls, dtype: Any) -> Report:
        """Of no step at all."""
        zero = jnp.zeros((), jnp.int32)
        return cls(zero, jnp.zeros((), dtype), zero, jnp.asarray(False))

    def and_then(self, other: Report) -> Report:
        """Of both: iterations of all, the worst of the rest."""
        return Report(
            self.iterations + other.iterations,
            jnp.maximum(self.residual, other.residual),
            jnp.maximum(self.halvings, other.halvings),
            self.failed | other.failed,
        )


class Stepper(NamedTuple):
    """Everything that a step needs besides the state."""

    rod: ElasticRod
    loads: Loads
    boundary: Boundary
    start: Grid  # where prescribed unknowns begin
    tolerance: Float[Array, ""] | float  # force that may be left [N]
    contact: Contact | None = None

    def step(
        self, now: Stepped, h: Array, integrator: str, method: Method
    ) -> tuple[Stepped, Report]:
        r"""One implicit step of length h.

        `backward_euler`: $v_{n+1} = (z_{n+1} - z_n)/h$, order 1. `midpoint`: the same
        over half of the step, then on along the line, order 2, energy kept but for
        small swings. `bdf2`: from two states, order 2, damps the fastest modes only;
        its first step is a midpoint step (with contact one of backward Euler: half a
        step further on, cycles may overlap).
        """
        state = now.state
        z, v, end = state.z, state.v, state.time + h
        target = self.boundary.targets(end, self.start)
        fixed = self.boundary.held()
        by_half = integrator == "midpoint"
        base, step, rate = z, (0.5 * h if by_half else h), v
        if integrator == "bdf2":
            two = now.known
            base = jnp.where(two, (4.0 * z - now.z_before) / 3.0, z)
            rate = jnp.where(two, (4.0 * v - now.v_before) / 3.0, v)
            whole = self.contact is not None
            step = jnp.where(two, 2.0 / 3.0, 1.0 if whole else 0.5) * h
            by_half = jnp.asarray(False) if whole else ~two
        mass, drag = jnp.asarray(self.rod.mass), self.loads.drag
        halfway = jnp.where(by_half, 0.5 * (z + target), target)
        problem = Problem(
            self.rod.elastic,
            state.frames,
            mass / step**2,
            base + step * rate,
            drag / step,
            base,
            self.loads.force,
            halfway,
            self.tolerance,
            self.contact,
            jnp.asarray(self.rod.voronoi),
        )
        onward = jnp.where(by_half, 0.5, 1.0) * h * v
        guess = z + problem.most(z, onward) * onward
        out = solve(problem, guess, fixed, method)
        swept = (out.z - base) / step
        new = jnp.where(by_half, 2.0 * out.z - z, out.z)
        v_new = jnp.where(by_half, 2.0 * swept - v, swept)
        v_new = jnp.where(fixed, (new - z) / h, v_new)
        after = RodState(new, v_new, state.frames.at(new), end)
        return Stepped(after, z, v, jnp.asarray(True)), Report.of(out)

    def advance(
        self, now: Stepped, h: Array, integrator: str, method: Method, retries: int
    ) -> tuple[Stepped, Report]:
        """A step that is halved, `retries` times at most, where it fails; a state
        whose step failed altogether stays."""
        after, told = self.step(now, h, integrator, method)
        if retries:
            small = integrator
            if integrator == "bdf2":
                small = "midpoint" if self.contact is None else "backward_euler"

            def failed(item: tuple) -> Array:
                return item[1].failed & (item[1].halvings < retries)

            def again(item: tuple) -> tuple:
                level = item[1].halvings + 1
                return self._finer(now, h, small, method, level, item[1])

            after, told = jax.lax.while_loop(failed, again, (after, told))
        stay = lambda new, old: jnp.where(told.failed, old, new)
        return jax.tree.map(stay, after, now), told

    def _finer(
        self,
        now: Stepped,
        h: Array,
        integrator: str,
        method: Method,
        level: Array,
        before: Report,
    ) -> tuple[Stepped, Report]:
        """2^level steps over the same time."""
        count = 2**level

        def more(item: tuple) -> Array:
            return (item[0] < count) & ~item[2].failed

        def one(item: tuple) -> tuple:
            k, state, told = item
            new, own = self.step(state, h / count.astype(h.dtype), integrator, method)
            return k + 1, new, told.and_then(own)

        clean = Report.none(h.dtype)._replace(
            iterations=before.iterations, halvings=level
        )
        first = (jnp.zeros((), jnp.int32), now, clean)
        _, after, told = jax.lax.while_loop(more, one, first)
        # the state before is one short step back: the next step begins anew
        return after._replace(known=jnp.asarray(False)), told


def checked_integrator(name: str) -> str:
    """**Raises:** `ConfigError` for an unknown one."""
    choice("integrator", name, INTEGRATORS)
    return name
