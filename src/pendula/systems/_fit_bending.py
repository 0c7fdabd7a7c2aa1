"""A law of bending from the motion of a rod."""

from __future__ import annotations

import dataclasses
import warnings
from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from .._checks import not_negative, whole
from .._errors import ConfigError, DataError, DataWarning, DivergedError
from .._precision import precision
from ._elastic_rod import ElasticRod
from ._rod_bending import BendingLaw
from ._rod_fit import levenberg, linearised
from ._rod_simulate import method_of, rod_path, tolerance_of
from ._rod_step import Boundary, checked_integrator


ASLANT = 0.05  # square of a cosine, from which a plane is no director's


@dataclasses.dataclass(frozen=True, eq=False)
class BendingFit:
    """What `fit_bending` found: the `law`; `rms` of the residuals [m]; how far the
    fitted motion bends the rod, `visited` [1/m], beyond which the law is a guess;
    `iterations`, and whether they `converged`."""

    law: BendingLaw
    rms: float
    visited: float
    iterations: int
    converged: bool


class _Seen(eqx.Module):
    """Nodes at saved steps, from the logarithms of the stiffness at the knots."""

    rod: ElasticRod
    boundary: Boundary
    gravity: Any
    drag: Any
    dt: Any
    spacing: Any
    at: Any
    steps: int = eqx.field(static=True)
    integrator: str = eqx.field(static=True)
    tolerance: float = eqx.field(static=True)
    solver: str = eqx.field(static=True)

    def __call__(self, p: Float[Array, "knot"]) -> Float[Array, "time 3 node"]:
        rod = dataclasses.replace(self.rod, law=BendingLaw(jnp.exp(p), self.spacing))
        z = rod_path(
            rod,
            self.steps,
            self.dt,
            tolerance=self.tolerance,
            boundary=self.boundary,
            gravity=self.gravity,
            drag=self.drag,
            integrator=self.integrator,
            solver=self.solver,
            forward=True,
        )
        return z[self.at, :3]


