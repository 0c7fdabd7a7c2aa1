"""Rest of an elastic rod."""

from __future__ import annotations

import warnings
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from .._checks import whole
from .._errors import ConfigError, DataWarning, DivergedError
from .._precision import precision, to_host
from ._elastic_rod import ElasticRod, RodState
from ._rod_contact import Contact
from ._rod_simulate import check_apart, method_of, stepper_of, tolerance_of
from ._rod_solve import Method, Problem, Solved, solve
from ._rod_step import Boundary, Stepper


# of the largest stiffness over mass, within which a rest that is not held stands too
ROUNDING = 1e-13
# iterations for a part of the load: a wire that hardly stretches goes far along its
# length in short moves
ITERATIONS = 400
# a rod that sinks moves by a hundredth of its length at first, by EASE times as much
# at each further try, and is let go where SLACK of what held it is left
SHARE, EASE, SLACK = 0.01, 3.0, 1e-6
WORK = 1_000_000  # iterations times nodes, after which it has not sunk
AWAY = 100.0  # lengths that one that is held does not move


def rest_rod(
    rod: ElasticRod,
    *,
    state: RodState | None = None,
    boundary: Boundary | None = None,
    gravity: Any = (0.0, 0.0, -9.81),
    force: Any = None,
    contact: Contact | None = None,
    increments: int = 10,
    tolerance: float | None = None,
    solver: str = "auto",
) -> RodState:
    r"""The rod at rest: $\nabla E(z) = f$, loads and prescribed ends brought in
    `increments` equal parts. Where Newton's method finds none, as for a slack chain,
    the rod sinks there by moves that are held back less and less.

    `force` `"4 node"` [N, N m] adds to the weight. A prescribed motion is taken from
    its time 0 to 1.
    **Returns:** the state. Warns (`DataWarning`) where that rest is not stable: a
    straight rod under more than its buckling load rests like a pencil on its tip.
    **Raises:** `ConfigError` for no increment or a force of another shape,
    `DivergedError` where Newton's method fails, with the part of the load.
    """
    whole(1, increments=increments)
    with precision(np.float64):
        check_apart(rod, state, contact)
        stop = tolerance_of(rod, gravity, tolerance)
        stepper = stepper_of(rod, state, boundary, gravity, 0.0, stop, contact)
        if force is not None:
            loads = stepper.loads
            if np.shape(force) != loads.force.shape:
                raise ConfigError(
                    f"force has shape {np.shape(force)}; expected "
                    f"{loads.force.shape}: along x, y, z and about the edge, of each "
                    "node."
                )
            loads = loads._replace(force=loads.force + jnp.asarray(force))
            stepper = stepper._replace(loads=loads)
        method = method_of(solver)._replace(most=ITERATIONS)
        now = rod.start if state is None else state
        now = jax.tree.map(lambda x: jnp.asarray(x, jnp.float64), now)
        now = eqx.tree_at(lambda s: s.v, now, jnp.zeros_like(now.v))
        for k in range(1, increments + 1):
            share = jnp.asarray(k / increments, jnp.float64)
            now, out = _part(stepper, now, share, method)
            if not bool(out.good):
                raise DivergedError(
                    f"the rod found no rest at {k}/{increments} of its load: "
                    + _unrested(float(out.residual), int(out.iterations))
                )
        if not bool(_stands(stepper, now, method)):
            warnings.warn(
                "the rod is at rest as a pencil is on its tip: the least push takes it "
                "elsewhere, as under more than the load at which it buckles. To find "
                "where it goes, push it aside by a hundredth of the load as force, or "
                "bend its start and let it sink by simulate_rod with drag.",
                DataWarning,
                stacklevel=2,
            )
        return to_host(now)


def _unrested(residual: float, iterations: int) -> str:
    """What Newton's method left, and what helps."""
    left = "something of it moves without any force"
    if np.isfinite(residual):
        left = f"force {residual:.3g} N left after {iterations} iterations"
    return (
        f"{left}. Take more increments; or let it sink by simulate_rod with drag, and "
        "give that state."
    )


