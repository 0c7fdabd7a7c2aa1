"""What holds where two subdomains meet."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array
from numpy.typing import ArrayLike

from .._checks import positive
from .._errors import ConfigError, DataError, ShapeError, nearest
from .._precision import precision
from ._conditions import Value, evaluate
from ._derivatives import MAX_ORDER
from ._law import Law, Need, record
from ._problem import Problem


TERMS = ("value", "flux", "residual", "residual_gradient", "average")
"""What may be asked of two solutions where they meet."""


@dataclasses.dataclass(frozen=True)
class Interface:
    r"""Two subdomains a and b meet. With the normal n from a to b:

    | term | what agrees |
    |---|---|
    | "value" | $u_b - u_a = g$ |
    | "flux" | $n \cdot (F(u_b) - F(u_a)) = h$ |
    | "residual" | the residuals of both equations |
    | "residual_gradient" | their gradients |
    | "average" | each of both values with their mean (as XPINNs do) |

    **Arguments:**
    - `a`, `b`: names of subdomains.
    - `on`: the side of a that they share; what of it lies in b is taken.
    - `points`, `normals`: `"point coord"` in space, where no side of a is meant.
    - `terms`: those of the table that are rows of the least squares.
    - `flux(u, *coordinates, p)`: F, one component for each coordinate in space, each
      with the subdomain's own parameters: `lambda u, x, y, p: (p.k * u.x, p.k * u.y)`;
      of several fields each component is an array with a number for each of them, and a
      field that is left out may break there; the gradients of all fields by default.
    - `value_jump`, `flux_jump`: g and h, numbers or functions of all coordinates.
    - `weight`: of its rows.

    **Raises:** `ConfigError` for terms that are unknown, or neither side nor points;
    `ShapeError`, `DataError` for points and normals that do not fit.
    **Source:** terms: Jagtap, Karniadakis 2020, XPINNs, Communications in Computational
    Physics 28, 2002-2041; Jagtap, Kharazmi, Karniadakis 2020, conservative PINNs
    (flux); Yu, Lu, Meng, Karniadakis 2022, arXiv:2111.02801 (gradient of the residual).

    ```python
    >>> from pendula.solutions import Interface
    >>> Interface("left", "right", on="x+").terms
    ('value', 'flux')

    ```
    """

    a: str
    b: str
    on: str | None = None
    points: ArrayLike | None = None
    normals: ArrayLike | None = None
    terms: tuple[str, ...] = ("value", "flux")
    flux: Callable[..., Any] | None = None
    value_jump: Value = 0.0
    flux_jump: Value = 0.0
    weight: float = 1.0

    def __post_init__(self) -> None:
        if self.a == self.b:
            raise ConfigError(f'Interface: "{self.a}" cannot meet itself.')
        for term in self.terms:
            if term not in TERMS:
                raise ConfigError(
                    f'Interface: unknown term "{term}".{nearest(term, TERMS)} Known: '
                    f"{', '.join(TERMS)}."
                )
        if not self.terms or len(set(self.terms)) < len(self.terms):
            raise ConfigError(
                f"Interface: terms are {self.terms}; at least one, and none twice."
            )
        positive("Interface", weight=self.weight)
        if (self.on is None) == (self.points is None):
            raise ConfigError(
                "Interface: give either on= (a side of the first subdomain) or points= "
                "with normals=."
            )
        if self.points is not None:
            self._check_points()

    def _check_points(self) -> None:
        points = np.asarray(self.points, np.float64)
        if self.normals is None or points.ndim != 2:
            raise ShapeError(
                f"Interface: points have shape {points.shape}, normals are "
                f"{'missing' if self.normals is None else 'given'}; both need (points, "
                "coordinates)."
            )
        normals = np.asarray(self.normals, np.float64)
        if normals.shape != points.shape:
            raise ShapeError(
                f"Interface: points have shape {points.shape}, normals "
                f"{normals.shape}; both need the same."
            )
        if not (np.isfinite(points).all() and np.isfinite(normals).all()):
            raise DataError("Interface: points or normals hold NaN or infinity.")
        if len(points) == 0 or np.linalg.norm(normals, axis=1).min() == 0.0:
            raise DataError("Interface: no points, or a normal of length 0.")

    @property
    def name(self) -> str:
        """For reports."""
        where = "" if self.on is None else f" {self.on}"
        return f"{self.a}|{self.b}{where}"

    def spots(
        self, pieces: Mapping[str, Problem], count: int, seed: int | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Points in space that both subdomains reach, and unit normals from a to b.

        **Raises:** `ConfigError` where there are none.
        """
        domain, other = pieces[self.a].domain, pieces[self.b].domain
        assert domain is not None
        assert other is not None
        if self.points is not None:
            points = np.asarray(self.points, np.float64)
            normals = np.asarray(self.normals, np.float64)
            normals = normals / np.linalg.norm(normals, axis=1, keepdims=True)
            kept = domain.contains(points, 1e-6) & other.contains(points, 1e-6)
        else:
            assert self.on is not None
            points, normals = domain.on_side(self.on, count, seed)
            kept = other.contains(points, 1e-6)
        if not kept.any():
            raise ConfigError(
                f'Interface: no point of it is shared by "{self.a}" and "{self.b}". '
                "They have to touch there: compare their bounds."
            )
        return points[kept], normals[kept]

    def law(self, term: str, problem: Problem) -> Law:
        """One side of a term; its data are the normal."""
        if term in ("value", "average"):
            return _values(problem)
        if term == "flux":
            return _flux(problem, self.flux)
        if term == "residual":
            return _with_data(problem.law)
        return _gradient(problem.law)

    def jump(self, term: str, points: np.ndarray, equations: int) -> np.ndarray:
        """What the difference has to be, `"point equation"`."""
        known = {"value": self.value_jump, "average": self.value_jump}
        value = {**known, "flux": self.flux_jump}.get(term, 0.0)
        with precision(np.float64):
            found = evaluate(value, jnp.asarray(points), f"{term} jump of Interface")
        each = np.asarray(found)
        if not np.isfinite(each).all():
            raise DataError(f"Interface: the jump of the {term} is not finite.")
        return np.repeat(each[:, None], equations, axis=1)


