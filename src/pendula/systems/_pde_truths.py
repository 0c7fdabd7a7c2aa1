"""What the solutions of well-known partial differential equations are, to compare
learned solutions with."""

from __future__ import annotations

import dataclasses
import functools
import inspect
import math
from collections.abc import Callable
from typing import Any

import numpy as np
from jaxtyping import Float
from numpy.typing import ArrayLike

from .._checks import positive
from .._errors import ConfigError, ShapeError, nearest
from . import _pde_solvers as solvers
from ._pde_forms import check_params


_TAU = 2.0 * math.pi

_Grid = tuple[np.ndarray, np.ndarray]


def _circle(start: float, length: float, nodes: int, times: int) -> _Grid:
    """Nodes of a circle without the end point, times in [0, 1]."""
    x = start + length / nodes * np.arange(nodes)
    return x, np.linspace(0.0, 1.0, times)


def _plane(low: float, high: float, nodes: int, end: float, times: int) -> _Grid:
    """Nodes of a square, one point a row, without the far sides of a torus; times in
    [0, end]."""
    x = np.linspace(low, high, nodes, endpoint=low < 0.0)
    points = np.stack(np.meshgrid(x, x, indexing="ij"), axis=-1).reshape(-1, 2)
    return points, np.linspace(0.0, end, times)


@dataclasses.dataclass(frozen=True)
class _Truth:
    """How to compute a solution, where it is usually compared, in one or two
    dimensions of space."""

    compute: Callable[..., np.ndarray]
    grid: Callable[[], _Grid]
    space: int = 1


def _talk() -> _Grid:
    """The test grid of the first problems."""
    return _circle(0.0, _TAU, 256, 100)


def _closed(name: str, grid: Callable[[], _Grid], space: int = 1) -> dict[str, _Truth]:
    """The entry of a truth that is a closed form."""
    return {name: _Truth(functools.partial(solvers.formula, name), grid, space)}


_TRUTHS: dict[str, _Truth] = {
    "convection": _Truth(solvers.convection, _talk),
    **_closed("reaction", _talk),
    "reaction_diffusion": _Truth(solvers.reaction_diffusion, _talk),
    "burgers": _Truth(
        solvers.burgers,
        lambda: (np.linspace(-1.0, 1.0, 257), np.linspace(0.0, 1.0, 101)),
    ),
    "allen_cahn": _Truth(solvers.allen_cahn, lambda: _circle(-1.0, 2.0, 512, 201)),
    "ks_regular": _Truth(solvers.ks_regular, lambda: _circle(-1.0, 2.0, 512, 251)),
    "ks_chaotic": _Truth(solvers.ks_chaotic, lambda: _circle(0.0, _TAU, 512, 101)),
    "lorenz": _Truth(
        solvers.lorenz, lambda: (np.arange(3.0), np.linspace(0.0, 20.0, 2001))
    ),
    "ns_torus": _Truth(solvers.ns_torus, lambda: _plane(0.0, _TAU, 64, 1.0, 11), 2),
    **_closed("advection_fast", _talk),
    **_closed("helmholtz", lambda: _plane(-1.0, 1.0, 101, 0.0, 1), 2),
    **_closed("klein_gordon", lambda: _plane(-1.0, 1.0, 51, 10.0, 51), 2),
    **_closed("flow_mixing", lambda: _plane(-4.0, 4.0, 51, 4.0, 51), 2),
    **_closed("poisson", lambda: (np.linspace(0.0, _TAU, 2001), np.zeros(1))),
}


