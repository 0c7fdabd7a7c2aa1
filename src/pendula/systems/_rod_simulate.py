"""Motion of an elastic rod."""

from __future__ import annotations

import dataclasses
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from .._checks import at_least, not_negative, positive, whole
from .._errors import ConfigError, DivergedError
from .._precision import precision, to_host
from ._elastic_rod import ElasticRod, RodState
from ._rod_banded import Grid
from ._rod_contact import Contact
from ._rod_energy import Frames, energy, stiffness
from ._rod_solve import Method
from ._rod_step import (
    Boundary,
    Loads,
    Report,
    Stepped,
    Stepper,
    check_gravity,
    checked_integrator,
)


RETRIES = 6  # halvings of a step that fails
JUMP = 1e-6  # of a rod's length, by which a motion may miss the rod where it goes on


@dataclasses.dataclass(frozen=True)
class RodRun:
    """The motion of a rod: times `"save"` [s], `z` and `v` `"save 4 node"` as in
    `RodState`, the `frames` at each save (its leaves begin with `"save"`), the last
    `state`; of each stretch between saves the iterations, the
    largest force that was left [N], how often a step was halved, whether it failed
    (the state then stays what it was)."""

    ts: Float[np.ndarray, "save"]
    z: Float[np.ndarray, "save 4 node"]
    v: Float[np.ndarray, "save 4 node"]
    frames: Frames
    state: RodState
    iterations: Int[np.ndarray, "save"]
    residual: Float[np.ndarray, "save"]
    halvings: Int[np.ndarray, "save"]
    failed: np.ndarray

    @property
    def nodes(self) -> Float[np.ndarray, "save node 3"]:
        """Positions [m]."""
        return np.moveaxis(self.z[:, :3], 1, 2)

    @property
    def good(self) -> bool:
        """Whether every step succeeded."""
        return not bool(self.failed.any())


