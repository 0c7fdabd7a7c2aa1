"""A thin elastic rod in space: section, geometry at rest, mass, and its state."""

from __future__ import annotations

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from .._checks import positive
from .._errors import ConfigError, DataError
from .._precision import scoped
from ._rod_banded import Grid
from ._rod_bending import BendingLaw
from ._rod_element import Stiffness, strains_of
from ._rod_energy import (
    Elastic,
    Frames,
    edges_of,
    elements_of,
    energies,
    tangents,
)
from ._rod_frames import (
    FLIPPED,
    dot,
    normal_to,
    reference_twist,
    space_parallel,
    transport,
)


Numbers = float | Float[Array | np.ndarray, "..."]


class Section(eqx.Module):
    r"""Cross-section and material of a rod, uniform or one value an edge.

    `axial` EA [N]; `bending_1`, `bending_2` EI of kappa1 and kappa2 [N m^2]; `twisting`
    GJ [N m^2]; `line_mass` rho A [kg/m]; `line_inertia` rho J [kg m].
    """

    axial: Numbers
    bending_1: Numbers
    bending_2: Numbers
    twisting: Numbers
    line_mass: Numbers
    line_inertia: Numbers

    def __check_init__(self) -> None:
        for name, value in vars(self).items():
            values = _known(value)
            may_vanish = name in ("bending_1", "bending_2", "twisting")
            good = np.isfinite(values) & ((values > 0.0) | (may_vanish & (values == 0)))
            bad = np.flatnonzero(~good)
            if bad.size:
                where = f"[{bad[0]}]" if np.ndim(value) else ""
                raise ConfigError(
                    f"{name}{where} of the section is {values[bad[0]]:g}; it must be "
                    f"{'at least 0' if may_vanish else 'above 0'}."
                )

    @classmethod
    def circular(
        cls, radius: Any, youngs: Any, density: Any, poisson: Any = 0.3
    ) -> Section:
        r"""Solid wire: $A = \pi r^2$, $I = \pi r^4/4$, $J = 2 I$,
        $G = E/(2(1 + \nu))$.

        ```python
        >>> from pendula.systems import Section
        >>> wire = Section.circular(0.78189e-3, 65e9, 6318.3)
        >>> round(wire.bending_1, 5), round(wire.twisting, 5)
        (0.01908, 0.01468)

        ```
        **Raises:** `ConfigError` for a radius that is not positive, or a ratio that no
        material has.
        """
        _check_sizes(radius=radius)
        area, second = np.pi * radius**2, np.pi * radius**4 / 4.0
        return cls(
            youngs * area,
            youngs * second,
            youngs * second,
            _shear(youngs, poisson) * 2.0 * second,
            density * area,
            density * 2.0 * second,
        )

    @classmethod
    def strip(
        cls,
        width: float,
        thickness: float,
        youngs: Any,
        density: Any,
        poisson: float = 0.3,
    ) -> Section:
        r"""Flat strip b x h: $EI_1 = E b h^3/12$, $EI_2 = E h b^3/12$,
        $J = \tfrac13 b h^3 (1 - 0.63\,h/b)$, the longer side for b in it; the rotary
        inertia is that of the rectangle.

        **Raises:** `ConfigError` for a side that is not positive, or a ratio that no
        material has."""
        _check_sizes(width=width, thickness=thickness)
        b, h = width, thickness
        long, short = max(b, h), min(b, h)
        torsion = long * short**3 / 3.0 * (1.0 - 0.63 * short / long)
        return cls(
            youngs * b * h,
            youngs * b * h**3 / 12.0,
            youngs * h * b**3 / 12.0,
            _shear(youngs, poisson) * torsion,
            density * b * h,
            density * b * h * (b * b + h * h) / 12.0,
        )


def _check_sizes(**sizes: Any) -> None:
    """**Raises:** `ConfigError` for one that is not positive: powers hide its sign."""
    for name, size in sizes.items():
        for number in _known(size):
            positive(**{name: float(number)})