def fit_bending(
    rod: ElasticRod,
    nodes: Float[np.ndarray, "time node 3"],
    every: int,
    dt: float,
    *,
    boundary: Boundary | None = None,
    gravity: Any = (0.0, 0.0, -9.81),
    drag: float = 0.0,
    knots: int = 8,
    smooth: float = 1e-4,
    integrator: str = "bdf2",
    max_iterations: int = 40,
) -> BendingFit:
    r"""How stiff a rod is in bending, as a function of its curvature, from one motion.

    $$ \min_k \sum_{t, i} |x_i - \tilde x_i|^2
       + \epsilon^2 \sum_j (\Delta^2 \log k_j)^2 $$

    Levenberg-Marquardt through the implicit steps in the logarithms of the stiffness at
    the knots of a `BendingLaw`, from a linear law of the rod's own EI. Knots go evenly
    from 0 to the largest curvature that the nodes show.

    **Arguments:** `rod`, which begins at rest where it was placed; `nodes` `"time node
    3"` [m] at steps 0, `every`, 2 `every`, .. of `dt` [s], NaN where nothing was seen;
    `boundary`, `gravity`, `drag`, `integrator` as for `simulate_rod`; `smooth` epsilon
    [m]: what a kink of the law costs (about the noise; it also settles knots that no
    element visits).
    **Returns:** `BendingFit`. Warns (`DataWarning`) where a round rod bends about both
    of its directors, which a `BendingLaw` counts each by itself.
    **Raises:** `ConfigError` for fewer than 2 knots or steps that cannot be;
    `DataError` for nodes that are not those of the rod or show no bending;
    `DivergedError` where the rod cannot be moved with a linear law.
    """
    checked_integrator(integrator)
    whole(1, max_iterations=max_iterations)
    not_negative(drag=drag)
    nodes = np.asarray(nodes, np.float64)
    if nodes.ndim != 3 or nodes.shape[1:] != (rod.number, 3) or len(nodes) < 2:
        raise DataError(
            f"nodes has shape {nodes.shape}; expected at least 2 times of the rod's "
            f"{rod.number} nodes, (time, {rod.number}, 3)."
        )
    if knots < 2 or every < 1 or not dt > 0.0 or not smooth > 0.0:
        raise ConfigError(
            f"knots is {knots}, every {every}, dt {dt:g} s, smooth {smooth:g} m; there "
            "are at least 2 knots, every is at least 1, the others greater than 0."
        )
    reach = _largest(rod, nodes)
    _check_plane(rod, nodes)
    seen = np.isfinite(nodes.transpose(0, 2, 1))
    steps = every * (len(nodes) - 1)
    with precision(np.float64):
        number = lambda v: jnp.asarray(v, jnp.float64)
        model = _Seen(
            rod,
            Boundary.of(rod) if boundary is None else boundary,
            number(gravity),
            number(drag),
            number(dt),
            number(reach / (knots - 1)),
            jnp.arange(0, steps + 1, every),
            steps,
            integrator,
            tolerance_of(rod, gravity, None),
            method_of("auto").solver,
        )
    bend = smooth * np.diff(np.eye(knots), 2, axis=0)

    def at(p: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        with precision(np.float64):
            path, jac = map(np.asarray, linearised(model, jnp.asarray(p)))
        gap = (path - nodes.transpose(0, 2, 1))[seen]
        return np.append(gap, bend @ p), np.vstack([jac[:, seen].T, bend])

    first = np.zeros(knots)
    start = at(first)
    if not np.isfinite(start[0]).all():
        raise DivergedError(
            "the rod cannot be moved with a linear law. Take a smaller dt, or another "
            "EI."
        )
    done = levenberg(at, first, start, max_iterations)
    with precision(np.float64):
        path = np.asarray(linearised(model, jnp.asarray(done.x))[0])
    return BendingFit(
        BendingLaw(np.exp(done.x), reach / (knots - 1)),
        float(np.sqrt(np.mean((path - nodes.transpose(0, 2, 1))[seen] ** 2))),
        _largest(rod, path.transpose(0, 2, 1)),
        int(done.nfev),
        bool(done.success),
    )


def _check_plane(rod: ElasticRod, nodes: Float[np.ndarray, "time node 3"]) -> None:
    """Warn where a rod that is round bends in no plane of its directors."""
    one, two, _ = np.asarray(rod.bending)
    if not np.allclose(one, two):
        return
    across = _binormals(nodes)
    across = across[np.isfinite(across).all(axis=-1)]
    normal = np.linalg.svd(across, full_matrices=False)[2][0]
    directors = np.asarray(rod.start.frames.director)
    share = np.mean((normal @ directors) ** 2)
    if ASLANT < share < 1.0 - ASLANT:
        warnings.warn(
            "the rod bends in a plane that lies aslant to its directors, and "
            "curvatures about both follow the law each by itself. Give from_points "
            f"directors along {np.round(normal, 3).tolist()}, upright on that plane.",
            DataWarning,
            stacklevel=3,
        )


def _binormals(nodes: Float[np.ndarray, "time node 3"]) -> np.ndarray:
    """Curvature of each element about the direction that it bends about."""
    edge = np.diff(nodes, axis=1)
    t = edge / np.linalg.norm(edge, axis=-1, keepdims=True)
    chi = 1.0 + np.sum(t[:, 1:] * t[:, :-1], axis=-1)
    return 2.0 * np.cross(t[:, :-1], t[:, 1:]) / chi[..., None]


def _largest(rod: ElasticRod, nodes: np.ndarray) -> float:
    """The largest change of curvature that nodes show [1/m]; neighbours that are
    missing are left out. **Raises:** `DataError`."""
    kb = _binormals(nodes)
    rest = np.linalg.norm(np.asarray(rod.rest)[:2], axis=0)
    off = np.abs(np.linalg.norm(kb, axis=-1) - rest) / np.asarray(rod.voronoi)[1:-1]
    if not (np.isfinite(off).any() and np.nanmax(off) > 0.0):
        raise DataError(
            "the nodes show no bending: nothing can be said of its law. Watch a motion "
            "that bends the rod."
        )
    return float(np.nanmax(off))