def simulate_rod(
    rod: ElasticRod,
    t_end: float,
    dt: float,
    *,
    state: RodState | None = None,
    boundary: Boundary | None = None,
    gravity: Any = (0.0, 0.0, -9.81),
    drag: float = 0.0,
    contact: Contact | None = None,
    integrator: str = "bdf2",
    save_every: int = 1,
    tolerance: float | None = None,
    solver: str = "auto",
    retries: int = RETRIES,
    strict: bool = False,
) -> RodRun:
    r"""The motion of a rod under gravity, drag and prescribed ends.

    $$ M \ddot z = -\nabla E(z) + f - C \dot z $$

    **Arguments:** `t_end`, `dt` [s]; `state` (default: where the rod was placed, at
    rest); `boundary` (default: free); `gravity` `"3"` [m/s^2]; `drag` for each length
    of rod [N s/m^2]; `contact` of neighbouring cycles; `integrator`: `backward_euler`,
    `midpoint`, `bdf2`; `save_every` steps (the motion ends with the last of them before
    `t_end`); `tolerance`: the force that Newton's method may leave [N] (default: a
    millionth of the lightest node's weight); `solver`: `blocks`, `lapack` (CPU), or
    `auto`; `strict`: a failure raises.
    **Returns:** `RodRun`, in float64.
    **Raises:** `ConfigError` for a step that is not positive or is longer than
    `t_end`, a drag that is negative, nothing to save, a motion that jumps where a run
    goes on (`Boundary.since`); `DataError` for cycles that
    overlap at the start, `DivergedError` with `strict`.
    **Source:** Bergou et al. 2008; Wang 2023, chapter 3.

    ```python
    >>> import numpy as np
    >>> from pendula.systems import Boundary, ElasticRod, Section, simulate_rod
    >>> line = np.linspace([0.0, 0, 0], [0.1, 0, 0], 11)
    >>> rod = ElasticRod.from_points(line, Section.circular(1e-3, 1e6, 1000.0))
    >>> held = Boundary.of(rod, nodes=[0, 1], edges=[0])
    >>> run = simulate_rod(rod, 0.02, 0.001, boundary=held)
    >>> bool(run.nodes[-1, -1, 2] < -1e-3), run.good
    (True, True)

    ```
    """
    checked_integrator(integrator)
    if contact is not None and integrator == "midpoint":
        raise ConfigError(
            "the midpoint rule goes on along a straight line, through what touches. "
            "Use bdf2 or backward_euler with contact."
        )
    if not 0.0 < dt <= t_end < np.inf:
        raise ConfigError(
            f"dt is {dt:g} s and t_end {t_end:g} s; a step is greater than 0 and no "
            "longer than the motion, which ends."
        )
    whole(1, save_every=save_every)
    at_least(0, retries=retries)
    not_negative(drag=drag)
    steps = int(t_end / dt * (1.0 + 1e-9))  # none of them goes on beyond t_end
    saves = steps // save_every
    if saves < 1:
        raise ConfigError(
            f"save_every is {save_every}, and the motion has {steps} steps: nothing of "
            "it would be kept. Save more often."
        )
    with precision(np.float64):
        check_apart(rod, state, contact)
        stop = tolerance_of(rod, gravity, tolerance)
        stepper = stepper_of(rod, state, boundary, gravity, drag, stop, contact)
        method = method_of(solver)
        first = rod.start if state is None else state
        first = jax.tree.map(lambda x: jnp.asarray(x, jnp.float64), first)
        _check_goes_on(stepper, first)
        last, (path, told) = to_host(
            _motion(
                stepper,
                Stepped.start(first),
                jnp.asarray(dt, jnp.float64),
                saves,
                jnp.asarray(save_every),
                integrator,
                method,
                retries,
            )
        )
        begin = to_host(first)
    ts = np.concatenate([[float(begin.time)], path.time])
    failed = np.concatenate([[False], told.failed])
    if strict and failed.any():
        k = int(np.argmax(failed))
        raise DivergedError(
            f"the rod's step failed between {ts[k]:g} and {ts[k] + dt:g} s: force "
            f"{told.residual[k - 1]:.3g} N left after {told.iterations[k - 1]} "
            "iterations. Take a smaller dt, or move the ends more slowly."
        )
    with_first = lambda a, b: np.concatenate([np.asarray(a)[None], b])
    return RodRun(
        ts,
        with_first(begin.z, path.z),
        with_first(begin.v, path.v),
        jax.tree.map(with_first, begin.frames, path.frames),
        last.state,
        with_first(0, told.iterations),
        with_first(0.0, told.residual),
        with_first(0, told.halvings),
        failed,
    )


def check_apart(
    rod: ElasticRod, state: RodState | None, contact: Contact | None
) -> None:
    """**Raises:** `DataError` for cycles that overlap at the start."""
    if contact is not None:
        start = rod.start if state is None else state
        contact.checked(np.asarray(start.z)[:3].T)


def _check_goes_on(stepper: Stepper, first: RodState) -> None:
    """**Raises:** `ConfigError` for a run that goes on with a motion that begins again
    where the rod is now."""
    if not float(first.time) > 0.0:
        return
    bounds = stepper.boundary
    jump = jnp.abs(bounds.targets(first.time, stepper.start) - first.z)
    away = float(jnp.max(jnp.where(bounds.held(), jump, 0.0)))
    if away > JUMP * float(np.sum(stepper.rod.length)):
        raise ConfigError(
            f"at {float(first.time):g} s, where the run goes on, the prescribed motion "
            f"is {away:.3g} m (or rad) from where the rod is. One that adds to the "
            "start counts from that of the first run: give boundary.since(its state)."
        )


def stepper_of(
    rod: ElasticRod,
    state: RodState | None,
    boundary: Boundary | None,
    gravity: Any,
    drag: Any,
    tolerance: float,
    contact: Contact | None = None,
) -> Stepper:
    """Loads and boundary of a motion; to be used inside float64."""
    bounds = Boundary.of(rod) if boundary is None else boundary
    if bounds.fixed.shape != (4, rod.number):
        raise ConfigError(
            f"the boundary is one of {bounds.fixed.shape[1]} nodes, the rod has "
            f"{rod.number}."
        )
    start = rod.start if state is None else state
    check_nodes(rod, start.z)
    loads = Loads.of(rod, gravity, drag)
    z0, stop = (jnp.asarray(x, jnp.float64) for x in (start.z, tolerance))
    return Stepper(rod, loads, bounds, z0, stop, contact)