def pde_truth(
    name: str, x: ArrayLike, t: ArrayLike, **params: Any
) -> Float[np.ndarray, "t x"]:
    r"""The solution of a well-known problem at the product of points and times.

    | name | equation, domain | start | parameters (default) |
    |---|---|---|---|
    | convection | $u_t + \beta u_x = 0$, [0, 2 pi) | sin x, or `initial` | beta (30), initial, modes (256) |
    | reaction | $u_t = \rho u (1 - u)$, [0, 2 pi) | `gaussian_bump` | rho (5) |
    | reaction_diffusion | $u_t = \nu u_{xx} + \rho u (1 - u)$, [0, 2 pi) | `gaussian_bump` | nu, rho (5), reference ("exact"), modes (1024), substeps (100) |
    | burgers | $u_t + u u_x = \nu u_{xx}$, [-1, 1] | c - sin pi x | nu (0.01 / pi), speed c (0), method ("cole_hopf" or "etdrk4"), spacing (0.1), modes (2048), dt (5e-4) |
    | allen_cahn | $u_t = 10^{-4} u_{xx} + 5 (u - u^3)$, [-1, 1) | $x^2 \cos \pi x$ | modes (2048), dt (1e-3) |
    | ks_regular | $u_t + 5 u u_x + 0.5 u_{xx} + 0.005 u_{xxxx} = 0$, [-1, 1) | -sin pi x | modes (256), dt (5e-5) |
    | ks_chaotic | $u_t + a (u u_x + u_{xx} / 16 + u_{xxxx} / 16^3) = 0$, a = 100 / 16, [0, 2 pi) | cos x (1 + sin x) | modes (512), dt (5e-5) |
    | lorenz | Lorenz (10, 28, 8/3), `x` an index of a component | (1, 1, 1) | rtol (1e-13) |
    | ns_torus | as `navier_stokes_torus`, period 2 pi, points `"x 2"` | `torus_vorticity` | nu (0.01), initial ("random" or "taylor_green"), seed, largest, speed, modes (256), dt (1e-2) |
    | advection_fast, helmholtz, klein_gordon, flow_mixing, poisson | | | those of `closed_form` |

    Convection is a Fourier shift; reaction-diffusion Strang's splitting, half growth,
    diffusion, half growth, with `substeps` in 1/99; Burgers' equation Cole and Hopf's
    integral; the others ETDRK4 or DOP853. Steps land on `t`; between its nodes a
    solution is the sum of its Fourier series.

    `reference="krishnapriyan2021"` is the array that the tables of that paper were made
    with: growth, then diffusion, steps of 1/100 on rows that are labelled i / 99, so
    that the last row is the solution at 0.99. It is to reproduce those tables only.

    **Shapes and units**: `x` `"x"`, or `"x 2"` for problems in the plane; `t` `"t"`,
    increasing, from 0 on.
    **Arguments:** `name` and `params` from the table.
    **Returns:** `"t x"`, float64.
    **Raises:** `ConfigError`, `ShapeError` for names, parameters, points or times that
    cannot be used; `DivergedError` for steps that are too long.
    **Behaviour:** `truth_error` says how good these solutions are. Those that start with
    a kink where the circle closes (reaction_diffusion, allen_cahn) gain a factor of four
    only from twice as many modes. Chaotic ones (lorenz, ks_chaotic) mean nothing beyond
    `truth_horizon`.
    **Source:** Krishnapriyan et al. 2021, arXiv:2109.01050 (first three); Strang, SIAM
    J. Numer. Anal. 5, 1968, 506-517; Cole, Quarterly of Applied Mathematics 9, 1951,
    225-236, and Hopf 1950; Wang, Sankaran and Perdikaris 2022, arXiv:2203.07404
    (settings of allen_cahn, ks and lorenz).

    ```python
    >>> import numpy as np
    >>> from pendula.systems import pde_truth
    >>> u = pde_truth("burgers", [-0.5, 0.0, 0.5], [0.0, 0.5])
    >>> u.shape, bool(u[0, 0] == 1.0 and abs(u[1, 0] + u[1, 2]) < 1e-12)
    ((2, 3), True)

    ```
    """  # noqa: E501 table
    truth = _find(name)
    # one of the closed forms is of a line or, with `plane`, of a plane
    plane = name == "poisson" and params.get("plane")
    points, times = _checked(name, 2 if plane else truth.space, x, t)
    compute = truth.compute
    if isinstance(compute, functools.partial):  # `closed_form` checks
        return np.asarray(compute(points, times, **params), np.float64)
    return compute(points, times, **check_params(name, compute, params))


def truth_grid(
    name: str,
) -> tuple[Float[np.ndarray, "x"] | Float[np.ndarray, "x 2"], Float[np.ndarray, "t"]]:
    """Points and times on which a problem of `pde_truth` is usually compared.

    **Arguments:** `name`: as in `pde_truth`.
    **Returns:** `x`, `t`: 256 points of the circle without its end and
    `linspace(0, 1, 100)` for the first problems (the spacing in time is 1/99).
    **Raises:** `ConfigError` for a name that is not known.
    **Source:** as in `pde_truth`.

    ```python
    >>> from pendula.systems import truth_grid
    >>> x, t = truth_grid("reaction_diffusion")
    >>> x.shape, t.shape, float(t[-1])
    ((256,), (100,), 1.0)

    ```
    """
    return _find(name).grid()