def _part(
    stepper: Stepper, now: RodState, share: Any, method: Method
) -> tuple[RodState, Solved]:
    """Rest under a share of the load: at once; or, as a slack chain asks for, by moves
    that inertia holds back less and less."""
    number = lambda x: jnp.asarray(x, jnp.float64)
    begin, out = _resting(stepper, now, share, method, number(0.0))
    if bool(out.good):
        return begin, out
    begin, count = now, 0
    span = float(jnp.sum(jnp.asarray(stepper.rod.length)))
    hold = first = float(_pull(stepper, now, share)) / (SHARE * span)
    # more than SLACK^-1 times as much holds back what no move helps
    while count * now.z.shape[1] < WORK and SLACK**2 < hold / first < 1.0 / SLACK:
        free = hold < SLACK * first
        held = number(0.0 if free else hold)
        new, out = _resting(stepper, now, share, method, held)
        count += int(out.iterations)
        if bool(out.good):
            if free:
                return new, out
            now = new
            if float(jnp.max(jnp.abs(now.z - begin.z)[:3])) > AWAY * span:
                raise DivergedError(
                    "nothing holds the rod against its load, which takes it away. Hold "
                    "some nodes: boundary=Boundary.of(rod, nodes=[0])."
                )
        hold = hold / EASE if bool(out.good) or free else hold * EASE**2
    return now, out._replace(good=jnp.asarray(False))


@eqx.filter_jit
def _pull(stepper: Stepper, now: RodState, share: Any) -> Any:
    """The largest acceleration by the load [m/s^2]; by what is prescribed, if there is
    none."""
    mass = jnp.asarray(stepper.rod.mass)[:3]
    free = ~stepper.boundary.held()[:3]
    by_load = jnp.abs(share * stepper.loads.force[:3]) / mass
    moved = stepper.boundary.targets(share, stepper.start)
    z = jnp.where(stepper.boundary.held(), moved, now.z)
    by_ends = jnp.abs(_at_rest(stepper, now, share).residual(z)[:3]) / mass
    return jnp.maximum(
        jnp.max(jnp.where(free, by_load, 0.0)),
        1e-3 * jnp.max(jnp.where(free, by_ends, 0.0)),
    )


def resting(
    stepper: Stepper, now: RodState, share: Any, method: Method, hold: Any = 0.0
) -> tuple[RodState, Solved]:
    """Rest under a share of the load, from the rest before; `hold` [1/s^2] times the
    mass keeps it near to that."""
    problem = _at_rest(stepper, now, share)
    inertia = hold * jnp.asarray(stepper.rod.mass)
    problem = problem._replace(inertia=inertia, hat=now.z)
    out = solve(problem, now.z, stepper.boundary.held(), method)
    none = jnp.zeros_like(now.z)
    return RodState(out.z, none, now.frames.at(out.z), now.time), out


def _at_rest(stepper: Stepper, now: RodState, share: Any) -> Problem:
    """What a rest minimises: no inertia, no drag."""
    none = jnp.zeros_like(now.z)
    return Problem(
        stepper.rod.elastic,
        now.frames,
        none,
        none,
        none,
        none,
        share * stepper.loads.force,
        stepper.boundary.targets(share, stepper.start),
        stepper.tolerance,
        stepper.contact,
        jnp.asarray(stepper.rod.voronoi),
    )


_resting = eqx.filter_jit(resting)


@eqx.filter_jit
def _stands(stepper: Stepper, now: RodState, method: Method) -> Any:
    """Whether no small move lowers the potential at a rest, but for rounding."""
    slope, blocks = _at_rest(stepper, now, 1.0).newton(now.z)
    mass, own = jnp.asarray(stepper.rod.mass), jnp.einsum("iin->in", blocks.diagonal)
    fastest = jnp.max(jnp.where(mass > 0.0, own / jnp.where(mass > 0.0, mass, 1.0), 0))
    held = blocks.plus(ROUNDING * fastest * mass).held(stepper.boundary.held())
    return jnp.all(jnp.isfinite(held.solve(slope, method.solver)))