def check_nodes(rod: ElasticRod, z: Any) -> None:
    """**Raises:** `ConfigError` for the unknowns of another rod, or of a motion."""
    if z.ndim != 2:
        raise ConfigError(
            f"z has shape {z.shape}; expected (4, {rod.number}), one state. Of a "
            "motion take run.state, its last."
        )
    if z.shape != (4, rod.number):
        raise ConfigError(
            f"the state is one of {z.shape[1]} nodes, the rod has {rod.number}."
        )


def tolerance_of(rod: ElasticRod, gravity: Any, given: float | None) -> float:
    """The force that Newton's method may leave [N]."""
    if given is None:
        pull = float(np.linalg.norm(np.asarray(gravity, float))) or 9.81
        given = 1e-6 * float(np.min(rod.mass[0])) * pull
    positive(tolerance=given)
    return float(given)


def method_of(solver: str) -> Method:
    """Newton's method with a linear solver."""
    if solver == "auto":
        solver = "lapack" if jax.default_backend() == "cpu" else "blocks"
    return Method(solver)


@eqx.filter_jit
def _motion(
    stepper: Stepper,
    first: Stepped,
    dt: Any,
    saves: int,
    every: Any,
    integrator: str,
    method: Method,
    retries: int,
) -> tuple[Stepped, tuple[RodState, Report]]:
    """`saves` stretches of `every` steps."""

    def one(_: Any, item: tuple[Stepped, Report]) -> tuple[Stepped, Report]:
        # after a failure nothing is tried again
        return jax.lax.cond(item[1].failed, lambda same: same, onwards, item)

    def onwards(item: tuple[Stepped, Report]) -> tuple[Stepped, Report]:
        now, told = stepper.advance(item[0], dt, integrator, method, retries)
        return now, item[1].and_then(told)

    def stretch(item: tuple, _: Any) -> tuple[tuple, tuple[RodState, Report]]:
        # a loop of any length: other steps between saves are no other program
        now, lost = item
        before = Report.none(dt.dtype)._replace(failed=lost)
        now, told = jax.lax.fori_loop(0, every, one, (now, before))
        return (now, told.failed), (now.state, told)

    start = (first, jnp.asarray(False))
    (last, _), path = jax.lax.scan(stretch, start, None, length=saves)
    return last, path


def rod_path(
    rod: ElasticRod,
    steps: int,
    dt: Any,
    *,
    tolerance: float,
    state: RodState | None = None,
    v: Any = None,
    boundary: Boundary | None = None,
    gravity: Any = (0.0, 0.0, -9.81),
    drag: Any = 0.0,
    integrator: str = "midpoint",
    solver: str = "blocks",
    forward: bool = False,
) -> Float[Array, "save 4 node"]:
    """The states z `"save 4 node"` of a motion, the first included, for `jit`, `vmap`
    and `grad` within float64: arguments as for `simulate_rod`, `v` `"4 node"` the
    first velocity.

    Derivatives are those of the solved steps (implicit function theorem), not of
    Newton's iterations; with `forward` for `jvp` and `jacfwd` instead of `grad`. No
    step is halved; from a failed one on all is NaN.

    ```python
    >>> import jax, numpy as np
    >>> from pendula.systems import Boundary, ElasticRod, Section, rod_path
    >>> line = np.linspace([0.0, 0, 0], [0.1, 0, 0], 6)
    >>> rod = ElasticRod.from_points(line, Section.circular(1e-3, 1e6, 1000.0))
    >>> held = Boundary.of(rod, nodes=[0, 1], edges=[0])
    >>> with jax.enable_x64(True):
    ...     tip = lambda g: rod_path(
    ...         rod, 3, 1e-3, tolerance=1e-12, boundary=held, gravity=(0.0, 0.0, g)
    ...     )[-1, 2, -1]
    ...     one, two = (float(jax.jit(tip)(g)) for g in (-9.81, -19.62))
    >>> round(two / one, 3)  # or jax.grad(tip)
    2.0

    ```
    """
    checked_integrator(integrator)
    stepper = stepper_of(rod, state, boundary, gravity, drag, tolerance)
    first = rod.start if state is None else state
    first = jax.tree.map(lambda x: jnp.asarray(x, jnp.float64), first)
    if v is not None:
        first = eqx.tree_at(lambda s: s.v, first, jnp.asarray(v, jnp.float64))
    method = Method(solver, forward)
    h = jnp.asarray(dt, jnp.float64)

    def one(carry: tuple, _: Any) -> tuple[tuple, Grid]:
        now, lost = carry
        now, told = stepper.step(now, h, integrator, method)
        lost = lost | told.failed
        return (now, lost), jnp.where(lost, jnp.nan, now.state.z)

    start = (Stepped.start(first), jnp.asarray(False))
    path = jax.lax.scan(one, start, None, length=steps)[1]
    return jnp.concatenate([first.z[None], path])