def _shear(youngs: Any, poisson: Any) -> Any:
    """G. **Raises:** `ConfigError` for a ratio that no material has."""
    ratio = _known(poisson)
    bad = ratio[~((ratio > -1.0) & (ratio <= 0.5))]
    if bad.size:
        raise ConfigError(
            f"Poisson's ratio is {bad[0]:g}; it must be above -1 and at most 0.5."
        )
    return youngs / (2.0 * (1.0 + poisson))


def _known(value: Any) -> np.ndarray:
    """The numbers, none where they are unknown inside a transformation."""
    try:
        return np.atleast_1d(np.asarray(value, np.float64))
    except jax.errors.TracerArrayConversionError:
        return np.zeros(0)


class RodState(eqx.Module):
    """Where a rod is: `z` `"4 node"` (x, y, z, theta; the last theta is 0), its rate
    `v`, the frames of the last accepted step, time [s]."""

    z: Grid
    v: Grid
    frames: Frames
    time: Float[Array, ""]

    @property
    def nodes(self) -> Float[np.ndarray, "node 3"]:
        """Positions [m]."""
        return np.asarray(self.z)[:3].T

    @property
    def angles(self) -> Float[np.ndarray, "edge"]:
        """Twist angles of the edges [rad]."""
        return np.asarray(self.z)[3, :-1]

    @property
    def interleaved(self) -> Float[np.ndarray, "unknown"]:
        """q = [x_0, theta_0, x_1, .., x_{N-1}]."""
        return np.asarray(self.z).T.ravel()[:-1]


