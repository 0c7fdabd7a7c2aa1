"""A bound on the error that needs no second solution, where there is one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from .._precision import precision
from ._conditions import evaluate
from ._given import of_kind
from ._growth_rates import given, normalised, rate
from ._jumps import keeps_jumps
from ._samples import Samples, samples, spatial
from ._solution import Solution


_LARGE = 1e300  # what stands for an infinite bound in reports
_START = 8192  # points of a circle for starts: more than a carried one is exact at


def certificate(
    solution: Solution,
    mu: float | Callable[[float], float] | None = None,
    *,
    sampled: Samples | None = None,
) -> dict[str, Any] | None:
    """The bound of `certify`, None where there is none."""
    return certify(solution, mu, sampled=sampled)[0]


def certify(
    solution: Solution,
    mu: float | Callable[[float], float] | None = None,
    *,
    sampled: Samples | None = None,
) -> tuple[dict[str, Any] | None, str]:
    r"""How large the error can be at most, over time.

    $$ \|e(t)\| \le e^{\int_{t_0}^t \mu} \|e(t_0)\| +
       \int_{t_0}^t e^{\int_s^t \mu} \|r(s)\|\,ds $$

    from $\frac{d}{dt}\|e\| \le \mu \|e\| + \|r\|$ with the root mean square over space,
    r the residual in the units of $u_t$ and $\mu$ by `rate`. Integrals are taken by
    Gauss and Legendre's rule in each window, pieces of it where there are few; what a
    solution jumps by where windows meet, and what it lacks at the start, is added. It
    is rigorous up to the sampling of r and of mu between the points (their number is
    told), for starts with as many derivatives as the equation has.

    **Arguments:** `mu`: a growth rate that the user vouches for, a number or a function
    of time, in place of the recognised one; `sampled`: of the solution, where they are
    at hand.
    **Returns:** (bound, why there is none). The bound has `kind`; `mu_max`; `times`;
    `bound`, relative to the RMS of the solution at each time; `overall`, relative over
    all times; `samples_per_window`: points of the residual in each piece of time;
    `pieces`; `until`, the last time; `informative`, whether `overall` is below 1 and
    the end was reached; `text`.
    **Source:** Hillebrecht, Unger 2022, Certified machine learning: rigorous a
    posteriori error bounds for PDE defined PINNs, arXiv:2210.03426.

    ```python
    >>> import jax.numpy as jnp, numpy as np
    >>> from pendula.solutions import Initial, Interval, Problem, certify, solve
    >>> wave = Problem(
    ...     lambda u, x, t, p: u.t + p.c * u.x,
    ...     domain=Interval(0.0, 2 * np.pi, periodic=True),
    ...     time=(0.0, 1.0),
    ...     conditions=[Initial(jnp.sin)],
    ...     params={"c": 1.0},
    ... )
    >>> bound, _ = certify(solve(wave, check=False))
    >>> bound["mu_max"], bound["informative"]
    (0.0, True)

    ```
    """
    of_kind("certify: the solution is", solution, Solution, "what solve has found")
    chosen = rate(solution) if mu is None else given(mu)
    if isinstance(chosen, str):
        return None, f"No bound on the error: {chosen}."
    if keeps_jumps(solution.problem, solution.windows.form, 0.0):
        return None, "No bound on the error: the start jumps, and has no derivatives."
    lacking = _start_error(solution)
    if lacking is None:
        return None, "No bound on the error: the start is not given."
    sampled = samples(solution) if sampled is None else sampled
    rows = normalised(sampled, solution)
    if isinstance(rows, str):
        return None, f"No bound on the error: {rows}."
    size = np.sqrt(sampled.mean(np.sum(rows * rows, axis=-1)))
    if not np.isfinite(size).all():
        return None, "No bound on the error: the residual is not finite."
    growth = chosen.growth(sampled)
    if isinstance(growth, str):
        return None, f"No bound on the error: {growth}."
    if not np.isfinite(growth).all():
        return None, "No bound on the error: its growth rate is not finite."
    jumps = _jumps(solution, sampled)
    bound, top = _integrate(sampled, growth, size, lacking, jumps)
    out = _told(solution, sampled, bound, top)
    out |= {"kind": chosen.kind, "mu_max": float(growth.max())}
    return {**out, "text": _text(out)}, ""


def _integrate(
    sampled: Samples,
    growth: np.ndarray,
    size: np.ndarray,
    lacking: float,
    jumps: np.ndarray,
) -> tuple[Float[np.ndarray, "edge"], Float[np.ndarray, "piece"]]:
    """The bound at the edges, and the most that it can be within each piece."""
    edges = sampled.edges
    bound, top = [lacking], []
    roots, gauss = np.polynomial.legendre.leggauss(growth.shape[1])
    with np.errstate(over="ignore"):
        for k in range(len(edges) - 1):
            half = 0.5 * (edges[k + 1] - edges[k])
            left = half * _left(growth[k], roots, gauss)
            own = half * gauss * size[k]
            total = half * float(gauss @ growth[k])
            now = bound[-1] + jumps[k]
            end = np.exp(total) * now + float(np.exp(left) @ own)
            rising = half * float(gauss @ np.maximum(growth[k], 0.0))
            top.append(max(np.exp(rising) * (now + float(own.sum())), end))
            bound.append(end)
    clip = lambda a: np.minimum(np.nan_to_num(np.asarray(a), nan=_LARGE), _LARGE)
    return clip(bound), clip(top)


def _left(
    growth: np.ndarray, roots: np.ndarray, gauss: np.ndarray
) -> Float[np.ndarray, "node"]:
    """Integrals from each Gauss point to the end (of [-1, 1]), by the polynomial
    through the values."""
    legendre = np.polynomial.legendre
    degree = np.arange(len(roots))
    values = legendre.legvander(roots, len(roots) - 1)
    series = (degree + 0.5) * (values.T @ (gauss * growth))
    whole = legendre.legint(series)
    return legendre.legval(1.0, whole) - legendre.legval(roots, whole)


def _start_error(solution: Solution) -> float | None:
    """RMS of what the solution lacks at the start; None where no start is given."""
    problem = solution.problem
    if problem.time is None:
        return None
    starts = problem.initials()
    if set(starts) != set(range(len(problem.fields))):
        return None
    domain = problem.domain
    circle = domain is not None and domain.dim == 1 and domain.periodic[0]
    count = _START if circle else None  # Gauss points in such a number take time
    points, shares = spatial(solution, problem.span()[0], count)
    zero = (0,) * points.shape[1]
    ours = solution.values(points, [zero])[zero]
    total = 0.0
    for k, start in starts.items():
        with precision(np.float64):
            at = jnp.asarray(points[:, :-1])
            wanted = np.asarray(evaluate(start.value, at, "Initial"))
        gap = float(shares @ (ours[:, k] - wanted) ** 2)
        carry = solution.windows.form.fields[k].carry
        total += max(gap, 0.0 if carry is None else carry.lost**2)
    return float(np.sqrt(total))


def _jumps(solution: Solution, sampled: Samples) -> Float[np.ndarray, "piece"]:
    """RMS of what the solution jumps by at the beginning of each piece: 0 but where
    windows with soft starts meet."""
    edges = sampled.edges
    out = np.zeros(len(edges) - 1)
    orders = solution.windows.form.orders
    if all(q > 0 for q in orders):
        return out  # continuous by its form
    ends = solution.windows.ends()[:-1]
    zero = (0,) * len(solution.problem.coords)
    for k, t in enumerate(edges[:-1]):
        if k and np.abs(ends - t).min(initial=np.inf) <= 1e-12 * max(abs(t), 1.0):
            join = float(ends[np.abs(ends - t).argmin()])
            sides = (join, float(np.nextafter(join, np.inf)))
            pairs = [spatial(solution, side) for side in sides]
            each = [solution.values(p, [zero])[zero] for p, _ in pairs]
            gap = np.sum((each[1] - each[0]) ** 2, axis=1)
            out[k] = np.sqrt(pairs[0][1] @ gap)
    return out


def _told(
    solution: Solution, sampled: Samples, bound: np.ndarray, top: np.ndarray
) -> dict[str, Any]:
    """The bound relative to the solution."""
    zero = (0,) * len(solution.problem.coords)
    edges, space = sampled.edges, sampled.space
    at = np.c_[np.tile(space, (len(edges), 1)), np.repeat(edges, len(space))]
    v = solution.values(at, [zero])[zero]
    square = np.sum(v * v, axis=1).reshape(len(edges), len(space))
    relative = bound / np.sqrt(np.maximum(square @ sampled.shares, 1e-300))
    lengths = np.diff(sampled.edges)
    inside = sampled.mean(np.sum(sampled.values**2, axis=-1))
    whole = max(float(np.sqrt(np.sum(sampled.weights * inside))), 1e-300)
    total = float(np.sqrt(np.sum(lengths * np.minimum(top, 1e150) ** 2)))
    overall = min(total / whole, _LARGE)
    return {
        "times": sampled.edges.tolist(),
        "bound": np.minimum(relative, _LARGE).tolist(),
        "overall": overall,
        "samples_per_window": sampled.rows[0, :, :, 0].size,
        "pieces": len(lengths),
        "until": float(sampled.edges[-1]),
        "informative": bool(overall < 1.0 and sampled.edges[-1] >= _end(solution)),
    }


def _end(solution: Solution) -> float:
    """The last time that was asked for, but for rounding."""
    t0, t1 = solution.problem.span()
    return t1 - 1e-9 * (t1 - t0)


def _text(found: dict[str, Any]) -> str:
    """The bound in a sentence."""
    worth = "" if found["informative"] else " The bound is not informative."
    at = f"the relative error is at most {found['overall']:.2g}"
    if found["overall"] >= 1.0:
        at = "the bound exceeds the solution"
    return (
        f"Up to t = {found['until']:g} {at}; {found['kind']}, growth rate of errors at "
        f"most {found['mu_max']:.3g}; residual sampled at "
        f"{found['samples_per_window']} points in each of {found['pieces']} "
        f"pieces of time.{worth}"
    )