def truth_error(
    name: str, x: ArrayLike, t: ArrayLike, **params: Any
) -> Float[np.ndarray, "t"]:
    """How far `pde_truth` is from one with half as many modes and steps twice as long
    (tolerances ten times as large): what to quote beside an error against it.

    It is the error of the coarser one, so that of the truth itself is smaller: 16 times
    where the step dominates a solution by ETDRK4. For `reference="krishnapriyan2021"`
    it is the distance from the exact solution.

    **Shapes and units**, **Arguments**, **Raises:** as in `pde_truth`.
    **Returns:** relative L2 distance at each time; 0 for closed forms.
    **Source:** ours.

    ```python
    >>> from pendula.systems import truth_error
    >>> truth_error("convection", [0.0, 1.0], [0.0, 1.0], beta=3.0).tolist()
    [0.0, 0.0]

    ```
    """
    fine = pde_truth(name, x, t, **params)
    compute = _find(name).compute
    if isinstance(compute, functools.partial):
        return np.zeros(len(fine))
    coarse = pde_truth(name, x, t, **_coarser(compute, params))
    size = np.linalg.norm(fine, axis=1)
    gap = np.linalg.norm(coarse - fine, axis=1)
    return np.divide(gap, size, out=gap.copy(), where=size > 0.0)


def truth_horizon(
    name: str, x: ArrayLike, t: ArrayLike, *, tolerance: float = 1e-6, **params: Any
) -> float:
    """The last of the times `t` up to which `truth_error` stays below `tolerance`; a
    chaotic solution should not be compared beyond it.

    **Shapes and units**, **Arguments**, **Raises:** as in `truth_error`; `tolerance`
    > 0, relative.
    **Returns:** a time, -inf where even the first one is too far off.
    **Source:** ours.

    ```python
    >>> from pendula.systems import truth_horizon
    >>> truth_horizon("reaction", [0.0, 1.0], [0.0, 0.5, 1.0])
    1.0

    ```
    """
    positive(tolerance=tolerance)
    wrong = np.flatnonzero(~(truth_error(name, x, t, **params) <= tolerance))
    good = int(wrong[0]) if len(wrong) else len(np.asarray(t))
    return float(np.asarray(t)[good - 1]) if good else -math.inf


def _coarser(
    compute: Callable[..., np.ndarray], params: dict[str, Any]
) -> dict[str, Any]:
    """The settings of the twin that `truth_error` compares with."""
    if params.get("reference", "exact") != "exact":
        return {**params, "reference": "exact"}
    every = inspect.signature(compute).parameters
    whole = {"modes": 0.5, "substeps": 0.5}
    scale = {**whole, "dt": 2.0, "rtol": 10.0, "spacing": 2.0}
    twin = dict(params)
    for key, factor in scale.items():
        if key in every:
            value = factor * params.get(key, every[key].default)
            twin[key] = max(int(value), 4) if key in whole else value
    return twin


def _find(name: str) -> _Truth:
    """The entry of a name, refused with the nearest one."""
    if name not in _TRUTHS:
        raise ConfigError(
            f'There is no problem "{name}"; known are {", ".join(_TRUTHS)}.'
            f"{nearest(name, _TRUTHS)}"
        )
    return _TRUTHS[name]


def _checked(
    name: str, space: int, x: ArrayLike, t: ArrayLike
) -> tuple[np.ndarray, np.ndarray]:
    """Points and times as float64, checked."""
    points, times = np.array(x, np.float64), np.array(t, np.float64)
    fits = points.ndim == 1 if space == 1 else points.shape[1:] == (2,)
    if not fits or not len(points):
        wanted = '"x"' if space == 1 else '"x 2"'
        raise ShapeError(
            f'x has shape {points.shape}; problem "{name}" takes points {wanted}.'
        )
    if times.ndim != 1 or not len(times):
        raise ShapeError(f'times t have shape {times.shape}; a list "t" is needed.')
    if not np.all(np.isfinite(points)):
        raise ConfigError("x holds NaN or infinity; points must be finite.")
    steps = np.diff(times)
    if not np.all(np.isfinite(times)) or times[0] < 0.0 or np.any(steps <= 0.0):
        raise ConfigError("t must be finite and increase, from 0 or later.")
    return points, times