class ElasticRod(eqx.Module):
    r"""Discrete elastic rod of N nodes: edges that stretch, and bend and twist against
    their neighbours.

    $$ M \ddot q = -\nabla E(q) + f $$

    with the energy of `energies`, lumped masses (half of each adjacent edge at a node,
    $\rho J\,l$ at an angle) and a rest shape that may be straight, curved or helical.
    **Shapes and units:** `length` at rest `"edge"` [m]; `axial` EA `"edge"` [N];
    `bending` EI1, EI2, GJ `"3 inner"` [N m^2]; `rest` (kappa1, kappa2, tau)
    `"3 inner"`; `mass` `"4 node"` [kg, kg m^2]; `start`, where it was placed; `law` of
    bending where it is not linear (`dataclasses.replace(rod, law=BendingLaw(..))`).
    **Source:** Bergou et al. 2008, 2010; Jawed, Novelia, O'Reilly 2018.

    ```python
    >>> import numpy as np
    >>> from pendula.systems import ElasticRod, Section
    >>> line = np.linspace([0.0, 0, 0], [0.1, 0, 0], 11)
    >>> rod = ElasticRod.from_points(line, Section.circular(1e-3, 1e6, 1000.0))
    >>> rod.number, round(float(rod.mass[0].sum()), 7)
    (11, 0.0003142)

    ```
    """

    length: Float[Array | np.ndarray, "edge"]
    axial: Float[Array | np.ndarray, "edge"]
    bending: Float[Array | np.ndarray, "3 inner"]
    rest: Float[Array | np.ndarray, "3 inner"]
    mass: Float[Array | np.ndarray, "4 node"]
    start: RodState
    law: BendingLaw | None = None

    @property
    def number(self) -> int:
        """Nodes."""
        return self.mass.shape[1]

    @property
    def voronoi(self) -> Float[Array | np.ndarray, "node"]:
        """Length of rod that belongs to each node [m]."""
        # outside of float64 JAX would round what NumPy holds
        xp: Any = np if isinstance(self.length, np.ndarray) else jnp
        return 0.5 * (xp.pad(self.length, (1, 0)) + xp.pad(self.length, (0, 1)))

    @property
    def elastic(self) -> Elastic:
        """What the energy needs."""
        inner = jnp.asarray(self.voronoi)[1:-1]
        over = jnp.asarray(self.bending) / inner[None]
        return Elastic(
            jnp.asarray(self.length),
            jnp.asarray(self.axial),
            Stiffness(
                over,
                jnp.asarray(self.rest),
                self.law,
                None if self.law is None else inner,
            ),
        )

    @classmethod
    def from_points(
        cls, points: Any, section: Section, *, rest: Any = None, directors: Any = None
    ) -> ElasticRod:
        """A rod through `points` `"node 3"` [m], at rest there, or with the rest
        shape of other points `rest` of as many nodes: `start` is then strained, its
        material frames turned with their edges and not about them.

        `directors` `"edge 3"`: which way the section lies at rest, m1 (EI2 is about
        it, EI1 across); by default it is carried from edge to edge without twist,
        which along a helix winds away from the axis.

        **Raises:** `DataError` for fewer than 3 points, values that are not finite,
        points that repeat, an edge that turns back on the one before, directors along
        their edge; `ConfigError` for a section of another number of edges.
        """
        at = np.asarray(points, np.float64)
        shape = at if rest is None else np.asarray(rest, np.float64)
        for given, name in ((at, "points"), (shape, "rest")):
            _check_points(given, name)
        if at.shape != shape.shape:
            raise DataError(
                f"rest has {len(shape)} points and points {len(at)}; a rod has as many "
                "nodes at rest as it has anywhere."
            )
        for name, value in vars(section).items():
            if np.ndim(value) and np.shape(value) != (len(at) - 1,):
                raise ConfigError(
                    f"{name} of the section has shape {np.shape(value)}; a rod of "
                    f"{len(at)} nodes takes one number, or one for each of its "
                    f"{len(at) - 1} edges."
                )
        return _assembled(at, shape, section, _checked_directors(directors, shape))

    def placed(
        self, points: Any, angles: Any = None, directors: Any = None
    ) -> RodState:
        """This rod through other points `"node 3"`, at rest, its edges turned by
        `angles` `"edge"` [rad] against frames that are carried from `start`, or
        against `directors` `"edge 3"`.

        **Raises:** `DataError` as for `from_points`, or for another number of nodes
        or angles.
        """
        at = np.asarray(points, np.float64)
        _check_points(at, "points")
        if len(at) != self.number:
            raise DataError(f"points has {len(at)} nodes, the rod {self.number}.")
        theta = np.zeros(self.number - 1) if angles is None else np.asarray(angles)
        if theta.shape != (self.number - 1,) or not np.isfinite(theta).all():
            raise DataError(
                f"angles has shape {theta.shape}; expected a finite one for each of "
                f"the rod's {self.number - 1} edges."
            )
        z = np.vstack([at.T, np.append(theta, 0.0)])
        return _laid(self.start, z, _checked_directors(directors, at))

    def energies(self, state: RodState) -> dict[str, np.ndarray]:
        """Stretching, bending, twisting energy by element [J]."""
        return _energies(self, state)


@scoped(np.float64)
def _energies(rod: ElasticRod, state: RodState) -> dict[str, Any]:
    return energies(jnp.asarray(state.z), state.frames, rod.elastic)


