"""Transport in coordinates that move along: labels of what was where at the start."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import jax.numpy as jnp
import numpy as np
from numpy.typing import ArrayLike

from .._checks import whole
from .._errors import ConfigError, DivergedError, ShapeError
from ._conditions import Initial
from ._domain import Interval
from ._given import is_number, of_kind
from ._problem import Problem, check_time
from ._solution import Solution


_LABELS = 2048  # at which characteristics are followed, at least
_NEWTON = 30
_CLOSE = 1e-12  # of the circle


@dataclasses.dataclass(frozen=True, eq=False)
class LagrangianProblem(Problem):
    """What `lagrangian` makes: a `Problem` in labels, with the `mean` speed that is
    taken out of the displacement."""

    mean: float = 0.0


def lagrangian(
    speed: Callable[..., Any] | float,
    start: Callable[[Any], Any],
    *,
    domain: Interval,
    time: tuple[float, float],
    diffusion: Callable[[Any], Any] | float = 0.0,
    params: Mapping[str, Any] | None = None,
    mean: float = 0.0,
    name: str = "lagrangian",
) -> LagrangianProblem:
    r"""Transport and diffusion, $u_t + c(u, x, t)\,u_x = \nu\,u_{xx}$ on a circle,
    seen by what is carried along.

    $$ x_t = c(u, x, t), \qquad u_t|_X = \nu\,\frac{1}{x_X}\,\partial_X
       \frac{u_X}{x_X}, \qquad x(X, 0) = X, \quad u(X, 0) = h(X) $$

    X is a label: where something was at the start. Waves that travel far in x stand
    still in X, so that few neurons and few windows do. The fields are `d`, the
    displacement $x - X - \bar c\,(t - t_0)$, which is periodic in X, and `u`; the
    coordinates are `X` and `t`. Any method solves it; `EulerianView` goes back to x.

    For a constant speed, with `mean` equal to it and no diffusion, d = 0 and u = h:
    exact by construction, and no test of a method.

    **Shapes and units**: all functions are of scalars.
    **Arguments:**
    - `speed(u, x, t, p)` or a number; periodic in x.
    - `start`: h of x.
    - `domain`: a periodic `Interval`; `time`: (t0, t1).
    - `diffusion`: nu, or a function of the parameters p, 0 or more.
    - `params`: name -> number or `Unknown`, as attributes of p.
    - `mean`: a mean speed to move along with.

    **Returns:** `LagrangianProblem`.
    **Raises:** `ConfigError` for a domain that is not periodic, a diffusion below 0 or
    numbers that are not finite; what `Problem` raises.
    **Behaviour:** without diffusion characteristics may cross; the solution goes on,
    with several values at one x, and `EulerianView` says where.
    **Source:** Mojgani, Balajewicz and Hassanzadeh 2022, Lagrangian PINNs,
    arXiv:2205.02902, section 3; the mean speed and d for x are ours.

    ```python
    >>> import jax.numpy as jnp, numpy as np
    >>> from pendula.solutions import EulerianView, Interval, lagrangian, solve
    >>> problem = lagrangian(
    ...     lambda u, x, t, p: 50.0,
    ...     jnp.sin,
    ...     domain=Interval(0.0, 2 * np.pi, periodic=True),
    ...     time=(0.0, 1.0),
    ...     mean=50.0,
    ... )
    >>> view = EulerianView(solve(problem, check=False))
    >>> x = np.linspace(0.0, 6.0, 7)
    >>> bool(np.abs(view(x, 1.0) - np.sin(x - 50.0)).max() < 1e-9)
    True

    ```
    """
    if not isinstance(domain, Interval) or not domain.is_periodic:
        raise ConfigError(
            "lagrangian: the domain has to be a periodic Interval: labels that leave "
            "through an end are not followed."
        )
    if not is_number(mean):
        raise ConfigError(f"lagrangian: mean is {mean}; a speed is finite.")
    if not callable(diffusion) and not (is_number(diffusion) and diffusion >= 0.0):
        raise ConfigError(
            f"lagrangian: diffusion is {diffusion}; it is finite, 0 or more."
        )
    if not callable(speed) and not is_number(speed):
        raise ConfigError(f"lagrangian: speed is {speed}; it has to be finite.")
    t0 = check_time("lagrangian", time)[0]

    def residual(fields: Any, label: Any, t: Any, p: Any) -> tuple[Any, Any]:
        d, u = fields
        x = label + mean * (t - t0) + d()
        c = speed(u(), x, t, p) if callable(speed) else speed
        moved = d.t + mean - c
        if not callable(diffusion) and diffusion == 0.0:
            return moved, u.t
        nu = diffusion(p) if callable(diffusion) else diffusion
        stretch = 1.0 + d.X
        curved = (u.XX * stretch - u.X * d.XX) / stretch**3
        return moved, u.t - nu * curved

    return LagrangianProblem(
        residual,
        domain=Interval(domain.lo, domain.hi, periodic=True, name="X"),
        time=time,
        conditions=[Initial([_zero, start])],
        params=dict(params or {}),
        fields=("d", "u"),
        name=name,
        mean=mean,
    )


def _zero(x: Any) -> Any:
    return jnp.zeros_like(x)


class EulerianView:
    r"""A solution in labels as a function of x and t.

    At each time the label of x is found from $x(X, t) = x$ by Newton's method, so that
    nothing is lost between labels. `view(x, t)` gives u, `view.slope(x, t)` gives
    $u_x = u_X / x_X$; `x` and `t` broadcast against each other, x on the circle.

    **Arguments:** `solution`: of a `lagrangian` problem.
    **Raises:** `ConfigError` for a solution of another kind; when called `ShapeError`
    for what does not broadcast, `ConfigError` for times outside, and `DivergedError`
    where characteristics have crossed, $x_X \le 0$: u has several values there.
    **Source:** Mojgani, Balajewicz and Hassanzadeh 2022, arXiv:2205.02902.

    ```python
    >>> import jax.numpy as jnp, numpy as np
    >>> from pendula.solutions import EulerianView, Interval, lagrangian, solve
    >>> problem = lagrangian(
    ...     lambda u, x, t, p: u,
    ...     lambda x: 0.2 * jnp.sin(x),
    ...     domain=Interval(0.0, 2 * np.pi, periodic=True),
    ...     time=(0.0, 1.0),
    ... )
    >>> view = EulerianView(solve(problem, check=False))
    >>> u = float(view(1.0, 1.0))
    >>> bool(abs(u - 0.2 * np.sin(1.0 - u)) < 1e-6)
    True

    ```
    """

    def __init__(self, solution: Solution) -> None:
        wanted = "what solve has found of a lagrangian problem"
        of_kind("EulerianView: the solution is", solution, Solution, wanted)
        problem = solution.problem
        if not isinstance(problem, LagrangianProblem):
            raise ConfigError(
                "EulerianView: the solution is not of a problem that `lagrangian` made."
            )
        self.solution, self.problem = solution, problem
        assert problem.domain is not None
        self.lo, self.hi = (float(end) for end in problem.domain.bounds[0])

    def __call__(self, x: ArrayLike, t: ArrayLike) -> np.ndarray:
        """u at x and t."""
        points, shape = self._labels(x, t)
        return self._look(points, (0, 0))[:, 1].reshape(shape)

    def slope(self, x: ArrayLike, t: ArrayLike) -> np.ndarray:
        """u_x at x and t."""
        points, shape = self._labels(x, t)
        found = self._look(points, (1, 0))
        return (found[:, 1] / (1.0 + found[:, 0])).reshape(shape)

    def stretch(self, t: ArrayLike, labels: int = _LABELS) -> np.ndarray:
        r"""The least $x_X$ at each time, `"time"`; characteristics cross where it
        reaches 0. **Raises:** `ConfigError` for times outside, and for no labels."""
        times = np.atleast_1d(np.asarray(t, np.float64))
        self._check_times(times)
        whole(1, "EulerianView", labels=labels)
        grid = self._grid(labels)
        points = np.c_[np.tile(grid, len(times)), np.repeat(times, labels)]
        found = self._look(points, (1, 0))[:, 0]
        return 1.0 + found.reshape(len(times), labels).min(1)

    def _look(self, points: np.ndarray, orders: tuple[int, int]) -> np.ndarray:
        return self.solution.values(points, [orders])[orders]

    def _grid(self, labels: int) -> np.ndarray:
        return self.lo + (self.hi - self.lo) * np.arange(labels) / labels

    def _labels(self, x: ArrayLike, t: ArrayLike) -> tuple[np.ndarray, tuple[int, ...]]:
        """Labels and times of the points, and the shape that they came in."""
        try:
            both = np.broadcast_arrays(
                np.asarray(x, np.float64), np.asarray(t, np.float64)
            )
        except ValueError as error:
            raise ShapeError(
                f"EulerianView: x has shape {np.shape(x)} and t {np.shape(t)}, which "
                "do not broadcast."
            ) from error
        at, when = both[0].ravel(), both[1].ravel()
        self._check_times(when)
        times, back = np.unique(when, return_inverse=True)
        if at.size:
            self._check_crossing(times)
        labels = np.empty(len(at))
        guess = self._guess(times)
        for k in range(len(times)):
            own = np.flatnonzero(back.ravel() == k)
            labels[own] = guess[k](at[own])
        points = np.c_[self._newton(labels, at, when), when]
        return points, both[0].shape

    def _check_times(self, when: np.ndarray) -> None:
        """Refuse times at which nothing was solved, and what is no time."""
        t0, t1 = self.problem.span()[0], self.solution.reached
        slack = 1e-9 * (t1 - t0)
        if not ((when >= t0 - slack) & (when <= t1 + slack)).all():
            raise ConfigError(
                f"EulerianView: times from {when.min():g} to {when.max():g}; the "
                f"solution is known from {t0:g} to {t1:g}."
            )

    def _check_crossing(self, times: np.ndarray) -> None:
        least = self.stretch(times)
        bad = np.flatnonzero(~(least > 0.0))
        if bad.size:
            raise DivergedError(
                f"EulerianView: characteristics have crossed at t = "
                f"{times[bad[0]]:g}: the least x_X is {least[bad[0]]:.3g}, so that u "
                "has several values at one x. Ask for earlier times, add diffusion, or "
                "solve it in x."
            )

    def _guess(self, times: np.ndarray) -> list[Callable[[np.ndarray], np.ndarray]]:
        """For each time the label of x, linear between a grid of labels."""
        grid = self._grid(_LABELS)
        points = np.c_[np.tile(grid, len(times)), np.repeat(times, _LABELS)]
        d = self._look(points, (0, 0))[:, 0].reshape(len(times), _LABELS)
        length = self.hi - self.lo
        out = []
        for row, t in zip(d, times, strict=True):
            place = grid + row + self.problem.mean * (t - self.problem.span()[0])
            place = np.r_[place, place[0] + length]

            def label(x: np.ndarray, place: np.ndarray = place) -> np.ndarray:
                near = place[0] + (x - place[0]) % length
                return np.interp(near, place, np.r_[grid, grid[0] + length])

            out.append(label)
        return out

    def _newton(self, labels: np.ndarray, x: np.ndarray, t: np.ndarray) -> np.ndarray:
        """Labels whose places are x, by Newton's method from good guesses."""
        length = self.hi - self.lo
        since = self.problem.mean * (t - self.problem.span()[0])
        for _ in range(_NEWTON):
            inside = self.lo + (labels - self.lo) % length
            found = self.solution.values(np.c_[inside, t], [(0, 0), (1, 0)])
            gap = inside + found[0, 0][:, 0] + since - x
            gap -= length * np.round(gap / length)
            step = gap / (1.0 + found[1, 0][:, 0])
            # between two labels of the grid: no step may leave its neighbourhood
            step = np.clip(step, -4.0 * length / _LABELS, 4.0 * length / _LABELS)
            labels = inside - step
            if not step.size or np.abs(gap).max() < _CLOSE * length:
                break
        return self.lo + (labels - self.lo) % length