def rod_forces(
    rod: ElasticRod, state: RodState, *, dense: bool = False
) -> tuple[Float[np.ndarray, "4 node"], Float[np.ndarray, "all all"] | None]:
    """Elastic forces on the unknowns `"4 node"` [N, N m] (minus the slope of the
    energy), and with `dense` the stiffness in the order x_0, theta_0, x_1, .. (for
    tests: its size is the square of the rod's). **Raises:** `ConfigError` for a state
    of another rod."""
    check_nodes(rod, state.z)
    with precision(np.float64):
        g, blocks = _forces(rod, state)
        g, parts = to_host((g, blocks.offsets()))
    if not dense:
        return -g, None
    whole = np.zeros((4 * rod.number, 4 * rod.number))
    for offset, part in parts.items():
        for k in range(part.shape[2]):
            low, high = 4 * k, 4 * (k + offset)
            whole[low : low + 4, high : high + 4] = part[..., k]
            whole[high : high + 4, low : low + 4] = part[..., k].T
    return -g, whole[:-1, :-1]


@eqx.filter_jit
def _forces(rod: ElasticRod, state: RodState) -> Any:
    return stiffness(jnp.asarray(state.z), state.frames, rod.elastic)


def rod_energy(
    rod: ElasticRod, run: RodRun, gravity: Any, contact: Contact | None = None
) -> dict[str, np.ndarray]:
    """Kinetic, elastic and potential energy and their sum `"save"` [J] of a motion;
    with `contact` also its part. **Raises:** `ConfigError` for a motion of another rod
    and a gravity of another shape."""
    check_nodes(rod, run.state.z)
    mass = np.asarray(rod.mass)
    kinetic = 0.5 * np.sum(mass * run.v**2, axis=(1, 2))
    pull = np.asarray(gravity, float)
    check_gravity(pull)
    height = run.z[:, :3] * pull[:, None]
    potential = -np.sum(mass[:3] * height, axis=(1, 2))
    with precision(np.float64):
        elastic = np.asarray(_elastic(rod, run.z, run.frames))
    parts = {"kinetic": kinetic, "elastic": elastic, "potential": potential}
    if contact is not None:
        with precision(np.float64):
            lengths = jnp.asarray(rod.voronoi, jnp.float64)
            parts["contact"] = np.asarray(_touching(contact, run.z, lengths))
    return parts | {"total": np.sum(list(parts.values()), axis=0)}


def stored_energy(rod: ElasticRod, state: RodState) -> float:
    """The elastic energy of one state [J]. **Raises:** `ConfigError` for a state of
    another rod."""
    check_nodes(rod, state.z)
    with precision(np.float64):
        lead = lambda x: jnp.asarray(x, jnp.float64)[None]
        frames = jax.tree.map(lead, state.frames)
        return float(_elastic(rod, lead(state.z), frames)[0])


@eqx.filter_jit
def _touching(contact: Contact, z: Any, lengths: Any) -> Any:
    return jax.vmap(lambda z: contact.energy(z, lengths))(z)


@eqx.filter_jit
def _elastic(rod: ElasticRod, z: Any, frames: Frames) -> Any:
    # angles count from the frames of their own step: others, carried along another
    # way, are turned against these
    own = rod.elastic
    return jax.vmap(lambda z, frames: energy(z, frames, own))(z, frames)