def assembled(
    at: Any, shape: Any, section: Section, directors: Any = None
) -> ElasticRod:
    """Rest strains of `shape`, its section along `directors` `"3 edge"`, masses, and
    the state at `at`; unchecked, for `jit` and derivatives within float64."""
    number = len(at)
    per_edge = lambda v: jnp.broadcast_to(jnp.asarray(v, float), (number - 1,))
    per_inner = lambda v: 0.5 * (per_edge(v)[1:] + per_edge(v)[:-1])
    flat = lambda points: jnp.pad(jnp.asarray(points).T, ((0, 1), (0, 0)))
    if directors is None:
        directors = space_parallel(tangents(flat(shape)))
    resting = _framed(flat(shape), jnp.asarray(directors))
    edges = edges_of(resting.z)
    length = jnp.sqrt(dot(edges[:3], edges[:3]))
    strains = strains_of(elements_of(edges), resting.frames.frozen).strains
    half = 0.5 * length * per_edge(section.line_mass)
    node = jnp.pad(half, (0, 1)) + jnp.pad(half, (1, 0))
    turn = jnp.pad(length * per_edge(section.line_inertia), (0, 1))
    return ElasticRod(
        length,
        per_edge(section.axial),
        jnp.stack(
            [
                per_inner(v)
                for v in (section.bending_1, section.bending_2, section.twisting)
            ]
        ),
        strains,
        jnp.stack([node, node, node, turn]),
        _carried(resting, flat(at), None),
    )


_assembled = scoped(np.float64)(assembled)


@scoped(np.float64)
def _laid(before: RodState, z: np.ndarray, directors: np.ndarray | None) -> RodState:
    return _carried(before, jnp.asarray(z), directors)


def _carried(before: RodState, z: Grid, directors: Any) -> RodState:
    """The rod elsewhere: directors turn with their edges and not about them, those
    of edges that turned back begin anew."""
    old, t = jax.tree.map(jnp.asarray, before.frames), tangents(z)
    if directors is None:
        same = jnp.min(dot(old.tangent, t)) > FLIPPED
        carried = transport(old.director, old.tangent, t)
        directors = jnp.where(same, carried, space_parallel(t))
    return _framed(z, jnp.asarray(directors))


def _framed(z: Grid, directors: Array) -> RodState:
    """At rest there, with frames along directors."""
    t = tangents(z)
    d = normal_to(directors, t)
    twist = reference_twist(d, t, jnp.zeros(t.shape[1] - 1))
    return RodState(z, jnp.zeros_like(z), Frames(t, d, twist), jnp.zeros(()))


def _checked_directors(directors: Any, points: np.ndarray) -> np.ndarray | None:
    """Components first. **Raises:** `DataError`."""
    if directors is None:
        return None
    given, edge = np.asarray(directors, np.float64), np.diff(points, axis=0)
    if given.shape != edge.shape:
        raise DataError(
            f"directors has shape {given.shape}; expected one for each of the "
            f"{len(edge)} edges, {edge.shape}."
        )
    sizes = np.linalg.norm(given, axis=1) * np.linalg.norm(edge, axis=1)
    across = np.linalg.norm(np.cross(given, edge), axis=1)
    bad = np.flatnonzero(~(across > 1e-9 * sizes))
    if len(bad):
        raise DataError(
            f"directors[{bad[0]}] lies along its edge, or is not finite. Give one that "
            "points aside."
        )
    return given.T


def _check_points(points: np.ndarray, name: str) -> None:
    if points.ndim != 2 or points.shape[1] != 3 or len(points) < 3:
        raise DataError(
            f"{name} has shape {points.shape}; a rod needs at least 3 points of 3 "
            "coordinates, (node, 3)."
        )
    bad = np.argwhere(~np.isfinite(points))
    if len(bad):
        raise DataError(f"{name}[{bad[0][0]}] is not finite. Leave the point out.")
    edge = np.diff(points, axis=0)
    length = np.linalg.norm(edge, axis=1)
    same = np.flatnonzero(length < 1e-12 * length.max())
    if len(same):
        raise DataError(
            f"{name}[{same[0]}] and {name}[{same[0] + 1}] are the same place. Leave "
            "one out."
        )
    cosine = np.sum(edge[1:] * edge[:-1], axis=1) / (length[1:] * length[:-1])
    back = np.flatnonzero(cosine < -1.0 + 1e-9)
    if len(back):
        raise DataError(
            f"the rod turns straight back at {name}[{back[0] + 1}]. Give it a bend."
        )