def share(term: str) -> float:
    """The weight of a term's one row. "average" has two, each half the difference to
    the other value: together as much as one of the whole over the root of 2."""
    return math.sqrt(0.5) if term == "average" else 1.0


def _values(problem: Problem) -> Law:
    """All fields."""
    zero = (0,) * len(problem.coords)
    needs = [Need(k, zero) for k in range(len(problem.fields))]
    look = lambda u, *_: [own._look(n) for own, n in zip(_each(u), needs, strict=True)]
    return Law(tuple(needs), len(needs), look, problem.coords, problem.fields, True)


def _flux(problem: Problem, flux: Callable[..., Any] | None) -> Law:
    """The normal component of a flux, of all fields by default."""
    space = problem.coords if problem.time is None else problem.coords[:-1]

    def along(u: Any, *rest: Any) -> list[Array]:
        """One equation for each field, or for what `flux` gives."""
        normal = rest[-2]
        if flux is None:
            parts = [[own.d(c) for c in space] for own in _each(u)]
        else:
            given = flux(u, *rest[:-2], rest[-1])
            if len(given) != len(space):
                raise ShapeError(
                    f"Interface: flux gives {len(given)} components; one for each of "
                    f"{', '.join(space)} is needed, as a tuple."
                )
            parts = [list(given)]
        return [
            sum((normal[k] * jnp.asarray(f) for k, f in enumerate(own)), jnp.zeros(()))
            for own in parts
        ]

    with precision(np.float64):
        points = probes(problem)
        normals = np.tile(np.sqrt(1.0 / len(space)), (len(points), len(space)))
        values = problem.tried()
        return record(
            along,
            problem.coords,
            problem.fields,
            values,
            points,
            data=normals,
            what="flux of Interface",
        )


def _with_data(law: Law) -> Law:
    """The same law, which takes no notice of the normal."""
    own = lambda u, *rest: law.function(u, *rest[:-2], rest[-1])
    return Law(law.needs, law.equations, own, law.coords, law.fields, True)


def _gradient(law: Law) -> Law:
    """The residual's derivatives along all coordinates, by the chain rule."""
    axes = range(len(law.coords))
    further = [[Need(n.field, _raised(n.orders, k)) for n in law.needs] for k in axes]
    highest = max(sum(n.orders) for n in law.needs) + 1
    if highest > MAX_ORDER:
        raise ConfigError(
            f'Interface: term "residual_gradient" needs derivatives of order {highest}'
            f"; at most {MAX_ORDER} are taken. Leave that term out."
        )
    needs = tuple(dict.fromkeys([*law.needs, *(n for row in further for n in row)]))

    def along(u: Any, *rest: Any) -> list[Array]:
        """One after the other."""
        fields, point = _each(u), jnp.stack(rest[: len(law.coords)])
        find = lambda row: jnp.stack([fields[n.field]._look(n) for n in row])
        params = rest[-1]._values
        values, out = find(law.needs), []
        for k in axes:
            unit = jnp.zeros_like(point).at[k].set(1.0)
            move = lambda v, x: law(v, x, params)
            out.append(jax.jvp(move, (values, point), (find(further[k]), unit))[1])
        return out

    count = law.equations * len(law.coords)
    return Law(needs, count, along, law.coords, law.fields, True)


def _raised(orders: tuple[int, ...], axis: int) -> tuple[int, ...]:
    return tuple(k + int(i == axis) for i, k in enumerate(orders))


def _each(u: Any) -> tuple[Any, ...]:
    """The fields, one or several."""
    return u if isinstance(u, tuple) else (u,)


def probes(problem: Problem) -> np.ndarray:
    """A few points inside, with times."""
    assert problem.domain is not None
    space = problem.domain.nodes(8)
    if problem.time is None:
        return space
    return np.c_[space, np.linspace(*problem.time, len(space))]
